/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by destination.c (the look-ups) and destination_make.c (the pure rest: from answers to
 * targets). */
#ifndef TLSMEND_RELAY_DESTINATION_INTERNAL_H
#define TLSMEND_RELAY_DESTINATION_INTERNAL_H

#include "proxy/relay/destination.h"

/* The DNS answers for one host; NULL where nothing was asked. */
struct host_answers {
    const struct dns_answer *a, *aaaa;
};

/* Takes over the accepted addresses of `answers` (one per d->hosts) and fills d->targets, or
 * d->reason and d->detail. */
void destination_settle(struct destination *d, struct services *sv,
                        const struct host_answers *answers);
/* A host that is an address already (literal, or a route to an address). */
void destination_settle_address(struct destination *d, const struct addr *a);
void destination_fail(struct destination *d, enum reason why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Decides the demand of every host. */
void destination_demands(struct destination *d, wall_ms now);
/* The reason for a look-up that gave neither records nor a denial. */
enum reason reason_of_dns(enum dns_status s);

#endif
