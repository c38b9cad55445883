/* SPDX-License-Identifier: Apache-2.0 */
/* policies - see policies.h for the contract: who fetches the policy of a domain just now. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/policies_internal.h"

/* There are as many as there are look-ups that fetch or wait for a place: a list is enough. */
struct policy_claim {
    SLIST_ENTRY(policy_claim) claims;
    char domain[];
};

static struct policy_claim *find_claim(const struct policies *p, const char *domain)
{
    struct policy_claim *c;

    SLIST_FOREACH(c, &p->claims, claims)
    if (strcmp(c->domain, domain) == 0)
        return c;
    return NULL;
}

bool policies_claim(struct policies *p, const char *domain)
{
    size_t n = strlen(domain) + 1;
    struct policy_claim *c;
    bool is_mine;

    pthread_mutex_lock(&p->lock);
    is_mine = find_claim(p, domain) == NULL;
    if (is_mine) {
        c = mem_zalloc(sizeof(*c) + n);
        memcpy(c->domain, domain, n);
        SLIST_INSERT_HEAD(&p->claims, c, claims);
    }
    pthread_mutex_unlock(&p->lock);
    return is_mine;
}

void policies_release(struct policies *p, const char *domain)
{
    struct policy_claim *c;

    pthread_mutex_lock(&p->lock);
    c = find_claim(p, domain);
    if (c != NULL)
        SLIST_REMOVE(&p->claims, c, policy_claim, claims);
    pthread_mutex_unlock(&p->lock);
    free(c);
}

void policies_claims_clear(struct policies *p)
{
    while (!SLIST_EMPTY(&p->claims)) {
        struct policy_claim *c = SLIST_FIRST(&p->claims);

        SLIST_REMOVE_HEAD(&p->claims, claims);
        free(c);
    }
}
