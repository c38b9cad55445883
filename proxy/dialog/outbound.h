/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      outbound - the conversation with an MX as a pure machine (RFC 5321, RFC 3207, RFC 2920)
 *
 * DESCRIPTION
 *      Bytes of the MX go in with outbound_feed(), what to send gathers in outbound_output(), events tell
 *      the owner what happened.  No socket, no clock, no TLS: the owner makes the handshake when asked
 *      and reports it.  The phases are rows (OUTBOUND_PHASES): name, stage, the patience that is in force.
 *
 *      The machine opens by itself: greeting, EHLO (HELO after a 5xx only at none/may, C-OUT-03), STARTTLS
 *      where the demand's level asks for it, EHLO again inside TLS (C-TLS-03), READY.  Then the owner
 *      sends MAIL, RCPT..., DATA, the body and its end; MAIL and RCPT are pipelined where offered,
 *      otherwise queued here and sent one at a time.  Every command is answered by one OUTBOUND_REPLY.
 *
 *      Nothing that MAIL needs is trusted to memory: outbound_mail() asks demand_met() for the TLS that was
 *      reached (C-CERT-06); if it does not hold, nothing is sent and the attempt fails (demand-unmet).
 *
 *      A reply counts only for the command it answers (C-OUT-09): a reply that comes when none is owed, in any
 *      phase, is OUTBOUND_FAILED unasked-reply; a 421 that comes unasked is the MX's good-bye: failed with
 *      that reply.  Bytes behind the 220 to STARTTLS are starttls-injection (C-TLS-02).
 *
 *      After OUTBOUND_FAILED the machine is dead: it takes and gives nothing more.
 *
 * OWNERSHIP
 *      what->reply lives until the next call.
 */
#ifndef TLSMEND_DIALOG_OUTBOUND_H
#define TLSMEND_DIALOG_OUTBOUND_H

#include "proxy/policy/demand.h"
#include "proxy/policy/reason.h"
#include "proxy/smtp/command.h"
#include "proxy/smtp/data.h"
#include "proxy/smtp/ehlo.h"

struct outbound;

/*    phase      stage      patience of timeouts.* that the owner arms while in it */
#define OUTBOUND_PHASES(X)                                                                         \
    X(BANNER, GREETING, PATIENCE_GREETING)                                                          \
    X(EHLO, EHLO, PATIENCE_EHLO)                                                                    \
    X(HELO, EHLO, PATIENCE_EHLO)                                                                    \
    X(STARTTLS, STARTTLS, PATIENCE_STARTTLS)                                                        \
    X(HANDSHAKE, HANDSHAKE, PATIENCE_HANDSHAKE) /* the owner's turn: outbound_tls_up() */            \
    X(EHLO_TLS, EHLO_TLS, PATIENCE_EHLO)                                                            \
    X(READY, MAIL, PATIENCE_NONE)            /* nothing is owed by the MX */                        \
    X(ENVELOPE, RCPT, PATIENCE_BUDGET)       /* MAIL or RCPT unanswered */                          \
    X(RECIPIENTS, RCPT, PATIENCE_NONE)       /* MAIL accepted, all RCPT answered */                 \
    X(DATA, DATA, PATIENCE_DATA)                                                                    \
    X(BODY, BODY, PATIENCE_BLOCK)            /* armed by the owner only while output waits */       \
    X(FINAL, FINAL, PATIENCE_FINAL)                                                                 \
    X(QUIT, FINAL, PATIENCE_QUIT)                                                                   \
    X(DEAD, FINAL, PATIENCE_NONE)

enum outbound_patience {
    PATIENCE_NONE,
    PATIENCE_GREETING,
    PATIENCE_EHLO,
    PATIENCE_STARTTLS,
    PATIENCE_HANDSHAKE,
    PATIENCE_BUDGET,
    PATIENCE_DATA,
    PATIENCE_BLOCK,
    PATIENCE_FINAL,
    PATIENCE_QUIT,
};

enum outbound_phase {
#define X(id, stage, patience) OUTBOUND_PHASE_##id,
    OUTBOUND_PHASES(X)
#undef X
};

