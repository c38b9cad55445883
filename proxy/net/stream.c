/* SPDX-License-Identifier: Apache-2.0 */
/* stream - see stream.h for the contract, stream_internal.h for the inside. */
#include "proxy/net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/sockaddr_internal.h"
#include "proxy/net/stream_internal.h"

#define PEEK_MAX 16384

const char *stream_error_text(int error)
{
    const char *text = strerrordesc_np(error);

    return text != NULL ? text : "unknown system error";
}

/* ---- ends ---- */

void stream_end(struct stream *s, enum stream_end how, const char *detail)
{
    if (s->ended)
        return;
    s->ended = true;
    s->end = how;
    s->detail = detail;
    s->pending |= PENDING_ENDED;
    if (how == STREAM_ERROR || how == STREAM_TLS_ERROR) {
        if (how == STREAM_TLS_ERROR)
            stream_flush(s); /* our alert, as far as the kernel takes it */
        s->phase = STREAM_OVER;
    }
}

static void destroy(void *owner)
{
    struct stream *s = OBJ_CAST(stream, STREAM_MAGIC, owner);

    queue_clear(&s->in);
    queue_clear(&s->out);
    stream_settle(s);
    tls_wire_free(&s->tls);
    s->magic = 0;
    free(s);
}

/* From here on nothing reaches the owner; the memory goes when the stack is empty. */
static void cut(struct stream *s)
{
    if (s->dying)
        return;
    s->dying = true;
    loop_hook_remove(&s->hook);
    timer_end(&s->deadline);
    stream_watch_for(s, false, false);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    loop_defer(s->loop, destroy, s);
}

/* ---- delivery ---- */

static bool take(struct stream *s, enum stream_pending which)
{
    bool is = !s->dying && !s->finishing && (s->pending & which) != 0;

    if (is)
        s->pending &= ~(unsigned)which;
    return is;
}

/* Any of these calls may close the stream; take() then says false. */
static void deliver(struct stream *s)
{
    if (take(s, PENDING_CONNECTED))
        s->on->connected(s->owner);
    if (take(s, PENDING_CONNECT_FAILED))
        s->on->connect_failed(s->owner, s->connect_reason, s->detail);
    if (take(s, PENDING_TLS_DONE))
        s->on->tls_done(s->owner, &s->tls->facts);
    if (!s->paused && take(s, PENDING_READABLE) && s->in.n > 0)
        s->on->readable(s->owner);
    if (take(s, PENDING_DRAINED) && s->on->drained != NULL)
        s->on->drained(s->owner);
    if (take(s, PENDING_ENDED))
        s->on->ended(s->owner, s->end, s->detail);
}

/* Send, say good-bye, send FIN, then read to the end: closing with unread bytes would make the
 * kernel send a reset, which can take our last words away from the peer. */
static void finish_step(struct stream *s)
{
    bool speaking = s->phase == STREAM_CLEAR || s->phase == STREAM_TLS;

    if (speaking && !s->fin_sent) {
        stream_flush(s);
        if (s->tls != NULL && s->out.n == 0) {
            tls_wire_say_bye(s->tls);
            stream_flush(s);
        }
    }
    if (!speaking || s->write_error != 0 || s->socket_error != 0) {
        cut(s);
        return;
    }
    if (stream_unsent(s) > 0) {
        stream_watch_for(s, false, true);
        return;
    }
    if (!s->fin_sent) {
        s->fin_sent = true;
        if (shutdown(s->fd, SHUT_WR) != 0)
            s->socket_error = errno;
    }
    if (s->socket_eof || s->socket_error != 0)
        cut(s);
    else
        stream_watch_for(s, true, false);
}

static void work(void *owner)
{
    struct stream *s = OBJ_CAST(stream, STREAM_MAGIC, owner);

    s->work_queued = false;
    if (s->dying)
        return;
    if (s->finishing) {
        queue_clear(&s->in);
        finish_step(s);
        stream_settle(s);
        return;
    }
    stream_pump(s);
    deliver(s);
    if (s->dying)
        return;
    if (s->work_queued) /* once more in this turn: what was written just now goes out then */
        return;
    stream_settle(s);
    /* After the delivery: what was consumed there made room, and reading goes on without a system call. */
    if (!s->finishing)
        stream_watch(s);
}

