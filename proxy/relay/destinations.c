/* SPDX-License-Identifier: Apache-2.0 */
/* See destinations.h. */
#include "proxy/relay/destinations.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"

#define PLACE_MAGIC 0x64737470u
#define BUCKETS_LEAST 256
#define DROPPED_AT_ONCE 500 /* of those of an older generation, in one turn of the loop */
#define LOOKED_AT_END 2     /* of the longest unused, each time that one more is kept */

struct destinations_query { /* one who asks */
    struct destinations *all;
    struct waiters *in; /* of the place, or all->told */
    struct destinations_query *next, **link;
    destinations_done_fn *done;
    void *owner;
    mono_ms asked;
    const struct destination *answer; /* one hold, among the told */
    int64_t waited;
};

struct waiters {
    struct destinations_query *first, **last;
};

/* One key: being looked for, or kept. */
struct place {
    uint32_t magic;
    uint32_t hash;
    struct destinations *all;
    SLIST_ENTRY(place) chain;
    TAILQ_ENTRY(place) uses; /* kept: in all->kept; else in all->looking */
    bool listed;             /* it is in the table */
    unsigned generation;
    struct destination_wish wish;
    struct snapshot *snapshot;        /* lent by the worker or by what is under way */
    const struct destination *dest;   /* kept */
    struct destination_query *lookup; /* under way */
    struct waiters waiters;
    size_t bytes;
    char domain[];
};

SLIST_HEAD(bucket, place);
TAILQ_HEAD(places, place);

struct destinations {
    struct services *services;
    struct snapshot *snapshot;
    unsigned generation;
    struct bucket *buckets;
    size_t bucket_count; /* a power of two */
    size_t listed;       /* in the buckets */
    struct places kept;  /* the last one used first */
    struct places looking;
    size_t kept_count, bytes;
    struct waiters told; /* their answer comes when the stack is empty */
    bool telling;
    struct timer *sweep;
    uint32_t seed;
};

/* ---- the table ---- */

static uint32_t hash_of(const struct destinations *ds, const char *domain)
{
    uint32_t hash = 2166136261u ^ ds->seed; /* FNV-1a */

    for (; *domain != '\0'; domain++)
        hash = (hash ^ (unsigned char)*domain) * 16777619u;
    return hash ^ hash >> 15;
}

static struct bucket *bucket_of(const struct destinations *ds, uint32_t hash)
{
    return &ds->buckets[hash & (ds->bucket_count - 1)];
}

static void grow(struct destinations *ds)
{
    struct bucket *old = ds->buckets;
    size_t count = ds->bucket_count;

    ds->bucket_count = count > 0 ? count * 2 : BUCKETS_LEAST;
    ds->buckets = mem_array(ds->bucket_count, sizeof(*ds->buckets));
    for (size_t i = 0; i < count; i++) {
        struct place *p;

        while ((p = SLIST_FIRST(&old[i])) != NULL) {
            SLIST_REMOVE_HEAD(&old[i], chain);
            SLIST_INSERT_HEAD(bucket_of(ds, p->hash), p, chain);
        }
    }
    free(old);
}

static void enlist(struct place *p)
{
    struct destinations *ds = p->all;

    if (ds->listed++ >= ds->bucket_count)
        grow(ds);
    SLIST_INSERT_HEAD(bucket_of(ds, p->hash), p, chain);
    p->listed = true;
}

static void unlist(struct place *p)
{
    if (!p->listed)
        return;
    SLIST_REMOVE(bucket_of(p->all, p->hash), p, place, chain);
    p->all->listed--;
    p->listed = false;
}

/* What belongs to another snapshot or an older state of the worker is another answer. */
static struct place *place_of(const struct destinations *ds, const char *domain, uint32_t hash,
                              const struct destination_wish *wish, const struct snapshot *snap)
{
    struct place *p;

    SLIST_FOREACH(p, bucket_of(ds, hash), chain)
    if (p->hash == hash && p->generation == ds->generation && p->snapshot == snap &&
        p->wish.requiretls == wish->requiretls && p->wish.observe == wish->observe &&
        strcmp(p->domain, domain) == 0)
        return p;
    return NULL;
}

/* ---- places ---- */

static void place_free(void *owner)
{
    struct place *p = OBJ_CAST(place, PLACE_MAGIC, owner);

    destination_drop(&p->dest);
    snapshot_drop(&p->snapshot);
    p->magic = 0;
    free(p);
}

static void drop_kept(struct place *p)
{
    struct destinations *ds = p->all;

    TAILQ_REMOVE(&ds->kept, p, uses);
    ds->kept_count--;
    ds->bytes -= p->bytes;
    unlist(p);
    loop_defer(ds->services->loop, place_free, p);
}

