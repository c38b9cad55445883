/* SPDX-License-Identifier: Apache-2.0 */
/* stream_io - how a stream moves its bytes; see stream_internal.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/base/invariant.h"
#include "proxy/net/stream_internal.h"

/* No record is made behind so much of them: four leave together, and they fit into LOOP_SCRATCH. */
#define SEALED_HIGH (52 * 1024)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t room(size_t n, size_t high)
{
    return n < high ? high - n : 0;
}

size_t stream_sealed(const struct stream *s)
{
    return s->tls != NULL ? s->tls->out.n : 0;
}

/* What may still be read from the socket. */
static size_t receive_room(const struct stream *s)
{
    if (s->tls == NULL)
        return room(s->in.n, s->params.read_high);
    /* Records that cannot be opened yet stay with the kernel, and so with the peer. */
    if (s->phase == STREAM_TLS && room(s->in.n, s->params.read_high) == 0)
        return 0;
    return room(s->tls->in.n, TLS_WIRE_IN_HIGH);
}

/* ---- memory ---- */

/* The loop's memory, where some is free: bytes that go on in this turn need none of ours.  Whoever borrows outside
 * of work() queues it: at its end everything is given back. */
static void borrow(struct stream *s, struct queue *q)
{
    char *shared;

    if (q->lent != NULL || q->n >= LOOP_SCRATCH / 2)
        return;
    shared = loop_borrow(s->loop);
    if (shared != NULL)
        queue_lend(q, shared, LOOP_SCRATCH);
}

static void settle(struct stream *s, struct queue *q)
{
    char *shared = queue_own(q);

    if (shared != NULL)
        loop_give_back(s->loop, shared);
}

void stream_settle(struct stream *s)
{
    settle(s, &s->in);
    settle(s, &s->out);
    if (s->tls != NULL) {
        settle(s, &s->tls->in);
        settle(s, &s->tls->out);
    }
}

/* Room behind the unread bytes, at most `want`: *got. */
static char *room_to_read(struct stream *s, size_t want, size_t *got)
{
    borrow(s, &s->in);
    *got = min_size(want, s->in.lent != NULL ? LOOP_SCRATCH / 2 : TLS_CHUNK);
    return queue_room(&s->in, *got);
}

/* ---- reading ---- */

static void received(struct stream *s, ssize_t n)
{
    if (n > 0)
        s->heard_early = stream_unsent(s) > 0;
    else if (n == 0)
        s->socket_eof = true;
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        s->socket_error = errno;
}

static void receive_clear(struct stream *s, size_t want)
{
    char *into = room_to_read(s, want, &want);
    ssize_t n = recv(s->fd, into, want, 0);

    received(s, n);
    queue_filled(&s->in, n > 0 ? (size_t)n : 0);
    if (n > 0)
        s->pending |= PENDING_READABLE;
}

static void receive_records(struct stream *s, size_t want)
{
    char *into;
    ssize_t n;

    borrow(s, &s->tls->in);
    into = queue_room(&s->tls->in, want);
    n = recv(s->fd, into, want, 0);
    received(s, n);
    queue_filled(&s->tls->in, n > 0 ? (size_t)n : 0);
}

/* Once in a turn: what is left makes the socket readable again, behind the others that are. */
void stream_receive(struct stream *s)
{
    size_t want = receive_room(s);

    if (want == 0 || s->socket_eof || s->socket_error != 0)
        return;
    if (s->tls == NULL)
        receive_clear(s, want);
    else
        receive_records(s, want);
}

void stream_discard_input(struct stream *s)
{
    char chunk[TLS_CHUNK];

    received(s, recv(s->fd, chunk, sizeof(chunk), 0));
}

/* The socket has nothing more, and nothing of what came is left to be opened. */
static void end_with_socket(struct stream *s)
{
    if (s->socket_error != 0)
        stream_end(s, STREAM_ERROR, stream_error_text(s->socket_error));
    else if (s->socket_eof && s->tls != NULL)
        stream_end(s, STREAM_CUT, "closed without close_notify");
    else if (s->socket_eof)
        stream_end(s, STREAM_CLOSED, "");
}

