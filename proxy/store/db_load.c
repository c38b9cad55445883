/* SPDX-License-Identifier: Apache-2.0 */
/* db: reading everything into memory; see db_internal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/db_file_internal.h"

#define DROPPED_MAX 1000 /* rows dropped at once; further ones at the next start */

/* What is to be read of one table.  The first two columns are the key. */
struct source {
    const char *table, *columns, *key;
    const char *order; /* the highest stay when there are more than fit */
    const char *drop;
    bool (*row)(void *into, sqlite3_stmt *s);
};

struct bad_row {
    char *key;
    size_t key_size;
    int64_t port;
};

struct reading {
    struct db *db;
    const struct source *from;
    size_t room;
    void *into;
    size_t count;
    struct bad_row bad[DROPPED_MAX];
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
    return policies_load(into, text_at(s, 0), text_at(s, 2), sqlite3_column_int64(s, 3),
                         sqlite3_column_int64(s, 4), text_at(s, 5));
}

static bool rung_row(void *into, sqlite3_stmt *s)
{
    struct ladder_memory m = {.learned = sqlite3_column_int64(s, 3),
                              .until = sqlite3_column_int64(s, 4)};
    int64_t port = sqlite3_column_int64(s, 1), times = sqlite3_column_int64(s, 5);
    struct slice rung = text_at(s, 2);
    struct addr a;
    unsigned i = 0;

    if (!addr_parse(text_at(s, 0), &a) || port < 0 || port > UINT16_MAX || times < 0 ||
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

static const struct source sources[2] = {
    {"policies", "domain, 0, id, fetched, used, body", "domain", "used",
     "DELETE FROM policies WHERE domain = ?1 AND ?2 = 0", policy_row},
    {"rungs", "address, port, rung, learned, until, times", "address, port", "until",
     "DELETE FROM rungs WHERE address = ?1 AND port = ?2", rung_row},
};

static void note_bad(struct reading *r, sqlite3_stmt *s)
{
    struct slice key = text_at(s, 0);
    struct bad_row *bad = &r->bad[r->bad_count];

    r->out->dropped++;
    if (r->out->first_dropped[0] == '\0')
        (void)snprintf(r->out->first_dropped, sizeof(r->out->first_dropped), "%.*s",
                       SLICE_ARG(slice_first(key, sizeof(r->out->first_dropped) - 1)));
    if (r->bad_count == DROPPED_MAX)
        return;
    r->bad_count++;
    bad->key = mem_zalloc(key.n + 1);
    memcpy(bad->key, key.p, key.n);
    bad->key_size = key.n;
    bad->port = sqlite3_column_int64(s, 1);
}

static int read_rows(struct reading *r, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(r->db->sql, sql, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return rc;
    while (sqlite3_step(s) == SQLITE_ROW) {
        if (r->from->row(r->into, s))
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
    (void)sqlite3_bind_text(s, 1, bad->key, (int)bad->key_size, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 2, bad->port);
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

static bool load(struct db *db, const struct source *from, void *into, size_t room,
                 struct db_loaded *out, size_t *count, struct db_error *e)
{
    struct reading *r = mem_zalloc(sizeof(*r));
    int rc;

    *r = (struct reading){.db = db, .from = from, .into = into, .room = room, .out = out};
    rc = read_table(r);
    *count = r->count;
    for (size_t i = 0; i < r->bad_count; i++)
        free(r->bad[i].key);
    free(r);
    return rc == SQLITE_OK || db_fail(db, rc, e);
}

bool db_load(struct db *db, struct policies *p, struct rungs *r, struct db_loaded *out,
             struct db_error *e)
{
    memset(out, 0, sizeof(*out));
    memset(e, 0, sizeof(*e));
    return db->empty || (load(db, &sources[0], p, policies_room(p), out, &out->policies, e) &&
                         load(db, &sources[1], r, rungs_room(r), out, &out->rungs, e));
}
