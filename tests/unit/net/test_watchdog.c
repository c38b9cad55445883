/* SPDX-License-Identifier: Apache-2.0 */
/* test_watchdog - a loop that was blocked says so on stderr, and what blocked it. */
#include "tests/unit/net/net_rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

struct scene {
    struct loop *loop;
    int said, stderr_kept; /* what came on stderr; the true one */
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->loop = loop_new();
    assert_non_null(s->loop);
    s->said = memfd_create("stderr", MFD_CLOEXEC);
    s->stderr_kept = dup(STDERR_FILENO);
    assert_true(s->said >= 0 && s->stderr_kept >= 0);
    assert_true(dup2(s->said, STDERR_FILENO) >= 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    assert_true(dup2(s->stderr_kept, STDERR_FILENO) >= 0);
    (void)close(s->stderr_kept);
    (void)close(s->said);
    loop_free(&s->loop);
    free(s);
    return 0;
}

static const char *said(const struct scene *s)
{
    static char text[1024];
    ssize_t n = pread(s->said, text, sizeof(text) - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static int64_t thread_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void burn(int64_t ms)
{
    int64_t end = thread_ms() + ms;

    while (thread_ms() < end)
        continue;
}

static void burn_long(void *owner)
{
    burn(60);
    loop_stop(owner);
}

static void burn_little(void *owner)
{
    burn(5);
    loop_stop(owner);
}

static void sleep_long(void *owner)
{
    (void)usleep(60000);
    loop_stop(owner);
}

static void little_then_long(void *owner)
{
    loop_defer(owner, burn_little, owner);
    loop_defer(owner, burn_long, owner);
    burn(5);
}

/* One line: so many milliseconds, in this function, called so. */
static void expect_line(const struct scene *s, const char *function_and_kind)
{
    static const char before[] = "tlsmend: loop blocked for ";
    char *end = NULL;
    unsigned long ms;
    char rest[128];

    assert_int_equal(strncmp(said(s), before, strlen(before)), 0);
    ms = strtoul(said(s) + strlen(before), &end, 10);
    assert_true(ms >= 55 && ms < 5000);
    (void)snprintf(rest, sizeof(rest), " ms in %s\n", function_and_kind);
    assert_string_equal(end, rest);
}

static void run_timer(struct scene *s, loop_fn *fn)
{
    struct timer *t = timer_new(s->loop, fn, s->loop);

    timer_arm(t, 0);
    loop_run(s->loop);
    timer_free(&t);
}

static void a_blocked_loop_says_so(void **state)
{
    run_timer(*state, burn_long);
    expect_line(*state, "test_watchdog.c:burn_long (timer)");
}

/* Waiting for a disk, a lock or a peer blocks as much as computing does. */
static void waiting_for_anything_else_counts(void **state)
{
    run_timer(*state, sleep_long);
    expect_line(*state, "test_watchdog.c:sleep_long (timer)");
}

static void of_several_calls_the_longest_is_named(void **state)
{
    run_timer(*state, little_then_long);
    expect_line(*state, "test_watchdog.c:burn_long (deferred)");
}

static void a_posted_call_is_named(void **state)
{
    struct scene *s = *state;

    assert_true(loop_post(s->loop, burn_little, s->loop));
    assert_true(loop_post(s->loop, burn_long, s->loop));
    loop_run(s->loop);
    expect_line(s, "test_watchdog.c:burn_long (posted)");
}

static void a_quick_loop_is_silent(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < 20; i++) /* many turns are long together, each is short */
        run_timer(s, burn_little);
    assert_string_equal(said(s), "");
}

/* main's loop serves nobody. */
static void an_unwatched_loop_is_silent(void **state)
{
    struct scene *s = *state;

    loop_unwatched(s->loop);
    run_timer(s, burn_long);
    run_timer(s, sleep_long);
    assert_string_equal(said(s), "");
}

/* ---- a busy machine ---- */

#define RIVALS 4

static atomic_bool rivals_stop;

static void *compute(void *arg)
{
    (void)arg;
    while (!atomic_load(&rivals_stop))
        continue;
    return NULL;
}

static mono_ms crowded_took;

static void burn_in_a_crowd(void *owner)
{
    mono_ms start = clock_mono();

    burn(30);
    crowded_took = clock_mono() - start;
    loop_stop(owner);
}

/* Five threads on one processor: 30 ms of work take some 150 ms of wall time. */
static void waiting_for_a_processor_does_not_count(void **state)
{
    struct scene *s = *state;
    pthread_t threads[RIVALS];
    cpu_set_t all, one;

    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0); /* the rivals inherit it */
    atomic_store(&rivals_stop, false);
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compute, NULL), 0);
    crowded_took = 0;
    for (int i = 0; i < 10 && crowded_took <= 2 * LOOP_BLOCKED_MS; i++)
        run_timer(s, burn_in_a_crowd);
    atomic_store(&rivals_stop, true);
    for (int i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_true(crowded_took > 2 * LOOP_BLOCKED_MS);
    assert_string_equal(said(s), "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_blocked_loop_says_so),
        T(waiting_for_anything_else_counts),
        T(of_several_calls_the_longest_is_named),
        T(a_posted_call_is_named),
        T(a_quick_loop_is_silent),
        T(an_unwatched_loop_is_silent),
        T(waiting_for_a_processor_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
