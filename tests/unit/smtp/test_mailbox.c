/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, mailboxes and domains (C-IN-06, C-MX-08, C-MX-09). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/mailbox.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define S(lit)                 \
    {                          \
        (lit), sizeof(lit) - 1 \
    }

static void c_in_06_paths(void **state)
{
    static const struct {
        struct slice in;
        enum mailbox_status want;
        const char *path, *local, *domain, *rest;
    } cases[] = {
        {S("<a@b.example>"), MAILBOX_OK, "a@b.example", "a", "b.example", ""},
        {S("<a@b.example> SIZE=1"), MAILBOX_OK, "a@b.example", "a", "b.example", " SIZE=1"},
        {S("<A.b+c=d@EXAMPLE.org.>"), MAILBOX_OK, "A.b+c=d@EXAMPLE.org.", "A.b+c=d", "EXAMPLE.org.",
         ""},
        {S("<>"), MAILBOX_EMPTY, "", "", "", ""},
        {S("<> BODY=7BIT"), MAILBOX_EMPTY, "", "", "", " BODY=7BIT"},
        {S("<postmaster>"), MAILBOX_NO_DOMAIN, "postmaster", "postmaster", "", ""},
        /* Source routes are stripped, %-hacks and quotes are not touched. */
        {S("<@x.example:a@b.example>"), MAILBOX_OK, "a@b.example", "a", "b.example", ""},
        {S("<@x.example,@y.example:a@b>"), MAILBOX_OK, "a@b", "a", "b", ""},
        {S("<a%c.example@b.example>"), MAILBOX_OK, "a%c.example@b.example", "a%c.example",
         "b.example", ""},
        {S("<host!user@b.example>"), MAILBOX_OK, "host!user@b.example", "host!user", "b.example",
         ""},
        {S("<\"a b\"@b.example>"), MAILBOX_OK, "\"a b\"@b.example", "\"a b\"", "b.example", ""},
        {S("<\"a>b@c\"@b.example> X"), MAILBOX_OK, "\"a>b@c\"@b.example", "\"a>b@c\"", "b.example",
         " X"},
        {S("<\"a\\\"b\\\\\"@b.example>"), MAILBOX_OK, "\"a\\\"b\\\\\"@b.example", "\"a\\\"b\\\\\"",
         "b.example", ""},
        {S("<a..b.@b.example>"), MAILBOX_OK, "a..b.@b.example", "a..b.", "b.example", ""},
        {S("<a@_x-1.b>"), MAILBOX_OK, "a@_x-1.b", "a", "_x-1.b", ""},
        {S(""), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("a@b"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<a@b"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S(" <a@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<a b@c>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<a@b@c>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a(x)@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<\"a\"b@c>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<\"a@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<a\"b@c\">"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<@x:>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<@x,y:a@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<@x,:a@b>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<<a@b>>"), MAILBOX_BAD_SYNTAX, NULL, NULL, NULL, NULL},
        {S("<a@>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a@.>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a@b..c>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a@.b>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a@b c>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a@b/c>"), MAILBOX_BAD_DOMAIN, NULL, NULL, NULL, NULL},
        {S("<a\r@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<a\n@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<a\0@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<a\t@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<a\x7f@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<\"a\x01\"@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<\"a\\\n\"@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<\xc3\xa4@b>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
        {S("<a@\xc3\xa4.example>"), MAILBOX_BAD_BYTES, NULL, NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mailbox m;
        struct slice rest;
        enum mailbox_status got = mailbox_parse(cases[i].in, &m, &rest);

        if (got != cases[i].want)
            fail_msg("%s: status %d", cases[i].in.p, (int)got);
        if (cases[i].path == NULL)
            continue;
        assert_true(slice_eq(m.path, slice_str(cases[i].path)));
        assert_true(slice_eq(m.local, slice_str(cases[i].local)));
        assert_true(slice_eq(m.domain, slice_str(cases[i].domain)));
        assert_true(slice_eq(rest, slice_str(cases[i].rest)));
        assert_false(m.is_literal);
    }
}

/* C-MX-08: an address in the place of a domain. */
static void c_mx_08_address_literals(void **state)
{
    static const struct {
        const char *in;
        enum mailbox_status want;
        const char *addr;
    } cases[] = {
        {"<a@[192.0.2.1]>", MAILBOX_OK, "192.0.2.1"},
        {"<a@[IPv6:2001:db8::1]>", MAILBOX_OK, "2001:db8::1"},
        {"<a@[ipv6:::1]>", MAILBOX_OK, "::1"},
        {"<a@[2001:db8::1]>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[IPv6:192.0.2.1]>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[IPv6:fe80::1%1]>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[192.0.2.1]x>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[192.0.2.1>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[]>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[>", MAILBOX_BAD_DOMAIN, NULL},
        {"<a@[x400:whatever]>", MAILBOX_BAD_DOMAIN, NULL},
    };
    char text[ADDR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mailbox m;
        struct slice rest;

        assert_int_equal(mailbox_parse(slice_str(cases[i].in), &m, &rest), cases[i].want);
        if (cases[i].addr == NULL)
            continue;
        assert_true(m.is_literal);
        assert_string_equal(addr_text(&m.literal, text), cases[i].addr);
    }
}

static void long_parts_are_refused(void **state)
{
    static const struct {
        size_t local, labels; /* labels of 63 letters */
        enum mailbox_status want;
    } cases[] = {
        {LOCAL_PART_MAX, 1, MAILBOX_OK},
        {LOCAL_PART_MAX + 1, 1, MAILBOX_TOO_LONG},
        {1, 3, MAILBOX_OK},
        {1, 4, MAILBOX_TOO_LONG},
    };
    char in[2000], label[64];

    (void)state;
    memset(label, 'd', 63);
    label[63] = '\0';
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mailbox m;
        struct slice rest;
        size_t n = 0;

        in[n++] = '<';
        memset(in + n, 'l', cases[i].local);
        n += cases[i].local;
        for (size_t j = 0; j < cases[i].labels; j++)
            n += (size_t)snprintf(in + n, sizeof(in) - n, "%c%s", j == 0 ? '@' : '.', label);
        in[n++] = '>';
        assert_int_equal(mailbox_parse(slice_of(in, n), &m, &rest), cases[i].want);
    }
}

static void c_mx_09_domains_are_normalised(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: none */
    } cases[] = {
        {"Example.ORG", "example.org"},
        {"example.org.", "example.org"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"localhost", "localhost"},
        {"_dmarc.a-b.c", "_dmarc.a-b.c"},
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {".a", NULL},
        {"a.b..", NULL},
        {"a b", NULL},
        {"a/b", NULL},
        {"b\xc3\xbc"
         "cher.example",
         NULL},
        {"*.example.org", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", NULL}, /* 64 */
    };
    char out[DOMAIN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(domain_normalise(slice_str(cases[i].in), out), cases[i].out != NULL);
        if (cases[i].out != NULL)
            assert_string_equal(out, cases[i].out);
    }
}

static void c_mx_09_domains_are_compared_by_labels(void **state)
{
    static const struct {
        const char *a, *b;
        bool eq, below;
    } cases[] = {
        {"a.example", "A.Example.", true, false},
        {"a.example.", "a.example", true, false},
        {"x.a.example", "a.example", false, true},
        {"x.y.A.example.", "a.Example", false, true},
        {"xa.example", "a.example", false, false},
        {"xyza.example", "a.example", false, false},
        {"a.example", "x.a.example", false, false},
        {".a.example", "a.example", false, false},
        {"a.example", "", false, false},
        {"a.example", ".", false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(domain_eq(slice_str(cases[i].a), slice_str(cases[i].b)), cases[i].eq);
        assert_int_equal(domain_below(slice_str(cases[i].a), slice_str(cases[i].b)),
                         cases[i].below);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_in_06_paths),
        cmocka_unit_test(c_mx_08_address_literals),
        cmocka_unit_test(long_parts_are_refused),
        cmocka_unit_test(c_mx_09_domains_are_normalised),
        cmocka_unit_test(c_mx_09_domains_are_compared_by_labels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
