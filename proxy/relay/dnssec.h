/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dnssec - does the resolver that we were given let DNSSEC through?
 *
 * DESCRIPTION
 *      The root, or the zone of another trust anchor, is asked (type A: a signed answer or denial) at the start, every hour, behind every reload and more often
 *      in doubt, with a resolver of its own.  What follows from the answers is policy/dnssec_trust; here are
 *      the probe, its times and the records (C-DANE-01).  Main thread.
 */
#ifndef TLSMEND_RELAY_DNSSEC_H
#define TLSMEND_RELAY_DNSSEC_H

#include "config/settings.h"
#include "proxy/net/loop.h"
#include "proxy/policy/dnssec_trust.h"
#include "proxy/store/log.h"

struct dnssec_probe;

/* `detail`: what the resolver said, "" if nothing. */
typedef void dnssec_done_fn(void *owner, enum dnssec_state seen, const char *detail);

/* `done` comes from the loop, once; NULL (and no `done`) when there is no anchor or no resolver can be made. */
struct dnssec_probe *dnssec_probe_start(struct loop *l, const struct settings *set,
                                        dnssec_done_fn *done, void *owner);
void dnssec_probe_cancel(struct dnssec_probe **p);

/* The same, waited for at most `ms`, in a loop of its own; *detail gets one line or nothing. */
enum dnssec_state dnssec_probe_now(const struct settings *set, int64_t ms, struct buf *detail);

/* ---- all the time ---- */

struct dnssec_watch;

struct dnssec_watch_params { /* l and log live longer than the watch */
    struct loop *loop;
    struct log *log;
    struct settings *settings;              /* held */
    int64_t patience;                       /* ms that the start may wait for an answer */
    void (*validate)(void *owner, bool on); /* the answer of dnssec_watch_validates() changed */
    void *owner;
};

/* The first probe is made inside; never NULL. */
struct dnssec_watch *dnssec_watch_new(const struct dnssec_watch_params *p);
void dnssec_watch_free(struct dnssec_watch **w); /* NULL is fine */
void dnssec_watch_tell(struct dnssec_watch *w);  /* the record of the start */
bool dnssec_watch_validates(const struct dnssec_watch *w);
/* After a reload: probes at once; with other settings of the resolver all trust is new. */
void dnssec_watch_reload(struct dnssec_watch *w, struct settings *fresh);

#endif
