/* SPDX-License-Identifier: Apache-2.0 */
/* buf - see buf.h for the contract. */
#include "proxy/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define BUF_FIRST_SIZE 64

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_clear(struct buf *b)
{
    if (b->size > 0)
        free(b->p);
    *b = (struct buf){.cap = b->cap};
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    if (b->size == 0)
        b->p = NULL;
}

/* Room for `size` bytes; doubling keeps many small appends cheap. */
static void grow(struct buf *b, size_t size)
{
    size_t want = b->size > 0 ? b->size : BUF_FIRST_SIZE;

    if (size <= b->size)
        return;
    while (want < size)
        want = want <= SIZE_MAX / 2 ? want * 2 : size;
    /* Memory follows the cap too; one byte more is the NUL of buf_cstr(). */
    if (want > b->cap && b->cap < SIZE_MAX)
        want = size > b->cap + 1 ? size : b->cap + 1;
    if (b->size == 0 && b->n > 0) {
        char *own = mem_resize(NULL, want, 1);

        memcpy(own, b->p, b->n);
        b->p = own;
    } else {
        b->p = mem_resize(b->p, want, 1);
    }
    b->size = want;
}

void buf_lend(struct buf *b, struct slice s)
{
    INVARIANT(b->p == NULL && s.n <= b->cap);
    if (s.n == 0)
        return;
    b->p = (char *)(uintptr_t)s.p; /* never written to: size is 0 */
    b->n = s.n;
}

void buf_own(struct buf *b)
{
    grow(b, b->n);
}

bool buf_reserve(struct buf *b, size_t n)
{
    if (n > b->cap - b->n)
        return false;
    grow(b, b->n + n);
    return true;
}

bool buf_add(struct buf *b, struct slice s)
{
    if (s.n == 0)
        return true;
    if (!buf_reserve(b, s.n))
        return false;
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    return true;
}

bool buf_addc(struct buf *b, char c)
{
    return buf_add(b, slice_of(&c, 1));
}

/* What is not yet in use, the byte for a NUL included. */
static size_t spare(const struct buf *b)
{
    return b->size - b->n;
}

bool buf_addv(struct buf *b, const char *format, va_list args)
{
    va_list again;
    size_t n;
    int size;

    va_copy(again, args);
    buf_own(b);
    if (spare(b) == 0 && b->n < b->cap)
        grow(b, b->n + 1);
    /* Most texts fit in the room that there is; the others are written twice. */
    size = vsnprintf(b->p != NULL ? b->p + b->n : NULL, spare(b), format, args);
    INVARIANT(size >= 0); /* only a format or wide character that we wrote wrongly */
    n = (size_t)size;
    if (n <= b->cap - b->n && n >= spare(b)) {
        grow(b, b->n + n + 1);
        (void)vsnprintf(b->p + b->n, spare(b), format, again);
    }
    va_end(again);
    if (n > b->cap - b->n)
        return false;
    b->n += n;
    return true;
}

bool buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    bool ok;

    va_start(args, format);
    ok = buf_addv(b, format, args);
    va_end(args);
    return ok;
}

void buf_consume(struct buf *b, size_t n)
{
    INVARIANT(n <= b->n);
    b->n -= n;
    if (b->n == 0)
        buf_reset(b);
    else if (b->size == 0)
        b->p += n;
    else if (n > 0)
        memmove(b->p, b->p + n, b->n);
}

struct slice buf_slice(const struct buf *b)
{
    return b->p != NULL ? (struct slice){b->p, b->n} : (struct slice){"", 0};
}

const char *buf_cstr(struct buf *b)
{
    grow(b, b->n + 1);
    b->p[b->n] = '\0';
    return b->p;
}
