/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_memory - what streams hold, what they share, and how their bytes are packed. */
#include "tests/unit/net/tls_peer.h"

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <time.h>

#include "proxy/net/acceptor.h"
#include "proxy/net/stream_internal.h"

/* ---- idle ---- */

#define IDLE 200

static void an_idle_stream_is_small(void **state)
{
    static struct ear ears[IDLE];
    struct loop *l = loop_new();
    int fd[IDLE][2];
    size_t before, each;

    (void)state;
    for (int i = 0; i < IDLE; i++) {
        rig_pair(fd[i]);
        assert_int_equal(fcntl(fd[i][0], F_SETFL, O_NONBLOCK), 0);
    }
    rig_turn(l, 1);
    before = mallinfo2().uordblks;
    for (int i = 0; i < IDLE; i++) {
        ear_adopt(&ears[i], l, fd[i][0]);
        ears[i].got.cap = 0;
        stream_deadline(ears[i].stream, 60000);
        ear_write(&ears[i], SLICE("220 hello\r\n"));
    }
    for (int i = 0; i < IDLE; i++)
        assert_int_equal(write(fd[i][1], "EHLO me\r\n", 9), 9);
    for (int i = 0; i < IDLE; i++)
        ears[i].keep = true;
    RIG_UNTIL(l, stream_unread(ears[IDLE - 1].stream) == 9);
    rig_turn(l, 5);
    for (int i = 0; i < IDLE; i++) {
        assert_int_equal(stream_unread(ears[i].stream), 9);
        assert_in_range(stream_memory(ears[i].stream), 9, 512);
        stream_consume(ears[i].stream, 9);
        assert_int_equal(stream_memory(ears[i].stream), 0);
    }
    rig_turn(l, 5);
    each = (mallinfo2().uordblks - before) / IDLE;
    print_message("an idle stream: %zu bytes\n", each);
    assert_true(each < 1536);
    for (int i = 0; i < IDLE; i++) {
        (void)close(fd[i][1]);
        ear_clear(&ears[i]);
    }
    loop_free(&l);
}

/* ---- the memory that all streams of a loop read into ---- */

#define CROWD 8

struct crowd {
    struct loop *loop;
    struct ear ears[CROWD];
    int peers[CROWD];
};

static void crowd_open(struct crowd *c)
{
    memset(c, 0, sizeof(*c));
    c->loop = loop_new();
    for (int i = 0; i < CROWD; i++) {
        int fd[2];

        rig_pair(fd);
        assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
        c->peers[i] = fd[1];
        ear_adopt(&c->ears[i], c->loop, fd[0]);
    }
    rig_turn(c->loop, 1);
}

static void crowd_close(struct crowd *c)
{
    for (int i = 0; i < CROWD; i++) {
        (void)close(c->peers[i]);
        ear_clear(&c->ears[i]);
    }
    loop_free(&c->loop);
}

static void crowd_say(struct crowd *c, int round)
{
    char line[16];

    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(line, sizeof(line), "<%d by %d>", round, i);
        assert_int_equal(write(c->peers[i], line, strlen(line)), strlen(line));
    }
}

/* Part of what came is left unread, and is still there when all others have read into the same memory. */
static void what_is_unread_stays_whole(void **state)
{
    struct crowd c;

    (void)state;
    crowd_open(&c);
    for (int i = 0; i < CROWD; i++)
        c.ears[i].keep = true;
    for (int round = 1; round <= 5; round++) {
        crowd_say(&c, round);
        RIG_UNTIL(c.loop, stream_unread(c.ears[CROWD - 1].stream) >= (size_t)round * 8 - 3);
        rig_turn(c.loop, 2);
        if (round == 1)
            for (int i = 0; i < CROWD; i++)
                stream_consume(c.ears[i].stream, 3);
    }
    for (int i = 0; i < CROWD; i++) {
        char all[64];

        (void)snprintf(all, sizeof(all), "by %d><2 by %d><3 by %d><4 by %d><5 by %d>", i, i, i, i,
                       i);
        assert_true(slice_eq(stream_peek(c.ears[i].stream), slice_str(all)));
    }
    crowd_close(&c);
}

static struct crowd *listening;

/* Inside `readable`, with bytes unread: the stream goes, or is left to itself. */
static void leave_early(struct ear *e, char event)
{
    assert_int_equal(event, 'r');
    assert_int_equal(stream_unread(e->stream), 8);
    if (e == &listening->ears[1])
        stream_close(&e->stream);
    else if (e == &listening->ears[2])
        stream_finish(&e->stream, 1000);
    else if (e == &listening->ears[3])
        stream_pause(e->stream, true);
}

static void a_stream_may_go_with_bytes_unread(void **state)
{
    struct crowd c;

    (void)state;
    crowd_open(&c);
    listening = &c;
    for (int i = 0; i < CROWD; i++) {
        c.ears[i].keep = true;
        c.ears[i].and_then = leave_early;
    }
    crowd_say(&c, 1);
    rig_turn(c.loop, 10);
    for (int i = 0; i < CROWD; i++) {
        if (i == 1 || i == 2)
            assert_null(c.ears[i].stream);
        else
            assert_int_equal(stream_peek(c.ears[i].stream).p[6], '0' + i);
    }
    crowd_close(&c);
}

