/* SPDX-License-Identifier: Apache-2.0 */
/* data - see data.h for the contract. */
#include "proxy/smtp/data.h"

#include <string.h>

/* What the last bytes were.  In AFTER_CR a CR is held back until its LF is seen; in AFTER_DOT and
 * AFTER_DOT_CR a dot at the start of a line is gone already: whether it was transparency or the
 * end, it is no content (RFC 5321 4.5.2). */
enum state { LINE_START, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

static const struct slice crlf = {"\r\n", 2};

void data_decoder_start(struct data_decoder *d, enum data_mode mode)
{
    *d = (struct data_decoder){.mode = mode, .state = LINE_START};
}

#define EACH_BYTE(b) ((uint64_t)(b)*UINT64_C(0x0101010101010101))

/* Bytes at the start of `in` that are neither CR, LF nor NUL, eight at a time: most of a message is
 * such a run. */
static size_t plain_run(const char *in, size_t n, bool *eight_bit)
{
    uint64_t seen = 0, word;
    size_t i = 0;

    while (n - i >= sizeof(word)) {
        memcpy(&word, in + i, sizeof(word));
        /* Is any byte below 14, and so perhaps one of ours?  (A borrow can only say yes too much.)
         */
        if (((word - EACH_BYTE(14)) & ~word & EACH_BYTE(0x80)) != 0)
            break;
        seen |= word;
        i += sizeof(word);
    }
    while (i < n && in[i] != '\r' && in[i] != '\n' && in[i] != '\0')
        seen |= (unsigned char)in[i++];
    if ((seen & EACH_BYTE(0x80)) != 0)
        *eight_bit = true;
    return i;
}

/* Content behind a refusal is nobody's any more. */
static bool is_mute(const struct data_decoder *d)
{
    return d->mode == DATA_REJECT && d->bad;
}

static bool hand_out(struct data_decoder *d, struct slice bytes, struct slice *content)
{
    if (bytes.n == 0 || is_mute(d))
        return false;
    *content = bytes;
    d->content += bytes.n;
    return true;
}

/* A bare CR, a bare LF or a NUL was consumed; `instead` is its normal form.  What follows is
 * content: neither does a line begin there for the sake of dots, nor can the data end there
 * (C-IN-04). */
static enum data_status stray(struct data_decoder *d, struct slice instead, struct slice *content)
{
    bool first = !d->bad;

    d->state = IN_LINE;
    d->bad = true;
    if (d->mode == DATA_REJECT)
        return first ? DATA_BAD : DATA_MORE;
    return hand_out(d, instead, content) ? DATA_CONTENT : DATA_MORE;
}

/* One turn of the decoder.  in[from..*at) is content that waits to be handed out, except that in
 * AFTER_CR with *at > from its last byte is the CR held back.  DATA_MORE: go on (with the waiting
 * content dropped if *from was moved). */
static enum data_status turn(struct data_decoder *d, const char *in, size_t n, size_t *from,
                             size_t *at, struct slice *content)
{
    enum state state = (enum state)d->state;
    bool held_here = state == AFTER_CR && *at > *from;
    size_t end = *at - (held_here ? 1 : 0);
    char c = in[*at];

    switch (state) {
    case LINE_START:
        if (c != '.') {
            d->state = IN_LINE;
            return DATA_MORE;
        }
        d->state = AFTER_DOT;
        ++*at;
        if (hand_out(d, slice_of(in + *from, end - *from), content))
            return DATA_CONTENT;
        *from = *at;
        return DATA_MORE;
    case IN_LINE:
        *at += plain_run(in + *at, n - *at, &d->eight_bit);
        if (*at == n)
            return DATA_MORE;
        c = in[*at];
        if (c == '\r') {
            d->state = AFTER_CR;
            ++*at;
            if (is_mute(d))
                *from = *at - 1;
            return DATA_MORE;
        }
        if (hand_out(d, slice_of(in + *from, *at - *from), content))
            return DATA_CONTENT;
        *from = ++*at;
        return stray(d, c == '\n' ? crlf : SLICE_NONE, content);
    case AFTER_CR:
        if (c == '\n') {
            d->state = LINE_START;
            ++*at;
            if (held_here)
                return DATA_MORE;
            *from = *at;
            return hand_out(d, crlf, content) ? DATA_CONTENT : DATA_MORE;
        }
        if (hand_out(d, slice_of(in + *from, end - *from), content)) {
            /* The CR comes again, alone. */
            d->state = IN_LINE;
            *at = end;
            return DATA_CONTENT;
        }
        *from = *at;
        return stray(d, crlf, content);
    case AFTER_DOT:
        d->state = IN_LINE;
        if (c == '\r') {
            d->state = AFTER_DOT_CR;
            *from = ++*at;
        }
        return DATA_MORE;
    case AFTER_DOT_CR:
        if (c != '\n')
            return stray(d, crlf, content);
        ++*at;
        return DATA_END;
    }
    return DATA_MORE;
}

enum data_status data_decode(struct data_decoder *d, const char *in, size_t n, size_t *used,
                             struct slice *content)
{
    size_t from = 0, at = 0;

    *content = SLICE_NONE;
    while (at < n) {
        enum data_status status = turn(d, in, n, &from, &at, content);

        if (status != DATA_MORE) {
            *used = at;
            return status;
        }
    }
    *used = n;
    if (d->state == AFTER_CR && at > from)
        at--;
    return hand_out(d, slice_of(in + from, at - from), content) ? DATA_CONTENT : DATA_MORE;
}

void data_encoder_start(struct data_encoder *e)
{
    *e = (struct data_encoder){.line_start = true};
}

/* Adds `part` and, with `stuff`, the dot that hides the one which follows it. */
static bool add_part(struct buf *out, struct slice part, bool stuff)
{
    return buf_add(out, part) && (!stuff || buf_addc(out, '.'));
}

bool data_encode(struct data_encoder *e, struct slice content, struct buf *out)
{
    struct slice rest = content;
    size_t before = out->n;
    bool ok = true;

    if (content.n == 0)
        return true;
    if (e->line_start && rest.p[0] == '.')
        ok = add_part(out, SLICE_NONE, true);
    else if (e->last == '\r' && rest.n > 1 && rest.p[0] == '\n' && rest.p[1] == '.') {
        ok = add_part(out, slice_first(rest, 1), true);
        rest = slice_from(rest, 1);
    }
    while (ok && rest.n > 0) {
        const char *dot = memmem(rest.p, rest.n, "\r\n.", 3);
        size_t n = dot != NULL ? (size_t)(dot - rest.p) + crlf.n : rest.n;

        ok = add_part(out, slice_first(rest, n), dot != NULL);
        rest = slice_from(rest, n);
    }
    if (!ok) {
        out->n = before;
        return false;
    }
    e->line_start = content.p[content.n - 1] == '\n' &&
                    (content.n > 1 ? content.p[content.n - 2] : (char)e->last) == '\r';
    e->last = (unsigned char)content.p[content.n - 1];
    return true;
}

bool data_encode_end(struct data_encoder *e, struct buf *out)
{
    return buf_add(out, e->line_start ? SLICE(".\r\n") : SLICE("\r\n.\r\n"));
}
