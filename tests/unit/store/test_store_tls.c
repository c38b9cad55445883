/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_tls - C-TLS-08: TLS sessions that one run leaves to the next: once, in order, for nobody else. */
#include "tests/unit/store/store_rig.h"

#include <sys/stat.h>

#define ROWS "SELECT count(*) FROM tls_sessions"

static struct store *open_for(size_t max)
{
    const struct log_sink sink = {.kind = LOG_TO_FILE, .form = LOG_FORM_JSON, .path = rig_log_path};
    struct buf errors;

    buf_init(&errors, 4096);
    rig_log = log_new(&sink, 1, &errors);
    assert_non_null(rig_log);
    buf_clear(&errors);
    assert_true(log_start(rig_log));
    return store_open(&(struct store_params){.path = rig_path,
                                             .log = rig_log,
                                             .policies_max = 100,
                                             .rungs_max = 100,
                                             .ledger_max = 100,
                                             .tls_sessions_max = max},
                      NULL);
}

static void leave(struct store *s, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char key[32] = {(char)(i / 256), (char)i}, bytes[100] = {0, (char)i, 's'};

        store_leave_tls(s, slice_of(key, sizeof(key)), slice_of(bytes, sizeof(bytes)));
    }
}

struct got {
    unsigned count, numbers[2000];
};

static void on_row(void *owner, struct slice key, struct slice bytes)
{
    struct got *g = owner;
    unsigned n;

    assert_int_equal(key.n, 32);
    assert_int_equal(bytes.n, 100);
    assert_true(bytes.p[0] == 0 && bytes.p[1] == key.p[1] && bytes.p[2] == 's');
    n = (unsigned)(unsigned char)key.p[0] * 256 + (unsigned char)key.p[1];
    assert_true(g->count < COUNT(g->numbers));
    g->numbers[g->count++] = n;
}

/* Exactly `first` and those behind it, in order. */
static void expect(struct store *s, unsigned first, unsigned count)
{
    struct got g = {0};

    store_take_tls(s, on_row, &g);
    assert_int_equal(g.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(g.numbers[i], first + i);
    g.count = 0;
    store_take_tls(s, on_row, &g); /* once */
    assert_int_equal(g.count, 0);
}

static unsigned mode(const char *tail)
{
    char name[128];
    struct stat st;

    (void)snprintf(name, sizeof(name), "%s%s", rig_path, tail);
    return stat(name, &st) == 0 ? st.st_mode & 0777 : 0;
}

static void c_tls_08_once(void **state)
{
    struct store *s = open_for(1000);

    (void)state;
    expect(s, 0, 0);
    leave(s, 0, 500);
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 5000));
    assert_string_equal(rig_sql(rig_path, ROWS), "0"); /* a crash leaves none */
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, ROWS), "500");
    s = open_for(1000);
    assert_string_equal(rig_sql(rig_path, ROWS), "0"); /* before one can be used */
    assert_true(rig_has(s, "a.example"));
    expect(s, 0, 500);
    leave(s, 100, 7); /* in the place of the others */
    rig_close(&s);
    s = open_for(1000);
    expect(s, 100, 7);
    rig_close(&s);
    s = open_for(1000);
    expect(s, 0, 0);
    rig_close(&s);
    assert_int_equal(rig_said("\"error\"", ""), 0);
}

/* The newest stay; nobody who wants none leaves any on the disk. */
static void c_tls_08_bounded(void **state)
{
    struct store *s = open_for(1000);

    (void)state;
    leave(s, 0, 50);
    rig_close(&s);
    s = open_for(20);
    expect(s, 30, 20);
    leave(s, 0, 50);
    rig_close(&s);
    s = open_for(0);
    expect(s, 0, 0);
    assert_string_equal(rig_sql(rig_path, ROWS), "0");
    rig_close(&s);
    s = open_for(1000);
    expect(s, 0, 0);
    leave(s, 0, 1);
    rig_close(&s);
    s = rig_open_as(rig_path, true, 10, NULL); /* a tool changes nothing */
    expect(s, 0, 0);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, ROWS), "1");
}

