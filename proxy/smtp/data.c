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

/* Sixteen bytes at a time: what the compilers make of this fits every processor that has vectors, and
 * is right on those that have none. */
typedef unsigned char block __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

static block load(const char *p)
{
    block b;

    memcpy(&b, p, sizeof(b));
    return b;
}

static bool any(block b)
{
    halves h = (halves)b;

    return (h[0] | h[1]) != 0;
}

/* Index of the first byte of `hits` that is not zero; there is one. */
static size_t first_of(block hits)
{
    halves h = (halves)hits;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return h[0] != 0 ? (size_t)__builtin_ctzll(h[0]) / 8 : 8 + (size_t)__builtin_ctzll(h[1]) / 8;
#else
    return h[0] != 0 ? (size_t)__builtin_clzll(h[0]) / 8 : 8 + (size_t)__builtin_clzll(h[1]) / 8;
#endif
}

/* Which of the sixteen bytes at `p` end a run: they depend on the one before. */
static block run_ends(const char *p)
{
    block b = load(p), before = load(p - 1);

    return ((block)(b == '\n') ^ (block)(before == '\r')) |
           ((block)(b == '.') & (block)(before == '\n')) | (block)(b == '\0');
}

/* As plain_run(), in whole blocks: up to some place within a line that is not far before its end. */
static size_t plain_blocks(const char *in, size_t n, bool *eight_bit)
{
    const size_t step = 2 * sizeof(block);
    block seen = {0};
    size_t i = 1;

    if (n <= step || in[0] == '\r' || in[0] == '\n' || in[0] == '\0')
        return 0;
    for (; n - i >= step; i += step) {
        if (any(run_ends(in + i) | run_ends(in + i + sizeof(block))))
            break;
        seen |= load(in + i) | load(in + i + sizeof(block));
    }
    *eight_bit = *eight_bit || (signed char)in[0] < 0 || any(seen & 0x80);
    /* What comes behind a CR, or begins a line, was not looked at. */
    if (in[i - 1] == '\r')
        return i - 1;
    return in[i - 1] == '\n' ? i - 2 : i;
}

/* Bytes of content at the start of `in`, which is inside of a line: up to a bare CR or LF, a NUL, a
 * dot behind CRLF, or a CR or CRLF at the end.  Most of a message is one such run. */
static size_t plain_run(const char *in, size_t n, bool *eight_bit)
{
    size_t i = plain_blocks(in, n, eight_bit);

    for (; i < n && in[i] != '\n' && in[i] != '\0'; i++) {
        if (in[i] == '\r' && (n - i <= 2 || in[i + 1] != '\n' || in[i + 2] == '.'))
            break;
        if (in[i] == '\r')
            i++;
        else if ((signed char)in[i] < 0)
            *eight_bit = true;
    }
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

/* The first dot behind a CRLF; n: none. */
static size_t next_dot(const char *p, size_t n)
{
    size_t i = 0;

    for (; n - i >= sizeof(block) + 2; i += sizeof(block)) {
        block hits = (block)(load(p + i) == '\r') & (block)(load(p + i + 1) == '\n') &
                     (block)(load(p + i + 2) == '.');

        if (any(hits))
            return i + first_of(hits) + 2;
    }
    for (; n - i > 2; i++)
        if (p[i] == '\r' && p[i + 1] == '\n' && p[i + 2] == '.')
            return i + 2;
    return n;
}

bool data_encode(struct data_encoder *e, struct slice content, struct buf *out)
{
    struct slice rest = content;
    size_t before = out->n;
    bool ok = buf_reserve(out, content.n);

    if (content.n == 0)
        return true;
    if (e->line_start && rest.p[0] == '.')
        ok = ok && buf_addc(out, '.');
    else if (e->last == '\r' && rest.n > 1 && rest.p[0] == '\n' && rest.p[1] == '.') {
        ok = ok && buf_add(out, SLICE("\n."));
        rest = slice_from(rest, 1);
    }
    while (ok && rest.n > 0) {
        size_t n = next_dot(rest.p, rest.n);

        ok = buf_add(out, slice_first(rest, n)) && (n == rest.n || buf_addc(out, '.'));
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
