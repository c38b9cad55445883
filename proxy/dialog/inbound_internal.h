/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      inbound_internal - what the files of the inbound machine share
 *
 * DESCRIPTION
 *      inbound.c takes bytes and cuts them into lines and content; inbound_commands.c holds the
 *      command table; inbound_answers.c keeps the replies in order; inbound_finals.c does so for
 *      the final replies of LMTP and PRDR.
 */
#ifndef TLSMEND_DIALOG_INBOUND_INTERNAL_H
#define TLSMEND_DIALOG_INBOUND_INTERNAL_H

#include "proxy/dialog/inbound.h"

/* Phases are bits, so that a row of the command table can name several. */
enum inbound_phase {
    IN_START = 1 << 0,      /* no EHLO or HELO yet */
    IN_IDLE = 1 << 1,       /* no transaction */
    IN_MAIL_ASKED = 1 << 2, /* the owner owes the answer to MAIL */
    IN_MAIL = 1 << 3,       /* a transaction is open */
    IN_DATA_ASKED = 1 << 4, /* the owner owes the answer to DATA */
    IN_BODY = 1 << 5,
    IN_FINAL = 1 << 6,   /* the owner owes the final reply */
    IN_SWALLOW = 1 << 7, /* a message that nobody asked for is dropped */
    IN_CLOSED = 1 << 8,
    IN_ANY = IN_START | IN_IDLE | IN_MAIL,
};

/* A line grows, is whole until its command could be run, and stays for the event's slices. */
enum line_state { LINE_GROWS, LINE_WHOLE, LINE_DONE };

struct inbound_slot { /* one RCPT that the owner has to answer */
    bool answered;
    struct buf wire; /* its reply, waiting for those before it */
};
#define INBOUND_SLOTS_KEPT 2

/* A buffer that has grown larger than this is given back when it is empty. */
#define INBOUND_KEEP 256

/* A final reply of LMTP or PRDR that waits for those before it: a part of finals.text. */
struct inbound_final {
    uint32_t at, n; /* n 0: not given yet */
};

struct inbound_finals {
    unsigned next;                 /* the first that has not left */
    unsigned given;                /* so many were */
    unsigned heard;                /* classes of replies that were: 1 << 2, 1 << 4, 1 << 5 */
    struct inbound_final *waiting; /* one for each accepted recipient; NULL: none waits */
    struct inbound_final last;     /* the recipients of an MX mostly hear the same: kept once */
    struct buf text;
};

/*
 * Memory (design promise 6): replies are kept whole while all that wait, in slots, in finals and in
 * the output, are below ANSWERS_WHOLE; beyond that only the first line of a reply is kept.  So the
 * output holds at most that, one whole reply more (REPLY_BYTES_MAX of text, six bytes of code and
 * CRLF per line), a first line for each slot, and with LMTP and PRDR one for each recipient.
 * finals.text holds no more than that either: it counts with what has left it already.
 */
#define INBOUND_ANSWERS_WHOLE ((size_t)INBOUND_OUTPUT_HIGH + REPLY_BYTES_MAX)
#define INBOUND_LINE_CAP 506 /* what reply_write() makes of one line, at most */
#define INBOUND_SLOT_CAP ((size_t)REPLY_BYTES_MAX + 6 * (size_t)REPLY_LINES_MAX)
#define INBOUND_OUTPUT_CAP(recipients)          \
    (INBOUND_ANSWERS_WHOLE + INBOUND_SLOT_CAP + \
     (INBOUND_RCPT_AHEAD + (size_t)(recipients) + 8) * INBOUND_LINE_CAP)

struct inbound {
    struct inbound_params params; /* helo_name is ours */
    enum inbound_phase phase;
    bool esmtp, prdr;
    unsigned errors;

    struct buf line;
    enum line_state line_state;
    bool line_too_long;
    char line_last; /* the byte before, across calls */
    uint64_t chunk; /* bytes of a refused BDAT still to drop */
    bool doubt;     /* DATA was refused: a message may follow all the same */
    unsigned owed;  /* ... whose end gets so many replies */

    enum inbound_phase resume; /* behind IN_SWALLOW */

    struct data_decoder decoder;
    bool body_bad;

    /* Those that wait, in order; the owner knows them by numbers that go round. */
    struct inbound_slot *slots;
    unsigned slot_first, slot_count, slot_room; /* slot_first: number of slots[0] */
    size_t held;         /* bytes that slots and finals will be in the output */
    unsigned recipients; /* RCPT commands of the transaction that are not refused */
    unsigned refused;    /* ... and those that are: the owner remembers them too */
    unsigned accepted;
    struct inbound_finals finals;

    struct client_signs signs;
    char *helo;                /* NULL before */
    struct xforward *xforward; /* NULL: the client never said XFORWARD */
    bool xforward_stale;       /* of an ended transaction */
    struct buf output;
};

/* inbound_answers.c */
void inbound_say(struct inbound *in, int code, const char *enh, const char *text);
void inbound_add_reply(struct inbound *in, const struct reply *r, struct buf *out);
/* What the client hears for `r` at this place; `said` is initialised by this, and may show the text of `r`. */
void inbound_reply_said(const struct inbound *in, const struct reply *r, struct reply *said);
unsigned inbound_slot_take(struct inbound *in); /* the next number; one must be free */
void inbound_slots_free(struct inbound *in);

/* inbound_finals.c */
void inbound_finals_reset(struct inbound *in);
/* inbound_answer() at the end of data; the caller ends the transaction. */
void inbound_finals_end(struct inbound *in, const struct reply *r);

/* inbound_commands.c: run the whole line.  INBOUND_NEED_INPUT: go on; INBOUND_WAIT: run it again
 * later. */
enum inbound_event inbound_run_line(struct inbound *in, struct inbound_what *what);

/* inbound.c */
void inbound_end_transaction(struct inbound *in);
void inbound_data_refused(struct inbound *in); /* before the end of the transaction */
void inbound_swallow_line(struct inbound *in); /* the line in hand begins a message unasked for */

#endif
