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

#include "proxy/net/tls.h"
#include "proxy/policy/demand.h"
#include "proxy/policy/mxset.h"
#include "proxy/policy/reason.h"
#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"
#include "proxy/relay/sts.h"
#include "proxy/smtp/mailbox.h"

/* What the TLSA records of a host came to; all of policy/tlsa_plan that is worth keeping. */
struct destination_dane {
    enum dane_state state;
    const char
        *base; /* the name whose records were found, else the host; "" where nothing was asked */
    const char *detail; /* a clause for log and reply */
    struct tlsa_record *records;
    size_t record_count, usable_count;
    unsigned char *data; /* of the records */
};

/* Texts are allocated where they are not empty: ten thousand destinations may be kept. */
struct destination_host {
    const char *name;     /* normalised; the literal's text for an address literal */
    const char *provider; /* its registrable domain, inside `name` */
    int preference;       /* -1: implicit MX, route or literal */
    struct demand demand;
    struct addr *addrs; /* accepted ones */
    size_t addr_count;
    size_t refused;              /* addresses that mail must not go to */
    bool loops;                  /* one of them is our own listener */
    bool mx_secure, addr_secure; /* validated by DNSSEC */
    struct destination_dane dane;
    bool sts_listed;         /* by the MTA-STS policy in force */
    const char *why_skipped; /* with demand.skip: in words, for log and reply; "" else */
    unsigned char digest[TLS_DIGEST_LENGTH]; /* of host_request: which connections are alike */
};

/* What the mail and its listener ask for, beside the configuration. */
struct destination_wish {
    bool requiretls;
    enum observe observe;
};

struct destination {
    const char *domain;   /* normalised; "[192.0.2.1]" for a literal */
    const char *nexthop;  /* the route's host where there is one, else the domain */
    const char *expanded; /* what the domain is an alias of, where all of it is signed; "" */
    bool is_literal, is_route, implicit_mx;
    uint16_t route_port; /* with is_route */
    enum reason reason;  /* OK, or why there is nobody to try */
    const char *detail;
    const char *policy_domain; /* of MTA-STS: the domain, or the route's host (C-STS-05); "" none */
    struct sts_found sts;      /* what was found for it; entry and detail are ours */
    struct destination_host *hosts;
    size_t host_count;
    size_t mx_ignored;         /* MX records that no mail can go to: null, literal, malformed */
    struct mx_target *targets; /* one order in which they may be tried: see destination_targets() */
    size_t target_count;
    struct snapshot *snapshot; /* held: the demands lend from it */
    mono_ms good_until;        /* no answer behind it lives longer; one that failed has no life */
    wall_ms dates_until;       /* ... and no date (override, policy) passes before; 0: none will */
    unsigned holds;            /* of one thread */
};

struct destination_query;

typedef void destination_done_fn(void *owner, const struct destination *d); /* one hold is yours */

/* `done` is called from the loop, never inside this call. */
struct destination_query *destination_find(struct services *sv, struct snapshot *snap,
                                           const struct mailbox *recipient,
                                           const struct destination_wish *wish,
                                           destination_done_fn *done, void *owner);
void destination_cancel(struct destination_query **q);
const struct destination *destination_hold(const struct destination *d);
void destination_drop(const struct destination **d); /* frees with the last hold */
/*
 * The order for one mail: hosts of equal preference are shuffled anew (RFC 5321 5.1), a family of
 * addresses that is known to be broken goes last (C-MX-10).  Writes as many as d->target_count, which is
 * what it returns.
 */
size_t destination_targets(const struct destination *d, struct services *sv, struct mx_target *out);

/* The policy in force, NULL: none, or one of mode none. */
const struct policy_entry *destination_policy(const struct destination *d);
/* "the MTA-STS policy 2024 (enforce) of example.com lists mx1.example.com, *.example.net" */
void destination_policy_text(const struct destination *d, struct buf *out);
/* MTA-STS stands behind what is owed to this host, or behind its being skipped (C-STS-11). */
bool destination_sts_holds(const struct destination_host *h);
/* Its demand forbids to try it, and that is what is to be told of it. */
bool destination_host_skipped(const struct destination_host *h);

#endif
