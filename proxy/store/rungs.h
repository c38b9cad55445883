/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      rungs - the ladder memory by MX address (C-TLS-06)
 *
 * DESCRIPTION
 *      A bounded table (the entry that ends first goes first), shared by all threads, with its own
 *      lock, kept in the store.  What it decides is policy/ladder; these calls apply it to the
 *      entry of an address under the lock.  The port does not matter to the network path but does
 *      to the server: address and port are the key.  An address that never fell costs nothing.
 */
#ifndef TLSMEND_STORE_RUNGS_H
#define TLSMEND_STORE_RUNGS_H

#include "proxy/base/addr.h"
#include "proxy/policy/ladder.h"

struct rungs;

struct ladder_choice rungs_begin(struct rungs *r, const struct addr *a, bool may_clear,
                                 wall_ms now);
void rungs_worked(struct rungs *r, const struct addr *a, enum tls_rung rung, bool fell, int64_t ttl,
                  wall_ms now);
void rungs_retest_failed(struct rungs *r, const struct addr *a, int64_t ttl, wall_ms now);
void rungs_forget(struct rungs *r, const struct addr *a);
/* What is remembered; false: nothing. */
bool rungs_look(struct rungs *r, const struct addr *a, struct ladder_memory *out);
size_t rungs_count(struct rungs *r);

#endif