struct outbound_params {     /* copied, but *demand is lent for the machine's life */
    const char *helo_name;
    const struct demand *demand;
    bool plaintext;          /* the second try of a `may` host: do not ask for STARTTLS */
};

enum outbound_event {
    OUTBOUND_NEED_INPUT,
    OUTBOUND_START_TLS,      /* 220 to STARTTLS came and nothing behind it: shake hands now */
    OUTBOUND_READY,          /* MAIL may be sent */
    OUTBOUND_REPLY,          /* to a command of the owner: what->command, what->index, what->reply */
    OUTBOUND_FAILED,         /* the attempt ended: what->stage, reason, reply (code 0: none), detail */
    OUTBOUND_CLOSED,         /* QUIT was answered, or the MX closed after it */
};

enum outbound_command {
    OUTBOUND_MAIL,
    OUTBOUND_RCPT,           /* index: 0 for the first RCPT of the transaction, and so on */
    OUTBOUND_DATA,
    OUTBOUND_END,            /* the final reply */
};

struct outbound_what {
    enum outbound_command command;
    unsigned index;
    const struct reply *reply;
    enum stage stage;
    enum reason reason;
    const char *detail;      /* escaped, one line; "" if none */
};

struct outbound *outbound_new(const struct outbound_params *p);
void outbound_free(struct outbound **o);

enum outbound_event outbound_feed(struct outbound *o, const char *bytes, size_t n, size_t *used,
                                  struct outbound_what *what);
/* The connection ended or broke, or the patience of the phase ran out.  Both always end the machine:
 * OUTBOUND_FAILED (reason connection-lost, timeout; maybe-delivered in FINAL), or OUTBOUND_CLOSED in QUIT. */
enum outbound_event outbound_lost(struct outbound *o, const char *detail,
                                  struct outbound_what *what);
enum outbound_event outbound_timeout(struct outbound *o, struct outbound_what *what);

/* The handshake is done; `got` is what was reached (copied).  EHLO is sent again. */
void outbound_tls_up(struct outbound *o, const struct tls_reached *got);

/*
 * The envelope.  `path` without <>.  SIZE= and BODY= go out where offered (C-OUT-05).  The result is an
 * event at once only where MAIL must not be sent: OUTBOUND_FAILED (demand-unmet), or OUTBOUND_REPLY with
 * our own 552 5.3.4 when the declared size is over the MX's SIZE; OUTBOUND_NEED_INPUT otherwise.
 */
enum outbound_event outbound_mail(struct outbound *o, struct slice path,
                                  const struct mail_params *params, struct outbound_what *what);
void outbound_rcpt(struct outbound *o, struct slice path);
void outbound_data(struct outbound *o);  /* only in RECIPIENTS with one or more accepted */
/* Content; dots are stuffed.  Keep outbound_output() below OUTBOUND_OUTPUT_HIGH: call it in pieces of at
 * most OUTBOUND_BODY_MAX bytes and only while output is below the mark. */
#define OUTBOUND_OUTPUT_HIGH 32768
#define OUTBOUND_BODY_MAX 16384
void outbound_body(struct outbound *o, struct slice content);
void outbound_end(struct outbound *o);   /* the final dot */
void outbound_quit(struct outbound *o);  /* in READY, RECIPIENTS, or when the final reply came */

struct buf *outbound_output(struct outbound *o);
enum outbound_phase outbound_phase(const struct outbound *o);
const char *outbound_phase_name(enum outbound_phase p);
enum stage outbound_stage(const struct outbound *o);
enum outbound_patience outbound_patience(const struct outbound *o);

/* Facts for the record. */
struct outbound_facts {
    bool starttls_offered;        /* before TLS */
    bool masked;                  /* a middlebox's mark was seen */
    bool helo_only;
    bool body_undeclared;         /* 8BITMIME was asked for and not offered (C-OUT-05) */
    char greeting[256];           /* escaped, cut */
    char ehlo_reply[512];         /* first EHLO reply, escaped, lines joined by " / ", cut */
    struct ehlo ehlo;             /* the offers in force now */
    uint64_t body_bytes;
};
const struct outbound_facts *outbound_facts(const struct outbound *o);

#endif
