/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      stream - one TCP connection in the loop, in clear or under TLS
 *
 * DESCRIPTION
 *      Carries bytes with back-pressure and deadlines, knows nothing of SMTP.  TLS runs inside the loop by a
 *      custom BIO over the connection's queues.  Parameters in, events out; an event is never
 *      delivered inside the call that causes it, and none after stream_close().
 *
 *      Reading stops by itself when `read_high` bytes are unread, and with stream_pause().  A socket is read once
 *      in a turn of the loop, at most 36 KiB, into memory that all streams share: what the owner consumes in
 *      `readable` costs no memory, and an idle stream holds none.
 *      Writing is buffered; stream_unsent() tells how much waits; `drained` comes when it falls to or below
 *      `write_low` after having been above.  What is written in one turn leaves together; under TLS in full
 *      records, but the last.
 *      The deadline is one per stream: armed with stream_deadline(), it fires once as `deadline`.  A peer that only
 *      writes and never reads cannot keep it from firing (C-OUT-10): no traffic re-arms it.
 *
 *      After stream_start_tls() the first byte of the peer must open a TLS record; if not, the
 *      handshake fails with starttls-injection when it looks like text (C-TLS-02), tls-garbage else.
 */
#ifndef TLSMEND_NET_STREAM_H
#define TLSMEND_NET_STREAM_H

#include "proxy/base/addr.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls.h"

struct stream;

enum stream_end {
    STREAM_CLOSED,    /* orderly: FIN in clear, close_notify under TLS */
    STREAM_CUT,       /* FIN without close_notify under TLS */
    STREAM_ERROR,     /* reset or another system error: detail */
    STREAM_TLS_ERROR, /* bad record and the like after the handshake: detail */
};

struct stream_events {
    void (*connected)(void *owner); /* stream_connect() only */
    void (*connect_failed)(void *owner, enum reason why, const char *detail);
    void (*readable)(void *owner); /* stream_peek() has new bytes */
    void (*drained)(void *owner);
    void (*tls_done)(void *owner, const struct tls_facts *facts); /* good or bad */
    void (*ended)(void *owner, enum stream_end how,
                  const char *detail); /* unread bytes stay readable;
                                                       comes after the last `readable` */
    void (*deadline)(void *owner);
};

struct stream_params {
    size_t read_high; /* e.g. 32 KiB */
    size_t write_low;
};

/* A connected socket, non-blocking, with the options of its listening socket. */
struct stream *stream_adopt(struct loop *l, int fd, const struct addr *peer,
                            const struct stream_params *p, const struct stream_events *on,
                            void *owner);
/* Never NULL: trouble comes as connect_failed. */
struct stream *stream_connect(struct loop *l, const struct addr *to, const struct stream_params *p,
                              const struct stream_events *on, void *owner);
void stream_close(
    struct stream **s); /* at once; unsent bytes are given to the kernel as far as it takes
                                         them; NULL is fine */
/* Send what waits, then close_notify and FIN, then free; gives up after `ms`.  No more events. */
void stream_finish(struct stream **s, int64_t ms);

struct slice stream_peek(struct stream *s); /* unread bytes, contiguous, at most 16 KiB at once */
void stream_consume(struct stream *s, size_t n);
size_t stream_unread(const struct stream *s);
void stream_write(struct stream *s, struct slice bytes);
size_t stream_unsent(const struct stream *s);
/* Sends what the kernel takes.  False: the peer's socket is known to be closed.  A peer on the same host
 * shows it at once, another one after a round trip. */
bool stream_is_heard(struct stream *s);
void stream_write_low(struct stream *s, size_t n); /* in place of params.write_low from now on */
/* Bytes waited to be sent when the last ones were read from the socket: those cannot be the answer to
 * the end of what waited. */
bool stream_heard_early(const struct stream *s);
void stream_pause(struct stream *s, bool pause);    /* stop / resume reading from the socket */
void stream_deadline(struct stream *s, int64_t ms); /* < 0: none */

/* Unread clear bytes are the caller's to have refused before (starttls-injection). */
void stream_start_tls(struct stream *s, struct tls_context *c, const struct tls_request *req);
bool stream_is_tls(const struct stream *s);
/* Behind `ended` with STREAM_TLS_ERROR: the reason (in TLS 1.3 the demand for a client certificate comes
 * only then); REASON_LOST for every other end. */
enum reason stream_end_reason(const struct stream *s);
const struct addr *stream_peer(const struct stream *s);
bool stream_local(const struct stream *s, struct addr *out);
/* Bytes of memory that the stream's buffers hold just now. */
size_t stream_memory(const struct stream *s);
/* With its structures; what the TLS library has for the connection it does not tell. */
size_t stream_footprint(const struct stream *s);

#endif
