/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      invariant - what must stay true, checked in production too
 *
 * DESCRIPTION
 *      INVARIANT(x) prints file, line and expression to stderr and aborts when x is false.  It is
 *      for our own bugs, never for anything that a peer, a file or an operator can cause.
 *      OBJ_CAST proves what a void pointer from a foreign library is: the first member of such a
 *      struct is `uint32_t magic`.
 */
#ifndef TLSMEND_BASE_INVARIANT_H
#define TLSMEND_BASE_INVARIANT_H

#include <stdint.h>

_Noreturn void invariant_failed(const char *file, int line, const char *what);

#define INVARIANT(x) ((x) ? (void)0 : invariant_failed(__FILE__, __LINE__, #x))

void *obj_check(void *p, uint32_t magic, const char *file, int line);
#define OBJ_CAST(T, MAGIC, from) ((struct T *)obj_check((from), (MAGIC), __FILE__, __LINE__))

#endif
