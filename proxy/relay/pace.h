/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      pace - clients are taken up as fast as those before them get on
 *
 * DESCRIPTION
 *      Counts the sessions of a worker that get on: those that took a step within the last 20 to 40 ms, or that
 *      have waited for an MX for less than 20.  When thousands of clients come at once, serving all of them a
 *      little at a time is dearer than serving some at a time to the end: each step meets memory that the others
 *      have driven out of the caches, and each session holds a connection to an MX meanwhile.  So the worker
 *      accepts no more clients while there are PACE_MOST such sessions; the others wait with the kernel.  A slow MX
 *      keeps nobody out; nor does a client that is slow itself, or that sends a long body.  Pure: the caller brings
 *      the time.  One worker's thread.
 */
#ifndef TLSMEND_RELAY_PACE_H
#define TLSMEND_RELAY_PACE_H

#include <stdbool.h>

#include "proxy/base/instant.h"

#define PACE_MS 20
#define PACE_MOST 128

struct pace {
    int64_t span;         /* which PACE_MS it is */
    unsigned now, before; /* sessions whose last step was in this span, in the one before */
};

/* The session's: the span of its last step, 0 before the first. */
typedef int64_t pace_mark;

void pace_step(struct pace *p, pace_mark *mark, mono_ms now);
void pace_wait(struct pace *p, pace_mark *mark, mono_ms now);  /* from here on for an MX */
void pace_leave(struct pace *p, pace_mark *mark, mono_ms now); /* it ends */
/* Too many get on just now.  With `held`, that is so until an eighth of them is through. */
bool pace_is_full(struct pace *p, bool held, mono_ms now);

#endif
