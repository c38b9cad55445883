/* SPDX-License-Identifier: Apache-2.0 */
/* test_acceptor - listening sockets, and what happens without descriptors (C-IN-09). */
#include "tests/unit/net/net_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "proxy/net/acceptor.h"

struct seen {
    struct acceptor *acceptor;
    int accepted, exhausted;
    int last_fd;
    struct addr last_peer;
    bool free_at_first;
};

static void on_accepted(void *owner, int fd, const struct addr *peer)
{
    struct seen *s = owner;

    s->accepted++;
    s->last_peer = *peer;
    if (s->last_fd >= 0)
        (void)close(s->last_fd);
    s->last_fd = fd;
    if (s->free_at_first)
        acceptor_free(&s->acceptor);
}

static void on_exhausted(void *owner, int error)
{
    struct seen *s = owner;

    (void)error;
    s->exhausted++;
}

static const struct acceptor_events events = {on_accepted, on_exhausted};

static struct addr listen_at(struct loop *l, struct seen *s)
{
    struct addr at = rig_loopback(0);
    struct buf error;
    int fd;

    buf_init(&error, 200);
    fd = acceptor_bind(&at, false, &error);
    assert_true(fd >= 0);
    assert_true(acceptor_address(fd, &at));
    assert_int_not_equal(at.port, 0);
    s->last_fd = -1;
    s->acceptor = acceptor_new(l, fd, &events, s);
    buf_clear(&error);
    return at;
}

static int dial(const struct addr *to)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static void accepts_and_pauses(void **state)
{
    struct loop *l = loop_new();
    struct seen s = {0};
    struct addr at = listen_at(l, &s);
    int a = dial(&at), b;

    (void)state;
    RIG_UNTIL(l, s.accepted == 1);
    assert_int_equal(s.last_peer.family, ADDR_IP4);
    assert_int_equal(addr_class(&s.last_peer), ADDR_LOOPBACK);
    assert_true(fcntl(s.last_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(s.last_fd, F_GETFD) & FD_CLOEXEC);
    acceptor_pause(s.acceptor, true);
    b = dial(&at);
    rig_turn(l, 30);
    assert_int_equal(s.accepted, 1);
    acceptor_pause(s.acceptor, false);
    RIG_UNTIL(l, s.accepted == 2);
    (void)close(a);
    (void)close(b);
    (void)close(s.last_fd);
    acceptor_free(&s.acceptor);
    acceptor_free(&s.acceptor); /* NULL is fine */
    loop_free(&l);
}

/* Whether they come alone or in crowds, none is left waiting, and each has its turn at once. */
static void crowds_are_accepted(void **state)
{
    enum { MOST = 100 };
    struct loop *l = loop_new();
    struct seen s = {0};
    struct addr at = listen_at(l, &s);
    int fd[MOST], all = 0;

    (void)state;
    for (int crowd = 1; crowd <= MOST; crowd = crowd * 3 + 1) {
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < crowd; i++)
                fd[i] = dial(&at);
            all += crowd;
            RIG_UNTIL(l, s.accepted == all);
            for (int i = 0; i < crowd; i++)
                (void)close(fd[i]);
        }
    }
    (void)close(s.last_fd);
    acceptor_free(&s.acceptor);
    loop_free(&l);
}

static void may_be_freed_inside_accepted(void **state)
{
    struct loop *l = loop_new();
    struct seen s = {.free_at_first = true};
    struct addr at = listen_at(l, &s);
    int a = dial(&at), b = dial(&at);

    (void)state;
    rig_turn(l, 30);
    assert_int_equal(s.accepted, 1);
    (void)close(a);
    (void)close(b);
    (void)close(s.last_fd);
    loop_free(&l);
}

/* C-IN-09: no file descriptors: accept pauses without spinning, and goes on by itself. */
static void pauses_without_descriptors(void **state)
{
    struct loop *l = loop_new();
    struct seen s = {0};
    struct addr at = listen_at(l, &s);
    int a = dial(&at), spare = dup(0);
    struct rlimit old, tight;
    mono_ms before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(spare >= 0);
    (void)close(spare); /* the lowest free number: nothing above it may be opened now */
    tight = (struct rlimit){.rlim_cur = (rlim_t)spare, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    rig_turn(l, 100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(s.accepted, 0);
    assert_int_equal(s.exhausted, 1); /* once per pause: it did not spin */
    before = clock_mono();
    RIG_UNTIL(l, s.accepted == 1);
    assert_true(clock_mono() - before < 2000);
    (void)close(a);
    (void)close(s.last_fd);
    acceptor_free(&s.acceptor);
    loop_free(&l);
}

static void says_why_it_cannot_listen(void **state)
{
    struct addr at;
    struct buf error;

    (void)state;
    assert_true(addr_parse(SLICE("192.0.2.1"), &at)); /* RFC 5737: not on this host */
    at.port = 2525;
    buf_init(&error, 200);
    assert_int_equal(acceptor_bind(&at, false, &error), -1);
    assert_non_null(strstr(buf_cstr(&error), "192.0.2.1:2525"));
    assert_non_null(strstr(buf_cstr(&error), "Cannot assign requested address"));
    buf_clear(&error);
}

static void knows_a_port_that_is_taken(void **state)
{
    struct addr at;
    struct buf error;
    int first, second;

    (void)state;
    assert_true(addr_parse(SLICE("127.0.0.1"), &at));
    at.port = 0;
    buf_init(&error, 200);
    first = acceptor_bind(&at, false, &error);
    assert_true(first >= 0);
    assert_true(acceptor_address(first, &at));
    assert_false(acceptor_is_free(&at, false, &error));
    assert_non_null(strstr(buf_cstr(&error), "Address already in use"));
    buf_reset(&error);
    second = acceptor_bind(&at, false, &error); /* for the next worker, which shares */
    assert_true(second >= 0);
    (void)close(first);
    (void)close(second);
    assert_true(acceptor_is_free(&at, false, &error));
    assert_int_equal(error.n, 0);
    buf_clear(&error);
}

/* Root may; who may not is told which capability is missing. */
static void transparent_or_told_why(void **state)
{
    static const struct {
        const char *ip;
        int level, option;
    } cases[] = {
        {"127.0.0.1", IPPROTO_IP, IP_TRANSPARENT},
        {"::1", IPPROTO_IPV6, IPV6_TRANSPARENT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int transparent = 0; transparent < 2; transparent++) {
            struct addr at;
            struct buf error;
            socklen_t n = sizeof(int);
            int fd, on = -1;

            buf_init(&error, 400);
            assert_true(addr_parse(slice_str(cases[i].ip), &at));
            fd = acceptor_bind(&at, transparent, &error);
            if (fd < 0) {
                assert_true(transparent && errno == EPERM);
                assert_true(slice_ihas(buf_slice(&error), SLICE("CAP_NET_ADMIN")));
            } else {
                assert_int_equal(getsockopt(fd, cases[i].level, cases[i].option, &on, &n), 0);
                assert_int_equal(on, transparent);
                (void)close(fd);
            }
            buf_clear(&error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transparent_or_told_why),
        cmocka_unit_test(accepts_and_pauses),
        cmocka_unit_test(crowds_are_accepted),
        cmocka_unit_test(may_be_freed_inside_accepted),
        cmocka_unit_test(pauses_without_descriptors),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(knows_a_port_that_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
