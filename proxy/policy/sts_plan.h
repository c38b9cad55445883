/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sts_plan - which MTA-STS policy is in force, and what must be asked for it (RFC 8461 3.3, 5.1, 10.2)
 *
 * DESCRIPTION
 *      Pure: what the cache holds, what the TXT look-up said and what the fetch said are handed in,
 *      with the time.  C-STS-06 to 09: a live cached policy survives every failure; a new id is
 *      fetched before use; the same id is not fetched again within STS_BACKOFF_MS of a failure;
 *      refreshed daily, spread; dropped when unused.
 */
#ifndef TLSMEND_POLICY_STS_PLAN_H
#define TLSMEND_POLICY_STS_PLAN_H

#include "proxy/base/instant.h"
#include "proxy/policy/mtasts.h"

#define STS_BACKOFF_MS (5 * 60 * 1000LL)
#define STS_UNUSED_MS (180 * 24 * 60 * 60 * 1000LL)

/* What the cache holds of one domain. */
struct sts_held {
    bool policy; /* there is one, expired or not */
    char id[STS_ID_MAX + 1];
    enum sts_mode mode;
    wall_ms fetched, expires, used;
    /* the last fetch that failed; failed_at 0: none since the last success */
    char failed_id[STS_ID_MAX + 1];
    wall_ms failed_at;
};

enum sts_seen {                   /* what the TXT look-up gave */
                STS_SEEN_NOTHING, /* not asked yet */
                STS_SEEN_RECORD,  /* one good record: its id */
                STS_SEEN_ABSENT, /* an authoritative "no", or records that are none of ours, or not exactly one */
                STS_SEEN_FAILED, /* SERVFAIL, timeout, bogus */
};

enum sts_fetched { STS_FETCH_NOT_TRIED, STS_FETCH_GOOD, STS_FETCH_FAILED };

enum sts_step {
    STS_STEP_ASK,   /* the TXT record */
    STS_STEP_FETCH, /* the policy, for the id seen */
    STS_STEP_HELD,  /* the cached policy is in force */
    STS_STEP_NEW,   /* the one just fetched is */
    STS_STEP_NONE,  /* the domain has none: as if it knew no MTA-STS */
};

struct sts_situation {
    const struct sts_held *held; /* NULL: nothing is known */
    enum sts_seen seen;
    const char *seen_id; /* with STS_SEEN_RECORD */
    enum sts_fetched fetched;
    wall_ms now;
};

struct sts_step_taken {
    enum sts_step step;
    const char *
        why; /* one clause for the log: "the same id is cached", "fetch failed: the cached policy stays" */
    bool degraded; /* something failed on the way: worth a warning (C-STS-08) */
};

struct sts_step_taken sts_plan(const struct sts_situation *s);

/* A clock that was set back does not make a policy eternal: `fetched` in the future counts as now. */
bool sts_live(const struct sts_held *h, wall_ms now);
/* The time of the next refresh without mail: `span` (ms, a day by default) after the fetch and before half
 * of max_age is over, spread by `spread` (a hash of the domain) over the last tenth of that, so that
 * policies fetched together are not refreshed together. */
wall_ms sts_refresh_at(const struct sts_held *h, int64_t span, uint32_t spread);
bool sts_unused(const struct sts_held *h, wall_ms now); /* to be dropped (C-STS-09) */

#endif
