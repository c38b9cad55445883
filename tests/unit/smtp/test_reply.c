/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: the parser at every split, enhanced codes, recoding, the wire (C-OUT-01, -04, -09). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/reply.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Feeds `in` in two parts cut at `cut`; answers the last status and how much was used in all. */
static enum reply_status feed_cut(struct slice in, size_t cut, struct reply *r, size_t *used)
{
    struct reply_parser p;
    enum reply_status got;
    size_t more;

    reply_parser_start(&p, r);
    got = reply_feed(&p, in.p, cut, used);
    if (got == REPLY_MORE) {
        assert_int_equal(*used, cut);
        got = reply_feed(&p, in.p + cut, in.n - cut, &more);
        *used += more;
    }
    if (got == REPLY_BAD)
        assert_int_equal(reply_feed(&p, "250 ok\r\n", 8, &more), REPLY_BAD); /* for good */
    return got;
}

static const struct parse_case {
    const char *name;
    struct slice in;
    enum reply_status want;
    int code;
    size_t lines;
    struct slice text;
    const char *dsn; /* NULL: none to be believed */
    size_t behind;   /* bytes behind the reply */
} parse_cases[] = {
#define S(lit)                 \
    {                          \
        (lit), sizeof(lit) - 1 \
    }
#define DONE(name, in, code, lines, text, dsn, behind)             \
    {                                                              \
        name, S(in), REPLY_DONE, code, lines, S(text), dsn, behind \
    }
#define BAD(name, in)                                \
    {                                                \
        name, S(in), REPLY_BAD, 0, 0, S(""), NULL, 0 \
    }
#define MORE(name, in)                                \
    {                                                 \
        name, S(in), REPLY_MORE, 0, 0, S(""), NULL, 0 \
    }
    DONE("one line", "250 ok\r\n", 250, 1, "ok", NULL, 0),
    DONE("code alone", "451\r\n", 451, 1, "", NULL, 0),
    DONE("code and blank", "451 \r\n", 451, 1, "", NULL, 0),
    DONE("multi line", "250-a\r\n250-b c\r\n250 d\r\n", 250, 3, "a\nb c\nd", NULL, 0),
    DONE("empty lines", "250-\r\n250\r\n", 250, 2, "\n", NULL, 0),
    DONE("text that looks like a code", "250-250 x\r\n250 250-y\r\n", 250, 2, "250 x\n250-y", NULL,
         0),
    DONE("bytes behind it", "220 go\r\nEHLO", 220, 1, "go", NULL, 4),
    DONE("two replies", "250 a\r\n550 b\r\n", 250, 1, "a", NULL, 7),
    DONE("enhanced", "550 5.7.0 not allowed\r\n", 550, 1, "5.7.0 not allowed", "5.7.0", 0),
    DONE("enhanced, no text", "250 2.0.0\r\n", 250, 1, "2.0.0", "2.0.0", 0),
    DONE("enhanced, large", "451 4.999.999 x\r\n", 451, 1, "4.999.999 x", "4.999.999", 0),
    DONE("enhanced of another class", "550 2.1.1 confused\r\n", 550, 1, "2.1.1 confused", NULL, 0),
    DONE("enhanced in 354", "354 3.0.0 go\r\n", 354, 1, "3.0.0 go", NULL, 0),
    DONE("enhanced on the second line only", "550-a\r\n550 5.1.1 b\r\n", 550, 2, "a\n5.1.1 b", NULL,
         0),
    DONE("enhanced, four digits", "550 5.1234.1 x\r\n", 550, 1, "5.1234.1 x", NULL, 0),
    DONE("enhanced, leading zero", "550 5.01.1 x\r\n", 550, 1, "5.01.1 x", NULL, 0),
    DONE("enhanced, glued", "550 5.1.1x\r\n", 550, 1, "5.1.1x", NULL, 0),
    DONE("enhanced, two parts", "550 5.1 x\r\n", 550, 1, "5.1 x", NULL, 0),
    DONE("enhanced behind a blank", "550  5.1.1 x\r\n", 550, 1, " 5.1.1 x", NULL, 0),
    DONE("8-bit text", "550 \xc3\xa4\xff\r\n", 550, 1, "\xc3\xa4\xff", NULL, 0),
    DONE("controls kept", "550 a\0\033\tb\r\n", 550, 1, "a\0\033\tb", NULL, 0),
    DONE("CR inside", "250 a\rb\r\r\n", 250, 1, "a\rb\r", NULL, 0),
    DONE("CR begins the text", "250 \rb\r\n", 250, 1, "\rb", NULL, 0),
#undef DONE
    BAD("bogus", "bogus\r\n"),
    BAD("four digits", "2200 mox.example\r\n"),
    BAD("two digits", "25 x\r\n"),
    BAD("codes differ", "250-a\r\n500 b\r\n"),
    BAD("codes differ in the last digit", "250-a\r\n251 b\r\n"),
    BAD("1yz", "150 x\r\n"),
    BAD("6yz", "600 x\r\n"),
    BAD("0yz", "050 x\r\n"),
    BAD("second digit 6", "260 x\r\n"),
    BAD("second digit 9", "290 x\r\n"),
    BAD("2x0", "2x0 ok\r\n"),
    BAD("20x", "20x ok\r\n"),
    BAD("bare LF", "250 ok\n"),
    BAD("bare LF in a multi-line reply", "250-a\n250 b\r\n"),
    BAD("LF behind the code", "250\n"),
    BAD("CR behind the code", "250\rx\r\n"),
    BAD("CR CR behind the code", "250\r\r\n"),
    BAD("HT behind the code", "250\tok\r\n"),
    BAD("letter behind the code", "250x\r\n"),
    BAD("empty line", "\r\n250 ok\r\n"),
    BAD("blank first", " 250 ok\r\n"),
    BAD("a line without code", "250-a\r\nb\r\n250 c\r\n"),
    BAD("8-bit digit", "25\xb2 ok\r\n"),
    MORE("nothing", ""),
    MORE("part of a code", "25"),
    MORE("no line end", "250 o"),
    MORE("CR only", "250 ok\r"),
    MORE("last line missing", "250-a\r\n"),
    MORE("code of the last line", "250-a\r\n250"),
};

