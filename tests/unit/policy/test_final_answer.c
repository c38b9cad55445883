/* SPDX-License-Identifier: Apache-2.0 */
/* Many results, one honest reply (C-RCPT-03). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/final_answer.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define PARTS_MAX 60

/* Parts from a row: "domain|wire reply with CRLF". */
struct parts {
    struct final_part part[PARTS_MAX];
    struct reply reply[PARTS_MAX];
    size_t count;
};

static void parts_add(struct parts *p, const char *domain, const char *wire)
{
    struct reply_parser parser;
    struct reply *r = &p->reply[p->count];
    size_t used;

    reply_init(r);
    reply_parser_start(&parser, r);
    assert_int_equal(reply_feed(&parser, wire, strlen(wire), &used), REPLY_DONE);
    p->part[p->count++] = (struct final_part){domain, r};
}

static void parts_clear(struct parts *p)
{
    while (p->count > 0)
        reply_clear(&p->reply[--p->count]);
}

/* What the client reads of it; what is told to Exim must fit its buffer of 4096 bytes. */
static void wire_of(const struct reply *r, char *out, size_t size)
{
    struct buf wire;

    buf_init(&wire, SIZE_MAX);
    assert_true(reply_write(r, &wire));
    assert_true(wire.n < size);
    memcpy(out, wire.p, wire.n);
    out[wire.n] = '\0';
    buf_clear(&wire);
}

#define HEAD "451-4.3.0 The destinations gave different answers: "

static const struct answer_case {
    const char *name;
    struct {
        const char *domain, *wire;
    } parts[4];
    bool agree;
    const char *want, *prdr;
} answer_cases[] = {
    {"one, verbatim",
     {{"a.example", "250-2.6.0 <x@y> queued\r\n250 as 17\r\n"}},
     true,
     "250-2.6.0 <x@y> queued\r\n250 as 17\r\n",
     "250 2.0.0 Delivered\r\n"},
    {"one 5yz",
     {{"a.example", "552 5.3.4 too big\r\n"}},
     true,
     "552 5.3.4 too big\r\n",
     "552 5.3.4 Refused for every recipient; each has its own reply\r\n"},
    {"one 421",
     {{"a.example", "421-4.7.0 busy\r\n421 4.7.0 bye\r\n"}},
     true,
     "451-4.7.0 busy\r\n451 4.7.0 bye\r\n",
     "451 4.0.0 Not delivered yet; each recipient has its own reply\r\n"},
    {"two delivered, of one code",
     {{"a.example", "250 2.0.0 ok 1\r\n"}, {"b.example", "250 2.0.0 ok 2\r\n"}},
     true,
     "250-2.0.0 a.example: 250 2.0.0 ok 1\r\n250 2.0.0 b.example: 250 2.0.0 ok 2\r\n",
     "250 2.0.0 Delivered\r\n"},
    {"two delivered, enhanced codes differ",
     {{"a.example", "250 2.6.0 ok\r\n"}, {"b.example", "250 ok\r\n"}},
     true,
     "250-2.0.0 a.example: 250 2.6.0 ok\r\n250 2.0.0 b.example: 250 ok\r\n",
     "250 2.0.0 Delivered\r\n"},
    {"two refused, the same",
     {{"a.example", "550 5.7.1 spam\r\n"}, {"b.example", "550 5.7.1 virus\r\n"}},
     true,
     "550-5.7.1 a.example: 550 5.7.1 spam\r\n550 5.7.1 b.example: 550 5.7.1 virus\r\n",
     "550 5.7.1 Refused for every recipient; each has its own reply\r\n"},
    {"two refused, by other codes",
     {{"a.example", "550 5.7.1 spam\r\n"}, {"b.example", "552 5.7.1 big\r\n"}},
     true,
     "554-5.7.1 a.example: 550 5.7.1 spam\r\n554 5.7.1 b.example: 552 5.7.1 big\r\n",
     "554 5.7.1 Refused for every recipient; each has its own reply\r\n"},
    {"two refused, without enhanced codes",
     {{"a.example", "554 no\r\n"}, {"b.example", "554 never\r\n"}},
     true,
     "554-5.0.0 a.example: 554 no\r\n554 5.0.0 b.example: 554 never\r\n",
     "554 5.0.0 Refused for every recipient; each has its own reply\r\n"},
    {"two deferred, one by 421",
     {{"a.example", "421 4.3.2 closing\r\n"}, {"b.example", "451 4.3.2 later\r\n"}},
     true,
     "451-4.3.2 a.example: 451 4.3.2 closing\r\n451 4.3.2 b.example: 451 4.3.2 later\r\n",
     "451 4.0.0 Not delivered yet; each recipient has its own reply\r\n"},
    {"two deferred, by other codes",
     {{"a.example", "450 4.2.0 grey\r\n"}, {"b.example", "452 4.3.1 full\r\n"}},
     true,
     "451-4.0.0 a.example: 450 4.2.0 grey\r\n451 4.0.0 b.example: 452 4.3.1 full\r\n",
     "451 4.0.0 Not delivered yet; each recipient has its own reply\r\n"},
    {"mixed: what went wrong comes first",
     {{"ok.example", "250 2.0.0 ok\r\n"},
      {"later.example", "450 4.2.0 grey\r\n"},
      {"no.example", "550 5.7.1 no\r\n"},
      {"never.example", "554 5.6.0 never\r\n"}},
     false,
     HEAD "no.example: 550 5.7.1 no\r\n"
          "451-4.3.0 never.example: 554 5.6.0 never\r\n"
          "451-4.3.0 later.example: 450 4.2.0 grey\r\n"
          "451 4.3.0 ok.example: 250 2.0.0 ok\r\n",
     "250 2.0.0 Delivered in part; each recipient has its own reply\r\n"},
    {"mixed: refused and deferred",
     {{"later.example", "421 bye\r\n"}, {"no.example", "550 5.7.1 no\r\n"}},
     false,
     HEAD "no.example: 550 5.7.1 no\r\n451 4.3.0 later.example: 451 bye\r\n",
     "451 4.0.0 Not delivered yet; each recipient has its own reply\r\n"},
    {"mixed: refused first",
     {{"no.example", "550 5.7.1 no\r\n"}, {"later.example", "450 4.2.0 grey\r\n"}},
     false,
     HEAD "no.example: 550 5.7.1 no\r\n451 4.3.0 later.example: 450 4.2.0 grey\r\n",
     "451 4.0.0 Not delivered yet; each recipient has its own reply\r\n"},
    {"parts without a text",
     {{"a.example", "250\r\n"}, {"b.example", "550 \r\n"}},
     false,
     HEAD "b.example: 550\r\n451 4.3.0 a.example: 250\r\n",
     "250 2.0.0 Delivered in part; each recipient has its own reply\r\n"},
    {"lines are joined, their enhanced codes said once",
     {{"a.example", "550-5.7.1 This mail\r\n550-5.7.1\r\n550-\r\n550-5.7.1  is not\r\n"
                    "550 5.7.x welcome\r\n"},
      {"b.example", "550 5.7.1\r\n"}},
     true,
     "550-5.7.1 a.example: 550 5.7.1 This mail / is not / 5.7.x welcome\r\n"
     "550 5.7.1 b.example: 550 5.7.1\r\n",
     "550 5.7.1 Refused for every recipient; each has its own reply\r\n"},
    {"a peer's bytes do no harm",
     {{"a.example", "550 a\rb\033[2J\tc \xc3\xa4\r\n"}, {"b\n250 ok", "550 no\r\n"}},
     true,
     "550-5.0.0 a.example: 550 a?b?[2J c ??\r\n550 5.0.0 b?250 ok: 550 no\r\n",
     "550 5.0.0 Refused for every recipient; each has its own reply\r\n"},
    {"no domain",
     {{"", "250 ok\r\n"}, {"", "450 no\r\n"}},
     false,
     HEAD ": 450 no\r\n451 4.3.0 : 250 ok\r\n",
     "250 2.0.0 Delivered in part; each recipient has its own reply\r\n"},
};

