/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream - a stream in clear: bytes, back-pressure, deadlines, ends. */
#include "tests/unit/net/stream_ear.h"

#include <fcntl.h>
#include <stdlib.h>

struct scene {
    struct loop *loop;
    int peer; /* non-blocking */
    struct ear ear;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    int fd[2];

    assert_non_null(s);
    s->loop = loop_new();
    rig_pair(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
    s->peer = fd[1];
    ear_adopt(&s->ear, s->loop, fd[0]);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    ear_clear(&s->ear);
    if (s->peer >= 0)
        (void)close(s->peer);
    loop_free(&s->loop);
    free(s);
    return 0;
}

static void say(struct scene *s, const char *text)
{
    assert_int_equal(write(s->peer, text, strlen(text)), strlen(text));
}

static void hang_up(struct scene *s)
{
    (void)close(s->peer);
    s->peer = -1;
}

static void bytes_go_both_ways(void **state)
{
    struct scene *s = *state;
    char in[64] = "";

    say(s, "220 hello\r\n");
    RIG_UNTIL(s->loop, s->ear.got.n == 11);
    ear_write(&s->ear, SLICE("EHLO "));
    ear_write(&s->ear, SLICE("me\r\n"));
    assert_int_equal(stream_unsent(s->ear.stream), 9);
    rig_turn(s->loop, 5);
    assert_int_equal(stream_unsent(s->ear.stream), 0);
    assert_int_equal(read(s->peer, in, sizeof(in)), 9);
    assert_string_equal(in, "EHLO me\r\n");
    assert_string_equal(s->ear.trace, "r");
    assert_false(stream_is_tls(s->ear.stream));
    assert_int_equal(stream_memory(s->ear.stream), 0);
}

/* Write as much as the socket takes; returns it. */
static size_t pour(struct scene *s, size_t most)
{
    static char block[4096];
    size_t all = 0;
    ssize_t n;

    memset(block, 'x', sizeof(block));
    while (all < most && (n = write(s->peer, block, sizeof(block))) > 0)
        all += (size_t)n;
    return all;
}

static void reading_stops_when_nobody_consumes(void **state)
{
    struct scene *s = *state;
    size_t sent;

    s->ear.keep = true;
    sent = pour(s, 150000);
    assert_true(sent > 50000);
    rig_turn(s->loop, 30);
    assert_int_equal(stream_unread(s->ear.stream), ear_params.read_high);
    assert_int_equal(stream_peek(s->ear.stream).n, 16384);
    s->ear.keep = false;
    ear_take(&s->ear);
    RIG_UNTIL(s->loop, s->ear.got.n == sent);
    assert_true(s->ear.most_unread <= ear_params.read_high);
}

static void writing_to_a_peer_that_does_not_read(void **state)
{
    struct scene *s = *state;
    static char big[1024 * 1024];
    static char in[65536];
    size_t got = 0, i = 0;
    ssize_t n;

    memset(big, 'y', sizeof(big));
    ear_write(&s->ear, slice_of(big, sizeof(big)));
    rig_turn(s->loop, 20);
    assert_true(stream_unsent(s->ear.stream) > sizeof(big) / 2);
    assert_false(ear_heard(&s->ear, 'd'));
    while (got < sizeof(big) && i++ < 10000) {
        while ((n = read(s->peer, in, sizeof(in))) > 0)
            got += (size_t)n;
        rig_turn(s->loop, 1);
    }
    assert_int_equal(got, sizeof(big));
    assert_string_equal(s->ear.trace, "d"); /* once */
    assert_int_equal(stream_unsent(s->ear.stream), 0);
}

/* C-OUT-10: a peer that only writes cannot keep the deadline from firing; it fires once. */
static void traffic_does_not_move_the_deadline(void **state)
{
    struct scene *s = *state;
    mono_ms start = clock_mono();

    stream_deadline(s->ear.stream, 60);
    while (!ear_heard(&s->ear, 'D') && clock_mono() - start < 5000) {
        say(s, "x");
        rig_turn(s->loop, 3);
    }
    assert_true(clock_mono() - start >= 60 && clock_mono() - start < 1000);
    rig_turn(s->loop, 100);
    assert_string_equal(s->ear.trace, "rD");
    stream_deadline(s->ear.stream, 10);
    stream_deadline(s->ear.stream, -1);
    rig_turn(s->loop, 30);
    assert_string_equal(s->ear.trace, "rD");
}

static void paused(void **state)
{
    struct scene *s = *state;

    stream_pause(s->ear.stream, true);
    rig_turn(s->loop, 5);
    say(s, "later");
    rig_turn(s->loop, 20);
    assert_string_equal(s->ear.trace, "");
    assert_int_equal(stream_unread(s->ear.stream), 0); /* it stays with the kernel */
    stream_pause(s->ear.stream, false);
    RIG_UNTIL(s->loop, s->ear.got.n == 5);
    s->ear.keep = true;
    say(s, "kept");
    RIG_UNTIL(s->loop, stream_unread(s->ear.stream) == 4);
    s->ear.trace[0] = '\0';
    stream_pause(s->ear.stream, true);
    rig_turn(s->loop, 5);
    stream_pause(s->ear.stream, false); /* what is unread is told of again */
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'r'));
}