static void assert_reply(const struct parse_case *c, const struct reply *r)
{
    char dsn[32] = "";

    assert_int_equal(r->code, c->code);
    assert_int_equal(r->origin, REPLY_FROM_MX);
    assert_int_equal(r->line_count, c->lines);
    assert_true(slice_eq(buf_slice(&r->text), c->text));
    if (r->enh.class != 0)
        (void)snprintf(dsn, sizeof(dsn), "%d.%d.%d", r->enh.class, r->enh.subject, r->enh.detail);
    assert_string_equal(dsn, c->dsn != NULL ? c->dsn : "");
}

static void c_out_01_and_09_every_case_at_every_split(void **state)
{
    struct reply r;
    size_t used;

    (void)state;
    reply_init(&r);
    for (size_t i = 0; i < COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];

        for (size_t cut = 0; cut <= c->in.n; cut++) {
            enum reply_status got = feed_cut(c->in, cut, &r, &used);

            if (got != c->want)
                fail_msg("%s, cut at %zu: status %d", c->name, cut, (int)got);
            if (got == REPLY_DONE) {
                assert_int_equal(used, c->in.n - c->behind);
                assert_reply(c, &r);
            }
        }
    }
    reply_clear(&r);
}

static void every_code_is_in_the_grammar_or_refused(void **state)
{
    struct reply r;
    char line[16];
    size_t used;

    (void)state;
    reply_init(&r);
    for (int code = 0; code < 1000; code++) {
        bool good = code >= 200 && code < 600 && code / 10 % 10 < 6;

        (void)snprintf(line, sizeof(line), "%03d x\r\n", code);
        assert_int_equal(feed_cut(slice_str(line), 2, &r, &used), good ? REPLY_DONE : REPLY_BAD);
        if (good)
            assert_int_equal(r.code, code);
    }
    reply_clear(&r);
}

/* C-OUT-01: at most 512 lines and 64 KiB. */
static void endless_replies_end(void **state)
{
    struct reply_parser p;
    struct reply r;
    size_t used, lines = 0;
    char large[1000];

    (void)state;
    reply_init(&r);
    reply_parser_start(&p, &r);
    while (reply_feed(&p, "250-a\r\n", 7, &used) == REPLY_MORE)
        lines++;
    assert_int_equal(lines, 512);

    reply_parser_start(&p, &r);
    for (lines = 0; lines < 511; lines++)
        assert_int_equal(reply_feed(&p, "250-a\r\n", 7, &used), REPLY_MORE);
    assert_int_equal(reply_feed(&p, "250 a\r\n", 7, &used), REPLY_DONE);
    assert_int_equal(r.line_count, 512);

    memset(large, 'x', sizeof(large));
    reply_parser_start(&p, &r);
    assert_int_equal(reply_feed(&p, "250 ", 4, &used), REPLY_MORE);
    for (lines = 0; reply_feed(&p, large, sizeof(large), &used) == REPLY_MORE; lines++)
        ;
    assert_int_equal(lines, 65);

    /* The codes and line ends count too: 512 lines of 129 bytes have 62 KiB of text. */
    reply_parser_start(&p, &r);
    for (lines = 0; reply_feed(&p, "250-", 4, &used) == REPLY_MORE; lines++)
        if (reply_feed(&p, large, 123, &used) != REPLY_MORE ||
            reply_feed(&p, "\r\n", 2, &used) != REPLY_MORE)
            break;
    assert_int_equal(lines, 65536 / 129);
    assert_true(r.text.n <= REPLY_BYTES_MAX);
    reply_clear(&r);
}

