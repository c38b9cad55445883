/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side at its limits: many recipients, long lines, long replies, and its end. */
#include <stdlib.h>

#include "proxy/base/mem.h"
#include "tests/unit/dialog/inbound_script.h"

static const struct script plain = {.name = "limits"};

static void say(struct owner *o, const char *text)
{
    (void)feed(o, text, strlen(text));
}

static unsigned pick(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return below > 0 ? (*seed >> 16) % below : 0;
}

/* RCPT commands that wait for their answers. */
struct waiting {
    unsigned slots[INBOUND_RCPT_AHEAD], names[INBOUND_RCPT_AHEAD];
    unsigned count, next;
};

static void answer_one(struct owner *o, struct waiting *w, unsigned *seed)
{
    unsigned i;
    char name[32];

    assert_true(w->count > 0);
    i = pick(seed, w->count);
    (void)snprintf(name, sizeof(name), "%s%u@b", w->names[i] % 3 == 0 ? "no" : "ok", w->names[i]);
    answer(o, w->slots[i], name, "");
    w->count--;
    w->slots[i] = w->slots[w->count];
    w->names[i] = w->names[w->count];
}

static void feed_thousand(struct owner *o, struct waiting *w, const char *bytes, size_t n,
                          unsigned *seed)
{
    for (;;) {
        struct inbound_what what;
        size_t used;
        enum inbound_event ev = inbound_feed(o->in, bytes, n, &used, &what);

        bytes += used;
        n -= used;
        drain(o);
        if (ev == INBOUND_NEED_INPUT)
            return;
        if (ev == INBOUND_MAIL) {
            answer(o, what.slot, "s@a", "mail");
        } else if (ev == INBOUND_RCPT) {
            assert_true(w->count < INBOUND_RCPT_AHEAD);
            w->names[w->count] = w->next++;
            w->slots[w->count++] = what.slot;
            if (pick(seed, 3) == 0)
                answer_one(o, w, seed);
        } else if (ev == INBOUND_WAIT) {
            answer_one(o, w, seed);
        } else {
            assert_int_equal(ev, INBOUND_DATA);
            assert_int_equal(w->count, 0);
            answer(o, what.slot, "s@a", "data");
        }
    }
}

/* C-IN-03: 1,000 pipelined RCPT in odd segments, answered in random order; C-IN-07: the 1,001st
 * accepted one is too many. */
static void test_thousand_recipients(void **state)
{
    static const size_t segments[] = {1, 7, 113, 1448, 4093, 100000};
    struct buf client, want;

    (void)state;
    buf_init(&client, TEXT_CAP);
    buf_init(&want, TEXT_CAP);
    assert_true(buf_add(&client, SLICE("HELO c\r\nMAIL FROM:<s@a>\r\n")));
    assert_true(buf_add(&want, SLICE("250 relay.example\r\n250 2.0.0 ok\r\n")));
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(buf_addf(&client, "RCPT TO:<r%u@b>\r\n", i));
        assert_true(i % 3 == 0 ? buf_add(&want, SLICE("550 5.1.1 no such user\r\n"))
                               : buf_addf(&want, "250 2.1.5 ok%u\r\n", i));
    }
    assert_true(buf_add(&client, SLICE("DATA\r\n")));
    assert_true(buf_add(&want, SLICE("354 go on\r\n")));
    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
        struct waiting w = {.count = 0};
        unsigned seed = (unsigned)i;
        struct owner o;

        owner_start(&o, &plain);
        for (size_t at = 0; at < client.n; at += segments[i])
            feed_thousand(&o, &w, client.p + at,
                          client.n - at < segments[i] ? client.n - at : segments[i], &seed);
        while (w.count > 0)
            feed_thousand(&o, &w, "", 0, &seed);
        assert_int_equal(o.heard.n, want.n);
        assert_memory_equal(o.heard.p, want.p, want.n);
        owner_end(&o);
    }
    buf_clear(&client);
    buf_clear(&want);
}

/* The longest replies that an MX can give, to as many recipients as may wait: the memory stays
 * bounded and every recipient hears the code. */
