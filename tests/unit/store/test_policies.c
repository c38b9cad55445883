/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of policies, in memory; what lasts is in test_store.c. */
#include "tests/unit/store/store_rig.h"

#include <pthread.h>
#include <time.h>

#define THREADS 4
#define ROUNDS 4000
#define MANY 100000

static char due[64][DOMAIN_MAX + 3];

static const char *name(unsigned i)
{
    static _Thread_local char text[64];

    (void)snprintf(text, sizeof(text), "d%u.example", i);
    return text;
}

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Every domain that is due at `now`, as one line of names. */
static const char *all_due(struct store *s, wall_ms now)
{
    static char line[4096];
    size_t n = policies_due(store_policies(s), now, DAY, due, COUNT(due)), at = 0;

    line[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(line + at, sizeof(line) - at, "%s ", due[i]);
    return line;
}

/* C-STS-05: the key is the very domain; nobody else's policy is ever answered. */
static void c_sts_05_the_domain_itself(void **state)
{
    static const char *const others[] = {"example.org",
                                         "a.mail.example.org",
                                         "mail.example.or",
                                         "mail.example.org.",
                                         "ail.example.org",
                                         "mail.example.orgx",
                                         "MAIL.example.org",
                                         "mx.example.com",
                                         "mta-sts.mail.example.org",
                                         "",
                                         "org"};
    struct store *s = rig_memory(10);

    (void)state;
    assert_true(rig_put(s, "mail.example.org", NOW));
    assert_true(rig_has(s, "mail.example.org"));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_null(policies_find(store_policies(s), others[i]));
    /* Two with the same MX: each has its own (no sharing). */
    assert_true(policies_put(store_policies(s), "other.example.org", "id2",
                             SLICE("version: STSv1\nmode: testing\nmx: mx.example.com\n"
                                   "max_age: 60\n"),
                             NOW));
    assert_true(rig_has(s, "mail.example.org"));
    store_close(&s);
}

static void found_entries_are_constant(void **state)
{
    struct store *s = rig_memory(10);
    struct policies *p = store_policies(s);
    const struct policy_entry *first, *more, *second;

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    first = policies_find(p, "a.example");
    more = policy_entry_hold(first);
    assert_true(policies_put(p, "a.example", "id2",
                             SLICE("version: STSv1\nmode: none\nmax_age: 60\n"), NOW + 5));
    second = policies_find(p, "a.example");
    policies_remove(p, "a.example");
    assert_null(policies_find(p, "a.example"));
    policy_entry_drop(&first);
    assert_null(first);
    assert_string_equal(more->held.id, "id1");
    assert_int_equal(more->held.fetched, NOW);
    assert_string_equal(more->policy.mx[0], "mx.example.com");
    assert_string_equal(second->held.id, "id2");
    assert_int_equal(second->held.mode, STS_NONE);
    assert_int_equal(second->held.fetched, NOW + 5);
    assert_int_equal(second->held.expires, NOW + 5 + 60000);
    store_close(&s);
    assert_true(slice_eq(more->body, SLICE(BODY))); /* outlives even the store */
    policy_entry_drop(&more);
    policy_entry_drop(&second);
}

static void refused(void **state)
{
    struct store *s = rig_memory(10);
    char longest[DOMAIN_MAX + 4];

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_false(policies_put(store_policies(s), "a.example", "id2", SLICE("no policy"), NOW));
    assert_true(rig_has(s, "a.example"));
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(rig_put(s, longest, NOW));
    assert_false(rig_put(s, "", NOW));
    policies_failed(store_policies(s), longest, "", NOW);
    policies_remove(store_policies(s), longest);
    assert_null(policies_find(store_policies(s), longest));
    assert_int_equal(policies_count(store_policies(s)), 1);
    store_close(&s);
}

static void failures(void **state)
{
    struct store *s = rig_memory(2);
    struct policies *p = store_policies(s);
    const struct policy_entry *e;

    (void)state;
    /* Alone: known, and no policy. */
    policies_failed(p, "a.example", "id7", NOW);
    e = policies_find(p, "a.example");
    assert_false(e->held.policy);
    assert_string_equal(e->held.failed_id, "id7");
    assert_int_equal(e->held.failed_at, NOW);
    assert_null(e->body.p);
    assert_int_equal(e->policy.mx_count, 0);
    policy_entry_drop(&e);
    assert_int_equal(policies_count(p), 0);
    policies_used(p, "a.example", NOW); /* not a policy */
    /* Beside a policy: the policy stays as it is. */
    assert_true(rig_put(s, "a.example", NOW + 1));
    policies_failed(p, "a.example", "id8", NOW + 2);
    e = policies_find(p, "a.example");
    assert_true(e->held.policy);
    assert_string_equal(e->held.id, "id1");
    assert_string_equal(e->held.failed_id, "id8");
    assert_int_equal(e->held.failed_at, NOW + 2);
    policy_entry_drop(&e);
    /* Success clears it. */
    assert_true(rig_put(s, "a.example", NOW + 3));
    e = policies_find(p, "a.example");
    assert_int_equal(e->held.failed_at, 0);
    policy_entry_drop(&e);
    /* However many fail, no policy has to go for them, and they are bounded themselves. */
    for (unsigned i = 0; i < 100; i++)
        policies_failed(p, name(i), "", NOW + 4);
    assert_true(rig_has(s, "a.example"));
    assert_null(policies_find(p, name(97)));
    e = policies_find(p, name(99));
    assert_non_null(e);
    policy_entry_drop(&e);
    /* They are forgotten after the wait. */
    assert_string_equal(all_due(s, NOW + 4 + STS_BACKOFF_MS - 1), "");
    e = policies_find(p, name(99));
    assert_non_null(e);
    policy_entry_drop(&e);
    assert_string_equal(all_due(s, NOW + 4 + STS_BACKOFF_MS), "");
    assert_null(policies_find(p, name(99)));
    store_close(&s);
}

static void the_longest_unused_goes_first(void **state)
{
    struct store *s = rig_memory(3);
    struct policies *p = store_policies(s);

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(rig_put(s, "b.example", NOW + 1));
    assert_true(rig_put(s, "c.example", NOW + 2));
    policies_used(p, "a.example", NOW + 3);
    assert_true(rig_put(s, "b.example", NOW + 4)); /* a refresh is no use */
    assert_true(rig_put(s, "d.example", NOW + 5));
    assert_int_equal(policies_count(p), 3);
    assert_false(rig_has(s, "b.example"));
    assert_true(rig_has(s, "a.example"));
    assert_true(rig_has(s, "c.example"));
    assert_true(rig_has(s, "d.example"));
    assert_true(rig_put(s, "e.example", NOW + 6));
    assert_false(rig_has(s, "c.example"));
    assert_true(rig_has(s, "a.example"));
    store_close(&s);
}

/* Few entries may still be big ones: the sum of their memory has a limit too. */
static void memory_is_bounded(void **state)
{
    struct store *s = rig_memory(1000);
    struct buf body;

    (void)state;
    buf_init(&body, STS_POLICY_MAX);
    assert_true(buf_addf(&body, "version: STSv1\nmode: enforce\nmax_age: 604800\n"));
    while (buf_addf(&body, "mx: mx%zu.example.com\n", body.n))
        ;
    for (unsigned i = 0; i < 400; i++)
        assert_true(policies_put(store_policies(s), name(i), "x", buf_slice(&body), NOW));
    assert_in_range(policies_count(store_policies(s)), 200, 257); /* of 64 KiB: 16 MiB */
    assert_null(policies_find(store_policies(s), name(0)));
    buf_clear(&body);
    store_close(&s);
}

/* C-STS-09: refreshed daily, spread, never twice within an hour, the most overdue first. */
static void c_sts_09_due(void **state)
{
    struct store *s = rig_memory(100);
    struct policies *p = store_policies(s);
    unsigned early = 0;

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        assert_true(rig_put(s, name(i), NOW));
    assert_string_equal(all_due(s, NOW + 1), "");
    assert_int_equal(policies_due(p, NOW + DAY - DAY / 10 - 1, DAY, due, 64), 0);
    for (unsigned i = 0; i <= 60; i++) { /* the last tenth of the day, in steps */
        wall_ms t = NOW + DAY - DAY / 10 + i * DAY / 600;
        size_t n = policies_due(p, t, DAY, due, 64);

        assert_true(n < 12); /* no herd */
        for (size_t k = 0; k < n; k++)
            assert_true(rig_put(s, due[k], t));
        early += (unsigned)n;
    }
    assert_int_equal(early, 50);
    assert_string_equal(all_due(s, NOW + DAY), "");
    /* Nobody refreshes them any more: again after an hour, and not before. */
    assert_int_equal(policies_due(p, NOW + 2 * DAY, DAY, due, 64), 50);
    assert_int_equal(policies_due(p, NOW + 2 * DAY + HOUR - 1000, DAY, due, 64), 0);
    assert_int_equal(policies_due(p, NOW + 2 * DAY + HOUR, DAY, due, 7), 7);
    assert_int_equal(policies_due(p, NOW + 2 * DAY + HOUR, DAY, due, 64), 43);
    /* One is refreshed: a day of quiet. */
    assert_true(rig_put(s, name(3), NOW + 2 * DAY + HOUR));
    assert_int_equal(policies_due(p, NOW + 2 * DAY + 2 * HOUR, DAY, due, 64), 49);
    store_close(&s);
}

static void due_most_overdue_first(void **state)
{
    struct store *s = rig_memory(100);

    (void)state;
    assert_true(rig_put(s, "late.example", NOW + HOUR * 6));
    assert_true(rig_put(s, "soon.example", NOW));
    assert_true(rig_put(s, "between.example", NOW + HOUR * 3));
    assert_string_equal(all_due(s, NOW + 2 * DAY), "soon.example between.example late.example ");
    store_close(&s);
}

/* A policy that lives for minutes would be due all the time: an hour is an hour. */
static void due_of_a_short_life(void **state)
{
    struct store *s = rig_memory(100);
    struct policies *p = store_policies(s);

    (void)state;
    for (wall_ms t = NOW, last = 0; t < NOW + 6 * HOUR; t += 60000) {
        if (t == NOW || policies_due(p, t, DAY, due, 64) == 1) {
            assert_true(t - last >= HOUR || last == 0);
            last = t == NOW ? 0 : t;
            assert_true(policies_put(p, "a.example", "x",
                                     SLICE("version: STSv1\nmode: none\nmax_age: 60\n"), t));
        }
    }
    store_close(&s);
}

/* C-STS-09: unused for 180 days, or expired for more than a day: dropped. */
static void c_sts_09_dropped(void **state)
{
    struct store *s = rig_memory(100);
    struct policies *p = store_policies(s);

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_string_equal(all_due(s, NOW + WEEK + DAY), "a.example ");
    assert_true(rig_has(s, "a.example"));
    assert_string_equal(all_due(s, NOW + WEEK + DAY + 1001), "");
    assert_false(rig_has(s, "a.example"));

    assert_true(rig_put(s, "b.example", NOW));
    assert_true(rig_put(s, "c.example", NOW));
    for (wall_ms t = NOW; t <= NOW + STS_UNUSED_MS + DAY; t += DAY) {
        size_t n = policies_due(p, t, DAY, due, 64);

        for (size_t i = 0; i < n; i++)
            assert_true(rig_put(s, due[i], t));
        if (t < NOW + 100 * DAY)
            policies_used(p, "c.example", t);
        if (t <= NOW + STS_UNUSED_MS)
            assert_true(rig_has(s, "b.example")); /* kept alive by refreshes alone, but not ... */
    }
    assert_false(rig_has(s, "b.example")); /* ... for ever */
    assert_true(rig_has(s, "c.example"));
    store_close(&s);
}

/* C-OPS-03: the clock jumps. */
static void c_ops_03_clock(void **state)
{
    struct store *s = rig_memory(100);
    struct policies *p = store_policies(s);
    const struct policy_entry *e;

    (void)state;
    assert_string_equal(all_due(s, NOW), "");
    assert_true(rig_put(s, "a.example", NOW));
    /* A day back: it was fetched by a clock that was wrong, so it is asked for again; it stays. */
    assert_string_equal(all_due(s, NOW - DAY), "a.example ");
    assert_true(rig_has(s, "a.example"));
    assert_string_equal(all_due(s, NOW - DAY + HOUR - 1), "");
    assert_true(rig_put(s, "a.example", NOW - DAY + HOUR));
    assert_string_equal(all_due(s, NOW - DAY + 2 * HOUR), "");
    /* A day ahead: due, like everything. */
    assert_string_equal(all_due(s, NOW + DAY), "a.example ");
    assert_true(rig_put(s, "a.example", NOW + DAY));
    /* A second back is no jump. */
    assert_string_equal(all_due(s, NOW + DAY - 1000), "");
    /* Years ahead, and back: it does not live until then. */
    assert_true(rig_put(s, "b.example", NOW + 1000 * DAY));
    policies_used(p, "b.example", NOW + 1000 * DAY);
    (void)all_due(s, NOW + 1000 * DAY);
    (void)all_due(s, NOW + DAY);
    e = policies_find(p, "b.example");
    assert_null(e);
    /* Nor is it in use until then. */
    assert_true(rig_put(s, "c.example", NOW + DAY));
    policies_used(p, "c.example", NOW + 1000 * DAY);
    (void)all_due(s, NOW + 3 * DAY);
    (void)all_due(s, NOW + DAY);
    for (wall_ms t = NOW + 2 * DAY; t < NOW + STS_UNUSED_MS + 3 * DAY; t += DAY)
        if (rig_has(s, "c.example") && policies_due(p, t, DAY, due, 64) > 0)
            assert_true(rig_put(s, "c.example", t));
    assert_false(rig_has(s, "c.example"));
    store_close(&s);
}

/* C-STS-07, C-STS-09: a decision by a policy holds as long as it is this one, and is a use of it. */
static void still_the_same(void **state)
{
    struct store *s = rig_memory(10);
    struct policies *p = store_policies(s);
    const struct policy_entry *e, *later;

    (void)state;
    assert_true(policies_still(p, "example.org", NULL, NOW));
    policies_failed(p, "example.org", "1", NOW);
    assert_true(policies_still(p, "example.org", NULL, NOW)); /* there is still none */
    assert_true(rig_put(s, "example.org", NOW));
    assert_false(policies_still(p, "example.org", NULL, NOW));
    e = policies_find(p, "example.org");
    assert_true(policies_still(p, "example.org", e, NOW + HOUR));
    assert_false(policies_still(p, "other.example", e, NOW + HOUR));
    later = policies_find(p, "example.org");
    assert_int_equal(later->held.used, NOW + HOUR);
    policies_failed(p, "example.org", "2", NOW + HOUR);
    assert_true(policies_still(p, "example.org", e, NOW + HOUR));
    assert_true(policies_still(p, "example.org", later, NOW + HOUR));
    assert_true(rig_put(s, "example.org", NOW + DAY)); /* the same text, and a new life */
    assert_false(policies_still(p, "example.org", e, NOW + DAY));
    policy_entry_drop(&e);
    e = policies_find(p, "example.org");
    policies_remove(p, "example.org");
    assert_false(policies_still(p, "example.org", e, NOW + DAY));
    assert_true(policies_still(p, "example.org", NULL, NOW + DAY));
    policy_entry_drop(&e);
    policy_entry_drop(&later);
    store_close(&s);
}

static void many(void **state)
{
    struct store *s = rig_memory(MANY);
    struct policies *p = store_policies(s);
    double t = seconds(), put, find, idle, given;
    size_t n = 0;

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        assert_true(rig_put(s, name(i), NOW + i));
    put = seconds() - t;
    t = seconds();
    for (unsigned i = 0; i < MANY; i++)
        assert_true(rig_has(s, name(i * 7919u % MANY)));
    find = seconds() - t;
    assert_int_equal(policies_due(p, NOW + MANY, DAY, due, 64), 0);
    t = seconds();
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(policies_due(p, NOW + MANY + i, DAY, due, 64), 0);
    idle = seconds() - t;
    t = seconds();
    for (unsigned i = 0; i < MANY; i++)
        n += policies_due(p, NOW + 2 * DAY + i / 1000, DAY, due, 64);
    given = seconds() - t;
    assert_int_equal(n, MANY);
    print_message("100,000 policies: put %.2f us, find %.2f us, due %.3f us (none), %.2f us each\n",
                  put * 1e6 / MANY, find * 1e6 / MANY, idle * 1e6 / 1000, given * 1e6 / MANY);
    assert_true(idle < 0.1); /* called each second: 1,000 calls in far less */
    store_close(&s);
}

static void *hammer(void *arg)
{
    struct store *s = arg;
    struct policies *p = store_policies(s);
    char mine[8][DOMAIN_MAX + 3];

    for (unsigned i = 0; i < ROUNDS; i++) {
        const struct policy_entry *e = policies_find(p, name(i % 61)), *more;

        if (i % 3 == 0)
            (void)rig_put(s, name(i % 67), NOW + i * 60000LL);
        if (i % 5 == 0)
            policies_used(p, name(i % 61), NOW + i * 60000LL);
        if (i % 7 == 0)
            policies_failed(p, name(i % 71), "id2", NOW + i);
        if (i % 31 == 0)
            policies_remove(p, name(i % 59));
        if (i % 11 == 0)
            (void)policies_due(p, NOW + i * 60000LL, DAY, mine, COUNT(mine));
        more = policy_entry_hold(e);
        policy_entry_drop(&e);
        if (more != NULL && more->held.policy)
            (void)sts_policy_lists(&more->policy, SLICE("mx.example.com"));
        policy_entry_drop(&more);
    }
    return NULL;
}

static void threads(void **state)
{
    struct store *s = rig_open_as(rig_path, false, 50, NULL);
    pthread_t t[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, s), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_in_range(policies_count(store_policies(s)), 1, 50);
    assert_true(store_flush(s, 20000));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
}

/* C-STS-04: of all threads one fetches the policy of a domain. */
static void one_claims(void **state)
{
    struct store *s = rig_memory(10);
    struct policies *p = store_policies(s);

    (void)state;
    assert_true(policies_claim(p, "a.example"));
    assert_false(policies_claim(p, "a.example"));
    assert_true(policies_claim(p, "b.example"));
    policies_release(p, "a.example");
    assert_true(policies_claim(p, "a.example"));
    assert_false(policies_claim(p, "b.example"));
    policies_release(p, "nobody.example");
    policies_release(p, "b.example");
    assert_true(policies_claim(p, "b.example"));
    rig_close(&s); /* with two claims open */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_sts_05_the_domain_itself),
        cmocka_unit_test(found_entries_are_constant),
        cmocka_unit_test(refused),
        cmocka_unit_test(failures),
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(c_sts_09_due),
        cmocka_unit_test(due_most_overdue_first),
        cmocka_unit_test(due_of_a_short_life),
        cmocka_unit_test(c_sts_09_dropped),
        cmocka_unit_test(c_ops_03_clock),
        cmocka_unit_test(one_claims),
        cmocka_unit_test(still_the_same),
        cmocka_unit_test(many),
        cmocka_unit_test_setup_teardown(threads, rig_setup, rig_teardown),
    };

    return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
