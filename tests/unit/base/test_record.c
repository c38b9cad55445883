/* SPDX-License-Identifier: Apache-2.0 */
/* Records: order, escaping, cutting (C-OPS-04). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/record.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define WHEN INT64_C(1795326840123) /* 2026-11-22T05:54:00.123Z */

typedef bool render_fn(const struct record *r, struct buf *out);

static void assert_renders(const struct record *r, render_fn *render, const char *want)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_true(render(r, &out));
    assert_string_equal(buf_cstr(&out), want);
    buf_clear(&out);
}

static void fields_in_order_absent_ones_left_out(void **state)
{
    const struct slice names[] = {SLICE("a.example"), SLICE("b c")};
    struct record *r = record_new("attempt", RECORD_INFO, WHEN);

    (void)state;
    record_cstr(r, "mx", "mx1.example");
    record_str(r, "absent", SLICE_NONE);
    record_cstr(r, "null", NULL);
    record_list(r, "none", names, 0);
    record_str(r, "empty", SLICE(""));
    record_int(r, "port", 25);
    record_int(r, "low", INT64_MIN);
    record_bool(r, "starttls", true);
    record_bool(r, "resumed", false);
    record_list(r, "names", names, COUNT(names));
    record_strf(r, "hint", "try %s", "again");
    assert_string_equal(record_event(r), "attempt");
    assert_int_equal(record_severity(r), RECORD_INFO);
    assert_renders(r, record_json,
                   "{\"time\":\"2026-11-22T05:54:00.123Z\",\"event\":\"attempt\","
                   "\"severity\":\"info\",\"mx\":\"mx1.example\",\"empty\":\"\",\"port\":25,"
                   "\"low\":-9223372036854775808,\"starttls\":true,\"resumed\":false,"
                   "\"names\":[\"a.example\",\"b c\"],\"hint\":\"try again\"}\n");
    assert_renders(r, record_text,
                   "05:54:00 attempt  mx=mx1.example empty=\"\" port=25 low=-9223372036854775808 "
                   "starttls=true resumed=false names=\"a.example,b c\" hint=\"try again\"\n");
    assert_renders(r, record_terminal,
                   "\033[32m05:54:00 attempt\033[0m  mx=mx1.example empty=\"\" port=25 "
                   "low=-9223372036854775808 starttls=true resumed=false "
                   "names=\"a.example,b c\" hint=\"try again\"\n");
    record_free(r);
    record_free(NULL);
}

static void severity_is_seen(void **state)
{
    struct record *r = record_new("config", RECORD_ERROR, WHEN);

    (void)state;
    record_int(r, "line", 3);
    assert_renders(r, record_text, "05:54:00 config  severity=error line=3\n");
    assert_renders(r, record_terminal, "\033[31m05:54:00 config\033[0m  severity=error line=3\n");
    record_free(r);
}

/* C-OPS-04: no raw control byte from a peer in any log. */
static void a_peer_cannot_write_the_log(void **state)
{
    static const struct {
        struct slice in;
        const char *json, *text;
    } cases[] = {
        {{"a\r\nb", 4}, "a\\u000d\\u000ab", "a\\x0D\\x0Ab"},
        {{"a\0b", 3}, "a\\u0000b", "a\\x00b"},
        {{"\033[2J", 4}, "\\u001b[2J", "\\x1B[2J"},
        {{"\t\177", 2}, "\\u0009\\u007f", "\\x09\\x7F"},
        {{"\"x\\", 3}, "\\\"x\\\\", "\"\\\"x\\\\\""},
        {{"a=b", 3}, "a=b", "\"a=b\""},
        {{"\xc3\xa4", 2}, "\xc3\xa4", "\xc3\xa4"},
        {{"\xe2\x82\xac", 3}, "\xe2\x82\xac", "\xe2\x82\xac"},
        {{"\xf0\x9f\x93\xa7", 4}, "\xf0\x9f\x93\xa7", "\xf0\x9f\x93\xa7"},
        {{"\xff", 1}, "\\ufffd", "\\xFF"},
        {{"\xc3", 1}, "\\ufffd", "\\xC3"},
        {{"\xc3(", 2}, "\\ufffd(", "\\xC3("},
        {{"\xe2\x82", 2}, "\\ufffd\\ufffd", "\\xE2\\x82"},
        {{"\x80", 1}, "\\ufffd", "\\x80"},
        {{"\xc0\x8a", 2}, "\\ufffd\\ufffd", "\\xC0\\x8A"},                 /* overlong LF */
        {{"\xed\xa0\x80", 3}, "\\ufffd\\ufffd\\ufffd", "\\xED\\xA0\\x80"}, /* surrogate */
        {{"\xf4\x90\x80\x80", 4}, "\\ufffd\\ufffd\\ufffd\\ufffd", "\\xF4\\x90\\x80\\x80"},
        {{"\xc2\x9b", 2}, "\\u009b", "\\xC2\\x9B"},          /* C1: CSI */
        {{"\xe2\x80\xae", 3}, "\\u202e", "\\xE2\\x80\\xAE"}, /* right to left */
        {{"\xe2\x80\xa8", 3}, "\\u2028", "\\xE2\\x80\\xA8"}, /* line separator */
    };
    char want[256];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct record *r = record_new("x", RECORD_INFO, 0);

        record_str(r, "v", cases[i].in);
        (void)snprintf(want, sizeof(want),
                       "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"x\",\"severity\":"
                       "\"info\",\"v\":\"%s\"}\n",
                       cases[i].json);
        assert_renders(r, record_json, want);
        (void)snprintf(want, sizeof(want), "00:00:00 x  v=%s\n", cases[i].text);
        assert_renders(r, record_text, want);
        record_free(r);
    }
}

