/* SPDX-License-Identifier: Apache-2.0 */
/* table - see table_internal.h for the contract. */
#include "proxy/store/table_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define BUCKETS_MIN 64

static uint64_t turned(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = turned(v[1], 13) ^ v[0];
    v[3] = turned(v[3], 16) ^ v[2];
    v[0] = turned(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = turned(v[1], 17) ^ v[2];
    v[3] = turned(v[3], 21) ^ v[0];
    v[2] = turned(v[2], 32);
}

/* SipHash-1-3. */
static uint64_t hash_of(const uint64_t secret[2], struct slice key)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                     secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    uint64_t word = 0;

    for (size_t i = 0; i < key.n; i++) {
        word |= (uint64_t)(unsigned char)key.p[i] << 8 * (i % 8);
        if (i % 8 == 7) {
            v[3] ^= word;
            sip_round(v);
            v[0] ^= word;
            word = 0;
        }
    }
    word |= (uint64_t)key.n << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void table_init(struct table *t, bool lasting, slot_free_fn *free_slot)
{
    memset(t, 0, sizeof(*t));
    t->lasting = lasting;
    t->free_slot = free_slot;
    t->bucket_count = BUCKETS_MIN;
    t->buckets = mem_array(t->bucket_count, sizeof(struct slot *));
    TAILQ_INIT(&t->marks);
    /* Early in the boot there may be no randomness: a table without a secret is slower when it is
     * attacked, a start that hangs is worse. */
    if (getrandom(t->secret, sizeof(t->secret), GRND_NONBLOCK) != sizeof(t->secret))
        memset(t->secret, 0, sizeof(t->secret));
}

void table_clear(struct table *t)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct slot *s = t->buckets[i], *next; s != NULL; s = next) {
            next = s->chain;
            t->free_slot(s);
        }
    free(t->buckets);
    free(t->heap);
}

static struct slot **bucket(const struct table *t, uint64_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

struct slot *table_find(const struct table *t, struct slice key)
{
    uint64_t hash = hash_of(t->secret, key);

    for (struct slot *s = *bucket(t, hash); s != NULL; s = s->chain)
        if (s->hash == hash && slice_eq(s->key, key))
            return s;
    return NULL;
}

static void grow(struct table *t)
{
    struct table bigger = {.bucket_count = t->bucket_count * 2};

    bigger.buckets = mem_array(bigger.bucket_count, sizeof(struct slot *));
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct slot *s = t->buckets[i], *next; s != NULL; s = next) {
            struct slot **to = bucket(&bigger, s->hash);

            next = s->chain;
            s->chain = *to;
            *to = s;
        }
    free(t->buckets);
    t->buckets = bigger.buckets;
    t->bucket_count = bigger.bucket_count;
}

void table_add(struct table *t, struct slot *s)
{
    struct slot **to;

    if (t->count >= t->bucket_count)
        grow(t);
    s->hash = hash_of(t->secret, s->key);
    to = bucket(t, s->hash);
    s->chain = *to;
    *to = s;
    t->count++;
}

static void unmark(struct table *t, struct slot *s)
{
    if (s->marked)
        TAILQ_REMOVE(&t->marks, s, marks);
    s->marked = false;
}

static void drop(struct table *t, struct slot *s)
{
    struct slot **from = bucket(t, s->hash);

    table_untime(t, s);
    unmark(t, s);
    while (*from != s)
        from = &(*from)->chain;
    *from = s->chain;
    t->count--;
    t->free_slot(s);
}

void table_remove(struct table *t, struct slot *s)
{
    if (!t->lasting || !s->on_disk) {
        drop(t, s);
        return;
    }
    table_untime(t, s);
    s->gone = true;
    table_mark(t, s);
}

void table_each(struct table *t, void (*each)(struct slot *s, void *ctx), void *ctx)
{
    for (size_t i = 0; i < t->bucket_count; i++)
        for (struct slot *s = t->buckets[i]; s != NULL; s = s->chain)
            each(s, ctx);
}

static void put_at(struct table *t, size_t at, struct slot *s)
{
    t->heap[at] = s;
    s->at = at;
}

/* Finds the place of `s` from `at`, upwards and then downwards. */
static void sift(struct table *t, size_t at, struct slot *s)
{
    for (; at > 1 && t->heap[at / 2]->when > s->when; at /= 2)
        put_at(t, at, t->heap[at / 2]);
    for (;;) {
        size_t child = at * 2;

        if (child < t->heap_count && t->heap[child + 1]->when < t->heap[child]->when)
            child++;
        if (child > t->heap_count || t->heap[child]->when >= s->when)
            break;
        put_at(t, at, t->heap[child]);
        at = child;
    }
    put_at(t, at, s);
}

void table_time(struct table *t, struct slot *s, int64_t when)
{
    size_t at = s->at;

    s->when = when;
    if (at == 0) {
        at = ++t->heap_count;
        if (at >= t->heap_size) {
            t->heap_size = t->heap_size == 0 ? BUCKETS_MIN : t->heap_size * 2;
            t->heap = mem_resize(t->heap, t->heap_size, sizeof(struct slot *));
        }
    }
    sift(t, at, s);
}

void table_untime(struct table *t, struct slot *s)
{
    size_t at = s->at;
    struct slot *last;

    if (at == 0)
        return;
    s->at = 0;
    last = t->heap[t->heap_count--];
    if (last != s)
        sift(t, at, last);
}

struct slot *table_first(const struct table *t)
{
    return t->heap_count == 0 ? NULL : t->heap[1];
}

void table_mark(struct table *t, struct slot *s)
{
    if (!t->lasting || s->marked)
        return;
    s->marked = true;
    TAILQ_INSERT_TAIL(&t->marks, s, marks);
}

struct slot *table_take(struct table *t, bool *was_on_disk)
{
    struct slot *s = TAILQ_FIRST(&t->marks);

    if (s == NULL)
        return NULL;
    unmark(t, s);
    *was_on_disk = s->on_disk;
    s->on_disk = true;
    return s;
}

void table_settle(struct table *t, struct slice key, bool gone, bool was_on_disk, bool ok)
{
    struct slot *s = table_find(t, key);

    INVARIANT(s != NULL); /* what may be on the disk is not dropped before */
    s->on_disk = ok ? !gone : was_on_disk;
    if (s->gone && !s->on_disk)
        drop(t, s);
    else if (!ok)
        table_mark(t, s);
}
