/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_sessions - C-TLS-08: the table of sessions: limit, order, threads. */
#include "tests/unit/net/net_rig.h"

#include <openssl/pool.h>
#include <pthread.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/tls_sessions_internal.h"

typedef unsigned char session_key[TLS_SESSION_KEY_LENGTH];

static SSL_CTX *context;

static int setup(void **state)
{
    (void)state;
    context = SSL_CTX_new(TLS_with_buffers_method());
    return context != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    SSL_CTX_free(context);
    return 0;
}

static struct tls_verdict *make_verdict(void)
{
    struct tls_verdict *v = mem_zalloc(sizeof(*v));

    atomic_init(&v->holds, 1);
    return v;
}

/* One that could be resumed, as far as the table can tell. */
static struct tls_kept make_session(uint16_t version, uint64_t begin, uint32_t seconds)
{
    static const uint8_t ticket[100] = {1};
    SSL_SESSION *s = SSL_SESSION_new(context);

    assert_non_null(s);
    assert_int_equal(SSL_SESSION_set_protocol_version(s, version), 1);
    assert_int_equal(SSL_SESSION_set_ticket(s, ticket, sizeof(ticket)), 1);
    (void)SSL_SESSION_set_time(s, begin);
    (void)SSL_SESSION_set_timeout(s, seconds);
    return (struct tls_kept){s, make_verdict()};
}

static const unsigned char *key_of(unsigned n, session_key key)
{
    memset(key, 0, sizeof(session_key));
    memcpy(key, &n, sizeof(n));
    return key;
}

static void put(struct tls_sessions *s, unsigned n)
{
    session_key key;

    tls_sessions_put(s, key_of(n, key), make_session(TLS1_3_VERSION, 1000, 100));
}

static bool take_at(struct tls_sessions *s, unsigned n, wall_ms now)
{
    session_key key;
    struct tls_kept kept;
    bool taken = tls_sessions_take(s, key_of(n, key), now, &kept);

    if (taken)
        tls_kept_clear(&kept);
    return taken;
}

static bool take(struct tls_sessions *s, unsigned n)
{
    return take_at(s, n, 1000000);
}

static void the_unused_go_first(void **state)
{
    struct tls_sessions *s = tls_sessions_new(6);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        put(s, i);
        put(s, i);
    }
    assert_int_equal(tls_sessions_count(s), 6);
    assert_true(take(s, 0)); /* used just now */
    put(s, 3);
    assert_int_equal(tls_sessions_count(s), 6);
    put(s, 3);
    assert_int_equal(tls_sessions_count(s), 5); /* both of 1 went */
    assert_false(take(s, 1));
    assert_int_equal(tls_sessions_count(s), 5);
    for (int i = 0; i < 3; i++) /* the last one stays */
        assert_true(take(s, 0) && take(s, 2) && take(s, 3));
    assert_int_equal(tls_sessions_count(s), 3);
    tls_sessions_free(&s);
    assert_null(s);
    tls_sessions_free(&s);
}

static void a_key_has_a_few(void **state)
{
    struct tls_sessions *s = tls_sessions_new(100);
    session_key key;
    struct tls_kept got;

    (void)state;
    for (uint64_t i = 1; i <= TLS_SESSIONS_PER_KEY + 3; i++)
        tls_sessions_put(s, key_of(1, key), make_session(TLS1_3_VERSION, i, 1000));
    assert_int_equal(tls_sessions_count(s), TLS_SESSIONS_PER_KEY);
    for (uint64_t i = TLS_SESSIONS_PER_KEY + 3; i > 3; i--) { /* the newest first */
        assert_true(tls_sessions_take(s, key, 500000, &got));
        assert_int_equal(SSL_SESSION_get_time(got.session), i);
        assert_non_null(got.verdict);
        tls_kept_clear(&got);
    }
    assert_true(tls_sessions_take(s, key, 500000, &got)); /* the last one again */
    assert_int_equal(SSL_SESSION_get_time(got.session), 4);
    tls_kept_clear(&got);
    assert_int_equal(tls_sessions_count(s), 1);

    /* TLS 1.2: one, and it stays */
    for (uint64_t i = 1; i < 5; i++)
        tls_sessions_put(s, key, make_session(TLS1_2_VERSION, i, 1000));
    assert_int_equal(tls_sessions_count(s), 1);
    assert_true(take_at(s, 1, 500000) && take_at(s, 1, 500000));
    tls_sessions_forget(s, key);
    tls_sessions_forget(s, key);
    assert_int_equal(tls_sessions_count(s), 0);
    tls_sessions_free(&s);
}

