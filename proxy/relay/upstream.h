/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      upstream - one connection to one MX address: the I/O shell around dialog/outbound
 *
 * DESCRIPTION
 *      An upstream outlives the mail that it was opened for (C-OUT-08): upstream_finish() leaves it to the
 *      pool where another mail may use it, upstream_take() finds one there.  Connects, feeds the machine, makes the TLS handshake when the machine asks for it, keeps
 *      the deadlines, gathers the facts of the attempt.  It decides nothing: what a failure means
 *      is the leg's business (policy/verdict).  Calls go down, events come up; an event never
 *      comes inside a call. After `failed` the upstream is dead: the owner closes it.
 *
 *      Exactly one attempt record is logged for each mail that it was used for: when it is closed or
 *      finished (C-OPS-04); none when it is discarded.
 */
#ifndef TLSMEND_RELAY_UPSTREAM_H
#define TLSMEND_RELAY_UPSTREAM_H

#include "proxy/dialog/outbound.h"
#include "proxy/relay/attempt.h"
#include "proxy/relay/destination.h"
#include "proxy/relay/envelope.h"
#include "proxy/relay/services.h"

struct upstream;

struct upstream_params { /* read during upstream_open(); what it points to is lent */
    struct services *services;
    const struct destination *dest; /* must outlive the upstream */
    const struct mx_target *target;
    const struct envelope *envelope; /* must outlive the upstream */
    const char *leg_id;
    unsigned number;    /* of the attempt, for its id */
    enum tls_rung rung; /* RUNG_CLEAR: the try in clear */
    bool retest;        /* one rung higher than is known to work */
    bool lower_left;    /* a lower rung is there: no long patience with the handshake */
    enum reason
        why_clear;    /* with RUNG_CLEAR: what the handshake failed with; OK: it was remembered */
    mono_ms deadline; /* the recipient's budget ends then */
    int64_t dns_ms;   /* what the destination took to find */
};

struct upstream_failure {
    enum stage stage;
    enum reason reason;
    const struct reply *reply; /* code 0: none */
    const char *detail;
};

struct upstream_events {
    void (*ready)(void *owner);
    void (*replied)(void *owner, enum outbound_command command, unsigned index,
                    const struct reply *reply);
    void (*failed)(void *owner, const struct upstream_failure *f);
    void (*room)(void *owner); /* there is room again, if there was none */
};

struct upstream *upstream_open(const struct upstream_params *p, const struct upstream_events *on,
                               void *owner);
/* A connection that waits for a mail and was verified at least as strongly as this host's demand asks; `ready` comes
 * from the loop.  NULL: none. */
struct upstream *upstream_take(const struct upstream_params *p, const struct upstream_events *on,
                               void *owner);
bool upstream_reused(const struct upstream *u);
/* It waited in the pool, and the MX has answered nothing since. */
bool upstream_is_stale(const struct upstream *u);
void upstream_mail(struct upstream *u); /* the envelope's sender */
void upstream_rcpt(struct upstream *u, struct slice path);
void upstream_share(struct upstream *u, size_t parts); /* of limits.memory_per_transfer */
void upstream_data(struct upstream *u);
void upstream_data_ahead(struct upstream *u); /* in its place, behind the last upstream_rcpt() */
void upstream_body(struct upstream *u,
                   struct slice content); /* any size; look at the room before */
void upstream_end(struct upstream *u);
bool upstream_has_room(const struct upstream *u);
/* A new recipient waits: its budget is the later one. */
void upstream_budget(struct upstream *u, mono_ms deadline);

/* The facts so far; the owner may set stage, reason, outcome, detail and reply before it leaves. */
struct attempt *upstream_attempt(struct upstream *u);
enum stage upstream_stage(const struct upstream *u); /* where it stands now */

/* Log the attempt; in the background it goes to the pool (behind RSET, where a transaction is open), or says
 * QUIT and closes.  The envelope and destination are not used after. */
void upstream_finish(struct upstream **u);
/* It died while it waited: no attempt, no record. */
void upstream_discard(struct upstream **u);
/* For pool_new(). */
struct pool_entry;
void upstream_leave_pool(struct pool_entry *e);
size_t upstreams_memory(const struct services *sv); /* bytes, of all of them */
/* The worker ends: cut those that are still saying RSET or QUIT. */
void upstream_cut_leaving(struct services *sv);
/* Log the attempt and cut the connection now: no QUIT, no final dot. */
void upstream_close(struct upstream **u);

#endif
