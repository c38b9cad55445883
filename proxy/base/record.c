/* SPDX-License-Identifier: Apache-2.0 */
/* record - see record.h for the contract. */
#include "proxy/base/record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define STRING_MAX 2048
#define LIST_MAX 100
#define CUT_MARK "..."

enum field_kind { FIELD_STRING, FIELD_INT, FIELD_BOOL, FIELD_LIST };

struct text {
    char *p;
    size_t n;
};

struct field {
    const char *key; /* a literal of the caller */
    enum field_kind kind;
    int64_t number;
    struct text *texts; /* one for a string, `count` for a list */
    size_t count;
};

struct record {
    const char *event;
    enum record_severity severity;
    wall_ms when;
    struct field *fields;
    size_t count, size;
};

static const struct severity_info {
    const char *name, *colour;
} severity_info[] = {
    [RECORD_DEBUG] = {"debug", "\033[2m"},
    [RECORD_INFO] = {"info", "\033[32m"},
    [RECORD_WARNING] = {"warning", "\033[33m"},
    [RECORD_ERROR] = {"error", "\033[31m"},
};

struct record *record_new(const char *event, enum record_severity severity, wall_ms when)
{
    struct record *r = mem_zalloc(sizeof(*r));

    r->event = event;
    r->severity = severity;
    r->when = when;
    return r;
}

void record_free(struct record *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->count; i++) {
        for (size_t j = 0; j < r->fields[i].count; j++)
            free(r->fields[i].texts[j].p);
        free(r->fields[i].texts);
    }
    free(r->fields);
    free(r);
}

/* Bytes of the UTF-8 character at the start of `s`; 0: none that RFC 3629 allows.  *point is it. */
static size_t utf8_char(struct slice s, uint32_t *point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)s.p[0];
    size_t n = lead < 0x80             ? 1
               : (lead & 0xe0) == 0xc0 ? 2
               : (lead & 0xf0) == 0xe0 ? 3
               : (lead & 0xf8) == 0xf0 ? 4
                                       : 0;

    if (n == 0 || n > s.n)
        return 0;
    *point = n == 1 ? lead : lead & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (c & 0x3f);
    }
    if (n > 1 &&
        (*point < smallest[n] || *point > 0x10ffff || (*point >= 0xd800 && *point <= 0xdfff)))
        return 0;
    return n;
}

/* Controls that move a cursor, end a line or turn the reading direction: a peer could forge what
 * the reader of a log sees (C-OPS-04). */
static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || /* C0, DEL, C1 */
           point == 0x200e || point == 0x200f ||              /* direction marks */
           (point >= 0x2028 && point <= 0x202e) ||            /* line separators, embeddings */
           (point >= 0x2066 && point <= 0x2069);              /* isolates */
}

static struct text text_copy(struct slice s)
{
    size_t n = s.n, whole = 0;
    struct text t;
    uint32_t point;

    if (n > STRING_MAX) {
        /* A character that the cut would split goes as a whole. */
        n = STRING_MAX - strlen(CUT_MARK);
        while (whole < 4 && whole < n && ((unsigned char)s.p[n - whole] & 0xc0) == 0x80)
            whole++;
        if (whole > 0 && utf8_char(slice_from(s, n - whole), &point) > whole)
            n -= whole;
    }
    t.p = mem_zalloc(n + sizeof(CUT_MARK));
    if (n > 0)
        memcpy(t.p, s.p, n);
    if (n < s.n) {
        memcpy(t.p + n, CUT_MARK, strlen(CUT_MARK));
        n += strlen(CUT_MARK);
    }
    t.n = n;
    return t;
}

static struct field *field_add(struct record *r, const char *key, enum field_kind kind)
{
    struct field *f;

    if (r->count == r->size) {
        r->size = r->size > 0 ? r->size * 2 : 16;
        r->fields = mem_resize(r->fields, r->size, sizeof(*r->fields));
    }
    f = &r->fields[r->count++];
    *f = (struct field){.key = key, .kind = kind};
    return f;
}

void record_str(struct record *r, const char *key, struct slice value)
{
    struct field *f;

    if (value.p == NULL)
        return;
    f = field_add(r, key, FIELD_STRING);
    f->texts = mem_array(1, sizeof(*f->texts));
    f->texts[f->count++] = text_copy(value);
}

void record_cstr(struct record *r, const char *key, const char *value)
{
    record_str(r, key, slice_str(value));
}

void record_strf(struct record *r, const char *key, const char *format, ...)
{
    va_list args;
    char *value;

    va_start(args, format);
    value = mem_vformat(format, args);
    va_end(args);
    record_cstr(r, key, value);
    free(value);
}

void record_int(struct record *r, const char *key, int64_t value)
{
    field_add(r, key, FIELD_INT)->number = value;
}

void record_bool(struct record *r, const char *key, bool value)
{
    field_add(r, key, FIELD_BOOL)->number = value;
}

