/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      https_server - a scripted HTTPS server of a few lines on a real port, and a fetch that is watched
 */
#ifndef TLSMEND_TESTS_HTTPS_SERVER_H
#define TLSMEND_TESTS_HTTPS_SERVER_H

#include "tests/unit/net/tls_peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "proxy/net/https.h"

enum serve_end {
    SERVE_BYE,    /* close_notify and FIN */
    SERVE_CUT,    /* FIN alone */
    SERVE_RESET,  /* RST */
    SERVE_LINGER, /* until the client hangs up */
};

struct server {
    struct tls_peer peer;
    struct addr at;
    const char *answer; /* NULL: no answer */
    size_t piece;       /* bytes for each record; 0: at once */
    useconds_t pause;   /* between them */
    enum serve_end end;
    bool in_clear;
    char request[1024]; /* that came; read it behind server_join() */
    int connections;
};

/* The peer's script has only the peer; it is the first member. */
static inline struct server *server_of(struct tls_peer *p)
{
    return (struct server *)p;
}

static inline bool server_accept(struct server *s)
{
    struct timeval patience = {.tv_sec = 5};
    int fd = accept(s->peer.fd, NULL, NULL), on = 1;

    if (fd < 0)
        return false;
    s->connections++;
    (void)close(s->peer.fd);
    s->peer.fd = fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return true;
}

static inline void server_read_request(struct server *s)
{
    size_t at = 0;
    int n;

    while (at < sizeof(s->request) - 1 && strstr(s->request, "\r\n\r\n") == NULL &&
           (n = SSL_read(s->peer.ssl, s->request + at, (int)(sizeof(s->request) - 1 - at))) > 0)
        at += (size_t)n;
}

static inline void server_linger(struct server *s)
{
    char in[512];

    while (recv(s->peer.fd, in, sizeof(in), 0) > 0)
        continue;
}

static inline void server_answer(struct server *s)
{
    size_t n = strlen(s->answer), piece = s->piece > 0 ? s->piece : n;

    for (size_t at = 0; at < n; at += piece) {
        int one = (int)(piece < n - at ? piece : n - at);

        if (SSL_write(s->peer.ssl, s->answer + at, one) != one)
            return;
        if (s->pause > 0)
            (void)usleep(s->pause);
    }
}

static void server_script(struct tls_peer *p)
{
    struct server *s = server_of(p);
    struct linger reset = {.l_onoff = 1};

    if (!server_accept(s))
        return;
    if (s->in_clear) {
        (void)send(p->fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
        server_linger(s);
        return;
    }
    if (!peer_shake_hands(p))
        return;
    server_read_request(s);
    if (s->answer != NULL)
        server_answer(s);
    if (s->end == SERVE_LINGER)
        server_linger(s);
    else if (s->end == SERVE_BYE)
        (void)SSL_shutdown(p->ssl);
    else if (s->end == SERVE_RESET && usleep(50000) == 0) /* it drops what waits to be sent */
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

/* Accepts and says nothing at all, not even TLS. */
static void server_silence(struct tls_peer *p)
{
    if (server_accept(server_of(p)))
        server_linger(server_of(p));
}

static inline int server_socket(struct addr *at)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    *at = rig_loopback(ntohs(in.sin_port));
    return fd;
}

static inline void server_start(struct server *s)
{
    if (s->peer.script == NULL)
        s->peer.script = server_script;
    peer_start(&s->peer, server_socket(&s->at));
}

static inline void server_join(struct server *s)
{
    peer_join(&s->peer);
}

/* A port where nobody listens. */
static inline struct addr server_nobody(void)
{
    struct addr at;

    (void)close(server_socket(&at));
    return at;
}

/* ---- the fetch ---- */

struct fetch {
    struct loop *loop;
    struct tls_context *tls;
    struct trust_store *trust;
    struct https_fetch *fetch;
    struct https_request req;
    struct addr addrs[4];
    int told; /* calls of `done` */
    bool in_call;
    bool cancel_inside;
    struct https_answer answer; /* copied */
    char *body;
};

static void fetch_done(void *owner, const struct https_answer *a)
{
    struct fetch *f = owner;

    assert_false(f->in_call);
    f->told++;
    f->answer = *a;
    f->body = slice_dup(a->body);
    f->answer.body = slice_str(f->body);
    if (f->cancel_inside)
        https_cancel(&f->fetch);
    f->fetch = NULL;
}

static inline void fetch_init(struct fetch *f)
{
    struct buf error;

    memset(f, 0, sizeof(*f));
    buf_init(&error, 500);
    f->loop = loop_new();
    f->tls = tls_context_new(&error);
    f->trust = peer_trust(peer_root);
    f->req = (struct https_request){.tls = f->tls,
                                    .host = "mx.example",
                                    .path = "/.well-known/mta-sts.txt",
                                    .addrs = f->addrs,
                                    .body_max = 100,
                                    .timeout = 4000,
                                    .min_rsa_bits = 2048};
}

static inline void fetch_start(struct fetch *f)
{
    f->in_call = true;
    f->req.trust = f->trust;
    f->fetch = https_get(f->loop, &f->req, fetch_done, f);
    f->in_call = false;
    memset(f->addrs, 0xff, sizeof(f->addrs)); /* it was copied */
}

static inline void fetch_run(struct fetch *f)
{
    fetch_start(f);
    RIG_UNTIL(f->loop, f->told > 0);
    rig_turn(f->loop, 1);
    assert_int_equal(f->told, 1);
}

static inline void fetch_end(struct fetch *f)
{
    https_cancel(&f->fetch);
    rig_turn(f->loop, 1);
    free(f->body);
    trust_drop(&f->trust);
    tls_context_drop(&f->tls);
    loop_free(&f->loop);
}

/* One address, one server. */
static inline void fetch_from(struct fetch *f, struct server *s)
{
    server_start(s);
    f->addrs[f->req.addr_count++] = s->at;
}

#endif
