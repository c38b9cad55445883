/* SPDX-License-Identifier: Apache-2.0 */
/* The client's command lines: verbs, parameters, XFORWARD (C-IN-06). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/command.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define S(lit)                 \
    {                          \
        (lit), sizeof(lit) - 1 \
    }

static void verbs_and_their_arguments(void **state)
{
    static const struct {
        struct slice line;
        enum command_verb verb;
        const char *args;
    } cases[] = {
        {S("HELO mx.example"), COMMAND_HELO, "mx.example"},
        {S("ehlo mx.example"), COMMAND_EHLO, "mx.example"},
        {S("lhlo mx.example"), COMMAND_LHLO, "mx.example"},
        {S("MAIL FROM:<a@b> SIZE=1"), COMMAND_MAIL, "FROM:<a@b> SIZE=1"},
        {S("rCpT   TO:<a@b>  "), COMMAND_RCPT, "TO:<a@b>"},
        {S("DATA"), COMMAND_DATA, ""},
        {S("DATA "), COMMAND_DATA, ""},
        {S("RSET"), COMMAND_RSET, ""},
        {S("NOOP x y"), COMMAND_NOOP, "x y"},
        {S("QUIT\t"), COMMAND_QUIT, ""},
        {S("VRFY a"), COMMAND_VRFY, "a"},
        {S("EXPN a"), COMMAND_EXPN, "a"},
        {S("HELP"), COMMAND_HELP, ""},
        {S("XFORWARD NAME=a"), COMMAND_XFORWARD, "NAME=a"},
        {S("BDAT 5 LAST"), COMMAND_BDAT, "5 LAST"},
        {S("STARTTLS"), COMMAND_STARTTLS, ""},
        {S("AUTH PLAIN x"), COMMAND_AUTH, "PLAIN x"},
        {S(""), COMMAND_UNKNOWN, ""},
        {S("  "), COMMAND_UNKNOWN, ""},
        {S("DATAX"), COMMAND_UNKNOWN, ""},
        {S("DAT"), COMMAND_UNKNOWN, ""},
        {S("DATA\0"), COMMAND_UNKNOWN, ""},
        {S(" DATA"), COMMAND_UNKNOWN, ""},
        {S("Subject: x"), COMMAND_UNKNOWN, "x"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct command c = command_parse(cases[i].line);

        if (c.verb != cases[i].verb || !slice_eq(c.args, slice_str(cases[i].args)))
            fail_msg("%s", cases[i].line.p);
    }
}

static void c_in_06_mail(void **state)
{
    static const struct {
        struct slice args;
        int code;
        const char *enh, *path;
        struct mail_params want;
    } cases[] = {
        {S("FROM:<a@b>"), 0, NULL, "a@b", {.body = BODY_UNSAID}},
        {S("from:<>"), 0, NULL, "", {.body = BODY_UNSAID}},
        {S("FROM: <a@b>"), 0, NULL, "a@b", {.body = BODY_UNSAID}},
        {S("FROM:<a@b> SIZE=12345"), 0, NULL, "a@b", {.has_size = true, .size = 12345}},
        {S("FROM:<a@b>  size=0 body=8bitmime"),
         0,
         NULL,
         "a@b",
         {.has_size = true, .body = BODY_8BITMIME}},
        {S("FROM:<a@b> requireTLS PRDR"), 0, NULL, "a@b", {.prdr = true, .requiretls = true}},
        {S("FROM:<> REQUIRETLS"), 0, NULL, "", {.requiretls = true}},
        {S("FROM:<a@b> BODY=7BIT PRDR"), 0, NULL, "a@b", {.body = BODY_7BIT, .prdr = true}},
        {S("FROM:<a@b> SIZE=18446744073709551615"),
         0,
         NULL,
         "a@b",
         {.has_size = true, .size = UINT64_MAX}},
        {S(""), 501, "5.1.7", NULL, {0}},
        {S("TO:<a@b>"), 501, "5.1.7", NULL, {0}},
        {S("FROM <a@b>"), 501, "5.1.7", NULL, {0}},
        {S("FROM:a@b"), 501, "5.1.7", NULL, {0}},
        {S("FROM:<root>"), 501, "5.1.7", NULL, {0}},
        {S("FROM:<a\rb@c>"), 501, "5.1.7", NULL, {0}},
        {S("FROM:<a\xe4@c>"), 501, "5.1.7", NULL, {0}},
        {S("FROM:<a@b_/c>"), 501, "5.1.8", NULL, {0}},
        {S("FROM:<a@b>SIZE=1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=\r1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> X\0"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> S\xc3\xa4=1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> X=\x01"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b>\tSIZE=1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE="), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=-1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=1x"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=18446744073709551616"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=000000000000000000001"), 501, "5.5.4", NULL, {0}}, /* 21 digits */
        {S("FROM:<a@b> SIZE=1 SIZE=2"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> BODY=7BIT BODY=7BIT"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> BODY=BINARYMIME"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> =x"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> -x=y"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> a_b=y"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> a=b=c"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> RET=HDRS"), 555, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> AUTH=<>"), 555, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> PRDR=x"), 555, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> REQUIRETLS=1"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> REQUIRETLS="), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> REQUIRETLS requiretls"), 501, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> XREQUIRETLS"), 555, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SMTPUTF8"), 555, "5.5.4", NULL, {0}},
        {S("FROM:<a@b> SIZE=1 x"), 555, "5.5.4", NULL, {0}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mail_params params;
        struct mailbox m;
        struct command_error e = command_mail(cases[i].args, &m, &params);

        if (e.code != cases[i].code)
            fail_msg("%s: %d", cases[i].args.p, e.code);
        if (e.code != 0) {
            assert_string_equal(e.enh, cases[i].enh);
            assert_non_null(e.text);
            continue;
        }
        assert_true(slice_eq(m.path, slice_str(cases[i].path)));
        assert_int_equal(params.has_size, cases[i].want.has_size);
        assert_true(params.size == cases[i].want.size);
        assert_int_equal(params.body, cases[i].want.body);
        assert_int_equal(params.prdr, cases[i].want.prdr);
        assert_int_equal(params.requiretls, cases[i].want.requiretls);
    }
}

