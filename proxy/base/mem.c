/* SPDX-License-Identifier: Apache-2.0 */
/* mem - see mem.h for the contract. */
#include "proxy/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"

static _Noreturn void out_of_memory(size_t wanted)
{
    fprintf(stderr, "tlsmend: out of memory (%zu bytes wanted)\n", wanted);
    abort();
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n > 0 ? n : 1);

    if (p == NULL)
        out_of_memory(n);
    return p;
}

void *mem_array(size_t count, size_t n)
{
    INVARIANT(n == 0 || count <= SIZE_MAX / n);
    return mem_zalloc(count * n);
}

void *mem_resize(void *p, size_t count, size_t n)
{
    void *moved;

    INVARIANT(n == 0 || count <= SIZE_MAX / n);
    /* realloc(p, 0) may free p and answer NULL: never ask for nothing. */
    moved = realloc(p, count * n > 0 ? count * n : 1);
    if (moved == NULL)
        out_of_memory(count * n);
    return moved;
}

char *mem_strdup(const char *s)
{
    size_t n;

    if (s == NULL)
        return NULL;
    n = strlen(s) + 1;
    return memcpy(mem_zalloc(n), s, n);
}

char *mem_format(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = mem_vformat(format, args);
    va_end(args);
    return text;
}

char *mem_vformat(const char *format, va_list args)
{
    char *text;

    if (vasprintf(&text, format, args) < 0)
        out_of_memory(strlen(format));
    return text;
}