/* C-OUT-01: the enhanced status is read from the present reply only. */
static void nothing_is_left_of_the_reply_before(void **state)
{
    struct reply r;
    size_t used;

    (void)state;
    reply_init(&r);
    assert_int_equal(feed_cut(SLICE("550 5.1.1 a\r\n"), 0, &r, &used), REPLY_DONE);
    assert_int_equal(r.enh.class, 5);
    assert_int_equal(feed_cut(SLICE("550 b\r\n"), 0, &r, &used), REPLY_DONE);
    assert_int_equal(r.enh.class, 0);
    assert_true(slice_eq(buf_slice(&r.text), SLICE("b")));
    reply_clear(&r);
}

static void assert_wire(const struct reply *r, const char *want)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_true(reply_write(r, &out));
    assert_string_equal(buf_cstr(&out), want);
    buf_clear(&out);
}

/* C-OUT-04: verbatim, control bytes made harmless. */
static void replies_go_back_verbatim(void **state)
{
    static const struct {
        struct slice in;
        const char *wire;
    } cases[] = {
        {S("250 ok\r\n"), "250 ok\r\n"},
        {S("550-5.1.1 a  b\r\n550 5.1.1 c\r\n"), "550-5.1.1 a  b\r\n550 5.1.1 c\r\n"},
        {S("451\r\n"), "451 \r\n"},
        {S("250-\r\n250 \r\n"), "250-\r\n250 \r\n"},
        {S("550 a\0b\033[2Jc\x7f\xe4\r\n"), "550 a?b?[2Jc??\r\n"},
        {S("550 a\rb\tc\r\n"), "550 a?b\tc\r\n"},
    };
    struct reply r;
    size_t used;

    (void)state;
    reply_init(&r);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(feed_cut(cases[i].in, 0, &r, &used), REPLY_DONE);
        assert_wire(&r, cases[i].wire);
    }
    reply_clear(&r);
}

static void long_lines_are_cut_on_the_wire(void **state)
{
    struct reply r;
    struct buf out;
    char large[2000];

    (void)state;
    memset(large, 'x', sizeof(large));
    reply_init(&r);
    reply_set(&r, 550, NULL, slice_of(large, sizeof(large)));
    buf_init(&out, 1 << 20);
    assert_true(reply_write(&r, &out));
    assert_int_equal(out.n, 4 + 500 + 2);
    buf_clear(&out);
    buf_init(&out, 505);
    assert_true(buf_addc(&out, 'a'));
    assert_false(reply_write(&r, &out));
    assert_int_equal(out.n, 1);
    buf_clear(&out);
    reply_clear(&r);
}

/* C-OUT-04: 421 becomes 451, 552 becomes 452; the enhanced codes keep to the new class. */
static void recoding_changes_code_and_class(void **state)
{
    static const struct {
        const char *in, *wire;
        int code, class;
    } cases[] = {
        {"421 4.3.2 bye\r\n", "451 4.3.2 bye\r\n", 451, 4},
        {"421 bye\r\n", "451 bye\r\n", 451, 0},
        {"421\r\n", "451 \r\n", 451, 0},
        {"552-5.2.2 mailbox full\r\n552-see below\r\n552 5.2.2 5.2.2 is it\r\n",
         "452-4.2.2 mailbox full\r\n452-see below\r\n452 4.2.2 5.2.2 is it\r\n", 452, 4},
        {"552-full\r\n552 5.2.2 x\r\n", "452-full\r\n452 4.2.2 x\r\n", 452, 0},
        {"552 2.1.1 odd\r\n", "452 2.1.1 odd\r\n", 452, 0},
        {"552 5.2.2\r\n", "452 4.2.2\r\n", 452, 4},
        {"552 4.2.2 x\r\n", "452 4.2.2 x\r\n", 452, 4}, /* not believed before, but now it fits */
        {"451 4.4.2 x\r\n", "550 5.4.2 x\r\n", 550, 5},
    };
    struct reply r;
    size_t used;

    (void)state;
    reply_init(&r);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(feed_cut(slice_str(cases[i].in), 0, &r, &used), REPLY_DONE);
        reply_recode(&r, cases[i].code);
        assert_int_equal(r.code, cases[i].code);
        assert_int_equal(r.enh.class, cases[i].class);
        assert_wire(&r, cases[i].wire);
    }
    reply_clear(&r);
}

