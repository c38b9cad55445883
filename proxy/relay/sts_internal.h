/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by sts.c (the look-ups) and sts_log.c (their records). */
#ifndef TLSMEND_RELAY_STS_INTERNAL_H
#define TLSMEND_RELAY_STS_INTERNAL_H

#include <sys/queue.h>

#include "proxy/relay/sts.h"
#include "proxy/relay/sts_fetch.h"

#define STS_WORK_MAGIC 0x7374736bu
#define STS_BUCKETS 256
#define STS_RECORD_PATIENCE_MS 5000 /* with the TXT record; then the cached policy, or none */
#define STS_REFRESH_BATCH 16
#define STS_TROUBLE_MS 60000  /* so long a trouble holds for the mail that follows */
#define STS_OTHER_LOOK_MS 20  /* how often to look whether another thread's fetch has ended */
#define STS_SLOW_MS 10000     /* a fetch that takes longer gives its place to one that waits */
#define STS_SLOW_LOOK_MS 1000 /* ... and how often to look whether one does */
#define STS_GRACE_MS 250      /* the fetch's own deadline comes first, with a truer reason */

struct sts_query { /* one who waits */
    sts_done_fn *done;
    void *owner;
    struct sts_query *next, **link;
};

struct sts_work { /* one domain that is being looked up */
    uint32_t magic;
    struct sts_agent *agent;
    struct snapshot *snapshot;
    struct resolver_share *resolver;
    char domain[DOMAIN_MAX + 3];
    bool refresh, again;
    const struct policy_entry *held;
    enum sts_seen seen;
    char seen_id[STS_ID_MAX + 1];
    enum sts_fetched fetched;
    bool changed, untyped;
    enum reason trouble;
    char detail[256];
    int64_t took_ms;    /* of the fetch */
    mono_ms good_until; /* what was found of the TXT record; 0: the next mail looks again */

    struct dns_query *txt;
    struct sts_fetch *fetch;
    struct timer *patience;
    mono_ms began;       /* the fetch */
    bool claimed;        /* the fetch is ours to make, among all threads */
    struct timer *other; /* while it is another thread's; while it is ours: is it slow? */
    bool waits_for_other;
    bool queued;
    TAILQ_ENTRY(sts_work) places; /* in agent->queue */
    struct sts_query *waiters;
    struct sts_work *next, **link; /* in agent->works */
};

struct sts_agent {
    struct services *services;
    unsigned fetches, fetching;
    bool ending;
    TAILQ_HEAD(sts_queue, sts_work) queue; /* for a fetch, in order */
    struct sts_work *works[STS_BUCKETS];
};

/* The record "sts" of what was done: a fetch, good or bad, or a look-up that failed. */
void sts_log(const struct sts_work *w, const struct sts_step_taken *taken);

#endif
