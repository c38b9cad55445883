/* SPDX-License-Identifier: Apache-2.0 */
/* The client's queue id from the first Received field (C-LEG-02), and TLS-Required: No, at every split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/smtp/header.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define END "Subject: x\r\n\r\nbody\r\n"

/* The scan of a message that comes in two pieces. */
static struct header_scan scan_in_two(struct slice in, size_t cut)
{
    struct header_scan s;

    header_scan_start(&s);
    header_scan_feed(&s, slice_first(in, cut));
    header_scan_feed(&s, slice_from(in, cut));
    return s;
}

static void c_leg_02_queue_ids_of_the_legacy_mtas(void **state)
{
    static const struct {
        const char *message, *id;
    } cases[] = {
        /* Postfix, by network and by pickup */
        {"Received: from client.example (client.example [192.0.2.9])\r\n"
         "\tby mx.example (Postfix) with ESMTP id 4WxYz12abc\r\n"
         "\tfor <a@b.example>; Sun, 22 Nov 2026 05:54:00 +0000 (UTC)\r\n" END,
         "4WxYz12abc"},
        {"Received: by mx (Postfix, from userid 0)\r\n\tid ABC123; Sun, 22 Nov 2026\r\n" END,
         "ABC123"},
        /* Exim */
        {"Received: from x by y with esmtp (Exim 4.96)\r\n\t(envelope-from <a@b>)\r\n"
         "\tid 1abcDE-0001Xy-2Z\r\n\tfor x@y;\r\n\tSun, 22 Nov 2026\r\n" END,
         "1abcDE-0001Xy-2Z"},
        {"Received: from root by y with local (Exim 4.96)\r\n"
         "\tid 1abcDE-00000000Xy-2Z2Z; Sun\r\n" END,
         "1abcDE-00000000Xy-2Z2Z"},
        /* Sendmail */
        {"Received: from x (localhost [127.0.0.1])\r\n\tby host (8.17/8.17) id 3AM5abc012345; Sun"
         "\r\n" END,
         "3AM5abc012345"},
        /* OpenSMTPD */
        {"Received: from x (x [local])\r\n\tby host (OpenSMTPD) with ESMTP id 1a2b3c4d for <a@b>;\r"
         "\n\tSun, 22 Nov 2026 05:54:00 +0000 (UTC)\r\n" END,
         "1a2b3c4d"},
        /* more words behind a clause; a host called id; no blank before a comment */
        {"Received: from x by y with Microsoft SMTP Server (TLS) id 14.3.1; d\r\n" END, "14.3.1"},
        {"Received: from id (id [192.0.2.1]) by via id real; d\r\n" END, "real"},
        {"Received: from x(y)by z(w)id q1(v);d\r\n" END, "q1"},
        {"Received: by x (nested (id no) \\) id no) id yes; d\r\n" END, "yes"},
        {"RECEIVED : BY X ID q2; d\r\n" END, "q2"},
        {"Received:by x id\r\n q3\r\n" END, "q3"},
        /* other fields before it, folded ones with the word in them too */
        {"Return-Path: <a@b>\r\nX-A: 1\r\n Received: by n id no; d\r\nReceived: by y id q4; "
         "d\r\n" END,
         "q4"},
        {"X-Received: by n id no; d\r\nReceive: by n id no\r\nReceived: by y id q5; d\r\n" END,
         "q5"},
        /* the first one decides */
        {"Received: (qmail 123 invoked by uid 0); d\r\nReceived: by x id no; d\r\n" END, ""},
        {"Received: by x id q6; d\r\nReceived: by x id no; d\r\n" END, "q6"},
        /* none */
        {"Received: by x; id no\r\n" END, ""},
        {"Received: by x id; d\r\n" END, ""},
        {"Received: by x id\r\n" END, ""},
        {"Received: by x (id no\r\n" END, ""},
        {"Received: by x id <a@b>; d\r\n" END, ""},
        {"Received: by x id a\001b; d\r\n" END, ""},
        {"Received: by x id b\xc3\xa4; d\r\n" END, ""},
        {"Received: by x for id id q7; d\r\n" END, "q7"},
        {"Subject: x\r\n\r\nReceived: by x id no; d\r\n" END, ""},
        {"\r\nReceived: by x id no; d\r\n" END, ""},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_str(cases[i].message);

        for (size_t cut = 0; cut <= in.n; cut++) {
            struct header_scan s = scan_in_two(in, cut);

            if (strcmp(s.queue_id, cases[i].id) != 0)
                fail_msg("%s, cut at %zu: '%s'", in.p, cut, s.queue_id);
            assert_int_equal(s.done, in.n > 0);
        }
    }
}

static void long_ids_and_fields(void **state)
{
    static char in[4000];
    struct header_scan s;

    (void)state;
    for (size_t n = 126; n <= 129; n++) {
        (void)snprintf(in, sizeof(in), "Received: by x id %0*d; d\r\n" END, (int)n, 7);
        header_scan_start(&s);
        header_scan_feed(&s, slice_str(in));
        assert_int_equal(strlen(s.queue_id), n < QUEUE_ID_MAX ? n : 0);
    }
    /* The field is cut in the middle of the word: what is left of it is not an id. */
    (void)snprintf(in, sizeof(in), "Received: by %02033d id abcdefgh; d\r\n" END, 7);
    header_scan_start(&s);
    header_scan_feed(&s, slice_str(in));
    assert_true(s.done);
    assert_string_equal(s.queue_id, "");
}

