/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_tls - a stream under TLS: bytes, back-pressure, and every way that it can end (C-TLS-09). */
#include "tests/unit/net/tls_peer.h"

#include <openssl/bio.h>

#include "proxy/net/tls_internal.h"

#define BULK (1024 * 1024)

/* ---- bulk, both ways ---- */

static void echo_all(struct tls_peer *p)
{
    static char block[16384];
    int n;

    if (!peer_shake_hands(p))
        return;
    while (p->got < BULK && (n = SSL_read(p->ssl, block, sizeof(block))) > 0) {
        p->got += (size_t)n;
        if (SSL_write(p->ssl, block, n) != n)
            return;
    }
    (void)SSL_shutdown(p->ssl);
}

static void fill(char *bytes, size_t n)
{
    uint32_t x = 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (char)(x >> 24);
    }
}

static void a_megabyte_there_and_back(void **state)
{
    static char bulk[BULK];

    (void)state;
    fill(bulk, sizeof(bulk));
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct shake s;

        shake_init(&s, echo_all);
        s.peer.version = version;
        shake_run(&s);
        for (size_t at = 0; at < BULK; at += 65536)
            ear_write(&s.ear, slice_of(bulk + at, 65536));
        RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
        assert_int_equal(s.ear.end, STREAM_CLOSED);
        assert_int_equal(s.ear.got.n, BULK);
        assert_memory_equal(s.ear.got.p, bulk, BULK);
        assert_true(ear_heard(&s.ear, 'd'));
        assert_true(s.ear.most_unread <= ear_params.read_high);
        shake_end(&s);
        assert_int_equal(s.peer.got, BULK);
    }
}

static void pour(struct tls_peer *p)
{
    static const char block[1024] =
        ""; /* many small records: some always wait in the wire buffer */

    if (!peer_shake_hands(p))
        return;
    while (p->got < BULK && SSL_write(p->ssl, block, sizeof(block)) == sizeof(block))
        p->got += sizeof(block);
}

/* Records that nobody consumes stay with the peer: memory is bounded at every level. */
static void back_pressure_reaches_the_peer(void **state)
{
    struct shake s;
    size_t most = 0;

    (void)state;
    shake_init(&s, pour);
    s.ear.keep = true;
    shake_run(&s);
    for (int i = 0; i < 50; i++) {
        rig_turn(s.loop, 2);
        if (stream_memory(s.ear.stream) > most)
            most = stream_memory(s.ear.stream);
    }
    assert_int_equal(stream_unread(s.ear.stream), ear_params.read_high);
    assert_true(most <= ear_params.read_high + TLS_WIRE_IN_HIGH);
    stream_pause(s.ear.stream, true); /* paused: not even what is here already is opened */
    ear_take(&s.ear);
    rig_turn(s.loop, 20);
    assert_int_equal(stream_unread(s.ear.stream), 0);
    assert_int_equal(s.ear.got.n, ear_params.read_high);
    stream_pause(s.ear.stream, false);
    s.ear.keep = false;
    ear_take(&s.ear);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.got.n, BULK);
    assert_int_equal(s.ear.end, STREAM_CUT); /* the peer closed without close_notify */
    shake_end(&s);
}

static void shake_and_sleep(struct tls_peer *p)
{
    char in[16];

    if (!peer_shake_hands(p))
        return;
    while (recv(p->fd, in, 0, MSG_PEEK) == 0 && usleep(5000) == 0) {
        if (recv(p->fd, in, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            return; /* hung up */
        if (p->kind == 'q' && recv(p->fd, in, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            return;
    }
}

/* C-OUT-10: a peer that never reads: what is unsent is counted, the wire is bounded, the deadline comes. */
static void a_peer_that_never_reads(void **state)
{
    static char bulk[BULK];
    struct shake s;

    (void)state;
    shake_init(&s, shake_and_sleep);
    s.peer.kind = 'q';
    shake_run(&s);
    /* The peer sleeps only until it has something to read, and then closes without reading it. */
    stream_deadline(s.ear.stream, 5000);
    ear_write(&s.ear, slice_of(bulk, sizeof(bulk)));
    rig_turn(s.loop, 2);
    assert_true(stream_unsent(s.ear.stream) > BULK / 2 || ear_heard(&s.ear, 'e'));
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.end, STREAM_ERROR);
    shake_end(&s);
}

/* ---- what comes without data ---- */

static void tickets_and_keys(struct tls_peer *p)
{
    char in[16];

    if (!peer_shake_hands(p))
        return;
    for (int i = 0; i < 3; i++) { /* empty and useless, but it wakes the other side */
        (void)SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED);
        (void)SSL_write(p->ssl, "", 0);
        usleep(20000);
    }
    (void)SSL_read(p->ssl, in, sizeof(in));
}

/* C-OUT-10: session tickets and key updates wake the socket without data: no event, and the deadline stays. */
static void records_without_data(void **state)
{
    struct shake s;
    mono_ms start;

    (void)state;
    shake_init(&s, tickets_and_keys);
    s.peer.version = TLS1_3_VERSION;
    shake_run(&s);
    start = clock_mono();
    stream_deadline(s.ear.stream, 150);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'D'));
    assert_true(clock_mono() - start >= 150 && clock_mono() - start < 1000);
    assert_string_equal(s.ear.trace, "TD");
    shake_end(&s);
}

