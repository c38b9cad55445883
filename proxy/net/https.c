/* SPDX-License-Identifier: Apache-2.0 */
/*
 * https - see https.h for the contract
 *
 * One address after the other, each on a stream of its own: connect, handshake, request, answer.  The
 * whole has a deadline.  As long as further addresses are left, one gets no more than its share of the time
 * for connect and handshake, so that a dead one does not use up all of it.
 */
#include "proxy/net/https.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/https_response_internal.h"
#include "proxy/net/stream.h"

#define FETCH_MAGIC 0x48545053u
#define NEEDS (NEED_TLS | NEED_CHAIN | NEED_NAME)

struct https_fetch {
    uint32_t magic;
    struct loop *loop;
    struct tls_context *tls;
    struct trust_store *trust;
    char *host, *path;
    struct addr *addrs;
    size_t addr_count, next; /* the next to try */
    int64_t timeout;
    int min_rsa_bits;
    https_done_fn *done;
    void *owner;

    mono_ms start;
    struct timer *deadline;
    struct stream *stream; /* to addrs[next - 1]; NULL: none */
    const char *phase;     /* for the words of a timeout */
    bool heard;            /* bytes of the answer came */
    bool telling;          /* `done` is being called */
    struct https_response response;
    struct https_answer answer; /* the furthest failure until now, then what is told */
};

static const char *const end_names[] = {
    [HTTPS_OK] = "ok",
    [HTTPS_CONNECT] = "connect",
    [HTTPS_TLS] = "tls",
    [HTTPS_CERT] = "certificate",
    [HTTPS_TIMEOUT] = "timeout",
    [HTTPS_TOO_LARGE] = "too-large",
    [HTTPS_PROTOCOL] = "protocol",
};

const char *https_end_name(enum https_end e)
{
    INVARIANT((unsigned)e < sizeof(end_names) / sizeof(end_names[0]));
    return end_names[e];
}

/* ---- the end ---- */

static void destroy(struct https_fetch *f)
{
    stream_close(&f->stream);
    timer_free(&f->deadline);
    https_response_clear(&f->response);
    trust_drop(&f->trust);
    tls_context_drop(&f->tls);
    free(f->host);
    free(f->path);
    free(f->addrs);
    f->magic = 0;
    free(f);
}

/* From here on the fetch is gone. */
static void tell(struct https_fetch *f)
{
    f->answer.took_ms = loop_now(f->loop) - f->start;
    stream_close(&f->stream);
    f->telling = true;
    f->done(f->owner, &f->answer);
    destroy(f);
}

static void note(struct https_fetch *f, enum https_end end, enum reason why, const char *detail)
{
    f->answer.end = end;
    f->answer.tls_reason = why;
    (void)snprintf(f->answer.detail, sizeof(f->answer.detail), "%s", detail);
}

static void fail(struct https_fetch *f, enum https_end end, enum reason why, const char *detail)
{
    note(f, end, why, detail);
    tell(f);
}

static void on_deadline(void *owner)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    char detail[sizeof(f->answer.detail)];

    if (f->phase == NULL) { /* nothing was begun: `note` has said why */
        tell(f);
        return;
    }
    (void)snprintf(detail, sizeof(detail), "no whole answer within %lld ms, while %s",
                   (long long)f->timeout, f->phase);
    fail(f, HTTPS_TIMEOUT, REASON_OK, detail);
}

/* ---- one address after the other ---- */

static void try_next(struct https_fetch *f);

/* This address is no good; of several failures the one that came furthest is told. */
static void give_up(struct https_fetch *f, enum https_end end, enum reason why, const char *detail)
{
    struct addr peer = *stream_peer(f->stream);

    stream_close(&f->stream);
    if (end == HTTPS_TLS || f->answer.end != HTTPS_TLS) {
        note(f, end, why, detail);
        if (end == HTTPS_TLS)
            f->answer.peer = peer;
    }
    if (f->next < f->addr_count)
        try_next(f);
    else
        tell(f);
}

static void on_connect_failed(void *owner, enum reason why, const char *detail)
{
    (void)why;
    give_up(OBJ_CAST(https_fetch, FETCH_MAGIC, owner), HTTPS_CONNECT, REASON_OK, detail);
}

static void on_connected(void *owner)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    struct slice name = slice_str(f->host);
    struct tls_request req = {
        .sni = f->host,
        .min_version = TLS_VERSION_1_2,
        .trust = f->trust,
        .names = &name,
        .name_count = 1,
        .needs = NEEDS,
        .rung = RUNG_FULL,
        .min_rsa_bits = f->min_rsa_bits,
    };

    f->phase = "shaking hands";
    stream_start_tls(f->stream, f->tls, &req);
}

/* The share of time of this address is used up. */
static void on_share_spent(void *owner)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    const struct addr *peer = stream_peer(f->stream);
    char at[ADDR_TEXT_MAX], detail[128];
    bool connected = strcmp(f->phase, "connecting") != 0;

    (void)snprintf(detail, sizeof(detail), "%s did not answer while %s", addr_port_text(peer, at),
                   f->phase);
    give_up(f, connected ? HTTPS_TLS : HTTPS_CONNECT, connected ? REASON_TLS_STALLED : REASON_OK,
            detail);
}

/* ---- TLS ---- */

static void send_request(struct https_fetch *f)
{
    char *text = mem_format("GET %s HTTP/1.1\r\n"
                            "Host: %s\r\n"
                            "User-Agent: tlsmend\r\n"
                            "Accept: text/plain\r\n"
                            "Accept-Encoding: identity\r\n"
                            "Connection: close\r\n\r\n",
                            f->path, f->host);

    stream_write(f->stream, slice_str(text));
    free(text);
}

