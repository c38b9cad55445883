/* SPDX-License-Identifier: Apache-2.0 */
/* test_pool - who finds which connection, who has to leave, and when (C-OUT-08). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/relay/pool.h"

#define AGE INT64_C(1000000)

struct rig {
    struct loop *loop;
    struct pool *pool;
};

static struct pool *the_pool; /* `leave` has no owner but the entry */
static struct pool_entry *left[32];
static size_t left_count;

static void on_leave(struct pool_entry *e)
{
    assert_true(left_count < sizeof(left) / sizeof(left[0]));
    left[left_count++] = e;
    pool_left(the_pool, e);
}

static int setup(void **state)
{
    static struct rig rig;
    struct pool_limits limits = {.idle_per_host = 3, .idle = 5, .idle_time = 60000};

    rig.loop = loop_new();
    assert_non_null(rig.loop);
    rig.pool = the_pool = pool_new(rig.loop, 42, on_leave);
    pool_set_limits(rig.pool, &limits);
    left_count = 0;
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    pool_flush(rig->pool, true);
    pool_free(&rig->pool);
    loop_free(&rig->loop);
    return 0;
}

static void limit(struct rig *rig, size_t idle_per_host, size_t idle, size_t per_host,
                  size_t connections)
{
    struct pool_limits limits = {idle_per_host, idle, per_host, connections, 60000};

    pool_set_limits(rig->pool, &limits);
}

static struct pool_key key_of(const char *address, uint16_t port, enum pool_kind kind,
                              unsigned char digest)
{
    struct pool_key key = {.kind = kind};

    assert_true(addr_parse(slice_str(address), &key.addr));
    key.addr.port = port;
    memset(key.digest, digest, sizeof(key.digest));
    return key;
}

static bool open_one(struct rig *rig, struct pool_entry *e, const struct pool_key *key)
{
    const char *which = NULL;

    memset(e, 0, sizeof(*e));
    return pool_admit(rig->pool, e, &key->addr, &which);
}

static void put_new(struct rig *rig, struct pool_entry *e, const struct pool_key *key)
{
    assert_true(open_one(rig, e, key));
    assert_true(pool_put(rig->pool, e, key, loop_now(rig->loop) + AGE));
}

static size_t idle_count(const struct rig *rig)
{
    struct pool_usage u;

    pool_usage(rig->pool, &u);
    return u.idle;
}

static size_t open_count(const struct rig *rig)
{
    struct pool_usage u;

    pool_usage(rig->pool, &u);
    return u.open;
}

/* ---- who finds which ---- */

static void c_out_08_only_its_like_is_found(void **state)
{
    struct rig *rig = *state;
    struct pool_key key = key_of("192.0.2.1", 25, POOL_TLS, 1);
    const struct pool_key others[] = {
        key_of("192.0.2.2", 25, POOL_TLS, 1),         key_of("192.0.2.1", 26, POOL_TLS, 1),
        key_of("192.0.2.1", 25, POOL_TLS, 2),         key_of("192.0.2.1", 25, POOL_NO_TLS, 1),
        key_of("192.0.2.1", 25, POOL_NO_STARTTLS, 1), key_of("192.0.2.1", 25, POOL_DOWNGRADED, 1),
        key_of("2001:db8::1", 25, POOL_TLS, 1),
    };
    static struct pool_entry e;

    put_new(rig, &e, &key);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(pool_find(rig->pool, &others[i]));
    assert_ptr_equal(pool_find(rig->pool, &key), &e);
    pool_take(rig->pool, &e);
    assert_null(pool_find(rig->pool, &key));
    assert_int_equal(open_count(rig), 1);
    pool_left(rig->pool, &e);
    assert_int_equal(open_count(rig), 0);
}

static void the_one_used_last_is_first(void **state)
{
    struct rig *rig = *state;
    struct pool_key key = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_key other = key_of("192.0.2.1", 25, POOL_TLS, 2);
    static struct pool_entry a, b, c;

    put_new(rig, &a, &key);
    put_new(rig, &b, &key);
    put_new(rig, &c, &other);
    assert_ptr_equal(pool_find(rig->pool, &key), &b);
    pool_take(rig->pool, &a);
    assert_true(pool_put(rig->pool, &a, &key, loop_now(rig->loop) + AGE));
    assert_ptr_equal(pool_find(rig->pool, &key), &a);
    assert_ptr_equal(pool_find(rig->pool, &other), &c);
}

