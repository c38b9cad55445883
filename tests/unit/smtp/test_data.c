/* SPDX-License-Identifier: Apache-2.0 */
/* Data framing: the end, the dots, the line ends, at every split (C-IN-04, C-IN-05). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/data.h"
#include "tests/unit/smtp/plain_decoder.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum fate { MESSAGE, REFUSED, UNFINISHED };

struct outcome {
    enum fate fate;
    size_t rest, slices;
    bool bad, eight_bit;
};

/* Decodes `in`, read in parts of `part` bytes with the first one of `first`. */
static struct outcome decode(enum data_mode mode, struct slice in, size_t first, size_t part,
                             struct buf *content)
{
    struct outcome o = {UNFINISHED, 0, 0, false, false};
    struct data_decoder d;
    size_t size = first, bads = 0;

    data_decoder_start(&d, mode);
    for (size_t at = 0; at < in.n && o.fate == UNFINISHED; size = part) {
        struct slice read = slice_first(slice_from(in, at), size), got;
        enum data_status status = DATA_BAD;
        size_t used;

        at += read.n;
        while (status != DATA_MORE && status != DATA_END) {
            status = data_decode(&d, read.p, read.n, &used, &got);
            assert_true(used <= read.n);
            read = slice_from(read, used);
            if (status == DATA_CONTENT) {
                assert_true(got.n > 0 && bads == 0);
                assert_true(buf_add(content, got));
                o.slices++;
            } else {
                bads += status == DATA_BAD;
            }
        }
        if (status == DATA_END) {
            o.fate = mode == DATA_REJECT && d.bad ? REFUSED : MESSAGE;
            o.rest = in.n - at + read.n;
        } else {
            assert_int_equal(read.n, 0);
        }
    }
    assert_int_equal(bads, mode == DATA_REJECT && d.bad); /* said exactly once */
    assert_true(d.content == content->n);
    o.bad = d.bad;
    o.eight_bit = d.eight_bit;
    return o;
}

static const struct decode_case {
    struct slice in;
    enum fate strict;     /* with DATA_REJECT */
    struct slice content; /* with DATA_NORMALISE */
    size_t rest;
} decode_cases[] = {
#define S(lit)                 \
    {                          \
        (lit), sizeof(lit) - 1 \
    }
#define GOOD(in, content, rest)          \
    {                                    \
        S(in), MESSAGE, S(content), rest \
    }
#define STRAY(in, content)            \
    {                                 \
        S(in), REFUSED, S(content), 0 \
    }
#define OPEN(in, content)                \
    {                                    \
        S(in), UNFINISHED, S(content), 0 \
    }
    GOOD(".\r\n", "", 0),
    GOOD("test\r\n.\r\n", "test\r\n", 0),
    GOOD("test\r\n.\r\nQUIT\r\n", "test\r\n", 6),
    GOOD("\r\n.\r\n", "\r\n", 0),
    GOOD("\r\n\r\n.\r\n.\r\n", "\r\n\r\n", 3),
    GOOD(".test\r\n.\r\n", "test\r\n", 0),
    GOOD("..test\r\n.\r\n", ".test\r\n", 0),
    GOOD("..\r\n.\r\n", ".\r\n", 0), /* C-IN-05: a lone dot arrives as a lone dot */
    GOOD("a\r\n..\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", 0),
    GOOD("...\r\n.\r\n", "..\r\n", 0),
    GOOD("a.\r\n.\r\n", "a.\r\n", 0),
    GOOD("a.b\r\n. \r\n.\r\n", "a.b\r\n \r\n", 0),
    GOOD("\xe4\tx\r\n.\r\n", "\xe4\tx\r\n", 0),
    GOOD("0123456789abcdef0123456789abcdef\r\n.\r\n", "0123456789abcdef0123456789abcdef\r\n", 0),
    /* Nothing but CRLF.CRLF ends the data. */
    STRAY("a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n"),
    STRAY("a\r.\rb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n"),
    STRAY("a\r.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\n\n.\r\nb\r\n.\r\n", "a\r\n\r\n.\r\nb\r\n"),
    STRAY("a\r\r\n.\r\n", "a\r\n\r\n"),
    STRAY("a\r\n\n.\r\nb\r\n.\r\n", "a\r\n\r\n.\r\nb\r\n"),
    STRAY("a\r\n\r.\r\nb\r\n.\r\n", "a\r\n\r\n.\r\nb\r\n"),
    STRAY("a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\n\r\nb\r\n"),
    STRAY("a\r\n.\r\0\nb\r\n.\r\n", "a\r\n\r\n\r\nb\r\n"),
    STRAY("a\r\n.\0\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n"),
    STRAY("a\r\n\0.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"),
    STRAY("a\r\0\n.\r\nb\r\n.\r\n", "a\r\n\r\n.\r\nb\r\n"),
    STRAY("\0\r\n.\r\n", "\r\n"),
    STRAY("\n\r\n.\r\n", "\r\n\r\n"),
    STRAY("\r\r\r\n.\r\n", "\r\n\r\n\r\n"),
    OPEN("", ""),
    OPEN("no end", "no end"),
    OPEN("a\r\n.\r", "a\r\n"),
    OPEN("a\r\n.", "a\r\n"),
    OPEN("a\r", "a"),
    OPEN("a\n.\n", "a\r\n.\r\n"),
};

