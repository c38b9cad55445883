/* SPDX-License-Identifier: Apache-2.0 */
/* record_render - a record as a line; see record.h.  Every mail writes several: no printf(), and what
 * needs no escape is found eight bytes at a time and copied in one piece. */
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/record_internal.h"

#define EACH_BYTE(b) ((uint64_t)(b)*UINT64_C(0x0101010101010101))
#define INT_TEXT_MAX 20 /* -9223372036854775808 */

static const struct severity_info {
    struct slice name, colour;
} severity_info[] = {
#define LIT(text)                \
    {                            \
        (text), sizeof(text) - 1 \
    }
    [RECORD_DEBUG] = {LIT("debug"), LIT("\033[2m")},
    [RECORD_INFO] = {LIT("info"), LIT("\033[32m")},
    [RECORD_WARNING] = {LIT("warning"), LIT("\033[33m")},
    [RECORD_ERROR] = {LIT("error"), LIT("\033[31m")},
};

/* Controls that move a cursor, end a line or turn the reading direction: a peer could forge what
 * the reader of a log sees (C-OPS-04). */
static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || /* C0, DEL, C1 */
           point == 0x200e || point == 0x200f ||              /* direction marks */
           (point >= 0x2028 && point <= 0x202e) ||            /* line separators, embeddings */
           (point >= 0x2066 && point <= 0x2069);              /* isolates */
}

/* ---- writing into a buf that may be full: `ok` remembers, finish() undoes ---- */

struct writer {
    struct buf *out;
    bool ok;
};

static inline void put(struct writer *w, struct slice s)
{
    struct buf *out = w->out;

    /* The questions of buf_add(), asked here: it is called several times for each field. */
    if (s.n > out->size - out->n || s.n > out->cap - out->n || !w->ok) {
        w->ok = w->ok && buf_add(out, s);
        return;
    }
    if (s.n > 0)
        memcpy(out->p + out->n, s.p, s.n);
    out->n += s.n;
}

static void put_int(struct writer *w, int64_t number)
{
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    char text[INT_TEXT_MAX];
    size_t at = sizeof(text);

    do
        text[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        text[--at] = '-';
    put(w, slice_of(text + at, sizeof(text) - at));
}

static void put_bool(struct writer *w, bool value)
{
    put(w, value ? SLICE("true") : SLICE("false"));
}

/* `prefix` and the last `digits` hexadecimal digits of `number`. */
static void put_hex(struct writer *w, struct slice prefix, uint32_t number, int digits,
                    const char *alphabet)
{
    char text[8];

    for (int i = digits - 1; i >= 0; i--, number >>= 4)
        text[i] = alphabet[number & 0xf];
    put(w, prefix);
    put(w, slice_of(text, (size_t)digits));
}

/* ---- bytes that stand for themselves in both forms ---- */

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE(1)) & ~word;
}

/* Eight of them at `at`?  A borrow from a byte below can only say no too much. */
static bool eight_plain(const char *at)
{
    uint64_t word, odd;

    memcpy(&word, at, sizeof(word));
    odd = word | (word + EACH_BYTE(1)) /* 0x7f and above */ | (word - EACH_BYTE(0x20)) |
          zero_bytes(word ^ EACH_BYTE('"')) | zero_bytes(word ^ EACH_BYTE('\\'));
    return (odd & EACH_BYTE(0x80)) == 0;
}

static size_t plain_run(struct slice s)
{
    size_t i = 0;

    while (s.n - i >= 8 && eight_plain(s.p + i))
        i += 8;
    while (i < s.n && is_plain(s.p[i]))
        i++;
    return i;
}

/* ---- JSON ---- */

/* One character that is not plain. */
static size_t put_json_char(struct writer *w, struct slice s)
{
    uint32_t point;
    size_t n = record_utf8_char(s, &point);

    if (n == 0)
        put(w, SLICE("\\ufffd"));
    else if (is_control(point))
        put_hex(w, SLICE("\\u"), point, 4, "0123456789abcdef");
    else {
        if (point == '"' || point == '\\')
            put(w, SLICE("\\"));
        put(w, slice_first(s, n));
    }
    return n > 0 ? n : 1;
}

static void put_json_string(struct writer *w, struct slice s)
{
    put(w, SLICE("\""));
    while (s.n > 0) {
        size_t n = plain_run(s);

        put(w, slice_first(s, n));
        s = slice_from(s, n);
        if (s.n > 0)
            s = slice_from(s, put_json_char(w, s));
    }
    put(w, SLICE("\""));
}

static struct slice text_of(const struct record *r, const struct field *f)
{
    return slice_of(r->bytes.p + f->at, f->n);
}

