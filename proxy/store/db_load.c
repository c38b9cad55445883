/* SPDX-License-Identifier: Apache-2.0 */
/* db: reading everything into memory; see db_internal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/db_file_internal.h"

#define DROPPED_MAX 1000 /* rows dropped at once; further ones at the next start */
#define KEY_MAX 3

/* What is to be read of one table.  The first columns are the key. */
struct source {
    const char *table, *columns, *key;
    int key_columns;
    const char *order; /* the highest stay when there are more than fit */
    const char *drop;
    bool (*row)(void *into, sqlite3_stmt *s, wall_ms now);
};

struct bad_row {
    sqlite3_value *key[KEY_MAX];
};

struct reading {
    struct db *db;
    const struct source *from;
    size_t room;
    void *into;
    size_t count;
    struct bad_row *bad;
    size_t bad_count;
    struct db_loaded *out;
    wall_ms now;
};

struct slice db_text_at(sqlite3_stmt *s, int column)
{
    const void *p = sqlite3_column_blob(s, column); /* before its length is asked */

    return p == NULL ? SLICE("") : slice_of(p, (size_t)sqlite3_column_bytes(s, column));
}

static bool policy_row(void *into, sqlite3_stmt *s, wall_ms now)
{
    (void)now;
    return policies_load(into, db_text_at(s, 0), db_text_at(s, 1), sqlite3_column_int64(s, 2),
                         sqlite3_column_int64(s, 3), db_text_at(s, 4));
}

static bool rung_row(void *into, sqlite3_stmt *s, wall_ms now)
{
    struct ladder_memory m = {.learned = sqlite3_column_int64(s, 3),
                              .until = sqlite3_column_int64(s, 4)};
    int64_t port = sqlite3_column_int64(s, 1), times = sqlite3_column_int64(s, 5);
    struct slice rung = db_text_at(s, 2);
    struct addr a;
    unsigned i = 0;

    (void)now;
    if (!addr_parse(db_text_at(s, 0), &a) || port < 0 || port > UINT16_MAX || times < 0 ||
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

static bool ledger_row(void *into, sqlite3_stmt *s, wall_ms now)
{
    return db_ledger_row(into, s, now);
}

enum { POLICIES, RUNGS, LEDGER };

static const struct source sources[] = {
    [POLICIES] = {"policies", "domain, id, fetched, used, body", "domain", 1, "used",
                  "DELETE FROM policies WHERE domain = ?1", policy_row},
    [RUNGS] = {"rungs", "address, port, rung, learned, until, times", "address, port", 2, "until",
               "DELETE FROM rungs WHERE address = ?1 AND port = ?2", rung_row},
    [LEDGER] = {"ledger", DB_LEDGER_COLUMNS, DB_LEDGER_KEY, 3, "until",
                "DELETE FROM ledger WHERE recipient = ?1 AND sender = ?2 AND digest = ?3",
                ledger_row},
};

/* Of a recipient the domain only: the record may go where addresses must not. */
static struct slice told(struct slice key)
{
    for (size_t i = key.n; i > 0; i--)
        if (key.p[i - 1] == '@')
            return slice_from(key, i);
    return key;
}

static void note_bad(struct reading *r, sqlite3_stmt *s)
{
    struct slice key = told(db_text_at(s, 0));
    struct bad_row *bad = &r->bad[r->bad_count];

    r->out->dropped++;
    if (r->out->first_dropped[0] == '\0')
        (void)snprintf(r->out->first_dropped, sizeof(r->out->first_dropped), "%.*s",
                       SLICE_ARG(slice_first(key, sizeof(r->out->first_dropped) - 1)));
    if (r->bad_count == DROPPED_MAX)
        return;
    r->bad_count++;
    for (int i = 0; i < r->from->key_columns; i++)
        bad->key[i] = sqlite3_value_dup(sqlite3_column_value(s, i));
}

static int read_rows(struct reading *r, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, sql, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return rc;
    while (sqlite3_step(s) == SQLITE_ROW) {
        if (r->from->row(r->into, s, r->now))
            r->count++;
        else
            note_bad(r, s);
    }
    return sqlite3_finalize(s); /* tells what the last step met */
}

static int count_rows(const struct reading *r, size_t *count)
{
    char *sql = mem_format("SELECT count(*) FROM %s", r->from->table);
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, sql, -1, &s, NULL);

    free(sql);
    if (rc != SQLITE_OK)
        return rc;
    *count = sqlite3_step(s) == SQLITE_ROW ? (size_t)sqlite3_column_int64(s, 0) : 0;
    return sqlite3_finalize(s);
}

static int drop_bad(const struct reading *r, const struct bad_row *bad)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, r->from->drop, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return rc;
    /* Neither fails but for want of memory; unbound, the row just stays until the next start. */
    for (int i = 0; i < r->from->key_columns; i++)
        (void)sqlite3_bind_value(s, i + 1, bad->key[i]);
    (void)sqlite3_step(s); /* sqlite3_finalize() tells what it met */
    return sqlite3_finalize(s);
}

