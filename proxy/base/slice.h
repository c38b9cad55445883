/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      slice - bytes and their length, travelling together
 *
 * DESCRIPTION
 *      A slice lends bytes that somebody else owns; it is never NUL-terminated by promise, and
 *      strlen() never sees a peer's data.  {NULL, 0} is "absent", a non-NULL pointer with n == 0
 *      is "empty".  Pure; any thread.
 */
#ifndef TLSMEND_BASE_SLICE_H
#define TLSMEND_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit) ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf's "%.*s"; the text must be trusted or escaped already. */
#define SLICE_ARG(s) (int)(s).n, (s).p != NULL ? (s).p : ""

struct slice slice_str(const char *s); /* NULL gives SLICE_NONE */
struct slice slice_of(const void *p, size_t n);
bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b); /* ASCII case folding only */
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_iends(struct slice s, struct slice suffix);
bool slice_ihas(struct slice s, struct slice needle); /* contains, ASCII case folding */
struct slice slice_from(struct slice s, size_t at);   /* s without its first `at` bytes */
struct slice slice_first(struct slice s, size_t n);   /* at most n bytes */
struct slice slice_trim(struct slice s);              /* without SP and HT at both ends */

/* Cut at the first `sep`: *before and *after exclude it.  False (and *before = s, *after = empty)
 * where there is none. */
bool slice_cut(struct slice s, char sep, struct slice *before, struct slice *after);

/* The next word of *rest (separated by SP or HT), removed from it; false at the end. */
bool slice_word(struct slice *rest, struct slice *word);

/* A NUL-terminated heap copy, yours to free(); an absent slice gives "". Embedded NUL bytes are the
 * caller's to refuse before. */
char *slice_dup(struct slice s);

/* Decimal digits only, no sign, no blanks, no overflow past max. */
bool slice_u64(struct slice s, unsigned long long max, unsigned long long *out);

#endif
