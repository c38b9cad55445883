/* SPDX-License-Identifier: Apache-2.0 */
/* What lasts of the ledger (C-RCPT-03, C-OPS-01); troubles: test_ledger_trouble.c. */
#include "tests/unit/store/ledger_rig.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define PUTS 200

static const char *name(uint32_t i)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "user%u@example.com", i);
    return text;
}

static struct store *open_quietly(size_t max)
{
    return store_open(&(struct store_params){.path = rig_path,
                                             .policies_max = 10,
                                             .rungs_max = 10,
                                             .ledger_max = max,
                                             .ledger_keep = WEEK},
                      NULL);
}

static bool put(struct ledger *l, uint32_t i, uint64_t *ticket)
{
    struct ledger_entry e = led_entry("a@example.org", name(i), i);

    return led_put(l, &e, ticket);
}

static bool has(struct ledger *l, uint32_t i)
{
    struct ledger_entry e = led_entry("a@example.org", name(i), i);
    struct ledger_view *v = ledger_find(l, slice_str(e.sender), slice_str(e.recipient), NOW);
    bool there = v != NULL;

    if (there)
        led_same(&v->entries[0], &e);
    ledger_view_free(&v);
    return there;
}

static double milliseconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static wall_ms real_now(void)
{
    return (wall_ms)time(NULL) * 1000;
}

/* C-RCPT-03: after a restart everything is as before. */
static void c_rcpt_03_restart(void **state)
{
    struct store *s = rig_open();
    struct ledger *l = store_ledger(s);
    struct ledger_entry e[3] = {led_entry("A@Example.ORG", "b@example.com", 1),
                                led_entry("", "c@example.com", 2),
                                led_entry("a@example.org", "d@example.com", 3)};
    uint64_t ticket;
    struct ledger_view *v;

    (void)state;
    e[1].outcome = LEDGER_REFUSED;
    e[1].code = 550;
    e[1].reply = "5.7.1 \"no'; DROP TABLE ledger; \xc3\xa9\xff";
    e[1].reply_is_ours = e[1].untold = true;
    e[1].mx = e[1].address = "";
    e[1].signs = (struct retry_signs){.has_size = true, .size = 0};
    e[1].at = NOW + 5;
    assert_true(ledger_put(l, e, 3, &ticket));
    assert_int_equal(led_wait(l, ticket, 20000), LEDGER_DURABLE);
    ledger_remove(l, &e[2]);
    rig_close(&s);
    s = rig_open();
    l = store_ledger(s);
    assert_int_equal(ledger_count(l), 2);
    v = ledger_find(l, SLICE("A@example.org"), SLICE("b@example.com"), NOW);
    e[0].sender = "A@example.org";
    led_same(&v->entries[0], &e[0]);
    assert_int_equal(v->entries[0].until, NOW + WEEK);
    ledger_view_free(&v);
    v = ledger_find(l, SLICE(""), SLICE("c@example.com"), NOW);
    led_same(&v->entries[0], &e[1]);
    ledger_view_free(&v);
    assert_true(ledger_ready(l, 1, NOW));
    ledger_remove(l, &e[0]); /* what came from the disk goes from it too */
    ledger_remove(l, &e[1]);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "0");
    assert_int_equal(rig_said("\"state\":\"open\"", "\"ledger\":2"), 1);
}

static void closed_at_once(void **state)
{
    struct store *s = rig_open();

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(put(store_ledger(s), i, NULL));
    rig_close(&s); /* writes what waits */
    s = rig_open();
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(has(store_ledger(s), i));
    rig_close(&s);
}

