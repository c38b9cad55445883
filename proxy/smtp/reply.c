/* SPDX-License-Identifier: Apache-2.0 */
/* reply - the value and its wire form; see reply.h.  The parser is reply_parser.c. */
#include "proxy/smtp/reply.h"

#include <string.h>

/* RFC 5321 4.5.3.1.5: 512 bytes with code and CRLF. */
#define LINE_TEXT_MAX 500

void reply_init(struct reply *r)
{
    *r = (struct reply){.code = 0};
    buf_init(&r->text, REPLY_BYTES_MAX);
}

void reply_clear(struct reply *r)
{
    buf_clear(&r->text);
    reply_init(r);
}

void reply_copy(struct reply *to, const struct reply *from)
{
    struct buf text = to->text;

    if (to == from)
        return;
    buf_reset(&text);
    (void)buf_add(&text, buf_slice(&from->text)); /* both have the same cap */
    *to = *from;
    to->text = text;
}

void reply_lend(struct reply *to, const struct reply *from)
{
    struct buf text = to->text;

    buf_lend(&text, buf_slice(&from->text));
    *to = *from;
    to->text = text;
}

void reply_move(struct reply *to, struct reply *from)
{
    if (to == from)
        return;
    buf_clear(&to->text);
    *to = *from;
    reply_init(from);
}

void reply_set(struct reply *r, int code, const char *enh, struct slice text)
{
    struct enhanced parsed = enhanced_parse(slice_str(enh), code);
    struct slice line, rest = text;
    bool more = true;

    buf_reset(&r->text);
    r->code = code;
    r->origin = REPLY_FROM_US;
    r->enh = parsed;
    r->line_count = 0;
    while (more && r->line_count < REPLY_LINES_MAX) {
        more = slice_cut(rest, '\n', &line, &rest);
        if (r->line_count > 0 && !buf_addc(&r->text, '\n'))
            break; /* the text is longer than any reply may be: the rest of it is cut */
        r->line_count++;
        /* RFC 2034 4: the enhanced code stands on every line. */
        if (parsed.class != 0 &&
            !(buf_add(&r->text, slice_str(enh)) && (line.n == 0 || buf_addc(&r->text, ' '))))
            break;
        (void)buf_add(&r->text, slice_first(line, r->text.cap - r->text.n));
    }
}

/* RFC 3463 2: one to three digits without a leading zero, taken off *rest. */
static bool sub_code(struct slice *rest, unsigned short *out)
{
    unsigned long long value;
    size_t n = 0;

    while (n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9')
        n++;
    if (n > 1 && rest->p[0] == '0')
        return false;
    if (!slice_u64(slice_first(*rest, n), 999, &value))
        return false;
    *out = (unsigned short)value;
    *rest = slice_from(*rest, n);
    return true;
}

struct enhanced enhanced_parse(struct slice text, int code)
{
    static const struct enhanced none = {0, 0, 0};
    struct enhanced e = {0, 0, 0};
    struct slice rest = text;

    if (rest.n < 2 || rest.p[1] != '.')
        return none;
    if (rest.p[0] != '2' && rest.p[0] != '4' && rest.p[0] != '5')
        return none;
    e.class = (unsigned char)(rest.p[0] - '0');
    if (e.class != code / 100)
        return none; /* RFC 2034 4: the classes agree, or the reply code alone decides */
    rest = slice_from(rest, 2);
    if (!sub_code(&rest, &e.subject) || rest.n == 0 || rest.p[0] != '.')
        return none;
    rest = slice_from(rest, 1);
    if (!sub_code(&rest, &e.detail))
        return none;
    if (rest.n > 0 && rest.p[0] != ' ' && rest.p[0] != '\t' && rest.p[0] != '\n')
        return none;
    return e;
}

void reply_recode(struct reply *r, int code)
{
    size_t at = 0;

    buf_own(&r->text);
    for (;;) {
        struct slice line = slice_from(buf_slice(&r->text), at);
        const char *end = line.n > 0 ? memchr(line.p, '\n', line.n) : NULL;

        if (enhanced_parse(line, r->code).class != 0)
            r->text.p[at] = (char)('0' + code / 100);
        if (end == NULL)
            break;
        at += (size_t)(end - line.p) + 1;
    }
    r->code = code;
    r->enh = enhanced_parse(buf_slice(&r->text), code);
}

/* RFC 5321 4.2: textstring = 1*(%d09 / %d32-126).  Anything else could be a line end or an escape
 * sequence to whoever reads it behind us (C-OUT-04). */
static bool add_harmless(struct buf *out, struct slice text)
{
    bool ok = buf_add(out, text);

    for (size_t i = out->n - (ok ? text.n : 0); i < out->n; i++) {
        unsigned char c = (unsigned char)out->p[i];

        if (c != '\t' && (c < 0x20 || c > 0x7e))
            out->p[i] = '?';
    }
    return ok;
}

static bool add_code(struct buf *out, int code, char separator)
{
    char text[] = {(char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
                   (char)('0' + code % 10), separator};

    return buf_add(out, slice_of(text, sizeof(text)));
}

bool reply_write(const struct reply *r, struct buf *out)
{
    struct slice line, rest = buf_slice(&r->text);
    size_t before = out->n;
    bool more = true, ok = true;

    while (more && ok) {
        more = slice_cut(rest, '\n', &line, &rest);
        ok = add_code(out, r->code, more ? '-' : ' ') &&
             add_harmless(out, slice_first(line, LINE_TEXT_MAX)) && buf_add(out, SLICE("\r\n"));
    }
    if (!ok)
        out->n = before;
    return ok;
}

void reply_oneline(const struct reply *r, struct buf *out)
{
    struct slice line, rest = buf_slice(&r->text);
    bool more = slice_cut(rest, '\n', &line, &rest);
    bool ok = buf_add(out, line);

    while (ok && more) {
        more = slice_cut(rest, '\n', &line, &rest);
        ok = buf_add(out, SLICE(" / ")) && buf_add(out, line);
    }
}
