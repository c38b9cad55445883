/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ladder - the rungs of a handshake retry, and what is remembered of an address (C-TLS-06)
 *
 * DESCRIPTION
 *      Full hello, compact hello, TLS 1.2 only; below them, at level may only, clear text.  A rung is
 *      left for the next one only when the handshake itself failed (stalled, reset, alert, garbage), never
 *      after a judgement about the certificate.  Each rung is a new connection.
 *      What worked is remembered for the address, with an end; halfway to it one attempt (and no
 *      other until its result is known) tries one rung higher ("half-open").  Pure: time is
 *      handed in; proxy/store/rungs.h keeps the table.
 */
#ifndef TLSMEND_POLICY_LADDER_H
#define TLSMEND_POLICY_LADDER_H

#include "proxy/base/instant.h"

enum tls_rung { RUNG_FULL, RUNG_COMPACT, RUNG_TLS12, RUNG_CLEAR, RUNG_COUNT };

const char *tls_rung_name(enum tls_rung r); /* "full", "compact", "tls1.2", "clear" */

struct ladder_memory {  /* of one address; all zero: nothing is remembered */
    enum tls_rung rung; /* the highest that worked */
    wall_ms learned, until;
    unsigned times;       /* retests upward that failed in a row: each doubles the span, up to
                       LADDER_SPAN_MAX times the first one */
    wall_ms retest_since; /* an attempt is trying one rung higher; 0: none */
};

struct ladder_choice {
    enum tls_rung rung;
    bool retest; /* this attempt is the half-open one */
};

#define LADDER_SPAN_MAX 8
/* A retest that never told its result is forgotten after this time. */
#define LADDER_RETEST_MS (10 * 60 * 1000LL)

/*
 * The rung to begin with.  may_clear: level may, RUNG_CLEAR is allowed; where it is not, an address that
 * is known for clear text begins at RUNG_FULL, and its memory stays.  From `until` on nothing is
 * remembered.  A clock that went back makes nothing last longer than it would have: the span counts
 * from `now`.
 */
struct ladder_choice ladder_begin(struct ladder_memory *m, bool may_clear, wall_ms now);
/* The next lower rung.  False: there is none.  tls12_allowed: min_version is not 1.3. */
bool ladder_next(enum tls_rung from, bool may_clear, bool tls12_allowed, enum tls_rung *out);
/*
 * A handshake was made (or, for RUNG_CLEAR, mail was accepted in clear) at `rung`.  `fell`: higher
 * rungs failed in this very sequence; without that a lower rung is no news.  RUNG_FULL: there is
 * nothing to remember.  The rung that is known already worked again: its end stays, so that the retest
 * comes.  ttl: the span to remember (ms); 0: nothing is remembered.
 */
void ladder_worked(struct ladder_memory *m, enum tls_rung rung, bool fell, int64_t ttl,
                   wall_ms now);
/* The half-open attempt failed at its rung: the known one stays, for a longer span. */
void ladder_retest_failed(struct ladder_memory *m, int64_t ttl, wall_ms now);
/* C-TLS-11: the MX demanded TLS of a session in clear: nothing is known any more. */
void ladder_forget(struct ladder_memory *m);

#endif