static void c_in_04_every_case_at_every_split(void **state)
{
    struct buf content;

    (void)state;
    buf_init(&content, 1 << 20);
    for (size_t i = 0; i < COUNT(decode_cases); i++) {
        const struct decode_case *c = &decode_cases[i];

        for (size_t first = 0; first <= c->in.n + 1; first++)
            for (size_t part = 1; part <= c->in.n + 1; part++) {
                struct outcome o = decode(DATA_REJECT, c->in, first, part, &content);

                if (o.fate != c->strict || o.rest != c->rest)
                    fail_msg("case %zu, reject, reads %zu+%zu: fate %d", i, first, part, o.fate);
                if (!o.bad)
                    assert_true(slice_eq(buf_slice(&content), c->content));
                else /* what went out before is clean, and the start of what the message is */
                    assert_true(content.n <= c->content.n &&
                                memcmp(content.p, c->content.p, content.n) == 0);
                buf_reset(&content);
                o = decode(DATA_NORMALISE, c->in, first, part, &content);
                assert_int_equal(o.fate, c->strict == REFUSED ? MESSAGE : c->strict);
                assert_int_equal(o.rest, c->rest);
                if (!slice_eq(buf_slice(&content), c->content))
                    fail_msg("case %zu, normalise, reads %zu+%zu: %s", i, first, part,
                             buf_cstr(&content));
                buf_reset(&content);
            }
    }
    buf_clear(&content);
}

/* All strings of six bytes out of these: nothing but CRLF.CRLF ends, nothing stray is let through. */
static void no_sequence_makes_two_messages(void **state)
{
    static const char alphabet[] = {'\r', '\n', '.', 'a', '\0'};
    char in[6 + 5];
    struct buf content;

    (void)state;
    buf_init(&content, 1000);
    for (size_t n = 0; n < 5 * 5 * 5 * 5 * 5 * 5; n++) {
        struct slice all = {in, sizeof(in)};
        const char *end;
        size_t rest, code = n;

        for (size_t i = 0; i < 6; i++, code /= 5)
            in[i] = alphabet[code % 5];
        memcpy(in + 6, "\r\n.\r\n", 5);
        end =
            memcmp(in, ".\r\n", 3) == 0 ? in + 3 : (const char *)memmem(in, 11, "\r\n.\r\n", 5) + 5;
        rest = (size_t)(in + sizeof(in) - end);
        for (size_t part = 1; part <= sizeof(in); part++)
            for (int mode = DATA_REJECT; mode <= DATA_NORMALISE; mode++) {
                struct outcome o = decode((enum data_mode)mode, all, part, part, &content);

                assert_int_not_equal(o.fate, UNFINISHED);
                assert_int_equal(o.rest, rest);
                for (size_t i = 0; i < content.n; i++) {
                    assert_int_not_equal(content.p[i], '\0');
                    if (content.p[i] == '\r')
                        assert_true(i + 1 < content.n && content.p[i + 1] == '\n');
                    if (content.p[i] == '\n')
                        assert_true(i > 0 && content.p[i - 1] == '\r');
                }
                buf_reset(&content);
            }
    }
    buf_clear(&content);
}