static void c_rcpt_03_answers(void **state)
{
    struct parts p = {.count = 0};
    struct reply out;
    char wire[4096];

    (void)state;
    reply_init(&out);
    for (size_t i = 0; i < COUNT(answer_cases); i++) {
        const struct answer_case *c = &answer_cases[i];

        for (size_t n = 0; n < COUNT(c->parts) && c->parts[n].wire != NULL; n++)
            parts_add(&p, c->parts[n].domain, c->parts[n].wire);
        if (final_answer_make(p.part, p.count, &out) != c->agree)
            fail_msg("%s: agree", c->name);
        wire_of(&out, wire, sizeof(wire));
        if (strcmp(wire, c->want) != 0)
            fail_msg("%s:\n%s", c->name, wire);
        /* Harmless already where it is logged, not only where it is written. */
        for (size_t n = 0; n < out.text.n && p.count > 1; n++)
            assert_true(out.text.p[n] == '\n' || (out.text.p[n] >= ' ' && out.text.p[n] <= '~'));
        assert_int_equal(out.origin, p.count == 1 ? REPLY_FROM_MX : REPLY_FROM_US);
        final_answer_prdr(p.part, p.count, &out);
        wire_of(&out, wire, sizeof(wire));
        if (strcmp(wire, c->prdr) != 0)
            fail_msg("%s, PRDR:\n%s", c->name, wire);
        parts_clear(&p);
    }
    reply_clear(&out);
}

