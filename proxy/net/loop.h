/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      loop - one event loop of one thread: timers, deferred calls, calls from other threads
 *
 * DESCRIPTION
 *      Owns the event_base.  Everything but loop_post() and loop_stop() is called by the thread that runs the
 *      loop.  net/clock: loop_now() is the monotonic time of this turn of the loop, loop_wall() the wall time.
 */
#ifndef TLSMEND_NET_LOOP_H
#define TLSMEND_NET_LOOP_H

#include "proxy/base/instant.h"

struct loop;
struct timer;

typedef void loop_fn(void *owner);

struct loop *loop_new(void);     /* NULL: the system refuses (errno) */
void loop_free(struct loop **l); /* runs what is deferred, drops what is posted */
void loop_run(struct loop *l);   /* until loop_stop() */
void loop_stop(struct loop *l);  /* any thread */
mono_ms loop_now(struct loop *l);
wall_ms loop_wall(void);
mono_ms clock_mono(void); /* without a loop */

/* A timer is made once, armed and disarmed often.  `fn` is called from the loop. */
struct timer *timer_new(struct loop *l, loop_fn *fn, void *owner);
void timer_arm(struct timer *t, int64_t ms); /* replaces an earlier deadline; 0: next turn */
void timer_disarm(struct timer *t);          /* NULL, one that was never made, is fine */
bool timer_armed(const struct timer *t);     /* ... here too */
void timer_free(struct timer **t);

/* Call `fn(owner)` when the stack is empty, in this turn of the loop (objects die there, habit 14). */
void loop_defer(struct loop *l, loop_fn *fn, void *owner);

/* From any thread: call `fn(owner)` in the loop's thread.  Order is kept.  False after loop_free began. */
bool loop_post(struct loop *l, loop_fn *fn, void *owner);

/*
 * In test builds (TLSMEND_WATCHDOG) a turn of a watched loop that takes longer than LOOP_BLOCKED_MS, without the time that
 * its thread waited for a processor, is one line on stderr: "tlsmend: loop blocked for 63 ms in FUNCTION (KIND)":
 * the longest part of the turn, e.g. "stream.c:work (deferred)"; KIND is event, timer, posted, deferred or signal.
 * The integration tests look for it.
 */
#define LOOP_BLOCKED_MS 50
/* Before loop_run(): this loop serves nobody and may take its time.  Every other one is watched. */
void loop_unwatched(struct loop *l);

/* Call `fn(owner)` each time `signo` arrives (main thread only). */
bool loop_signal(struct loop *l, int signo, loop_fn *fn, void *owner);

#endif