static void test_long_replies(void **state)
{
    struct buf text;
    struct reply r;
    struct owner o;
    size_t lines = 0, ends = 0;

    (void)state;
    buf_init(&text, REPLY_BYTES_MAX);
    for (unsigned i = 0; i < REPLY_LINES_MAX; i++)
        assert_true(buf_addf(&text, "%s%0120u", i > 0 ? "\n" : "", i));
    reply_init(&r);
    reply_set(&r, 550, NULL, buf_slice(&text));
    owner_start(&o, &plain);
    say(&o, "HELO c\r\nMAIL FROM:<s@a>\r\n");
    for (unsigned i = 0; i < INBOUND_RCPT_AHEAD; i++)
        say(&o, "RCPT TO:<late@b>\r\n");
    assert_int_equal(o.late_count, INBOUND_RCPT_AHEAD);
    buf_reset(&o.heard);
    while (o.late_count > 0)
        inbound_answer(o.in, o.late[--o.late_count], &r);
    assert_true(inbound_output(o.in)->n < 240000);
    drain(&o);
    for (size_t i = 0; i + 4 < o.heard.n; i++)
        if (i == 0 || o.heard.p[i - 1] == '\n') {
            lines++;
            ends += o.heard.p[i + 3] == ' ';
        }
    assert_int_equal(ends, INBOUND_RCPT_AHEAD);
    assert_true(lines >= REPLY_LINES_MAX + INBOUND_RCPT_AHEAD - 1);
    owner_end(&o);
    reply_clear(&r);
    buf_clear(&text);
}

/* A client that sends and never reads is not listened to any more. */
static void test_output_stops_input(void **state)
{
    struct owner o;
    struct inbound_what what;
    size_t used, fed = 0;

    (void)state;
    owner_start(&o, &plain);
    while (inbound_feed(o.in, "NOOP\r\n", 6, &used, &what) == INBOUND_NEED_INPUT)
        fed++;
    assert_int_equal(inbound_feed(o.in, "NOOP\r\n", 6, &used, &what), INBOUND_WAIT);
    assert_int_equal(used, 0);
    assert_true(fed < INBOUND_OUTPUT_HIGH / 14 + 2);
    assert_true(inbound_output(o.in)->n < INBOUND_OUTPUT_HIGH + 64);
    owner_end(&o);
}

static void hear(const struct script *s, const char *line, size_t length, const char *want)
{
    char *bytes = mem_zalloc(length + 3);
    struct owner o;

    memset(bytes, 'x', length);
    for (size_t i = 0; line[i] != '\0'; i++)
        bytes[i] = line[i];
    bytes[length] = '\r';
    bytes[length + 1] = '\n';
    for (size_t step = 1; step <= length + 2; step = step * 3 + 1) {
        owner_start(&o, s);
        for (size_t at = 0; at < length + 2; at += step)
            (void)feed(&o, bytes + at, length + 2 - at < step ? length + 2 - at : step);
        say(&o, "NOOP\r\n");
        assert_string_equal(buf_cstr(&o.heard), want);
        owner_end(&o);
    }
    free(bytes);
}

/* C-IN-07: 4,096 bytes with CRLF, 12,288 for AUTH; what is longer is dropped whole. */
static void test_line_length(void **state)
{
    static const char too_long[] = "500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n";

    (void)state;
    hear(&plain, "NOOP ", 4094, "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
    hear(&plain, "NOOP ", 4095, too_long);
    hear(&plain, "NOOP ", 1000000, too_long);
    hear(&plain, "AUTH ", 12286, "502 5.5.1 Command not offered\r\n250 2.0.0 Ok\r\n");
    hear(&plain, "AUTH ", 12287, too_long);
    hear(&plain, "AUTHX", 4095, too_long);
}

static void test_greeting_and_end(void **state)
{
    static const char to_data[] = "HELO c\r\nMAIL FROM:<s@a>\r\nRCPT TO:<ok@b>\r\n";
    struct owner o;

    (void)state;
    owner_start(&o, &plain);
    inbound_greet(o.in);
    assert_true(inbound_shutdown(o.in));
    assert_false(feed(&o, "NOOP\r\n", 6));
    assert_string_equal(buf_cstr(&o.heard), "220 relay.example ESMTP tlsmend\r\n"
                                            "421 4.3.2 tlsmend is shutting down\r\n");
    owner_end(&o);

    owner_start(&o, &plain);
    say(&o, to_data);
    assert_true(inbound_in_transaction(o.in));
    assert_false(inbound_owes_answer(o.in));
    assert_false(inbound_shutdown(o.in)); /* C-OPS-02: the transaction may end */
    say(&o, "DATA\r\nhi\r\n");
    assert_true(inbound_in_body(o.in));
    assert_false(inbound_shutdown(o.in));
    say(&o, ".\r\n");
    assert_false(inbound_in_body(o.in));
    assert_false(inbound_in_transaction(o.in));
    buf_reset(&o.heard);
    assert_true(inbound_shutdown(o.in));
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard), "421 4.3.2 tlsmend is shutting down\r\n");
    owner_end(&o);

    owner_start(&o, &plain);
    inbound_idle(o.in); /* C-IN-07: idle */
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard), "421 4.4.2 Nothing was heard for too long\r\n");
    assert_false(feed(&o, "NOOP\r\n", 6));
    owner_end(&o);
}

