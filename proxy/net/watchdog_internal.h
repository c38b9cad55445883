/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      watchdog_internal - says when a turn of the loop took too long, and which function did
 *
 * DESCRIPTION
 *      Only in test builds (TLSMEND_WATCHDOG); else every call is nothing.  What counts is the wall time of a turn
 *      without the time that the thread waited for a processor, so neither a busy machine nor a full queue of
 *      events makes an alarm, and a wait for a disk or a lock does.  See LOOP_BLOCKED_MS in loop.h.
 */
#ifndef TLSMEND_NET_WATCHDOG_INTERNAL_H
#define TLSMEND_NET_WATCHDOG_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct watchdog;

#ifdef TLSMEND_WATCHDOG

struct watchdog *watchdog_new(void);
void watchdog_free(struct watchdog **w);
/* The calling thread runs the loop from now on, or no longer. */
void watchdog_attach(struct watchdog *w);
void watchdog_detach(struct watchdog *w);
void watchdog_silence(struct watchdog *w); /* for good: attaching does nothing */
/* A turn begins; the code at `where` is what runs first. */
void watchdog_turn(struct watchdog *w, uintptr_t where);
/* From now on it is `where` that runs; `kind` is static. */
void watchdog_next(struct watchdog *w, const char *kind, uintptr_t where);
void watchdog_turned(struct watchdog *w);

#else

static inline struct watchdog *watchdog_new(void)
{
    return NULL;
}

static inline void watchdog_free(struct watchdog **w)
{
    *w = NULL;
}

static inline void watchdog_attach(struct watchdog *w)
{
    (void)w;
}

static inline void watchdog_detach(struct watchdog *w)
{
    (void)w;
}

static inline void watchdog_silence(struct watchdog *w)
{
    (void)w;
}

static inline void watchdog_turn(struct watchdog *w, uintptr_t where)
{
    (void)w;
    (void)where;
}

static inline void watchdog_next(struct watchdog *w, const char *kind, uintptr_t where)
{
    (void)w;
    (void)kind;
    (void)where;
}

static inline void watchdog_turned(struct watchdog *w)
{
    (void)w;
}

#endif
#endif
