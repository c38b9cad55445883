/* SPDX-License-Identifier: Apache-2.0 */
/* Which MTA the client is: dialogues and Received fields of real ones (C-LEG-01). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/client_kind.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_names(void **state)
{
    static const char *const names[] = {"unknown",   "postfix", "exim",    "sendmail",
                                        "opensmtpd", "qmail",   "exchange"};

    (void)state;
    assert_int_equal(COUNT(names), CLIENT_EXCHANGE + 1);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_string_equal(client_kind_name((enum client_kind)i), names[i]);
}

static const struct dialogue {
    const char *name;
    enum client_kind want;
    const char *lines[12];
} dialogues[] = {
    /* seen in the integration lab, with what tlsmend offers */
    {"Postfix 3.7.11",
     CLIENT_POSTFIX,
     {"EHLO client.lab.example", "XFORWARD ADDR=127.0.0.1 PORT=58890",
      "XFORWARD PROTO=ESMTP HELO=localhost IDENT=6F121EA51E SOURCE=LOCAL",
      "MAIL FROM:<sender@client.lab.example> SIZE=318", "RCPT TO:<a@one.example>",
      "RCPT TO:<b@one.example>", "RCPT TO:<c@two.example>", "DATA", "QUIT"}},
    {"Postfix without smtp_send_xforward_command",
     CLIENT_UNKNOWN,
     {"EHLO client.lab.example", "MAIL FROM:<sender@client.lab.example> SIZE=318 BODY=8BITMIME",
      "RCPT TO:<a@one.example>", "DATA", "QUIT"}},
    {"Exim 4.96",
     CLIENT_EXIM,
     {"EHLO client.lab.example", "MAIL FROM:<sender@client.lab.example> SIZE=1388 PRDR",
      "RCPT TO:<a@one.example>", "RCPT TO:<b@one.example>", "RCPT TO:<c@two.example>", "DATA",
      "QUIT"}},
    {"Exim 4.96, one recipient",
     CLIENT_UNKNOWN,
     {"EHLO client.lab.example", "MAIL FROM:<sender@client.lab.example> SIZE=1388",
      "RCPT TO:<a@one.example>", "DATA", "QUIT"}},
    {"OpenSMTPD 6.8.0",
     CLIENT_UNKNOWN,
     {"EHLO client.lab.example", "MAIL FROM:<sender@client.lab.example>", "RCPT TO:<b@one.example>",
      "RCPT TO:<c@two.example>", "DATA", "MAIL FROM:<sender@client.lab.example>",
      "RCPT TO:<b@one.example>", "DATA"}},
    {"Sendmail 8.17.1.9",
     CLIENT_SENDMAIL,
     {"EHLO client.lab.example", "MAIL From:<sender@client.lab.example> SIZE=324",
      "RCPT To:<c@two.example>", "RCPT To:<b@one.example>", "DATA", "RSET",
      "MAIL From:<sender@client.lab.example> SIZE=311", "RCPT To:<a@one.example>", "DATA", "QUIT"}},
    {"nothing yet", CLIENT_UNKNOWN, {NULL}},
    {"a greeting says nothing", CLIENT_UNKNOWN, {"EHLO mail.example"}},
    {"qmail-remote",
     CLIENT_UNKNOWN,
     {"HELO mail.example", "MAIL FROM:<a@mail.example>", "RCPT TO:<b@one.example>", "DATA",
      "QUIT"}},
    {"Exchange 2016",
     CLIENT_UNKNOWN,
     {"EHLO ex.example", "MAIL FROM:<a@ex.example> SIZE=10514", "RCPT TO:<b@one.example>", "DATA"}},
    {"dma, nullmailer",
     CLIENT_UNKNOWN,
     {"EHLO localhost", "MAIL FROM:<a@mail.example>", "RCPT TO:<b@one.example>", "DATA"}},
    {"a script",
     CLIENT_UNKNOWN,
     {"ehlo [127.0.0.1]", "mail FROM:<a@mail.example> size=120", "rcpt TO:<b@one.example>",
      "data"}},
    {"by hand",
     CLIENT_UNKNOWN,
     {"helo me", "mail from: a@mail.example", "rcpt to: b@one.example", "data"}},
    {"Postfix with smtp_send_xforward_command",
     CLIENT_POSTFIX,
     {"EHLO mail.example", "XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]",
      "XFORWARD IDENT=4Vx0Hy1z SOURCE=LOCAL", "MAIL FROM:<a@mail.example> SIZE=342",
      "RCPT TO:<b@one.example>", "DATA"}},
    {"Sendmail to a mailer with FromPath",
     CLIENT_SENDMAIL,
     {"EHLO mail.example", "MAIL From:<@mail.example:a@sub.example>", "RCPT To:<b@one.example>"}},
    {"signs against each other: PRDR and XFORWARD",
     CLIENT_UNKNOWN,
     {"XFORWARD IDENT=1", "MAIL FROM:<a@mail.example> SIZE=1 PRDR"}},
    {"signs against each other: the case changes",
     CLIENT_UNKNOWN,
     {"MAIL From:<a@mail.example>", "RCPT TO:<b@one.example>"}},
    {"signs against each other: Exim never says BODY",
     CLIENT_UNKNOWN,
     {"MAIL FROM:<a@mail.example> SIZE=1 BODY=8BITMIME PRDR"}},
    {"signs against each other: in the next transaction",
     CLIENT_UNKNOWN,
     {"MAIL FROM:<a@mail.example> PRDR", "RCPT TO:<b@one.example>", "RSET",
      "mail from:<a@mail.example>"}},
    {"PRDR inside a mailbox", CLIENT_UNKNOWN, {"MAIL FROM:<\"a PRDR b\"@mail.example>"}},
    {"PRDR inside a mailbox, with a bracket",
     CLIENT_UNKNOWN,
     {"MAIL FROM:<\"> PRDR b\"@mail.example>"}},
    {"PRDR inside a mailbox, behind a quoted quote",
     CLIENT_UNKNOWN,
     {"MAIL FROM:<\"a\\\"> PRDR \"@mail.example>"}},
    {"a mailbox that looks like a command", CLIENT_UNKNOWN, {"MAIL FROM:<From:<x@mail.example>"}},
    {"no such command",
     CLIENT_UNKNOWN,
     {"XFORWARD", "MAIL", "RCPT", "", "MAIL FROM:", "MAILFROM:<>"}},
};

