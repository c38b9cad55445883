/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of MTA-STS: the policy (RFC 8461 3.2, C-STS-03). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"
#include "proxy/policy/mtasts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define NAME32 "n234567890123456789012345678901."
#define DAYS_10 "max_age: 864000\n"

/* "name=value|", one after the other */
static void note(void *ctx, struct slice name, struct slice value)
{
    assert_true(buf_addf(ctx, "%.*s=%.*s|", SLICE_ARG(name), SLICE_ARG(value)));
}

struct policy_case {
    const char *body;
    const char *mx; /* patterns, each with a blank behind it; NULL: refused */
    enum sts_mode mode;
    int64_t max_age;
    const char *extensions;
};

static void check_policy(const struct policy_case *c, struct slice body)
{
    struct sts_policy p;
    const char *why = "before";
    struct buf got, extensions;
    bool ok;

    buf_init(&got, SIZE_MAX);
    buf_init(&extensions, SIZE_MAX);
    ok = sts_policy_parse(body, &p, &why, note, &extensions);
    if (ok != (c->mx != NULL))
        fail_msg("\"%s\": %s", c->body, why != NULL ? why : "accepted");
    assert_true(ok == (why == NULL));
    if (ok) {
        for (size_t i = 0; i < p.mx_count; i++)
            assert_true(buf_addf(&got, "%s ", p.mx[i]));
        assert_string_equal(buf_cstr(&got), c->mx);
        assert_int_equal(p.mode, c->mode);
        assert_true(p.max_age == c->max_age);
        assert_string_equal(buf_cstr(&extensions), c->extensions != NULL ? c->extensions : "");
        sts_policy_clear(&p);
    }
    assert_true(p.mx == NULL && p.mx_count == 0);
    buf_clear(&got);
    buf_clear(&extensions);
}

static void check_policies(const struct policy_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf crlf;

        check_policy(&cases[i], slice_str(cases[i].body));
        /* The same with CRLF in the place of LF (RFC 8461 3.2: sts-policy-term). */
        buf_init(&crlf, SIZE_MAX);
        for (const char *c = cases[i].body; *c != '\0'; c++)
            assert_true((*c != '\n' || buf_addc(&crlf, '\r')) && buf_addc(&crlf, *c));
        check_policy(&cases[i], buf_slice(&crlf));
        buf_clear(&crlf);
    }
}

static void c_sts_03_policies(void **state)
{
    static const struct policy_case cases[] = {
        {"version: STSv1\nmode: enforce\nmx: mx.example.com\nmx: *.Example.NET\n" DAYS_10,
         "mx.example.com *.example.net ", STS_ENFORCE, 864000, NULL},
        {"version:STSv1\nmode:testing\nmx:a\nmax_age:1", "a ", STS_TESTING, 1, NULL},
        {"version: \t STSv1 \t\nmode:\tenforce\t\nmx:   a.example  \nmax_age: 0 \t\n", "a.example ",
         STS_ENFORCE, 0, NULL},
        /* Any order: the grammar asks for each field, not for its place. */
        {"max_age: 5\nmx: b.example\nmode: enforce\nmx: a.example\nversion: STSv1\n",
         "b.example a.example ", STS_ENFORCE, 5, NULL},
        {"mode: none\nmax_age: 5\nversion: STSv1", "", STS_NONE, 5, NULL},
        {"version: STSv1\nmode: none\nmx: a.example\nmax_age: 5\n", "a.example ", STS_NONE, 5,
         NULL},
        /* max_age */
        {"version: STSv1\nmode: none\nmax_age: 31557600\n", "", STS_NONE, 31557600, NULL},
        {"version: STSv1\nmode: none\nmax_age: 31557601\n", "", STS_NONE, 31557600, NULL},
        {"version: STSv1\nmode: none\nmax_age: 4294967297\n", "", STS_NONE, 31557600, NULL},
        {"version: STSv1\nmode: none\nmax_age: 9999999999\n", "", STS_NONE, 31557600, NULL},
        {"version: STSv1\nmode: none\nmax_age: 0000000007\n", "", STS_NONE, 7, NULL},
        /* The first wins, whatever the others say. */
        {"version: STSv1\nmode: enforce\nmode: none\nmax_age: 5\nmax_age: 6\nversion: STSv2\n"
         "mode: off\nmax_age: many\nmx: a.example\n",
         "a.example ", STS_ENFORCE, 5, NULL},
        {"version: STSv1\nmode: enforce\nmx: a.example\nmx: A.example\nmax_age: 5\n",
         "a.example a.example ", STS_ENFORCE, 5, NULL},
        /* Unknown fields */
        {"version: STSv1\nmode: none\nmax_age: 5\nmore: a = b; c: d\nmore: 2\nMX: any thing\n", "",
         STS_NONE, 5, "more=a = b; c: d|more=2|MX=any thing|"},
        {"version: STSv1\nmode: none\nmax_age: 5\n" NAME32 ":  x \t \n", "", STS_NONE, 5,
         NAME32 "=x|"},
        {"version: STSv1\nmode: none\nmax_age: 5\nx: gr\xc3\xbc\xc3\x9f \xe2\x82\xac "
         "\xf0\x9f\x93\xac\n",
         "", STS_NONE, 5, "x=gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x93\xac|"},
        /* Patterns */
        {"version: STSv1\nmode: enforce\nmx: xn--mx-ija.example\nmx: 3com.example\nmx: a-b.c--d\n"
         "mx: *.example\nmx: 192.0.2.1\nmax_age: 5\n",
         "xn--mx-ija.example 3com.example a-b.c--d *.example 192.0.2.1 ", STS_ENFORCE, 5, NULL},
    };

    (void)state;
    check_policies(cases, COUNT(cases));
}

