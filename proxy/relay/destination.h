/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      destination - a recipient domain and its finished, unchangeable answer
 *
 * DESCRIPTION
 *      The MX hosts in order, the TLS demand of each, the addresses to try and the facts behind
 *      them (RFC 5321 5.1, RFC 7505; C-MX-01..10).  Found asynchronously by destination_find():
 *      override and route, then MX, then A and AAAA of every host.  Either `targets` has at least
 *      one entry, or `reason` says why there is none.  Once made it never changes.
 */
#ifndef TLSMEND_RELAY_DESTINATION_H
#define TLSMEND_RELAY_DESTINATION_H

#include "proxy/policy/demand.h"
#include "proxy/policy/mxset.h"
#include "proxy/policy/reason.h"
#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"
#include "proxy/smtp/mailbox.h"

struct destination_host {
    char name[256]; /* normalised; the literal's text for an address literal */
    int preference; /* -1: implicit MX, route or literal */
    struct demand demand;
    struct addr *addrs; /* accepted ones */
    size_t addr_count;
    size_t refused;              /* addresses that mail must not go to */
    bool loops;                  /* one of them is our own listener */
    bool mx_secure, addr_secure; /* DNSSEC state, for what comes later */
};

struct destination {
    char domain[DOMAIN_MAX + 3];  /* normalised; "[192.0.2.1]" for a literal */
    char nexthop[DOMAIN_MAX + 3]; /* the route's host where there is one, else the domain */
    bool is_literal, is_route, implicit_mx;
    uint16_t route_port; /* with is_route */
    enum reason reason;  /* OK, or why there is nobody to try */
    char detail[256];
    struct destination_host *hosts;
    size_t host_count;
    size_t mx_ignored;         /* MX records that no mail can go to: null, literal, malformed */
    struct mx_target *targets; /* in the order in which they are tried */
    size_t target_count;
    int64_t took_ms;
    struct snapshot *snapshot; /* held: the demands lend from it */
};

struct destination_query;

typedef void destination_done_fn(void *owner, struct destination *d); /* yours to free */

/* `done` is called from the loop, never inside this call. */
struct destination_query *destination_find(struct services *sv, struct snapshot *snap,
                                           const struct mailbox *recipient,
                                           destination_done_fn *done, void *owner);
void destination_cancel(struct destination_query **q);
void destination_free(struct destination **d);

#endif
