/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      mxset - from MX records to the ordered list of what to try (RFC 5321 5.1, RFC 7505)
 *
 * DESCRIPTION
 *      Pure: the DNS answers, a random seed and the memory of broken families are handed in.
 *      C-MX-01 (order, shuffle, limit), C-MX-04 (null MX), C-MX-06 (refused addresses), C-MX-10.
 */
#ifndef TLSMEND_POLICY_MXSET_H
#define TLSMEND_POLICY_MXSET_H

#include "proxy/base/addr.h"

#define MX_HOSTS_MAX 64 /* further records of one domain are ignored (and logged) */

struct mx_record {
    uint16_t preference;
    char host[256]; /* normalised; "" for "." (null MX) */
};

enum mx_kind {
    MX_LIST,     /* *count hosts remain, sorted, equals shuffled, null MXs taken out */
    MX_NULL,     /* RFC 7505 */
    MX_NONE,     /* no record: implicit MX */
    MX_UNUSABLE, /* records, but no host that could be asked for */
};

/* Sorts and cleans `records` in place.  Address literals and "localhost" as exchange are taken out
 * too (*refused counts them, nulls among others, and what is beyond MX_HOSTS_MAX); duplicates of a
 * host keep the best preference.  The order depends on the records and the seed, not on the order
 * given. */
enum mx_kind mx_sort(struct mx_record *records, size_t *count, uint64_t seed, size_t *refused);

/* The order for one mail: `order` gets the indexes of the hosts, which are sorted by preference; those of
 * equal preference are shuffled anew.  Sorted hosts of another kind (no MX) have a preference of -1. */
void mx_order(const int *preferences, size_t count, uint64_t seed, size_t *order);

enum addr_refusal {
    ADDR_ACCEPTED,
    ADDR_REFUSED_CLASS,   /* loopback, unspecified, multicast */
    ADDR_REFUSED_PRIVATE, /* private, and allow_private_mx is off */
    ADDR_REFUSED_SELF,    /* one of our own listeners */
};

struct addr_filter {
    bool allow_private;
    const struct addr *own; /* our listeners; an unspecified one stands for every local[] address */
    size_t own_count;
    const struct addr *local; /* the addresses of this host, as far as known */
    size_t local_count;
    uint16_t mx_port; /* the port that MXs are asked on */
};

/* SELF goes before the other refusals, so that a loop is called one. */
enum addr_refusal addr_judge(const struct addr_filter *f, const struct addr *a);

/* One address to try. */
struct mx_target {
    size_t host; /* index into the host list */
    struct addr addr;
};

/*
 * Order the accepted addresses: hosts in order, inside a host IPv6 and IPv4 alternate (IPv6 first
 * unless it is known to be broken, then last); at most `limit` in all, and where both families
 * exist both are inside the limit.  Addresses of equal family keep the order given.
 * `out` has room for `limit` entries; returns their number.
 */
struct mx_addresses {
    const struct addr *addrs;
    size_t count;
};
size_t mx_targets(const struct mx_addresses *hosts, size_t host_count, size_t limit,
                  bool ip6_broken, struct mx_target *out);

#endif
