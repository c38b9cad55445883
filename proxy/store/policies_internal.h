/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      policies_internal - the table of policies; shared by policies.c and policies_disk.c
 */
#ifndef TLSMEND_STORE_POLICIES_INTERNAL_H
#define TLSMEND_STORE_POLICIES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "proxy/store/policies.h"
#include "proxy/store/store_internal.h"
#include "proxy/store/table_internal.h"

#define POLICY_DOMAIN_MAX (DOMAIN_MAX + 2)
#define POLICY_BYTES_MEAN ((size_t)2 * 1024)        /* of memory, for each of policies_max; */
#define POLICY_BYTES_MIN ((size_t)16 * 1024 * 1024) /* ... but so much in any case */
#define POLICY_EXPIRED_MS (24 * 60 * 60 * 1000LL)   /* kept so long behind its end */
#define POLICY_USED_MS (24 * 60 * 60 * 1000LL)      /* a use is written so often */

struct policy_text { /* constant */
    atomic_uint holds;
    enum sts_mode mode;
    int64_t max_age;
    struct slice body; /* `bytes`; it parses */
    char bytes[];
};

struct policy_slot {
    struct slot slot;
    TAILQ_ENTRY(policy_slot) uses;
    struct sts_held held;
    wall_ms used_told; /* the use that the disk knows, or is about to */
    wall_ms given;     /* when policies_due() gave the domain out; 0: never */
    struct policy_text *text;
    char domain[];
};

TAILQ_HEAD(slots_by_use, policy_slot);

struct policy_claim;
SLIST_HEAD(policy_claims, policy_claim);

struct policies {
    pthread_mutex_t lock;
    struct bell *bell;
    struct table table;
    struct slots_by_use by_use, failures; /* the longest unused first; without a policy: by time */
    size_t count, failure_count, max;
    size_t bytes;     /* of the texts */
    bool read;        /* all that the disk had is here */
    bool left_behind; /* rows for which there was no room */
    bool timed;       /* policies_due() was called: `span`, and times in the heap */
    int64_t span;
    wall_ms clock; /* the highest time seen by it */
    struct policy_claims claims;
};

/* Of all texts together. */
static inline size_t policies_bytes_max(const struct policies *p)
{
    size_t n = p->max * POLICY_BYTES_MEAN;

    return n < POLICY_BYTES_MIN ? POLICY_BYTES_MIN : n;
}

/* NULL: the text does not parse. */
struct policy_text *policy_text_new(struct slice body);
struct policy_text *policy_text_hold(struct policy_text *t); /* NULL is fine */
void policy_text_drop(struct policy_text **t);
struct policy_slot *policy_slot_of(struct slot *s);

/* Both locked.  A slot for the domain, out of its list, to be changed and then enlisted. */
struct policy_slot *policies_slot(struct policies *p, const char *domain);
void policies_enlist(struct policies *p, struct policy_slot *s);

void policies_claims_clear(struct policies *p);

#endif
