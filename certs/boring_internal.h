/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      boring_internal - the one door of this layer to BoringSSL
 *
 * DESCRIPTION
 *      The headers of BoringSSL that this layer uses, and the proof that they are BoringSSL's.  Only what
 *      Debian's package (API 17) and current upstream (API 43 and later) have alike is used here; what
 *      differs between them stands in proxy/net/tls_compat.c and nowhere else.
 */
#ifndef TLSMEND_CERTS_BORING_INTERNAL_H
#define TLSMEND_CERTS_BORING_INTERNAL_H

#include <openssl/base.h>
#include <openssl/base64.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "BoringSSL's headers are needed, not OpenSSL's"
#endif

#endif
