/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      resume_rig - a client's context with its sessions, and the server it connects to again and again
 */
#ifndef TLSMEND_TESTS_RESUME_RIG_H
#define TLSMEND_TESTS_RESUME_RIG_H

#include "tests/unit/net/tls_pair.h"

#include <openssl/sha.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct resume_rig {
    struct tls_context *context;
    struct tls_sessions *sessions;
    struct tls_peer like;
    SSL_CTX *server;
    struct tls_request req;
    struct slice name;
};

static inline void resume_init(struct resume_rig *r, uint16_t version)
{
    struct buf error;

    *r = (struct resume_rig){.like = {.version = version}};
    buf_init(&error, 500);
    r->context = tls_context_new(&error);
    assert_non_null(r->context);
    r->sessions = tls_sessions_new(100);
    r->like.chain[r->like.chain_count++] = peer_leaf;
    r->server = pair_server(&r->like);
    r->name = SLICE("mx.example");
    r->req = (struct tls_request){.sni = "mx.example",
                                  .min_version = TLS_VERSION_1_2,
                                  .trust = peer_trust(peer_root),
                                  .names = &r->name,
                                  .name_count = 1,
                                  .host = SLICE("mx.example"),
                                  .needs = tls_level_needs(LEVEL_VERIFY),
                                  .min_rsa_bits = 2048,
                                  .sessions = r->sessions};
    assert_true(addr_parse(SLICE("192.0.2.1"), &r->req.place));
    r->req.place.port = 25;
}

static inline void resume_end(struct resume_rig *r)
{
    pair_clock_ahead = 0;
    SSL_CTX_free(r->server);
    trust_drop(&r->req.trust);
    tls_sessions_free(&r->sessions);
    tls_context_drop(&r->context);
}

/* What became of one connection. */
struct result {
    enum reason reason;
    bool resumed, judged;
    struct tls_reached reached;
    char signature[64], group[32], cipher[64], anchor[256];
    enum ocsp_status ocsp;
};

static inline struct result connect_once(struct resume_rig *r)
{
    struct tls_pair p;
    struct result got;
    const struct tls_facts *f;

    pair_open(&p, r->context, &r->req, r->server);
    pair_shake(&p);
    f = &p.wire->facts;
    got = (struct result){.reason = f->reason,
                          .resumed = f->resumed,
                          .judged = f->judged,
                          .reached = f->reached,
                          .ocsp = f->judgement.ocsp};
    (void)snprintf(got.signature, sizeof(got.signature), "%s", f->signature);
    (void)snprintf(got.group, sizeof(got.group), "%s", f->group);
    (void)snprintf(got.cipher, sizeof(got.cipher), "%s", f->cipher);
    (void)snprintf(got.anchor, sizeof(got.anchor), "%s", f->judgement.anchor);
    if (p.wire->done)
        assert_int_equal(SSL_session_reused(p.server), got.resumed);
    pair_close(&p);
    return got;
}

static inline void expect(struct resume_rig *r, enum reason why, bool resumed)
{
    struct result got = connect_once(r);

    if (got.reason != why || got.resumed != resumed)
        fail_msg("wanted %s%s, got %s%s", reason_info(why)->token, resumed ? ", resumed" : "",
                 reason_info(got.reason)->token, got.resumed ? ", resumed" : "");
}

#endif