static void the_search_has_an_end(void **state)
{
    struct header_scan s;
    size_t fed = 0;

    (void)state;
    header_scan_start(&s);
    while (!s.done && fed < 1000000) {
        header_scan_feed(&s, SLICE("X-Filler: filler\r\n"));
        fed += 18;
    }
    assert_true(fed < HEADER_SCAN_MAX + 18);
    header_scan_feed(&s, SLICE("Received: by x id no; d\r\n\r\n"));
    assert_string_equal(s.queue_id, "");
}

/* RFC 8689 3: one field, with the value No and no other. */
static void tls_required_no(void **state)
{
    static const struct {
        const char *message;
        bool want;
    } cases[] = {
        {"TLS-Required: No\r\n" END, true},
        {"tls-REQUIRED:nO\r\n" END, true},
        {"TLS-Required : No\r\n" END, true},
        {"TLS-Required: \t No \t\r\n" END, true},
        {"TLS-Required:\r\n No\r\n \r\n" END, true},
        {"TLS-Required: No\n" END, true},
        {"TLS-Required: No", true}, /* a message of one line, without its end */
        {"TLS-Required: No\r\n", true},
        {"Received: by x id q1; d\r\n\tTLS-Required: x\r\nSubject: y\r\nTLS-Required: No\r\n\r\n",
         true},
        {"TLS-Required: No\r\nReceived: by x id q1; d\r\n" END, true},
        {"TTLS-Required: x\r\nTLS-Requires: x\r\nTLS-Required: No\r\n" END, true},
        /* other values */
        {"TLS-Required:\r\n" END, false},
        {"TLS-Required: N\r\n" END, false},
        {"TLS-Required: N\r\n o\r\n" END, false},
        {"TLS-Required: Not\r\n" END, false},
        {"TLS-Required: Yes\r\n" END, false},
        {"TLS-Required: No thanks\r\n" END, false},
        {"TLS-Required: No\r\n\tthanks\r\n" END, false},
        {"TLS-Required: \"No\"\r\n" END, false},
        {"TLS-Required: No (really)\r\n" END, false},
        /* several fields say nothing, whatever they say */
        {"TLS-Required: No\r\nTLS-Required: No\r\n" END, false},
        {"TLS-Required: Yes\r\nTLS-Required: No\r\n" END, false},
        {"TLS-Required: No\r\nX: y\r\nTLS-Required:\r\n" END, false},
        {"TLS-Required: No\r\nTLS-Required: No\r\nTLS-Required: No\r\n" END, false},
        /* other names, and the body */
        {"X-TLS-Required: No\r\n" END, false},
        {" TLS-Required: No\r\n" END, false},
        {"TLS-Required- No\r\n" END, false},
        {"TLS -Required: No\r\n" END, false},
        {"Subject: x\r\n TLS-Required: No\r\n" END, false},
        {END "TLS-Required: No\r\n", false},
        {"\r\nTLS-Required: No\r\n", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_str(cases[i].message);

        for (size_t cut = 0; cut <= in.n; cut++) {
            struct header_scan s = scan_in_two(in, cut);

            if (s.tls_required_no != cases[i].want)
                fail_msg("%s, cut at %zu", in.p, cut);
        }
    }
}

/* Both in one pass, whichever comes first. */
static void both_are_found(void **state)
{
    static const char *const messages[] = {
        "Received: by y\r\n\tid q1; d\r\nReceived: by x id no; d\r\nTLS-Required: No\r\n" END,
        "TLS-Required: No\r\nReceived: by y\r\n\tid q1; d\r\nReceived: by x id no; d\r\n" END,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct slice in = slice_str(messages[i]);
        struct header_scan s;

        header_scan_start(&s);
        for (size_t k = 0; k < in.n; k++)
            header_scan_feed(&s, slice_of(in.p + k, 1));
        assert_true(s.done && s.tls_required_no);
        assert_string_equal(s.queue_id, "q1");
    }
}

/* C-RCPT-05: the same bytes again are the same message only where they are from a queue. */
static void what_no_other_message_has(void **state)
{
    static const struct {
        const char *message;
        bool want;
    } cases[] = {
        {"Received: by y id q1; d\r\n" END, true},
        {"Subject: x\r\nDate: Sun, 22 Nov 2026\r\n" END, true},
        {"message-id : <a@b>\r\n" END, true},
        {"Message-ID: <a@b>\r\nReceived: by y id q1; d\r\n" END, true},
        {"TLS-Required: No\r\n" END, false},
        {"Dates: no\r\nMessage-IDs: no\r\nX-Date: no\r\nFrom: a@b\r\n Date: no\r\n" END, false},
        {END "Date: too late\r\n", false},
        {"\r\nDate: too late\r\n", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_str(cases[i].message);

        for (size_t cut = 0; cut <= in.n; cut++) {
            struct header_scan s = scan_in_two(in, cut);

            if (s.unique != cases[i].want)
                fail_msg("%s, cut at %zu", in.p, cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_leg_02_queue_ids_of_the_legacy_mtas),
        cmocka_unit_test(long_ids_and_fields),
        cmocka_unit_test(the_search_has_an_end),
        cmocka_unit_test(tls_required_no),
        cmocka_unit_test(both_are_found),
        cmocka_unit_test(what_no_other_message_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
