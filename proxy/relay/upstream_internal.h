/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by upstream.c (the owner's calls, telling, pumping) and upstream_io.c (stream events,
 * deadlines, the handshake). */
#ifndef TLSMEND_RELAY_UPSTREAM_INTERNAL_H
#define TLSMEND_RELAY_UPSTREAM_INTERNAL_H

#include "proxy/net/stream.h"
#include "proxy/relay/upstream.h"

#define UPSTREAM_MAGIC 0x75707374u

struct upstream {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot; /* held: timeouts and trust */
    const struct destination *dest;
    const struct destination_host *host;
    const struct envelope *envelope;
    struct stream *stream;
    struct outbound *out;
    struct upstream_events on;
    void *owner;
    struct attempt attempt;
    struct tls_facts tls; /* a shallow copy: the judgement stays with the stream */
    char tls_version[16];
    mono_ms deadline, opened, connected, phase_since, mail_sent, data_sent, end_sent;
    enum outbound_patience armed;
    struct demand demand; /* a copy: the machine outlives the destination while it says QUIT */
    enum tls_rung rung;
    bool lower_left;
    size_t write_high;
    int64_t written, sent_when_armed;
    bool pumping;
    bool dead;                     /* failed was told */
    bool finishing;                /* QUIT in the background: no owner any more */
    struct upstream *next, **link; /* in services->leaving while finishing */

    /* An event that a call caused; told from the loop. */
    bool late;
    enum outbound_event late_event;
    enum outbound_command late_command;
    struct reply late_reply;
    enum stage late_stage;
    enum reason late_reason;
    char late_detail[320];
};

/* upstream.c */
void upstream_pump(struct upstream *u);
void upstream_take_event(struct upstream *u, enum outbound_event ev,
                         const struct outbound_what *what);
void upstream_tell_failed(struct upstream *u, enum stage stage, enum reason reason,
                          const struct reply *reply, const char *detail);
void upstream_left(struct upstream *u); /* QUIT is over, one way or another */

/* upstream_io.c */
extern const struct stream_events upstream_stream_events;
void upstream_start_tls(struct upstream *u);
/* Arm the deadline of the phase we are in, counted from when it was entered: no traffic of the peer
 * moves it (C-OUT-10), only our own progress while we send does (`fresh`). */
void upstream_arm(struct upstream *u, bool fresh);
int64_t upstream_since(const struct upstream *u, mono_ms then);

#endif
