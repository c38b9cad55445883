/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      loop_internal - what the other files of proxy/net may know of the loop
 *
 * DESCRIPTION
 *      Every function that libevent calls stands between loop_enter() and loop_leave(); the latter runs what was
 *      deferred, so nothing of the object that was called may be touched behind it.
 */
#ifndef TLSMEND_NET_LOOP_INTERNAL_H
#define TLSMEND_NET_LOOP_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "proxy/net/loop.h"

struct event_base *loop_base(struct loop *l);
/* Where no descriptor is left, event_base_new() ends the process: ask before it may be called, by us
 * or by libunbound for its thread.  False: errno says why. */
bool loop_files_spare(void);
void loop_enter(struct loop *l);
void loop_leave(struct loop *l);

/* Memory for bytes on their way through, so that a connection needs none of its own: a few pieces of
 * LOOP_SCRATCH bytes, the last one given back goes out first.  NULL: all are lent just now, or this is no turn of
 * the loop.  Each is given back in the same turn. */
#define LOOP_SCRATCH ((size_t)72 * 1024)
#define LOOP_SCRATCHES 8
char *loop_borrow(struct loop *l);
void loop_give_back(struct loop *l, char *memory);

/* A timer inside another object.  Most deadlines are put off again and again and never reached: libevent's heap
 * is not touched for that, the event fires at the old time and finds out. */
struct timer {
    uint32_t magic;
    struct loop *loop;
    struct event event;
    loop_fn *fn;
    void *owner;
    mono_ms due;
    mono_ms fires; /* when the event does, while it is added */
    bool added;
    bool armed;
};

void timer_init(struct timer *t, struct loop *l, loop_fn *fn, void *owner);
void timer_end(struct timer *t);

/* Something without an owner (a stream that finishes) that must not outlive the loop. */
struct loop_hook {
    struct loop_hook *next, **link;
    loop_fn *fn;
    void *owner;
};

void loop_hook_add(struct loop *l, struct loop_hook *h);
void loop_hook_remove(struct loop_hook *h);

#endif