void stream_queue_work(struct stream *s)
{
    if (s->work_queued || s->dying)
        return;
    s->work_queued = true;
    loop_defer(s->loop, work, s);
}

/* ---- the socket's events ---- */

static enum reason connect_reason(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return REASON_CONNECT_REFUSED;
    case ETIMEDOUT:
        return REASON_CONNECT_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
        return REASON_CONNECT_UNREACHABLE;
    default:
        return REASON_CONNECT_FAILED;
    }
}

static void connect_ended(struct stream *s, int error)
{
    if (error == 0) {
        s->phase = STREAM_CLEAR;
        s->pending |= PENDING_CONNECTED;
    } else {
        s->phase = STREAM_OVER;
        s->connect_reason = connect_reason(error);
        s->detail = stream_error_text(error);
        s->pending |= PENDING_CONNECT_FAILED;
    }
    stream_queue_work(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = OBJ_CAST(stream, STREAM_MAGIC, arg);
    struct loop *l = s->loop;

    (void)fd;
    (void)what;
    loop_enter(l);
    if (s->finishing)
        stream_discard_input(s);
    else
        stream_receive(s);
    stream_queue_work(s);
    loop_leave(l);
}

void stream_writable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = OBJ_CAST(stream, STREAM_MAGIC, arg);
    struct loop *l = s->loop;
    int error = 0;
    socklen_t n = sizeof(error);

    (void)what;
    loop_enter(l);
    if (s->phase == STREAM_CONNECTING) {
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
            error = errno;
        stream_watch_for(s, false, false);
        connect_ended(s, error);
    }
    stream_queue_work(s);
    loop_leave(l);
}

static void on_deadline(void *owner)
{
    struct stream *s = OBJ_CAST(stream, STREAM_MAGIC, owner);

    if (s->finishing)
        cut(s);
    else
        s->on->deadline(s->owner);
}

/* ---- making ---- */

static struct stream *new_stream(struct loop *l, int fd, const struct addr *peer,
                                 const struct stream_params *p, const struct stream_events *on,
                                 void *owner)
{
    struct stream *s = mem_zalloc(sizeof(*s));

    s->magic = STREAM_MAGIC;
    s->loop = l;
    s->fd = fd;
    s->peer = *peer;
    s->params = *p;
    s->on = on;
    s->owner = owner;
    s->detail = "";
    timer_init(&s->deadline, l, on_deadline, s);
    INVARIANT(
        event_assign(&s->read_event, loop_base(l), fd, EV_READ | EV_PERSIST, on_readable, s) == 0);
    return s;
}

struct stream *stream_adopt(struct loop *l, int fd, const struct addr *peer,
                            const struct stream_params *p, const struct stream_events *on,
                            void *owner)
{
    struct stream *s = new_stream(l, fd, peer, p, on, owner);

    s->phase = STREAM_CLEAR;
    stream_queue_work(s);
    return s;
}

struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_params *p,
                              const struct stream_events *on, void *owner)
{
    struct sockaddr_storage at;
    socklen_t n = sockaddr_from(to, &at);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;
    struct stream *s = new_stream(l, fd, to, p, on, owner);

    s->phase = STREAM_CONNECTING;
    if (error == 0) {
        sockaddr_options(fd);
        if (connect(fd, (const struct sockaddr *)&at, n) != 0)
            error = errno;
    }
    if (error == EINPROGRESS)
        stream_watch_for(s, false, true);
    else
        connect_ended(s, error);
    return s;
}

/* ---- calls of the owner ---- */

void stream_close(struct stream **stream)
{
    struct stream *s = *stream;

    *stream = NULL;
    if (s == NULL)
        return;
    if ((s->phase == STREAM_CLEAR || s->phase == STREAM_TLS) && !s->finishing) {
        stream_flush(s);
        /* Without all its bytes the conversation is cut, and under TLS the peer shall see that. */
        if (s->phase == STREAM_TLS && s->out.n == 0) {
            tls_wire_say_bye(s->tls);
            stream_flush(s);
        }
    }
    cut(s);
}

