/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      destinations - finished destinations of one worker, kept while their answers live
 *
 * DESCRIPTION
 *      A recipient's destination is looked for here first.  A kept one serves as long as every answer behind
 *      it: the shortest time to live of its DNS records and denials (at most 5 min; 0 is for one mail only,
 *      RFC 1035 3.2.1), the MTA-STS policy that it was decided under (the cache still holds this very text, and
 *      it has not expired), the snapshot, the resolver and its DNSSEC validation, no date of an override passed.
 *      Only those with somebody to try are kept, and none of whose look-ups failed; a failure is asked for anew.
 *      Who asks for one that is being looked for waits for the same answer.  Kept by domain and wish; at most
 *      resolver.destinations, the one unused for the longest time goes first.
 *
 *      Worker's thread only.
 */
#ifndef TLSMEND_RELAY_DESTINATIONS_H
#define TLSMEND_RELAY_DESTINATIONS_H

#include "proxy/relay/destination.h"

struct destinations;
struct destinations_query;

/* `snap` is the worker's present one; who still asks by an older one gets an answer that is not kept. */
struct destinations *destinations_new(struct services *sv, struct snapshot *snap);
void destinations_free(
    struct destinations **ds); /* no `done` comes any more; the handles are void */

/* One hold of `d` is yours.  Comes from the loop, never inside destinations_find(). `waited` is how long this asker
 * waited: 0 where it was kept. */
typedef void destinations_done_fn(void *owner, const struct destination *d, int64_t waited);

struct destinations_query *destinations_find(struct destinations *ds, struct snapshot *snap,
                                             const struct mailbox *recipient,
                                             const struct destination_wish *wish,
                                             destinations_done_fn *done, void *owner);
void destinations_cancel(struct destinations_query **q); /* NULL is fine */
/* The worker has another snapshot, resolver or DNSSEC state: what was found before serves no more mail. */
void destinations_renew(struct destinations *ds, struct snapshot *snap);
/* What is kept of the domain is not trusted any more (the second look of RFC 8461 5.1). */
void destinations_forget(struct destinations *ds, const char *domain);
size_t destinations_count(const struct destinations *ds);
size_t destinations_memory(const struct destinations *ds); /* bytes, about */

#endif
