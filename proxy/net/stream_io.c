/* SPDX-License-Identifier: Apache-2.0 */
/* stream_io - how a stream moves its bytes; see stream_internal.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proxy/net/stream_internal.h"

#define RECEIVE_CHUNK 16384
#define RECEIVE_BURST 4 /* chunks per turn of the loop, so that other streams get theirs */
#define SEND_PIECES 16

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t room(const struct evbuffer *b, size_t high)
{
    size_t n = evbuffer_get_length(b);

    return n < high ? high - n : 0;
}

/* What may still be read from the socket. */
static size_t receive_room(const struct stream *s)
{
    if (s->tls == NULL)
        return room(s->in, s->params.read_high);
    /* Records that cannot be opened yet stay with the kernel, and so with the peer. */
    if (s->phase == STREAM_TLS && room(s->in, s->params.read_high) == 0)
        return 0;
    return room(s->tls->in, TLS_WIRE_IN_HIGH);
}

void stream_receive(struct stream *s)
{
    struct evbuffer *into = s->tls != NULL ? s->tls->in : s->in;
    char chunk[RECEIVE_CHUNK];

    for (int i = 0; i < RECEIVE_BURST && !s->socket_eof && s->socket_error == 0; i++) {
        size_t want = min_size(receive_room(s), sizeof(chunk));
        ssize_t n;

        if (want == 0)
            return;
        n = recv(s->fd, chunk, want, 0);
        if (n > 0) {
            s->heard_early = stream_unsent(s) > 0;
            if (evbuffer_add(into, chunk, (size_t)n) != 0)
                s->socket_error = ENOMEM;
            else if (s->tls == NULL)
                s->pending |= PENDING_READABLE;
            if ((size_t)n < want)
                return;
        } else if (n == 0) {
            s->socket_eof = true;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR) {
            s->socket_error = errno;
        }
    }
}

void stream_discard_input(struct stream *s)
{
    char chunk[RECEIVE_CHUNK];
    ssize_t n = recv(s->fd, chunk, sizeof(chunk), 0);

    if (n == 0)
        s->socket_eof = true;
    else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        s->socket_error = errno;
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
    char chunk[TLS_CHUNK];
    size_t n, space;

    while (!s->ended && (space = room(s->in, s->params.read_high)) > 0) {
        switch (tls_wire_read(s->tls, chunk, min_size(space, sizeof(chunk)), &n)) {
        case TLS_DONE:
            if (evbuffer_add(s->in, chunk, n) != 0) {
                stream_end(s, STREAM_ERROR, stream_error_text(ENOMEM));
                return;
            }
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

static void encrypt(struct stream *s)
{
    size_t n;

    while (s->tls != NULL && s->phase == STREAM_TLS &&
           evbuffer_get_length(s->tls->out) < TLS_WIRE_OUT_HIGH) {
        size_t waiting = min_size(evbuffer_get_length(s->out), TLS_CHUNK);
        const void *bytes = waiting > 0 ? evbuffer_pullup(s->out, (ev_ssize_t)waiting) : NULL;

        if (bytes == NULL)
            return;
        switch (tls_wire_write(s->tls, bytes, waiting, &n)) {
        case TLS_DONE:
            (void)evbuffer_drain(s->out, n);
            break;
        case TLS_FAILED:
            stream_end(s, STREAM_TLS_ERROR, s->tls->end_detail);
            return;
        case TLS_MORE:
        case TLS_CLOSED:
            return;
        }
    }
}

/* False when the kernel takes nothing more. */
static bool send_some(struct stream *s, struct evbuffer *from)
{
    struct evbuffer_iovec pieces[SEND_PIECES];
    int count = evbuffer_peek(from, -1, NULL, pieces, SEND_PIECES);
    struct msghdr m = {.msg_iov = pieces};
    ssize_t n;

    m.msg_iovlen = (size_t)(count < SEND_PIECES ? count : SEND_PIECES);
    n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
    if (n >= 0) {
        (void)evbuffer_drain(from, (size_t)n);
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        s->write_error = errno;
    return false;
}

void stream_flush(struct stream *s)
{
    struct evbuffer *from = s->tls != NULL ? s->tls->out : s->out;

    do
        encrypt(s);
    while (s->write_error == 0 && evbuffer_get_length(from) > 0 && send_some(s, from));
}

bool stream_is_heard(struct stream *s)
{
    int error = 0;
    socklen_t n = sizeof(error);

    stream_flush(s);
    /* Reading the error takes it away; whoever reads or writes next must find it too. */
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0)
        s->write_error = error;
    if (s->write_error != 0)
        stream_queue_work(s);
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

static void watch_one(struct stream *s, struct event *event, bool want, bool *is)
{
    if (want == *is)
        return;
    *is = want;
    if (!want) {
        (void)event_del(event);
    } else if (event_add(event, NULL) != 0) { /* no more room in the kernel's epoll tables */
        *is = false;
        s->socket_error = errno != 0 ? errno : ENOMEM;
        stream_queue_work(s);
    }
}

void stream_watch(struct stream *s, bool read, bool write)
{
    watch_one(s, s->read_event, read, &s->reading);
    watch_one(s, s->write_event, write, &s->writing);
}

static void watch(struct stream *s)
{
    struct evbuffer *from = s->tls != NULL ? s->tls->out : s->out;
    bool open = s->phase != STREAM_OVER;
    bool hearing = s->phase == STREAM_HANDSHAKE || (!s->paused && !s->ended);

    stream_watch(s,
                 open && hearing && !s->socket_eof && s->socket_error == 0 && receive_room(s) > 0,
                 open && evbuffer_get_length(from) > 0);
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
    watch(s);
}
