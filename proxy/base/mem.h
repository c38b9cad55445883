/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      mem - allocation that does not return NULL
 *
 * DESCRIPTION
 *      For our own small bookkeeping objects.  Their number is bounded by settings (sessions,
 *      recipients, buffers with a cap), so failure means that the host is out of memory: the
 *      process says so and aborts.  Nothing can be lost by that: tlsmend holds no mail that the
 *      client has not kept (docs/architecture.md, "Memory").  Any thread.
 */
#ifndef TLSMEND_BASE_MEM_H
#define TLSMEND_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_zalloc(size_t n);              /* zeroed; free() it */
void *mem_array(size_t count, size_t n); /* zeroed; aborts on overflow of count * n */
void *mem_resize(void *p, size_t count, size_t n);
char *mem_strdup(const char *s); /* NULL gives NULL */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *mem_vformat(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

#endif