static void flood_with_key_updates(struct tls_peer *p)
{
    char in[16];

    if (!peer_shake_hands(p))
        return;
    for (int i = 0; i < 1000; i++)
        if (SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_write(p->ssl, "", 0) < 0)
            break;
    (void)SSL_read(p->ssl, in, sizeof(in));
}

static void a_flood_of_key_updates_ends_it(void **state)
{
    struct shake s;

    (void)state;
    shake_init(&s, flood_with_key_updates);
    s.peer.version = TLS1_3_VERSION;
    shake_run(&s);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.end, STREAM_TLS_ERROR);
    assert_non_null(strstr(s.ear.detail, "key updates"));
    shake_end(&s);
}

/* ---- ends ---- */

static void clear_text_after_the_handshake(struct tls_peer *p)
{
    char in[64];

    if (!peer_shake_hands(p))
        return;
    (void)SSL_write(p->ssl, "250 ok\r\n", 8);
    (void)send(p->fd, "250 forged\r\n", 12, MSG_NOSIGNAL);
    while (recv(p->fd, in, sizeof(in), 0) > 0)
        continue;
}

static void clear_text_inside_tls(void **state)
{
    struct shake s;

    (void)state;
    shake_init(&s, clear_text_after_the_handshake);
    shake_run(&s);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.end, STREAM_TLS_ERROR);
    assert_int_equal(s.ear.got.n, 8); /* nothing of the forged line */
    assert_string_equal(s.ear.trace, "Tre");
    shake_end(&s);
}

static void read_to_the_end(struct tls_peer *p)
{
    static char block[16384];
    int n;

    if (!peer_shake_hands(p))
        return;
    usleep(p->kind == 's' ? 500000 : 20000); /* slow: the sender must meet a full socket */
    while ((n = SSL_read(p->ssl, block, sizeof(block))) > 0)
        p->got += (size_t)n;
    p->accepted = SSL_get_error(p->ssl, n); /* ZERO_RETURN: close_notify */
}

static void finish_says_good_bye(void **state)
{
    static char bulk[BULK];
    struct shake s;

    (void)state;
    shake_init(&s, read_to_the_end);
    shake_run(&s);
    ear_write(&s.ear, slice_of(bulk, sizeof(bulk)));
    stream_finish(&s.ear.stream, 8000);
    rig_turn(s.loop, 300);
    shake_end(&s);
    assert_int_equal(s.peer.got, BULK);
    assert_int_equal(s.peer.accepted, SSL_ERROR_ZERO_RETURN);
}

static void close_says_good_bye_if_all_is_sent(void **state)
{
    static char bulk[4 * BULK];

    (void)state;
    for (int all = 0; all < 2; all++) {
        struct shake s;

        shake_init(&s, read_to_the_end);
        s.peer.kind = all ? 'f' : 's';
        shake_run(&s);
        ear_write(&s.ear, all ? SLICE("QUIT\r\n") : slice_of(bulk, sizeof(bulk)));
        stream_close(&s.ear.stream);
        shake_end(&s);
        if (all)
            assert_int_equal(s.peer.accepted, SSL_ERROR_ZERO_RETURN);
        else /* the message was cut, and the peer must see it */
            assert_int_not_equal(s.peer.accepted, SSL_ERROR_ZERO_RETURN);
    }
}

static void greet(struct tls_peer *p)
{
    char in[64];

    if (!peer_shake_hands(p))
        return;
    (void)SSL_write(p->ssl, "250 hi\r\n", 8);
    (void)SSL_read(p->ssl, in, sizeof(in));
}

static void closing_inside_each_event(void **state)
{
    (void)state;
    for (const char *at = "Tr"; *at != '\0'; at++) {
        struct shake s;

        shake_init(&s, greet);
        s.ear.close_at = *at;
        shake_start(&s);
        RIG_UNTIL(s.loop, s.ear.stream == NULL);
        rig_turn(s.loop, 5);
        shake_end(&s);
    }
}

static void finish_inside(struct ear *e, char event)
{
    if (event == 'T')
        stream_finish(&e->stream, 500);
}

static void finishing_inside_tls_done(void **state)
{
    struct shake s;

    (void)state;
    shake_init(&s, greet);
    s.ear.and_then = finish_inside;
    shake_start(&s);
    RIG_UNTIL(s.loop, s.ear.stream == NULL);
    rig_turn(s.loop, 50);
    assert_string_equal(s.ear.trace, "T");
    shake_end(&s);
}