static void slices_span_lines(void **state)
{
    static const char in[] = "From: a\r\nTo: b\r\n\r\none\r\ntwo.\r\n..three\r\nfour\r\n.\r\n";
    struct buf content;
    struct outcome o;

    (void)state;
    buf_init(&content, 1000);
    o = decode(DATA_REJECT, slice_str(in), 1000, 1000, &content);
    assert_int_equal(o.slices, 2); /* up to the dropped dot, and from there to the end */
    buf_clear(&content);
}

static void eight_bit_is_seen_anywhere(void **state)
{
    static const char end[] = {'\r', '\n', '.', '\r', '\n'};
    char in[64];
    struct buf content;

    (void)state;
    buf_init(&content, 1000);
    for (size_t at = 0; at <= 40; at++) {
        memset(in, 'x', sizeof(in));
        memcpy(in + 40, end, sizeof(end));
        if (at < 40)
            in[at] = (char)0x80;
        assert_int_equal(decode(DATA_REJECT, slice_of(in, 45), 45, 45, &content).eight_bit,
                         at < 40);
        buf_reset(&content);
    }
    buf_clear(&content);
}

/* Long lines and short ones, with something odd in them: the scanner looks at many bytes at once, and
 * finds what a decoder finds that looks at one. */
static void c_in_04_blocks_see_what_bytes_see(void **state)
{
    static const char *const odd[] = {"\r\n",    "\r\n",   "\r\n",     "\r\n.",  "\n",
                                      "\r",      "\r\n..", ".",        "\r\r\n", "\xe4",
                                      "\n.\r\n", "",       "\r\n.\r\n"};
    struct buf in, want, got;
    unsigned random = 1;

    (void)state;
    buf_init(&in, 10000);
    buf_init(&want, 20000);
    buf_init(&got, 20000);
    for (int turn = 0; turn < 20000; turn++) {
        size_t pieces = 1 + (random >> 16) % 8;
        int mode = turn % 2;

        for (size_t i = 0; i < pieces; i++) {
            const char *what;
            size_t run;

            random = random * 1103515245 + 12345;
            run = (random >> 16) % 3 == 0 ? (random >> 18) % 150 : (random >> 18) % 40;
            while (run-- > 0)
                assert_true(buf_addc(&in, 'x'));
            random = random * 1103515245 + 12345;
            what = odd[(random >> 16) % (turn % 4 < 2 ? 4 : COUNT(odd))];
            assert_true(buf_add(&in, what[0] != '\0' ? slice_str(what) : slice_of("", 1)));
        }
        for (int part = 0; part < 4; part++) {
            struct plain_outcome plain = plain_decode((enum data_mode)mode, buf_slice(&in), &want);
            size_t first = part == 0 ? in.n : 1 + (random >> 16) % 80;
            struct outcome o = decode((enum data_mode)mode, buf_slice(&in), first,
                                      part < 2 ? in.n : 1 + (random >> 20) % 40, &got);

            random = random * 1103515245 + 12345;
            assert_int_equal(o.fate != UNFINISHED, plain.end != 0);
            assert_int_equal(o.rest, plain.end != 0 ? in.n - plain.end : 0);
            assert_int_equal(o.bad, plain.bad);
            assert_int_equal(o.eight_bit, plain.eight_bit);
            assert_true(slice_eq(buf_slice(&got), buf_slice(&want)));
            buf_reset(&want);
            buf_reset(&got);
        }
        buf_reset(&in);
    }
    buf_clear(&in);
    buf_clear(&want);
    buf_clear(&got);
}

static void encode(struct slice content, size_t part, struct buf *wire)
{
    struct data_encoder e;

    data_encoder_start(&e);
    for (size_t at = 0; at < content.n; at += part)
        assert_true(data_encode(&e, slice_first(slice_from(content, at), part), wire));
    assert_true(data_encode_end(&e, wire));
}

