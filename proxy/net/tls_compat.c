/* SPDX-License-Identifier: Apache-2.0 */
/* tls_compat - see tls_compat_internal.h for the contract. */
#include "proxy/net/tls_compat_internal.h"

#if BORINGSSL_API_VERSION >= 43

bool tls_compat_groups(SSL_CTX *ctx)
{
    return SSL_CTX_set1_groups_list(ctx, "X25519MLKEM768:X25519:P-256:P-384") == 1;
}

bool tls_compat_few_groups(SSL *ssl)
{
    return SSL_set1_groups_list(ssl, "X25519:P-256:P-384") == 1;
}

bool tls_compat_key_shares(SSL *ssl)
{
    /* The share of X25519MLKEM768 has 1216 bytes: such a hello needs two segments, and that stalls
     * old peers and firewalls.  A peer that wants it asks for it (HelloRetryRequest). */
    static const uint16_t shares[] = {SSL_GROUP_X25519};

    return SSL_set1_client_key_shares(ssl, shares, sizeof(shares) / sizeof(shares[0])) == 1;
}

const char *tls_compat_group_name(const SSL *ssl)
{
    const char *name = SSL_get_group_name(SSL_get_group_id(ssl));

    return name != NULL ? name : "";
}

void tls_compat_key_usage(SSL *ssl, bool enforce)
{
    (void)ssl;
    (void)enforce;
}

#else

bool tls_compat_groups(SSL_CTX *ctx)
{
    return SSL_CTX_set1_curves_list(ctx, "X25519:P-256:P-384") == 1;
}

bool tls_compat_few_groups(SSL *ssl)
{
    return SSL_set1_curves_list(ssl, "X25519:P-256:P-384") == 1;
}

bool tls_compat_key_shares(SSL *ssl)
{
    (void)ssl; /* the share of the first group, X25519, is the only one sent */
    return true;
}

const char *tls_compat_group_name(const SSL *ssl)
{
    const char *name = SSL_get_curve_name(SSL_get_curve_id(ssl));

    return name != NULL ? name : "";
}

void tls_compat_key_usage(SSL *ssl, bool enforce)
{
    SSL_set_enforce_rsa_key_usage(ssl, enforce);
}

#endif
