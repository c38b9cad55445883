/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db: TLS sessions, which a run leaves to the next one; see db_internal.h
 *
 * One of TLS 1.3 is used once (RFC 8446 C.4).  So they are gone from the file, and from the medium, before the
 * first is handed out: no crash brings back one that may have been used.
 */
#include <string.h>

#include "proxy/store/db_file_internal.h"

/* Nobody's session is so large: tickets have 64 KiB at most, chains are bounded before they are kept. */
#define ROW_BYTES_MAX (256 * 1024)

static bool is_empty(struct db *db, bool *empty, struct db_error *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sql, "SELECT 1 FROM tls_sessions LIMIT 1", -1, &s, NULL);

    if (rc == SQLITE_OK) {
        *empty = sqlite3_step(s) != SQLITE_ROW;
        rc = sqlite3_finalize(s); /* tells what the step met */
    }
    return rc == SQLITE_OK || db_fail(db, rc, e);
}

static bool read_rows(struct db *db, struct tls_rows *out, size_t max, struct db_error *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(
        db->sql, "SELECT key, session FROM tls_sessions ORDER BY place DESC LIMIT ?1", -1, &s,
        NULL);

    if (rc != SQLITE_OK)
        return db_fail(db, rc, e);
    rc = sqlite3_bind_int64(s, 1, (int64_t)max);
    while (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        struct slice bytes = db_text_at(s, 1);

        /* One that is too long is handed out as what it is: of no use. */
        tls_rows_add(out, db_text_at(s, 0), slice_first(bytes, ROW_BYTES_MAX));
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_finalize(s); /* tells what the last step met */
    else
        (void)sqlite3_finalize(s); /* tells the same error again */
    return rc == SQLITE_OK || db_fail(db, rc, e);
}

static void roll_back(struct db *db)
{
    /* Fails where SQLite rolled back by itself. */
    (void)sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
}

static bool set(struct db *db, const char *sql, struct db_error *e)
{
    int rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK || db_fail(db, rc, e);
}

static bool take(struct db *db, size_t max, struct tls_rows *out, struct db_error *e)
{
    bool empty = true;

    memset(e, 0, sizeof(*e));
    if (!is_empty(db, &empty, e))
        return false;
    if (empty)
        return true;
    db->durable = true;
    if (!set(db, "PRAGMA secure_delete = ON; PRAGMA synchronous = FULL", e))
        return false;
    if (!db_run(db, DB_BEGIN, e) || (max > 0 && !read_rows(db, out, max, e)) ||
        !db_run(db, DB_DROP_TLS, e) || !db_run(db, DB_COMMIT, e)) {
        roll_back(db);
        tls_rows_clear(out);
        return false;
    }
    /* The secrets leave the file itself too, now; where somebody reads it, at the next checkpoint. */
    (void)sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return true;
}

bool db_take_tls(struct db *db, size_t max, struct tls_rows *out, struct db_error *e)
{
    struct db_error why;

    if (db->read_only)
        return true;
    if (max > 0)
        (void)db_make_private(db, &why); /* it is said when there are some to be written */
    if (take(db, max, out, &why) || why.trouble != DB_DAMAGED)
        return true;
    *e = why;
    return false;
}

static bool put_row(struct db *db, const struct tls_row *row, size_t place, struct db_error *e)
{
    sqlite3_stmt *s = db->statements[DB_PUT_TLS];
    int bad = sqlite3_bind_int64(s, 1, (int64_t)place);

    bad |= sqlite3_bind_blob64(s, 2, row->key.p, row->key.n, SQLITE_STATIC);
    bad |= sqlite3_bind_blob64(s, 3, row->bytes.p, row->bytes.n, SQLITE_STATIC);
    return bad == SQLITE_OK ? db_run(db, DB_PUT_TLS, e) : db_fail(db, SQLITE_NOMEM, e);
}

static bool put_rows(struct db *db, const struct tls_rows *rows, bool (*enough)(void *owner),
                     void *owner, struct db_error *e)
{
    for (size_t i = rows->count; i > 0 && !enough(owner); i--)
        if (!put_row(db, &rows->rows[i - 1], i, e))
            return false;
    return true;
}

bool db_put_tls(struct db *db, const struct tls_rows *rows, bool (*enough)(void *owner),
                void *owner, struct db_error *e)
{
    memset(e, 0, sizeof(*e));
    if (!db_make_private(db, e))
        return false;
    if (db_run(db, DB_BEGIN, e) && db_run(db, DB_DROP_TLS, e) &&
        put_rows(db, rows, enough, owner, e) && db_run(db, DB_COMMIT, e))
        return true;
    roll_back(db);
    return false;
}
