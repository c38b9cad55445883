/* SPDX-License-Identifier: Apache-2.0 */
#include "config/version.h"

#include <libconfig.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

const char *config_library_version(void)
{
    return "libconfig " TEXT(LIBCONFIG_VER_MAJOR) "." TEXT(LIBCONFIG_VER_MINOR) "." TEXT(
        LIBCONFIG_VER_REVISION);
}
