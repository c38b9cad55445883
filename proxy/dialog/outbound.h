/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      outbound - the conversation with an MX as a pure machine (RFC 5321, RFC 3207, RFC 2920)
 *
 * SYNOPSIS
 *      for (;;) {
 *          enum outbound_event ev = outbound_feed(o, bytes, n, &used, &what);
 *          bytes += used, n -= used;
 *          ... act on ev; send outbound_output(o) and consume what was sent ...
 *          if (ev == OUTBOUND_NEED_INPUT) break;
 *      }
 *
 * DESCRIPTION
 *      Bytes of the MX go in with outbound_feed(), what to send gathers in outbound_output(),
 *      events tell the owner what happened. No socket, no clock, no TLS: the owner makes the
 *      handshake when asked and reports it. The phases are rows (OUTBOUND_PHASES): name, stage,
 *      the patience in force.
 *
 *      The machine opens by itself: greeting, EHLO (HELO after a 5xx only where no TLS is
 *      needed, C-OUT-03), STARTTLS where the 250 reply to EHLO offered it (at level none only
 *      where the demand needs TLS all the same), EHLO again inside TLS (C-TLS-03), READY. What is
 *      owed is read from demand.needs, never from the level's name. With NEED_REQUIRETLS the EHLO
 *      reply inside TLS must offer REQUIRETLS (requiretls-unmet), and MAIL carries it (RFC 8689).
 *      Then the owner sends MAIL, RCPT...,
 *      DATA, the body and its end; MAIL and RCPT are pipelined where offered, otherwise queued
 *      here and sent one at a time.
 *
 *      Nothing that MAIL needs is trusted to memory: outbound_mail() asks demand_met() for the
 *      TLS that was reached (C-CERT-06); if it does not hold, nothing is sent and the attempt
 *      fails (demand-unmet).
 *
 * WHICH REPLY ANSWERS WHAT
 *      Every command of the owner is answered by one OUTBOUND_REPLY, in order, with three
 *      exceptions:
 *      - MAIL is refused (its OUTBOUND_REPLY is no 2xx): the RCPTs of that transaction get no
 *        event. Those not yet sent never are, replies to those under way are dropped (phase
 *        REFUSED, then READY). The owner answers its recipients with the reply to MAIL and
 *        sends no more RCPT. If the MX goes away in REFUSED, that is OUTBOUND_FAILED as always:
 *        the owner, done already, ignores it.
 *      - A 421 to a command is that command's OUTBOUND_REPLY; the MX takes no other (phase
 *        GOODBYE). What is still open, and every command given then, ends with the
 *        OUTBOUND_FAILED (connection-lost, with the 421 again) that follows when the MX closes,
 *        says more, or PATIENCE_QUIT runs out.
 *      - OUTBOUND_FAILED ends everything that is open.
 *
 *      what->reply is as the MX said it, but for 552 to RCPT, which is 452 here (C-OUT-04); 421
 *      is left for the inbound edge to write as 451. To MAIL, RCPT and the end of data any 2xx
 *      is a yes and 3xx is a protocol error; to DATA only 354 is a yes, 2xx and other 3xx are
 *      protocol errors. Whatever fails in FINAL behind the dot (3xx and garbage too) is maybe-delivered; only an
 *      OUTBOUND_REPLY of 2xx says that it was.
 *
 *      A reply counts only for a command that the MX can have read (C-OUT-09). One whose first
 *      byte is fed while none is owed, or while the command still lies in outbound_output(), is
 *      unasked-reply, in any phase; what the owner sends after that first byte is not written
 *      any more (above all no final dot).  So is one in FINAL while the owner still holds bytes
 *      that it took from the output (outbound_unsent()): the dot has not left, whatever the MX
 *      says. A 421 that comes unasked from READY to DATA is the MX's good-bye (it waited too
 *      long): connection-lost, with that reply. Bytes behind the 220 to STARTTLS, or fed in
 *      HANDSHAKE, are starttls-injection (C-TLS-02).
 *
 *      DEAD (after OUTBOUND_FAILED or OUTBOUND_CLOSED): output is empty, input is swallowed, no
 *      event comes any more. In GOODBYE and DEAD every call but outbound_mail() and
 *      outbound_tls_up() is harmless.
 *
 * REUSE (C-OUT-08)
 *      Behind the final reply the machine is READY, and takes the next MAIL (RFC 5321 4.1.4).  A
 *      transaction that ends without data is ended by outbound_reset(): RSET goes out (behind the
 *      replies under way where PIPELINING is not offered; those replies pass by), and OUTBOUND_READY
 *      comes when the MX has said 250.  Any other answer is OUTBOUND_FAILED: connection-lost for 421,
 *      else protocol-error.  Before another recipient domain's MAIL the owner calls outbound_renew():
 *      the new demand is in force, and outbound_mail() holds the connection against it.
 *
 * DATA AHEAD (RFC 2920 3.1)
 *      outbound_data_ahead() says that DATA will follow the recipients given so far.  Where PIPELINING
 *      is offered, DATA leaves right behind the last RCPT, in one flight with MAIL, and is answered
 *      whatever became of the recipients.  Else it is sent when all are answered and one or more was
 *      accepted; if none was, nothing is sent, no event comes for it, and the phase is RECIPIENTS.
 *      Its answer is OUTBOUND_REPLY for OUTBOUND_DATA, after those to the RCPTs; the phase is DATA from
 *      the last of them on.  A 354 with no recipient accepted ends the machine (OUTBOUND_FAILED,
 *      protocol-error): no dot is ever sent then, so the MX has no message.  With MAIL refused the
 *      answer to DATA passes by like those to RCPT (phase REFUSED); it must be 4xx or 5xx, or that ends
 *      the machine too.  Until DATA is answered nothing may follow it, for the MX could take it for
 *      the message: no outbound_rcpt(), outbound_reset() or outbound_quit() (an owner in a hurry
 *      closes the connection).
 *
 * OWNERSHIP
 *      what->reply is never NULL; it and what->detail live until the next call.  The facts live as
 *      long as the machine.
 *
 * MEMORY
 *      Many connections wait at a time, so what is large is held only while it is filled: a machine
 *      that waits keeps its facts and some hundred bytes.
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
#define OUTBOUND_PHASES(X)                                                                     \
    X(BANNER, GREETING, PATIENCE_GREETING)                                                     \
    X(EHLO, EHLO, PATIENCE_EHLO)                                                               \
    X(HELO, EHLO, PATIENCE_EHLO)                                                               \
    X(STARTTLS, STARTTLS, PATIENCE_STARTTLS)                                                   \
    X(HANDSHAKE, HANDSHAKE, PATIENCE_HANDSHAKE) /* the owner's turn: outbound_tls_up() */      \
    X(EHLO_TLS, EHLO_TLS, PATIENCE_EHLO)                                                       \
    X(READY, MAIL, PATIENCE_NONE)      /* nothing is owed by the MX */                         \
    X(ENVELOPE, RCPT, PATIENCE_BUDGET) /* MAIL or RCPT unanswered */                           \
    X(REFUSED, MAIL, PATIENCE_BUDGET)  /* MAIL refused; replies to RCPTs under way pass by */  \
    X(RECIPIENTS, RCPT, PATIENCE_NONE) /* MAIL accepted, all RCPT answered, or DATA refused */ \
    X(DATA, DATA, PATIENCE_DATA)                                                               \
    X(BODY, BODY, PATIENCE_BLOCK) /* armed by the owner only while output waits */             \
    X(FINAL, FINAL, PATIENCE_FINAL)                                                            \
    X(RESET, MAIL, PATIENCE_QUIT)    /* RSET was given: READY again when it is answered */     \
    X(GOODBYE, FINAL, PATIENCE_QUIT) /* a command was answered with 421 */                     \
    X(QUIT, FINAL, PATIENCE_QUIT)                                                              \
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

