/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      verdict - what a failure means: the one table
 *
 * DESCRIPTION
 *      (stage, outcome, level, accepted) -> next step.  First fitting row wins; the last row fits
 *      everything and is the safe one (defer).  docs/policy.md has the same table, compared by a
 *      test.  Also decides which of several failed attempts the client hears about (C-OUT-11).
 *      Pure.
 */
#ifndef TLSMEND_POLICY_VERDICT_H
#define TLSMEND_POLICY_VERDICT_H

#include "proxy/policy/demand.h"
#include "proxy/policy/reason.h"

enum outcome {
    OUTCOME_OK, /* 2xx, or 3xx where due */
    OUTCOME_421,
    OUTCOME_4XX,
    OUTCOME_5XX,
    OUTCOME_LOST, /* connection closed or reset */
    OUTCOME_TIMEOUT,
    OUTCOME_PROTOCOL, /* no reply by the grammar, or one that nobody asked for */
    OUTCOME_BAD_TLS,  /* handshake failed (not the certificate's judgement) */
    OUTCOME_BAD_CERT,
    OUTCOME_NO_TLS, /* STARTTLS not offered, refused or masked */
    OUTCOME_ATTACK, /* starttls-injection */
    OUTCOME_LOOP,   /* the MX is ourselves */
    OUTCOME_COUNT
};

enum verdict_step {
    VERDICT_GO_ON,
    VERDICT_NEXT_HOST, /* next address, then next MX, in the same transaction */
    VERDICT_LOWER_RUNG, /* the same address again, one rung lower (ladder_next()); where there is none,
                           VERDICT_PLAINTEXT at may, else VERDICT_NEXT_HOST */
    VERDICT_PLAINTEXT, /* the same address again without TLS, logged as `downgraded` (only at may) */
    VERDICT_PASS_THROUGH, /* the MX's own reply goes to the client */
    VERDICT_DEFER,        /* 451 made from the reason */
    VERDICT_REJECT,       /* the reason's own 5xx */
};

const char *outcome_name(enum outcome o);
const char *verdict_step_name(enum verdict_step s);

enum outcome outcome_of_reply(int code); /* 2xx/3xx OK, 421, 4xx, 5xx */
/* reply_code: of the MX's reply that the reason comes from, 0 if there was none.
 * REASON_STARTTLS_REFUSED with 221 or 421 is the end of the connection, with any other code it is
 * NO_TLS. */
enum outcome outcome_of_reason(enum reason r, int reply_code);

struct verdict {
    enum verdict_step step;
    const char *why;
};

/* accepted: an MX has accepted a recipient in this transaction already.  After VERDICT_NEXT_HOST
 * with no host left, the failure that failure_replaces() kept is the answer. */
struct verdict verdict_decide(enum stage stage, enum outcome outcome, enum tls_level level,
                              bool accepted);

/* For tests and docs: the row that decides, and the rows as text (a line of a Markdown table),
 * NULL past the end. */
size_t verdict_row(enum stage stage, enum outcome outcome, enum tls_level level, bool accepted);
const char *verdict_row_text(size_t index, char *out, size_t size);

/*
 * Several hosts failed before the mail was taken: does the new failure replace the one kept so far
 * as the client's answer?  A temporary one wins over a permanent one (another attempt may
 * succeed), the later one in time (further along the dialogue) over the earlier, and loop only
 * stands if all are loops.
 */
struct failure {
    enum reason reason;
    enum stage stage;
    int code; /* of the reply that the client would get: refusal_code(), or the reason's own */
};

/*
 * The code that the client hears for a refusal of the session before MAIL (mx-refused).  Where it
 * is the MX's own code, the MX's reply goes to the client; 421 becomes 451 (design section 7).  A
 * 5xx stays final only as greeting, or as answer to EHLO or HELO where no TLS is owed (C-OUT-12),
 * and then only if every host tried said 5xx: failure_replaces() sees to that.
 */
int refusal_code(enum stage stage, int reply_code, enum tls_level level);

/* `kept` with reason OK: none yet. */
bool failure_replaces(const struct failure *kept, const struct failure *latest);

/* C-TLS-11: a late TLS refusal ("530 5.7.0 Must issue a STARTTLS command first", "454 4.7.0 TLS
 * ...", "550 5.7.x ... TLS ..."): code, enhanced code and words are looked at.  To be asked about
 * replies to MAIL and RCPT of a session in clear. */
bool reply_is_tls_refusal(const struct reply *r);

#endif
