/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      reply - SMTP replies: a value, a parser, a writer (RFC 5321 4.2, RFC 2034, RFC 3463)
 *
 * DESCRIPTION
 *      A failure of our own wears the same type as a reply of an MX (`origin`), so there is one
 *      path to the client.  The parser takes bytes in any segmentation and is strict where
 *      laxness loses mail (C-OUT-01, C-OUT-09): three digits 2yz..5yz (second digit 0-5), then
 *      '-', SP or end of line, the same code on every line, at most 512 lines and 64 KiB; a bare
 *      LF ends a line only if preceded by CR and is a protocol error elsewhere; other control
 *      bytes (a CR without LF among them) and 8-bit bytes are kept in the text as they came:
 *      reply_write() makes them harmless.  On REPLY_BAD `into` holds what was read so far, for
 *      the record only.  Pure.
 */
#ifndef TLSMEND_SMTP_REPLY_H
#define TLSMEND_SMTP_REPLY_H

#include "proxy/base/buf.h"

enum reply_origin { REPLY_FROM_MX, REPLY_FROM_US };

/* RFC 3463; class 0: none, or none to be believed (its class differs from the reply code's). */
struct enhanced {
    unsigned char class;
    unsigned short subject, detail;
};

#define REPLY_LINES_MAX 512
#define REPLY_BYTES_MAX 65536

struct reply {
    int code; /* 0: no reply */
    enum reply_origin origin;
    struct enhanced enh; /* read from the first line's text */
    size_t line_count;
    struct buf text; /* the lines' text without code, joined by '\n'; the enhanced code stays in */
};

void reply_init(struct reply *r);
void reply_clear(struct reply *r);
/* `to` is initialised; its content is replaced. */
void reply_copy(struct reply *to, const struct reply *from);
/* `to` is empty, and shows the text of `from`, which stays as it is for as long. */
void reply_lend(struct reply *to, const struct reply *from);
/* As reply_copy(); `from` is empty after. */
void reply_move(struct reply *to, struct reply *from);

/* Our own reply; enh like "4.7.5" (NULL: none), text one line or several joined by '\n'; the
 * enhanced code is put before each.  One that does not fit `code` is left out. */
void reply_set(struct reply *r, int code, const char *enh, struct slice text);

/* Enhanced code at the start of a reply text, if its class fits `code`; class 0 else. */
struct enhanced enhanced_parse(struct slice text, int code);

/* Change code, and the class of the enhanced code at the start of every line that carries one; enh
 * is read again from the text.  421 -> 451, 552 -> 452. */
void reply_recode(struct reply *r, int code);

/* The wire form with CRLF.  Control bytes become '?', bytes over 0x7e '?'; lines over 500 bytes are
 * cut; HT stays.  An empty text gives "250 \r\n"-style lines (code and SP). */
bool reply_write(const struct reply *r, struct buf *out);
/* The text on one line, lines joined by " / ", for a log field or for our own text about it. */
void reply_oneline(const struct reply *r, struct buf *out);

enum reply_status { REPLY_MORE, REPLY_DONE, REPLY_BAD };

struct reply_parser {
    unsigned char state;
    int acc;
    bool later; /* not the first line */
    size_t bytes;
    struct reply *into;
};

/* Before each reply; `into` is initialised by the caller and filled. */
void reply_parser_start(struct reply_parser *p, struct reply *into);
/* *used: bytes consumed, never past the end of the reply. */
enum reply_status reply_feed(struct reply_parser *p, const char *in, size_t n, size_t *used);

#endif
