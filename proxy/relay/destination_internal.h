/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by destination.c (the look-ups), destination_make.c (from answers to targets) and
 * destination_life.c (the object: texts, holds, how long it lives). */
#ifndef TLSMEND_RELAY_DESTINATION_INTERNAL_H
#define TLSMEND_RELAY_DESTINATION_INTERNAL_H

#include "proxy/relay/destination.h"

#define DESTINATION_LIFE_MAX_MS (5 * 60 * 1000LL)

/* ---- destination_life.c ---- */

/* The domain as a destination bears it: normalised, a literal as it came. */
void destination_key(const struct mailbox *recipient, char out[DOMAIN_MAX + 3]);
struct destination *destination_new(struct snapshot *snap, const struct mailbox *recipient);
void destination_free(struct destination **d); /* one that nobody else holds */
/* A copy; of nothing the constant "", which needs no memory. */
const char *destination_text(const char *text);
void destination_text_drop(const char **text);
/* An answer that had a part lives so long. */
void destination_lives(struct destination *d, mono_ms until);
/* The first date at which the answer may be another: a row of the configuration or the policy ends. */
wall_ms destination_dates(const struct destination *d, wall_ms now);
/* It may serve once more; what is outside of it (snapshot, resolver, policy) aside. */
bool destination_good(const struct destination *d, mono_ms now, wall_ms wall);
size_t destination_memory(const struct destination *d); /* bytes, about */

/* ---- destination.c, destination_host.c and destination_make.c ---- */

/* The DNS answers for one host; NULL where nothing was asked. */
struct host_answers {
    const struct dns_answer *a, *aaaa;
};

/* One host's look-ups: addresses, then what DANE needs (destination_host.c). */
struct host_query;
typedef void host_done_fn(void *owner);
/* `done` comes once for each, from the loop. */
struct host_query *host_query_start(struct services *sv, struct resolver *r,
                                    const struct destination *d, struct destination_host *h,
                                    host_done_fn *done, void *owner);
const struct host_answers *host_query_answers(const struct host_query *q);
mono_ms host_query_good_until(const struct host_query *q);
void host_query_free(struct host_query **q); /* cancels what is under way */

/* Takes over the accepted addresses of `answers` (one per d->hosts) and fills d->targets, or
 * d->reason and d->detail. */
void destination_settle(struct destination *d, struct services *sv,
                        const struct host_answers *answers);
/* A host that is an address already (literal, or a route to an address). */
void destination_settle_address(struct destination *d, const struct addr *a);
void destination_fail(struct destination *d, enum reason why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Decides the demand of every host, when all is known of it. */
void destination_demands(struct destination *d, const struct destination_wish *wish, wall_ms now);
/* The reason for a look-up that gave neither records nor a denial. */
enum reason reason_of_dns(enum dns_status s);

#endif