static void decrypt(struct stream *s)
{
    size_t n, space;

    while (!s->ended && (space = room(s->in.n, s->params.read_high)) > 0) {
        char *into = room_to_read(s, min_size(space, TLS_CHUNK), &space);
        enum tls_step step = tls_wire_read(s->tls, into, space, &n);

        queue_filled(&s->in, step == TLS_DONE ? n : 0);
        switch (step) {
        case TLS_DONE:
            s->pending |= PENDING_READABLE;
            break;
        case TLS_MORE: /* also after a session ticket: no byte, so no event (C-OUT-10) */
            end_with_socket(s);
            return;
        case TLS_CLOSED:
            stream_end(s, STREAM_CLOSED, "");
            return;
        case TLS_FAILED:
            stream_end(s, STREAM_TLS_ERROR, s->tls->end_detail);
            return;
        }
    }
}

static void handshake(struct stream *s)
{
    enum tls_step step = tls_wire_handshake(s->tls);

    if (step == TLS_MORE) {
        if (s->socket_error != 0)
            tls_wire_fail(s->tls, REASON_TLS_RESET, stream_error_text(s->socket_error));
        else if (s->socket_eof)
            tls_wire_fail(s->tls, REASON_TLS_RESET, "the server closed the connection");
        else
            return;
        step = TLS_FAILED;
    }
    s->pending |= PENDING_TLS_DONE;
    s->phase = step == TLS_DONE ? STREAM_TLS : STREAM_OVER;
    if (step != TLS_DONE)
        stream_flush(s); /* the alert, as far as the kernel takes it */
}

/* ---- writing ---- */

/* One record of at most TLS_CHUNK bytes; how many it took, 0 for an end. */
static size_t seal_one(struct stream *s, struct slice bytes)
{
    size_t n = 0;

    bytes = slice_first(bytes, TLS_CHUNK);
    switch (tls_wire_write(s->tls, bytes.p, bytes.n, &n)) {
    case TLS_DONE:
        return n;
    case TLS_FAILED:
        stream_end(s, STREAM_TLS_ERROR, s->tls->end_detail);
        return 0;
    case TLS_MORE:
    case TLS_CLOSED:
        break;
    }
    return 0;
}

static bool may_seal(const struct stream *s)
{
    return s->phase == STREAM_TLS && stream_sealed(s) < SEALED_HIGH;
}

void stream_add(struct stream *s, struct slice bytes)
{
    borrow(s, &s->out);
    queue_add(&s->out, bytes);
}

/* Full records are made at once, from the writer's memory; the rest waits in `out` for what may follow it in this
 * turn. */
void stream_seal(struct stream *s, struct slice *bytes)
{
    while (may_seal(s) && s->out.n + bytes->n >= TLS_CHUNK) {
        size_t n;

        borrow(s, &s->tls->out);
        if (s->out.n > 0 && s->out.n < TLS_CHUNK) {
            struct slice missing = slice_first(*bytes, TLS_CHUNK - s->out.n);

            stream_add(s, missing);
            *bytes = slice_from(*bytes, missing.n);
        }
        n = seal_one(s, s->out.n > 0 ? queue_slice(&s->out) : *bytes);
        if (n == 0)
            return;
        if (s->out.n > 0)
            queue_drop(&s->out, n);
        else
            *bytes = slice_from(*bytes, n);
    }
}

static void encrypt(struct stream *s)
{
    size_t n = 1;

    while (n > 0 && may_seal(s) && s->out.n > 0) {
        borrow(s, &s->tls->out);
        n = seal_one(s, queue_slice(&s->out));
        queue_drop(&s->out, n);
    }
}

/* The FIN follows at once, and the last words travel with it: one packet, one wake-up of the peer. */
static int send_flags(const struct stream *s)
{
    return s->finishing ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
}

/* Bytes that the kernel is to take next. */
static struct queue *to_send(struct stream *s)
{
    return s->tls != NULL ? &s->tls->out : &s->out;
}

