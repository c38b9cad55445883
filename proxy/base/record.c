/* SPDX-License-Identifier: Apache-2.0 */
/* record - making one; see record.h.  Rendering is record_render.c. */
#include "proxy/base/record.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/base/record_internal.h"

#define STRING_MAX 2048
#define LIST_MAX 100
#define CUT_MARK "..."
#define FIRST_BYTES 1000 /* with them most records are made at once */

struct record *record_new(const char *event, enum record_severity severity, wall_ms when)
{
    struct record *r = mem_resize(NULL, 1, sizeof(*r)); /* `first` is filled where it is used */

    r->event = event;
    r->severity = severity;
    r->when = when;
    r->fields = r->first;
    r->count = 0;
    r->size = RECORD_FIRST_FIELDS;
    buf_init(&r->bytes, SIZE_MAX);
    return r;
}

void record_free(struct record *r)
{
    if (r == NULL)
        return;
    buf_clear(&r->bytes);
    if (r->fields != r->first)
        free(r->fields);
    free(r);
}

size_t record_utf8_char(struct slice s, uint32_t *point)
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

/* So much of `s` as stands before the mark when it is too long. */
static size_t kept_bytes(struct slice s)
{
    size_t n = STRING_MAX - strlen(CUT_MARK), whole = 0;
    uint32_t point;

    if (s.n <= STRING_MAX)
        return s.n;
    /* A character that the cut would split goes as a whole. */
    while (whole < 4 && whole < n && ((unsigned char)s.p[n - whole] & 0xc0) == 0x80)
        whole++;
    if (whole > 0 && record_utf8_char(slice_from(s, n - whole), &point) > whole)
        n -= whole;
    return n;
}

static struct field *field_add(struct record *r, const char *key, enum field_kind kind)
{
    struct field *f;

    if (r->count == r->size) {
        bool inside = r->fields == r->first;

        r->size *= 2;
        r->fields = mem_resize(inside ? NULL : r->fields, r->size, sizeof(*r->fields));
        if (inside)
            memcpy(r->fields, r->first, sizeof(r->first));
    }
    f = &r->fields[r->count++];
    *f = (struct field){.key = key, .kind = kind};
    return f;
}

static struct field *string_begin(struct record *r, const char *key)
{
    struct field *f = field_add(r, key, FIELD_STRING);

    if (r->bytes.size == 0)
        INVARIANT(buf_reserve(&r->bytes, FIRST_BYTES));
    f->at = r->bytes.n;
    return f;
}

static void string_add(struct record *r, const char *key, struct slice value)
{
    struct field *f = string_begin(r, key);
    size_t n = kept_bytes(value);

    INVARIANT(buf_add(&r->bytes, slice_first(value, n)));
    if (n < value.n)
        INVARIANT(buf_add(&r->bytes, SLICE(CUT_MARK)));
    f->n = r->bytes.n - f->at;
}

void record_str(struct record *r, const char *key, struct slice value)
{
    if (value.p != NULL)
        string_add(r, key, value);
}

void record_cstr(struct record *r, const char *key, const char *value)
{
    record_str(r, key, slice_str(value));
}

void record_strf(struct record *r, const char *key, const char *format, ...)
{
    struct field *f = string_begin(r, key);
    struct slice value;
    va_list args;
    size_t n;

    va_start(args, format);
    INVARIANT(buf_addv(&r->bytes, format, args));
    va_end(args);
    value = slice_from(buf_slice(&r->bytes), f->at);
    n = kept_bytes(value);
    if (n < value.n) {
        r->bytes.n = f->at + n;
        INVARIANT(buf_add(&r->bytes, SLICE(CUT_MARK)));
    }
    f->n = r->bytes.n - f->at;
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
    size_t kept = count <= LIST_MAX ? count : LIST_MAX - 1;

    if (count == 0)
        return;
    field_add(r, key, FIELD_LIST)->n = kept + (kept < count ? 1 : 0);
    for (size_t i = 0; i < kept; i++)
        string_add(r, NULL, values[i]);
    if (kept < count)
        string_add(r, NULL, SLICE(CUT_MARK));
}

const char *record_event(const struct record *r)
{
    return r->event;
}

enum record_severity record_severity(const struct record *r)
{
    return r->severity;
}
