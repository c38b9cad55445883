/* SPDX-License-Identifier: Apache-2.0 */
/* db: reading everything into memory; see db_internal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/db_file_internal.h"

#define DROPPED_MAX 1000 /* rows dropped at once; further ones at the next start */

/* What is to be read of one table. */
struct reading {
    struct db *db;
    const char *table;
    const char *columns;
    const char *order; /* the rows that stay when there are more than `room` come first */
    size_t room;
    bool (*row)(void *into, sqlite3_stmt *s);
    void *into;
    size_t count;
    int64_t bad[DROPPED_MAX];
    size_t bad_count;
    struct db_loaded *out;
};

static struct slice text_at(sqlite3_stmt *s, int column)
{
    const void *p = sqlite3_column_blob(s, column); /* before its length is asked */

    return p == NULL ? SLICE("") : slice_of(p, (size_t)sqlite3_column_bytes(s, column));
}

static bool policy_row(void *into, sqlite3_stmt *s)
{
    return policies_load(into, text_at(s, 1), text_at(s, 2), sqlite3_column_int64(s, 3),
                         sqlite3_column_int64(s, 4), text_at(s, 5));
}

static bool rung_row(void *into, sqlite3_stmt *s)
{
    struct ladder_memory m = {.learned = sqlite3_column_int64(s, 4),
                              .until = sqlite3_column_int64(s, 5)};
    int64_t port = sqlite3_column_int64(s, 2), times = sqlite3_column_int64(s, 6);
    struct slice rung = text_at(s, 3);
    struct addr a;
    unsigned i = 0;

    if (!addr_parse(text_at(s, 1), &a) || port < 0 || port > UINT16_MAX || times < 0 ||
        times > UINT16_MAX)
        return false;
    while (i < RUNG_COUNT && !slice_eq(rung, slice_str(tls_rung_name((enum tls_rung)i))))
        i++;
    if (i == RUNG_COUNT)
        return false;
    a.port = (uint16_t)port;
    m.rung = (enum tls_rung)i;
    m.times = (unsigned)times;
    return rungs_load(into, &a, &m);
}

static void note_bad(struct reading *r, sqlite3_stmt *s)
{
    struct slice key = slice_first(text_at(s, 1), sizeof(r->out->first_dropped) - 1);

    if (r->out->dropped++ == 0)
        (void)snprintf(r->out->first_dropped, sizeof(r->out->first_dropped), "%.*s",
                       SLICE_ARG(key));
    if (r->bad_count < DROPPED_MAX)
        r->bad[r->bad_count++] = sqlite3_column_int64(s, 0);
}

static int read_rows(struct reading *r, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, sql, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (r->row(r->into, s))
            r->count++;
        else
            note_bad(r, s);
    }
    return sqlite3_finalize(s);
}

static int count_rows(const struct reading *r, size_t *count)
{
    char *sql = mem_format("SELECT count(*) FROM %s", r->table);
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, sql, -1, &s, NULL);

    free(sql);
    if (rc != SQLITE_OK)
        return rc;
    *count = sqlite3_step(s) == SQLITE_ROW ? (size_t)sqlite3_column_int64(s, 0) : 0;
    return sqlite3_finalize(s);
}

static int execute(const struct reading *r, char *sql)
{
    int rc = sqlite3_exec(r->db->sql, sql, NULL, NULL, NULL);

    free(sql);
    return rc;
}

/* What cannot be used goes from the file too, and what is over the limit of the settings. */
static int drop_rows(struct reading *r, size_t there)
{
    int rc = SQLITE_OK;

    if (r->db->read_only)
        return rc;
    for (size_t i = 0; rc == SQLITE_OK && i < r->bad_count; i++)
        rc = execute(
            r, mem_format("DELETE FROM %s WHERE rowid = %lld", r->table, (long long)r->bad[i]));
    if (rc == SQLITE_OK && there > r->room)
        rc = execute(r, mem_format("DELETE FROM %s WHERE rowid IN (SELECT rowid FROM %s "
                                   "ORDER BY %s DESC LIMIT -1 OFFSET %zu)",
                                   r->table, r->table, r->order, r->room));
    return (rc & 0xff) == SQLITE_CORRUPT ? rc : SQLITE_OK; /* else at the next start */
}

static bool read_table(struct reading *r, struct db_error *e)
{
    size_t there = 0;
    int rc = count_rows(r, &there);

    if (rc == SQLITE_OK) {
        char *sql = there > r->room ? mem_format("SELECT %s FROM %s ORDER BY %s DESC LIMIT %zu",
                                                 r->columns, r->table, r->order, r->room)
                                    : mem_format("SELECT %s FROM %s", r->columns, r->table);

        rc = read_rows(r, sql);
        free(sql);
    }
    if (rc == SQLITE_OK)
        rc = drop_rows(r, there);
    return rc == SQLITE_OK || db_fail(r->db, rc, e);
}

static bool read_all(struct reading *r, struct policies *p, struct rungs *g, struct db_error *e)
{
    r->table = "policies";
    r->columns = "rowid, domain, id, fetched, used, body";
    r->order = "used";
    r->room = policies_room(p);
    r->row = policy_row;
    r->into = p;
    if (!read_table(r, e))
        return false;
    r->out->policies = r->count;
    r->count = r->bad_count = 0;
    r->table = "rungs";
    r->columns = "rowid, address, port, rung, learned, until, times";
    r->order = "until";
    r->room = rungs_room(g);
    r->row = rung_row;
    r->into = g;
    if (!read_table(r, e))
        return false;
    r->out->rungs = r->count;
    return true;
}

bool db_load(struct db *db, struct policies *p, struct rungs *r, struct db_loaded *out,
             struct db_error *e)
{
    struct reading *reading;
    bool ok;

    memset(out, 0, sizeof(*out));
    memset(e, 0, sizeof(*e));
    if (db->empty)
        return true;
    reading = mem_zalloc(sizeof(*reading));
    reading->db = db;
    reading->out = out;
    ok = read_all(reading, p, r, e);
    free(reading);
    return ok;
}