static void stop_looking(struct place *p)
{
    TAILQ_REMOVE(&p->all->looking, p, uses);
    destination_cancel(&p->lookup);
    unlist(p);
    loop_defer(p->all->services->loop, place_free, p);
}

static size_t most(const struct destinations *ds)
{
    return (size_t)snapshot_settings(ds->snapshot)->resolver.destinations;
}

static bool worth_keeping(const struct place *p, const struct destination *d)
{
    const struct destinations *ds = p->all;

    return p->listed && p->generation == ds->generation && p->snapshot == ds->snapshot &&
           most(ds) > 0 && d->reason == REASON_OK && d->target_count > 0 &&
           destination_good(d, loop_now(ds->services->loop), loop_wall());
}

/* Room for one more; and those at the end that nobody asked for while they were good go too. */
static void make_room(struct destinations *ds)
{
    mono_ms now = loop_now(ds->services->loop);
    unsigned looked = 0;
    struct place *last;

    while (
        (last = TAILQ_LAST(&ds->kept, places)) != NULL &&
        (ds->kept_count >= most(ds) || (looked++ < LOOKED_AT_END && last->dest->good_until <= now)))
        drop_kept(last);
}

static void keep(struct place *p, const struct destination *d)
{
    struct destinations *ds = p->all;

    make_room(ds);
    TAILQ_REMOVE(&ds->looking, p, uses);
    TAILQ_INSERT_HEAD(&ds->kept, p, uses);
    p->dest = destination_hold(d);
    p->bytes = sizeof(*p) + strlen(p->domain) + 1 + sizeof(struct bucket) + destination_memory(d);
    ds->kept_count++;
    ds->bytes += p->bytes;
}

/* ---- who waits ---- */

static void waiters_init(struct waiters *w)
{
    w->first = NULL;
    w->last = &w->first;
}

static void waiter_add(struct waiters *w, struct destinations_query *q)
{
    q->in = w;
    q->next = NULL;
    q->link = w->last;
    *w->last = q;
    w->last = &q->next;
}

static void waiter_remove(struct destinations_query *q)
{
    *q->link = q->next;
    if (q->next != NULL)
        q->next->link = q->link;
    else
        q->in->last = q->link;
}

/* NULL: nobody. */
static struct destinations_query *waiter_pop(struct waiters *w)
{
    struct destinations_query *q = w->first;

    if (q == NULL)
        return NULL;
    w->first = q->next;
    if (q->next != NULL)
        q->next->link = &w->first;
    else
        w->last = &w->first;
    return q;
}

/* ---- telling ---- */

static void tell(void *owner)
{
    struct destinations *ds = owner;
    struct destinations_query *q;

    ds->telling = false;
    while ((q = waiter_pop(&ds->told)) != NULL) {
        struct destinations_query asked = *q;

        free(q);
        asked.done(asked.owner, asked.answer, asked.waited);
    }
}

static void answer(struct destinations_query *q, const struct destination *d, int64_t waited)
{
    struct destinations *ds = q->all;

    q->answer = destination_hold(d);
    q->waited = waited;
    waiter_add(&ds->told, q);
    if (!ds->telling)
        loop_defer(ds->services->loop, tell, ds);
    ds->telling = true;
}

static void on_found(void *owner, const struct destination *d)
{
    struct place *p = OBJ_CAST(place, PLACE_MAGIC, owner);
    mono_ms now = loop_now(p->all->services->loop);
    struct destinations_query *q;

    p->lookup = NULL;
    while ((q = waiter_pop(&p->waiters)) != NULL)
        answer(q, d, now - q->asked);
    if (worth_keeping(p, d))
        keep(p, d);
    else
        stop_looking(p);
    destination_drop(&d);
}

/* ---- calls of the owner ---- */

static struct place *look_for(struct destinations *ds, struct snapshot *snap,
                              const struct mailbox *recipient, const struct destination_wish *wish,
                              const char *domain, uint32_t hash)
{
    size_t n = strlen(domain);
    struct place *p = mem_zalloc(sizeof(*p) + n + 1);

    p->magic = PLACE_MAGIC;
    p->all = ds;
    p->hash = hash;
    p->generation = ds->generation;
    p->wish = *wish;
    p->snapshot = snapshot_hold(snap);
    memcpy(p->domain, domain, n);
    waiters_init(&p->waiters);
    TAILQ_INSERT_TAIL(&ds->looking, p, uses);
    enlist(p);
    p->lookup = destination_find(ds->services, snap, recipient, wish, on_found, p);
    return p;
}