/* A connection comes back with another mail's measure: its key is the present one. */
static void it_waits_under_the_key_it_came_with(void **state)
{
    struct rig *rig = *state;
    struct pool_key one = key_of("192.0.2.1", 25, POOL_NO_STARTTLS, 1);
    struct pool_key two = key_of("192.0.2.1", 25, POOL_TLS, 2);
    static struct pool_entry e;

    put_new(rig, &e, &one);
    pool_take(rig->pool, &e);
    assert_true(pool_put(rig->pool, &e, &two, loop_now(rig->loop) + AGE));
    assert_null(pool_find(rig->pool, &one));
    assert_ptr_equal(pool_find(rig->pool, &two), &e);
}

/* ---- who has to leave ---- */

static void beyond_the_limit_of_a_host_the_oldest_leaves(void **state)
{
    struct rig *rig = *state;
    struct pool_key key = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_key elsewhere = key_of("192.0.2.2", 25, POOL_TLS, 1);
    static struct pool_entry e[4], f;

    put_new(rig, &f, &elsewhere);
    for (size_t i = 0; i < 4; i++)
        put_new(rig, &e[i], &key);
    assert_int_equal(left_count, 1);
    assert_ptr_equal(left[0], &e[0]);
    assert_int_equal(idle_count(rig), 4);
}

static void beyond_the_limit_of_all_the_oldest_leaves(void **state)
{
    struct rig *rig = *state;
    static struct pool_entry e[6];

    for (size_t i = 0; i < 6; i++) {
        char at[16];
        struct pool_key key;

        (void)snprintf(at, sizeof(at), "192.0.2.%zu", i + 1);
        key = key_of(at, 25, POOL_TLS, 1);
        put_new(rig, &e[i], &key);
    }
    assert_int_equal(left_count, 1);
    assert_ptr_equal(left[0], &e[0]);
    assert_int_equal(idle_count(rig), 5);
}

static void without_room_or_time_nothing_waits(void **state)
{
    struct rig *rig = *state;
    struct pool_key key = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_limits never = {.idle_per_host = 3, .idle = 5, .idle_time = 0};
    static struct pool_entry e;

    assert_true(open_one(rig, &e, &key));
    assert_false(pool_put(rig->pool, &e, &key, loop_now(rig->loop))); /* too old */
    limit(rig, 0, 5, 0, 0);
    assert_false(pool_put(rig->pool, &e, &key, loop_now(rig->loop) + AGE));
    limit(rig, 3, 0, 0, 0);
    assert_false(pool_put(rig->pool, &e, &key, loop_now(rig->loop) + AGE));
    pool_set_limits(rig->pool, &never);
    assert_false(pool_put(rig->pool, &e, &key, loop_now(rig->loop) + AGE));
    limit(rig, 3, 5, 0, 0);
    pool_flush(rig->pool, true);
    assert_false(pool_put(rig->pool, &e, &key, loop_now(rig->loop) + AGE));
    assert_int_equal(left_count, 0);
    pool_left(rig->pool, &e);
}

static void stop(void *owner)
{
    loop_stop(owner);
}

static void run_for(struct rig *rig, int64_t ms)
{
    struct timer *t = timer_new(rig->loop, stop, rig->loop);

    timer_arm(t, ms);
    loop_run(rig->loop);
    timer_free(&t);
}