/* A line that comes in pieces, longer than what is read at once, between others. */
static void much_that_stays_unread(void **state)
{
    static char block[30000];
    struct crowd c;

    (void)state;
    crowd_open(&c);
    for (int i = 0; i < CROWD; i++)
        c.ears[i].keep = true;
    for (size_t at = 0; at < sizeof(block); at += 1000) {
        memset(block + at, 'a' + (int)(at / 1000) % 26, 1000);
        for (int i = 0; i < CROWD; i++)
            assert_int_equal(write(c.peers[i], block + at, 1000), 1000);
        RIG_UNTIL(c.loop, stream_unread(c.ears[CROWD - 1].stream) == at + 1000);
        rig_turn(c.loop, 1);
    }
    for (int i = 0; i < CROWD; i++) {
        c.ears[i].keep = false;
        ear_take(&c.ears[i]);
        assert_int_equal(c.ears[i].got.n, sizeof(block));
        assert_memory_equal(c.ears[i].got.p, block, sizeof(block));
    }
    crowd_close(&c);
}

/* ---- fairness ---- */

static char order[64];

static void note_order(struct ear *e, char event)
{
    size_t n = strlen(order);

    (void)event;
    if (n + 1 < sizeof(order))
        order[n] = (char)('0' + (e - listening->ears));
}

/* A stream with very much to read takes its share of a turn, and the others theirs before it comes again. */
static void a_busy_stream_waits_for_the_others(void **state)
{
    static char much[120000];
    struct crowd c;

    (void)state;
    crowd_open(&c);
    listening = &c;
    for (int i = 0; i < CROWD; i++)
        c.ears[i].and_then = note_order;
    memset(order, 0, sizeof(order));
    assert_int_equal(send(c.peers[2], much, sizeof(much), MSG_DONTWAIT), sizeof(much));
    for (int i = 0; i < CROWD; i++)
        if (i != 2)
            assert_int_equal(write(c.peers[i], "x", 1), 1);
    RIG_UNTIL(c.loop, c.ears[2].got.n == sizeof(much));
    assert_true(strlen(order) > CROWD); /* the busy one came more than once */
    for (int i = 0; i < CROWD; i++)
        assert_non_null(memchr(order, '0' + i, CROWD));
    crowd_close(&c);
}

/* ---- sockets ---- */

static void note_fd(void *owner, int fd, const struct addr *peer)
{
    (void)peer;
    *(int *)owner = fd;
}

static const struct acceptor_events note_events = {note_fd, NULL};

struct wire {
    struct loop *loop;
    struct acceptor *acceptor;
    struct ear client;
    int accepted;
};

static void wire_open(struct wire *w)
{
    struct addr at = rig_loopback(0);
    struct buf error;
    int fd;

    *w = (struct wire){.loop = loop_new(), .accepted = -1};
    buf_init(&error, 200);
    buf_init(&w->client.got, 1000);
    fd = acceptor_bind(&at, false, &error);
    assert_true(fd >= 0 && acceptor_address(fd, &at));
    w->acceptor = acceptor_new(w->loop, fd, &note_events, &w->accepted);
    w->client.stream = stream_connect(w->loop, &at, &ear_params, &ear_events, &w->client);
    RIG_UNTIL(w->loop, w->accepted >= 0 && ear_heard(&w->client, 'c'));
}

static void wire_close(struct wire *w)
{
    ear_clear(&w->client);
    acceptor_free(&w->acceptor);
    loop_free(&w->loop);
}

/* The good-bye comes with the FIN, and both at once: no segment waits in the kernel for more. */
static void the_last_words_do_not_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct ear server = {0};
        struct wire w;
        mono_ms start;

        wire_open(&w);
        ear_adopt(&server, w.loop, w.accepted);
        rig_turn(w.loop, 1);
        start = clock_mono();
        stream_write(server.stream, SLICE("221 bye\r\n"));
        stream_finish(&server.stream, 5000);
        RIG_UNTIL(w.loop, ear_heard(&w.client, 'e'));
        assert_true(clock_mono() - start < 100); /* a corked segment waits for 200 ms */
        assert_string_equal(w.client.trace, "cre");
        wire_close(&w);
    }
}

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t n = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &n), 0);
    return value;
}

