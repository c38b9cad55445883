/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      boring_internal - the one door of this layer to BoringSSL
 *
 * DESCRIPTION
 *      Debian's package is API 17, upstream is 43 and later; what differs between them for this
 *      layer stands here and nowhere else.  Certificates, CRLs and OCSP responses are read with
 *      CBS, which did not change, so little is left: the library's own judgement of a path takes
 *      its time as POSIX seconds in newer versions, and objects that it only reads became const.
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
#include <openssl/sha.h>
#include <openssl/x509.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "BoringSSL's headers are needed, not OpenSSL's"
#endif

/* The time that the library judges at, in seconds since 1970. */
static inline void boring_set_time(X509_STORE_CTX *ctx, int64_t seconds)
{
#if BORINGSSL_API_VERSION >= 43
    X509_STORE_CTX_set_time_posix(ctx, 0, seconds);
#else
    X509_STORE_CTX_set_time(ctx, 0, (time_t)seconds);
#endif
}

#endif
