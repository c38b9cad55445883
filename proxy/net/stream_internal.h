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

#include <event2/buffer.h>

#include "proxy/net/loop_internal.h"
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

    struct event *read_event, *write_event;
    bool reading, writing;     /* the events are added */
    struct timer *deadline;    /* made when first armed */
    struct evbuffer *in, *out; /* clear bytes; under TLS the records are in tls->in and tls->out */
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
    struct timer *patience;
    struct loop_hook hook;
};

/* stream.c */
void stream_queue_work(struct stream *s);
void stream_end(struct stream *s, enum stream_end how, const char *detail);
const char *stream_error_text(int error);

/* stream_io.c */
void stream_pump(struct stream *s);    /* move bytes as far as they go, then watch the socket */
void stream_flush(struct stream *s);   /* the sending half of it */
void stream_receive(struct stream *s); /* after the socket became readable */
void stream_discard_input(struct stream *s); /* the same while finishing */
void stream_watch(struct stream *s, bool read, bool write);

#endif
