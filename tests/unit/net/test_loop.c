/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop - timers, deferred calls, calls from other threads, signals. */
#include "tests/unit/net/net_rig.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static char trace[256];

static void note(const char *what)
{
    size_t n = strlen(trace);

    assert_true(n + strlen(what) < sizeof(trace));
    memcpy(trace + n, what, strlen(what) + 1);
}

static void say_a(void *owner)
{
    (void)owner;
    note("a");
}

static void say_b(void *owner)
{
    (void)owner;
    note("b");
}

static int setup(void **state)
{
    struct loop *l = loop_new();

    assert_non_null(l);
    trace[0] = '\0';
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct loop *l = *state;

    loop_free(&l);
    assert_null(l);
    return 0;
}

static void timers_fire_in_order(void **state)
{
    struct loop *l = *state;
    struct timer *a = timer_new(l, say_a, NULL), *b = timer_new(l, say_b, NULL);

    timer_arm(a, 40);
    timer_arm(b, 10);
    assert_true(timer_armed(a));
    rig_turn(l, 80);
    assert_string_equal(trace, "ba");
    assert_false(timer_armed(a));
    timer_arm(a, 5);
    timer_arm(a, 60000); /* replaces the earlier deadline */
    timer_arm(b, 5);
    timer_disarm(b);
    rig_turn(l, 40);
    assert_string_equal(trace, "ba");
    timer_free(&a);
    timer_free(&b);
    timer_free(&b); /* NULL is fine */
}

static int fired;

static void count(void *owner)
{
    (void)owner;
    fired++;
}

/* Whatever was asked for before, the last deadline is what counts. */
static void a_timer_fires_when_it_was_last_told(void **state)
{
    static const struct {
        int first, then; /* ms; < 0: disarmed */
        int last;
    } cases[] = {
        {60000, 60000, 20}, {5, 60000, 20}, {5, -1, 20},       {60000, -1, 20},
        {5, 10, 20},        {20, 10, 0},    {5, 60000, 60000}, {5, 5, -1},
    };
    struct loop *l = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct timer *t = timer_new(l, count, NULL);
        int told[] = {cases[i].first, cases[i].then, cases[i].last};
        bool comes = cases[i].last >= 0 && cases[i].last < 60000;
        mono_ms due = clock_mono() + cases[i].last;

        fired = 0;
        for (size_t k = 0; k < 3; k++) {
            if (told[k] >= 0)
                timer_arm(t, told[k]);
            else
                timer_disarm(t);
        }
        assert_int_equal(timer_armed(t), cases[i].last >= 0);
        while (comes && fired == 0 && clock_mono() < due + 5000)
            rig_turn(l, 1);
        assert_true(!comes || clock_mono() >= due);
        rig_turn(l, 30);
        assert_int_equal(fired, comes ? 1 : 0);
        if (comes) { /* and again, when it has fired */
            timer_arm(t, 1);
            RIG_UNTIL(l, fired == 2);
        }
        timer_free(&t);
    }
}

struct early {
    struct loop *loop;
    struct timer *timer;
    mono_ms due;
    int fired;
};

static void check_early(void *owner)
{
    struct early *e = owner;

    assert_true(clock_mono() >= e->due);
    e->fired++;
}

static void arm_after_long_work(void *owner)
{
    struct early *e = owner;

    usleep(60000);
    e->due = clock_mono() + 30;
    timer_arm(e->timer, 30);
}

static void timer_never_fires_early(void **state)
{
    struct loop *l = *state;
    struct early e = {.loop = l};
    struct timer *slow = timer_new(l, arm_after_long_work, &e);

    e.timer = timer_new(l, check_early, &e);
    timer_arm(slow, 0);
    RIG_UNTIL(l, e.fired == 1);
    for (int i = 1; i <= 30; i++) { /* libevent reads a clock of coarse steps */
        e.due = clock_mono() + 7;
        timer_arm(e.timer, 7);
        RIG_UNTIL(l, e.fired == 1 + i);
    }
    timer_free(&slow);
    timer_free(&e.timer);
}

static struct timer *suicidal;

static void free_myself(void *owner)
{
    (void)owner;
    note("x");
    timer_free(&suicidal);
}

