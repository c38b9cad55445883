/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of the ladder by address (C-TLS-06); the ladder itself is in test_ladder.c, what
 * lasts in test_store.c. */
#include "tests/unit/store/store_rig.h"

#include <pthread.h>
#include <time.h>

#define THREADS 4
#define ROUNDS 4000
#define MANY 100000

static struct addr address(const char *text, uint16_t port)
{
    struct addr a;

    assert_true(addr_parse(slice_str(text), &a));
    a.port = port;
    return a;
}

static struct addr numbered(unsigned i)
{
    struct addr a = {.family = ADDR_IP4, .port = 25};

    a.ip[0] = 10;
    a.ip[1] = (uint8_t)(i >> 16);
    a.ip[2] = (uint8_t)(i >> 8);
    a.ip[3] = (uint8_t)i;
    return a;
}

static bool remembered(struct store *s, const struct addr *a)
{
    struct ladder_memory m;

    return rungs_look(store_rungs(s), a, &m);
}

static enum tls_rung begins(struct store *s, const struct addr *a, wall_ms now)
{
    return rungs_begin(store_rungs(s), a, false, now).rung;
}

/* Address and port are the key; IPv4-mapped is IPv4. */
static void key(void **state)
{
    static const struct {
        const char *ip;
        uint16_t port;
        bool same;
    } others[] = {
        {"192.0.2.1", 25, true},           {"::ffff:192.0.2.1", 25, true},
        {"192.0.2.1", 26, false},          {"192.0.2.1", 281, false}, /* 25 + 256 */
        {"192.0.2.2", 25, false},          {"::192.0.2.1", 25, false},
        {"2001:db8::c000:201", 25, false}, {"193.0.2.1", 25, false},
    };
    struct store *s = rig_memory(10);
    struct addr a = address("192.0.2.1", 25), b = address("2001:db8::1", 25);

    (void)state;
    assert_false(remembered(s, &a));
    rungs_worked(store_rungs(s), &a, RUNG_COMPACT, true, DAY, NOW);
    for (size_t i = 0; i < COUNT(others); i++) {
        struct addr other = address(others[i].ip, others[i].port);

        assert_int_equal(remembered(s, &other), others[i].same);
        assert_int_equal(begins(s, &other, NOW + 1), others[i].same ? RUNG_COMPACT : RUNG_FULL);
    }
    rungs_worked(store_rungs(s), &b, RUNG_TLS12, true, DAY, NOW);
    assert_int_equal(begins(s, &b, NOW + 1), RUNG_TLS12);
    assert_int_equal(begins(s, &a, NOW + 1), RUNG_COMPACT);
    assert_int_equal(rungs_count(store_rungs(s)), 2);
    store_close(&s);
}

/* C-TLS-06: what works at the first try leaves nothing behind; what ended is no longer there. */
static void only_what_is_worth_it(void **state)
{
    struct store *s = rig_memory(10);
    struct addr a = address("192.0.2.1", 25);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct addr other = numbered(i);

        assert_int_equal(begins(s, &other, NOW), RUNG_FULL);
        rungs_worked(store_rungs(s), &other, RUNG_FULL, false, DAY, NOW);
        rungs_retest_failed(store_rungs(s), &other, DAY, NOW);
        rungs_forget(store_rungs(s), &other);
    }
    assert_int_equal(rungs_count(store_rungs(s)), 0);
    rungs_worked(store_rungs(s), &a, RUNG_COMPACT, true, DAY, NOW);
    assert_int_equal(rungs_count(store_rungs(s)), 1);
    assert_int_equal(begins(s, &a, NOW + DAY), RUNG_FULL);
    assert_int_equal(rungs_count(store_rungs(s)), 0);
    rungs_worked(store_rungs(s), &a, RUNG_COMPACT, true, DAY, NOW);
    rungs_forget(store_rungs(s), &a); /* C-TLS-11 */
    assert_false(remembered(s, &a));
    store_close(&s);
}

/* C-TLS-06: past the half one attempt tries higher, and no other one until its result is known. */
static void half_open(void **state)
{
    struct store *s = rig_memory(10);
    struct rungs *r = store_rungs(s);
    struct addr a = address("192.0.2.1", 25);
    struct ladder_choice c;
    struct ladder_memory m;

    (void)state;
    rungs_worked(r, &a, RUNG_TLS12, true, DAY, NOW);
    assert_false(rungs_begin(r, &a, false, NOW + DAY / 2 - 1).retest);
    c = rungs_begin(r, &a, false, NOW + DAY / 2);
    assert_true(c.retest);
    assert_int_equal(c.rung, RUNG_COMPACT);
    c = rungs_begin(r, &a, false, NOW + DAY / 2 + 1);
    assert_false(c.retest);
    assert_int_equal(c.rung, RUNG_TLS12);
    rungs_retest_failed(r, &a, DAY, NOW + DAY / 2 + 2);
    assert_true(rungs_look(r, &a, &m));
    assert_int_equal(m.times, 1);
    assert_int_equal(m.until, NOW + DAY / 2 + 2 + 2 * DAY);
    c = rungs_begin(r, &a, false, NOW + DAY / 2 + 2 + DAY);
    assert_true(c.retest);
    rungs_worked(r, &a, RUNG_COMPACT, false, DAY, NOW + DAY / 2 + 3 + DAY);
    assert_int_equal(begins(s, &a, NOW + DAY / 2 + 4 + DAY), RUNG_COMPACT);
    store_close(&s);
}

