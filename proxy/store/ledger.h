/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ledger - what was already delivered or refused, when the client could not be told
 *
 * DESCRIPTION
 *      By sender, recipient and SHA-256 of the message (C-RCPT-01 to 06): local parts as they
 *      came, domains in lower case.  All entries lie in memory, shared by all threads under a lock
 *      of their own, and are written by the store's thread, durably (the disk itself, not only the
 *      system, has them: a power cut too is survived).  An entry lives `keep` ms; the oldest never
 *      make room for new ones, since each keeps a mail from going out twice: when the table is full,
 *      or the disk cannot be written, the ledger is not ready, and the relay takes one destination
 *      per transaction meanwhile.  Asking whether a recipient has entries costs a hash and a look;
 *      nothing where the ledger is empty.
 *
 *      Writing is asked for with ledger_put(); the ticket it gives is settled when the disk has
 *      answered: after one commit, or, while the disk is in trouble, after one try (at most about
 *      DB_BUSY_MS, for the wait for the next regular try is cut short).  Whoever waits registers a watch
 *      first, which is called by the store's thread whenever tickets were settled, and asks with
 *      ledger_settled() then, and once right after ledger_put(): without a disk (store.path "", a
 *      store opened read_only) a ticket has failed at once, and no watch is called.
 */
#ifndef TLSMEND_STORE_LEDGER_H
#define TLSMEND_STORE_LEDGER_H

#include "proxy/base/instant.h"
#include "proxy/policy/retry.h"

#define LEDGER_DIGEST_SIZE 32
#define LEDGER_REPLY_MAX 1024 /* of the text of a reply, which is cut */
#define LEDGER_ID_MAX 64

struct ledger;

struct ledger_entry {               /* of a view: its texts live as long as the view */
    const char *sender, *recipient; /* paths without <>; "" for the null sender */
    uint8_t digest[LEDGER_DIGEST_SIZE];
    enum ledger_outcome outcome;
    int code;          /* of the MX's final reply */
    const char *reply; /* its text, lines joined by '\n' */
    bool reply_is_ours;
    const char *mx, *address;        /* that took or refused it; "" if none */
    char transaction[LEDGER_ID_MAX]; /* the group: all entries of one transaction */
    char queue_id[QUEUE_ID_MAX];     /* the client's, for people */
    struct retry_signs signs;
    bool untold; /* the client was gone: no 451 was said, or nobody heard it */
    wall_ms at, until;
};

/* Is there any entry for them at `now`?  Cheap: call it for each recipient. */
bool ledger_knows(struct ledger *l, struct slice sender, struct slice recipient, wall_ms now);

/* A picture of the entries for them (of any digest), newest first; NULL: none.  Yours to free. */
struct ledger_view {
    size_t count;
    struct ledger_entry *entries;
};
struct ledger_view *ledger_find(struct ledger *l, struct slice sender, struct slice recipient,
                                wall_ms now);
void ledger_view_free(struct ledger_view **v); /* NULL is fine */
/* All entries, ordered by time (for tools). */
struct ledger_view *ledger_all(struct ledger *l, wall_ms now);

/* May a transaction have several destinations now: the last write reached the disk, and there is
 * room for `more` entries. */
bool ledger_ready(struct ledger *l, size_t more, wall_ms now);

/* Copies all; an entry of the same key is replaced.  `until` is set from `at` and `keep`.  *ticket
 * is settled when they are on the disk, or were tried.  False: there is no room for all of them; as
 * many as fit were taken, and there is a ticket for those.  The same for an entry that cannot be:
 * delivered with a code that is not 2yz, refused with one that is not 5yz, a path over 1024 bytes. */
bool ledger_put(struct ledger *l, const struct ledger_entry *entries, size_t count,
                uint64_t *ticket);
/* The client was told: the entry has done its work. */
void ledger_remove(struct ledger *l, const struct ledger_entry *key);

enum ledger_state {
    LEDGER_WAITING,
    LEDGER_DURABLE, /* all up to this ticket is on the disk */
    LEDGER_FAILED,  /* it was tried and is not; it stays in memory, and is written when it can be */
};
enum ledger_state ledger_settled(struct ledger *l, uint64_t ticket);

/* `fn` is called by the store's thread, with no lock held; after ledger_unwatch() it is not running
 * and never will be.  It must not watch or unwatch, and must be quick: others wait.  Unwatch before
 * store_close(). */
struct ledger_watch;
struct ledger_watch *ledger_watch(struct ledger *l, void (*fn)(void *ctx), void *ctx);
void ledger_unwatch(struct ledger *l, struct ledger_watch **w); /* NULL is fine */

void ledger_set_keep(struct ledger *l, int64_t keep_ms); /* at a reload: for new entries */
size_t ledger_count(struct ledger *l);

#endif