struct outbound_params { /* copied, but *demand is lent for the machine's life */
    const char *helo_name;
    const struct demand *demand;
    bool plaintext; /* the second try of a `may` host (only there): do not ask for STARTTLS */
};

enum outbound_event {
    OUTBOUND_NEED_INPUT,
    OUTBOUND_START_TLS, /* 220 to STARTTLS came and nothing behind it: shake hands now */
    OUTBOUND_READY,     /* MAIL may be sent */
    OUTBOUND_REPLY,     /* to a command of the owner: what->command, what->index, what->reply */
    OUTBOUND_FAILED,    /* the attempt ended: what->stage, reason, reply (code 0: none), detail */
    OUTBOUND_CLOSED,    /* QUIT was answered, or the MX closed after it */
};

enum outbound_command {
    OUTBOUND_MAIL,
    OUTBOUND_RCPT, /* index: 0 for the first RCPT of the transaction, and so on */
    OUTBOUND_DATA,
    OUTBOUND_END, /* the final reply */
};

struct outbound_what {
    enum outbound_command command; /* OUTBOUND_REPLY only */
    unsigned index;
    const struct reply *reply;
    enum stage stage;
    enum reason reason; /* OUTBOUND_REPLY: ok, mx-replied, or size-exceeded (our own 552) */
    const char *detail; /* escaped, one line; "" if none */
};