static void old_ones_are_dropped(void **state)
{
    static const struct {
        wall_ms now;
        bool good;
    } cases[] = {{999999, false},  {1000000, true}, {1099999, true},
                 {1100000, false}, {0, false},      {-5000, false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_sessions *s = tls_sessions_new(10);

        put(s, 1);
        put(s, 1);
        assert_int_equal(take_at(s, 1, cases[i].now), cases[i].good);
        assert_int_equal(tls_sessions_count(s), cases[i].good);
        tls_sessions_free(&s);
    }
}

static void what_cannot_be_resumed(void **state)
{
    struct tls_sessions *s = tls_sessions_new(10);
    session_key key;

    (void)state;
    tls_sessions_put(s, key_of(1, key),
                     (struct tls_kept){SSL_SESSION_new(context), make_verdict()});
    assert_int_equal(tls_sessions_count(s), 0);
    tls_sessions_free(&s);
}

static void limits(void **state)
{
    struct tls_sessions *s = tls_sessions_new(0);
    size_t empty = tls_sessions_memory(s);
    session_key key;

    (void)state;
    put(s, 1);
    assert_int_equal(tls_sessions_count(s), 0);
    tls_sessions_limit(s, 1);
    put(s, 1);
    assert_true(tls_sessions_memory(s) > empty);
    assert_true(take(s, 1));
    tls_sessions_forget(s, key_of(1, key));
    assert_int_equal(tls_sessions_memory(s), empty);
    put(s, 1);
    put(s, 1);
    assert_int_equal(tls_sessions_count(s), 1);
    tls_sessions_limit(s, 100000);
    for (unsigned i = 0; i < 5000; i++) /* the table grows */
        put(s, i);
    for (unsigned i = 0; i < 5000; i++)
        put(s, i);
    assert_int_equal(tls_sessions_count(s), 10001);
    assert_true(tls_sessions_memory(s) > empty + 10000 * 100);
    tls_sessions_limit(s, 10);
    assert_int_equal(tls_sessions_count(s), 10);
    assert_true(take(s, 4999) && take(s, 4995) && !take(s, 4994));
    tls_sessions_limit(s, 0);
    assert_int_equal(tls_sessions_count(s), 0);
    tls_sessions_free(&s);
}

struct worker {
    pthread_t thread;
    struct tls_sessions *sessions;
    unsigned seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 3000; i++) {
        unsigned n = (w->seed * 7919 + i * 31) % 40;
        session_key key;

        (void)key_of(n, key);
        switch (i % 5) {
        case 0:
        case 1:
            tls_sessions_put(w->sessions, key,
                             make_session(n % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, 1000, 100));
            break;
        case 2:
        case 3:
            (void)take(w->sessions, n);
            break;
        default:
            if (i % 45 == 4)
                tls_sessions_forget(w->sessions, key);
            (void)tls_sessions_memory(w->sessions);
            break;
        }
    }
    return NULL;
}

/* The thread sanitizer looks on. */
static void threads_share_the_table(void **state)
{
    struct worker workers[2];
    struct tls_sessions *s = tls_sessions_new(50);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (struct worker){.sessions = s, .seed = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    assert_in_range(tls_sessions_count(s), 1, 50);
    tls_sessions_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_unused_go_first),
        cmocka_unit_test(a_key_has_a_few),
        cmocka_unit_test(old_ones_are_dropped),
        cmocka_unit_test(what_cannot_be_resumed),
        cmocka_unit_test(limits),
        cmocka_unit_test(threads_share_the_table),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
