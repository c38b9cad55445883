/* SPDX-License-Identifier: Apache-2.0 */
/* test_preface - exactly the bytes of a header are read, within a time, without spinning. */
#include "tests/unit/net/net_rig.h"

#include <errno.h>
#include <fcntl.h>

#include "proxy/net/preface.h"

/* A header of `size` bytes, of which at most `at_once` are wanted at a time. */
struct reader {
    struct preface *preface;
    size_t size, at_once, seen;
    char text[64];
    int asked, whole, failed, fd;
    enum preface_end how;
    bool free_at_end;
};

static size_t on_wanted(void *owner)
{
    struct reader *r = owner;
    size_t left = r->size - r->seen;

    r->asked++;
    return left < r->at_once ? left : r->at_once;
}

static void on_bytes(void *owner, const char *bytes, size_t n)
{
    struct reader *r = owner;

    assert_true(n > 0 && n <= r->at_once && n <= r->size - r->seen);
    memcpy(r->text + r->seen, bytes, n);
    r->seen += n;
}

static void on_whole(void *owner, int fd)
{
    struct reader *r = owner;

    r->whole++;
    r->fd = fd;
    if (r->free_at_end)
        preface_free(&r->preface);
}

static void on_failed(void *owner, enum preface_end how)
{
    struct reader *r = owner;

    r->failed++;
    r->how = how;
    if (r->free_at_end)
        preface_free(&r->preface);
}

static const struct preface_events events = {on_wanted, on_bytes, on_whole, on_failed};

static void begin(struct loop *l, struct reader *r, int fd[2], int64_t ms)
{
    rig_pair(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    r->preface = preface_new(l, fd[0], ms, &events, r);
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* With unread bytes in it a socket is closed by a reset. */
static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void what_is_behind_stays_in_the_socket(void **state)
{
    char left[16] = {0};

    (void)state;
    for (size_t at_once = 1; at_once <= 12; at_once++) {
        struct loop *l = loop_new();
        struct reader r = {.size = 9, .at_once = at_once, .free_at_end = at_once % 2 == 0};
        int fd[2];

        begin(l, &r, fd, 5000);
        put(fd[1], "headerXYZEHLO");
        assert_int_equal(r.asked, 0); /* nothing happens inside preface_new() */
        RIG_UNTIL(l, r.whole == 1);
        assert_memory_equal(r.text, "headerXYZ", 9);
        assert_int_equal(r.fd, fd[0]);
        preface_free(&r.preface);
        assert_int_equal(read(r.fd, left, sizeof(left)), 4);
        assert_memory_equal(left, "EHLO", 4);
        assert_int_equal(r.failed, 0);
        (void)close(r.fd);
        (void)close(fd[1]);
        loop_free(&l);
    }
}

static void pieces_come_as_they_like(void **state)
{
    struct loop *l = loop_new();
    struct reader r = {.size = 4, .at_once = 3};
    int fd[2];

    (void)state;
    begin(l, &r, fd, 5000);
    for (const char *c = "abcd"; *c != '\0'; c++) {
        size_t before = r.seen;

        assert_int_equal(r.whole, 0);
        put(fd[1], (const char[]){*c, '\0'});
        RIG_UNTIL(l, r.seen == before + 1);
    }
    RIG_UNTIL(l, r.whole == 1);
    preface_free(&r.preface);
    preface_free(&r.preface); /* NULL is fine */
    (void)close(r.fd);
    (void)close(fd[1]);
    loop_free(&l);
}

/* A half header and then silence: not one turn of the loop is spent on it. */
static void waiting_costs_nothing(void **state)
{
    struct loop *l = loop_new();
    struct reader r = {.size = 8, .at_once = 8};
    int fd[2], asked;

    (void)state;
    begin(l, &r, fd, 200);
    put(fd[1], "half");
    RIG_UNTIL(l, r.seen == 4);
    asked = r.asked;
    rig_turn(l, 60);
    assert_int_equal(r.asked, asked);
    RIG_UNTIL(l, r.failed == 1);
    assert_int_equal(r.how, PREFACE_LATE);
    assert_true(is_closed(fd[1]));
    rig_turn(l, 20);
    assert_int_equal(r.failed + r.whole, 1);
    preface_free(&r.preface);
    (void)close(fd[1]);
    loop_free(&l);
}

static void the_peer_closes_or_resets(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct loop *l = loop_new();
        struct reader r = {.size = 8, .at_once = 8, .free_at_end = reset != 0};
        int fd[2];

        begin(l, &r, fd, 5000);
        put(fd[0], "unread"); /* closing over it is a reset */
        if (!reset)
            assert_int_equal(read(fd[1], (char[8]){0}, 8), 6);
        put(fd[1], "half");
        (void)close(fd[1]);
        RIG_UNTIL(l, r.failed == 1);
        assert_int_equal(r.how, reset ? PREFACE_ERROR : PREFACE_CLOSED);
        assert_int_equal(r.whole, 0);
        preface_free(&r.preface);
        loop_free(&l);
    }
}

static void may_be_freed_at_any_time(void **state)
{
    struct loop *l = loop_new();
    struct reader r = {.size = 8, .at_once = 8};
    int fd[2];

    (void)state;
    begin(l, &r, fd, 5000);
    put(fd[1], "whole at once");
    preface_free(&r.preface);
    assert_true(is_closed(fd[1]));
    rig_turn(l, 20);
    assert_int_equal(r.asked + r.whole + r.failed, 0);
    (void)close(fd[1]);
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_behind_stays_in_the_socket),
        cmocka_unit_test(pieces_come_as_they_like),
        cmocka_unit_test(waiting_costs_nothing),
        cmocka_unit_test(the_peer_closes_or_resets),
        cmocka_unit_test(may_be_freed_at_any_time),
    };

    return cmocka_run_group_tests_name("preface", tests, NULL, NULL);
}
