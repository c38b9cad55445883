/* SPDX-License-Identifier: Apache-2.0 */
/* EHLO: keywords, LIMITS, the marks of a middlebox (C-TLS-05, C-OUT-05). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/ehlo.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct ehlo parsed(const char *text)
{
    struct reply r;
    struct ehlo e;

    reply_init(&r);
    reply_set(&r, 250, NULL, slice_str(text));
    ehlo_parse(&r, &e);
    reply_clear(&r);
    return e;
}

static void keywords_ignore_case_and_the_first_line(void **state)
{
    struct ehlo e = parsed("mx.example Hello [192.0.2.1]\nSTARTTLS\npipelining\n8BitMime\n"
                           "ENHANCEDSTATUSCODES\nSIZE 10240000\nSMTPUTF8\nCHUNKING\nDSN\n"
                           "REQUIRETLS\nPRDR\nLIMITS RCPTMAX=100 RCPTDOMAINMAX=1\nX-UNKNOWN a");

    (void)state;
    assert_string_equal(e.host, "mx.example");
    assert_true(e.starttls && e.pipelining && e.eightbitmime && e.enhancedstatuscodes && e.size);
    assert_true(e.smtputf8 && e.chunking && e.dsn && e.requiretls && e.prdr && e.has_limits);
    assert_true(e.size_max == 10240000);
    assert_int_equal(e.limits.rcptmax, 100);
    assert_int_equal(e.limits.rcptdomainmax, 1);
    assert_int_equal(e.limits.mailmax, 0);
    assert_false(e.masked);

    e = parsed("STARTTLS SIZE 5");
    assert_string_equal(e.host, "STARTTLS");
    assert_false(e.starttls || e.size);
    e = parsed("");
    assert_string_equal(e.host, "");
    e = parsed("mx\nSTARTTLSX\nXSTARTTLS\nSTART TLS\n");
    assert_false(e.starttls);
    e = parsed("mx\nSTARTTLS \n PIPELINING\n");
    assert_true(e.starttls && e.pipelining);
}

static void c_out_05_size(void **state)
{
    static const struct {
        const char *text;
        bool size;
        uint64_t max;
    } cases[] = {
        {"mx\nSIZE", true, 0},
        {"mx\nSIZE 0", true, 0},
        {"mx\nSIZE 511", true, 511},
        {"mx\nSIZE 18446744073709551615", true, UINT64_MAX},
        {"mx\nSIZE 18446744073709551616", true, 0},
        {"mx\nSIZE x", true, 0},
        {"mx\nSIZE=5", false, 0},
        {"mx", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ehlo e = parsed(cases[i].text);

        assert_int_equal(e.size, cases[i].size);
        assert_true(e.size_max == cases[i].max);
    }
}

static void a_long_host_is_cut(void **state)
{
    char text[600];
    struct ehlo e;

    (void)state;
    memset(text, 'h', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    e = parsed(text);
    assert_int_equal(strlen(e.host), sizeof(e.host) - 1);
}

/* C-TLS-05: the log names a middlebox when it sees its mark. */
static void c_tls_05_masks_are_seen(void **state)
{
    static const struct {
        const char *ehlo;
        bool masked;
    } cases[] = {
        {"mx\nXXXXXXXA", true},       {"mx\nPIPELINING\nXXXXXXXA\nXXXB", true},
        {"mx\nXXXXXXXX", true},       {"mx\nXXXA", true},
        {"mx\nX-EXPS GSSAPI", false}, {"mx\nXXX", false},
        {"mx\nXXAA", false},          {"mx\nXXXXXXX-A", false},
        {"XXXXXXXA", false},          {"mx\nXFORWARD", false},
    };
    static const struct {
        const char *text;
        bool masked;
    } greetings[] = {
        {"****************", true},
        {"**************************0******2***0*00", true},
        {"*** mx.example ESMTP ***", false},
        {"mx.example ESMTP", false},
        {"****", false},
        {"", false},
    };
    struct reply r;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(parsed(cases[i].ehlo).masked, cases[i].masked);
    reply_init(&r);
    for (size_t i = 0; i < COUNT(greetings); i++) {
        reply_set(&r, 220, NULL, slice_str(greetings[i].text));
        assert_int_equal(greeting_masked(&r), greetings[i].masked);
    }
    reply_clear(&r);
}

