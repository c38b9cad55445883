/* SPDX-License-Identifier: Apache-2.0 */
/* slice - see slice.h for the contract. */
#include "proxy/base/slice.h"

#include <string.h>

#include "proxy/base/mem.h"

/* The locale must have no say in what a protocol keyword is. */
static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool same_folded(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] && fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

struct slice slice_str(const char *s)
{
    return s != NULL ? (struct slice){s, strlen(s)} : SLICE_NONE;
}

struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){p, n};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
    return a.n == b.n && same_folded(a.p, b.p, a.n);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && same_folded(s.p, prefix.p, prefix.n);
}

bool slice_iends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_ieq(slice_from(s, s.n - suffix.n), suffix);
}

bool slice_ihas(struct slice s, struct slice needle)
{
    for (size_t at = 0; at + needle.n <= s.n; at++)
        if (slice_istarts(slice_from(s, at), needle))
            return true;
    return false;
}

struct slice slice_from(struct slice s, size_t at)
{
    if (at == 0)
        return s; /* also keeps an absent slice absent */
    if (at > s.n)
        at = s.n;
    return at > 0 ? (struct slice){s.p + at, s.n - at} : s;
}

struct slice slice_first(struct slice s, size_t n)
{
    return (struct slice){s.p, n < s.n ? n : s.n};
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = slice_from(s, 1);
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool slice_cut(struct slice s, char sep, struct slice *before, struct slice *after)
{
    const char *at = s.n > 0 ? memchr(s.p, sep, s.n) : NULL;

    if (at == NULL) {
        *before = s;
        *after = slice_first(slice_from(s, s.n), 0);
        return false;
    }
    *before = slice_first(s, (size_t)(at - s.p));
    *after = slice_from(s, before->n + 1);
    return true;
}

bool slice_word(struct slice *rest, struct slice *word)
{
    struct slice s = *rest;
    size_t n = 0;

    while (s.n > 0 && is_blank(s.p[0]))
        s = slice_from(s, 1);
    while (n < s.n && !is_blank(s.p[n]))
        n++;
    *word = slice_first(s, n);
    *rest = slice_from(s, n);
    return n > 0;
}

char *slice_dup(struct slice s)
{
    char *copy = mem_zalloc(s.n + 1);

    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    return copy;
}

bool slice_u64(struct slice s, unsigned long long max, unsigned long long *out)
{
    unsigned long long value = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

        if (digit > 9 || value > max / 10 || digit > max - value * 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}
