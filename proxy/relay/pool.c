/* SPDX-License-Identifier: Apache-2.0 */
/* See pool.h. */
#include "proxy/relay/pool.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define POOL_MAGIC 0x706f6f6cu
#define BUCKETS 1024

TAILQ_HEAD(entry_list, pool_entry);

struct pool_host { /* one address; there while a connection to it is */
    LIST_ENTRY(pool_host) chain;
    struct addr addr;
    size_t open, idle;
    struct entry_list waiting; /* the one used last is first */
};

LIST_HEAD(host_list, pool_host);

struct pool {
    uint32_t magic;
    struct loop *loop;
    void (*leave)(struct pool_entry *e);
    struct pool_limits limits;
    struct entry_list waiting; /* the one that waits longest is first */
    struct timer *timer;       /* for that one */
    bool closing;
    struct pool_usage usage;
    uint64_t seed;
    struct host_list hosts[BUCKETS];
};

/* ---- hosts ---- */

/* FNV-1a from a start that nobody outside knows: an MX's addresses are its owner's choice. */
static size_t bucket_of(const struct pool *p, const struct addr *addr)
{
    uint64_t hash = p->seed;

    for (size_t i = 0; i < sizeof(addr->ip); i++)
        hash = (hash ^ addr->ip[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ addr->port) * UINT64_C(0x100000001b3);
    return (hash >> 32) % BUCKETS;
}

static struct pool_host *find_host(const struct pool *p, const struct addr *addr)
{
    struct pool_host *h;

    LIST_FOREACH(h, &p->hosts[bucket_of(p, addr)], chain)
    if (addr_same(&h->addr, addr))
        return h;
    return NULL;
}

static struct pool_host *make_host(struct pool *p, const struct addr *addr)
{
    struct pool_host *h = find_host(p, addr);

    if (h != NULL)
        return h;
    h = mem_zalloc(sizeof(*h));
    h->addr = *addr;
    TAILQ_INIT(&h->waiting);
    LIST_INSERT_HEAD(&p->hosts[bucket_of(p, addr)], h, chain);
    return h;
}

/* ---- waiting ---- */

static void arm(struct pool *p)
{
    const struct pool_entry *first = TAILQ_FIRST(&p->waiting);
    mono_ms now = loop_now(p->loop);

    if (first != NULL && !timer_armed(p->timer))
        timer_arm(p->timer, first->leaves_at > now ? first->leaves_at - now : 0);
}

void pool_take(struct pool *p, struct pool_entry *e)
{
    if (!e->waits)
        return;
    e->waits = false;
    TAILQ_REMOVE(&p->waiting, e, by_age);
    TAILQ_REMOVE(&e->host->waiting, e, by_host);
    e->host->idle--;
    p->usage.idle--;
}

static void send_away(struct pool *p, struct pool_entry *e)
{
    pool_take(p, e);
    p->leave(e);
}

/* The timer is not moved when the first one is taken: it fires, looks, and is armed anew. */
static void on_timer(void *owner)
{
    struct pool *p = OBJ_CAST(pool, POOL_MAGIC, owner);
    mono_ms now = loop_now(p->loop);
    struct pool_entry *e;

    while ((e = TAILQ_FIRST(&p->waiting)) != NULL && e->leaves_at <= now)
        send_away(p, e);
    arm(p);
}

/* Most wait equally long, so the list is in order but for those whose age ends first. */
static void insert_by_age(struct pool *p, struct pool_entry *e)
{
    struct pool_entry *before = TAILQ_LAST(&p->waiting, entry_list);

    while (before != NULL && before->leaves_at > e->leaves_at)
        before = TAILQ_PREV(before, entry_list, by_age);
    if (before != NULL)
        TAILQ_INSERT_AFTER(&p->waiting, before, e, by_age);
    else
        TAILQ_INSERT_HEAD(&p->waiting, e, by_age);
}

bool pool_put(struct pool *p, struct pool_entry *e, const struct pool_key *key, mono_ms old_at)
{
    mono_ms now = loop_now(p->loop);
    struct pool_host *h = e->host;

    INVARIANT(h != NULL && !e->waits && addr_same(&h->addr, &key->addr));
    e->leaves_at = now + p->limits.idle_time < old_at ? now + p->limits.idle_time : old_at;
    if (p->closing || e->leaves_at <= now || p->limits.idle_per_host == 0 || p->limits.idle == 0)
        return false;
    e->kind = key->kind;
    memcpy(e->digest, key->digest, sizeof(e->digest));
    e->waits = true;
    insert_by_age(p, e);
    if (TAILQ_FIRST(&p->waiting) == e)
        timer_disarm(p->timer);
    TAILQ_INSERT_HEAD(&h->waiting, e, by_host);
    h->idle++;
    p->usage.idle++;
    if (h->idle > p->limits.idle_per_host)
        send_away(p, TAILQ_LAST(&h->waiting, entry_list));
    if (p->usage.idle > p->limits.idle)
        send_away(p, TAILQ_FIRST(&p->waiting));
    arm(p);
    return true;
}

struct pool_entry *pool_find(const struct pool *p, const struct pool_key *key)
{
    const struct pool_host *h = find_host(p, &key->addr);
    mono_ms now = loop_now(p->loop);
    struct pool_entry *e;

    if (h == NULL)
        return NULL;
    TAILQ_FOREACH(e, &h->waiting, by_host)
    if (e->kind == key->kind && e->leaves_at > now &&
        memcmp(e->digest, key->digest, sizeof(e->digest)) == 0)
        return e;
    return NULL;
}

void pool_died(struct pool *p, struct pool_entry *e, bool unnoticed)
{
    struct pool_entry *other;

    p->usage.died_idle++;
    while (unnoticed && (other = TAILQ_FIRST(&e->host->waiting)) != NULL)
        send_away(p, other);
}

void pool_flush(struct pool *p, bool closing)
{
    struct pool_entry *e;

    p->closing = p->closing || closing;
    while ((e = TAILQ_FIRST(&p->waiting)) != NULL)
        send_away(p, e);
}

/* ---- all connections ---- */

bool pool_admit(struct pool *p, struct pool_entry *e, const struct addr *addr, const char **which)
{
    struct pool_host *h = make_host(p, addr);

    e->host = h;
    e->waits = false;
    h->open++;
    p->usage.open++;
    if (p->limits.per_host > 0 && h->open > p->limits.per_host && h->idle > 0)
        send_away(p, TAILQ_LAST(&h->waiting, entry_list));
    if (p->limits.connections > 0 && p->usage.open > p->limits.connections && p->usage.idle > 0)
        send_away(p, TAILQ_FIRST(&p->waiting));
    if (p->limits.per_host > 0 && h->open > p->limits.per_host)
        *which = "pool.per_host";
    else if (p->limits.connections > 0 && p->usage.open > p->limits.connections)
        *which = "pool.connections";
    else {
        p->usage.opened++;
        return true;
    }
    pool_left(p, e);
    return false;
}

void pool_left(struct pool *p, struct pool_entry *e)
{
    struct pool_host *h = e->host;

    if (h == NULL)
        return;
    pool_take(p, e);
    e->host = NULL;
    p->usage.open--;
    if (--h->open > 0)
        return;
    LIST_REMOVE(h, chain);
    free(h);
}

void pool_count_reuse(struct pool *p)
{
    p->usage.reused++;
}

void pool_usage(const struct pool *p, struct pool_usage *out)
{
    *out = p->usage;
}

/* ---- the pool ---- */

struct pool *pool_new(struct loop *l, uint64_t seed, void (*leave)(struct pool_entry *e))
{
    struct pool *p = mem_zalloc(sizeof(*p));

    p->magic = POOL_MAGIC;
    p->loop = l;
    p->leave = leave;
    p->seed = seed;
    TAILQ_INIT(&p->waiting);
    p->timer = timer_new(l, on_timer, p);
    return p;
}

static bool is_too_many(const struct pool *p, const struct pool_entry *e)
{
    const struct pool_limits *l = &p->limits;

    return l->idle_time == 0 || e->host->idle > l->idle_per_host || p->usage.idle > l->idle ||
           (l->per_host > 0 && e->host->open > l->per_host) ||
           (l->connections > 0 && p->usage.open > l->connections);
}

void pool_set_limits(struct pool *p, const struct pool_limits *limits)
{
    mono_ms last = loop_now(p->loop) + limits->idle_time;
    struct pool_entry *next;

    p->limits = *limits;
    for (struct pool_entry *e = TAILQ_FIRST(&p->waiting); e != NULL; e = next) {
        next = TAILQ_NEXT(e, by_age);
        if (is_too_many(p, e))
            send_away(p, e);
        else if (e->leaves_at > last)
            e->leaves_at = last; /* the order stays */
    }
    timer_disarm(p->timer);
    arm(p);
}

void pool_free(struct pool **held)
{
    struct pool *p = *held;

    *held = NULL;
    if (p == NULL)
        return;
    INVARIANT(p->usage.open == 0);
    timer_free(&p->timer);
    p->magic = 0;
    free(p);
}
