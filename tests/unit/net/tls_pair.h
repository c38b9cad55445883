/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_pair - a tls_wire and a server of BoringSSL, mouth to mouth: no socket, no thread, no loop
 *
 * DESCRIPTION
 *      A server's context lives through many connections, as that of an MX does; its ticket keys are ours
 *      to change.  The wall clock is ours to move too: pair_clock_ahead seconds are added to what the whole
 *      program sees of it.
 */
#ifndef TLSMEND_TESTS_TLS_PAIR_H
#define TLSMEND_TESTS_TLS_PAIR_H

#include "tests/unit/net/tls_peer.h"

#include <sys/syscall.h>

#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions.h"

/* ---- the clock ---- */

static int64_t pair_clock_ahead;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long r = syscall(SYS_clock_gettime, id, t);

    if (r == 0 && id == CLOCK_REALTIME)
        t->tv_sec += pair_clock_ahead;
    return (int)r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

/* ---- the server ---- */

static inline SSL_CTX *pair_server(const struct tls_peer *like)
{
    SSL_CTX *ctx = peer_context(like);
    unsigned char keys[48];

    memset(keys, 'k', sizeof(keys)); /* so that every such server opens the tickets of the others */
    peer_must(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) == 1, "ticket keys");
    return ctx;
}

static inline void pair_forget_tickets(SSL_CTX *ctx)
{
    unsigned char keys[48];

    memset(keys, 'n', sizeof(keys));
    peer_must(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) == 1, "ticket keys");
}

/* ---- the two ends ---- */

struct tls_pair {
    struct tls_wire *wire;
    SSL *server;
    BIO *in, *out; /* of the server */
    enum tls_step step;
};

static inline void pair_open(struct tls_pair *p, struct tls_context *c,
                             const struct tls_request *req, SSL_CTX *server)
{
    *p = (struct tls_pair){.wire = tls_wire_new(c, req), .server = SSL_new(server)};
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    peer_must(p->server != NULL && p->in != NULL && p->out != NULL, "SSL_new");
    SSL_set_bio(p->server, p->in, p->out);
    SSL_set_accept_state(p->server);
}

static inline void pair_close(struct tls_pair *p)
{
    tls_wire_free(&p->wire);
    SSL_free(p->server);
}

static inline void pair_carry(struct tls_pair *p)
{
    struct slice bytes = queue_slice(&p->wire->out);

    if (bytes.n > 0)
        peer_must(BIO_write(p->in, bytes.p, (int)bytes.n) == (int)bytes.n, "BIO_write");
    queue_drop(&p->wire->out, bytes.n);
}

static inline void pair_carry_back(struct tls_pair *p)
{
    char bytes[16384];
    int n;

    while ((n = BIO_read(p->out, bytes, sizeof(bytes))) > 0)
        queue_add(&p->wire->in, slice_of(bytes, (size_t)n));
}

/* Both have done what they can. */
static inline void pair_turn(struct tls_pair *p)
{
    if (!p->wire->done && p->step != TLS_FAILED)
        p->step = tls_wire_handshake(p->wire);
    pair_carry(p);
    if (!SSL_is_init_finished(p->server))
        (void)SSL_do_handshake(p->server);
    pair_carry_back(p);
}

/* The handshake, and what the server says behind it (tickets). */
static inline void pair_shake(struct tls_pair *p)
{
    char byte;
    size_t n;

    for (int i = 0; i < 10; i++)
        pair_turn(p);
    if (!p->wire->done)
        return;
    peer_must(SSL_write(p->server, "x", 1) == 1, "SSL_write");
    pair_carry_back(p);
    peer_must(tls_wire_read(p->wire, &byte, 1, &n) == TLS_DONE && byte == 'x', "tls_wire_read");
}

#endif
