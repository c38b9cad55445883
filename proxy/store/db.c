/* SPDX-License-Identifier: Apache-2.0 */
/* db - see db_internal.h for the contract.  Here: the connection, its statements, writing. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/store/db_file_internal.h"

#define DB_APPLICATION 0x746c736d /* "tlsm" in the file's header */
#define DB_VERSION 3              /* 1: without the ledger; 2: without TLS sessions */
#define DB_VERSION_LEDGER 2
#define CHECK_STEPS 1000 /* of SQLite's machine, between two looks at the clock */

/* One tree for each table: an index beside it could contradict it in a damaged file, and then a write
 * takes the wrong row away. */
#define SCHEMA_LEDGER                                                         \
    "CREATE TABLE ledger (sender TEXT NOT NULL, recipient TEXT NOT NULL,"     \
    " digest BLOB NOT NULL, outcome TEXT NOT NULL, code INTEGER NOT NULL,"    \
    " ours INTEGER NOT NULL, untold INTEGER NOT NULL, size INTEGER NOT NULL," \
    " at INTEGER NOT NULL, until INTEGER NOT NULL, reply TEXT NOT NULL,"      \
    " mx TEXT NOT NULL, address TEXT NOT NULL, transaction_id TEXT NOT NULL," \
    " queue_id TEXT NOT NULL, client TEXT NOT NULL, helo TEXT NOT NULL,"      \
    " ident TEXT NOT NULL, PRIMARY KEY (sender, recipient, digest))"          \
    " STRICT, WITHOUT ROWID;"

/* By place: the longest unused first. */
#define SCHEMA_TLS                                                             \
    "CREATE TABLE tls_sessions (place INTEGER PRIMARY KEY, key BLOB NOT NULL," \
    " session BLOB NOT NULL) STRICT;"

static const char schema[] =
    "CREATE TABLE policies (domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL,"
    " fetched INTEGER NOT NULL, used INTEGER NOT NULL, body BLOB NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE rungs (address TEXT NOT NULL, port INTEGER NOT NULL, rung TEXT NOT NULL,"
    " learned INTEGER NOT NULL, until INTEGER NOT NULL, times INTEGER NOT NULL,"
    " PRIMARY KEY (address, port)) STRICT, WITHOUT ROWID;" SCHEMA_LEDGER SCHEMA_TLS;

static const char *const statements[DB_STATEMENT_COUNT] = {
    [DB_BEGIN] = "BEGIN IMMEDIATE",
    [DB_COMMIT] = "COMMIT",
    [DB_PUT_POLICY] = "INSERT OR REPLACE INTO policies (domain, id, fetched, used, body)"
                      " VALUES (?1, ?2, ?3, ?4, ?5)",
    [DB_DROP_POLICY] = "DELETE FROM policies WHERE domain = ?1",
    [DB_PUT_RUNG] = "INSERT OR REPLACE INTO rungs (address, port, rung, learned, until, times)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [DB_DROP_RUNG] = "DELETE FROM rungs WHERE address = ?1 AND port = ?2",
    [DB_PUT_LEDGER] = "INSERT OR REPLACE INTO ledger (" DB_LEDGER_COLUMNS ") VALUES (?1, ?2, ?3,"
                      " ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    [DB_DROP_LEDGER] = "DELETE FROM ledger WHERE recipient = ?1 AND sender = ?2 AND digest = ?3",
    [DB_PUT_TLS] = "INSERT INTO tls_sessions (place, key, session) VALUES (?1, ?2, ?3)",
    [DB_DROP_TLS] = "DELETE FROM tls_sessions",
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool pragma(struct db *db, const char *sql, struct db_error *e)
{
    int rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK || db_fail(db, rc, e);
}

/* The only value of the only row. */
static bool ask(struct db *db, const char *sql, int64_t *value, struct db_error *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL);

    if (rc == SQLITE_OK) {
        *value = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        rc = sqlite3_finalize(s); /* tells what the step met */
    }
    return rc == SQLITE_OK || db_fail(db, rc, e);
}

/* Whose file is it, and how old?  *empty: nobody's yet. */
static bool ours(struct db *db, bool *empty, int64_t *version, struct db_error *e)
{
    int64_t application = 0, tables = 0;

    if (!ask(db, "PRAGMA application_id", &application, e) ||
        !ask(db, "PRAGMA user_version", version, e) ||
        !ask(db, "SELECT count(*) FROM sqlite_master", &tables, e))
        return false;
    *empty = application == 0 && *version == 0 && tables == 0;
    if (*empty)
        return true;
    if (application != DB_APPLICATION)
        return db_error(e, DB_FOREIGN, "it is the database of another program",
                        "give tlsmend a file of its own (store.path)");
    if (*version > DB_VERSION)
        return db_error(e, DB_FOREIGN, "it was made by a newer tlsmend",
                        "install the newer tlsmend again, or give this one another file "
                        "(store.path)");
    return true;
}