static _Noreturn void put_until_killed(int out)
{
    struct store *s = open_quietly(PUTS);

    for (uint32_t i = 0; i < PUTS; i++) {
        uint64_t ticket;

        if (!put(store_ledger(s), i, &ticket) ||
            led_wait(store_ledger(s), ticket, 5000) != LEDGER_DURABLE ||
            write(out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
    (void)pause();
    _exit(1);
}

/* C-OPS-01: kill -9 in the midst of writing.  What was said to be durable is there. */
static void c_ops_01_kill(void **state)
{
    static const uint32_t when[] = {0, 9, 50, PUTS - 1};

    (void)state;
    for (size_t k = 0; k < COUNT(when); k++) {
        uint32_t last = 0, next = 0;
        int pipes[2], status;
        struct store *s;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
            put_until_killed(pipes[1]);
        (void)close(pipes[1]);
        do {
            assert_int_equal(read(pipes[0], &next, sizeof(next)), sizeof(next));
            last = next;
        } while (last < when[k]);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &next, sizeof(next)) == sizeof(next))
            last = next; /* acknowledged before it died */
        (void)close(pipes[0]);
        s = rig_open();
        for (uint32_t i = 0; i <= last; i++)
            assert_true(has(store_ledger(s), i));
        rig_close(&s);
        assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* How long a session waits for its 451; and policies do not wait for the medium. */
static void how_long(void **state)
{
    double took[PUTS];
    struct store *s = rig_open();

    (void)state;
    for (uint32_t i = 0; i < PUTS; i++) {
        uint64_t ticket;

        took[i] = milliseconds();
        assert_true(put(store_ledger(s), i, &ticket));
        while (ledger_settled(store_ledger(s), ticket) == LEDGER_WAITING)
            (void)sched_yield();
        took[i] = milliseconds() - took[i];
        assert_int_equal(ledger_settled(store_ledger(s), ticket), LEDGER_DURABLE);
    }
    qsort(took, PUTS, sizeof(double), by_size);
    print_message("durable after %.2f ms (median), %.2f ms (longest of %d)\n", took[PUTS / 2],
                  took[PUTS - 1], PUTS);
    rig_close(&s);
}

/* Expired entries go from the disk too, those of the file as well as those of memory. */
static void expired(void **state)
{
    struct store *s = rig_open();
    struct ledger *l = store_ledger(s);
    struct ledger_entry e;
    uint64_t ticket;
    char sql[160];

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        assert_true(put(l, i, &ticket));
    assert_int_equal(led_wait(l, ticket, 20000), LEDGER_DURABLE);
    rig_close(&s);
    (void)snprintf(sql, sizeof(sql),
                   "UPDATE ledger SET at = 1000, until = %lld WHERE code = 250 AND recipient < "
                   "'user4'",
                   (long long)real_now() - 1000);
    (void)rig_sql(rig_path, sql);
    s = rig_open();
    l = store_ledger(s);
    for (int i = 0; i < 100 && ledger_count(l) != 6; i++)
        (void)poll(NULL, 0, 50); /* by itself, soon after the start */
    assert_int_equal(ledger_count(l), 6);
    e = led_entry("a@example.org", "old@example.com", 1);
    e.at = real_now() - WEEK + 2000;
    assert_true(led_put(l, &e, &ticket));
    assert_int_equal(led_wait(l, ticket, 20000), LEDGER_DURABLE);
    assert_int_equal(ledger_count(l), 7);
    (void)poll(NULL, 0, 3000);
    assert_true(store_flush(s, 20000));
    assert_int_equal(ledger_count(l), 6);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "6");
}

/* The settings got smaller: all that lives stays, and only new ones find no room. */
static void fewer_than_there_are(void **state)
{
    struct store *s = rig_open();

    (void)state;
    for (uint32_t i = 0; i < 20; i++)
        assert_true(put(store_ledger(s), i, NULL));
    rig_close(&s);
    for (size_t max = 0; max < 10; max += 5) {
        s = open_quietly(max);
        assert_int_equal(ledger_count(store_ledger(s)), 20);
        for (uint32_t i = 0; i < 20; i++)
            assert_true(has(store_ledger(s), i));
        assert_false(ledger_ready(store_ledger(s), 0, NOW));
        assert_false(put(store_ledger(s), 20, NULL));
        assert_true(put(store_ledger(s), 7, NULL));
        store_close(&s);
    }
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "20");
}

/* A file made before there was a ledger. */
static void make_version_1(void)
{
    (void)rig_sql(
        rig_path,
        "PRAGMA journal_mode = WAL; PRAGMA application_id = 1953264493; PRAGMA user_version = 1;"
        "CREATE TABLE policies (domain TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL,"
        " fetched INTEGER NOT NULL, used INTEGER NOT NULL, body BLOB NOT NULL)"
        " STRICT, WITHOUT ROWID;"
        "CREATE TABLE rungs (address TEXT NOT NULL, port INTEGER NOT NULL, rung TEXT NOT NULL,"
        " learned INTEGER NOT NULL, until INTEGER NOT NULL, times INTEGER NOT NULL,"
        " PRIMARY KEY (address, port)) STRICT, WITHOUT ROWID;"
        "INSERT INTO policies VALUES ('a.example', 'id1', 1800000000000, 1800000000000,"
        " CAST('version: STSv1' || char(10) || 'mode: enforce' || char(10) ||"
        " 'mx: mx.example.com' || char(10) || 'max_age: 604800' || char(10) AS BLOB));"
        "INSERT INTO rungs VALUES ('192.0.2.1', 25, 'tls1.2', 1800000000000, 1800086400000, 1);"
        "SELECT count(*) FROM policies");
}

static void version_1(void **state)
{
    struct store *s;
    struct buf warning;
    uint64_t ticket;

    (void)state;
    make_version_1();
    buf_init(&warning, 4096);
    s = rig_open_as(rig_path, true, 10, &warning); /* a tool changes nothing */
    assert_string_equal(buf_cstr(&warning), "");
    assert_true(rig_has(s, "a.example"));
    assert_int_equal(ledger_count(store_ledger(s)), 0);
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "PRAGMA user_version"), "1");
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    assert_int_equal(rungs_count(store_rungs(s)), 1);
    assert_true(ledger_ready(store_ledger(s), 1, NOW));
    assert_true(put(store_ledger(s), 1, &ticket));
    assert_int_equal(led_wait(store_ledger(s), ticket, 20000), LEDGER_DURABLE);
    rig_close(&s);
    assert_int_equal(rig_said("damaged", ""), 0);
    assert_string_equal(rig_sql(rig_path, "PRAGMA user_version"), "3");
    s = rig_open_as(rig_path, true, 10, &warning);
    assert_string_equal(buf_cstr(&warning), "");
    assert_true(has(store_ledger(s), 1)); /* a tool reads it */
    assert_false(ledger_ready(store_ledger(s), 0, NOW));
    assert_true(put(store_ledger(s), 2, &ticket));
    assert_int_equal(ledger_settled(store_ledger(s), ticket), LEDGER_FAILED);
    rig_close(&s);
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    assert_true(has(store_ledger(s), 1));
    assert_false(has(store_ledger(s), 2));
    rig_close(&s);
    buf_clear(&warning);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM rungs"), "1");
}

