/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      db_internal - the SQLite file: opening, checking, reading, writing
 *
 * DESCRIPTION
 *      No thread and no lock: one caller at a time.  Nothing here waits longer than DB_BUSY_MS for
 *      another process.  Every failure says what happened and what mends it.
 */
#ifndef TLSMEND_STORE_DB_INTERNAL_H
#define TLSMEND_STORE_DB_INTERNAL_H

#include "proxy/base/buf.h"
#include "proxy/store/store_internal.h"
#include "proxy/store/tls_rows_internal.h"

#define DB_BUSY_MS 250
#define DB_CHECK_MS 300 /* quick_check of a big file ends then */

enum db_trouble {
    DB_FINE,
    DB_FAILED,  /* cannot be opened, read or written */
    DB_BUSY,    /* another process holds it */
    DB_FULL,    /* no room on the disk */
    DB_DAMAGED, /* no database, or a broken one */
    DB_FOREIGN, /* of a newer version, or of another program: not ours to touch */
};

struct db_error {
    enum db_trouble trouble;
    char detail[400], hint[400];
};

struct db_loaded {
    size_t policies, rungs, ledger, dropped; /* dropped: rows of which nothing could be used */
    char first_dropped[64];                  /* a domain or an address */
};

/* What one transaction writes. */
struct db_jobs {
    const struct policy_job *policies;
    const struct rung_job *rungs;
    const struct ledger_job *ledger;
    size_t policy_count, rung_count, ledger_count;
};

struct db;

/* NULL: *e says why.  read_only: no file is made and none changed. */
struct db *db_open(const char *path, bool read_only, struct db_error *e);
void db_close(struct db **db); /* NULL is fine */
bool db_load(struct db *db, struct policies *p, struct rungs *r, struct ledger *l, wall_ms now,
             struct db_loaded *out, struct db_error *e);
/* One transaction: all or nothing.  Where it puts entries into the ledger, they are on the medium when it
 * returns: a power cut does not take them away. */
bool db_write(struct db *db, const struct db_jobs *jobs, struct db_error *e);
/* TLS sessions: db_tls.c.  The first takes all away from the file and puts `max` of them into *out, the last
 * first.  False: the file is damaged; any other trouble leaves them where they are, and *out empty.  The
 * second writes `rows` in the place of all that are there, the last first until there is enough, and
 * makes the file its owner's alone. */
bool db_take_tls(struct db *db, size_t max, struct tls_rows *out, struct db_error *e);
bool db_put_tls(struct db *db, const struct tls_rows *rows, bool (*enough)(void *owner),
                void *owner, struct db_error *e);
/* Nobody but its owner may read or write the file and what belongs to it. */
bool db_make_private(const struct db *db, struct db_error *e);
/* The file has another name now, or none: what is written would be lost. */
bool db_moved(const struct db *db);
/* Renames the file (and what belongs to it) to NAME.damaged-<time>; *kept_as gets the name. */
bool db_put_aside(const char *path, wall_ms now, struct buf *kept_as, struct db_error *e);

#endif
