/* SPDX-License-Identifier: Apache-2.0 */
/* test_original - a caught connection and one that was made to the listener itself are told apart.
 * What a translated one looks like needs a packet filter: tests/integration/test_redirect.py. */
#include "tests/unit/net/net_rig.h"

#include <netinet/in.h>
#include <poll.h>

#include "proxy/net/acceptor.h"
#include "proxy/net/original.h"

struct meeting {
    int listening, dialled, accepted;
};

static void meet(struct meeting *m, int listening, const struct sockaddr *to, socklen_t n)
{
    struct pollfd ready = {.fd = listening, .events = POLLIN};

    m->listening = listening;
    m->dialled = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(m->dialled >= 0);
    assert_int_equal(connect(m->dialled, to, n), 0);
    assert_int_equal(poll(&ready, 1, RIG_PATIENCE_MS), 1);
    m->accepted = accept(listening, NULL, NULL);
    assert_true(m->accepted >= 0);
}

static void part(struct meeting *m)
{
    (void)close(m->listening);
    (void)close(m->dialled);
    (void)close(m->accepted);
}

static int listening_at(const char *ip, struct addr *at)
{
    struct buf error;
    int fd;

    assert_true(addr_parse(slice_str(ip), at));
    buf_init(&error, 200);
    fd = acceptor_bind(at, false, &error);
    assert_true(fd >= 0 && acceptor_address(fd, at));
    buf_clear(&error);
    return fd;
}

static struct addr address(const char *ip, uint16_t port)
{
    struct addr a;

    assert_true(addr_parse(slice_str(ip), &a));
    a.port = port;
    return a;
}

static void check(int fd, const struct addr *bind, const char *want)
{
    struct addr out;
    char text[ADDR_TEXT_MAX];

    assert_int_equal(original_destination(fd, bind, &out), want != NULL);
    if (want == NULL)
        assert_int_equal(out.family, ADDR_NONE);
    else
        assert_string_equal(addr_text(&out, text), want);
}

static void meet_at(struct meeting *m, const char *ip, struct addr *at)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    int fd = listening_at(ip, at);

    if (at->family == ADDR_IP4) {
        in4.sin_port = htons(at->port);
        in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        meet(m, fd, (const struct sockaddr *)&in4, sizeof(in4));
    } else {
        in6.sin6_port = htons(at->port);
        in6.sin6_addr = in6addr_loopback;
        meet(m, fd, (const struct sockaddr *)&in6, sizeof(in6));
    }
}

/* The client connected to the listener: at its address, or at any of this host's for a wildcard. */
static void a_direct_connection_has_none(void **state)
{
    static const char *const binds[] = {"127.0.0.1", "0.0.0.0", "::1", "::"};

    (void)state;
    for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++) {
        struct meeting m;
        struct addr at;

        meet_at(&m, binds[i], &at);
        check(m.accepted, &at, NULL);
        part(&m);
    }
}

/* Under TPROXY the socket has the address that was meant, which is not the listener's. */
static void another_address_than_the_listener_is_the_original(void **state)
{
    struct meeting m;
    struct addr at, other;

    (void)state;
    meet_at(&m, "0.0.0.0", &at);
    other = address("127.0.0.2", at.port);
    check(m.accepted, &other, "127.0.0.1");
    other = address("0.0.0.0", (uint16_t)(at.port ^ 1));
    check(m.accepted, &other, "127.0.0.1");
    other = address("127.0.0.1", (uint16_t)(at.port ^ 1));
    check(m.accepted, &other, "127.0.0.1");
    part(&m);
    meet_at(&m, "::", &at);
    other = address("2001:db8::1", at.port);
    check(m.accepted, &other, "::1");
    part(&m);
}

/* A socket that serves both families shows IPv4 as ::ffff:127.0.0.1: it is IPv4 all the same. */
static void a_mapped_address_is_the_ipv4_one(void **state)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
    struct addr at, other;
    struct meeting m;

    (void)state;
    assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&in6, sizeof(in6)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_true(acceptor_address(fd, &at));
    in4.sin_port = htons(at.port);
    in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    meet(&m, fd, (const struct sockaddr *)&in4, sizeof(in4));
    check(m.accepted, &at, NULL);
    other = address("127.0.0.1", at.port);
    check(m.accepted, &other, NULL);
    other = address("::ffff:127.0.0.1", at.port);
    check(m.accepted, &other, NULL);
    other = address("127.0.0.2", at.port);
    check(m.accepted, &other, "127.0.0.1");
    part(&m);
}

static void no_connection_has_none(void **state)
{
    struct addr at = address("127.0.0.1", 25);

    (void)state;
    check(-1, &at, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_direct_connection_has_none),
        cmocka_unit_test(another_address_than_the_listener_is_the_original),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_one),
        cmocka_unit_test(no_connection_has_none),
    };

    return cmocka_run_group_tests_name("original", tests, NULL, NULL);
}
