/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply_parser - bytes of an MX to a reply; see reply.h.
 *
 * RFC 5321 4.2:
 *      Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *      Reply-code = %x32-35 %x30-35 %x30-39
 */
#include "proxy/smtp/reply.h"

#include <string.h>

enum kind { LOW, MID, HIGH, DASH, SPACE, CR, LF, OTHER, KINDS }; /* '2'-'5' '0'-'1' '6'-'9' */
enum state { D1, D2, D3, SEP, MORE, LAST, MORE_CR, LAST_CR, ONLY_CR, STATES, DONE = STATES, BAD };

/* Second digit: 0-5 are LOW and MID.  A CR without LF inside a text is kept with the text; behind
 * the code alone it is no line end and nothing else.  A bare LF is BAD everywhere. */
/* clang-format off */
static const unsigned char step[STATES][KINDS] = {
    /*           2-5   0-1   6-9   '-'   SP    CR       LF    other */
    [D1]      = {D2,   BAD,  BAD,  BAD,  BAD,  BAD,     BAD,  BAD},
    [D2]      = {D3,   D3,   BAD,  BAD,  BAD,  BAD,     BAD,  BAD},
    [D3]      = {SEP,  SEP,  SEP,  BAD,  BAD,  BAD,     BAD,  BAD},
    [SEP]     = {BAD,  BAD,  BAD,  MORE, LAST, ONLY_CR, BAD,  BAD},
    [MORE]    = {MORE, MORE, MORE, MORE, MORE, MORE_CR, BAD,  MORE},
    [LAST]    = {LAST, LAST, LAST, LAST, LAST, LAST_CR, BAD,  LAST},
    [MORE_CR] = {MORE, MORE, MORE, MORE, MORE, MORE_CR, D1,   MORE},
    [LAST_CR] = {LAST, LAST, LAST, LAST, LAST, LAST_CR, DONE, LAST},
    [ONLY_CR] = {BAD,  BAD,  BAD,  BAD,  BAD,  BAD,     DONE, BAD},
};
/* clang-format on */

static enum kind kind_of(char c)
{
    switch (c) {
    case '\r':
        return CR;
    case '\n':
        return LF;
    case ' ':
        return SPACE;
    case '-':
        return DASH;
    default:
        break;
    }
    if (c >= '2' && c <= '5')
        return LOW;
    if (c == '0' || c == '1')
        return MID;
    return c >= '6' && c <= '9' ? HIGH : OTHER;
}

void reply_parser_start(struct reply_parser *p, struct reply *into)
{
    *p = (struct reply_parser){.state = D1, .into = into};
    buf_reset(&into->text);
    into->code = 0;
    into->origin = REPLY_FROM_MX;
    into->enh = (struct enhanced){0, 0, 0};
    into->line_count = 0;
}

/* The code of a line is complete: RFC 5321 4.2.1, all lines of a reply have the same one. */
static bool code_fits(struct reply_parser *p)
{
    struct reply *r = p->into;

    if (p->later && p->acc != r->code)
        return false;
    r->code = p->acc;
    if (p->later && !buf_addc(&r->text, '\n'))
        return false;
    p->later = true;
    return ++r->line_count <= REPLY_LINES_MAX;
}

/* One byte of text, behind the CR that turned out to be no line end. */
static bool keep(struct reply_parser *p, char c)
{
    struct buf *text = &p->into->text;

    if ((p->state == MORE_CR || p->state == LAST_CR) && !buf_addc(text, '\r'))
        return false;
    return c == '\r' || buf_addc(text, c);
}

/* Text up to the next byte that could end its line, all at once; 0 where each byte has to be looked at. */
static size_t keep_run(struct reply_parser *p, const char *in, size_t n)
{
    const char *end;

    if (p->state != MORE && p->state != LAST)
        return 0;
    end = memchr(in, '\r', n);
    n = end != NULL ? (size_t)(end - in) : n;
    end = n > 0 ? memchr(in, '\n', n) : NULL;
    n = end != NULL ? (size_t)(end - in) : n;
    if (n > REPLY_BYTES_MAX - p->bytes)
        n = REPLY_BYTES_MAX - p->bytes;
    if (!buf_add(&p->into->text, slice_of(in, n)))
        return 0;
    p->bytes += n;
    return n;
}

enum reply_status reply_feed(struct reply_parser *p, const char *in, size_t n, size_t *used)
{
    for (*used = 0; *used < n; ++*used) {
        char c;
        unsigned char next;
        bool ok;

        *used += keep_run(p, in + *used, n - *used);
        if (*used == n)
            break;
        c = in[*used];
        next = p->state == BAD ? BAD : step[p->state][kind_of(c)];
        ok = next != BAD && ++p->bytes <= REPLY_BYTES_MAX;

        if (ok && p->state <= D3)
            p->acc = (p->state == D1 ? 0 : p->acc * 10) + (c - '0');
        if (ok && next == SEP)
            ok = code_fits(p);
        if (ok && p->state >= MORE && p->state <= LAST_CR && next != D1 && next != DONE)
            ok = keep(p, c);
        p->state = ok ? next : BAD;
        if (!ok)
            return REPLY_BAD;
        if (next == DONE) {
            ++*used;
            p->into->enh = enhanced_parse(buf_slice(&p->into->text), p->into->code);
            return REPLY_DONE;
        }
    }
    return p->state == BAD ? REPLY_BAD : REPLY_MORE;
}