/* C-LEG-02: what the client says about the mail, and how long it holds. */
static void test_names(void **state)
{
    struct owner o;

    (void)state;
    owner_start(&o, &plain);
    assert_string_equal(inbound_helo(o.in), "");
    say(&o, "EHLO a\xe4 b\r\n");
    assert_string_equal(inbound_helo(o.in), "a?");
    assert_true(inbound_esmtp(o.in));
    say(&o, "HELO c\r\n");
    assert_false(inbound_esmtp(o.in));
    say(&o, "XFORWARD IDENT=4AB NAME=mx.a\r\n");
    say(&o, "XFORWARD HELO=[UNAVAILABLE]\r\n");
    say(&o, "MAIL FROM:<s@a>\r\n");
    assert_string_equal(inbound_xforward(o.in)->ident, "4AB");
    assert_string_equal(inbound_xforward(o.in)->name, "mx.a");
    say(&o, "XFORWARD IDENT=5\r\n"); /* 503 */
    assert_string_equal(inbound_xforward(o.in)->ident, "4AB");
    say(&o, "RCPT TO:<ok@b>\r\nDATA\r\n.\r\n");
    assert_string_equal(inbound_xforward(o.in)->ident, "4AB"); /* for the owner's records */
    say(&o, "MAIL FROM:<s@a>\r\n");
    assert_string_equal(inbound_xforward(o.in)->ident, "");
    say(&o, "RSET\r\nXFORWARD IDENT=\x01\r\n"); /* 501 */
    say(&o, "XFORWARD FOO=1\r\n");
    assert_non_null(strstr(buf_cstr(&o.heard), "503 5.5.1 In a transaction\r\n"));
    assert_non_null(strstr(buf_cstr(&o.heard), "501 5.5.4 Unknown XFORWARD attribute\r\n"));
    assert_string_equal(inbound_xforward(o.in)->ident, "");
    owner_end(&o);
}

/* Command lines that were understood tell who the client is; refused ones do not. */
static void test_client_kind(void **state)
{
    static const struct {
        const char *says;
        enum client_kind kind;
    } cases[] = {
        {"EHLO c\r\n", CLIENT_UNKNOWN},
        {"EHLO c\r\nXFORWARD NAME=a\r\n", CLIENT_POSTFIX},
        {"XFORWARD NAME=a\r\n", CLIENT_POSTFIX},
        {"XFORWARD FOO=1\r\n", CLIENT_UNKNOWN},
        {"XFORWARD\r\n", CLIENT_UNKNOWN},
        {"EHLO c\r\nMAIL FROM:<s@a> PRDR\r\n", CLIENT_EXIM},
        {"EHLO c\r\nMAIL FROM:<s@a> PRDR SIZE=x\r\n", CLIENT_UNKNOWN},
        {"MAIL FROM:<s@a> PRDR\r\n", CLIENT_UNKNOWN},
        {"EHLO c\r\nMAIL FROM:<s@a>\r\nXFORWARD NAME=a\r\n", CLIENT_UNKNOWN},
        {"EHLO c\r\nMAIL FROM:<s@a> PRDR\r\nRSET\r\nXFORWARD FOO=1\r\n", CLIENT_EXIM},
        {"EHLO c\r\nDATA\r\nFrom: x\r\nXFORWARD NAME=a\r\n.\r\n", CLIENT_UNKNOWN},
        {"EHLO c\r\nMAIL From:<s@a>\r\nRCPT To:<late@b>\r\nDATA\r\n"
         "MAIL FROM:<x> PRDR\r\n.\r\n",
         CLIENT_SENDMAIL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct owner o;

        owner_start(&o, &plain);
        say(&o, cases[i].says);
        assert_int_equal(inbound_client_kind(o.in), cases[i].kind);
        owner_end(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand_recipients), cmocka_unit_test(test_long_replies),
        cmocka_unit_test(test_output_stops_input),  cmocka_unit_test(test_line_length),
        cmocka_unit_test(test_greeting_and_end),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_client_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
