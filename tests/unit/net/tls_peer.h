/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_peer - a TLS server of a few lines, in a thread, at the other end of a socket pair
 *
 * DESCRIPTION
 *      The script runs in the thread, with a blocking socket that gives up after some seconds.
 *      Nothing in it may use cmocka's asserts: they belong to the test's thread.
 */
#ifndef TLSMEND_TESTS_TLS_PEER_H
#define TLSMEND_TESTS_TLS_PEER_H

#include "tests/unit/net/stream_ear.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "tests/unit/certs/make_cert.h"

#define PEER_CERTS 256
#define CA_KEY 1
#define LEAF_KEY 2
#define OTHER_KEY 3

struct tls_peer;
typedef void peer_script(struct tls_peer *p);

struct tls_peer {
    int fd;
    pthread_t thread;
    peer_script *script;
    uint16_t version; /* 0: any; both least and most */
    const char *suites, *curves;
    bool wants_certificate, insists;
    struct slice chain[PEER_CERTS];
    size_t chain_count;
    EVP_PKEY *key; /* NULL: LEAF_KEY */
    struct slice staple;
    SSL_CTX *ctx;
    SSL *ssl;
    int accepted; /* of SSL_accept() */
    char sni[256];
    size_t got;    /* bytes that the script read */
    size_t cut_at; /* scripts that cut: after so many bytes of ours */
    char kind;
    const char *text;
    size_t text_size;
};

/* ---- certificates: one authority, one leaf for mx.example ---- */

static struct slice peer_root, peer_leaf, peer_other_root;

static inline void peer_make_certificates(void)
{
    static const char *const names[] = {"mx.example", NULL};
    int64_t from = time(NULL) - TEST_DAY, to = time(NULL) + 30 * TEST_DAY;
    struct make root = {.subject = "test root",
                        .key = make_key(CA_KEY),
                        .basic = BASIC_CA,
                        .usage = "cr",
                        .from = from,
                        .to = to};
    struct make leaf = {.subject = "leaf",
                        .issuer = "test root",
                        .key = make_key(LEAF_KEY),
                        .signer = make_key(CA_KEY),
                        .dns = names,
                        .usage = "s",
                        .extended = "server",
                        .from = from,
                        .to = to};
    struct make other = root;

    other.subject = "other root";
    other.key = make_key(OTHER_KEY);
    peer_root = make_cert(&root);
    peer_leaf = make_cert(&leaf);
    peer_other_root = make_cert(&other);
}

static inline void peer_free_certificates(void)
{
    make_free(&peer_root);
    make_free(&peer_leaf);
    make_free(&peer_other_root);
}

static inline struct trust_store *peer_trust(struct slice root)
{
    struct trust_store *t;
    struct buf error;

    buf_init(&error, 500);
    t = trust_from_der(&root, 1, &error);
    if (t == NULL)
        print_message("%s\n", buf_cstr(&error));
    assert_non_null(t);
    buf_clear(&error);
    return t;
}

/* ---- the server ---- */

static enum ssl_verify_result_t peer_accepts_all(SSL *ssl, uint8_t *alert)
{
    (void)ssl;
    (void)alert;
    return ssl_verify_ok;
}

static inline void peer_must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "tls_peer: %s\n", what);
        abort();
    }
}

