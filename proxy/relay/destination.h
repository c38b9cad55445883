/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      destination - a recipient domain and its finished, unchangeable answer
 *
 * DESCRIPTION
 *      The MX hosts in order, the TLS demand of each, the addresses to try and the facts behind
 *      them (RFC 5321 5.1, RFC 7505; C-MX-01..10).  Found asynchronously by destination_find():
 *      override and route, then MX beside the MTA-STS policy, then A and AAAA of every host, then
 *      its TLSA records where DANE can apply (RFC 7672 2.2); with all that the demand of each host
 *      is decided, once.  Hosts that the demand forbids (demand.skip) have no target.  Either `targets`
 *      has at least one entry, or `reason` says why there is none.  Once made it never changes.
 */
#ifndef TLSMEND_RELAY_DESTINATION_H
#define TLSMEND_RELAY_DESTINATION_H

#include "proxy/policy/demand.h"
#include "proxy/policy/mxset.h"
#include "proxy/policy/reason.h"
#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"
#include "proxy/relay/sts.h"
#include "proxy/smtp/mailbox.h"

struct destination_host {
    char name[256]; /* normalised; the literal's text for an address literal */
    int preference; /* -1: implicit MX, route or literal */
    struct demand demand;
    struct addr *addrs; /* accepted ones */
    size_t addr_count;
    size_t refused;              /* addresses that mail must not go to */
    bool loops;                  /* one of them is our own listener */
    bool mx_secure, addr_secure; /* validated by DNSSEC */
    struct tlsa_plan dane;       /* state, TLSA base domain, records */
    bool sts_listed;             /* by the MTA-STS policy in force */
    char why_skipped[512];       /* with demand.skip: in words, for log and reply */
};

/* What the mail and its listener ask for, beside the configuration. */
struct destination_wish {
    bool requiretls;
    enum observe observe;
};

struct destination {
    char domain[DOMAIN_MAX + 3];  /* normalised; "[192.0.2.1]" for a literal */
    char nexthop[DOMAIN_MAX + 3]; /* the route's host where there is one, else the domain */
    char expanded[DOMAIN_MAX +
                  3]; /* what the domain is an alias of, where all of it is signed; "" */
    bool is_literal, is_route, implicit_mx;
    uint16_t route_port; /* with is_route */
    enum reason reason;  /* OK, or why there is nobody to try */
    char detail[512];
    char policy_domain[DOMAIN_MAX +
                       3]; /* of MTA-STS: the domain, or the route's host (C-STS-05); "" none */
    struct sts_found sts;  /* what was found for it; its entry is held */
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
                                           const struct destination_wish *wish,
                                           destination_done_fn *done, void *owner);
void destination_cancel(struct destination_query **q);
void destination_free(struct destination **d);

/* The policy in force, NULL: none, or one of mode none. */
const struct policy_entry *destination_policy(const struct destination *d);
/* "the MTA-STS policy 2024 (enforce) of example.com lists mx1.example.com, *.example.net" */
void destination_policy_text(const struct destination *d, struct buf *out);
/* MTA-STS stands behind what is owed to this host, or behind its being skipped (C-STS-11). */
bool destination_sts_holds(const struct destination_host *h);
/* Its demand forbids to try it, and that is what is to be told of it. */
bool destination_host_skipped(const struct destination_host *h);

#endif
