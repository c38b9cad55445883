/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client pipelined behind RCPT, seen before it is read (C-IN-03, RFC 2920 3.1): each event leaves
 * the bytes behind its own command, and inbound_data_follows() knows DATA among them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/dialog/inbound.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HELLO "EHLO client\r\n"
#define MAIL "MAIL FROM:<s@client.example>\r\n"
#define RCPT "RCPT TO:<r@mx.example>\r\n"

static struct inbound *machine(void)
{
    struct inbound_params p = {.helo_name = "relay.example",
                               .line_max = 512,
                               .auth_line_max = 12288,
                               .recipients_max = 100,
                               .errors_max = 10};

    return inbound_new(&p);
}

static void answer(struct inbound *in, unsigned slot, int code)
{
    struct reply r;

    reply_init(&r);
    reply_set(&r, code, NULL, SLICE("text"));
    inbound_answer(in, slot, &r);
    reply_clear(&r);
}

/* The next event, and what is unread behind it. */
static enum inbound_event step(struct inbound *in, struct slice *rest, struct inbound_what *what)
{
    size_t used;
    enum inbound_event ev = inbound_feed(in, rest->p, rest->n, &used, what);

    *rest = slice_from(*rest, used);
    return ev;
}

static void expect_rest(struct slice rest, const char *want)
{
    if (!slice_eq(rest, slice_str(want)))
        fail_msg("left was \"%.*s\", not \"%s\"", SLICE_ARG(rest), want);
}

/* C-IN-03: a transaction in one segment. */
static void test_used_ends_behind_each_command(void **state)
{
    struct slice rest =
        SLICE(HELLO MAIL RCPT RCPT "DATA\r\nhi\r\n.\r\n" MAIL RCPT "data\r\n.\r\nQUIT\r\n");
    struct inbound *in = machine();
    struct inbound_what what;

    (void)state;
    assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
    expect_rest(rest, RCPT RCPT "DATA\r\nhi\r\n.\r\n" MAIL RCPT "data\r\n.\r\nQUIT\r\n");
    assert_false(inbound_data_follows(in, rest));
    answer(in, what.slot, 250);
    assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
    expect_rest(rest, RCPT "DATA\r\nhi\r\n.\r\n" MAIL RCPT "data\r\n.\r\nQUIT\r\n");
    assert_false(inbound_data_follows(in, rest));
    assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
    expect_rest(rest, "DATA\r\nhi\r\n.\r\n" MAIL RCPT "data\r\n.\r\nQUIT\r\n");
    assert_true(inbound_data_follows(in, rest));
    /* The answers are owed: the machine has read DATA, and says so still. */
    assert_int_equal(step(in, &rest, &what), INBOUND_WAIT);
    assert_true(inbound_data_follows(in, rest));
    answer(in, 0, 250);
    answer(in, 1, 550);
    assert_true(inbound_data_follows(in, rest));
    assert_int_equal(step(in, &rest, &what), INBOUND_DATA);
    assert_false(inbound_data_follows(in, SLICE("DATA\r\n")));
    expect_rest(rest, "hi\r\n.\r\n" MAIL RCPT "data\r\n.\r\nQUIT\r\n");
    answer(in, what.slot, 354);
    assert_int_equal(step(in, &rest, &what), INBOUND_BODY);
    assert_false(inbound_data_follows(in, SLICE("DATA\r\n"))); /* that is a line of the message */
    while (step(in, &rest, &what) != INBOUND_BODY_END)
        ;
    answer(in, what.slot, 250);
    assert_false(inbound_data_follows(in, SLICE("DATA\r\n"))); /* no transaction is open */
    assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
    answer(in, what.slot, 250);
    assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
    expect_rest(rest, "data\r\n.\r\nQUIT\r\n");
    assert_true(inbound_data_follows(in, rest));
    inbound_free(&in);
}