static inline SSL_CTX *peer_context(const struct tls_peer *p)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
    CRYPTO_BUFFER *certs[PEER_CERTS];

    peer_must(ctx != NULL, "SSL_CTX_new");
    peer_must(
        SSL_CTX_set_min_proto_version(ctx, p->version != 0 ? p->version : TLS1_2_VERSION) == 1 &&
            SSL_CTX_set_max_proto_version(ctx, p->version != 0 ? p->version : TLS1_3_VERSION) == 1,
        "versions");
    if (p->suites != NULL)
        peer_must(SSL_CTX_set_strict_cipher_list(ctx, p->suites) == 1, "suites");
    if (p->curves != NULL)
        peer_must(SSL_CTX_set1_curves_list(ctx, p->curves) == 1, "curves");
    if (p->wants_certificate)
        SSL_CTX_set_custom_verify(
            ctx, SSL_VERIFY_PEER | (p->insists ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
            peer_accepts_all);
    for (size_t i = 0; i < p->chain_count; i++)
        certs[i] = CRYPTO_BUFFER_new((const uint8_t *)p->chain[i].p, p->chain[i].n, NULL);
    peer_must(SSL_CTX_set_chain_and_key(ctx, certs, p->chain_count,
                                        p->key != NULL ? p->key : make_key(LEAF_KEY), NULL) == 1,
              "chain");
    for (size_t i = 0; i < p->chain_count; i++)
        CRYPTO_BUFFER_free(certs[i]);
    if (p->staple.n > 0)
        peer_must(SSL_CTX_set_ocsp_response(ctx, (const uint8_t *)p->staple.p, p->staple.n) == 1,
                  "staple");
    return ctx;
}

static inline bool peer_shake_hands(struct tls_peer *p)
{
    const char *sni;

    SSL_set_fd(p->ssl, p->fd);
    p->accepted = SSL_accept(p->ssl);
    sni = SSL_get_servername(p->ssl, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(p->sni, sizeof(p->sni), "%s", sni != NULL ? sni : "");
    return p->accepted == 1;
}

static void *peer_main(void *arg)
{
    struct tls_peer *p = arg;

    p->script(p);
    if (p->fd >= 0)
        (void)close(p->fd);
    return NULL;
}

static inline void peer_start(struct tls_peer *p, int fd)
{
    struct timeval patience = {.tv_sec = 5};

    if (p->chain_count == 0)
        p->chain[p->chain_count++] = peer_leaf;
    p->fd = fd;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
    p->ctx = peer_context(p);
    p->ssl = SSL_new(p->ctx);
    assert_non_null(p->ssl);
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static inline void peer_join(struct tls_peer *p)
{
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
}

/* ---- one handshake, from both sides ---- */

struct shake {
    struct loop *loop;
    struct tls_context *context;
    struct ear ear;
    struct tls_peer peer;
    struct tls_request req;
    struct slice name;
};

static inline void shake_init(struct shake *s, peer_script *script)
{
    struct buf error;

    memset(s, 0, sizeof(*s));
    buf_init(&error, 500);
    s->loop = loop_new();
    s->context = tls_context_new(&error);
    assert_non_null(s->context);
    s->name = SLICE("mx.example");
    s->peer.script = script;
    s->req = (struct tls_request){.sni = "mx.example",
                                  .min_version = TLS_VERSION_1_2,
                                  .trust = peer_trust(peer_root),
                                  .names = &s->name,
                                  .name_count = 1,
                                  .needs = tls_level_needs(LEVEL_VERIFY),
                                  .min_rsa_bits = 2048};
}

static inline void shake_start(struct shake *s)
{
    int fd[2];

    rig_pair(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    peer_start(&s->peer, fd[1]);
    ear_adopt(&s->ear, s->loop, fd[0]);
    s->ear.in_call = true;
    stream_start_tls(s->ear.stream, s->context, &s->req);
    s->ear.in_call = false;
}

static inline void shake_run(struct shake *s)
{
    shake_start(s);
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'T') || ear_heard(&s->ear, 't'));
}

static inline void shake_end(struct shake *s)
{
    ear_clear(&s->ear);
    rig_turn(s->loop, 1);
    peer_join(&s->peer);
    trust_drop(&s->req.trust);
    tls_context_drop(&s->context);
    loop_free(&s->loop);
}

/* Of a group of tests: the certificates, and no signal where a peer's SSL writes to a closed socket. */
static inline int peer_setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    peer_make_certificates();
    return 0;
}

static inline int peer_teardown(void **state)
{
    (void)state;
    peer_free_certificates();
    return 0;
}

#endif