static int check_in_time(void *ctx)
{
    const int64_t *until = ctx;

    return now_ms() > *until;
}

/* Bounded by time: what a big file hides is found when it is read. */
static bool check(struct db *db, struct db_error *e)
{
    int64_t until = now_ms() + DB_CHECK_MS;
    sqlite3_stmt *s = NULL;
    char found[200] = "ok";
    int rc = sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &s, NULL);

    sqlite3_progress_handler(db->sql, CHECK_STEPS, check_in_time, &until);
    if (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        (void)snprintf(found, sizeof(found), "%s", (const char *)sqlite3_column_text(s, 0));
    if (rc == SQLITE_OK)
        rc = sqlite3_finalize(s); /* tells what the step met */
    sqlite3_progress_handler(db->sql, 0, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_INTERRUPT)
        return db_fail(db, rc, e);
    return rc == SQLITE_INTERRUPT || strcmp(found, "ok") == 0 ||
           db_error(e, DB_DAMAGED, found, DB_DAMAGED_HINT);
}

static bool make_schema(struct db *db, struct db_error *e)
{
    char sql[sizeof(schema) + 200];

    (void)snprintf(sql, sizeof(sql),
                   "BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d;"
                   "%s COMMIT",
                   DB_APPLICATION, DB_VERSION, schema);
    return pragma(db, sql, e);
}

/* What older versions have does not change. */
static bool migrate(struct db *db, int64_t version, struct db_error *e)
{
    char sql[sizeof(SCHEMA_LEDGER SCHEMA_TLS) + 100];
    int rc;

    (void)snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; %s%s PRAGMA user_version = %d; COMMIT",
                   version < DB_VERSION_LEDGER ? SCHEMA_LEDGER : "", SCHEMA_TLS, DB_VERSION);
    rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);
    if (rc == SQLITE_ERROR) /* a table in a file that is too old for it */
        return db_error(e, DB_DAMAGED, sqlite3_errmsg(db->sql), DB_DAMAGED_HINT);
    return rc == SQLITE_OK || db_fail(db, rc, e);
}

static bool prepare(struct db *db, struct db_error *e)
{
    for (size_t i = 0; i < DB_STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(db->sql, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->statements[i], NULL);

        if (rc == SQLITE_ERROR) /* our version number, but not our tables */
            return db_error(e, DB_DAMAGED, sqlite3_errmsg(db->sql), DB_DAMAGED_HINT);
        if (rc != SQLITE_OK)
            return db_fail(db, rc, e);
    }
    return true;
}

static bool set_up(struct db *db, struct db_error *e)
{
    int64_t version = 0;
    bool empty;

    (void)sqlite3_busy_timeout(db->sql, DB_BUSY_MS);
    (void)sqlite3_extended_result_codes(db->sql, 1);
    /* A file that somebody tampered with runs nothing. */
    (void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!pragma(db,
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                "PRAGMA temp_store = MEMORY",
                e) ||
        !ours(db, &empty, &version, e))
        return false;
    db->empty = empty;
    db->no_ledger = version < DB_VERSION_LEDGER;
    if (db->read_only)
        return empty || check(db, e);
    /* What was written survives the end of the process; the end of the power takes the last
     * seconds at most, and never the file.  The ledger asks for more: wait_for_medium(). */
    if (!pragma(db,
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA journal_size_limit = 16777216",
                e) ||
        !check(db, e) || (empty && !make_schema(db, e)))
        return false;
    if (!empty && version < DB_VERSION && !migrate(db, version, e))
        return false;
    db->no_ledger = false;
    return prepare(db, e);
}

static struct db *open_as(const char *path, const char *name, int flags, struct db_error *e)
{
    struct db *db = mem_zalloc(sizeof(*db));
    int rc = sqlite3_open_v2(name, &db->sql, flags | SQLITE_OPEN_NOMUTEX, NULL);

    db->path = mem_strdup(path);
    db->read_only = (flags & SQLITE_OPEN_READONLY) != 0;
    if (rc != SQLITE_OK)
        (void)db_fail(db, rc, e);
    else if (set_up(db, e))
        return db;
    db_close(&db);
    return NULL;
}

struct db *db_open(const char *path, bool read_only, struct db_error *e)
{
    char *frozen;
    struct db *db;

    memset(e, 0, sizeof(*e));
    if (!db_look(path, read_only, e))
        return NULL;
    if (!read_only)
        return open_as(path, path, SQLITE_OPEN_READWRITE, e);
    db = open_as(path, path, SQLITE_OPEN_READONLY, e);
    if (db != NULL || e->trouble != DB_FAILED || (frozen = db_frozen_name(path)) == NULL)
        return db;
    /* WAL wants to make files beside it and may not: nobody writes, so the file alone is whole. */
    memset(e, 0, sizeof(*e));
    db = open_as(path, frozen, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, e);
    free(frozen);
    return db;
}