static void on_tls_done(void *owner, const struct tls_facts *facts)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    const struct tls_reached *got = &facts->reached;
    enum reason why = facts->reason;

    if (why == REASON_STARTTLS_INJECTION) /* there was no STARTTLS */
        why = REASON_TLS_GARBAGE;
    if (why == REASON_OK && !(got->tls && got->chain && got->name)) /* C-CERT-06 */
        why = REASON_CERT_UNCHECKED;
    if (reason_is_certificate(why)) {
        f->answer.peer = *stream_peer(f->stream);
        fail(f, HTTPS_CERT, why, facts->detail);
    } else if (why != REASON_OK) {
        give_up(f, HTTPS_TLS, why, facts->detail);
    } else {
        f->answer.peer = *stream_peer(f->stream);
        f->phase = "waiting for the answer";
        stream_deadline(f->stream, -1);
        send_request(f);
    }
}

/* ---- the answer ---- */

static void take_answer(struct https_fetch *f, enum response_status status)
{
    const struct https_response *r = &f->response;

    if (status == RESPONSE_BAD || status == RESPONSE_TOO_LARGE) {
        fail(f, status == RESPONSE_BAD ? HTTPS_PROTOCOL : HTTPS_TOO_LARGE, REASON_OK, r->detail);
        return;
    }
    note(f, HTTPS_OK, REASON_OK, "");
    f->answer.status = r->code;
    f->answer.has_content_type = r->has_content_type;
    memcpy(f->answer.content_type, r->content_type, sizeof(f->answer.content_type));
    f->answer.body = buf_slice(&r->body);
    tell(f);
}

static void on_readable(void *owner)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    enum response_status status = RESPONSE_MORE;
    struct slice bytes;

    while (status == RESPONSE_MORE && (bytes = stream_peek(f->stream)).n > 0) {
        f->heard = true;
        f->phase = "reading the answer";
        status = https_response_feed(&f->response, bytes);
        stream_consume(f->stream, bytes.n);
    }
    if (status != RESPONSE_MORE)
        take_answer(f, status);
}

static void on_ended(void *owner, enum stream_end how, const char *detail)
{
    struct https_fetch *f = OBJ_CAST(https_fetch, FETCH_MAGIC, owner);
    enum reason why = stream_end_reason(f->stream);
    char text[sizeof(f->answer.detail)];

    /* RFC 9112 9.8: without close_notify an answer of unknown length is not whole. */
    if (how == STREAM_CLOSED && f->heard) {
        take_answer(f, https_response_end(&f->response));
        return;
    }
    if (how == STREAM_TLS_ERROR && !f->heard) { /* of TLS 1.3's refusals some come late */
        fail(f, HTTPS_TLS, why, detail);
        return;
    }
    (void)snprintf(text, sizeof(text), "%s %s%s%s", how == STREAM_CLOSED ? "closed" : "cut off",
                   f->heard ? "in the middle of the answer" : "without an answer",
                   detail[0] != '\0' ? ": " : "", detail);
    fail(f, HTTPS_PROTOCOL, REASON_OK, text);
}

/* ---- calls ---- */

static const struct stream_events events = {
    .connected = on_connected,
    .connect_failed = on_connect_failed,
    .readable = on_readable,
    .tls_done = on_tls_done,
    .ended = on_ended,
    .deadline = on_share_spent,
};

static void try_next(struct https_fetch *f)
{
    static const struct stream_params params = {.read_high = 32 * 1024, .write_low = 0};
    int64_t left = f->start + f->timeout - loop_now(f->loop);
    int64_t shares = (int64_t)(f->addr_count - f->next);

    f->phase = "connecting";
    f->stream = stream_connect(f->loop, &f->addrs[f->next++], &params, &events, f);
    if (shares > 1)
        stream_deadline(f->stream, left > 0 ? left / shares : 0);
}

/* Nothing that could break out of its line in the request. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return text[0] != '\0';
}

struct https_fetch *https_get(struct loop *l, const struct https_request *req, https_done_fn *done,
                              void *owner)
{
    struct https_fetch *f = mem_zalloc(sizeof(*f));

    f->magic = FETCH_MAGIC;
    f->loop = l;
    f->tls = tls_context_hold(req->tls);
    f->trust = trust_hold(req->trust);
    f->host = mem_strdup(req->host);
    f->path = mem_strdup(req->path);
    f->addrs = mem_array(req->addr_count, sizeof(*f->addrs));
    f->addr_count = req->addr_count;
    for (size_t i = 0; i < req->addr_count; i++)
        f->addrs[i] = req->addrs[i];
    f->timeout = req->timeout;
    f->min_rsa_bits = req->min_rsa_bits;
    f->done = done;
    f->owner = owner;
    f->start = loop_now(l);
    f->deadline = timer_new(l, on_deadline, f);
    https_response_init(&f->response, req->body_max);
    if (!is_plain(f->host) || !is_plain(f->path)) {
        note(f, HTTPS_PROTOCOL, REASON_OK, "host or path cannot stand in a request");
        timer_arm(f->deadline, 0);
    } else if (f->addr_count == 0) {
        note(f, HTTPS_CONNECT, REASON_OK, "the host has no address");
        timer_arm(f->deadline, 0);
    } else {
        timer_arm(f->deadline, f->timeout);
        try_next(f);
    }
    return f;
}

void https_cancel(struct https_fetch **fetch)
{
    struct https_fetch *f = *fetch;

    *fetch = NULL;
    if (f != NULL && !f->telling)
        destroy(f);
}
