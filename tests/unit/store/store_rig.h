/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for a database, stores on it, and the records that they wrote. */
#ifndef TLSMEND_TESTS_STORE_RIG_H
#define TLSMEND_TESTS_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/store/store.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define NOW 1800000000000LL
#define DAY (24 * 60 * 60 * 1000LL)
#define HOUR (60 * 60 * 1000LL)
#define BODY "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n"
#define WEEK (7 * DAY)

static char rig_folder[64], rig_path[96], rig_log_path[96];
static struct log *rig_log;

static int rig_setup(void **state)
{
    (void)state;
    (void)snprintf(rig_folder, sizeof(rig_folder), "/tmp/tlsmend-store-XXXXXX");
    if (mkdtemp(rig_folder) == NULL)
        return -1;
    (void)snprintf(rig_path, sizeof(rig_path), "%s/tlsmend.db", rig_folder);
    (void)snprintf(rig_log_path, sizeof(rig_log_path), "%s/log", rig_folder);
    return 0;
}

static int rig_teardown(void **state)
{
    char command[256];

    (void)state;
    (void)snprintf(command, sizeof(command), "chmod -R u+w '%s' && rm -r -- '%s'", rig_folder,
                   rig_folder);
    return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c): a name of our own */
}

__attribute__((unused)) static struct store *rig_open_as(const char *path, bool read_only,
                                                         size_t max, struct buf *warning)
{
    const struct log_sink sink = {.kind = LOG_TO_FILE, .form = LOG_FORM_JSON, .path = rig_log_path};
    struct buf errors;

    buf_init(&errors, 4096);
    rig_log = log_new(&sink, 1, &errors);
    if (rig_log == NULL)
        fail_msg("%s", buf_cstr(&errors));
    buf_clear(&errors);
    assert_true(log_start(rig_log));
    return store_open(&(struct store_params){.path = path,
                                             .log = rig_log,
                                             .policies_max = max,
                                             .rungs_max = max,
                                             .ledger_max = max,
                                             .ledger_keep = WEEK,
                                             .read_only = read_only},
                      warning);
}

/* It must work without a word of warning. */
__attribute__((unused)) static struct store *rig_open(void)
{
    struct buf warning;
    struct store *s;

    buf_init(&warning, 4096);
    s = rig_open_as(rig_path, false, 1000, &warning);
    assert_string_equal(buf_cstr(&warning), "");
    buf_clear(&warning);
    assert_true(store_lasting(s));
    return s;
}

__attribute__((unused)) static struct store *rig_memory(size_t max)
{
    return store_open(
        &(struct store_params){
            .path = "", .policies_max = max, .rungs_max = max, .ledger_max = max},
        NULL);
}

__attribute__((unused)) static void rig_close(struct store **s)
{
    store_close(s);
    log_stop(&rig_log);
}

/* How many records hold both pieces of text; after rig_close(). */
__attribute__((unused)) static unsigned rig_said(const char *one, const char *other)
{
    char line[8192];
    FILE *f = fopen(rig_log_path, "r");
    unsigned n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, one) != NULL && strstr(line, other) != NULL)
            n++;
    (void)fclose(f);
    return n;
}

__attribute__((unused)) static int rig_count(void *ctx, int columns, char **values, char **names)
{
    (void)names;
    (void)columns;
    (void)snprintf(ctx, 256, "%s", values[0]);
    return 0;
}

/* The first value of the last row; "" where there is none. */
__attribute__((unused)) static const char *rig_sql(const char *path, const char *sql)
{
    static char value[256];
    sqlite3 *db;
    char *error = NULL;

    value[0] = '\0';
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, rig_count, value, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

__attribute__((unused)) static bool rig_put(struct store *s, const char *domain, wall_ms now)
{
    return policies_put(store_policies(s), domain, "id1", SLICE(BODY), now);
}

/* The entry's text and id are what rig_put() gave. */
__attribute__((unused)) static bool rig_has(struct store *s, const char *domain)
{
    const struct policy_entry *e = policies_find(store_policies(s), domain);
    bool has = e != NULL && e->held.policy;

    if (has) {
        assert_string_equal(e->domain, domain);
        assert_string_equal(e->held.id, "id1");
        assert_true(slice_eq(e->body, SLICE(BODY)));
        assert_int_equal(e->policy.mode, STS_ENFORCE);
        assert_int_equal(e->policy.mx_count, 1);
        assert_string_equal(e->policy.mx[0], "mx.example.com");
        assert_int_equal(e->held.expires, e->held.fetched + WEEK);
    }
    policy_entry_drop(&e);
    return has;
}

#endif