#define ROW(sender, recipient, digest, outcome, code, ours, untold, size, at, until, reply,        \
            client)                                                                                \
    "INSERT INTO ledger (sender, recipient, digest, outcome, code, ours, untold, size, at, until," \
    " reply, mx, address, transaction_id, queue_id, client, helo, ident) VALUES (" sender          \
    ", " recipient ", " digest ", " outcome ", " code ", " ours ", " untold ", " size ", " at      \
    ", " until ", " reply ", '', '', '', '', " client ", '', '')"
#define DIGEST "zeroblob(32)"
#define AT "1800000000000"
#define UNTIL "1800604800000"

/* What cannot be used is dropped, said (without the address), and no longer in the file. */
static void rows_of_no_use(void **state)
{
    static const char *const rows[] = {
        ROW("''", "'secret@b1'", "zeroblob(31)", "'delivered'", "250", "0", "0", "-1", AT, UNTIL,
            "''", "''"),
        ROW("''", "'x@b2'", "zeroblob(33)", "'delivered'", "250", "0", "0", "-1", AT, UNTIL, "''",
            "''"),
        ROW("''", "'x@b3'", DIGEST, "'lost'", "250", "0", "0", "-1", AT, UNTIL, "''", "''"),
        ROW("''", "'x@b4'", DIGEST, "'delivered'", "550", "0", "0", "-1", AT, UNTIL, "''", "''"),
        ROW("''", "'x@b5'", DIGEST, "'refused'", "4294967846", "0", "0", "-1", AT, UNTIL, "''",
            "''"),
        ROW("''", "'x@b6'", DIGEST, "'delivered'", "250", "2", "0", "-1", AT, UNTIL, "''", "''"),
        ROW("''", "'x@b7'", DIGEST, "'delivered'", "250", "0", "-1", "-1", AT, UNTIL, "''", "''"),
        ROW("''", "'x@b8'", DIGEST, "'delivered'", "250", "0", "0", "-2", AT, UNTIL, "''", "''"),
        ROW("''", "'x@b9'", DIGEST, "'delivered'", "250", "0", "0", "-1", "-5", UNTIL, "''", "''"),
        ROW("''", "'x@c1'", DIGEST, "'delivered'", "250", "0", "0", "-1", "9223372036854775807",
            "9223372036854775807", "''", "''"),
        ROW("''", "'x@c2'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, "1799999999999", "''",
            "''"),
        ROW("''", "'x@c3'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL,
            "printf('%1025d', 1)", "''"),
        ROW("''", "'x@c4'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL, "''",
            "printf('%64d', 1)"),
        ROW("''", "'x@c5'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL,
            "'a' || char(0) || 'b'", "''"),
        ROW("''", "printf('%1025d', 1)", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL,
            "''", "''"),
        ROW("printf('%99999d', 1)", "'x@c6'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT,
            UNTIL, "''", "''"),
        ROW("''", "'x@C7'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL, "''", "''"),
        ROW("'x@c8.'", "'x@c8'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL, "''",
            "''"),
        ROW("''", "''", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL, "''", "''"),
        ROW("'x' || char(0)", "'x@c9'", DIGEST, "'delivered'", "250", "0", "0", "-1", AT, UNTIL,
            "''", "''"),
    };
    struct store *s = rig_open();
    char dropped[32];

    (void)state;
    assert_true(put(store_ledger(s), 1, NULL));
    rig_close(&s);
    for (size_t i = 0; i < COUNT(rows); i++)
        (void)rig_sql(rig_path, rows[i]);
    s = rig_open();
    assert_true(has(store_ledger(s), 1));
    assert_int_equal(ledger_count(store_ledger(s)), 1);
    rig_close(&s);
    (void)snprintf(dropped, sizeof(dropped), "\"dropped\":%zu", COUNT(rows));
    assert_int_equal(rig_said(dropped, "first is of "), 1);
    assert_int_equal(rig_said("secret", ""), 0);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "1");
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
}

