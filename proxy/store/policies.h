/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      policies - the cache of MTA-STS policies (C-STS-05 to 09)
 *
 * DESCRIPTION
 *      By policy domain (normalised), shared by all threads, with its own lock.  An entry is
 *      constant and counted: a picture of what was known when it was found.  At most
 *      `policies_max` policies, and 2 KiB of text for each of them on the average (16 MiB in any
 *      case): the one unused for the longest time goes first; a refresh is no use.  Failures of a
 *      fetch are kept beside the policy, and alone where there is none (as many again, no policy
 *      goes for them), in memory only.
 */
#ifndef TLSMEND_STORE_POLICIES_H
#define TLSMEND_STORE_POLICIES_H

#include "proxy/policy/sts_plan.h"

struct policies;

struct policy_entry { /* constant */
    char domain[DOMAIN_MAX + 3];
    struct sts_held held; /* as of when it was found; policy false: only a failure is known */
    struct sts_policy policy;
    struct slice body; /* the text as fetched */
};

/* One hold is yours, NULL: nothing is known of the domain. */
const struct policy_entry *policies_find(struct policies *p, const char *domain);
const struct policy_entry *policy_entry_hold(const struct policy_entry *e);
void policy_entry_drop(const struct policy_entry **e);

/* A fetch succeeded: the text was parsed already and is good.  Copies all.  False: it does not
 * parse after all, or that is no domain; nothing is changed. */
bool policies_put(struct policies *p, const char *domain, const char *id, struct slice body,
                  wall_ms now);
/* A fetch for `id` failed ("" in a refresh without a record). */
void policies_failed(struct policies *p, const char *domain, const char *id, wall_ms now);
/* One thread at a time fetches the policy of a domain.  True: it is you, until policies_release(); false:
 * somebody else does, and what comes of it will be found here. */
bool policies_claim(struct policies *p, const char *domain);
void policies_release(struct policies *p, const char *domain);
/* A mail used it; written at most once a day. */
void policies_used(struct policies *p, const char *domain, wall_ms now);
/* The policy of the domain is still that of `e` (NULL: there is still none), and a mail used it.  False: it is to be
 * looked for anew.  Cheap enough for every mail. */
bool policies_still(struct policies *p, const char *domain, const struct policy_entry *e,
                    wall_ms now);
void policies_remove(struct policies *p, const char *domain);

/* Up to `max` domains that are to be refreshed at `now` (sts_refresh_at()), the most overdue
 * first; a domain given out is not given again for an hour.  Drops what is unused (sts_unused())
 * or expired for more than a day.  Cheap enough for each second.  A clock that was set back by
 * more than a minute is noticed here: what it fetched before is due now. */
size_t policies_due(struct policies *p, wall_ms now, int64_t refresh_span,
                    char (*out)[DOMAIN_MAX + 3], size_t max);
size_t policies_count(struct policies *p);

#endif
