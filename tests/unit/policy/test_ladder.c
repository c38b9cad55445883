/* SPDX-License-Identifier: Apache-2.0 */
/* C-TLS-06: the rungs, what is remembered of an address, and the way back up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/ladder.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HOUR (60 * 60 * 1000LL)
#define DAY (24 * HOUR)
#define START 1795000000000LL

static struct ladder_choice begin(struct ladder_memory *m, wall_ms now)
{
    return ladder_begin(m, true, now);
}

static bool is_empty(const struct ladder_memory *m)
{
    return m->rung == RUNG_FULL && m->learned == 0 && m->until == 0 && m->times == 0 &&
           m->retest_since == 0;
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(tls_rung_name(RUNG_FULL), "full");
    assert_string_equal(tls_rung_name(RUNG_COMPACT), "compact");
    assert_string_equal(tls_rung_name(RUNG_TLS12), "tls1.2");
    assert_string_equal(tls_rung_name(RUNG_CLEAR), "clear");
}

static void test_next(void **state)
{
    static const struct {
        enum tls_rung from;
        bool may_clear, tls12;
        int want; /* RUNG_COUNT: none */
    } cases[] = {
        {RUNG_FULL, true, true, RUNG_COMPACT},    {RUNG_FULL, false, true, RUNG_COMPACT},
        {RUNG_FULL, false, false, RUNG_COMPACT},  {RUNG_COMPACT, true, true, RUNG_TLS12},
        {RUNG_COMPACT, false, true, RUNG_TLS12},  {RUNG_COMPACT, true, false, RUNG_CLEAR},
        {RUNG_COMPACT, false, false, RUNG_COUNT}, {RUNG_TLS12, true, true, RUNG_CLEAR},
        {RUNG_TLS12, true, false, RUNG_CLEAR},    {RUNG_TLS12, false, true, RUNG_COUNT},
        {RUNG_CLEAR, true, true, RUNG_COUNT},     {RUNG_CLEAR, false, true, RUNG_COUNT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum tls_rung out = RUNG_COUNT;

        assert_int_equal(ladder_next(cases[i].from, cases[i].may_clear, cases[i].tls12, &out),
                         cases[i].want != RUNG_COUNT);
        assert_int_equal(out, cases[i].want);
    }
}

/* Only a fall teaches, and only until the end. */
static void test_learns(void **state)
{
    struct ladder_memory m = {.rung = RUNG_FULL};

    (void)state;
    assert_int_equal(begin(&m, START).rung, RUNG_FULL);
    ladder_worked(&m, RUNG_FULL, false, DAY, START);
    ladder_worked(&m, RUNG_TLS12, false, DAY, START); /* nothing higher failed */
    assert_true(is_empty(&m));
    ladder_worked(&m, RUNG_TLS12, true, 0, START); /* no time to remember it for */
    assert_true(is_empty(&m));
    ladder_worked(&m, RUNG_TLS12, true, DAY, START);
    assert_true(m.rung == RUNG_TLS12 && m.learned == START && m.until == START + DAY);
    assert_int_equal(begin(&m, START + 1).rung, RUNG_TLS12);
    /* It works again and again: the end stays. */
    ladder_worked(&m, RUNG_TLS12, false, DAY, START + HOUR);
    ladder_worked(&m, RUNG_TLS12, true, DAY, START + HOUR);
    assert_int_equal(m.until, START + DAY);
    /* Worse than known. */
    ladder_worked(&m, RUNG_CLEAR, false, DAY, START + HOUR);
    assert_int_equal(m.rung, RUNG_TLS12);
    ladder_worked(&m, RUNG_CLEAR, true, DAY, START + HOUR);
    assert_true(m.rung == RUNG_CLEAR && m.until == START + HOUR + DAY);
    /* Better than known. */
    ladder_worked(&m, RUNG_COMPACT, false, DAY, START + 2 * HOUR);
    assert_true(m.rung == RUNG_COMPACT && m.until == START + 2 * HOUR + DAY);
    ladder_worked(&m, RUNG_FULL, false, DAY, START + 2 * HOUR);
    assert_true(is_empty(&m));
    ladder_worked(&m, RUNG_CLEAR, true, DAY, START);
    ladder_forget(&m); /* C-TLS-11 */
    assert_true(is_empty(&m));
}