/* idle_time for one, max_age for another, which came later and leaves first. */
static void time_ends_the_waiting(void **state)
{
    struct rig *rig = *state;
    struct pool_key key = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_limits limits = {.idle_per_host = 3, .idle = 5, .idle_time = 300};
    static struct pool_entry slow, old, taken;

    pool_set_limits(rig->pool, &limits);
    put_new(rig, &slow, &key);
    put_new(rig, &taken, &key);
    pool_take(rig->pool, &taken);
    assert_true(open_one(rig, &old, &key));
    assert_true(pool_put(rig->pool, &old, &key, loop_now(rig->loop) + 30));
    run_for(rig, 150);
    assert_int_equal(left_count, 1);
    assert_ptr_equal(left[0], &old);
    assert_ptr_equal(pool_find(rig->pool, &key), &slow);
    run_for(rig, 300);
    assert_int_equal(left_count, 2);
    assert_ptr_equal(left[1], &slow);
    pool_left(rig->pool, &taken);
}

/* ---- all connections ---- */

static void the_limits_of_all_connections(void **state)
{
    struct rig *rig = *state;
    struct pool_key one = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_key two = key_of("192.0.2.2", 25, POOL_TLS, 1);
    static struct pool_entry a, b, c, d;
    const char *which = NULL;

    limit(rig, 3, 5, 2, 3);
    assert_true(pool_admit(rig->pool, &a, &one.addr, &which));
    assert_true(pool_admit(rig->pool, &b, &one.addr, &which));
    assert_false(pool_admit(rig->pool, &c, &one.addr, &which));
    assert_string_equal(which, "pool.per_host");
    assert_true(pool_admit(rig->pool, &c, &two.addr, &which));
    assert_false(pool_admit(rig->pool, &d, &two.addr, &which));
    assert_string_equal(which, "pool.connections");
    assert_int_equal(open_count(rig), 3);
    pool_left(rig->pool, &a);
    assert_true(pool_admit(rig->pool, &d, &two.addr, &which));
    pool_left(rig->pool, &b);
    pool_left(rig->pool, &c);
    pool_left(rig->pool, &d);
}

static void one_that_waits_makes_room(void **state)
{
    struct rig *rig = *state;
    struct pool_key one = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_key two = key_of("192.0.2.2", 25, POOL_TLS, 1);
    static struct pool_entry a, b, c, d;
    const char *which = NULL;

    limit(rig, 3, 5, 1, 2);
    put_new(rig, &a, &one);
    put_new(rig, &b, &two);
    assert_true(pool_admit(rig->pool, &c, &one.addr, &which)); /* the same host's goes */
    assert_int_equal(left_count, 1);
    assert_ptr_equal(left[0], &a);
    limit(rig, 3, 5, 0, 2);
    assert_true(pool_admit(rig->pool, &d, &one.addr, &which)); /* any one goes */
    assert_int_equal(left_count, 2);
    assert_ptr_equal(left[1], &b);
    pool_left(rig->pool, &c);
    pool_left(rig->pool, &d);
}

static void c_out_08_one_found_dead_unnoticed_takes_its_host_along(void **state)
{
    struct rig *rig = *state;
    struct pool_key one = key_of("192.0.2.1", 25, POOL_TLS, 1);
    struct pool_key two = key_of("192.0.2.2", 25, POOL_TLS, 1);
    static struct pool_entry dead, same, elsewhere;
    struct pool_usage u;

    put_new(rig, &dead, &one);
    put_new(rig, &same, &one);
    put_new(rig, &elsewhere, &two);
    pool_take(rig->pool, &dead);
    pool_died(rig->pool, &dead, false);
    assert_int_equal(left_count, 0);
    pool_died(rig->pool, &dead, true);
    assert_int_equal(left_count, 1);
    assert_ptr_equal(left[0], &same);
    pool_usage(rig->pool, &u);
    assert_int_equal(u.died_idle, 2);
    pool_left(rig->pool, &dead);
    assert_ptr_equal(pool_find(rig->pool, &two), &elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(c_out_08_only_its_like_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_one_used_last_is_first, setup, teardown),
        cmocka_unit_test_setup_teardown(it_waits_under_the_key_it_came_with, setup, teardown),
        cmocka_unit_test_setup_teardown(beyond_the_limit_of_a_host_the_oldest_leaves, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(beyond_the_limit_of_all_the_oldest_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(without_room_or_time_nothing_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(time_ends_the_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limits_of_all_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_waits_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(c_out_08_one_found_dead_unnoticed_takes_its_host_along,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