static void the_end_comes_after_the_last_byte(void **state)
{
    struct scene *s = *state;

    s->ear.keep = true;
    say(s, "bye");
    hang_up(s);
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'e'));
    assert_string_equal(s->ear.trace, "re");
    assert_int_equal(s->ear.end, STREAM_CLOSED);
    assert_int_equal(stream_unread(s->ear.stream), 3); /* stays readable */
    assert_int_equal(stream_end_reason(s->ear.stream), REASON_LOST);
    ear_take(&s->ear);
    rig_turn(s->loop, 10);
    assert_string_equal(s->ear.trace, "re");
}

/* An end that lies behind more bytes than read_high waits until they are consumed. */
static void the_end_waits_for_room(void **state)
{
    struct scene *s = *state;
    size_t sent = pour(s, 100000);

    s->ear.keep = true;
    hang_up(s);
    rig_turn(s->loop, 20);
    assert_string_equal(s->ear.trace, "r");
    s->ear.keep = false;
    ear_take(&s->ear);
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'e'));
    assert_int_equal(s->ear.got.n, sent);
}

static void half_closed_peer_still_hears_us(void **state)
{
    struct scene *s = *state;
    char in[16] = "";

    say(s, "QUIT\r\n");
    assert_int_equal(shutdown(s->peer, SHUT_WR), 0);
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'e'));
    ear_write(&s->ear, SLICE("221 bye\r\n"));
    rig_turn(s->loop, 5);
    assert_int_equal(read(s->peer, in, sizeof(in)), 9);
    assert_string_equal(in, "221 bye\r\n");
}

static void closing_inside_readable(void **state)
{
    struct scene *s = *state;

    s->ear.close_at = 'r';
    say(s, "x");
    hang_up(s);
    rig_turn(s->loop, 20);
    assert_string_equal(s->ear.trace, "r"); /* the end is not told any more */
    assert_null(s->ear.stream);
}

static void closing_inside_deadline(void **state)
{
    struct scene *s = *state;

    s->ear.close_at = 'D';
    stream_deadline(s->ear.stream, 0);
    RIG_UNTIL(s->loop, s->ear.stream == NULL);
    rig_turn(s->loop, 5);
}

static void close_gives_the_kernel_what_it_takes(void **state)
{
    struct scene *s = *state;
    char in[16] = "";

    ear_write(&s->ear, SLICE("last words"));
    stream_close(&s->ear.stream);
    assert_int_equal(read(s->peer, in, sizeof(in)), 10);
    assert_int_equal(read(s->peer, in, sizeof(in)), 0);
    stream_close(&s->ear.stream); /* NULL is fine */
}

static void finish_sends_everything(void **state)
{
    struct scene *s = *state;
    static char big[600000], in[65536];
    mono_ms start = clock_mono();
    size_t got = 0;
    ssize_t n = -1;

    memset(big, 'z', sizeof(big));
    say(s, "never read");
    ear_write(&s->ear, slice_of(big, sizeof(big)));
    stream_finish(&s->ear.stream, 5000);
    assert_null(s->ear.stream);
    for (int i = 0; i < 5000 && n != 0; i++) {
        while ((n = read(s->peer, in, sizeof(in))) > 0)
            got += (size_t)n;
        rig_turn(s->loop, 1);
    }
    assert_int_equal(got, sizeof(big));
    assert_int_equal(n, 0); /* FIN, no reset */
    assert_true(clock_mono() - start < 3000);
    stream_finish(&s->ear.stream, 1); /* NULL is fine */
}

static void finish_gives_up(void **state)
{
    struct scene *s = *state;
    static char big[4 * 1024 * 1024], in[65536];
    ssize_t n;

    ear_write(&s->ear, slice_of(big, sizeof(big)));
    stream_finish(&s->ear.stream, 30);
    rig_turn(s->loop, 80);
    while ((n = read(s->peer, in, sizeof(in))) > 0)
        continue;
    assert_int_equal(n, 0); /* closed, with less than all */
}

static void loop_free_ends_what_finishes(void **state)
{
    struct scene *s = *state;

    stream_finish(&s->ear.stream, 60000);
    rig_turn(s->loop, 5); /* teardown frees the loop: no leak, no late event */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_go_both_ways),
        T(reading_stops_when_nobody_consumes),
        T(writing_to_a_peer_that_does_not_read),
        T(traffic_does_not_move_the_deadline),
        T(paused),
        T(the_end_comes_after_the_last_byte),
        T(the_end_waits_for_room),
        T(half_closed_peer_still_hears_us),
        T(closing_inside_readable),
        T(closing_inside_deadline),
        T(close_gives_the_kernel_what_it_takes),
        T(finish_sends_everything),
        T(finish_gives_up),
        T(loop_free_ends_what_finishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
