/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      db_file_internal - the connection, the file behind it and its troubles; for db*.c only
 */
#ifndef TLSMEND_STORE_DB_FILE_INTERNAL_H
#define TLSMEND_STORE_DB_FILE_INTERNAL_H

#include <sqlite3.h>

#include "proxy/store/db_internal.h"

/* The columns of the ledger; the key, and what is behind it. */
#define DB_LEDGER_KEY "recipient, sender, digest"
#define DB_LEDGER_COLUMNS                                                               \
    DB_LEDGER_KEY ", outcome, code, ours, untold, size, at, until, reply, mx, address," \
                  " transaction_id, queue_id, client, helo, ident"

enum db_statement {
    DB_BEGIN,
    DB_COMMIT,
    DB_PUT_POLICY,
    DB_DROP_POLICY,
    DB_PUT_RUNG,
    DB_DROP_RUNG,
    DB_PUT_LEDGER,
    DB_DROP_LEDGER,
    DB_PUT_TLS,
    DB_DROP_TLS, /* all */
    DB_STATEMENT_COUNT
};

struct db {
    sqlite3 *sql;
    char *path;
    bool read_only;
    bool empty;     /* it has no tables (read_only), or had none */
    bool no_ledger; /* read_only: it was made before there was one */
    bool durable;   /* a commit waits for the medium */
    sqlite3_stmt *statements[DB_STATEMENT_COUNT];
};

#define DB_DAMAGED_HINT \
    "the daemon puts it aside and makes a new one; look at the disk if it happens again"

/* Both fill *e and return false. */
bool db_error(struct db_error *e, enum db_trouble trouble, const char *detail, const char *hint);
bool db_fail(const struct db *db, int rc, struct db_error *e); /* rc: SQLite's */

/* A statement that gives no row, with what is bound. */
bool db_run(struct db *db, enum db_statement which, struct db_error *e);

/* Before SQLite opens it: the troubles that can be told in plain words.  Makes the file, with our
 * mode, where there is none. */
bool db_look(const char *path, bool read_only, struct db_error *e);
/* The name under which SQLite reads the file without any other; NULL: that would not be all of it.
 * free() it. */
char *db_frozen_name(const char *path);

/* The ledger's rows: db_ledger.c.  The first returns what SQLite's bind functions did, or-ed; the
 * second answers whether the row can be used. */
int db_bind_ledger(sqlite3_stmt *s, const struct ledger_job *j);
bool db_ledger_row(struct ledger *l, sqlite3_stmt *s, wall_ms now);
struct slice db_text_at(sqlite3_stmt *s, int column);

#endif
