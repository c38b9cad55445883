/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      store_internal - what the thread of the store asks of the tables
 *
 * DESCRIPTION
 *      Writing: `take` gives jobs (copies) away, `settle` hears whether they are on the disk;
 *      between the two no lock is held.  Reading: `load` for each row, then `loaded`.
 */
#ifndef TLSMEND_STORE_STORE_INTERNAL_H
#define TLSMEND_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "proxy/store/ledger.h"
#include "proxy/store/policies.h"
#include "proxy/store/rungs.h"

/* Wakes the thread of the store. */
struct bell {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool rung;
    bool urgent; /* somebody waits: now, also while the disk is in trouble */
};

void bell_ring(struct bell *b);
void bell_ring_now(struct bell *b);

struct policy_text; /* the text of a policy, counted */

struct policy_job {
    char domain[DOMAIN_MAX + 3], id[STS_ID_MAX + 1];
    wall_ms fetched, used;
    struct policy_text *text; /* NULL: the row goes */
    struct slice body;        /* of `text` */
    bool was_on_disk;
};

/* lasting: there is a disk; bell is rung when it is to be told of something. */
struct policies *policies_new(size_t max, bool lasting, struct bell *bell);
void policies_free(struct policies **p);
size_t policies_take(struct policies *p, struct policy_job *jobs, size_t max);
void policies_settle(struct policies *p, struct policy_job *jobs, size_t count, bool ok);
/* A row; what memory holds of the domain wins.  False: nothing of it can be used. */
bool policies_load(struct policies *p, struct slice domain, struct slice id, wall_ms fetched,
                   wall_ms used, struct slice body);
/* All rows were loaded; write_all: what memory holds is to be written. */
void policies_loaded(struct policies *p, bool write_all);
size_t policies_room(const struct policies *p);

#define RUNG_KEY_SIZE 18 /* the address as IPv6, the port */

struct rung_job {
    struct addr address;
    char key[RUNG_KEY_SIZE];
    struct ladder_memory memory; /* without the retest, which ends with the process */
    bool gone, was_on_disk;
};

struct rungs *rungs_new(size_t max, bool lasting, struct bell *bell);
void rungs_free(struct rungs **r);
size_t rungs_take(struct rungs *r, struct rung_job *jobs, size_t max);
void rungs_settle(struct rungs *r, const struct rung_job *jobs, size_t count, bool ok);
bool rungs_load(struct rungs *r, const struct addr *a, const struct ladder_memory *m);
void rungs_loaded(struct rungs *r, bool write_all);
size_t rungs_room(const struct rungs *r);

struct ledger_row;
struct ledger_facts;

struct ledger_job {
    struct ledger_row *row; /* held */
    bool gone, was_on_disk;
};

/* keep 0: a week.  max 0: what the disk has can be read, and nothing is added. */
struct ledger *ledger_new(size_t max, int64_t keep, bool lasting, struct bell *bell);
void ledger_free(struct ledger **l); /* all watches are gone */
/* No thread will come: tickets fail at once. */
void ledger_abandon(struct ledger *l);
/* A round of the thread: begin, batches of take and settle (one at the least, maybe empty, while the
 * disk is fine), end, tell.  ledger_begin() drops what expired; true: there is more of it. */
bool ledger_begin(struct ledger *l, wall_ms now);
size_t ledger_take(struct ledger *l, struct ledger_job *jobs, size_t max);
void ledger_settle(struct ledger *l, struct ledger_job *jobs, size_t count, bool ok);
void ledger_end(struct ledger *l, bool ok);
void ledger_tell(struct ledger *l);    /* calls the watches */
void ledger_silence(struct ledger *l); /* ... never again, and none is running */
bool ledger_load(struct ledger *l, const struct ledger_facts *f, wall_ms now);
void ledger_loaded(struct ledger *l, bool write_all);

#endif