static void closing_in_the_middle_of_the_handshake(void **state)
{
    (void)state;
    for (int ms = 0; ms < 6; ms++) {
        struct shake s;

        shake_init(&s, greet);
        shake_start(&s);
        if (ms > 0)
            rig_turn(s.loop, ms / 2);
        if (ms % 2 == 0)
            stream_close(&s.ear.stream);
        else
            stream_finish(&s.ear.stream, 20);
        shake_end(&s);
    }
}

static void never_answer(struct tls_peer *p)
{
    char in[4096];

    while (recv(p->fd, in, sizeof(in), 0) > 0)
        continue;
}

static void a_stalled_handshake_meets_the_deadline(void **state)
{
    struct shake s;

    (void)state;
    shake_init(&s, never_answer);
    shake_start(&s);
    stream_deadline(s.ear.stream, 50);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'D'));
    assert_string_equal(s.ear.trace, "D");
    shake_end(&s);
}

/* ---- C-TLS-09: closed, reset, garbage or close_notify after any number of the peer's bytes ---- */

/* Moves what the server wrote to the socket, up to cut_at; false when there is an end to it. */
static bool forward(struct tls_peer *p, BIO *out)
{
    char block[2048];
    int n;

    while ((n = BIO_read(out, block, sizeof(block))) > 0) {
        size_t left = p->cut_at - p->got, m = (size_t)n < left ? (size_t)n : left;

        if (m > 0 && send(p->fd, block, m, MSG_NOSIGNAL) != (ssize_t)m)
            return false;
        p->got += m;
        if (p->got == p->cut_at)
            return false;
    }
    return true;
}

static bool take_in(struct tls_peer *p, BIO *in)
{
    char block[2048];
    ssize_t n = recv(p->fd, block, sizeof(block), 0);

    return n > 0 && BIO_write(in, block, (int)n) == (int)n;
}

static void serve_until_cut(struct tls_peer *p)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char word[64];
    bool more = true;

    (void)BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(p->ssl, in, out);
    SSL_set_accept_state(p->ssl);
    while (more && SSL_do_handshake(p->ssl) != 1)
        more = forward(p, out) && take_in(p, in);
    if (more) {
        (void)SSL_write(p->ssl, "250 hi\r\n", 8);
        more = forward(p, out);
    }
    while (more && SSL_read(p->ssl, word, sizeof(word)) <= 0)
        more = take_in(p, in);
}

static void end_it(struct tls_peer *p)
{
    static const char garbage[] =
        "\x15\x03\x03\x00\x02\x01\x00 then clear text and \x00\xff\xfe nonsense";
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    switch (p->kind) {
    case 'g':
        (void)send(p->fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
        break;
    case 't':
        (void)send(p->fd, "421 going down\r\n", 16, MSG_NOSIGNAL);
        break;
    case 'n': /* close_notify in clear */
        (void)send(p->fd, "\x15\x03\x03\x00\x02\x01\x00", 7, MSG_NOSIGNAL);
        break;
    case 'r':
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        break;
    default:
        break;
    }
}

static void cut_somewhere(struct tls_peer *p)
{
    serve_until_cut(p);
    end_it(p);
}

/* True if the peer came to the end of its conversation before the cut. */
static bool cut_once(uint16_t version, char kind, size_t at)
{
    struct shake s;
    bool whole;

    shake_init(&s, cut_somewhere);
    s.peer.version = version;
    s.peer.kind = kind;
    s.peer.cut_at = at;
    shake_start(&s);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 't') || ear_heard(&s.ear, 'e') || s.ear.got.n == 8);
    if (ear_heard(&s.ear, 't')) {
        assert_string_equal(s.ear.trace, "t");
        assert_int_not_equal(s.ear.facts->reason, REASON_OK);
        assert_false(s.ear.facts->reached.tls);
        assert_true(s.ear.facts->detail[0] != '\0');
    } else if (ear_heard(&s.ear, 'e') && s.ear.got.n < 8) {
        assert_string_equal(s.ear.trace, "Te"); /* half a record is no data */
    }
    whole = s.ear.got.n == 8;
    shake_end(&s);
    return whole;
}

static void the_end_at_every_phase(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (const char *kind = "cgtnr"; *kind != '\0'; kind++) {
            size_t at = 0, steps = 0;

            while (!cut_once(version, *kind, at)) {
                assert_true(++steps < 1000);
                at += at < 12 ? 1 : 29;
            }
            assert_true(at > 500);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_megabyte_there_and_back),
        cmocka_unit_test(back_pressure_reaches_the_peer),
        cmocka_unit_test(a_peer_that_never_reads),
        cmocka_unit_test(records_without_data),
        cmocka_unit_test(a_flood_of_key_updates_ends_it),
        cmocka_unit_test(clear_text_inside_tls),
        cmocka_unit_test(finish_says_good_bye),
        cmocka_unit_test(close_says_good_bye_if_all_is_sent),
        cmocka_unit_test(closing_inside_each_event),
        cmocka_unit_test(finishing_inside_tls_done),
        cmocka_unit_test(closing_in_the_middle_of_the_handshake),
        cmocka_unit_test(a_stalled_handshake_meets_the_deadline),
        cmocka_unit_test(the_end_at_every_phase),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