/* Each line is put before, between and behind the lines of a good policy. */
static void c_sts_03_refused_lines(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "\t",
        "x",
        "x:",
        "x: ",
        ":",
        ": x",
        " x: y",
        "x : y",
        "_x: y",
        "-x: y",
        ".x: y",
        "x y: z",
        "x=y: z",
        "\xc3\xa9: z",
        (NAME32 "3: x"),
        "# comment",
        "x: a\tb",
        "x: a\rb",
        "x: a\x7f",
        "x: \x01",
        "mode:",
        "max_age: ",
        "version:",
        "\xef\xbb\xbfx: y", /* a BOM is no letter */
        "x: \xff",
        "x: \xc3",
        "x: \xc3\x28",
        "x: \x80",
        "x: \xc0\x80",
        "x: \xc1\xbf",
        "x: \xe0\x9f\xbf",
        "x: \xed\xa0\x80", /* a surrogate */
        "x: \xe2\x82",
        "x: \xe2\x82\x41",
        "x: \xf0\x8f\xbf\xbf",
        "x: \xf4\x90\x80\x80",
        "x: \xf5\x80\x80\x80",
        "mx:",
        "mx: *",
        "mx: *.",
        "mx: .",
        "mx: .a.example",
        "mx: a.example.",
        "mx: *.a.example.",
        "mx: a..example",
        "mx: **.example",
        "mx: *.*.example",
        "mx: a.*.example",
        "mx: a*.example",
        "mx: *a.example",
        "mx: -a.example",
        "mx: a-.example",
        "mx: a.example-",
        "mx: _a.example",
        "mx: a.example, b.example",
        "mx: a.example b.example",
        "mx: a.example:25",
        "mx: [192.0.2.1]",
        "mx: m\xc3\xb8x.example",
        "mx: a23456789012345678901234567890123456789012345678901234567890123b.example",
    };
    static const char *const base[] = {"version: STSv1", "mode: none", "max_age: 5"};

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        for (size_t at = 0; at <= COUNT(base); at++) {
            /* The first entries of a duplicate come first, or it would not be one. */
            bool duplicate = strncmp(lines[i], "m", 1) == 0 || strncmp(lines[i], "v", 1) == 0;
            struct policy_case c = {.mx = NULL};
            struct buf body;

            if (duplicate && at < COUNT(base))
                continue;
            buf_init(&body, SIZE_MAX);
            for (size_t k = 0; k <= COUNT(base); k++) {
                if (k == at)
                    assert_true(buf_addf(&body, "%s\n", lines[i]));
                if (k < COUNT(base))
                    assert_true(buf_addf(&body, "%s\n", base[k]));
            }
            c.body = buf_cstr(&body);
            check_policies(&c, 1);
            buf_clear(&body);
        }
    }
}

