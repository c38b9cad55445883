/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/store/version.h"

#include <sqlite3.h>

const char *store_library_version(void)
{
    return sqlite3_libversion();
}
