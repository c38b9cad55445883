/* SPDX-License-Identifier: Apache-2.0 */
/* test_resolver_context - a resolver's slow part is made and ended away from the loop that it serves. */
#include "tests/unit/net/dns_peer.h"

#include <dirent.h>
#include <fcntl.h>

#include "proxy/net/resolver.h"

static struct dns_row rows[] = {
    {.name = "quick.lab", .type = DNS_A, .rdata = {{"\300\0\2\1", 4}}},
    {.name = "late.lab", .type = DNS_A, .mood = DNS_LATE, .rdata = {{"\300\0\2\3", 4}}},
    {.name = "silent.lab", .mood = DNS_SILENT},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct scene {
    struct dns_peer peer;
    struct loop *loop;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->loop = loop_new();
    assert_non_null(s->loop);
    dns_start(&s->peer, rows, ROWS);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    loop_free(&s->loop);
    dns_stop(&s->peer);
    free(s);
    return 0;
}

static struct resolver_context *prepare(const struct scene *s)
{
    const struct dns_stub stub = {"lab", s->peer.at};
    struct resolver_params p = {.stubs = &stub, .stub_count = 1, .timeout = 4000};
    struct resolver_context *c;
    struct buf error;

    buf_init(&error, 500);
    c = resolver_prepare(&p, &error);
    if (c == NULL)
        print_message("%s\n", buf_cstr(&error));
    assert_non_null(c);
    buf_clear(&error);
    return c;
}

/* ---- what is slow ---- */

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

static int threads(void)
{
    return entries("/proc/self/task");
}

/* To start a thread and to wait for its end are the slow things: neither opening nor closing does. */
static void opening_and_closing_wait_for_no_thread(void **state)
{
    struct scene *s = *state;
    int before = threads();
    struct resolver_context *c = prepare(s);
    struct resolver *r;

    assert_int_equal(threads(), before + 1);
    for (int round = 0; round < 3; round++) { /* one context serves again and again */
        r = resolver_open(s->loop, &c);
        assert_non_null(r);
        assert_null(c);
        assert_int_equal(threads(), before + 1);
        c = resolver_close(&r);
        assert_null(r);
        assert_non_null(c);
        assert_int_equal(threads(), before + 1);
    }
    resolver_context_free(&c);
    assert_null(c);
    /* One that has been joined may be seen for a moment more. */
    RIG_UNTIL(s->loop, threads() == before);
}

static void never_opened(void **state)
{
    int files = entries("/proc/self/fd");
    struct resolver_context *c = prepare(*state);

    assert_true(entries("/proc/self/fd") > files);
    resolver_context_free(&c);
    assert_int_equal(entries("/proc/self/fd"), files);
    resolver_context_free(&c); /* NULL is fine */
}

static void what_cannot_be_prepared_leaves_nothing(void **state)
{
    struct resolver_params p = {.trust_anchor = "/nonexistent/root.key", .timeout = 100};
    int files = entries("/proc/self/fd"), before = threads();
    struct buf error;

    (void)state;
    buf_init(&error, 500);
    assert_null(resolver_prepare(&p, &error));
    assert_non_null(strstr(buf_cstr(&error), "/nonexistent/root.key"));
    assert_int_equal(entries("/proc/self/fd"), files);
    assert_int_equal(threads(), before);
    buf_clear(&error);
}

/* ---- questions ---- */

struct asked {
    struct dns_query *query;
    int times, good;
};

static void on_done(void *owner, const struct dns_answer *a)
{
    struct asked *q = owner;

    q->query = NULL;
    q->times++;
    q->good += a->status == DNS_OK;
}

/* The answer comes while nobody listens to the context any more; another resolver is served meanwhile. */
static void closed_with_questions_under_way(void **state)
{
    struct scene *s = *state;
    struct resolver_context *c = prepare(s), *next = prepare(s);
    struct resolver *r = resolver_open(s->loop, &c);
    struct asked late = {0}, silent = {0}, after = {0};

    late.query = dns_ask(r, "late.lab", DNS_A, on_done, &late);
    silent.query = dns_ask(r, "silent.lab", DNS_A, on_done, &silent);
    RIG_UNTIL(s->loop, atomic_load(&rows[1].asked) > 0); /* the server sleeps over it */
    c = resolver_close(&r);
    r = resolver_open(s->loop, &next);
    after.query = dns_ask(r, "quick.lab", DNS_A, on_done, &after);
    RIG_UNTIL(s->loop, after.times == 1);
    assert_int_equal(after.good, 1);
    for (int i = 0; i < 50; i++)
        rig_turn(s->loop, 10);
    resolver_context_free(&c);
    rig_turn(s->loop, 10);
    assert_int_equal(late.times + silent.times, 0);
    dns_cancel(&late.query);
    dns_cancel(&silent.query);
    resolver_free(&r);
}

/* ---- threads ---- */

struct shift {
    struct loop *loop;
    struct resolver_context *context;
    struct asked asked;
};

static void *serve(void *arg)
{
    struct shift *t = arg;
    struct resolver *r = resolver_open(t->loop, &t->context);

    if (r == NULL)
        return NULL;
    t->asked.query = dns_ask(r, "quick.lab", DNS_A, on_done, &t->asked);
    for (int i = 0; i < 2000 && t->asked.times == 0; i++)
        rig_turn(t->loop, RIG_TURN_MS);
    dns_cancel(&t->asked.query);
    t->context = resolver_close(&r);
    loop_free(&t->loop);
    return NULL;
}

/* Made by one thread, served by another, ended by the first, while others are made and ended. */
static void made_and_ended_by_another_thread(void **state)
{
    struct shift shifts[4] = {0};
    pthread_t workers[4];

    for (size_t i = 0; i < 4; i++) {
        shifts[i].loop = loop_new();
        shifts[i].context = prepare(*state);
        assert_int_equal(pthread_create(&workers[i], NULL, serve, &shifts[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(workers[i], NULL), 0);
        assert_non_null(shifts[i].context);
        resolver_context_free(&shifts[i].context);
        assert_int_equal(shifts[i].asked.good, 1);
    }
}

/* ---- a loop that takes no more ---- */

static int epoll_of_the_loop(void)
{
    char path[32], target[32];

    for (int fd = 0; fd < 1024; fd++) {
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (strcmp(target, "anon_inode:[eventpoll]") == 0)
            return fd;
    }
    return -1;
}

static void a_context_outlives_a_loop_that_refuses(void **state)
{
    struct scene *s = *state;
    int epoll = epoll_of_the_loop(), kept = dup(epoll), null = open("/dev/null", O_RDONLY);
    struct resolver_context *c;
    struct resolver *r;

    assert_true(epoll >= 0 && kept >= 0 && null >= 0);
    c = prepare(s);
    assert_true(dup2(null, epoll) >= 0);
    assert_null(resolver_open(s->loop, &c));
    assert_non_null(c);
    assert_true(dup2(kept, epoll) >= 0);
    r = resolver_open(s->loop, &c);
    assert_non_null(r);
    resolver_free(&r);
    (void)close(kept);
    (void)close(null);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(opening_and_closing_wait_for_no_thread), T(never_opened),
        T(what_cannot_be_prepared_leaves_nothing), T(closed_with_questions_under_way),
        T(made_and_ended_by_another_thread),       T(a_context_outlives_a_loop_that_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
