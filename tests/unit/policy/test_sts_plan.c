/* SPDX-License-Identifier: Apache-2.0 */
/* Which MTA-STS policy is in force (C-STS-06 to C-STS-09, C-STS-12): named cases, then every situation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/sts_plan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define WEEK (7 * DAY)
#define NOW (20000 * DAY)

/* A policy "a" of mode enforce for a week, fetched `age` ms ago. */
static struct sts_held cached(int64_t age)
{
    return (struct sts_held){.policy = true,
                             .id = "a",
                             .mode = STS_ENFORCE,
                             .fetched = NOW - age,
                             .expires = NOW - age + WEEK,
                             .used = NOW - age};
}

static void fail_id(struct sts_held *h, const char *id, int64_t age)
{
    (void)snprintf(h->failed_id, sizeof(h->failed_id), "%s", id);
    h->failed_at = NOW - age;
}

struct plan_case {
    int64_t age;           /* of the cached policy; -1: nothing is cached */
    const char *failed_id; /* NULL: no failure */
    int64_t failed_age;
    enum sts_seen seen;
    const char *seen_id;
    enum sts_fetched fetched;
    enum sts_step want;
    bool degraded;
};

static void check_cases(const struct plan_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct plan_case *c = &cases[i];
        struct sts_held h = c->age != -1 ? cached(c->age) : (struct sts_held){.policy = false};
        struct sts_situation s = {
            .held = c->age == -1 && c->failed_id == NULL ? NULL : &h,
            .seen = c->seen,
            .seen_id = c->seen_id,
            .fetched = c->fetched,
            .now = NOW,
        };
        struct sts_step_taken t;

        if (c->failed_id != NULL)
            fail_id(&h, c->failed_id, c->failed_age);
        t = sts_plan(&s);
        if (t.step != c->want || t.degraded != c->degraded)
            fail_msg("case %zu: step %d, degraded %d: %s", i, (int)t.step, t.degraded, t.why);
    }
}

