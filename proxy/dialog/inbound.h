/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      inbound - the conversation with the client as a pure machine (RFC 5321, RFC 2033, RFC 8689,
 *      RFC 9422, PRDR, XFORWARD)
 *
 * SYNOPSIS
 *      for (;;) {
 *          enum inbound_event ev = inbound_feed(in, bytes, n, &used, &what);
 *          bytes += used, n -= used;
 *          ... send inbound_output(in) ...
 *          if (ev is INBOUND_NEED_INPUT, INBOUND_WAIT or INBOUND_CLOSE) break;
 *      }
 *
 * DESCRIPTION
 *      Bytes of the client go in, events for the owner come out, replies gather in
 *      inbound_output().  No socket, no clock.  EHLO, HELO, LHLO, RSET, NOOP, QUIT, VRFY, HELP,
 *      XFORWARD and all errors of order and syntax are answered here (C-IN-01..07); MAIL, RCPT,
 *      DATA and the end of the message are events that the owner answers with inbound_answer(), at
 *      once or later.
 *
 *      Pipelining: up to INBOUND_RCPT_AHEAD RCPT commands may be waiting for their answers, which
 *      the owner may give in any order; the replies leave in the order of the commands (C-IN-03).
 *      Every other command waits until all answers are there (inbound_feed() then says
 *      INBOUND_WAIT and uses nothing).
 *
 *      The end of a transaction is seen by the owner exactly once: as INBOUND_RESET (the client
 *      gave up, quit, made too many errors, or DATA found only refused recipients), by its own
 *      refusal of MAIL or DATA, or by its answer to the end of data.
 *
 *      A command line ends at CRLF and nowhere else (RFC 5321 2.3.8): a bare CR or LF is a byte of
 *      the line, and there a control byte (500 or 501).  Clients that end lines with a bare LF are
 *      not served: to guess where their lines end is to let a message smuggle commands.
 *
 *      DATA behind only refused recipients is 554 5.5.1 (in LMTP 503 5.5.1, RFC 2033 4.2) and ends
 *      the transaction (C-IN-03).
 *      Behind any refused DATA a client may have sent its message along unasked; it is recognised
 *      by the first line that follows: anything that does not look like a command of the table.
 *      Then all to the end of data is dropped, and that end is answered 554 5.5.1; in LMTP once for
 *      each recipient that was accepted, which may be none.  So a body is never taken for commands.
 *      For the same reason the chunk behind a (refused) BDAT is dropped.
 *
 *      Errors are those of syntax and order; refused recipients are none.  Behind `errors_max` of
 *      them without a delivered message the next one is answered 421 4.7.0, and INBOUND_CLOSE
 *      follows.
 *
 * OWNERSHIP
 *      Slices of an event live until the next call of inbound_feed().
 */
#ifndef TLSMEND_DIALOG_INBOUND_H
#define TLSMEND_DIALOG_INBOUND_H

#include "proxy/smtp/client_kind.h"
#include "proxy/smtp/command.h"
#include "proxy/smtp/data.h"
#include "proxy/smtp/reply.h"

struct inbound;

#define INBOUND_RCPT_AHEAD 100

/*
 * Towards clients we are "tlsmend.<helo_name>": the host's own name is the legacy MTA's too, and Sendmail (and
 * Postfix on port 25) take a server that bears their own name for a loop and bounce the mail.
 */
#define INBOUND_NAME_PREFIX "tlsmend."

struct inbound_params {    /* copied */
    const char *helo_name; /* our own name towards clients: with INBOUND_NAME_PREFIX */
    size_t line_max, auth_line_max;
    unsigned recipients_max; /* of a transaction: so many that are not refused, so many that are */
    unsigned errors_max;
    uint64_t message_size; /* SIZE offered; 0: "SIZE" without limit */
    enum data_mode data_mode;
    bool lmtp;       /* LHLO in place of EHLO and HELO, one final reply per accepted recipient */
    bool requiretls; /* offer REQUIRETLS (RFC 8689) and take it with MAIL, behind EHLO only */
};