static bool still_good(const struct destinations *ds, const struct destination *d)
{
    struct services *sv = ds->services;
    wall_ms wall = loop_wall();

    return destination_good(d, loop_now(sv->loop), wall) &&
           (d->policy_domain[0] == '\0' ||
            policies_still(sv->policies, d->policy_domain, d->sts.entry, wall));
}

struct destinations_query *destinations_find(struct destinations *ds, struct snapshot *snap,
                                             const struct mailbox *recipient,
                                             const struct destination_wish *wish,
                                             destinations_done_fn *done, void *owner)
{
    struct destinations_query *q = mem_zalloc(sizeof(*q));
    char domain[DOMAIN_MAX + 3];
    struct place *p;
    uint32_t hash;

    destination_key(recipient, domain);
    hash = hash_of(ds, domain);
    p = place_of(ds, domain, hash, wish, snap);
    if (p != NULL && p->dest != NULL && !still_good(ds, p->dest)) {
        drop_kept(p);
        p = NULL;
    }
    q->all = ds;
    q->done = done;
    q->owner = owner;
    if (p != NULL && p->dest != NULL) {
        TAILQ_REMOVE(&ds->kept, p, uses);
        TAILQ_INSERT_HEAD(&ds->kept, p, uses);
        answer(q, p->dest, 0);
        return q;
    }
    if (p == NULL)
        p = look_for(ds, snap, recipient, wish, domain, hash);
    q->asked = loop_now(ds->services->loop);
    waiter_add(&p->waiters, q);
    return q;
}

void destinations_cancel(struct destinations_query **held)
{
    struct destinations_query *q = *held;

    *held = NULL;
    if (q == NULL)
        return;
    waiter_remove(q); /* the look-up goes on: the next mail will want it */
    destination_drop(&q->answer);
    free(q);
}

void destinations_forget(struct destinations *ds, const char *domain)
{
    struct place *next;

    for (struct place *p = SLIST_FIRST(bucket_of(ds, hash_of(ds, domain))); p != NULL; p = next) {
        next = SLIST_NEXT(p, chain);
        if (strcmp(p->domain, domain) != 0)
            continue;
        if (p->dest != NULL)
            drop_kept(p);
        else
            unlist(p); /* who waits gets this answer, who comes now another */
    }
}

/* Nobody finds those of an older generation, so they are the longest unused. */
static void sweep(void *owner)
{
    struct destinations *ds = owner;
    struct place *last;

    for (unsigned i = 0; i < DROPPED_AT_ONCE; i++) {
        last = TAILQ_LAST(&ds->kept, places);
        if (last == NULL || last->generation == ds->generation)
            return;
        drop_kept(last);
    }
    timer_arm(ds->sweep, 0);
}

void destinations_renew(struct destinations *ds, struct snapshot *snap)
{
    struct snapshot *old = ds->snapshot;

    ds->snapshot = snapshot_hold(snap);
    snapshot_drop(&old);
    ds->generation++;
    timer_arm(ds->sweep, 0);
}

struct destinations *destinations_new(struct services *sv, struct snapshot *snap)
{
    struct destinations *ds = mem_zalloc(sizeof(*ds));

    ds->services = sv;
    ds->snapshot = snapshot_hold(snap);
    ds->seed = (uint32_t)services_random(sv);
    ds->sweep = timer_new(sv->loop, sweep, ds);
    TAILQ_INIT(&ds->kept);
    TAILQ_INIT(&ds->looking);
    waiters_init(&ds->told);
    grow(ds);
    return ds;
}

static void waiters_free(struct waiters *w)
{
    struct destinations_query *q;

    while ((q = waiter_pop(w)) != NULL) {
        destination_drop(&q->answer);
        free(q);
    }
}

void destinations_free(struct destinations **held)
{
    struct destinations *ds = *held;
    struct place *p;

    *held = NULL;
    if (ds == NULL)
        return;
    waiters_free(&ds->told);
    while ((p = TAILQ_FIRST(&ds->looking)) != NULL) {
        waiters_free(&p->waiters);
        stop_looking(p);
    }
    while ((p = TAILQ_FIRST(&ds->kept)) != NULL)
        drop_kept(p);
    free(ds->buckets);
    snapshot_drop(&ds->snapshot);
    timer_free(&ds->sweep);
    loop_defer(ds->services->loop, free, ds); /* behind tell(), if that waits */
}

size_t destinations_count(const struct destinations *ds)
{
    return ds->kept_count;
}

size_t destinations_memory(const struct destinations *ds)
{
    return sizeof(*ds) + ds->bucket_count * sizeof(*ds->buckets) + ds->bytes;
}