static void put_json_value(struct writer *w, const struct record *r, const struct field *f)
{
    switch (f->kind) {
    case FIELD_STRING:
        put_json_string(w, text_of(r, f));
        break;
    case FIELD_INT:
        put_int(w, f->number);
        break;
    case FIELD_BOOL:
        put_bool(w, f->number != 0);
        break;
    case FIELD_LIST:
        for (size_t i = 1; i <= f->n; i++) {
            put(w, i == 1 ? SLICE("[") : SLICE(","));
            put_json_string(w, text_of(r, f + i));
        }
        put(w, SLICE("]"));
        break;
    }
}

/* The field behind `f`. */
static const struct field *next_field(const struct field *f)
{
    return f + 1 + (f->kind == FIELD_LIST ? f->n : 0);
}

/* All of a line or nothing of it. */
static bool finish(struct writer *w, size_t before)
{
    put(w, SLICE("\n"));
    if (!w->ok)
        w->out->n = before;
    return w->ok;
}

bool record_json(const struct record *r, struct buf *out)
{
    struct writer w = {out, true};
    char when[INSTANT_TEXT_MAX];
    size_t before = out->n;

    put(&w, SLICE("{\"time\":\""));
    put(&w, slice_str(instant_text(r->when, when)));
    put(&w, SLICE("\",\"event\":\""));
    put(&w, slice_str(r->event));
    put(&w, SLICE("\",\"severity\":\""));
    put(&w, severity_info[r->severity].name);
    put(&w, SLICE("\""));
    for (const struct field *f = r->fields; f < r->fields + r->count; f = next_field(f)) {
        put(&w, SLICE(",\""));
        put(&w, slice_str(f->key));
        put(&w, SLICE("\":"));
        put_json_value(&w, r, f);
    }
    put(&w, SLICE("}"));
    return finish(&w, before);
}

/* ---- text ---- */

/* What would make "key=value key=value" ambiguous. */
static bool needs_quotes(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ' ' || s.p[i] == '"' || s.p[i] == '=')
            return true;
    return s.n == 0;
}

static size_t put_text_char(struct writer *w, struct slice s)
{
    uint32_t point = 0;
    size_t n = record_utf8_char(s, &point);
    size_t step = n > 0 ? n : 1;

    if (n == 0 || is_control(point)) {
        for (size_t i = 0; i < step; i++)
            put_hex(w, SLICE("\\x"), (unsigned char)s.p[i], 2, "0123456789ABCDEF");
    } else {
        if (point == '"' || point == '\\')
            put(w, SLICE("\\"));
        put(w, slice_first(s, n));
    }
    return step;
}

static void put_text_string(struct writer *w, struct slice s)
{
    while (s.n > 0) {
        size_t n = plain_run(s);

        put(w, slice_first(s, n));
        s = slice_from(s, n);
        if (s.n > 0)
            s = slice_from(s, put_text_char(w, s));
    }
}

/* Of a string, or of a list. */
static void put_text_strings(struct writer *w, const struct record *r, const struct field *f,
                             size_t count)
{
    bool quotes = false;

    for (size_t i = 0; i < count; i++)
        quotes = quotes || needs_quotes(text_of(r, f + i));
    if (quotes)
        put(w, SLICE("\""));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(w, SLICE(","));
        put_text_string(w, text_of(r, f + i));
    }
    if (quotes)
        put(w, SLICE("\""));
}

static void put_text_value(struct writer *w, const struct record *r, const struct field *f)
{
    switch (f->kind) {
    case FIELD_STRING:
        put_text_strings(w, r, f, 1);
        break;
    case FIELD_INT:
        put_int(w, f->number);
        break;
    case FIELD_BOOL:
        put_bool(w, f->number != 0);
        break;
    case FIELD_LIST:
        put_text_strings(w, r, f + 1, f->n);
        break;
    }
}

static bool render_text(const struct record *r, struct buf *out, bool colours)
{
    struct writer w = {out, true};
    char when[INSTANT_TEXT_MAX];
    size_t before = out->n;
    struct slice day, time;

    /* The time of day is enough for a person who watches; the JSON form has the date. */
    INVARIANT(slice_cut(slice_str(instant_text(r->when, when)), 'T', &day, &time));
    if (colours)
        put(&w, severity_info[r->severity].colour);
    put(&w, slice_first(time, strlen("05:54:00")));
    put(&w, SLICE(" "));
    put(&w, slice_str(r->event));
    if (colours)
        put(&w, SLICE("\033[0m"));
    put(&w, SLICE(" "));
    if (r->severity != RECORD_INFO) {
        put(&w, SLICE(" severity="));
        put(&w, severity_info[r->severity].name);
    }
    for (const struct field *f = r->fields; f < r->fields + r->count; f = next_field(f)) {
        put(&w, SLICE(" "));
        put(&w, slice_str(f->key));
        put(&w, SLICE("="));
        put_text_value(&w, r, f);
    }
    return finish(&w, before);
}

bool record_text(const struct record *r, struct buf *out)
{
    return render_text(r, out, false);
}

bool record_terminal(const struct record *r, struct buf *out)
{
    return render_text(r, out, true);
}
