/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sts - which MTA-STS policy is in force for a domain: look-up, fetch, cache, refresh
 *
 * DESCRIPTION
 *      The I/O around policy/sts_plan: the TXT record by the resolver, the policy by HTTPS, the cache in
 *      the store (RFC 8461 3, C-STS-01 to 09).  One agent per loop; those of the workers serve mail,
 *      main's one refreshes what is due, without mail.  Who asks for a domain that is being looked up
 *      already waits for the same answer.  At most `fetches` fetches of one agent are under way; more wait
 *      in order.  Loop's thread; `done` never comes inside sts_find().
 */
#ifndef TLSMEND_RELAY_STS_H
#define TLSMEND_RELAY_STS_H

#include "proxy/policy/reason.h"
#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"
#include "proxy/store/policies.h"

struct sts_agent;
struct sts_query;

struct sts_found {
    const struct policy_entry *entry; /* in force, one hold is yours; NULL: none */
    const char *why;                  /* one clause: how it came so */
    enum reason trouble;              /* what went wrong on the way; OK: nothing */
    const char *detail;               /* ... in words; lives during the call */
    mono_ms good_until;               /* the TXT record's, or its denial's; a trouble is short */
};

typedef void sts_done_fn(void *owner, struct sts_found *found);

/* `fetches`: of this agent at one time.  The services are lent. */
struct sts_agent *sts_agent_new(struct services *sv, unsigned fetches);
void sts_agent_free(struct sts_agent **a); /* no `done` comes any more; the handles are void */

/* `again`: the second look of RFC 8461 5.1, before a mail is refused: a policy older than a few minutes is
 * fetched anew though its id did not change. */
struct sts_query *sts_find(struct sts_agent *a, struct snapshot *snap, const char *domain,
                           bool again, sts_done_fn *done, void *owner);
void sts_cancel(struct sts_query **q); /* NULL is fine */

/* Begin as many refreshes as are due and as there is room for (C-STS-09). */
void sts_refresh(struct sts_agent *a, struct snapshot *snap);

#endif