static void test_ends(void **state)
{
    struct ladder_memory m = {.rung = RUNG_FULL};

    (void)state;
    ladder_worked(&m, RUNG_COMPACT, true, DAY, START);
    m.retest_since = START + DAY - 1; /* somebody is trying */
    assert_int_equal(begin(&m, START + DAY - 1).rung, RUNG_COMPACT);
    assert_int_equal(begin(&m, START + DAY).rung, RUNG_FULL);
    assert_true(is_empty(&m));
    /* A result that comes after the end is the first of a new memory. */
    ladder_worked(&m, RUNG_COMPACT, true, DAY, START);
    ladder_retest_failed(&m, DAY, START + DAY);
    assert_true(is_empty(&m));
    ladder_worked(&m, RUNG_COMPACT, true, DAY, START);
    ladder_worked(&m, RUNG_TLS12, false, DAY, START + DAY);
    assert_true(is_empty(&m));
}

/* Half-open: from half of the span on exactly one attempt tries one rung higher. */
static void test_retest(void **state)
{
    struct ladder_memory m = {.rung = RUNG_FULL};
    struct ladder_choice c;

    (void)state;
    ladder_worked(&m, RUNG_TLS12, true, DAY, START);
    c = begin(&m, START + DAY / 2 - 1);
    assert_true(c.rung == RUNG_TLS12 && !c.retest);
    c = begin(&m, START + DAY / 2);
    assert_true(c.rung == RUNG_COMPACT && c.retest);
    for (int i = 0; i < 20; i++) {
        c = begin(&m, START + DAY / 2 + i * LADDER_RETEST_MS / 20);
        assert_true(c.rung == RUNG_TLS12 && !c.retest);
    }
    /* No word of it: the next one. */
    c = begin(&m, START + DAY / 2 + LADDER_RETEST_MS);
    assert_true(c.rung == RUNG_COMPACT && c.retest);
    /* It worked: a span of its own, and from its half on one rung higher. */
    ladder_worked(&m, RUNG_COMPACT, false, DAY, START + DAY / 2 + LADDER_RETEST_MS);
    assert_true(m.rung == RUNG_COMPACT && m.retest_since == 0 && m.times == 0);
    c = begin(&m, START + DAY / 2 + LADDER_RETEST_MS + DAY / 2);
    assert_true(c.rung == RUNG_FULL && c.retest);
    ladder_worked(&m, RUNG_FULL, false, DAY, START + DAY + LADDER_RETEST_MS);
    assert_true(is_empty(&m));
}

