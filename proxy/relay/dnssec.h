/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dnssec - does the resolver that we were given let DNSSEC through?
 *
 * DESCRIPTION
 *      A forwarder that strips signatures makes every answer bogus while a trust anchor is set: all mail would
 *      wait for ever.  So the root is asked (type A: a signed denial) at the start and every hour, with a
 *      resolver of its own.  Stripped: validation goes off, loudly, and mail goes on (C-DANE-01);
 *      as soon as it works again it goes on again.  No answer at all says nothing, and nothing changes.
 *      Main thread.
 */
#ifndef TLSMEND_RELAY_DNSSEC_H
#define TLSMEND_RELAY_DNSSEC_H

#include "config/settings.h"
#include "proxy/net/loop.h"

enum dnssec_state {
    DNSSEC_OFF, /* no trust anchor is configured */
    DNSSEC_WORKS,
    DNSSEC_STRIPPED, /* the answer for the root fails validation */
    DNSSEC_UNKNOWN,  /* no answer: the network or the server is down */
};

struct dnssec_probe;

/* `detail`: what the resolver said, "" if nothing. */
typedef void dnssec_done_fn(void *owner, enum dnssec_state state, const char *detail);

/* `done` comes from the loop, once; NULL (and no `done`) when there is no anchor or no resolver can be made. */
struct dnssec_probe *dnssec_probe_start(struct loop *l, const struct settings *set,
                                        dnssec_done_fn *done, void *owner);
void dnssec_probe_cancel(struct dnssec_probe **p);

/* The same, waited for at most `ms`, in a loop of its own; *detail gets one line or nothing. */
enum dnssec_state dnssec_probe_now(const struct settings *set, int64_t ms, struct buf *detail);

#endif