static void smtputf8_is_noted(void **state)
{
    struct mail_params params;
    struct mailbox m;

    (void)state;
    assert_int_equal(command_mail(SLICE("FROM:<a@b> SMTPUTF8"), &m, &params).code, 555);
    assert_true(params.smtputf8);
}

static void c_in_06_rcpt(void **state)
{
    static const struct {
        struct slice args;
        int code;
        const char *enh, *path;
    } cases[] = {
        {S("TO:<a@b>"), 0, NULL, "a@b"},
        {S("to: <a@b> "), 0, NULL, "a@b"},
        {S("TO:<@r.example:a@b>"), 0, NULL, "a@b"},
        {S("TO:<Postmaster>"), 0, NULL, "Postmaster"},
        {S("TO:<a@[192.0.2.1]>"), 0, NULL, "a@[192.0.2.1]"},
        {S("TO:<a>"), 501, "5.1.3", NULL},
        {S("TO:<>"), 501, "5.1.3", NULL},
        {S("TO:a@b"), 501, "5.1.3", NULL},
        {S("FROM:<a@b>"), 501, "5.1.3", NULL},
        {S("TO:<a@b\n>"), 501, "5.1.3", NULL},
        {S("TO:<a@->->"), 501, "5.5.4", NULL},
        {S("TO:<a@.b>"), 501, "5.1.3", NULL},
        {S("TO:<a@b>x"), 501, "5.5.4", NULL},
        {S("TO:<a@b> \x01"), 501, "5.5.4", NULL},
        {S("TO:<a@b> ="), 501, "5.5.4", NULL},
        {S("TO:<a@b> NOTIFY=NEVER"), 555, "5.5.4", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mailbox m;
        struct command_error e = command_rcpt(cases[i].args, &m);

        if (e.code != cases[i].code)
            fail_msg("%s: %d", cases[i].args.p, e.code);
        if (e.code != 0)
            assert_string_equal(e.enh, cases[i].enh);
        else
            assert_true(slice_eq(m.path, slice_str(cases[i].path)));
    }
}

/* C-LEG-02: IDENT is the client's queue id. */
static void c_leg_02_xforward(void **state)
{
    static const struct slice broken[] = {
        S(""),          S("NAME"),      S("NAME=a FOO=b"), S("IDENT=a+"),   S("IDENT=a+0"),
        S("IDENT=+0A"), S("IDENT=+00"), S("IDENT=a+zz"),   S("IDENT=\x01"), S("IDENT=+E4"),
    };
    char large[400] = "HELO=";
    struct xforward x = {.ident = "kept"};

    (void)state;
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct command_error e = command_xforward(broken[i], &x);

        assert_int_equal(e.code, 501);
        assert_string_equal(e.enh, "5.5.4");
        assert_string_equal(x.ident, "kept");
        assert_string_equal(x.name, "");
    }
    assert_int_equal(command_xforward(SLICE("NAME=spike.example ADDR=IPv6:2001:db8::1 PORT=25 "
                                            "PROTO=ESMTP SOURCE=LOCAL"),
                                      &x)
                         .code,
                     0);
    assert_string_equal(x.name, "spike.example");
    assert_string_equal(x.addr, "IPv6:2001:db8::1");
    assert_string_equal(x.port, "25");
    assert_string_equal(x.proto, "ESMTP");
    assert_string_equal(x.source, "LOCAL");
    assert_string_equal(x.ident, "kept");
    assert_int_equal(
        command_xforward(SLICE("helo=a+2Bb+20c name=[UNAVAILABLE] IDENT=4WxYz12"), &x).code, 0);
    assert_string_equal(x.helo, "a+b c");
    assert_string_equal(x.name, "");
    assert_string_equal(x.ident, "4WxYz12");
    memset(large + 5, 'h', sizeof(large) - 5);
    assert_int_equal(command_xforward(slice_of(large, sizeof(large)), &x).code, 0);
    assert_int_equal(strlen(x.helo), sizeof(x.helo) - 1);
    assert_string_equal(x.ident, "4WxYz12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_and_their_arguments), cmocka_unit_test(c_in_06_mail),
        cmocka_unit_test(smtputf8_is_noted),         cmocka_unit_test(c_in_06_rcpt),
        cmocka_unit_test(c_leg_02_xforward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