/* Bounded: the one that ends first goes first, those that ended before all others. */
static void full(void **state)
{
    struct store *s = rig_memory(3);
    struct rungs *r = store_rungs(s);
    struct addr a = numbered(1), b = numbered(2), c = numbered(3), d = numbered(4);

    (void)state;
    rungs_worked(r, &a, RUNG_COMPACT, true, 3 * DAY, NOW);
    rungs_worked(r, &b, RUNG_COMPACT, true, DAY, NOW);
    rungs_worked(r, &c, RUNG_COMPACT, true, 2 * DAY, NOW);
    rungs_worked(r, &d, RUNG_COMPACT, true, HOUR, NOW);
    assert_int_equal(rungs_count(r), 3);
    assert_false(remembered(s, &b));
    assert_true(remembered(s, &a));
    assert_true(remembered(s, &c));
    assert_true(remembered(s, &d));
    rungs_worked(r, &b, RUNG_COMPACT, true, DAY, NOW + 2 * DAY + 1);
    assert_int_equal(rungs_count(r), 2); /* c and d are over */
    assert_true(remembered(s, &a));
    assert_true(remembered(s, &b));
    store_close(&s);
}

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void many(void **state)
{
    struct store *s = rig_memory(MANY);
    double t = seconds(), learnt;

    (void)state;
    for (unsigned i = 0; i < 2 * MANY; i++) {
        struct addr a = numbered(i);

        rungs_worked(store_rungs(s), &a, RUNG_COMPACT, true, DAY, NOW + i);
    }
    learnt = seconds() - t;
    t = seconds();
    for (unsigned i = MANY; i < 2 * MANY; i++) {
        struct addr a = numbered(i);

        assert_int_equal(begins(s, &a, NOW + 2 * MANY), RUNG_COMPACT);
    }
    print_message("100,000 rungs: learnt in %.2f us, begun in %.2f us each\n",
                  learnt * 1e6 / (2 * MANY), (seconds() - t) * 1e6 / MANY);
    assert_int_equal(rungs_count(store_rungs(s)), MANY);
    store_close(&s);
}

/* Everything that is remembered is there again, and a retest that was under way is not. */
static void restart(void **state)
{
    struct store *s = rig_open();
    struct addr a = address("192.0.2.1", 25), b = address("2001:db8::1", 465);
    struct ladder_memory before, after;

    (void)state;
    rungs_worked(store_rungs(s), &a, RUNG_COMPACT, true, DAY, NOW);
    rungs_worked(store_rungs(s), &b, RUNG_CLEAR, true, DAY, NOW);
    assert_true(store_flush(s, 20000));
    rungs_retest_failed(store_rungs(s), &b, DAY, NOW + 1); /* what changes is written again */
    assert_true(rungs_begin(store_rungs(s), &a, false, NOW + DAY / 2).retest);
    assert_true(rungs_look(store_rungs(s), &b, &before));
    rig_close(&s);
    s = rig_open();
    assert_int_equal(rungs_count(store_rungs(s)), 2);
    assert_true(rungs_look(store_rungs(s), &b, &after));
    assert_int_equal(after.rung, RUNG_CLEAR);
    assert_int_equal(after.learned, before.learned);
    assert_int_equal(after.until, before.until);
    assert_int_equal(after.times, 1);
    assert_true(rungs_look(store_rungs(s), &a, &after));
    assert_int_equal(after.retest_since, 0);
    assert_true(rungs_begin(store_rungs(s), &a, false, NOW + DAY / 2).retest);
    rig_close(&s);
}

static void *hammer(void *arg)
{
    struct store *s = arg;
    struct rungs *r = store_rungs(s);

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct addr a = numbered(i % 97);

        (void)rungs_begin(r, &a, i % 2 == 0, NOW + i * 1000LL);
        if (i % 3 == 0)
            rungs_worked(r, &a, (enum tls_rung)(i / 3 % RUNG_COUNT), i % 2 == 0, HOUR,
                         NOW + i * 1000LL);
        if (i % 5 == 0)
            rungs_retest_failed(r, &a, HOUR, NOW + i * 1000LL);
        if (i % 61 == 0)
            rungs_forget(r, &a);
        (void)remembered(s, &a);
    }
    return NULL;
}

static void threads(void **state)
{
    struct store *s = rig_open_as(rig_path, false, 50, NULL);
    char count[32];
    pthread_t t[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, s), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_true(rungs_count(store_rungs(s)) <= 50);
    assert_true(store_flush(s, 20000));
    (void)snprintf(count, sizeof(count), "%zu", rungs_count(store_rungs(s)));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM rungs"), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key),
        cmocka_unit_test(only_what_is_worth_it),
        cmocka_unit_test(half_open),
        cmocka_unit_test(full),
        cmocka_unit_test(many),
        cmocka_unit_test_setup_teardown(restart, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(threads, rig_setup, rig_teardown),
    };

    return cmocka_run_group_tests_name("rungs", tests, NULL, NULL);
}