static void c_sts_03_refused_policies(void **state)
{
    static const struct policy_case cases[] = {
        {"", NULL, STS_NONE, 0, NULL},
        {"\n", NULL, STS_NONE, 0, NULL},
        {"<html>", NULL, STS_NONE, 0, NULL},
        {"mode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmax_age: 5\nmx: a\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: enforce\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: testing\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: testing\nmax_age: 5\nMX: a\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv2\nmode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv11\nmode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: stsv1\nmode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv2\nversion: STSv1\nmode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"Version: STSv1\nmode: none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: None\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: report\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none none\nmax_age: 5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 01234567890\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: -1\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: +1\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 1d\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 1.5\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 0x10\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 1 000\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 5\n\n", NULL, STS_NONE, 0, NULL},
        {"version: STSv1; mode: none; max_age: 5", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\rmode: none\rmax_age: 5\r", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 5\r", NULL, STS_NONE, 0, NULL},
        {"version: STSv1\nmode: none\nmax_age: 5\r\r\n", NULL, STS_NONE, 0, NULL},
    };
    static const char good[] = "version: STSv1\nmode: none\nmax_age: 5\n";
    struct policy_case c = {.body = "a NUL", .mx = NULL};

    (void)state;
    check_policies(cases, COUNT(cases));
    check_policy(&c, SLICE_NONE);
    check_policy(&c, slice_of("\0version: STSv1\nmode: none\nmax_age: 5\n", sizeof(good)));
    check_policy(&c, slice_of(good, sizeof(good)));
    for (size_t i = 0; i < sizeof(good) - 1; i++) { /* in the place of any byte */
        char body[sizeof(good)];

        memcpy(body, good, sizeof(good));
        body[i] = '\0';
        check_policy(&c, slice_of(body, sizeof(good) - 1));
    }
}

/* One byte past any limit is refused: 64 KiB of body, 253 bytes and 63 a label of a name. */
static void c_sts_03_limits(void **state)
{
    static const char head[] = "version: STSv1\nmode: none\nmax_age: 5\nx: ";
    static char body[STS_POLICY_MAX + 1];
    struct sts_policy p;
    const char *why;
    struct buf text;

    (void)state;
    memset(body, 'y', sizeof(body));
    memcpy(body, head, sizeof(head) - 1);
    assert_true(sts_policy_parse(slice_of(body, STS_POLICY_MAX), &p, &why, NULL, NULL));
    sts_policy_clear(&p);
    assert_false(sts_policy_parse(slice_of(body, STS_POLICY_MAX + 1), &p, &why, NULL, NULL));
    assert_non_null(strstr(why, "64 KiB"));

    for (size_t last = 60; last <= 62; last++) { /* 252 to 254 bytes */
        buf_init(&text, STS_POLICY_MAX);
        assert_true(buf_addf(&text, "version: STSv1\nmode: enforce\nmax_age: 5\nmx: *."));
        for (size_t label = 0; label < 3; label++)
            assert_true(buf_addf(&text, "%.*s.", 63, body + STS_POLICY_MAX - 63));
        assert_true(buf_addf(&text, "%.*s\n", (int)last, body + STS_POLICY_MAX - 63));
        assert_true(sts_policy_parse(buf_slice(&text), &p, &why, NULL, NULL) == (last <= 61));
        if (last <= 61) {
            assert_int_equal(strlen(p.mx[0]), 2 + 192 + last);
            sts_policy_clear(&p);
        }
        buf_clear(&text);
    }

    buf_init(&text, STS_POLICY_MAX);
    assert_true(buf_addf(&text, "version: STSv1\nmode: enforce\nmax_age: 5\n"));
    for (size_t i = 0; i < 13000; i++)
        assert_true(buf_addf(&text, "mx:%c\n", (char)('a' + i % 26)));
    assert_true(sts_policy_parse(buf_slice(&text), &p, &why, NULL, NULL));
    assert_int_equal(p.mx_count, 13000);
    assert_string_equal(p.mx[12999], "z");
    assert_true(sts_policy_lists(&p, SLICE("z")) && !sts_policy_lists(&p, SLICE("zz")));
    sts_policy_clear(&p);
    buf_clear(&text);
}

/* The text is kept for reports: reading must leave it as it is. */
static void the_body_is_not_changed(void **state)
{
    char body[] = "version: STSv1\r\nmode: enforce \r\nmx: MX.example.COM\r\nmax_age: 5\r\n";
    char copy[sizeof(body)];
    struct sts_policy p;
    const char *why;

    (void)state;
    memcpy(copy, body, sizeof(body));
    assert_true(sts_policy_parse(slice_of(body, sizeof(body) - 1), &p, &why, NULL, NULL));
    assert_memory_equal(body, copy, sizeof(body));
    sts_policy_clear(&p);
    sts_policy_clear(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_sts_03_policies),         cmocka_unit_test(c_sts_03_refused_lines),
        cmocka_unit_test(c_sts_03_refused_policies), cmocka_unit_test(c_sts_03_limits),
        cmocka_unit_test(the_body_is_not_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
