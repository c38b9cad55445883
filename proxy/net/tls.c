/* SPDX-License-Identifier: Apache-2.0 */
/* tls - see tls.h for the contract. */
#include "proxy/net/tls.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <pthread.h>
#include <stdlib.h>

#include "proxy/base/mem.h"
#include "proxy/net/tls_compat_internal.h"
#include "proxy/net/tls_internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* TLS 1.2; the suites of TLS 1.3 are the library's own three, all of them good. */
static const char suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                             "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                             "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* What a server may sign the handshake with: nothing with SHA-1 (C-CERT-02). */
static const uint16_t signatures[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256,
    SSL_SIGN_RSA_PKCS1_SHA256,       SSL_SIGN_ECDSA_SECP384R1_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA384,    SSL_SIGN_RSA_PKCS1_SHA384,
    SSL_SIGN_ECDSA_SECP521R1_SHA512, SSL_SIGN_RSA_PSS_RSAE_SHA512,
    SSL_SIGN_RSA_PKCS1_SHA512,       SSL_SIGN_ED25519,
};

/* The compact hello: what every server that is maintained has one of. */
static const char compact_suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

static const uint16_t compact_signatures[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384, SSL_SIGN_RSA_PKCS1_SHA384,
};

/*
 * One memory for each certificate, however many connections and sessions show it.  Never freed: a session
 * outlives the context it was made in, and each certificate must find its pool when it goes.
 */
static CRYPTO_BUFFER_POOL *certificates;
static pthread_once_t certificates_once = PTHREAD_ONCE_INIT;

static void make_certificates(void)
{
    certificates = CRYPTO_BUFFER_POOL_new();
}

static bool configure(SSL_CTX *ctx)
{
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_strict_cipher_list(ctx, suites) != 1 || !tls_compat_groups(ctx) ||
        SSL_CTX_set_verify_algorithm_prefs(ctx, signatures, COUNT(signatures)) != 1 ||
        pthread_once(&certificates_once, make_certificates) != 0 || certificates == NULL)
        return false;
    SSL_CTX_set0_buffer_pool(ctx, certificates);
    SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, tls_verify);
    SSL_CTX_set_cert_cb(ctx, tls_on_certificate_request, NULL);
    SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
    tls_resume_setup(ctx);
    /* The unsent bytes live in a queue, which moves them. */
    (void)SSL_CTX_set_mode(ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return true;
}

bool tls_offer(SSL *ssl, enum tls_rung rung, enum tls_version least)
{
    uint16_t min = least == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    uint16_t max = rung == RUNG_TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    if (SSL_set_min_proto_version(ssl, min) != 1 || SSL_set_max_proto_version(ssl, max) != 1 ||
        !tls_compat_key_shares(ssl))
        return false;
    if (rung == RUNG_FULL) {
        SSL_enable_ocsp_stapling(ssl);
        return true;
    }
    return SSL_set_strict_cipher_list(ssl, compact_suites) == 1 && tls_compat_few_groups(ssl) &&
           SSL_set_verify_algorithm_prefs(ssl, compact_signatures, COUNT(compact_signatures)) == 1;
}

struct tls_context *tls_context_new(struct buf *error)
{
    struct tls_context *c = mem_zalloc(sizeof(*c));
    char text[256];

    atomic_init(&c->holds, 1);
    ERR_clear_error();
    /* "with buffers": certificates come as bytes, certs/judge alone reads them. */
    c->ssl = SSL_CTX_new(TLS_with_buffers_method());
    if (c->ssl != NULL && configure(c->ssl) && tls_wire_bio_method(c))
        return c;
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    (void)buf_addf(error, "cannot set TLS up: %s", text);
    ERR_clear_error();
    tls_context_drop(&c);
    return NULL;
}

struct tls_context *tls_context_hold(struct tls_context *c)
{
    atomic_fetch_add(&c->holds, 1);
    return c;
}

void tls_context_drop(struct tls_context **context)
{
    struct tls_context *c = *context;

    *context = NULL;
    if (c == NULL || atomic_fetch_sub(&c->holds, 1) > 1)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    free(c);
}
