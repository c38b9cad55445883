/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      stream_internal - the inside of a stream, shared by stream.c (life and calls) and stream_io.c (bytes)
 *
 * DESCRIPTION
 *      All work is done in work(), which the loop calls when the stack is empty: the calls of the
 *      owner and the events of the socket only change the state and queue it.  So bytes written
 *      in several calls leave together, and no event is ever delivered inside a call.
 */
#ifndef TLSMEND_NET_STREAM_INTERNAL_H
#define TLSMEND_NET_STREAM_INTERNAL_H

#include "proxy/net/loop_internal.h"
#include "proxy/net/queue_internal.h"
#include "proxy/net/stream.h"
#include "proxy/net/tls_internal.h"

#define STREAM_MAGIC 0x5354524du

enum stream_phase {
    STREAM_CONNECTING,
    STREAM_CLEAR,
    STREAM_HANDSHAKE,
    STREAM_TLS,
    STREAM_OVER, /* nothing is read or written any more */
};

/* Events that wait for delivery, in this order. */
enum stream_pending {
    PENDING_CONNECTED = 1,
    PENDING_CONNECT_FAILED = 2,
    PENDING_TLS_DONE = 4,
    PENDING_READABLE = 8,
    PENDING_DRAINED = 16,
    PENDING_ENDED = 32,
};

struct stream {
    uint32_t magic;
    struct loop *loop;
    int fd;
    struct addr peer;
    struct stream_params params;
    const struct stream_events *on;
    void *owner;
    enum stream_phase phase;

    struct event read_event;
    struct event *write_event; /* only while the kernel takes no more: that is rare */
    bool reading;              /* read_event is added */
    struct timer deadline;     /* finishing: when to give up */
    struct queue in, out;      /* clear bytes; under TLS the records are in tls->in and tls->out */
    struct tls_wire *tls;      /* NULL in clear */

    bool paused;
    bool heard_early; /* see stream.h */
    bool above;       /* more than write_low was unsent */
    bool socket_eof;
    int socket_error; /* of reading */
    int write_error;
    enum reason connect_reason;
    bool ended; /* no byte will be read any more */
    enum stream_end end;
    const char *detail; /* static, or of tls */
    unsigned pending;
    bool work_queued;
    bool dying;

    bool finishing; /* without an owner: see stream_finish() */
    bool fin_sent;
    struct loop_hook hook;
};

/* stream.c */
void stream_writable(evutil_socket_t fd, short what, void *stream); /* of write_event */
void stream_queue_work(struct stream *s);
void stream_end(struct stream *s, enum stream_end how, const char *detail);
const char *stream_error_text(int error);

/* stream_io.c */
void stream_pump(struct stream *s);                      /* move bytes as far as they go */
void stream_flush(struct stream *s);                     /* the sending half of it */
void stream_receive(struct stream *s);                   /* after the socket became readable */
void stream_discard_input(struct stream *s);             /* the same while finishing */
void stream_add(struct stream *s, struct slice bytes);   /* to `out` */
void stream_seal(struct stream *s, struct slice *bytes); /* whole records out of what is written */
void stream_settle(struct stream *s); /* the turn is over: what is left gets memory of its own */
void stream_watch(struct stream *s);  /* the socket, for what can be done now */
void stream_watch_for(struct stream *s, bool read, bool write);
size_t stream_sealed(const struct stream *s); /* bytes of records that wait */

#endif
