/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ledger_internal - what the ledger is made of; for ledger*.c and db*.c only
 *
 * DESCRIPTION
 *      A row is constant and counted: the table, a view and a job of the disk share it.  Every row
 *      stands in two tables: by its whole key, and with its siblings by sender and recipient.
 *
 *      Tickets: `issued` counts the calls of ledger_put().  Marks are in the order in which they were
 *      made, and each carries the lowest ticket that waits for it, so the first mark that is left says how
 *      far a batch came.
 */
#ifndef TLSMEND_STORE_LEDGER_INTERNAL_H
#define TLSMEND_STORE_LEDGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "proxy/store/ledger.h"
#include "proxy/store/store_internal.h"
#include "proxy/store/table_internal.h"

#define LEDGER_PATH_MAX 1024
#define LEDGER_PAIR_MAX (2 * (LEDGER_PATH_MAX + 1))
#define LEDGER_SPAN_MAX (365 * 24 * 60 * 60 * 1000LL) /* no entry lives longer */
#define LEDGER_TIME_MAX 253402300799999LL       /* the year 9999: sums with spans do not overflow */
#define LEDGER_KEEP (7 * 24 * 60 * 60 * 1000LL) /* where none is set */
#define LEDGER_PURGE_MAX 1000                   /* expired entries at once */

/* X(column, longest, member of struct ledger_entry) */
#define LEDGER_TEXTS(X)                               \
    X(reply, LEDGER_REPLY_MAX, reply)                 \
    X(mx, 255, mx)                                    \
    X(address, 127, address)                          \
    X(transaction_id, LEDGER_ID_MAX - 1, transaction) \
    X(queue_id, QUEUE_ID_MAX - 1, queue_id)           \
    X(client, ADDR_TEXT_MAX - 1, signs.client)        \
    X(helo, 255, signs.helo)                          \
    X(ident, QUEUE_ID_MAX - 1, signs.ident)

enum ledger_text {
#define X(column, longest, member) LEDGER_TEXT_##column,
    LEDGER_TEXTS(X)
#undef X
        LEDGER_TEXT_COUNT
};

/* What a row is made from, and what the disk keeps of it.  The slices are lent. */
struct ledger_facts {
    struct slice sender, recipient, digest;
    struct slice outcome; /* its name */
    int64_t code, ours, untold;
    int64_t size; /* -1: none was declared */
    wall_ms at, until;
    struct slice texts[LEDGER_TEXT_COUNT];
};

struct ledger_row { /* constant */
    atomic_uint holds;
    enum ledger_outcome outcome;
    uint16_t code;
    bool ours, untold;
    uint16_t sender_n, recipient_n;
    uint16_t at_text[LEDGER_TEXT_COUNT]; /* in `bytes` */
    int64_t size;
    wall_ms at, until;
    char bytes[]; /* sender NUL recipient NUL digest, and the texts, each with its NUL */
};

/* NULL: it cannot be kept.  Paths must be in the form of ledger_path(). */
struct ledger_row *ledger_row_new(const struct ledger_facts *f);
struct ledger_row *ledger_row_hold(struct ledger_row *r);
void ledger_row_drop(struct ledger_row **r); /* NULL is fine */
struct slice ledger_row_key(const struct ledger_row *r);
struct slice ledger_row_pair(const struct ledger_row *r); /* sender NUL recipient NUL */
void ledger_row_facts(const struct ledger_row *r, struct ledger_facts *out);
void ledger_row_entry(const struct ledger_row *r, struct ledger_entry *out);

/* The local part as it came, the domain in lower case without its dot; returns the length, or
 * SIZE_MAX where the path cannot be one. */
size_t ledger_path(struct slice path, char out[LEDGER_PATH_MAX]);

struct ledger_slot;
TAILQ_HEAD(ledger_siblings, ledger_slot);

struct ledger_pair {
    struct slot slot; /* its key lies in the row of the first of the entries */
    struct ledger_siblings entries;
    size_t count;
};

struct ledger_slot {
    struct slot slot;
    struct ledger_row *row;
    struct ledger_pair *pair; /* NULL: gone */
    TAILQ_ENTRY(ledger_slot) siblings;
    uint64_t waiting; /* while marked: the lowest ticket that may wait for it */
};

struct ledger_watch {
    LIST_ENTRY(ledger_watch) watches;
    void (*fn)(void *ctx);
    void *ctx;
    uint64_t called; /* the number of the last call */
};

struct ledger {
    pthread_mutex_t lock;
    struct bell *bell;
    struct table entries, pairs;
    atomic_size_t count; /* without those that are gone; changed under the lock */
    size_t max;
    int64_t keep;
    bool writer; /* there is a thread that answers tickets */
    bool read;   /* all that the disk had is here */
    bool good;   /* the last round of the disk */
    uint64_t issued, settled, durable;
    uint64_t seen;    /* issued when the thread last looked: these are tried in its round */
    uint64_t taken;   /* given to the disk with the batch under way, and all before */
    bool emptied;     /* ... after which no mark was left */
    bool owed;        /* something failed, and its mark stands out of its order */
    uint64_t noticed; /* the value of `settled` that watches heard of */

    pthread_mutex_t watch_lock; /* for these: */
    pthread_cond_t watch_idle;
    LIST_HEAD(ledger_watches, ledger_watch) watches;
    struct ledger_watch *calling;
    uint64_t calls;
    bool silent;
};

struct ledger_slot *ledger_slot_of(struct slot *s);
/* All locked.  ledger_keep_row(): takes the hold of the row; NULL: no room. */
struct ledger_slot *ledger_keep_row(struct ledger *l, struct ledger_row *row);
void ledger_mark(struct ledger *l, struct ledger_slot *s, uint64_t ticket);
void ledger_forget(struct ledger *l, struct ledger_slot *s);
bool ledger_purge(struct ledger *l, wall_ms now); /* true: there are more */

void ledger_watches_init(struct ledger *l);
void ledger_watches_clear(struct ledger *l);

#endif
