/* SPDX-License-Identifier: Apache-2.0 */
/* rungs - see rungs.h for the contract. */
#include "proxy/store/rungs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/store_internal.h"
#include "proxy/store/table_internal.h"

#define TIME_MAX 253402300799999LL
#define PURGE_MAX 8 /* entries whose time is over, for each new one */

struct rung_slot {
    struct slot slot;
    struct addr address;
    char key[RUNG_KEY_SIZE];
    struct ladder_memory memory;
};

struct rungs {
    pthread_mutex_t lock;
    struct bell *bell;
    struct table table;
    size_t count, max; /* without those that are gone */
};

static struct rung_slot *rung_slot_of(struct slot *s)
{
    return (struct rung_slot *)s; /* its first member */
}

static void free_slot(struct slot *s)
{
    free(rung_slot_of(s));
}

/* An IPv4-mapped address is the IPv4 address. */
static struct slice key_of(const struct addr *a, char key[RUNG_KEY_SIZE])
{
    static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};

    if (a->family == ADDR_IP4) {
        memcpy(key, mapped, sizeof(mapped));
        memcpy(key + sizeof(mapped), a->ip, 4);
    } else {
        memcpy(key, a->ip, 16);
    }
    key[16] = (char)(a->port >> 8);
    key[17] = (char)(a->port & 0xff);
    return slice_of(key, RUNG_KEY_SIZE);
}

static struct rung_slot *find(const struct rungs *r, const struct addr *a)
{
    char key[RUNG_KEY_SIZE];
    struct slot *s = table_find(&r->table, key_of(a, key));

    return s != NULL ? rung_slot_of(s) : NULL;
}

static struct ladder_memory recall(const struct rungs *r, const struct addr *a)
{
    const struct rung_slot *s = find(r, a);

    return s != NULL && !s->slot.gone ? s->memory : (struct ladder_memory){.rung = RUNG_FULL};
}

static bool nothing(const struct ladder_memory *m)
{
    return m->until == 0 && m->retest_since == 0;
}

static bool same_on_disk(const struct ladder_memory *a, const struct ladder_memory *b)
{
    return a->rung == b->rung && a->learned == b->learned && a->until == b->until &&
           a->times == b->times;
}

static void forget(struct rungs *r, struct slot *s)
{
    r->count--;
    table_remove(&r->table, s);
}

static void make_room(struct rungs *r, wall_ms now)
{
    struct slot *s;

    for (unsigned i = 0; (s = table_first(&r->table)) != NULL; i++) {
        if (r->count < r->max && (i >= PURGE_MAX || s->when > now))
            break;
        forget(r, s);
    }
}

static struct rung_slot *add(struct rungs *r, const struct addr *a, wall_ms now)
{
    struct rung_slot *s;

    make_room(r, now);
    s = find(r, a);
    if (s == NULL) {
        s = mem_zalloc(sizeof(*s));
        s->slot.key = key_of(a, s->key);
        table_add(&r->table, &s->slot);
    }
    s->slot.gone = false;
    s->address = *a;
    memset(&s->memory, 0, sizeof(s->memory));
    r->count++;
    return s;
}

static void told(struct rungs *r, struct slot *s)
{
    table_mark(&r->table, s);
    if (r->table.lasting)
        bell_ring(r->bell);
}

static void keep(struct rungs *r, const struct addr *a, const struct ladder_memory *m, wall_ms now)
{
    struct rung_slot *s = find(r, a);
    bool there = s != NULL && !s->slot.gone;

    if (nothing(m)) {
        if (there) {
            forget(r, &s->slot);
            bell_ring(r->bell);
        }
        return;
    }
    if (!there)
        s = add(r, a, now);
    if (!there || !same_on_disk(&s->memory, m))
        told(r, &s->slot);
    s->memory = *m;
    table_time(&r->table, &s->slot, m->until);
}

struct ladder_choice rungs_begin(struct rungs *r, const struct addr *a, bool may_clear, wall_ms now)
{
    struct ladder_memory m;
    struct ladder_choice choice;

    pthread_mutex_lock(&r->lock);
    m = recall(r, a);
    choice = ladder_begin(&m, may_clear, now);
    keep(r, a, &m, now);
    pthread_mutex_unlock(&r->lock);
    return choice;
}

