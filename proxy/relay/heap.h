/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      heap - memory goes back to the system behind a crowd
 *
 * DESCRIPTION
 *      The allocator keeps what thousands of sessions have held, scattered over pages that are
 *      hardly used any more.  When the crowd of a worker has shrunk to a quarter, it is told to
 *      give the free pages back: once, not with every session.  Worker's thread only.
 */
#ifndef TLSMEND_RELAY_HEAP_H
#define TLSMEND_RELAY_HEAP_H

#include "proxy/net/loop.h"

struct heap_watch;

/* `crowd`: how many there are just now (clients and connections to MX hosts). */
struct heap_watch *heap_watch_new(struct loop *l, size_t (*crowd)(const void *owner),
                                  const void *owner);
void heap_watch_free(struct heap_watch **w); /* NULL is fine */
/* There is one more. */
void heap_watch_grew(struct heap_watch *w);

#endif
