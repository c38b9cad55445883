/* SPDX-License-Identifier: Apache-2.0 */
/* test_pace - how many sessions get on just now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/relay/pace.h"

#define MANY (3 * PACE_MOST)

static pace_mark marks[MANY];

static void step_all(struct pace *p, unsigned count, mono_ms now)
{
    for (unsigned i = 0; i < count; i++)
        pace_step(p, &marks[i], now);
}

static struct pace *fresh(void)
{
    static struct pace p;

    p = (struct pace){.span = 0};
    for (unsigned i = 0; i < MANY; i++)
        marks[i] = 0;
    return &p;
}

static void each_session_counts_once(void **state)
{
    struct pace *p = fresh();

    (void)state;
    for (mono_ms now = 0; now < 100; now++) {
        step_all(p, PACE_MOST - 1, now);
        assert_int_equal(p->now + p->before, PACE_MOST - 1);
        assert_false(pace_is_full(p, false, now));
    }
    pace_step(p, &marks[PACE_MOST], 100);
    assert_true(pace_is_full(p, false, 100));
}

static void who_waits_is_not_counted(void **state)
{
    struct pace *p = fresh();

    (void)state;
    step_all(p, MANY, 1000);
    assert_true(pace_is_full(p, false, 1000));
    assert_true(pace_is_full(p, false, 1000 + PACE_MS - 1));
    assert_true(pace_is_full(p, false, 1000 + PACE_MS));
    assert_false(pace_is_full(p, true, 1000 + 2 * PACE_MS));
    assert_int_equal(p->now + p->before, 0);
    step_all(p, MANY, 1000 + 2 * PACE_MS); /* they go on */
    assert_true(pace_is_full(p, false, 1000 + 2 * PACE_MS));
}

static void who_ends_is_not_counted(void **state)
{
    struct pace *p = fresh();

    (void)state;
    step_all(p, 10, 500);                    /* these take no other step */
    step_all(p, 5, 500 + PACE_MS);           /* ... but for these */
    pace_leave(p, &marks[0], 500 + PACE_MS); /* of this span */
    pace_leave(p, &marks[9], 500 + PACE_MS); /* of the one before */
    assert_int_equal(p->now, 4);
    assert_int_equal(p->before, 4);
    pace_leave(p, &marks[8], 500 + 5 * PACE_MS);  /* long forgotten */
    pace_leave(p, &marks[8], 500 + 5 * PACE_MS);  /* twice */
    pace_leave(p, &marks[20], 500 + 5 * PACE_MS); /* never was there */
    assert_int_equal(p->now + p->before, 0);
    pace_step(p, &marks[0], 500 + 7 * PACE_MS);
    pace_step(p, &marks[1], 500 + 6 * PACE_MS); /* a time that goes back is the last one */
    pace_leave(p, &marks[0], 500 + 6 * PACE_MS);
    assert_int_equal(p->now, 1);
}

static void who_waits_for_an_mx_is_forgotten_earlier(void **state)
{
    struct pace *p = fresh();

    (void)state;
    step_all(p, PACE_MOST, 500);
    for (unsigned i = 0; i < PACE_MOST; i++) {
        pace_wait(p, &marks[i], 500);
        pace_wait(p, &marks[i], 500); /* said twice */
    }
    assert_true(pace_is_full(p, false, 500)); /* a quick MX is no reason to take up more */
    assert_false(pace_is_full(p, true, 500 + PACE_MS));
    pace_wait(p, &marks[0], 500 + PACE_MS); /* forgotten */
    pace_wait(p, &marks[MANY - 1], 500 + PACE_MS);
    assert_int_equal(p->now + p->before, 0);
    step_all(p, 3, 500 + PACE_MS); /* they have the answer */
    pace_wait(p, &marks[1], 500 + PACE_MS);
    pace_leave(p, &marks[1], 500 + PACE_MS);
    assert_int_equal(p->now, 2);
    assert_int_equal(p->before, 0);
}

static void those_who_wait_are_let_in_some_at_a_time(void **state)
{
    struct pace *p = fresh();

    (void)state;
    step_all(p, PACE_MOST, 0);
    assert_true(pace_is_full(p, false, 0));
    for (unsigned i = 0; i < PACE_MOST / 8; i++) {
        assert_true(pace_is_full(p, true, 0));
        pace_leave(p, &marks[i], 0);
    }
    assert_true(pace_is_full(p, true, 0));
    pace_leave(p, &marks[PACE_MOST / 8], 0);
    assert_false(pace_is_full(p, true, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_session_counts_once),
        cmocka_unit_test(who_waits_is_not_counted),
        cmocka_unit_test(who_ends_is_not_counted),
        cmocka_unit_test(who_waits_for_an_mx_is_forgotten_earlier),
        cmocka_unit_test(those_who_wait_are_let_in_some_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
