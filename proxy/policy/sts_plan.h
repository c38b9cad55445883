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

/* What the TXT look-up gave.  ABSENT: an authoritative "no", records that are none of ours, not
 * exactly one, or one against the grammar.  FAILED: SERVFAIL, timeout, bogus. */
enum sts_seen { STS_SEEN_NOTHING, STS_SEEN_RECORD, STS_SEEN_ABSENT, STS_SEEN_FAILED };

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
    const char *why; /* one clause for the log: "the same id is cached" */
    bool degraded;   /* something failed on the way: worth a warning (C-STS-08) */
};

/* What was fetched counts first, then what was seen.  With STS_FETCH_NOT_TRIED the answer may be ASK
 * or FETCH, otherwise it never is: at most one look-up and one fetch each time.  FETCH only with
 * STS_SEEN_RECORD.  HELD only while sts_live(), and with sts_live() never NONE.  A held policy of mode
 * none is no warning when it cannot be renewed (RFC 8461 3.3). */
struct sts_step_taken sts_plan(const struct sts_situation *s);

/* A policy is in force from its fetch until it expires.  A clock that was set back does not end it and
 * does not make it eternal: a fetch in the future counts as now, but only up to the policy's own
 * lifetime or a day ahead, whichever is more.  sts_plan() asks for a new fetch as soon as it sees
 * such a policy (more than STS_BACKOFF_MS ahead), so that its time counts from the new clock. */
bool sts_live(const struct sts_held *h, wall_ms now);
/* The time of the next refresh without mail: `span` (ms, a day by default) after the fetch and before
 * half of max_age is over, but never sooner than STS_BACKOFF_MS; spread by `spread` (a hash of the
 * domain) over the last tenth of that, so that policies fetched together are not refreshed together.
 * After a failure: a 24th of that wait later, at least STS_BACKOFF_MS. */
wall_ms sts_refresh_at(const struct sts_held *h, int64_t span, uint32_t spread);
/* To be dropped (C-STS-09): not used for STS_UNUSED_MS; or no policy, and a failure that is older than
 * STS_BACKOFF_MS. */
bool sts_unused(const struct sts_held *h, wall_ms now);

#endif