void stream_flush(struct stream *s)
{
    struct queue *q = to_send(s);

    for (;;) {
        struct slice all;
        ssize_t n;

        encrypt(s);
        all = queue_slice(q);
        if (all.n == 0 || s->write_error != 0)
            return;
        n = send(s->fd, all.p, all.n, send_flags(s));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            s->write_error = errno;
        if (n > 0)
            queue_drop(q, (size_t)n);
        if (n < 0 || (size_t)n < all.n) /* the kernel is full */
            return;
    }
}

bool stream_is_heard(struct stream *s)
{
    int error = 0;
    socklen_t n = sizeof(error);

    stream_flush(s);
    stream_queue_work(s); /* to give back what was borrowed, and to tell of an error */
    /* Reading the error takes it away; whoever reads or writes next must find it too. */
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0)
        s->write_error = error;
    return s->write_error == 0 && s->socket_error == 0;
}

/* The peer takes nothing more.  What it said before is read as far as there is room for it: a
 * good-bye with its reason, or an alert, often came before the reset. */
static void writing_broke(struct stream *s)
{
    stream_receive(s);
    if (s->phase == STREAM_HANDSHAKE)
        handshake(s);
    if (s->phase == STREAM_TLS)
        decrypt(s);
    if (s->phase == STREAM_HANDSHAKE) {
        tls_wire_fail(s->tls, REASON_TLS_RESET, stream_error_text(s->write_error));
        s->pending |= PENDING_TLS_DONE;
    } else if (s->phase != STREAM_OVER) {
        end_with_socket(s);
        stream_end(s, STREAM_ERROR, stream_error_text(s->write_error));
    }
    s->phase = STREAM_OVER;
}

/* No more room in the kernel's epoll tables. */
static void cannot_watch(struct stream *s)
{
    s->socket_error = errno != 0 ? errno : ENOMEM;
    stream_queue_work(s);
}

static void watch_reading(struct stream *s, bool want)
{
    if (want == s->reading)
        return;
    s->reading = want && event_add(&s->read_event, NULL) == 0;
    if (!want)
        (void)event_del(&s->read_event);
    else if (!s->reading)
        cannot_watch(s);
}

static void watch_writing(struct stream *s, bool want)
{
    if (want == (s->write_event != NULL))
        return;
    if (!want) {
        event_free(s->write_event);
        s->write_event = NULL;
        return;
    }
    s->write_event =
        event_new(loop_base(s->loop), s->fd, EV_WRITE | EV_PERSIST, stream_writable, s);
    INVARIANT(s->write_event != NULL); /* as mem_zalloc(): no memory for bookkeeping */
    if (event_add(s->write_event, NULL) != 0) {
        event_free(s->write_event);
        s->write_event = NULL;
        cannot_watch(s);
    }
}

void stream_watch_for(struct stream *s, bool read, bool write)
{
    watch_reading(s, read);
    watch_writing(s, write);
}

void stream_watch(struct stream *s)
{
    bool open = s->phase != STREAM_OVER;
    bool hearing = s->phase == STREAM_HANDSHAKE || (!s->paused && !s->ended);

    if (s->phase == STREAM_CONNECTING)
        return;
    stream_watch_for(
        s, open && hearing && !s->socket_eof && s->socket_error == 0 && receive_room(s) > 0,
        open && to_send(s)->n > 0);
}

void stream_pump(struct stream *s)
{
    if (s->phase == STREAM_CONNECTING)
        return;
    if (s->phase == STREAM_HANDSHAKE)
        handshake(s);
    if (s->phase == STREAM_TLS && !s->paused)
        decrypt(s);
    if (s->phase == STREAM_CLEAR)
        end_with_socket(s);
    if (s->phase != STREAM_OVER)
        stream_flush(s);
    if (s->write_error != 0 && s->phase != STREAM_OVER)
        writing_broke(s);
    if (s->above && s->phase != STREAM_OVER && stream_unsent(s) <= s->params.write_low) {
        s->above = false;
        s->pending |= PENDING_DRAINED;
    }
}