void rungs_worked(struct rungs *r, const struct addr *a, enum tls_rung rung, bool fell, int64_t ttl,
                  wall_ms now)
{
    struct ladder_memory m;

    pthread_mutex_lock(&r->lock);
    m = recall(r, a);
    ladder_worked(&m, rung, fell, ttl, now);
    keep(r, a, &m, now);
    pthread_mutex_unlock(&r->lock);
}

void rungs_retest_failed(struct rungs *r, const struct addr *a, int64_t ttl, wall_ms now)
{
    struct ladder_memory m;

    pthread_mutex_lock(&r->lock);
    m = recall(r, a);
    ladder_retest_failed(&m, ttl, now);
    keep(r, a, &m, now);
    pthread_mutex_unlock(&r->lock);
}

void rungs_forget(struct rungs *r, const struct addr *a)
{
    struct ladder_memory m;

    pthread_mutex_lock(&r->lock);
    m = recall(r, a);
    ladder_forget(&m);
    keep(r, a, &m, 0);
    pthread_mutex_unlock(&r->lock);
}

bool rungs_look(struct rungs *r, const struct addr *a, struct ladder_memory *out)
{
    pthread_mutex_lock(&r->lock);
    *out = recall(r, a);
    pthread_mutex_unlock(&r->lock);
    return !nothing(out);
}

size_t rungs_count(struct rungs *r)
{
    size_t n;

    pthread_mutex_lock(&r->lock);
    n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* To the disk and from it: store_internal.h. */

struct rungs *rungs_new(size_t max, bool lasting, struct bell *bell)
{
    struct rungs *r = mem_zalloc(sizeof(*r));

    r->max = max > 0 ? max : 1;
    r->bell = bell;
    table_init(&r->table, lasting, free_slot);
    INVARIANT(pthread_mutex_init(&r->lock, NULL) == 0);
    return r;
}

void rungs_free(struct rungs **held)
{
    struct rungs *r = *held;

    *held = NULL;
    table_clear(&r->table);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

size_t rungs_take(struct rungs *r, struct rung_job *jobs, size_t max)
{
    size_t n = 0;
    struct slot *s;
    bool was_on_disk;

    pthread_mutex_lock(&r->lock);
    while (n < max && (s = table_take(&r->table, &was_on_disk)) != NULL) {
        const struct rung_slot *from = rung_slot_of(s);

        jobs[n] = (struct rung_job){.address = from->address,
                                    .memory = from->memory,
                                    .gone = s->gone || from->memory.until == 0,
                                    .was_on_disk = was_on_disk};
        memcpy(jobs[n++].key, from->key, RUNG_KEY_SIZE);
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void rungs_settle(struct rungs *r, const struct rung_job *jobs, size_t count, bool ok)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < count; i++)
        table_settle(&r->table, slice_of(jobs[i].key, RUNG_KEY_SIZE), jobs[i].gone,
                     jobs[i].was_on_disk, ok);
    pthread_mutex_unlock(&r->lock);
}

bool rungs_load(struct rungs *r, const struct addr *a, const struct ladder_memory *m)
{
    struct rung_slot *s;

    if (m->until <= 0 || m->until > TIME_MAX || m->learned < 0 || m->learned > TIME_MAX)
        return false;
    pthread_mutex_lock(&r->lock);
    s = find(r, a);
    if (s != NULL) {
        s->slot.on_disk = true; /* what memory holds wins */
    } else if (r->count < r->max) {
        s = add(r, a, 0);
        s->slot.on_disk = true;
        s->memory = *m;
        table_time(&r->table, &s->slot, m->until);
    }
    pthread_mutex_unlock(&r->lock);
    return true;
}

static void mark(struct slot *s, void *ctx)
{
    table_mark(ctx, s);
}

void rungs_loaded(struct rungs *r, bool write_all)
{
    pthread_mutex_lock(&r->lock);
    if (write_all)
        table_each(&r->table, mark, &r->table);
    pthread_mutex_unlock(&r->lock);
}

size_t rungs_room(const struct rungs *r)
{
    return r->max;
}