/* Every byte value, also as the first of two: what comes out is printable, and one line. */
static void no_byte_gets_through_raw(void **state)
{
    static render_fn *const forms[] = {record_json, record_text};
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    for (int byte = 0; byte < 256; byte++)
        for (size_t form = 0; form < COUNT(forms); form++) {
            const char in[2] = {(char)byte, (char)0x85};
            struct record *r = record_new("x", RECORD_INFO, 0);

            record_str(r, "v", slice_of(in, sizeof(in)));
            record_list(r, "l", &(struct slice){in, 1}, 1);
            assert_true(forms[form](r, &out));
            assert_int_equal(out.p[out.n - 1], '\n');
            for (size_t i = 0; i + 1 < out.n; i++)
                assert_true((unsigned char)out.p[i] >= 0x20 && out.p[i] != 0x7f);
            buf_reset(&out);
            record_free(r);
        }
    buf_clear(&out);
}

/* Escaped as docs/log.md says, without any regard to speed; behind it stands an ASCII letter or the
 * end. */
static const char *escaped(int byte, render_fn *render, char out[8])
{
    bool odd = byte < 0x20 || byte >= 0x7f;

    if (odd && render == record_text)
        (void)snprintf(out, 8, "\\x%02X", (unsigned)byte);
    else if (odd && byte < 0x80)
        (void)snprintf(out, 8, "\\u%04x", (unsigned)byte);
    else if (odd)
        (void)snprintf(out, 8, "\\ufffd");
    else
        (void)snprintf(out, 8, "%s%c", byte == '"' || byte == '\\' ? "\\" : "", byte);
    return out;
}

/* What needs no escape is copied in pieces: every byte at every place of a text. */
static void a_byte_is_the_same_at_any_place(void **state)
{
    static const char letters[] = "aaaaaaaaaaaaaaaaaaaaaaa";
    char in[sizeof(letters) - 1], want[256], alone[8];

    (void)state;
    for (int byte = 0; byte < 256; byte++)
        for (size_t n = 1; n <= sizeof(in); n++)
            for (size_t at = 0; at < n; at++) {
                struct record *r = record_new("x", RECORD_INFO, 0);
                bool quotes = byte == ' ' || byte == '"' || byte == '=';
                int before = (int)at, behind = (int)(n - at - 1);

                memcpy(in, letters, sizeof(in));
                in[at] = (char)byte;
                record_str(r, "v", slice_of(in, n));
                (void)snprintf(want, sizeof(want),
                               "{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"x\","
                               "\"severity\":\"info\",\"v\":\"%.*s%s%.*s\"}\n",
                               before, letters, escaped(byte, record_json, alone), behind, letters);
                assert_renders(r, record_json, want);
                (void)snprintf(want, sizeof(want), "00:00:00 x  v=%s%.*s%s%.*s%s\n",
                               quotes ? "\"" : "", before, letters,
                               escaped(byte, record_text, alone), behind, letters,
                               quotes ? "\"" : "");
                assert_renders(r, record_text, want);
                record_free(r);
            }
}

static void long_values_are_cut_between_characters(void **state)
{
    static const char euro[] = {'\xe2', '\x82', '\xac'};
    struct record *r = record_new("x", RECORD_INFO, 0);
    struct slice many[150];
    char large[4096];
    struct buf out;
    const char *list;
    size_t entries = 0;

    (void)state;
    memset(large, 'a', sizeof(large));
    memcpy(large + 2043, euro, sizeof(euro)); /* the cut would fall into it */
    record_str(r, "v", slice_of(large, sizeof(large)));
    record_str(r, "whole", slice_of(large, 2048));
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = SLICE("n");
    record_list(r, "l", many, COUNT(many));
    buf_init(&out, 1 << 20);
    assert_true(record_json(r, &out));
    assert_non_null(strstr(buf_cstr(&out), "aaa...\",\"whole\":\"aaa"));
    assert_null(strstr(buf_cstr(&out), "\\ufffd"));
    list = strstr(buf_cstr(&out), "\"l\":");
    for (const char *at = list; (at = strstr(at, "\"n\"")) != NULL; at++)
        entries++;
    assert_int_equal(entries, 99);
    assert_non_null(strstr(list, "\"n\",\"...\"]}\n"));
    buf_clear(&out);
    record_free(r);
}

static void a_line_that_does_not_fit_is_not_begun(void **state)
{
    struct record *r = record_new("attempt", RECORD_INFO, 0);
    struct buf out;

    (void)state;
    record_cstr(r, "mx", "mx.example");
    for (size_t cap = 0; cap < 120; cap++) {
        buf_init(&out, cap);
        if (!record_json(r, &out))
            assert_int_equal(out.n, 0);
        else
            assert_int_equal(out.p[out.n - 1], '\n');
        buf_reset(&out);
        if (!record_terminal(r, &out))
            assert_int_equal(out.n, 0);
        buf_clear(&out);
    }
    record_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_in_order_absent_ones_left_out),
        cmocka_unit_test(severity_is_seen),
        cmocka_unit_test(a_peer_cannot_write_the_log),
        cmocka_unit_test(no_byte_gets_through_raw),
        cmocka_unit_test(a_byte_is_the_same_at_any_place),
        cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(a_line_that_does_not_fit_is_not_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
