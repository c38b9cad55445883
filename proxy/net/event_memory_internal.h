/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      event_memory - the small, lasting pieces of libevent lie together
 *
 * DESCRIPTION
 *      libevent keeps a little entry for each descriptor number that it has ever seen, until its base
 *      goes.  Made while thousands of sessions come, each of them would hold down a page that the
 *      sessions leave: after 9,000 of them tlsmend kept 6 KiB for each, and 0.2 with the entries
 *      apart.  So what libevent asks for up to EVENT_MEMORY_SMALL bytes comes from slabs of our own, which
 *      are used again and never given back.  Any thread.
 */
#ifndef TLSMEND_NET_EVENT_MEMORY_INTERNAL_H
#define TLSMEND_NET_EVENT_MEMORY_INTERNAL_H

#include <stddef.h>

#define EVENT_MEMORY_SMALL 64

/* Before anything else of libevent is called; again is harmless. */
void event_memory_install(void);

/* What libevent calls; for the tests. */
void *event_memory_get(size_t n);
void *event_memory_resize(void *p, size_t n);
void event_memory_put(void *p);

#endif