static void c_sts_06_a_live_policy_survives(void **state)
{
    static const struct plan_case cases[] = {
        {DAY, NULL, 0, STS_SEEN_NOTHING, NULL, STS_FETCH_NOT_TRIED, STS_STEP_ASK, false},
        {DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_HELD, false},
        {DAY, NULL, 0, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, NULL, 0, STS_SEEN_RECORD, "b", STS_FETCH_FAILED, STS_STEP_HELD, true},
        {DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_FAILED, STS_STEP_HELD, true},
        {0, NULL, 0, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {WEEK - 1, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {WEEK, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, true},
        {WEEK, NULL, 0, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, false},
        {WEEK, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_FAILED, STS_STEP_NONE, true},
    };

    (void)state;
    check_cases(cases, COUNT(cases));
}

static void c_sts_07_new_ids(void **state)
{
    static const struct plan_case cases[] = {
        {DAY, NULL, 0, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {DAY, NULL, 0, STS_SEEN_RECORD, "A", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {DAY, NULL, 0, STS_SEEN_RECORD, "b", STS_FETCH_GOOD, STS_STEP_NEW, false},
        {WEEK, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {WEEK, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_GOOD, STS_STEP_NEW, false},
        {-1, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        /* within five minutes of a failure */
        {DAY, "b", 0, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, "b", 5 * MINUTE - 1, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, "b", 5 * MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {-1, "b", MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_NONE, true},
        {WEEK, "a", MINUTE, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_NONE, true},
        {WEEK, "a", 5 * MINUTE, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        /* another id waits for nobody */
        {DAY, "c", MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {-1, "c", MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        /* a failed refresh of the cached id changes nothing for the mail */
        {DAY, "a", MINUTE, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_HELD, false},
    };

    (void)state;
    check_cases(cases, COUNT(cases));
}

static void c_sts_08_nothing_cached(void **state)
{
    static const struct plan_case cases[] = {
        {-1, NULL, 0, STS_SEEN_NOTHING, NULL, STS_FETCH_NOT_TRIED, STS_STEP_ASK, false},
        {-1, NULL, 0, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, false},
        {-1, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, true},
        {-1, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_FAILED, STS_STEP_NONE, true},
        {-1, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_GOOD, STS_STEP_NEW, false},
        {-1, "a", MINUTE, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, false},
    };

    (void)state;
    check_cases(cases, COUNT(cases));
}

/* RFC 8461 3.3 and 10.2: no alert about a policy of mode none that is being taken away. */
static void c_sts_12_mode_none_goes_quietly(void **state)
{
    struct sts_held h = cached(DAY);
    struct sts_situation s = {.held = &h, .seen = STS_SEEN_ABSENT, .now = NOW};
    struct sts_step_taken t;

    (void)state;
    for (enum sts_mode mode = STS_NONE; mode <= STS_ENFORCE; mode++) {
        h.mode = mode;
        t = sts_plan(&s);
        assert_true(t.step == STS_STEP_HELD && t.degraded == (mode != STS_NONE));
    }
    h.mode = STS_NONE;
    s.seen = STS_SEEN_FAILED;
    t = sts_plan(&s);
    assert_true(t.step == STS_STEP_HELD && !t.degraded);
    s.seen = STS_SEEN_RECORD;
    s.seen_id = "b";
    assert_int_equal(sts_plan(&s).step, STS_STEP_FETCH);
}

/* C-OPS-03: the clock is set back or forward by a day, or was years ahead. */
static void a_turned_clock(void **state)
{
    static const struct plan_case cases[] = {
        /* Workers that differ by seconds, or a small correction: nothing to see. */
        {-SECOND, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_HELD, false},
        {-5 * MINUTE, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_HELD, false},
        /* Back by a day: still in force whatever fails, and renewed when it can be. */
        {-DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {-DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_GOOD, STS_STEP_NEW, false},
        {-DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_FAILED, STS_STEP_HELD, true},
        {-DAY, "a", MINUTE, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {-DAY, NULL, 0, STS_SEEN_ABSENT, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {-DAY, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {-WEEK, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        /* Further than its own lifetime: it is not eternal. */
        {-WEEK - 1, NULL, 0, STS_SEEN_FAILED, NULL, STS_FETCH_NOT_TRIED, STS_STEP_NONE, true},
        {-3650 * DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {-3650 * DAY, NULL, 0, STS_SEEN_RECORD, "a", STS_FETCH_FAILED, STS_STEP_NONE, true},
        /* Forward by a day: a policy of a week is in force, the failure is forgotten. */
        {DAY + MINUTE, "b", DAY, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        /* A failure ahead of the clock: near, it counts; a long turn stops no fetch. */
        {DAY, "b", -SECOND, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, "b", 1 - 5 * MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_HELD, true},
        {DAY, "b", -5 * MINUTE, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
        {DAY, "b", -DAY, STS_SEEN_RECORD, "b", STS_FETCH_NOT_TRIED, STS_STEP_FETCH, false},
    };

    (void)state;
    check_cases(cases, COUNT(cases));
}

static void c_sts_06_live(void **state)
{
    static const struct {
        wall_ms fetched, expires, now;
        bool want;
    } cases[] = {
        {NOW, NOW + HOUR, NOW, true},
        {NOW, NOW + HOUR, NOW + HOUR - 1, true},
        {NOW, NOW + HOUR, NOW + HOUR, false},
        {NOW, NOW, NOW, false}, /* max_age 0: for the delivery that fetched it, no other */
        {NOW, NOW, NOW - MINUTE, false},
        {NOW, NOW - 1, NOW - 2, false},
        {NOW, NOW + HOUR, NOW - DAY, true}, /* short-lived, and a day back */
        {NOW, NOW + HOUR, NOW - DAY - 1, false},
        {NOW, NOW + WEEK, NOW - WEEK, true},
        {NOW, NOW + WEEK, NOW - WEEK - 1, false},
        /* No max_age lasts longer than a year, whatever the file says. */
        {NOW, INT64_MAX, NOW + STS_MAX_AGE_LIMIT * SECOND - 1, true},
        {NOW, INT64_MAX, NOW + STS_MAX_AGE_LIMIT * SECOND, false},
        {NOW, INT64_MAX, NOW - STS_MAX_AGE_LIMIT * SECOND - 1, false},
        {INT64_MIN, INT64_MAX, INT64_MAX, false},
        {INT64_MAX, INT64_MIN, INT64_MIN, false},
        {INT64_MIN, INT64_MIN, INT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sts_held h = {
            .policy = true, .fetched = cases[i].fetched, .expires = cases[i].expires};

        if (sts_live(&h, cases[i].now) != cases[i].want)
            fail_msg("case %zu", i);
        h.policy = false;
        assert_false(sts_live(&h, cases[i].now));
    }
}

/* --- every situation --- */

static const int64_t ages[] = {
    0,       1,           MINUTE, DAY,  WEEK - 1, WEEK,      WEEK + 1,    30 * DAY,   -1,
    -MINUTE, -5 * MINUTE, -HOUR,  -DAY, -WEEK,    -WEEK - 1, -4000 * DAY, 4000 * DAY,
};
static const int64_t failed_ages[] = {
    0, 1, MINUTE, 5 * MINUTE - 1, 5 * MINUTE, HOUR, DAY, -1, -5 * MINUTE + 1, -5 * MINUTE, -DAY,
};
static const char *const ids[] = {"a", "b", "c"};

/* The promises of C-STS-06 to 08, each for itself, in other words than the code has. */
static void check_promises(const struct sts_situation *s, const struct sts_step_taken *t)
{
    const struct sts_held *h = s->held;
    bool live = h != NULL && sts_live(h, s->now);
    bool recent = h != NULL && h->failed_at != 0 && llabs(s->now - h->failed_at) < STS_BACKOFF_MS &&
                  s->seen == STS_SEEN_RECORD && strcmp(h->failed_id, s->seen_id) == 0;
    bool current = live && s->seen == STS_SEEN_RECORD && strcmp(h->id, s->seen_id) == 0;
    bool ends = t->step != STS_STEP_ASK && t->step != STS_STEP_FETCH;

    assert_non_null(t->why);
    /* never lost, never used when dead */
    assert_true(!live || t->step != STS_STEP_NONE);
    assert_true(live || t->step != STS_STEP_HELD);
    /* one question of a kind at most */
    assert_true(s->fetched == STS_FETCH_NOT_TRIED || ends);
    assert_true((t->step == STS_STEP_NEW) == (s->fetched == STS_FETCH_GOOD));
    assert_true((t->step == STS_STEP_ASK) ==
                (s->seen == STS_SEEN_NOTHING && s->fetched == STS_FETCH_NOT_TRIED));
    if (t->step == STS_STEP_FETCH) {
        assert_int_equal(s->seen, STS_SEEN_RECORD);
        assert_false(recent);
        assert_true(!current || h->fetched - s->now > STS_BACKOFF_MS);
    }
    /* a new id is fetched before use, if it may be */
    if (s->seen == STS_SEEN_RECORD && s->fetched == STS_FETCH_NOT_TRIED && !current && !recent)
        assert_int_equal(t->step, STS_STEP_FETCH);
    /* a warning where something failed, and only there */
    if (t->step == STS_STEP_NONE)
        assert_true(t->degraded == (s->seen != STS_SEEN_ABSENT || s->fetched == STS_FETCH_FAILED));
    if (t->step == STS_STEP_HELD && h != NULL && (!current || s->fetched == STS_FETCH_FAILED))
        assert_true(t->degraded == (h->mode != STS_NONE));
    if (t->step == STS_STEP_HELD && current && !recent && s->fetched == STS_FETCH_NOT_TRIED)
        assert_false(t->degraded);
    if (t->step == STS_STEP_NEW || !ends)
        assert_false(t->degraded);
}

static size_t check_lookups(const struct sts_held *h)
{
    size_t n = 0;

    for (enum sts_fetched f = STS_FETCH_NOT_TRIED; f <= STS_FETCH_FAILED; f++) {
        for (enum sts_seen seen = STS_SEEN_NOTHING; seen <= STS_SEEN_FAILED; seen++) {
            for (size_t id = 0; id < (seen == STS_SEEN_RECORD ? COUNT(ids) : 1); id++, n++) {
                struct sts_situation s = {.held = h, .seen = seen, .fetched = f, .now = NOW};
                struct sts_step_taken t;

                s.seen_id = seen == STS_SEEN_RECORD ? ids[id] : NULL;
                t = sts_plan(&s);
                check_promises(&s, &t);
            }
        }
    }
    return n;
}

static size_t check_failures(struct sts_held h)
{
    size_t n = check_lookups(&h);

    for (size_t id = 0; id < COUNT(ids); id++) {
        for (size_t i = 0; i < COUNT(failed_ages); i++) {
            fail_id(&h, ids[id], failed_ages[i]);
            n += check_lookups(&h);
        }
    }
    return n;
}

static void c_sts_06_07_08_every_situation(void **state)
{
    size_t n = check_lookups(NULL) + check_failures((struct sts_held){.policy = false});

    (void)state;
    for (enum sts_mode mode = STS_NONE; mode <= STS_ENFORCE; mode++) {
        for (size_t i = 0; i < COUNT(ages); i++) {
            struct sts_held h = cached(ages[i]);

            h.mode = mode;
            n += check_failures(h);
            h.expires = h.fetched; /* max_age 0 */
            n += check_failures(h);
            h.expires = h.fetched + MINUTE;
            n += check_failures(h);
        }
    }
    /* 18 look-ups and fetches; 34 memories of a failure; no policy, or 9 kinds of each age */
    assert_int_equal(n, 18 + 18 * 34 * (1 + 9 * COUNT(ages)));
}

static void c_sts_09_refresh(void **state)
{
    struct sts_held h = cached(0); /* a week */
    wall_ms first, last;

    (void)state;
    last = sts_refresh_at(&h, DAY, 0);
    first = sts_refresh_at(&h, DAY, UINT32_MAX);
    assert_true(last == NOW + DAY);
    assert_true(first >= NOW + DAY * 9 / 10 && first < NOW + DAY * 9 / 10 + SECOND);
    /* Spread evenly: half of the hashes, half of the tenth. */
    assert_true(llabs(sts_refresh_at(&h, DAY, UINT32_C(1) << 31) - (NOW + DAY * 95 / 100)) <
                SECOND);
    /* Before half of max_age is over, so that one failure is not the end. */
    h.expires = NOW + DAY;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + DAY / 2);
    assert_true(sts_refresh_at(&h, DAY, UINT32_MAX) >= NOW + DAY * 45 / 100);
    /* A policy of seconds is no licence to fetch all the time. */
    h.expires = NOW + 10 * SECOND;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + 5 * MINUTE);
    h.expires = NOW;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + 5 * MINUTE);
    h.expires = NOW - WEEK;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + 5 * MINUTE);
    h.expires = NOW + WEEK;
    assert_true(sts_refresh_at(&h, 0, 0) == NOW + 5 * MINUTE);
    /* After a failure: an hour later with the default span, never sooner than first meant. */
    h.failed_at = NOW + HOUR;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + DAY);
    h.failed_at = NOW + DAY;
    assert_true(sts_refresh_at(&h, DAY, 0) == NOW + DAY + HOUR);
    assert_true(sts_refresh_at(&h, HOUR, 0) == NOW + DAY + 5 * MINUTE);
    /* What a broken file says overflows nothing. */
    h = (struct sts_held){.policy = true, .fetched = INT64_MAX, .expires = INT64_MIN};
    assert_true(sts_refresh_at(&h, INT64_MAX, 0) == INT64_MAX);
    h = (struct sts_held){.policy = true, .fetched = INT64_MIN, .expires = INT64_MAX};
    assert_true(sts_refresh_at(&h, INT64_MAX, UINT32_MAX) < 0);
}

static void c_sts_09_unused(void **state)
{
    struct sts_held h = cached(0);

    (void)state;
    assert_false(sts_unused(&h, NOW));
    assert_false(sts_unused(&h, NOW + 180 * DAY));
    assert_true(sts_unused(&h, NOW + 180 * DAY + 1));
    assert_false(sts_unused(&h, NOW - 1000 * DAY));
    h.used = NOW + DAY;
    assert_false(sts_unused(&h, NOW + 181 * DAY));
    /* Without a policy only the memory of a failure is worth something, while it counts. */
    h = (struct sts_held){.policy = false, .used = NOW};
    assert_true(sts_unused(&h, NOW));
    h.failed_at = NOW;
    assert_false(sts_unused(&h, NOW + 5 * MINUTE - 1));
    assert_true(sts_unused(&h, NOW + 5 * MINUTE));
    assert_true(sts_unused(&h, NOW - DAY));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_sts_06_a_live_policy_survives),
        cmocka_unit_test(c_sts_07_new_ids),
        cmocka_unit_test(c_sts_08_nothing_cached),
        cmocka_unit_test(c_sts_12_mode_none_goes_quietly),
        cmocka_unit_test(a_turned_clock),
        cmocka_unit_test(c_sts_06_live),
        cmocka_unit_test(c_sts_06_07_08_every_situation),
        cmocka_unit_test(c_sts_09_refresh),
        cmocka_unit_test(c_sts_09_unused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