struct outbound *outbound_new(const struct outbound_params *p);
void outbound_free(struct outbound **o);

enum outbound_event outbound_feed(struct outbound *o, const char *bytes, size_t n, size_t *used,
                                  struct outbound_what *what);
/* The connection ended or broke (`detail`: how, trusted text), or the patience of the phase ran
 * out. Both always end the machine: OUTBOUND_FAILED (reason connection-lost, timeout;
 * maybe-delivered in FINAL), or OUTBOUND_CLOSED in QUIT; in DEAD nothing (OUTBOUND_NEED_INPUT). */
enum outbound_event outbound_lost(struct outbound *o, const char *detail,
                                  struct outbound_what *what);
enum outbound_event outbound_timeout(struct outbound *o, struct outbound_what *what);

/* The handshake is done; `got` is what was reached (copied).  EHLO is sent again. */
void outbound_tls_up(struct outbound *o, const struct tls_reached *got);

/*
 * The envelope, in READY.  `path` without <>.  SIZE= and BODY= go out where offered (C-OUT-05),
 * REQUIRETLS where the demand needs it; params->requiretls without that need is demand-unmet. The
 * result is an event at once only where MAIL must not be sent: OUTBOUND_FAILED (demand-unmet, or
 * unasked-reply), or OUTBOUND_REPLY with our own 552 5.3.4 when the declared size is over the MX's
 * SIZE (the phase stays READY); OUTBOUND_NEED_INPUT otherwise.
 */
enum outbound_event outbound_mail(struct outbound *o, struct slice path,
                                  const struct mail_params *params, struct outbound_what *what);
void outbound_rcpt(struct outbound *o, struct slice path); /* in ENVELOPE or RECIPIENTS */
void outbound_data(struct outbound *o); /* only in RECIPIENTS with one or more accepted */
/* In ENVELOPE, behind the last outbound_rcpt(); in place of outbound_data(), see above. */
void outbound_data_ahead(struct outbound *o);
/*
 * In READY: `demand` (lent from now on) takes the place of the one before, and `got` (copied) what was
 * reached by its measure.  That there is TLS at all, and REQUIRETLS inside it, stays as it was seen
 * here.  The counts of the last mail are forgotten.  False: this connection does not meet it, MAIL
 * must not be sent (outbound_mail() would fail with demand-unmet).
 */
bool outbound_renew(struct outbound *o, const struct demand *demand, const struct tls_reached *got);
/* In READY, ENVELOPE, REFUSED, RECIPIENTS, and no DATA ahead is unanswered. */
void outbound_reset(struct outbound *o);
/* Content; dots are stuffed.  Keep outbound_output() below OUTBOUND_OUTPUT_HIGH: call it in pieces
 * of at most OUTBOUND_BODY_MAX bytes and only while output is below the mark. */
#define OUTBOUND_OUTPUT_HIGH 32768
#define OUTBOUND_BODY_MAX 16384
void outbound_body(struct outbound *o, struct slice content);
void outbound_end(struct outbound *o); /* the final dot */
/* In READY, ENVELOPE, REFUSED, RECIPIENTS, RESET, and no DATA ahead is unanswered. */
void outbound_quit(struct outbound *o);

struct buf *outbound_output(struct outbound *o);
/* Before outbound_feed(): whether bytes taken from the output had not been sent when these came. */
void outbound_unsent(struct outbound *o, bool some);
enum outbound_phase outbound_phase(const struct outbound *o);
const char *outbound_phase_name(enum outbound_phase p);
enum stage outbound_stage(const struct outbound *o); /* in GOODBYE, DEAD: the last one before */
enum outbound_patience outbound_patience(const struct outbound *o);

/* Facts for the record. */
struct outbound_facts {
    bool starttls_offered; /* before TLS */
    bool masked;           /* a middlebox's mark was seen */
    bool helo_only;
    bool starttls_refused; /* and the session goes on in clear, or failed: starttls_reply */
    bool body_undeclared;  /* 8BITMIME was asked for and not offered (C-OUT-05) */
    /* Replies with their code, escaped, lines joined by " / ", cut; "" before they came. */
    const char *greeting;
    const char *ehlo_reply;     /* the first one */
    const char *starttls_reply; /* a refusal */
    struct ehlo ehlo;           /* the offers in force now */
    uint64_t body_bytes;
};
const struct outbound_facts *outbound_facts(const struct outbound *o);
size_t outbound_memory(const struct outbound *o); /* bytes that it holds just now */

#endif
