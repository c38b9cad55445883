/* SPDX-License-Identifier: Apache-2.0 */
#include "certs/version.h"

#include <openssl/base.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

const char *certs_library_version(void)
{
    return "BoringSSL (API " TEXT(BORINGSSL_API_VERSION) ")";
}
