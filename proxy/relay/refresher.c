/* SPDX-License-Identifier: Apache-2.0 */
/* See refresher.h. */
#include "proxy/relay/refresher.h"

#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/resolvers.h"
#include "proxy/relay/sts.h"

#define REFRESHER_MAGIC 0x72667273u
#define LOOK_MS 1000
#define WHY_MAX 1024

struct refresher {
    uint32_t magic;
    struct services services;
    struct snapshot *snapshot;
    struct timer *timer;
};

static void on_look(void *owner)
{
    struct refresher *r = OBJ_CAST(refresher, REFRESHER_MAGIC, owner);

    timer_arm(r->timer, LOOK_MS);
    sts_refresh(r->services.sts, r->snapshot);
}

struct refresher *refresher_new(struct loop *l, struct log *log, struct store *store)
{
    struct refresher *r = mem_zalloc(sizeof(*r));

    r->magic = REFRESHER_MAGIC;
    r->services.loop = l;
    r->services.log = log;
    r->services.policies = store_policies(store);
    r->services.rungs = store_rungs(store);
    r->timer = timer_new(l, on_look, r);
    return r;
}

/* Look-ups under way end with the resolver and the settings that they began with. */
void refresher_use(struct refresher *r, struct snapshot *s, struct resolver_context **resolver,
                   unsigned fetches)
{
    struct resolver_share *fresh = NULL;
    struct buf why;

    buf_init(&why, WHY_MAX);
    if (resolver != NULL)
        fresh = resolver_share_open(&r->services, resolver, &why);
    if (fresh != NULL) {
        resolver_share_drop(&r->services.resolver);
        r->services.resolver = fresh;
    } else if (resolver != NULL) {
        resolvers_tell(r->services.log, buf_slice(&why));
    }
    buf_clear(&why);
    if (r->services.sts == NULL)
        r->services.sts = sts_agent_new(&r->services, fetches);
    if (r->snapshot != NULL)
        snapshot_drop(&r->snapshot);
    r->snapshot = snapshot_hold(s);
    if (r->services.resolver != NULL)
        timer_arm(r->timer, LOOK_MS);
}

void refresher_free(struct refresher **held)
{
    struct refresher *r = *held;

    *held = NULL;
    if (r == NULL)
        return;
    timer_free(&r->timer);
    sts_agent_free(&r->services.sts);
    resolver_share_drop(&r->services.resolver);
    snapshot_drop(&r->snapshot);
    loop_defer(r->services.loop, free, r);
}
