/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by upstream.c (making, taking, leaving), upstream_mail.c (the owner's calls, what it is told)
 * and upstream_io.c (stream events, deadlines, the handshake). */
#ifndef TLSMEND_RELAY_UPSTREAM_INTERNAL_H
#define TLSMEND_RELAY_UPSTREAM_INTERNAL_H

#include "proxy/net/stream.h"
#include "proxy/relay/pool.h"
#include "proxy/relay/upstream.h"

#define UPSTREAM_MAGIC 0x75707374u

enum upstream_state {
    UPSTREAM_USED,      /* it has an owner */
    UPSTREAM_RESETTING, /* the MX owes replies, to RSET the last: then it waits for the next mail */
    UPSTREAM_WAITING,   /* in the pool */
    UPSTREAM_LEAVING,   /* QUIT was sent */
    UPSTREAM_GONE,      /* only its memory is left */
};

/* What is told from the loop, since it must not come inside the call that caused it. */
enum upstream_late { LATE_NOTHING, LATE_EVENT, LATE_READY, LATE_FULL };

struct upstream {
    uint32_t magic;
    enum upstream_state state;
    struct services *services;
    struct snapshot *snapshot; /* held: timeouts and trust */
    struct stream *stream;     /* NULL: there was no room for one */
    struct outbound *out;
    const struct tls_facts *tls; /* lent by the stream; before the handshake: that there is none */
    enum tls_rung rung;
    mono_ms opened, connected; /* connected 0: not yet */
    wall_ms shaken;            /* when TLS was there */
    enum outbound_patience armed;
    mono_ms phase_since;
    int64_t written, sent_when_armed;
    size_t write_high;
    bool pumping;
    bool dead; /* failed was told, or nobody is there to be told */

    LIST_ENTRY(upstream) all; /* in services->upstreams */
    struct pool_entry place;  /* counted in the pool from upstream_open() on */
    struct pool_key key;
    unsigned mails;                /* MAIL commands so far */
    unsigned refusals;             /* replies of 4xx and 5xx so far */
    char opener[ATTEMPT_ID_MAX];   /* the attempt that made the connection */
    struct upstream *next, **link; /* in services->leaving while RESETTING or LEAVING */

    /* Of the present mail. */
    const struct destination *dest; /* lent, as are host and envelope */
    const struct destination_host *host;
    const struct envelope *envelope;
    struct demand demand; /* a copy: the machine outlives the destination */
    struct upstream_events on;
    void *owner;
    struct attempt attempt;
    bool lower_left;
    bool heard;    /* the MX has answered something: a warm connection lives */
    bool accepted; /* a recipient */
    mono_ms deadline, mail_sent, data_sent, end_sent;

    enum upstream_late late;
    enum outbound_event late_event;
    enum outbound_command late_command;
    struct reply late_reply;
    enum stage late_stage;
    enum reason late_reason;
    char *late_detail;
};

/* upstream.c */
/* Nobody owns it and the MX has ended it, or its time is over. */
void upstream_left(struct upstream *u);
/* A reply has come that it waited for: RSET is next, or the pool. */
void upstream_rested(struct upstream *u);

/* upstream_mail.c */
void upstream_flush(struct upstream *u);
void upstream_pump(struct upstream *u);
void upstream_take_event(struct upstream *u, enum outbound_event ev,
                         const struct outbound_what *what);
void upstream_tell_failed(struct upstream *u, enum stage stage, enum reason reason,
                          const struct reply *reply, const char *detail);
void upstream_tell_later(struct upstream *u, enum upstream_late what);

/* upstream_io.c */
extern const struct stream_events upstream_stream_events;
void upstream_start_tls(struct upstream *u);
/* Arm the deadline of the phase we are in, counted from when it was entered: no traffic of the peer
 * moves it (C-OUT-10), only our own progress while we send does (`fresh`). */
void upstream_arm(struct upstream *u, bool fresh);
int64_t upstream_since(const struct upstream *u, mono_ms then);

#endif