/* C-IN-05: stuffed again across any border. */
static void c_in_05_dots_are_stuffed_at_every_split(void **state)
{
    static const struct {
        struct slice content, wire;
    } cases[] = {
        {S(""), S(".\r\n")},
        {S(".\r\n"), S("..\r\n.\r\n")},
        {S("."), S("..\r\n.\r\n")},
        {S("a\r\n"), S("a\r\n.\r\n")},
        {S("a"), S("a\r\n.\r\n")},
        {S("a\r\n.\r\n"), S("a\r\n..\r\n.\r\n")},
        {S("a\r\n..b\r\n.\r\n.\r\nc.\r\n"), S("a\r\n...b\r\n..\r\n..\r\nc.\r\n.\r\n")},
        {S("\r\n\r\n.\r\n"), S("\r\n\r\n..\r\n.\r\n")},
        {S("h: x\r\n\r\nm.\r\n.x"), S("h: x\r\n\r\nm.\r\n..x\r\n.\r\n")},
    };
    struct buf wire;

    (void)state;
    buf_init(&wire, 1000);
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t part = 1; part <= cases[i].content.n + 1; part++) {
            encode(cases[i].content, part, &wire);
            if (!slice_eq(buf_slice(&wire), cases[i].wire))
                fail_msg("case %zu in parts of %zu: %s", i, part, buf_cstr(&wire));
            buf_reset(&wire);
        }
    buf_clear(&wire);
}

/* Byte by byte: a dot that begins a line is doubled (RFC 5321 4.5.2). */
static void plain_encode(struct slice content, struct buf *wire)
{
    for (size_t i = 0; i < content.n; i++) {
        if (content.p[i] == '.' &&
            (i == 0 || (i > 1 && content.p[i - 1] == '\n' && content.p[i - 2] == '\r')))
            assert_true(buf_addc(wire, '.'));
        assert_true(buf_addc(wire, content.p[i]));
    }
    assert_true(buf_add(wire, SLICE(".\r\n")));
}

static void c_in_05_dots_are_found_anywhere_in_a_block(void **state)
{
    struct buf content, wire, want;

    (void)state;
    buf_init(&content, 1000);
    buf_init(&wire, 1000);
    buf_init(&want, 1000);
    for (size_t before = 0; before < 40; before++)
        for (size_t part = 1; part < 100; part++) {
            for (size_t i = 0; i < before; i++)
                assert_true(buf_addc(&content, i % 7 == 3 ? '.' : 'x'));
            assert_true(buf_add(&content, SLICE("\r\n.\r\n..yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"
                                                "zzzzzzzzzzzz\r\n.\r\n\r\n")));
            encode(buf_slice(&content), part, &wire);
            plain_encode(buf_slice(&content), &want);
            assert_true(slice_eq(buf_slice(&wire), buf_slice(&want)));
            buf_reset(&content);
            buf_reset(&wire);
            buf_reset(&want);
        }
    buf_clear(&content);
    buf_clear(&wire);
    buf_clear(&want);
}

static void a_full_wire_is_left_as_it_was(void **state)
{
    static const struct slice content = S(".a\r\n.b\r\n");
    struct data_encoder e;
    struct buf wire;

    (void)state;
    data_encoder_start(&e);
    for (size_t cap = 0; cap < content.n + 2; cap++) {
        buf_init(&wire, cap);
        assert_false(data_encode(&e, content, &wire));
        assert_int_equal(wire.n, 0);
        buf_clear(&wire);
    }
    buf_init(&wire, content.n + 2);
    assert_true(data_encode(&e, content, &wire)); /* the encoder did not move meanwhile */
    assert_true(slice_eq(buf_slice(&wire), SLICE("..a\r\n..b\r\n")));
    assert_false(data_encode_end(&e, &wire));
    buf_clear(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_in_04_every_case_at_every_split),
        cmocka_unit_test(no_sequence_makes_two_messages),
        cmocka_unit_test(c_in_04_blocks_see_what_bytes_see),
        cmocka_unit_test(slices_span_lines),
        cmocka_unit_test(eight_bit_is_seen_anywhere),
        cmocka_unit_test(c_in_05_dots_are_stuffed_at_every_split),
        cmocka_unit_test(c_in_05_dots_are_found_anywhere_in_a_block),
        cmocka_unit_test(a_full_wire_is_left_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