/* Nothing lives for ever: a year at most, from now at the latest. */
static void far_future(void **state)
{
    struct store *s = rig_open();
    struct ledger_view *v;
    const wall_ms year = 365 * DAY;

    (void)state;
    rig_close(&s);
    (void)rig_sql(rig_path, ROW("''", "'a@b'", DIGEST, "'delivered'", "250", "0", "0", "7", AT,
                                "9223372036854775807", "''", "''"));
    (void)rig_sql(rig_path, ROW("''", "'b@b'", DIGEST, "'refused'", "550", "0", "0", "7",
                                "200000000000000", "200000000001000", "''", "''"));
    s = rig_open();
    assert_int_equal(ledger_count(store_ledger(s)), 2);
    v = ledger_find(store_ledger(s), SLICE(""), SLICE("a@b"), NOW);
    assert_int_equal(v->entries[0].until, NOW + year);
    ledger_view_free(&v);
    v = ledger_find(store_ledger(s), SLICE(""), SLICE("b@b"), 0);
    assert_true(v->entries[0].at <= real_now() + 1000);
    assert_int_equal(v->entries[0].until, v->entries[0].at + 1000);
    ledger_view_free(&v);
    rig_close(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(c_rcpt_03_restart), TEST(closed_at_once), TEST(c_ops_01_kill),
        TEST(how_long),          TEST(expired),        TEST(fewer_than_there_are),
        TEST(version_1),         TEST(rows_of_no_use), TEST(far_future),
    };

    return cmocka_run_group_tests_name("ledger_disk", tests, NULL, NULL);
}