/* The cases of what stands behind RCPT: fed in one segment, and cut at every place. */
static void test_data_follows(void **state)
{
    static const struct {
        const char *behind;
        bool data;
    } cases[] = {
        {"DATA\r\n", true},
        {"data\r\nSubject: x\r\n", true},
        {"DaTa \t\r\n", true}, /* trailing blanks are no argument */
        {"", false},
        {"DATA", false},
        {"DATA\r", false},
        {"DATA\n", false},
        {"DATA\n\r\n", false},
        {"DATA \n", false},
        {"DATAx\n", false},
        {"DATA\r\r\n", false},
        {"\nDATA\r\n", false},
        {"\r\nDATA\r\n", false},
        {" DATA\r\n", false},
        {"DATA x\r\n", false},
        {"DATAx\r\n", false},
        {"NOOP\r\nDATA\r\n", false},
        {"BDAT 6\r\nDATA\r\n", false},
        {RCPT "DATA\r\n", false},
        {"RSET\r\nDATA\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice behind = slice_str(cases[i].behind);

        for (size_t cut = 0; cut <= behind.n; cut++) {
            struct slice rest = SLICE(HELLO MAIL RCPT), tail;
            struct inbound *in = machine();
            struct inbound_what what;
            enum inbound_event ev;
            size_t used = 0;

            assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
            answer(in, what.slot, 250);
            assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
            if (inbound_data_follows(in, behind) != cases[i].data)
                fail_msg("case %zu, \"%s\"", i, cases[i].behind);
            /* Part of it was read: then only DATA whole in the machine is known. */
            ev = inbound_feed(in, behind.p, cut, &used, &what);
            tail = slice_from(behind, used);
            if (ev == INBOUND_WAIT && inbound_data_follows(in, tail) != cases[i].data)
                fail_msg("case %zu, \"%s\" read", i, cases[i].behind);
            if (ev == INBOUND_NEED_INPUT && cut > 0 && inbound_data_follows(in, tail))
                fail_msg("case %zu, \"%s\" cut at %zu", i, cases[i].behind, cut);
            inbound_free(&in);
        }
    }
}

/* In the middle of another line, or of a chunk that is dropped, DATA is no command. */
static void test_no_line_begins(void **state)
{
    static const char *const before[] = {"NOOP ", "\r", "BDAT 100\r\nxx"};

    (void)state;
    for (size_t i = 0; i < COUNT(before); i++) {
        struct slice rest = SLICE(HELLO MAIL RCPT);
        struct inbound *in = machine();
        struct inbound_what what;

        assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
        answer(in, what.slot, 250);
        assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
        answer(in, what.slot, 250);
        rest = slice_str(before[i]);
        assert_int_equal(step(in, &rest, &what), INBOUND_NEED_INPUT);
        if (inbound_data_follows(in, SLICE("DATA\r\n")))
            fail_msg("behind \"%s\"", before[i]);
        inbound_free(&in);
    }
}

/* A line that is too long is no DATA, whatever it begins with. */
static void test_too_long(void **state)
{
    (void)state;
    for (size_t n = 505; n < 520; n++) {
        struct slice rest = SLICE(HELLO MAIL RCPT);
        struct inbound *in = machine();
        struct inbound_what what;
        char line[600];

        assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
        answer(in, what.slot, 250);
        assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
        answer(in, what.slot, 250);
        (void)snprintf(line, sizeof(line), "%-*s\r\n", (int)n - 2, "DATA");
        rest = slice_of(line, n);
        assert_int_equal(inbound_data_follows(in, rest), n <= 512);
        assert_int_equal(step(in, &rest, &what) == INBOUND_DATA, n <= 512);
        inbound_free(&in);
    }
}

/* A session that waits keeps neither the reply to EHLO nor the slots of a hundred RCPTs. */
static void test_memory_goes_back(void **state)
{
    struct slice rest = SLICE(HELLO MAIL);
    struct inbound *in = machine();
    struct inbound_what what;

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        rest = SLICE(HELLO);
        assert_int_equal(step(in, &rest, &what), INBOUND_NEED_INPUT);
    }
    assert_true(inbound_output(in)->size > 256);
    buf_reset(inbound_output(in));
    rest = SLICE(MAIL);
    assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
    assert_true(inbound_output(in)->size <= 256);
    answer(in, what.slot, 250);
    for (int round = 0; round < 3; round++) { /* the numbers go round, also where few wait */
        unsigned slots[INBOUND_RCPT_AHEAD], count = round == 1 ? 7 : 33;

        for (unsigned i = 0; i < count; i++) {
            rest = SLICE(RCPT);
            assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
            slots[i] = what.slot;
        }
        buf_reset(inbound_output(in));
        for (unsigned i = count; i-- > 1;)
            answer(in, slots[i], i % 2 == 0 ? 250 : 450);
        assert_int_equal(inbound_output(in)->n, 0);
        answer(in, slots[0], 250);
        for (unsigned i = 0; i < count; i++) {
            struct buf *out = inbound_output(in);
            struct slice line, left;

            assert_true(slice_cut(buf_slice(out), '\n', &line, &left));
            assert_true(slice_istarts(line, i % 2 == 0 ? SLICE("250 text") : SLICE("450 text")));
            buf_consume(out, line.n + 1);
        }
        assert_int_equal(inbound_output(in)->n, 0);
    }
    inbound_free(&in);
}

/* A long reply that waited and left is not counted among those that wait: the last is whole like the first. */
static void test_long_replies_that_waited(void **state)
{
    struct inbound *in = machine();
    struct slice rest = SLICE(HELLO MAIL);
    struct inbound_what what;
    char text[6000];
    struct reply r;
    size_t whole = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 100 == 99 ? '\n' : 'x';
    reply_init(&r);
    reply_set(&r, 250, NULL, slice_of(text, sizeof(text) - 1));
    assert_int_equal(step(in, &rest, &what), INBOUND_MAIL);
    answer(in, what.slot, 250);
    for (int round = 0; round < 40; round++) {
        unsigned first;

        rest = SLICE(RCPT RCPT);
        assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
        first = what.slot;
        assert_int_equal(step(in, &rest, &what), INBOUND_RCPT);
        buf_reset(inbound_output(in));
        inbound_answer(in, what.slot, &r);
        answer(in, first, 250);
        if (round == 0)
            whole = inbound_output(in)->n;
        assert_int_equal(inbound_output(in)->n, whole);
        buf_reset(inbound_output(in));
    }
    assert_true(whole > sizeof(text));
    reply_clear(&r);
    inbound_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_used_ends_behind_each_command),
        cmocka_unit_test(test_data_follows),
        cmocka_unit_test(test_no_line_begins),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_long_replies_that_waited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
