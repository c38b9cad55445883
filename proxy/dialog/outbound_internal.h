/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      outbound_internal - what the files of the outbound machine share
 *
 * DESCRIPTION
 *      outbound.c feeds and ends the machine, outbound_open.c decides from the greeting to READY,
 *      outbound_mail.c from MAIL to QUIT.  outbound_enter() alone assigns the phase and sends what
 *      belongs to it; the *_on_* functions of the two others decide.
 */
#ifndef TLSMEND_DIALOG_OUTBOUND_INTERNAL_H
#define TLSMEND_DIALOG_OUTBOUND_INTERNAL_H

#include "proxy/base/buf.h"
#include "proxy/dialog/outbound.h"

#define OUTBOUND_HEARD_MAX 80
#define OUTBOUND_FACT_MAX 255 /* of greeting and starttls_reply */
#define OUTBOUND_EHLO_MAX 511 /* of ehlo_reply */
#define OUTBOUND_DETAIL_MAX 767
/* A buffer that has grown larger than this is given back when it is empty. */
#define OUTBOUND_KEEP 256

struct outbound {
    char *helo_name;
    const struct demand *demand;
    bool plaintext;

    enum outbound_phase phase;
    enum stage died_at;         /* GOODBYE, DEAD: the last stage before */
    struct tls_reached reached; /* nothing until outbound_tls_up();
                                   requiretls only by the EHLO inside TLS */

    struct reply_parser parser;
    struct reply reply;             /* being heard, or the last one */
    bool hearing;                   /* in the middle of a reply */
    bool unasked;                   /* ... that answers nothing: write nothing more */
    char heard[OUTBOUND_HEARD_MAX]; /* its first bytes, for the record of garbage */
    size_t heard_n;

    struct buf output;
    bool unsent; /* the owner holds bytes taken from output */

    /*
     * Command 0 of a transaction is MAIL, command k is RCPT k-1; the last of all may be RSET.
     * answered <= asked <= wanted.  DATA is not counted in `wanted`; where it was put into output
     * ahead, `asked` is one more than `wanted`.
     */
    unsigned wanted; /* taken from the owner */
    unsigned asked;  /* put into output */
    unsigned answered;
    unsigned accepted;  /* RCPTs with a 2xx */
    bool data_ahead;    /* outbound_data_ahead() was called, and DATA is not answered */
    struct buf waiting; /* lines wanted and not asked: an MX without PIPELINING */

    struct data_encoder encoder;
    struct outbound_facts facts; /* its texts are ours */
    char *detail;                /* of the last event that had one; NULL: none yet */
};

extern const struct reply outbound_no_reply; /* code 0 */

void outbound_enter(struct outbound *o, enum outbound_phase to);
/* No envelope byte in clear: the needs say so, whatever the level is called (C-TLS-04). */
bool outbound_owes_tls(const struct outbound *o);
/* GOODBYE or DEAD: the MX takes no command any more. */
bool outbound_is_over(const struct outbound *o);

/* Ends the machine: event OUTBOUND_FAILED.  `reply` NULL: none; `detail` is copied, and cut. */
enum outbound_event outbound_fail(struct outbound *o, enum reason reason, const struct reply *reply,
                                  const char *detail, struct outbound_what *what);
/* The same; `detail` is given away. */
enum outbound_event outbound_fail_text(struct outbound *o, enum reason reason,
                                       const struct reply *reply, char *detail,
                                       struct outbound_what *what);
/* The same for a reply whose words are all there is to say. */
enum outbound_event outbound_fail_words(struct outbound *o, enum reason reason,
                                        struct outbound_what *what);

/* RFC 3207 6, CVE-2011-0411: bytes behind the 220 are not read as if TLS protected them (C-TLS-02).
 */
enum outbound_event outbound_fail_injection(struct outbound *o, struct outbound_what *what);

/* A command, or a part of one, goes out; nothing is written once something unasked was heard. */
void outbound_put(struct outbound *o, struct slice command);

/* Code and text on one line, lines joined by " / ", escaped, cut to `max`.  free() it. */
char *outbound_words(const struct reply *r, size_t max);
/* The large buffers that are empty go back. */
void outbound_trim(struct outbound *o);

/* A complete reply came in a phase before READY; `more`: bytes are behind it. */
enum outbound_event outbound_on_opening(struct outbound *o, bool more, struct outbound_what *what);
/* ... in a phase of the transaction, or to QUIT. */
enum outbound_event outbound_on_envelope(struct outbound *o, struct outbound_what *what);
enum outbound_event outbound_on_refused(struct outbound *o, struct outbound_what *what);
enum outbound_event outbound_on_data(struct outbound *o, struct outbound_what *what);
enum outbound_event outbound_on_final(struct outbound *o, struct outbound_what *what);
enum outbound_event outbound_on_reset(struct outbound *o, struct outbound_what *what);
enum outbound_event outbound_on_quit(struct outbound *o);

#endif
