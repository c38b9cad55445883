/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_compat_internal - every difference between the BoringSSL versions that this layer meets
 *
 * DESCRIPTION
 *      Debian's package is API 17, upstream is 43 and later.  Nothing else in proxy/net looks at
 *      BORINGSSL_API_VERSION.
 */
#ifndef TLSMEND_NET_TLS_COMPAT_INTERNAL_H
#define TLSMEND_NET_TLS_COMPAT_INTERNAL_H

#include <openssl/ssl.h>
#include <stdbool.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "BoringSSL's headers are needed, not OpenSSL's"
#endif

bool tls_compat_groups(SSL_CTX *ctx);
/* Without X25519MLKEM768.  P-384 stays: in TLS 1.2 a server whose certificate has such a key finds
 * nothing in common with a client that does not name the curve (RFC 8422 5.1). */
bool tls_compat_few_groups(SSL *ssl);
bool tls_compat_key_shares(SSL *ssl);              /* X25519 alone */
const char *tls_compat_group_name(const SSL *ssl); /* "" if none */
/* Whether an RSA certificate whose key usage forbids signing ends a handshake of TLS 1.2.  TLS 1.3, newer
 * versions of the library and keys that are not RSA: it always does. */
void tls_compat_key_usage(SSL *ssl, bool enforce);

#endif
