/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by destination.c (the look-ups) and destination_make.c (the pure rest: from answers to
 * targets). */
#ifndef TLSMEND_RELAY_DESTINATION_INTERNAL_H
#define TLSMEND_RELAY_DESTINATION_INTERNAL_H

#include "proxy/relay/destination.h"

/* destination.c, destination_host.c and destination_make.c: */

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