static int drop_excess(const struct reading *r)
{
    const struct source *from = r->from;
    char *sql = mem_format("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s ORDER BY %s DESC "
                           "LIMIT -1 OFFSET %zu)",
                           from->table, from->key, from->key, from->table, from->order, r->room);
    int rc = sqlite3_exec(r->db->sql, sql, NULL, NULL, NULL);

    free(sql);
    return rc;
}

/* What cannot be used goes from the file too, and what is over the limit of the settings. */
static int drop_rows(const struct reading *r, size_t there)
{
    int rc = SQLITE_OK;

    if (r->db->read_only)
        return rc;
    for (size_t i = 0; rc == SQLITE_OK && i < r->bad_count; i++)
        rc = drop_bad(r, &r->bad[i]);
    if (rc == SQLITE_OK && there > r->room)
        rc = drop_excess(r);
    return (rc & 0xff) == SQLITE_CORRUPT ? rc : SQLITE_OK; /* else at the next start */
}

static int read_table(struct reading *r)
{
    const struct source *from = r->from;
    size_t there = 0;
    int rc = count_rows(r, &there);

    if (rc == SQLITE_OK) {
        char *sql = there > r->room ? mem_format("SELECT %s FROM %s ORDER BY %s DESC LIMIT %zu",
                                                 from->columns, from->table, from->order, r->room)
                                    : mem_format("SELECT %s FROM %s", from->columns, from->table);

        rc = read_rows(r, sql);
        free(sql);
    }
    return rc == SQLITE_OK ? drop_rows(r, there) : rc;
}

static bool load(struct reading *r, size_t *count, struct db_error *e)
{
    int rc;

    r->bad = mem_array(DROPPED_MAX, sizeof(struct bad_row));
    rc = read_table(r);
    *count = r->count;
    for (size_t i = 0; i < r->bad_count; i++)
        for (int k = 0; k < r->from->key_columns; k++)
            sqlite3_value_free(r->bad[i].key[k]);
    free(r->bad);
    return rc == SQLITE_OK || db_fail(r->db, rc, e);
}

bool db_load(struct db *db, struct policies *p, struct rungs *r, struct ledger *l, wall_ms now,
             struct db_loaded *out, struct db_error *e)
{
    struct reading policies = {.db = db, .from = &sources[POLICIES], .into = p, .out = out};
    struct reading rungs = {.db = db, .from = &sources[RUNGS], .into = r, .out = out};
    struct reading ledger = {.db = db, .from = &sources[LEDGER], .into = l, .out = out, .now = now};

    memset(out, 0, sizeof(*out));
    memset(e, 0, sizeof(*e));
    policies.room = policies_room(p);
    rungs.room = rungs_room(r);
    ledger.room = SIZE_MAX; /* none makes room for another */
    return db->empty || (load(&policies, &out->policies, e) && load(&rungs, &out->rungs, e) &&
                         (db->no_ledger || load(&ledger, &out->ledger, e)));
}