/* Each failed retest doubles the span, up to eight times the first one; a success ends that. */
static void test_doubling(void **state)
{
    static const int factors[] = {2, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
    struct ladder_memory m = {.rung = RUNG_FULL};
    wall_ms now = START;

    (void)state;
    assert_int_equal(LADDER_SPAN_MAX, 8);
    ladder_worked(&m, RUNG_COMPACT, true, DAY, now);
    for (size_t i = 0; i < COUNT(factors); i++) {
        now = m.learned + (m.until - m.learned) / 2;
        assert_true(begin(&m, now).retest);
        ladder_retest_failed(&m, DAY, now + 1000);
        assert_int_equal(m.rung, RUNG_COMPACT);
        assert_int_equal(m.until, now + 1000 + factors[i] * DAY);
        assert_int_equal(m.retest_since, 0);
        /* the same sequence goes on at the known rung: that changes nothing */
        ladder_worked(&m, RUNG_COMPACT, true, DAY, now + 2000);
        assert_int_equal(m.until, now + 1000 + factors[i] * DAY);
        assert_false(begin(&m, now + 3000).retest);
    }
    m.times = UINT32_MAX; /* as read from a file */
    ladder_retest_failed(&m, DAY, now + 4000);
    assert_int_equal(m.until, now + 4000 + 8 * DAY);
    ladder_worked(&m, RUNG_TLS12, true, DAY, now + 5000);
    assert_true(m.times == 0 && m.until == now + 5000 + DAY);
}

/* Clear text is begun with only where the level allows it; that the address is known for clear text
 * is not lost by an attempt that may not. */
static void test_may_clear(void **state)
{
    struct ladder_memory m = {.rung = RUNG_FULL}, before;
    struct ladder_choice c;

    (void)state;
    ladder_worked(&m, RUNG_CLEAR, true, DAY, START);
    assert_int_equal(ladder_begin(&m, true, START + 1).rung, RUNG_CLEAR);
    before = m;
    c = ladder_begin(&m, false, START + DAY / 2 + 1); /* and it is no retest */
    assert_true(c.rung == RUNG_FULL && !c.retest);
    assert_memory_equal(&m, &before, sizeof(m));
    c = ladder_begin(&m, true, START + DAY / 2 + 1);
    assert_true(c.rung == RUNG_TLS12 && c.retest);
    /* It fell and found TLS 1.2: better than clear text. */
    ladder_worked(&m, RUNG_TLS12, true, DAY, START + DAY / 2 + 1);
    assert_int_equal(ladder_begin(&m, false, START + DAY / 2 + 2).rung, RUNG_TLS12);
}

/* C-OPS-03: a clock that jumps by a day or a year, either way. */
static void test_clock(void **state)
{
    static const wall_ms jumps[] = {HOUR, DAY, 365 * DAY};

    (void)state;
    for (size_t i = 0; i < COUNT(jumps); i++) {
        struct ladder_memory m = {.rung = RUNG_FULL};
        wall_ms back = START - jumps[i];

        ladder_worked(&m, RUNG_TLS12, true, DAY, START);
        assert_int_equal(begin(&m, back).rung, RUNG_TLS12);
        assert_true(m.learned == back && m.until == back + DAY);
        assert_int_equal(begin(&m, back + DAY).rung, RUNG_FULL);

        ladder_worked(&m, RUNG_TLS12, true, 800 * DAY, START);
        assert_true(begin(&m, START + 500 * DAY).retest);
        /* back, with a retest under way: none other for its time, then the next */
        assert_false(begin(&m, START + 500 * DAY - jumps[i]).retest);
        assert_false(begin(&m, START + 500 * DAY - jumps[i] + LADDER_RETEST_MS - 1).retest);
        if (i < 2)
            assert_true(begin(&m, START + 500 * DAY - jumps[i] + LADDER_RETEST_MS).retest);
        /* forward beyond the end */
        assert_int_equal(begin(&m, START + 900 * DAY).rung, RUNG_FULL);
        assert_true(is_empty(&m));
    }
}

/* What came from a damaged file is nothing. */
static void test_damaged(void **state)
{
    static const struct ladder_memory bad[] = {
        {.rung = RUNG_FULL, .learned = START, .until = START + DAY},
        {.rung = RUNG_COUNT, .learned = START, .until = START + DAY},
        {.rung = (enum tls_rung)77, .learned = START, .until = START + DAY},
        {.rung = RUNG_TLS12, .learned = START, .until = START},
        {.rung = RUNG_TLS12, .learned = START, .until = START - 1},
        {.rung = RUNG_TLS12, .learned = -5, .until = START + DAY},
        {.rung = RUNG_TLS12, .retest_since = START},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct ladder_memory m = bad[i];
        struct ladder_choice c = ladder_begin(&m, true, START + 1);

        assert_true(c.rung == RUNG_FULL && !c.retest && is_empty(&m));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),     cmocka_unit_test(test_next),
        cmocka_unit_test(test_learns),    cmocka_unit_test(test_ends),
        cmocka_unit_test(test_retest),    cmocka_unit_test(test_doubling),
        cmocka_unit_test(test_may_clear), cmocka_unit_test(test_clock),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