/* The kernel hands them down from the listening socket, so no connection costs a call. */
static void accepted_sockets_have_their_options(void **state)
{
    struct wire w;

    (void)state;
    wire_open(&w);
    assert_int_not_equal(option(w.accepted, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_not_equal(option(w.accepted, SOL_SOCKET, SO_KEEPALIVE), 0);
    (void)close(w.accepted);
    wire_close(&w);
}

/* ---- records ---- */

#define LINES 40
#define LINE 1000
#define RECORD 16384

static int record_sizes[16], record_count;

/* SSL_read() gives what is in one record, at most. */
static void note_records(struct tls_peer *p)
{
    static char block[65536];
    int n;

    if (!peer_shake_hands(p))
        return;
    while (record_count < 16 && (n = SSL_read(p->ssl, block, sizeof(block))) > 0) {
        for (int i = 0; i < n; i++)
            if (block[i] != (char)('a' + (int)((p->got + (size_t)i) / LINE) % 26))
                return;
        p->got += (size_t)n;
        record_sizes[record_count++] = n;
    }
}

static void expect_records(const int *sizes, int count)
{
    assert_int_equal(record_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(record_sizes[i], sizes[i]);
}

/* Goal of bulk: however small the pieces that are written in one turn, records are full but the last. */
static void records_are_filled(void **state)
{
    static const int small[] = {RECORD, RECORD, LINES * LINE - 2 * RECORD};
    static char all[LINES * LINE];

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)('a' + (int)(i / LINE) % 26);
    for (size_t piece = 1; piece <= sizeof(all); piece = piece * 7 + 3) {
        struct shake s;

        shake_init(&s, note_records);
        record_count = 0;
        shake_run(&s);
        for (size_t at = 0; at < sizeof(all); at += piece)
            ear_write(&s.ear, slice_first(slice_of(all + at, sizeof(all) - at), piece));
        assert_int_equal(s.ear.trace[1], '\0'); /* nothing is told inside a call */
        stream_finish(&s.ear.stream, 5000);
        rig_turn(s.loop, 30);
        shake_end(&s);
        assert_int_equal(s.peer.got, sizeof(all));
        expect_records(small, 3);
    }
}

/* What a writer gives at once is bounded by the writer; what of it is in records, by us. */
static void unsent_bytes_are_counted(void **state)
{
    static char much[200000];
    struct shake s;
    size_t unsent;

    (void)state;
    memset(much, 'a', sizeof(much));
    shake_init(&s, note_records);
    record_count = 0;
    shake_run(&s);
    ear_write(&s.ear, slice_of(much, sizeof(much)));
    unsent = stream_unsent(s.ear.stream);
    assert_in_range(unsent, sizeof(much), sizeof(much) + 5 * 64);
    assert_in_range(stream_memory(s.ear.stream), unsent, unsent + 65536);
    shake_end(&s);
}

/* ---- what was borrowed is given back in the same turn, or the loop ends the process ---- */

static atomic_bool may_read;

static void reads_late(struct tls_peer *p)
{
    static char block[16384];
    struct timespec pause = {.tv_nsec = 1000000};
    int n;

    if (!peer_shake_hands(p))
        return;
    while (!atomic_load(&may_read))
        (void)nanosleep(&pause, NULL);
    while ((n = SSL_read(p->ssl, block, sizeof(block))) > 0)
        p->got += (size_t)n;
}

static void ask_whether_heard(void *owner)
{
    struct ear *e = owner;

    assert_true(stream_is_heard(e->stream));
}

static void asking_sends_what_waited(void **state)
{
    static char much[600000];
    struct timespec pause = {.tv_nsec = 300000000};
    struct shake s;

    (void)state;
    atomic_store(&may_read, false);
    shake_init(&s, reads_late);
    shake_run(&s);
    ear_write(&s.ear, slice_of(much, sizeof(much)));
    rig_turn(s.loop, 20);
    assert_true(s.ear.stream->out.n > 0);
    atomic_store(&may_read, true);
    (void)nanosleep(&pause, NULL); /* the peer makes room before the loop hears of it */
    loop_defer(s.loop, ask_whether_heard, &s.ear);
    rig_turn(s.loop, 50);
    stream_finish(&s.ear.stream, 5000);
    rig_turn(s.loop, 50);
    shake_end(&s);
    assert_int_equal(s.peer.got, sizeof(much));
}

static void write_much(void *owner)
{
    static char much[20000];
    struct ear *e = owner;

    stream_write(e->stream, slice_of(much, sizeof(much)));
}

static void a_write_that_fails_ends_the_stream(void **state)
{
    struct shake s;

    (void)state;
    atomic_store(&may_read, true);
    shake_init(&s, reads_late);
    shake_run(&s);
    (void)SSL_shutdown(s.ear.stream->tls->ssl); /* behind it the library writes no more */
    rig_turn(s.loop, 5);
    loop_defer(s.loop, write_much, &s.ear);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.end, STREAM_TLS_ERROR);
    shake_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_stream_is_small),
        cmocka_unit_test(what_is_unread_stays_whole),
        cmocka_unit_test(a_stream_may_go_with_bytes_unread),
        cmocka_unit_test(much_that_stays_unread),
        cmocka_unit_test(a_busy_stream_waits_for_the_others),
        cmocka_unit_test(the_last_words_do_not_wait),
        cmocka_unit_test(accepted_sockets_have_their_options),
        cmocka_unit_test(records_are_filled),
        cmocka_unit_test(unsent_bytes_are_counted),
        cmocka_unit_test(asking_sends_what_waited),
        cmocka_unit_test(a_write_that_fails_ends_the_stream),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