static void c_leg_01_by_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dialogues); i++) {
        const struct dialogue *d = &dialogues[i];
        struct client_signs s = {.seen = 0};

        assert_int_equal(client_signs_kind(&s), CLIENT_UNKNOWN);
        for (size_t n = 0; n < COUNT(d->lines) && d->lines[n] != NULL; n++)
            client_signs_command(&s, slice_str(d->lines[n]));
        if (client_signs_kind(&s) != d->want)
            fail_msg("%s: %s", d->name, client_kind_name(client_signs_kind(&s)));
    }
}

static const struct received_case {
    enum client_kind want;
    const char *value;
} received_cases[] = {
    /* seen in the integration lab */
    {CLIENT_POSTFIX,
     "from localhost (unknown [127.0.0.1])\tby client.lab.example (Postfix) with ESMTP "
     "id 6F121EA51E;\tSun, 22 Nov 2026 12:52:33 +0000 (UTC)"},
    {CLIENT_EXIM,
     "from [127.0.0.1] (helo=localhost)\tby client.lab.example with esmtp (Exim 4.96)\t"
     "(envelope-from <sender@client.lab.example>)\tid 1xV73n-0006K5-2H;\tSun, 22 Nov 2026 "
     "12:52:47 +0000"},
    {CLIENT_OPENSMTPD,
     "from localhost (localhost [127.0.0.1])\tby client.lab.example (OpenSMTPD) with "
     "ESMTP id 26e2c04c;\tSun, 22 Nov 2026 12:53:02 +0000 (UTC)"},
    {CLIENT_SENDMAIL,
     "from localhost (localhost [127.0.0.1])\tby client.lab.example "
     "(8.17.1.9/8.17.1.9) with ESMTP id 6AMCrGSA026979;\tSun, 22 Nov 2026 12:53:16 GMT"},
    /* from the archives of public mailing lists, with other names */
    {CLIENT_POSTFIX,
     "by mail.example (Postfix, from userid 1000)\tid 8A10080009B; Tue, 26 Apr 2022 "
     "09:50:36 -0300 (-03)"},
    {CLIENT_POSTFIX,
     "from a.example (unknown [192.0.2.7])\tby b.example (Postfix/MJ-1.06) with ESMTP id "
     "BAF92138CF; Fri, 3 Nov 2006 01:00:00 +0000"},
    {CLIENT_POSTFIX,
     "from a.example (a.example [192.0.2.7])\t(using TLSv1.3 with cipher "
     "TLS_AES_256_GCM_SHA384 (256/256 bits))\t(Client CN \"x (Exim 4.96)\", Issuer \"y\" "
     "(not verified))\tby b.example (Postfix) with ESMTPS id 4Vx0Hy1z; Mon, 1 Jan 2024"},
    {CLIENT_EXIM,
     "from [192.0.2.7] (port=41000 helo=a.example)\tby b.example with esmtpsa (TLS1.3) tls "
     "TLS_AES_256_GCM_SHA384\t(Exim 4.96)\t(envelope-from <x@a.example>)\tid "
     "1q2w3e-0001Ab-2C\tfor y@c.example;\tMon, 01 Jan 2024 00:00:00 +0000"},
    {CLIENT_EXIM,
     "from root by b.example with local (Exim 4.69)\t(envelope-from <root@b.example>)\tid "
     "1njKeQ-00005X-Va; Tue, 26 Apr 2022 08:50:44 -0400"},
    {CLIENT_EXIM,
     "by b.example (Exim 4.90_1)\tid 1njKeQ-00005X-Va; Tue, 26 Apr 2022 08:50:44 -0400"},
    {CLIENT_SENDMAIL,
     "from a.example (localhost.localdomain [127.0.0.1])\tby b.example (8.13.8/8.13.8) "
     "with ESMTP id r7ECjDpZ026369\tfor <y@c.example>; Wed, 14 Aug 2013 07:59:31 -0500"},
    {CLIENT_SENDMAIL,
     "(from root@localhost)\tby b.example (8.14.4/8.14.4/Submit) id r7ECjDpZ026369; Wed, "
     "14 Aug 2013 07:59:31 -0500"},
    {CLIENT_SENDMAIL,
     "from a.example by b.example (5.61/1.14) id AA12345; Tue, 3 May 94 10:00:00 GMT"},
    {CLIENT_SENDMAIL,
     "from a.example by b.example (8.9.3+Sun/8.9.1) with SMTP id XAA01; 3 May 2001"},
    {CLIENT_OPENSMTPD,
     "from a.example (localhost [127.0.0.1])\tby b.example (OpenSMTPD) with ESMTPSA id "
     "55cb4a4f (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO)\tfor <y@c.example>;\tMon, 1 Jan"},
    {CLIENT_OPENSMTPD, "\tby b.example (OpenSMTPD) with ESMTP id 55cb4a4f;\tMon, 1 Jan 2024"},
    {CLIENT_QMAIL, "(qmail 6338 invoked by uid 399); 14 Aug 2013 07:59:33 -0000"},
    {CLIENT_QMAIL, " (qmail 12 invoked from network); 14 Aug 2013 07:59:33 -0000"},
    {CLIENT_QMAIL, "(qmail 12 invoked for bounce); 14 Aug 2013 07:59:33 -0000"},
    {CLIENT_EXCHANGE,
     "from a.example (10.10.20.9) by b.example (10.10.20.8) with Microsoft SMTP Server "
     "(version=TLS1_2,  cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2176.2; "
     "Thu, 3 Jun 2021 22:09:37 +0800"},
    {CLIENT_EXCHANGE,
     "from [10.0.0.1] (10.0.0.1) by b.example  (10.0.0.2) with Microsoft SMTP Server id "
     "15.0.1395.4 via Frontend  Transport; Fri, 6 Dec 2019 16:06:32 +0800"},
    {CLIENT_EXCHANGE, "from a.example ([169.254.5.159]) by b.example ([10.25.6.206]) with mapi id "
                      "14.03.0123.003; Wed, 14 Aug 2013 08:59:28 -0400"},
    {CLIENT_EXCHANGE, "from a.example ([10.0.0.1]) by b.example with Microsoft "
                      "SMTPSVC(6.0.3790.3959);\t Wed, 1 Apr 2009 19:26:44 -0400"},
    {CLIENT_EXCHANGE,
     "from a.example ([10.0.0.1]) by b.example over TLS secured channel with Microsoft "
     "SMTPSVC(8.5.9600.16384);  Tue, 26 Apr 2022 09:50:36 -0300"},
    /* others */
    {CLIENT_UNKNOWN, ""},
    {CLIENT_UNKNOWN,
     "from a.example (a.example [192.0.2.7]) by b.example (Haraka/2.1.4) with ESMTPS id 7B; x"},
    {CLIENT_UNKNOWN,
     "from a.example (EHLO c.example) by 10.0.0.1 with SMTPs; Wed, 29 May 2024 00:48:47"},
    {CLIENT_UNKNOWN,
     "by 2002:a05:6402:2076:: with SMTP id bd22csp1; Sat, 28 May 2024 17:48:47 -0700"},
    {CLIENT_UNKNOWN,
     "from a.example (HELO b.example) (10.0.0.1)  by c.example with SMTP; 14 Aug 2013"},
    {CLIENT_UNKNOWN, "by b.example (MTA-v3.8.12/8.1) with SMTP id x; y"},
    {CLIENT_UNKNOWN, "by b.example (1/2) id x"},
    {CLIENT_UNKNOWN, "by b.example (8.1/) id x"},
    {CLIENT_UNKNOWN, "by b.example (x8.1/8.1) id x"},
    {CLIENT_UNKNOWN, "by b.example (8.1/x8.1) id x"},
    {CLIENT_UNKNOWN, "by b.example (8a/8.1) id x"},
    {CLIENT_UNKNOWN, "by b.example (/8.1) id x"},
    {CLIENT_UNKNOWN, "by b.example (8.1) id x"},
    {CLIENT_UNKNOWN, "by b.example with ESMTP (Postfix) id x"},
    {CLIENT_UNKNOWN, "by b.example with ESMTP id x (Exim 4.96); y"},
    {CLIENT_UNKNOWN, "by b.example with ESMTP for <y@c.example> (Exim 4.96); z"},
    {CLIENT_UNKNOWN, "from a.example with ESMTP; by c.example (Postfix) id y"},
    {CLIENT_UNKNOWN, "by b.example with Microsoft SMTP Client id x"},
    {CLIENT_UNKNOWN, "by b.example (with) Microsoft SMTP Server id x"},
    {CLIENT_UNKNOWN, "(xmail 1 invoked by uid 2); x"},
    {CLIENT_UNKNOWN, "(qmail 1 run by uid 2); x"},
    {CLIENT_UNKNOWN, "by b.example (Postfixer) id x"},
    {CLIENT_UNKNOWN, "by b.example (OpenSMTPD-like) id x"},
    {CLIENT_UNKNOWN, "by b.example (Exim four) id x"},
    {CLIENT_UNKNOWN, "by b.example (qmail 1 invoked by uid 2); x"},
    {CLIENT_UNKNOWN, "(qmail one invoked by uid 2); x"},
    {CLIENT_UNKNOWN, "(qmail 1 invoked by uid 2) by b.example; x"},
    {CLIENT_UNKNOWN, "by b.example with Microsoft Mail; x"},
    {CLIENT_UNKNOWN, "by b.example with Microsoft SMTPSVC; x"},
    {CLIENT_UNKNOWN, "by b.example with mapi; x"},
    /* a client's words */
    {CLIENT_UNKNOWN, "from (Postfix) (Postfix [192.0.2.7]) by b.example with SMTP id x; y"},
    {CLIENT_EXIM,
     "from a.example ([192.0.2.7] helo=(by x (Postfix)))\tby b.example with esmtp (Exim "
     "4.96)\t(envelope-from <a@(Postfix)>)\tid 1; x"},
    {CLIENT_SENDMAIL,
     "from by (Postfix) (a.example [192.0.2.7]) by b.example (8.14.4/8.14.4) with ESMTP id x"},
    {CLIENT_POSTFIX,
     "from a.example (x \\( by y [192.0.2.7]) by b.example (Postfix) with ESMTP id x"},
    {CLIENT_POSTFIX,
     "from a.example (x (y) by z (Exim 4.96)) by b.example (Postfix) with ESMTP id x"},
    {CLIENT_UNKNOWN,
     "from a by c (Exim 4.96) (unknown [192.0.2.7]) by b.example (Postfix) with ESMTP id x"},
    {CLIENT_POSTFIX,
     "from a by c (Postfix) (unknown [192.0.2.7]) by b.example (Postfix) with ESMTP id x"},
    {CLIENT_POSTFIX, "by b.example (Postfix) with ESMTP id x for <\"by c (Exim 4)\"@d.example>; y"},
    {CLIENT_UNKNOWN, "by b.example with ESMTP id x for <y@c.example> (Exim 4.96); z"},
    {CLIENT_UNKNOWN, "by b.example with ESMTP id x; by c.example (Postfix) id y"},
    {CLIENT_UNKNOWN, "from a.example (unclosed by b.example (Postfix) with ESMTP id x"},
    {CLIENT_UNKNOWN, "by b.example (Postfix"},
    {CLIENT_UNKNOWN, "by (Postfix) id x"},
    {CLIENT_UNKNOWN, "by"},
    {CLIENT_UNKNOWN, "from"},
    {CLIENT_UNKNOWN, ")))((("},
};

static void c_leg_01_by_received(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(received_cases); i++) {
        const struct received_case *c = &received_cases[i];
        enum client_kind got = client_kind_of_received(slice_str(c->value));

        if (got != c->want)
            fail_msg("%s: %s", client_kind_name(got), c->value);
    }
    assert_int_equal(client_kind_of_received(SLICE_NONE), CLIENT_UNKNOWN);
}

/* A field that was cut anywhere may say less, but nothing else. */
static void c_leg_01_received_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(received_cases); i++) {
        struct slice value = slice_str(received_cases[i].value);
        enum client_kind full = received_cases[i].want;

        if (full == CLIENT_UNKNOWN)
            continue;
        for (size_t n = 0; n < value.n; n++) {
            enum client_kind got = client_kind_of_received(slice_first(value, n));

            if (got != full && got != CLIENT_UNKNOWN)
                fail_msg("%s: %.*s", client_kind_name(got), (int)n, value.p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(c_leg_01_by_commands),
        cmocka_unit_test(c_leg_01_by_received),
        cmocka_unit_test(c_leg_01_received_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