/* A reply that no parser lets pass, from a mistake elsewhere: nothing is settled by it. */
static void c_rcpt_03_no_class_is_a_deferral(void **state)
{
    static const int codes[] = {0, 354, 199, 600, -1};
    struct reply bad, ok, out;

    (void)state;
    reply_init(&bad);
    reply_init(&ok);
    reply_init(&out);
    reply_set(&ok, 250, "2.0.0", SLICE("ok"));
    for (size_t i = 0; i < COUNT(codes); i++) {
        const struct final_part parts[] = {{"b.example", &bad}, {"a.example", &ok}};

        reply_set(&bad, codes[i], NULL, SLICE("what"));
        assert_true(final_answer_make(parts, 1, &out));
        assert_int_equal(out.code, 451);
        assert_false(final_answer_make(parts, 2, &out));
        assert_int_equal(out.code, 451);
        assert_true(slice_ihas(buf_slice(&out.text), SLICE("b.example: 451 what")));
    }
    reply_clear(&bad);
    reply_clear(&ok);
    reply_clear(&out);
}

static size_t lines_in(const char *wire)
{
    size_t n = 0;

    for (; (wire = strstr(wire, "\r\n")) != NULL; wire += 2)
        n++;
    return n;
}

/* How many of `count` parts stand in the reply, and whether its last line says how many do not. */
static const struct {
    size_t count, refused, lines;
    const char *last;
} many_cases[] = {
    {19, 1, 19, " d0.example: "}, /* the head stands in the first line, and each has its own */
    {20, 1, 20, " d0.example: "},    {21, 1, 20, " and 2 more\r\n"},
    {20, 0, 20, " d19.example: "},   {21, 0, 20, " and 2 more\r\n"},
    {50, 0, 20, " and 31 more\r\n"}, {50, 50, 20, " and 31 more\r\n"},
    {50, 3, 20, " and 31 more\r\n"},
};

static void c_rcpt_03_many_parts(void **state)
{
    char domains[PARTS_MAX][64], wire[4096];
    struct parts p = {.count = 0};
    struct reply out;

    (void)state;
    reply_init(&out);
    for (size_t c = 0; c < COUNT(many_cases); c++) {
        size_t count = many_cases[c].count, refused = many_cases[c].refused;
        bool mixed = refused > 0 && refused < count;

        /* The refused ones stand at the end, but for one at 1. */
        for (size_t i = 0; i < count; i++) {
            bool no = refused > 0 && (i == 1 || i > count - refused);

            (void)snprintf(domains[i], sizeof(domains[i]), "d%zu.example", i);
            parts_add(&p, domains[i], no || refused == count ? "550 no\r\n" : "250 ok\r\n");
        }
        assert_int_equal(final_answer_make(p.part, p.count, &out), !mixed);
        wire_of(&out, wire, sizeof(wire));
        assert_int_equal(lines_in(wire), many_cases[c].lines);
        assert_int_equal(out.line_count, many_cases[c].lines);
        if (many_cases[c].last[1] == 'a')
            assert_non_null(strstr(wire, many_cases[c].last));
        else
            assert_null(strstr(wire, " more\r\n"));
        if (mixed) {
            assert_non_null(strstr(wire, "answers: d1.example: 550 no\r\n"));
            assert_null(strstr(wire, "more: "));
            assert_true(strstr(wire, "550 no") < strstr(wire, "250 ok"));
        }
        parts_clear(&p);
    }
    reply_clear(&out);
}

/* Absurd lengths: each line is whole, what is cut shows it, and the code of each part is there. */
static void c_rcpt_03_lengths(void **state)
{
    static char domain[3000], text[60000], wire[8192];
    static const size_t counts[] = {2, 3, 7, 8, 19, 20, 50};
    struct parts p = {.count = 0};
    struct reply out;

    (void)state;
    reply_init(&out);
    memset(domain, 'd', sizeof(domain) - 1);
    (void)snprintf(text, sizeof(text), "550 5.7.1 %050000d\r\n", 7);
    for (size_t c = 0; c < COUNT(counts); c++) {
        const char *line;
        size_t seen = 0;

        for (size_t i = 0; i < counts[c]; i++)
            parts_add(&p, i % 2 == 0 ? domain : "b.example", i == 0 ? "250 ok\r\n" : text);
        assert_false(final_answer_make(p.part, p.count, &out));
        wire_of(&out, wire, 4000);
        for (line = wire; *line != '\0'; line = strstr(line, "\r\n") + 2, seen++) {
            size_t n = (size_t)(strstr(line, "\r\n") - line);

            assert_true(n <= 504);
            if (strncmp(line + 4, "4.3.0 and ", 10) == 0)
                continue;
            if (memmem(line, n, ": 250 ok", 8) != NULL)
                continue;
            assert_non_null(memmem(line, n, ": 550 5.7.1 00", 14));
            assert_memory_equal(line + n - 4, "0...", 4);
        }
        assert_int_equal(seen, out.line_count);
        parts_clear(&p);
    }
    reply_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_rcpt_03_answers),
        cmocka_unit_test(c_rcpt_03_no_class_is_a_deferral),
        cmocka_unit_test(c_rcpt_03_many_parts),
        cmocka_unit_test(c_rcpt_03_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
