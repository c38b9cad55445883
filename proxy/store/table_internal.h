/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      table_internal - entries by key, by time, and those that the disk has not got yet
 *
 * DESCRIPTION
 *      What policies and rungs have alike.  A slot is the first member of an entry.  It is found
 *      by its key (a hash with a secret, so that nobody can choose keys that fall together),
 *      ordered by a time (a heap), and marked when the disk is to be told of it.  A mark is a flag
 *      and no job: an entry that changes a hundred times is written once, and however long the
 *      disk is gone, nothing grows.  An entry that is removed but may be on the disk stays, as
 *      "gone", until the disk has lost it too.  The lock is the owner's.
 */
#ifndef TLSMEND_STORE_TABLE_INTERNAL_H
#define TLSMEND_STORE_TABLE_INTERNAL_H

#include <stdint.h>
#include <sys/queue.h>

#include "proxy/base/slice.h"

struct slot {
    struct slot *chain;
    uint64_t hash;
    struct slice key; /* lies in the entry */
    int64_t when;
    size_t at; /* place in the heap; 0: not in it */
    TAILQ_ENTRY(slot) marks;
    bool marked;  /* the disk is to be told */
    bool on_disk; /* it may be there */
    bool gone;    /* removed; waits for the disk to hear of it */
};

typedef void slot_free_fn(struct slot *s);

struct table {
    struct slot **buckets;
    size_t bucket_count, count;
    struct slot **heap; /* heap[1] comes first */
    size_t heap_count, heap_size;
    TAILQ_HEAD(slot_marks, slot) marks;
    bool lasting; /* there is a disk to be told */
    uint64_t secret[2];
    slot_free_fn *free_slot;
};

void table_init(struct table *t, bool lasting, slot_free_fn *free_slot);
void table_clear(struct table *t);

/* Also one that is gone; NULL: none. */
struct slot *table_find(const struct table *t, struct slice key);
void table_add(struct table *t, struct slot *s); /* its key is set */
/* Out of the table: freed, or gone until the disk knows. */
void table_remove(struct table *t, struct slot *s);
void table_each(struct table *t, void (*each)(struct slot *s, void *ctx), void *ctx);

void table_time(struct table *t, struct slot *s, int64_t when);
void table_untime(struct table *t, struct slot *s);
struct slot *table_first(const struct table *t); /* with the lowest time; NULL: none */

void table_mark(struct table *t, struct slot *s);
/* The one marked longest ago, its mark taken away; NULL: none.  From now on it may be on the disk;
 * *was_on_disk says whether it was before. */
struct slot *table_take(struct table *t, bool *was_on_disk);
/* The disk was told that `key` is there or gone, or it was not (`ok` false). */
void table_settle(struct table *t, struct slice key, bool gone, bool was_on_disk, bool ok);

#endif
