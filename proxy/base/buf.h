/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      buf - growing bytes with a cap
 *
 * DESCRIPTION
 *      A buf owns its bytes.  Every buf has a cap; an append that would pass it changes nothing
 *      and answers false, so nothing a peer sends can grow memory past what the caller chose.
 *      Pure; one owner, one thread at a time.
 */
#ifndef TLSMEND_BASE_BUF_H
#define TLSMEND_BASE_BUF_H

#include <stdarg.h>

#include "proxy/base/slice.h"

struct buf {
    char *p;
    size_t n;    /* bytes in use */
    size_t size; /* bytes allocated; 0 with p != NULL: the bytes are lent */
    size_t cap;  /* never more than this in use */
};

void buf_init(struct buf *b, size_t cap);
void buf_clear(struct buf *b); /* frees; the buf is empty and usable again */
void buf_reset(struct buf *b); /* n = 0, keeps the memory */
/* Shows bytes of somebody else, who keeps them longer than the buf lives; they are copied when the buf has to
 * change them.  `b` is empty, and `s` fits under its cap. */
void buf_lend(struct buf *b, struct slice s);
void buf_own(struct buf *b);               /* before bytes are changed in place */
bool buf_reserve(struct buf *b, size_t n); /* room for n more bytes, allocated at once */
bool buf_add(struct buf *b, struct slice s);
bool buf_addc(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_addv(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void buf_consume(struct buf *b, size_t n); /* drop n bytes from the front */
struct slice buf_slice(const struct buf *b);
const char *buf_cstr(struct buf *b); /* NUL-terminated view (the NUL does not count) */

#endif