static void timer_may_free_itself(void **state)
{
    struct loop *l = *state;

    suicidal = timer_new(l, free_myself, NULL);
    timer_arm(suicidal, 0);
    RIG_UNTIL(l, trace[0] != '\0');
    assert_null(suicidal);
    assert_string_equal(trace, "x");
}

static void defer_b_and_end(void *owner)
{
    loop_defer(owner, say_b, NULL);
    note("1");
}

static void fire_and_defer(void *owner)
{
    loop_defer(owner, defer_b_and_end, owner);
    loop_defer(owner, say_a, NULL);
    note("0");
}

static void deferred_calls_run_when_the_stack_is_empty(void **state)
{
    struct loop *l = *state;
    struct timer *t = timer_new(l, fire_and_defer, l);
    struct timer *next = timer_new(l, say_a, NULL);

    timer_arm(t, 5);
    timer_arm(next, 5); /* fires in the same turn: what was deferred comes before */
    rig_turn(l, 60);
    assert_string_equal(trace, "01aba");
    timer_free(&t);
    timer_free(&next);
}

static void deferred_outside_the_loop_runs_too(void **state)
{
    struct loop *l = *state;

    for (int i = 0; i < 40; i++) /* more than the list has room for at first */
        loop_defer(l, i % 2 == 0 ? say_a : say_b, NULL);
    assert_string_equal(trace, "");
    rig_turn(l, 10);
    assert_int_equal(strlen(trace), 40);
    assert_memory_equal(trace, "abababab", 8);
}

static void loop_free_runs_what_is_deferred(void **state)
{
    struct loop *l = loop_new();

    (void)state;
    loop_defer(l, say_a, NULL);
    assert_true(loop_post(l, say_b, NULL)); /* dropped */
    loop_free(&l);
    assert_string_equal(trace, "a");
    loop_free(&l); /* NULL is fine */
}

#define THREADS 4
#define POSTS 500

struct poster {
    struct loop *loop;
    int next; /* touched by the loop's thread only */
};

struct parcel {
    struct poster *from;
    int number;
};

static int arrived;

static void on_parcel(void *owner)
{
    struct parcel *p = owner;

    assert_int_equal(p->number, p->from->next++); /* order is kept */
    arrived++;
}

static struct parcel parcels[THREADS][POSTS];

static void *post_all(void *arg)
{
    struct parcel *mine = arg;

    for (int i = 0; i < POSTS; i++)
        if (!loop_post(mine[i].from->loop, on_parcel, &mine[i]))
            abort();
    return NULL;
}

static void calls_from_other_threads(void **state)
{
    struct loop *l = *state;
    struct poster posters[THREADS];
    pthread_t threads[THREADS];

    arrived = 0;
    for (int t = 0; t < THREADS; t++) {
        posters[t] = (struct poster){.loop = l};
        for (int i = 0; i < POSTS; i++)
            parcels[t][i] = (struct parcel){&posters[t], i};
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, parcels[t]), 0);
    }
    RIG_UNTIL(l, arrived == THREADS * POSTS);
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
}

static void *stop_soon(void *arg)
{
    usleep(20000);
    loop_stop(arg);
    return NULL;
}

static void stop_from_another_thread(void **state)
{
    struct loop *l = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_soon, l), 0);
    loop_run(l);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop_stop(l); /* before the run: it returns at once */
    loop_run(l);
}

static void signals_arrive(void **state)
{
    struct loop *l = *state;

    assert_true(loop_signal(l, SIGUSR1, say_a, NULL));
    assert_int_equal(raise(SIGUSR1), 0);
    RIG_UNTIL(l, strcmp(trace, "a") == 0);
    assert_int_equal(raise(SIGUSR1), 0);
    RIG_UNTIL(l, strcmp(trace, "aa") == 0);
}

static void clocks(void **state)
{
    struct loop *l = *state;
    mono_ms before = clock_mono();

    assert_true(loop_now(l) >= before);
    assert_true(loop_wall() > 1700000000000LL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(timers_fire_in_order),
        T(a_timer_fires_when_it_was_last_told),
        T(timer_never_fires_early),
        T(timer_may_free_itself),
        T(deferred_calls_run_when_the_stack_is_empty),
        T(deferred_outside_the_loop_runs_too),
        T(loop_free_runs_what_is_deferred),
        T(calls_from_other_threads),
        T(stop_from_another_thread),
        T(signals_arrive),
        T(clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