void record_list(struct record *r, const char *key, const struct slice *values, size_t count)
{
    struct field *f;
    size_t kept = count <= LIST_MAX ? count : LIST_MAX - 1;

    if (count == 0)
        return;
    f = field_add(r, key, FIELD_LIST);
    f->texts = mem_array(kept + 1, sizeof(*f->texts));
    while (f->count < kept) {
        f->texts[f->count] = text_copy(values[f->count]);
        f->count++;
    }
    if (kept < count)
        f->texts[f->count++] = text_copy(SLICE(CUT_MARK));
}

const char *record_event(const struct record *r)
{
    return r->event;
}

enum record_severity record_severity(const struct record *r)
{
    return r->severity;
}

/* Rendering writes into a buf that may be full: `ok` remembers, the caller undoes. */
struct writer {
    struct buf *out;
    bool ok;
};

static void put(struct writer *w, struct slice s)
{
    w->ok = w->ok && buf_add(w->out, s);
}

static void put_cstr(struct writer *w, const char *s)
{
    put(w, slice_str(s));
}

static void put_json_string(struct writer *w, struct text t)
{
    struct slice rest = {t.p, t.n};

    put(w, SLICE("\""));
    while (rest.n > 0) {
        uint32_t point;
        size_t n = utf8_char(rest, &point);

        if (n == 0)
            put(w, SLICE("\\ufffd"));
        else if (is_control(point))
            w->ok = w->ok && buf_addf(w->out, "\\u%04x", (unsigned)point);
        else {
            if (point == '"' || point == '\\')
                put(w, SLICE("\\"));
            put(w, slice_first(rest, n));
        }
        rest = slice_from(rest, n > 0 ? n : 1);
    }
    put(w, SLICE("\""));
}

static void put_json_value(struct writer *w, const struct field *f)
{
    switch (f->kind) {
    case FIELD_STRING:
        put_json_string(w, f->texts[0]);
        break;
    case FIELD_INT:
        w->ok = w->ok && buf_addf(w->out, "%" PRId64, f->number);
        break;
    case FIELD_BOOL:
        put_cstr(w, f->number != 0 ? "true" : "false");
        break;
    case FIELD_LIST:
        put(w, SLICE("["));
        for (size_t i = 0; i < f->count; i++) {
            if (i > 0)
                put(w, SLICE(","));
            put_json_string(w, f->texts[i]);
        }
        put(w, SLICE("]"));
        break;
    }
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

    w.ok = buf_addf(out, "{\"time\":\"%s\",\"event\":\"%s\",\"severity\":\"%s\"",
                    instant_text(r->when, when), r->event, severity_info[r->severity].name);
    for (size_t i = 0; i < r->count; i++) {
        w.ok = w.ok && buf_addf(out, ",\"%s\":", r->fields[i].key);
        put_json_value(&w, &r->fields[i]);
    }
    put(&w, SLICE("}"));
    return finish(&w, before);
}

/* What would make "key=value key=value" ambiguous. */
static bool needs_quotes(const struct field *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->texts[i].n == 0)
            return true;
        for (size_t j = 0; j < f->texts[i].n; j++)
            if (strchr(" \"=", f->texts[i].p[j]) != NULL && f->texts[i].p[j] != '\0')
                return true;
    }
    return false;
}

static void put_plain(struct writer *w, struct text t)
{
    struct slice rest = {t.p, t.n};

    while (rest.n > 0) {
        uint32_t point = 0;
        size_t n = utf8_char(rest, &point);
        size_t step = n > 0 ? n : 1;

        if (n == 0 || is_control(point)) {
            for (size_t i = 0; i < step; i++)
                w->ok = w->ok && buf_addf(w->out, "\\x%02X", (unsigned)(unsigned char)rest.p[i]);
        } else {
            if (point == '"' || point == '\\')
                put(w, SLICE("\\"));
            put(w, slice_first(rest, n));
        }
        rest = slice_from(rest, step);
    }
}

static void put_text_value(struct writer *w, const struct field *f)
{
    bool quotes;

    if (f->kind == FIELD_INT) {
        w->ok = w->ok && buf_addf(w->out, "%" PRId64, f->number);
        return;
    }
    if (f->kind == FIELD_BOOL) {
        put_cstr(w, f->number != 0 ? "true" : "false");
        return;
    }
    quotes = needs_quotes(f);
    if (quotes)
        put(w, SLICE("\""));
    for (size_t i = 0; i < f->count; i++) {
        if (i > 0)
            put(w, SLICE(","));
        put_plain(w, f->texts[i]);
    }
    if (quotes)
        put(w, SLICE("\""));
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
        put_cstr(&w, severity_info[r->severity].colour);
    put(&w, slice_first(time, strlen("05:54:00")));
    put(&w, SLICE(" "));
    put_cstr(&w, r->event);
    if (colours)
        put(&w, SLICE("\033[0m"));
    put(&w, SLICE(" "));
    if (r->severity != RECORD_INFO) {
        put(&w, SLICE(" severity="));
        put_cstr(&w, severity_info[r->severity].name);
    }
    for (size_t i = 0; i < r->count; i++) {
        put(&w, SLICE(" "));
        put_cstr(&w, r->fields[i].key);
        put(&w, SLICE("="));
        put_text_value(&w, &r->fields[i]);
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