static void give_up(void *owner)
{
    cut(OBJ_CAST(stream, STREAM_MAGIC, owner));
}

void stream_finish(struct stream **stream, int64_t ms)
{
    struct stream *s = *stream;

    *stream = NULL;
    if (s == NULL)
        return;
    s->finishing = true;
    s->on = NULL;
    s->owner = NULL;
    timer_arm(&s->deadline, ms);
    s->hook.fn = give_up;
    s->hook.owner = s;
    loop_hook_add(s->loop, &s->hook);
    stream_queue_work(s);
}

struct slice stream_peek(struct stream *s)
{
    return slice_first(queue_slice(&s->in), PEEK_MAX);
}

void stream_consume(struct stream *s, size_t n)
{
    queue_drop(&s->in, n);
    if (n > 0 && !s->ended && (s->tls != NULL || !s->reading))
        stream_queue_work(s);
}

size_t stream_unread(const struct stream *s)
{
    return s->in.n;
}

void stream_write(struct stream *s, struct slice bytes)
{
    if (s->phase == STREAM_OVER || bytes.n == 0)
        return;
    if (s->phase == STREAM_TLS)
        stream_seal(s, &bytes);
    stream_queue_work(s); /* which also gives back what was borrowed, and tells of an end */
    if (s->phase == STREAM_OVER)
        return;
    if (bytes.n > 0)
        stream_add(s, bytes);
    s->above = s->above || stream_unsent(s) > s->params.write_low;
}

size_t stream_unsent(const struct stream *s)
{
    return s->out.n + stream_sealed(s);
}

void stream_write_low(struct stream *s, size_t n)
{
    s->params.write_low = n;
    s->above = s->above || stream_unsent(s) > n;
}

bool stream_heard_early(const struct stream *s)
{
    return s->heard_early;
}

void stream_pause(struct stream *s, bool pause)
{
    if (s->paused == pause)
        return;
    s->paused = pause;
    if (!pause && s->in.n > 0)
        s->pending |= PENDING_READABLE;
    stream_queue_work(s);
}

void stream_deadline(struct stream *s, int64_t ms)
{
    if (ms < 0)
        timer_disarm(&s->deadline);
    else
        timer_arm(&s->deadline, ms);
}

void stream_start_tls(struct stream *s, struct tls_context *c, const struct tls_request *req)
{
    char detail[TLS_DETAIL_MAX];

    INVARIANT(s->tls == NULL && s->phase != STREAM_CONNECTING);
    s->tls = tls_wire_new(c, req);
    if (s->in.n > 0) {
        (void)tls_explain_start(stream_peek(s), detail);
        tls_wire_fail(s->tls, REASON_STARTTLS_INJECTION, detail);
        queue_clear(&s->in);
    } else if (s->phase == STREAM_OVER) {
        tls_wire_fail(s->tls, REASON_TLS_RESET, s->detail);
    }
    /* What still waits goes out in clear, before the handshake. */
    queue_add(&s->tls->out, queue_slice(&s->out));
    queue_clear(&s->out);
    s->phase = STREAM_HANDSHAKE;
    s->ended = false; /* an end that was noticed just now is the handshake's */
    s->pending &= ~(unsigned)(PENDING_ENDED | PENDING_READABLE);
    stream_queue_work(s);
}

bool stream_is_tls(const struct stream *s)
{
    return s->phase == STREAM_TLS;
}

enum reason stream_end_reason(const struct stream *s)
{
    return s->ended && s->end == STREAM_TLS_ERROR ? s->tls->end_reason : REASON_LOST;
}

const struct addr *stream_peer(const struct stream *s)
{
    return &s->peer;
}

bool stream_local(const struct stream *s, struct addr *out)
{
    return s->fd >= 0 && sockaddr_local(s->fd, out);
}

size_t stream_footprint(const struct stream *s)
{
    return sizeof(*s) + stream_memory(s) + (s->tls != NULL ? sizeof(*s->tls) : 0);
}

size_t stream_memory(const struct stream *s)
{
    size_t n = queue_memory(&s->in) + queue_memory(&s->out);

    if (s->tls != NULL)
        n += queue_memory(&s->tls->in) + queue_memory(&s->tls->out);
    return n;
}