void db_close(struct db **held)
{
    struct db *db = *held;

    *held = NULL;
    if (db == NULL)
        return;
    for (size_t i = 0; i < DB_STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(db->statements[i]); /* tells the last error again */
    (void)sqlite3_close_v2(db->sql);
    free(db->path);
    free(db);
}

bool db_run(struct db *db, enum db_statement which, struct db_error *e)
{
    sqlite3_stmt *s = db->statements[which];
    int rc = sqlite3_step(s);

    (void)sqlite3_reset(s); /* tells the same error again */
    return rc == SQLITE_DONE || db_fail(db, rc, e);
}

/* A bind fails only when memory runs out, or for a number of a parameter that is not there. */
static bool bound(struct db *db, int failures, struct db_error *e)
{
    return failures == SQLITE_OK || db_fail(db, SQLITE_NOMEM, e);
}

static bool write_policy(struct db *db, const struct policy_job *j, struct db_error *e)
{
    enum db_statement which = j->text != NULL ? DB_PUT_POLICY : DB_DROP_POLICY;
    sqlite3_stmt *s = db->statements[which];
    int bad = sqlite3_bind_text(s, 1, j->domain, -1, SQLITE_STATIC);

    if (j->text != NULL) {
        bad |= sqlite3_bind_text(s, 2, j->id, -1, SQLITE_STATIC);
        bad |= sqlite3_bind_int64(s, 3, j->fetched);
        bad |= sqlite3_bind_int64(s, 4, j->used);
        bad |= sqlite3_bind_blob64(s, 5, j->body.p, j->body.n, SQLITE_STATIC);
    }
    return bound(db, bad, e) && db_run(db, which, e);
}

static bool write_rung(struct db *db, const struct rung_job *j, struct db_error *e)
{
    enum db_statement which = j->gone ? DB_DROP_RUNG : DB_PUT_RUNG;
    sqlite3_stmt *s = db->statements[which];
    char text[ADDR_TEXT_MAX];
    int bad = sqlite3_bind_text(s, 1, addr_text(&j->address, text), -1, SQLITE_STATIC);

    bad |= sqlite3_bind_int(s, 2, j->address.port);
    if (!j->gone) {
        bad |= sqlite3_bind_text(s, 3, tls_rung_name(j->memory.rung), -1, SQLITE_STATIC);
        bad |= sqlite3_bind_int64(s, 4, j->memory.learned);
        bad |= sqlite3_bind_int64(s, 5, j->memory.until);
        bad |= sqlite3_bind_int64(s, 6, j->memory.times);
    }
    return bound(db, bad, e) && db_run(db, which, e);
}

static bool write_ledger(struct db *db, const struct ledger_job *j, struct db_error *e)
{
    enum db_statement which = j->gone ? DB_DROP_LEDGER : DB_PUT_LEDGER;

    return bound(db, db_bind_ledger(db->statements[which], j), e) && db_run(db, which, e);
}

static bool write_all(struct db *db, const struct db_jobs *jobs, struct db_error *e)
{
    for (size_t i = 0; i < jobs->policy_count; i++)
        if (!write_policy(db, &jobs->policies[i], e))
            return false;
    for (size_t i = 0; i < jobs->rung_count; i++)
        if (!write_rung(db, &jobs->rungs[i], e))
            return false;
    for (size_t i = 0; i < jobs->ledger_count; i++)
        if (!write_ledger(db, &jobs->ledger[i], e))
            return false;
    return true;
}

/* An entry of the ledger is a promise: its commit waits until the medium has the log (C-OPS-01).  Not
 * inside a transaction, where SQLite would not hear of it. */
static bool wait_for_medium(struct db *db, const struct db_jobs *jobs, struct db_error *e)
{
    bool durable = false;

    for (size_t i = 0; i < jobs->ledger_count; i++)
        durable = durable || !jobs->ledger[i].gone;
    if (durable == db->durable)
        return true;
    if (!pragma(db, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", e))
        return false;
    db->durable = durable;
    return true;
}

bool db_write(struct db *db, const struct db_jobs *jobs, struct db_error *e)
{
    memset(e, 0, sizeof(*e));
    if (!wait_for_medium(db, jobs, e))
        return false;
    if (db_run(db, DB_BEGIN, e) && write_all(db, jobs, e) && db_run(db, DB_COMMIT, e))
        return true;
    /* Fails where SQLite rolled back by itself. */
    (void)sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

bool db_moved(const struct db *db)
{
    int moved = 0;

    return sqlite3_file_control(db->sql, NULL, SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
}