/* What is shown to the client with another code stays as the MX said it for everybody else. */
static void a_lent_reply_is_changed_alone(void **state)
{
    struct reply mx, said;
    size_t used;

    (void)state;
    reply_init(&mx);
    reply_init(&said);
    assert_int_equal(feed_cut(SLICE("421-4.3.2 bye\r\n421 4.3.2 now\r\n"), 0, &mx, &used),
                     REPLY_DONE);
    reply_lend(&said, &mx);
    assert_ptr_equal(said.text.p, mx.text.p);
    assert_wire(&said, "421-4.3.2 bye\r\n421 4.3.2 now\r\n");
    reply_recode(&said, 550);
    assert_wire(&said, "550-5.3.2 bye\r\n550 5.3.2 now\r\n");
    assert_wire(&mx, "421-4.3.2 bye\r\n421 4.3.2 now\r\n");
    reply_clear(&said);
    reply_lend(&said, &mx);
    reply_set(&said, 451, "4.5.0", SLICE("no"));
    assert_wire(&said, "451 4.5.0 no\r\n");
    reply_clear(&said);
    reply_lend(&said, &mx);
    reply_clear(&said);
    assert_wire(&mx, "421-4.3.2 bye\r\n421 4.3.2 now\r\n");
    reply_clear(&mx);
}

static void our_own_replies(void **state)
{
    struct reply r, other;
    struct buf line;

    (void)state;
    reply_init(&r);
    reply_init(&other);
    buf_init(&line, 1000);
    reply_set(&r, 451, "4.7.5", SLICE("certificate\nexpired"));
    assert_int_equal(r.origin, REPLY_FROM_US);
    assert_int_equal(r.line_count, 2);
    assert_int_equal(r.enh.class * 100 + r.enh.subject * 10 + r.enh.detail, 475);
    assert_wire(&r, "451-4.7.5 certificate\r\n451 4.7.5 expired\r\n");
    reply_oneline(&r, &line);
    assert_string_equal(buf_cstr(&line), "4.7.5 certificate / 4.7.5 expired");

    reply_copy(&other, &r);
    reply_copy(&other, &other);
    assert_wire(&other, "451-4.7.5 certificate\r\n451 4.7.5 expired\r\n");
    reply_set(&r, 354, NULL, SLICE("go on"));
    assert_wire(&r, "354 go on\r\n");
    assert_int_equal(r.enh.class, 0);
    reply_move(&r, &other);
    reply_move(&r, &r);
    assert_int_equal(other.code, 0);
    assert_int_equal(other.text.n, 0);
    assert_wire(&r, "451-4.7.5 certificate\r\n451 4.7.5 expired\r\n");

    reply_set(&r, 250, "2.0.0", SLICE(""));
    assert_wire(&r, "250 2.0.0\r\n");
    reply_set(&r, 452, "5.3.4", SLICE("unfit"));
    assert_wire(&r, "452 unfit\r\n");
    reply_set(&r, 550, NULL, SLICE("line\r\nforged"));
    assert_wire(&r, "550-line?\r\n550 forged\r\n");
    buf_clear(&line);
    reply_clear(&other);
    reply_clear(&r);
}

static void a_text_longer_than_any_reply_is_cut(void **state)
{
    char *large = malloc(100000);
    struct reply r;

    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i < 100000; i++)
        large[i] = i % 50 == 49 ? '\n' : 'x';
    reply_init(&r);
    reply_set(&r, 550, "5.0.0", slice_of(large, 100000));
    assert_int_equal(r.line_count, REPLY_LINES_MAX);
    memset(large, 'x', 100000);
    reply_set(&r, 550, "5.0.0", slice_of(large, 100000));
    assert_int_equal(r.line_count, 1);
    assert_int_equal(r.text.n, REPLY_BYTES_MAX);
    reply_clear(&r);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_out_01_and_09_every_case_at_every_split),
        cmocka_unit_test(every_code_is_in_the_grammar_or_refused),
        cmocka_unit_test(endless_replies_end),
        cmocka_unit_test(nothing_is_left_of_the_reply_before),
        cmocka_unit_test(replies_go_back_verbatim),
        cmocka_unit_test(long_lines_are_cut_on_the_wire),
        cmocka_unit_test(recoding_changes_code_and_class),
        cmocka_unit_test(a_lent_reply_is_changed_alone),
        cmocka_unit_test(our_own_replies),
        cmocka_unit_test(a_text_longer_than_any_reply_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
