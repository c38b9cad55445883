/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      privileges - from root to the user that tlsmend runs as
 *
 * DESCRIPTION
 *      Root is needed only to bind; everything after that happens as `user`.  Main thread, before
 *      other threads exist.
 */
#ifndef TLSMEND_RELAY_PRIVILEGES_H
#define TLSMEND_RELAY_PRIVILEGES_H

#include "proxy/base/buf.h"

/*
 * As root: become `user` with its groups, for good.  Otherwise nothing happens.  A user that was
 * not `chosen` by the administrator and does not exist falls back to "nobody", which *note says.
 * False with one line in *note on failure.
 */
bool privileges_drop(const char *user, bool chosen, struct buf *note);

/* As many open files as the hard limit allows; *note says when `wanted` is more than that. */
void privileges_raise_files(unsigned long wanted, struct buf *note);

#endif