/* Nothing of them is to be read in the file when they are gone, also beside a reader of that file. */
static void c_tls_08_gone_is_gone(void **state)
{
    static const char secret[] = "a master secret: 0123456789abcdef";
    char command[512];
    struct store *s = open_for(10);

    (void)state;
    (void)snprintf(command, sizeof(command), "cat %s %s-wal 2>/dev/null | grep -aq '%s'", rig_path,
                   rig_path, secret);
    store_leave_tls(s, SLICE("key"), slice_str(secret));
    assert_int_not_equal(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
    rig_close(&s);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
    s = open_for(10);
    assert_int_not_equal(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
    rig_close(&s);
}

static void c_tls_08_for_the_owner_alone(void **state)
{
    struct store *s = open_for(0);

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 5000));
    assert_int_not_equal(mode("") & 0600, 0);
    assert_int_equal(chmod(rig_path, 0644), 0);
    leave(s, 0, 1); /* the setting came with a reload */
    rig_close(&s);
    assert_int_equal(mode(""), 0600);
    assert_int_equal(chmod(rig_path, 0644), 0);
    s = open_for(10);
    assert_true(rig_put(s, "b.example", NOW));
    assert_true(store_flush(s, 5000));
    assert_int_equal(mode(""), 0600);
    assert_int_equal(mode("-wal"), 0600);
    assert_int_equal(mode("-shm"), 0600);
    rig_close(&s);
}

static void on_any(void *owner, struct slice key, struct slice bytes)
{
    struct got *g = owner;

    assert_true(key.n <= 32 && bytes.n <= 256 * 1024);
    g->count++;
}

/* Whatever stands there is handed out, for who knows what a session is to judge; bounded. */
static void rows_of_no_use(void **state)
{
    struct got g = {0};
    struct store *s = open_for(10);

    (void)state;
    rig_close(&s);
    (void)rig_sql(rig_path, "INSERT INTO tls_sessions (place, key, session) VALUES"
                            " (-5, x'', x''), (7, x'01', x'02'),"
                            " (9223372036854775807, zeroblob(32), zeroblob(3000000))");
    s = open_for(10);
    store_take_tls(s, on_any, &g);
    assert_int_equal(g.count, 3);
    assert_true(store_lasting(s));
    leave(s, 0, 3);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, ROWS), "3");
}

/* A file of the version before. */
static void version_2(void **state)
{
    struct store *s = open_for(10);

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    rig_close(&s);
    (void)rig_sql(rig_path, "DROP TABLE tls_sessions; PRAGMA user_version = 2");
    s = rig_open_as(rig_path, true, 10, NULL);
    assert_true(rig_has(s, "a.example"));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "PRAGMA user_version"), "2");
    s = open_for(10);
    assert_true(rig_has(s, "a.example"));
    assert_string_equal(rig_sql(rig_path, "PRAGMA user_version"), "3");
    leave(s, 0, 3);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, ROWS), "3");
    assert_int_equal(rig_said("damaged", ""), 0);
}

/* C-OPS-03: what cannot be written is told, and costs handshakes only. */
static void c_ops_03_no_room(void **state)
{
    struct store *s = open_for(10);
    sqlite3 *other;

    (void)state;
    leave(s, 0, 3);
    rig_close(&s);
    s = open_for(10);
    expect(s, 0, 3);
    assert_int_equal(sqlite3_open(rig_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    leave(s, 0, 3);
    rig_close(&s);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(rig_said("\"failed\"", "locked"), 1);
    assert_string_equal(rig_sql(rig_path, ROWS), "0");
}

/* Without a file, and where it cannot be opened. */
static void in_memory_nothing_is_left(void **state)
{
    struct store *s = rig_memory(10);

    (void)state;
    leave(s, 0, 3);
    expect(s, 0, 0);
    store_close(&s);
    assert_int_equal(access(rig_path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(c_tls_08_once),         TEST(c_tls_08_bounded),
        TEST(c_tls_08_gone_is_gone), TEST(c_tls_08_for_the_owner_alone),
        TEST(rows_of_no_use),        TEST(version_2),
        TEST(c_ops_03_no_room),      TEST(in_memory_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
