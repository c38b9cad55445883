/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      attempt - the record of trying one MX address: one session, one log line (C-OPS-04)
 *
 * DESCRIPTION
 *      Gathers facts while an upstream lives; attempt_log() turns them into the "attempt" record
 *      of docs/log.md, exactly once.  result_log() makes the "result" record of one recipient.
 */
#ifndef TLSMEND_RELAY_ATTEMPT_H
#define TLSMEND_RELAY_ATTEMPT_H

#include "proxy/dialog/outbound.h"
#include "proxy/net/tls.h"
#include "proxy/relay/destination.h"
#include "proxy/relay/envelope.h"
#include "proxy/store/log.h"

struct attempt {
    const struct envelope *envelope; /* lent */
    const struct destination *dest;  /* lent */
    const struct destination_host *host;
    struct addr addr;
    char leg_id[LEG_ID_MAX], id[ATTEMPT_ID_MAX];
    enum tls_rung rung;
    bool retest;           /* one rung higher than is known to work */
    bool downgraded;       /* in clear since no handshake can be made (level may) */
    enum reason why_clear; /* with that: what the handshake failed with (tls-protocol: long ago) */
    bool handshake;        /* one was tried: `tls` holds its facts */
    bool reused;           /* the connection waited in the pool ... */
    const char *opener;    /* ... since this attempt made it; lent by the upstream */
    unsigned mail;         /* ... and this is its so-manieth mail */
    const struct tls_facts *tls;       /* lent by the upstream */
    const struct outbound_facts *smtp; /* lent by the upstream; NULL before the connection */

    /* How it ended.  A stage is where it ended; FINAL with reason OK is a delivery. */
    enum stage stage;
    enum reason reason;
    char detail[320];
    struct reply reply;  /* the MX's last word about it; code 0: none */
    const char *outcome; /* "delivered", "refused", "failed", "abandoned" */

    /* Milliseconds; -1: not come so far. */
    int64_t t_dns; /* this mail waited so long for its destination */
    int64_t t_connect, t_greeting, t_tls, t_mail, t_data, t_final;
};

void attempt_init(struct attempt *a);
void attempt_clear(struct attempt *a);
/* "TLSv1.3", or "clear" when MAIL went out without TLS; "" where it did not come so far. */
const char *attempt_tls_name(const struct attempt *a);
void attempt_log(struct log *log, const struct attempt *a);
/* In observe mode: what enforcing would have made of this host; OK: nothing, or not known. */
enum reason attempt_would_defer(const struct attempt *a);
/* The record "skip": a host that policy forbids to try. */
void skip_log(struct log *log, const struct envelope *e, const char *leg_id,
              const struct destination *d, const struct destination_host *h);

enum result_status {
    RESULT_DELIVERED,
    RESULT_DEFERRED,
    RESULT_REJECTED,
    RESULT_MAYBE_DELIVERED,
    RESULT_ABORTED, /* the client gave up after the recipient was accepted */
};

struct result {
    const struct envelope *envelope;
    const char *leg_id;
    const char *recipient; /* path */
    const char *domain;
    enum result_status status;
    enum reason reason;        /* OK for a delivery, mx-replied for the MX's own refusal */
    enum reason would_defer;   /* OK: nothing, or no observe mode */
    const struct reply *reply; /* what became of it; NULL: nothing is known */
    int told;                  /* another code that the client heard in the end; 0: that one */
    bool in_ledger;            /* the ledger was given an entry for it */
    const char *mx;            /* "" if none decided */
    const char *address;
    const char *tls;    /* "TLSv1.3", "clear", "" */
    const char *demand; /* level, "" if unknown */
    int64_t delay_ms;   /* from RCPT to the answer that decided */
};
void result_log(struct log *log, const struct result *r);
/* By code and reason. */
enum result_status result_status_of(enum reason reason, int code);

#endif
