/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      search_internal - from the leaf to an anchor: the bounded path search (C-CERT-04, C-CERT-07)
 */
#ifndef TLSMEND_CERTS_SEARCH_INTERNAL_H
#define TLSMEND_CERTS_SEARCH_INTERNAL_H

#include "certs/findings_internal.h"
#include "certs/trust_internal.h"

/* What signatures may cost for one chain, the library's work included; a P-256 signature costs 1. */
#define SEARCH_COST_MAX 100
#define SEARCH_PATHS_MAX 48   /* finished paths looked at */
#define SEARCH_STEPS_MAX 2000 /* certificates put on a path */

enum link { LINK_BAD, LINK_GOOD, LINK_UNKNOWN /* weak or unusable: refused by the rules */ };

struct link_memo {
    const struct cert *child, *issuer;
    enum link link;
};

struct search {
    /* set by the caller */
    const struct trust_store *trust;
    struct cert *const *sent; /* as the peer sent them, leaf first; broken ones are passed over */
    size_t sent_count;
    wall_ms now;
    int min_rsa_bits;

    /* the answer: an accepted path without findings, or the failing path that tells most */
    bool accepted;
    struct path best;
    struct findings findings;
    char stale_crl[FINDING_DETAIL]; /* "" or a note about a list that is out of date */
    bool cut_off;                   /* a bound was reached */

    /* inside */
    struct path path;
    unsigned best_score, paths, steps;
    struct link_memo memo[SEARCH_COST_MAX];
    size_t memo_count;
    unsigned spent;
    char note[FINDING_DETAIL];
};

void search_run(struct search *s);
/* Of one signature by this key, in those units. */
unsigned search_cost_of(const struct cert *issuer);

#endif