enum inbound_event {
    INBOUND_NEED_INPUT, /* all bytes used */
    INBOUND_WAIT,       /* nothing more is read before an answer that the owner owes is there, or
                           before INBOUND_OUTPUT_HIGH or more of output was sent */
    INBOUND_MAIL,       /* a transaction begins; answer it (a 2xx keeps it) */
    INBOUND_RCPT,       /* answer it, in any order, with its slot */
    INBOUND_DATA,       /* answer 354, or a refusal: the transaction is over then */
    INBOUND_BODY,       /* content, transparency removed */
    INBOUND_BODY_BAD,   /* once: bare CR, LF or NUL under DATA_REJECT, or more than message_size
                           (what->too_big); drop the legs without the dot.  No more INBOUND_BODY
                           follows; INBOUND_BODY_END still does */
    INBOUND_BODY_END,   /* answer with the final reply, or with each (inbound_answers_each());
                           the transaction is over then */
    INBOUND_RESET,      /* the transaction is over (see above); already answered */
    INBOUND_CLOSE, /* send the output, then close (QUIT, or too many errors); nothing follows */
};

struct inbound_what {
    unsigned slot;             /* MAIL, RCPT, DATA, BODY_END: for inbound_answer() */
    struct mailbox mailbox;    /* MAIL, RCPT */
    struct mail_params params; /* MAIL */
    struct slice content;      /* BODY */
    bool too_big;              /* BODY_BAD */
};

struct inbound *inbound_new(const struct inbound_params *p);
void inbound_free(struct inbound **in);

/* The greeting "220 <helo_name> ESMTP tlsmend" (LMTP in LMTP); once, first. */
void inbound_greet(struct inbound *in);

enum inbound_event inbound_feed(struct inbound *in, const char *bytes, size_t n, size_t *used,
                                struct inbound_what *what);

/*
 * Is the next command of the open transaction DATA, and all of it here?  `unread`: the bytes of the
 * client that inbound_feed() has not used.  To be asked behind INBOUND_RCPT: a client that sent DATA
 * along waits for nothing before it, so it may leave for the MX in the same flight (RFC 2920 3.1).
 * False says nothing: the rest of the line may come later.
 */
bool inbound_data_follows(const struct inbound *in, struct slice unread);

/*
 * The answer to an event.  421 is sent as 451 (design section 7), and so is a code that fits
 * nothing here (1yz, 3yz but 354 to DATA); a reply to RCPT of 2xx counts the recipient as accepted.
 * Where many long replies wait, only their first lines are kept.
 */
void inbound_answer(struct inbound *in, unsigned slot, const struct reply *r);
/*
 * Does the client get a final reply for each accepted recipient: in LMTP (RFC 2033 4.2), and with
 * PRDR in force where more than one was accepted?  Then behind INBOUND_BODY_END each is given with
 * inbound_answer_each(), once, in any order (index 0 is the first accepted RCPT command; codes as in
 * inbound_answer()); they leave in order, as soon as there is no gap, behind "353" with PRDR.  When
 * all are given, inbound_answer() ends the transaction: with PRDR it is the reply for the whole
 * message, in LMTP it is not written.  If none was given, inbound_answer() is the answer for each
 * too; to call it when only some were given is a mistake that ends the program.
 *
 * A PRDR client (Exim) takes an overall 4yz also for those who heard 2yz, and an overall 5yz for
 * all.  Where a recipient heard something milder than that, 250 is written instead.
 */
bool inbound_answers_each(const struct inbound *in);
void inbound_answer_each(struct inbound *in, unsigned index, const struct reply *r);

/* Replies to send; the owner consumes them (buf_consume, buf_reset).  inbound_feed() reads no more
 * while INBOUND_OUTPUT_HIGH or more is here; where the owner moves output elsewhere, it stops
 * feeding by the same mark.  At most some 230 KiB gather, and 506 bytes per recipient with LMTP and
 * PRDR; the same again may wait for a recipient that comes before them. */
#define INBOUND_OUTPUT_HIGH 32768
struct buf *inbound_output(struct inbound *in);

/* Shutdown: true (and 421 4.3.2 written) when no transaction is open; close then. */
bool inbound_shutdown(struct inbound *in);
/* The client was idle too long: 421 4.4.2 is written; close then. */
void inbound_idle(struct inbound *in);

bool inbound_in_transaction(const struct inbound *in);
bool inbound_owes_answer(const struct inbound *in); /* the client may wait: its silence is ours */
bool inbound_in_body(const struct inbound *in);     /* between 354 and the end of data */
bool inbound_esmtp(const struct inbound *in);       /* EHLO or LHLO was said, not HELO */
const char *inbound_helo(const struct inbound *in); /* escaped already; "" before */
enum client_kind inbound_client_kind(const struct inbound *in); /* by the commands so far */
const struct xforward *inbound_xforward(const struct inbound *in);
size_t inbound_memory(const struct inbound *in); /* bytes that it holds just now */

#endif
