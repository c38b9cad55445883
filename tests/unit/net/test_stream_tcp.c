/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_tcp - a stream over TCP: connecting, resets, and whether the peer is there. */
#include "tests/unit/net/stream_ear.h"

#include <netinet/in.h>

#include "proxy/net/acceptor.h"

struct tcp {
    struct loop *loop;
    struct ear ear;
    struct acceptor *acceptor;
    int peer;
};

static void on_accepted(void *owner, int fd, const struct addr *peer)
{
    (void)peer;
    *(int *)owner = fd;
}

static const struct acceptor_events tcp_acceptor_events = {on_accepted, NULL};

static void tcp_open(struct tcp *t)
{
    struct addr at = rig_loopback(0), local;
    struct buf error;
    int fd;

    memset(t, 0, sizeof(*t));
    t->peer = -1;
    t->loop = loop_new();
    buf_init(&error, 200);
    buf_init(&t->ear.got, 1 << 20);
    fd = acceptor_bind(&at, false, &error);
    assert_true(fd >= 0 && acceptor_address(fd, &at));
    t->acceptor = acceptor_new(t->loop, fd, &tcp_acceptor_events, &t->peer);
    t->ear.stream = stream_connect(t->loop, &at, &ear_params, &ear_events, &t->ear);
    assert_string_equal(t->ear.trace, "");
    RIG_UNTIL(t->loop, ear_heard(&t->ear, 'c') && t->peer >= 0);
    assert_true(addr_same(stream_peer(t->ear.stream), &at));
    assert_true(stream_local(t->ear.stream, &local));
    assert_int_equal(addr_class(&local), ADDR_LOOPBACK);
}

static void tcp_close(struct tcp *t)
{
    if (t->peer >= 0)
        (void)close(t->peer);
    acceptor_free(&t->acceptor);
    ear_clear(&t->ear);
    loop_free(&t->loop);
}

static void reset_by(struct tcp *t)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(t->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    (void)close(t->peer);
    t->peer = -1;
}

static void a_reset_is_an_error(void **state)
{
    struct tcp t;

    (void)state;
    tcp_open(&t);
    reset_by(&t);
    RIG_UNTIL(t.loop, ear_heard(&t.ear, 'e'));
    assert_int_equal(t.ear.end, STREAM_ERROR);
    assert_string_equal(t.ear.detail, "Connection reset by peer");
    tcp_close(&t);
}

/* The words before a reset are heard although the reset is noticed in writing, and while paused. */
static void last_words_before_a_reset(void **state)
{
    struct tcp t;

    (void)state;
    tcp_open(&t);
    stream_pause(t.ear.stream, true);
    rig_turn(t.loop, 5);
    assert_int_equal(write(t.peer, "421 bye\r\n", 9), 9);
    (void)close(t.peer);
    t.peer = -1;
    for (int i = 0; i < 100 && !ear_heard(&t.ear, 'e'); i++) {
        ear_write(&t.ear, SLICE("MAIL FROM:<>\r\n"));
        rig_turn(t.loop, 5);
    }
    assert_true(ear_heard(&t.ear, 'e'));
    assert_int_equal(stream_unread(t.ear.stream), 9);
    tcp_close(&t);
}

/* C-RCPT-04: a client that has closed its sending side may still read (Exim), or may be gone: what is
 * sent shows it. */
static void whether_a_peer_that_closed_is_there(void **state)
{
    for (int gone = 0; gone < 2; gone++) {
        struct tcp t;

        (void)state;
        tcp_open(&t);
        if (gone) {
            (void)close(t.peer);
            t.peer = -1;
        } else {
            assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
        }
        RIG_UNTIL(t.loop, ear_heard(&t.ear, 'e'));
        assert_int_equal(t.ear.end, STREAM_CLOSED);
        assert_true(stream_is_heard(t.ear.stream));
        ear_write(&t.ear, SLICE("250 2.0.0 Ok\r\n"));
        assert_int_equal(stream_is_heard(t.ear.stream), !gone);
        assert_int_equal(stream_is_heard(t.ear.stream), !gone); /* and stays so */
        rig_turn(t.loop, 5);
        tcp_close(&t);
    }
}

static void over_ip6(void **state)
{
    struct loop *l = loop_new();
    struct acceptor *a;
    struct ear e = {0};
    struct addr at, local;
    struct buf error;
    int fd, peer = -1;

    (void)state;
    buf_init(&error, 200);
    assert_true(addr_parse(SLICE("::1"), &at));
    fd = acceptor_bind(&at, false, &error);
    buf_clear(&error);
    if (fd < 0) { /* a host without IPv6 says so, and at once */
        at.port = 25;
        e.stream = stream_connect(l, &at, &ear_params, &ear_events, &e);
        RIG_UNTIL(l, ear_heard(&e, 'f'));
        stream_close(&e.stream);
        loop_free(&l);
        return;
    }
    assert_true(acceptor_address(fd, &at));
    a = acceptor_new(l, fd, &tcp_acceptor_events, &peer);
    e.stream = stream_connect(l, &at, &ear_params, &ear_events, &e);
    RIG_UNTIL(l, ear_heard(&e, 'c') && peer >= 0);
    assert_true(stream_local(e.stream, &local));
    assert_int_equal(local.family, ADDR_IP6);
    (void)close(peer);
    acceptor_free(&a);
    stream_close(&e.stream);
    loop_free(&l);
}

static void connect_refused(void **state)
{
    struct loop *l = loop_new();
    struct ear e = {.close_at = 'f'};
    struct addr at = rig_loopback(0);
    struct buf error;
    int fd;

    (void)state;
    buf_init(&error, 200);
    fd = acceptor_bind(&at, false, &error);
    assert_true(fd >= 0 && acceptor_address(fd, &at));
    (void)close(fd); /* now nobody listens there */
    e.stream = stream_connect(l, &at, &ear_params, &ear_events, &e);
    RIG_UNTIL(l, ear_heard(&e, 'f'));
    assert_int_equal(e.connect_reason, REASON_CONNECT_REFUSED);
    assert_string_equal(e.detail, "Connection refused");
    rig_turn(l, 5);
    assert_string_equal(e.trace, "f");
    loop_free(&l);
}

static void connect_impossible(void **state)
{
    struct loop *l = loop_new();
    struct ear e = {0};
    struct addr at = {.family = ADDR_NONE};

    (void)state;
    e.stream = stream_connect(l, &at, &ear_params, &ear_events, &e);
    stream_write(e.stream, SLICE("ignored"));
    RIG_UNTIL(l, ear_heard(&e, 'f'));
    assert_int_equal(e.connect_reason, REASON_CONNECT_FAILED);
    assert_true(e.detail[0] != '\0');
    stream_finish(&e.stream, 1000);
    loop_free(&l);
}

static void closing_while_connecting(void **state)
{
    struct tcp t;
    struct ear e = {0};

    (void)state;
    tcp_open(&t);
    e.stream = stream_connect(t.loop, stream_peer(t.ear.stream), &ear_params, &ear_events, &e);
    stream_close(&e.stream);
    rig_turn(t.loop, 10);
    assert_string_equal(e.trace, "");
    tcp_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_is_an_error),
        cmocka_unit_test(last_words_before_a_reset),
        cmocka_unit_test(whether_a_peer_that_closed_is_there),
        cmocka_unit_test(over_ip6),
        cmocka_unit_test(connect_refused),
        cmocka_unit_test(connect_impossible),
        cmocka_unit_test(closing_while_connecting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