static void list_limit(void *ctx, struct slice name, struct slice value)
{
    assert_true(buf_addf(ctx, "%.*s:%.*s;", SLICE_ARG(name), SLICE_ARG(value)));
}

static void limits_of_rfc_9422(void **state)
{
    static const struct {
        const char *args, *named; /* NULL: refused */
        struct limits want;
    } cases[] = {
        {" unknown=a=b -_1oK=xY", "UNKNOWN:a=b;-_1OK:xY;", {0, 0, 0}},
        {" MAILMAX=123 OTHER=ignored RCPTDOMAINMAX=1 RCPTMAX=321",
         "MAILMAX:123;OTHER:ignored;RCPTDOMAINMAX:1;RCPTMAX:321;",
         {123, 321, 1}},
        {"mailmax=5", "MAILMAX:5;", {5, 0, 0}},
        {" MAILMAX=invalid", "MAILMAX:invalid;", {0, 0, 0}},
        {" MAILMAX=0", "MAILMAX:0;", {0, 0, 0}},
        {" MAILMAX=07", "MAILMAX:07;", {0, 0, 0}},
        {" MAILMAX=-7", "MAILMAX:-7;", {0, 0, 0}},
        {" MAILMAX=999999", "MAILMAX:999999;", {999999, 0, 0}},
        {" MAILMAX=1000000", "MAILMAX:1000000;", {0, 0, 0}},
        {" A=!~:<", "A:!~:<;", {0, 0, 0}},
        {" invalid syntax", NULL, {0, 0, 0}},
        {" DUP=1 DUP=2", NULL, {0, 0, 0}},
        {" RCPTMAX=1 rcptmax=1", NULL, {0, 0, 0}},
        {" RCPTMAX=5 broken", NULL, {0, 0, 0}},
        {" RCPTMAX=5 =1", NULL, {0, 0, 0}},
        {" RCPTMAX=", NULL, {0, 0, 0}},
        {" =", NULL, {0, 0, 0}},
        {" RCPTMAX=5;", NULL, {0, 0, 0}},
        {" RCPT.MAX=5", NULL, {0, 0, 0}},
        {" RCPTMAX=\xc3\xa4", NULL, {0, 0, 0}},
        {" A=1  B=2", NULL, {0, 0, 0}},
        {" A=1\tB=2", NULL, {0, 0, 0}},
        {" A=1 ", NULL, {0, 0, 0}},
        {"", NULL, {0, 0, 0}},
        {" ", NULL, {0, 0, 0}},
    };
    struct buf named;
    struct limits l;

    (void)state;
    buf_init(&named, 1000);
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool ok = limits_parse(slice_str(cases[i].args), &l, list_limit, &named);

        if (ok != (cases[i].named != NULL))
            fail_msg("%s", cases[i].args);
        assert_string_equal(buf_cstr(&named), ok ? cases[i].named : "");
        assert_int_equal(l.mailmax, cases[i].want.mailmax);
        assert_int_equal(l.rcptmax, cases[i].want.rcptmax);
        assert_int_equal(l.rcptdomainmax, cases[i].want.rcptdomainmax);
        buf_reset(&named);
    }
    buf_clear(&named);
}

/* Names are compared pair by pair, so their number has to have an end. */
static void endless_limits_are_refused(void **state)
{
    struct buf args;
    struct limits l;

    (void)state;
    buf_init(&args, 1 << 20);
    for (int i = 0; i < 20000; i++)
        assert_true(buf_addf(&args, " L%d=1", i));
    assert_false(limits_parse(buf_slice(&args), &l, NULL, NULL));
    buf_clear(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_ignore_case_and_the_first_line),
        cmocka_unit_test(c_out_05_size),
        cmocka_unit_test(a_long_host_is_cut),
        cmocka_unit_test(c_tls_05_masks_are_seen),
        cmocka_unit_test(limits_of_rfc_9422),
        cmocka_unit_test(endless_limits_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
