/* SPDX-License-Identifier: Apache-2.0 */
/* Transcripts of the client's side (inbound_transcript.h): LMTP (RFC 2033). */
#include "tests/unit/dialog/inbound_transcript.h"

#define OFFERS_OF(size)                                                                      \
    "S: 250-relay.example\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250-ENHANCEDSTATUSCODES\n" \
    "S: 250-" size "\nS: 250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\n"
#define LHLO_OFFERS OFFERS_OF("SIZE")
#define LHLO "C: LHLO client.example\n" LHLO_OFFERS
#define RCPT(name) "C: RCPT TO:<" name "@b>\nO: RCPT " name "@b\n"
#define RCPT_OK(name) RCPT(name) "S: 250 2.1.5 " name "\n"
#define RCPT_NO RCPT("no") "S: 550 5.1.1 no such user\n"
#define BODY "C: x\nC: .\nO: BODY x\\r\\n\nO: END\n"
#define EACH_OK(name) "S: 250 2.1.5 " name "\n"
#define NOT_HERE "S: 554 5.7.1 not here\n"
#define NOT_NOW "S: 451 4.2.0 not now\n"
#define NOOP "C: NOOP\nS: 250 2.0.0 Ok\n"
#define DROPPED "S: 554 5.5.1 No valid recipients: the message was dropped\n"

static void test_hello(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-02: what LHLO offers", .text = LHLO QUIT, .lmtp = true},
        {.name = "C-IN-02: ... with a limit, and REQUIRETLS",
         .text = "C: lhlo c\nS: 250-relay.example\nS: 250-PIPELINING\nS: 250-8BITMIME\n"
                 "S: 250-ENHANCEDSTATUSCODES\nS: 250-SIZE 1000\nS: 250-REQUIRETLS\n"
                 "S: 250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\n"
                 "C: MAIL FROM:<s@a> BODY=8BITMIME REQUIRETLS\n"
                 "O: MAIL <s@a> 8BITMIME REQUIRETLS\nS: 250 2.0.0 ok\n",
         .lmtp = true,
         .requiretls = true,
         .message_size = 1000},
        {.name = "RFC 2033 4.1: EHLO and HELO are refused, and change nothing",
         .text = "C: EHLO c\nS: 500 5.5.1 This is LMTP: say LHLO\n"
                 "C: HELO c\nS: 500 5.5.1 This is LMTP: say LHLO\n"
                 "C: MAIL FROM:<a@b>\nS: 503 5.5.1 Say LHLO first\n" LHLO FROM
                 "C: EHLO c\nS: 500 5.5.1 This is LMTP: say LHLO\n" RCPT_OK("ok") QUIT_IN_MAIL,
         .lmtp = true},
        {.name = "LHLO in SMTP",
         .text = "C: LHLO c\nS: 500 5.5.1 This is SMTP: say EHLO or HELO\n"
                 "C: MAIL FROM:<a@b>\nS: 503 5.5.1 Say EHLO or HELO first\n" HELO},
        {.name = "LHLO ends a transaction, as EHLO does",
         .text = LHLO FROM RCPT_OK("ok") "C: LHLO client.example\nO: RESET\n" LHLO_OFFERS QUIT,
         .lmtp = true},
        {.name = "LHLO without a name",
         .text = "C: LHLO\nS: 501 5.5.4 Argument missing\n",
         .lmtp = true},
        {.name = "C-IN-06: PRDR is not offered, and so a parameter like any unknown one",
         .text = LHLO "C: MAIL FROM:<a@b> PRDR\nS: 555 5.5.4 Unsupported MAIL parameter\n",
         .lmtp = true},
        {.name = "C-IN-01: RSET, NOOP, VRFY and QUIT as in SMTP",
         .text = "C: RSET\nS: 250 2.0.0 Ok\n" NOOP LHLO FROM RCPT_OK("ok") NOOP
         "C: VRFY x\nS: 252 2.0.0 Only RCPT tells\nC: RSET\nS: 250 2.0.0 Ok\n"
         "O: RESET\nC: RSET\nS: 250 2.0.0 Ok\n" QUIT,
         .lmtp = true},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_final_replies(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-RCPT-02: one recipient",
         .text = LHLO FROM RCPT_OK("ok1") DATA BODY EACH_OK("ok1") QUIT,
         .lmtp = true},
        {.name = "C-RCPT-02: one reply for each accepted recipient, in the order of RCPT",
         .text = LHLO FROM RCPT_OK("eachno") RCPT_NO RCPT_OK("ok2") RCPT_NO RCPT_OK("eachlater")
             RCPT_OK("ok4") RCPT_NO DATA BODY NOT_HERE EACH_OK("ok2") NOT_NOW EACH_OK("ok4") QUIT,
         .lmtp = true},
        {.name = "C-RCPT-02: the order of RCPT, not of the answers to it",
         .text = LHLO FROM RCPT("late1") RCPT("eachno2") RCPT("no3") RCPT(
             "ok4") "S: 250 2.1.5 late\nS: 250 2.1.5 eachno2\nS: 550 5.1.1 no such user\n"
                    "S: 250 2.1.5 ok4\n" DATA BODY "S: 250 2.1.5 late1\n" NOT_HERE EACH_OK("ok4"),
         .lmtp = true},
        {.name = "design 7: 421 and what fits nothing are 451 in each; lines stay",
         .text = LHLO FROM RCPT_OK("eachdead") RCPT_OK("eachodd") RCPT_OK("eachmany") DATA BODY
         "S: 451 4.3.2 going down\n"
         "S: 451 4.5.0 tlsmend: the MX gave an answer that fits nothing\n"
         "S: 250-2.6.0 one\nS: 250 2.6.0 two\n" QUIT,
         .lmtp = true},
        {.name = "the reply for all is not written, whatever it is",
         .text = LHLO "C: MAIL FROM:<endno@a>\nO: MAIL <endno@a>\nS: 250 2.0.0 ok\n" RCPT_OK("ok1")
             RCPT_OK("ok2") DATA BODY EACH_OK("ok1") EACH_OK("ok2") NOOP,
         .lmtp = true},
        {.name = "C-IN-03: the next transaction stands behind the dot",
         .text = LHLO FROM RCPT_OK("ok1") RCPT_OK("eachno") DATA BODY EACH_OK("ok1")
             NOT_HERE FROM RCPT_NO RCPT_OK("ok3") DATA "C: .\nO: END\n" EACH_OK("ok3") FROM RCPT_OK(
                 "ok4") "C: RSET\nO: RESET\nS: 250 2.0.0 Ok\n" FROM RCPT_OK("eachlater")
                 DATA BODY NOT_NOW QUIT,
         .lmtp = true},
        {.name = "C-IN-04, C-IN-07: a message that is refused has its replies all the same",
         .text = "C: LHLO c\n" OFFERS_OF("SIZE 7") FROM RCPT_OK("eachno1") RCPT_OK("eachno2") DATA
         "C: a\\nb\nC: .\nO: BODY a\nO: BAD\nO: END\n" NOT_HERE NOT_HERE FROM RCPT_OK("eachno3")
             RCPT_OK("eachno4") DATA
         "C: 12345678\nC: .\nO: BODY 1234567\nO: BIG\nO: END\n" NOT_HERE NOT_HERE NOOP,
         .lmtp = true,
         .message_size = 7},
        {.name = "C-IN-07: too many recipients",
         .text = LHLO FROM RCPT_OK("ok1")
             RCPT_OK("ok2") "C: RCPT TO:<ok3@b>\nS: 452 4.5.3 Too many recipients\n" DATA BODY
                 EACH_OK("ok1") EACH_OK("ok2") QUIT,
         .lmtp = true,
         .recipients_max = 2},
        {.name = "C-IN-07: one delivery clears the account of errors",
         .text = LHLO "C: X\nS: 500 5.5.2 Command not known\n" FROM RCPT_OK("eachno") RCPT_OK("ok1")
             RCPT_OK("eachno") DATA BODY NOT_HERE EACH_OK("ok1") NOT_HERE
         "C: X\nS: 500 5.5.2 Command not known\n" QUIT,
         .lmtp = true,
         .errors_max = 1},
        {.name = "C-IN-07: ... and none does not",
         .text = LHLO "C: X\nS: 500 5.5.2 Command not known\n" FROM RCPT_OK("eachno")
             RCPT_OK("eachlater") DATA BODY NOT_HERE NOT_NOW
         "C: X\nS: 421 4.7.0 Too many errors\nO: CLOSE\n",
         .lmtp = true,
         .errors_max = 1},
        {.name = "a chunk behind a refused BDAT is no command",
         .text = LHLO FROM RCPT_OK("ok1") "C: BDAT 8 LAST\nS: 502 5.5.1 BDAT is not offered\n"
                                          "C. QUIT\\r\\n\\r\\n\n" DATA BODY EACH_OK("ok1") QUIT,
         .lmtp = true},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

/* An owner that gives one answer: it is the answer for each. */
static void test_one_for_all(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-RCPT-02: one answer for all is said to each",
         .text = LHLO "C: MAIL FROM:<endno@a>\nO: MAIL <endno@a>\nS: 250 2.0.0 ok\n" RCPT_OK("ok")
             RCPT_NO RCPT_OK("ok2") DATA BODY
         "S: 554 5.7.1 spam\nS: 554 5.7.1 spam\n"
         "C: MAIL FROM:<enddead@a>\nO: MAIL <enddead@a>\nS: 250 2.0.0 ok\n" RCPT_OK("ok") DATA BODY
         "S: 451 4.3.0 closing\n" QUIT,
         .lmtp = true,
         .one_for_all = true}};

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_no_recipients(void **state)
{
    static const struct script scripts[] = {
        {.name = "RFC 2033 4.2, C-RCPT-02: DATA behind refused recipients only is 503",
         .text = LHLO FROM RCPT_NO
         "C: DATA\nS: 503 5.5.1 No valid recipients\nO: RESET\n" FROM RCPT_OK("ok1")
             DATA BODY EACH_OK("ok1") QUIT,
         .lmtp = true},
        {.name = "C-IN-03: ... then a message: nothing in it is a command, and nobody hears of it",
         .text = LHLO FROM RCPT_NO
         "C: DATA\nS: 503 5.5.1 No valid recipients\nO: RESET\n"
         "C: Subject: x\nC: MAIL FROM:<evil@a>\nC: RCPT TO:<ok@b>\nC: DATA\nC: ..\nC: QUIT\n"
         "C: .\n" FROM RCPT_OK("ok1") DATA BODY EACH_OK("ok1") QUIT,
         .lmtp = true},
        {.name = "C-IN-03: ... then QUIT",
         .text = LHLO FROM RCPT_NO "C: DATA\nS: 503 5.5.1 No valid recipients\nO: RESET\n" QUIT,
         .lmtp = true},
        {.name = "DATA without MAIL, and without RCPT",
         .text = LHLO "C: DATA\nS: 503 5.5.1 Need MAIL first\nC: From: x\nC: RSET\nC: .\n" FROM
                      "C: DATA\nS: 503 5.5.1 No valid recipients\nO: RESET\n" QUIT,
         .lmtp = true},
        {.name = "C-RCPT-02: the owner refuses DATA; a message all the same has a reply for each",
         .text =
             LHLO "C: MAIL FROM:<datano@a>\nO: MAIL <datano@a>\nS: 250 2.0.0 ok\n" RCPT_OK("ok1")
                 RCPT_NO RCPT_OK(
                     "ok2") "C: DATA\nO: DATA\nS: 452 4.3.1 disk full\n"
                            "C: text\nC: QUIT\nC: .\n" DROPPED DROPPED NOOP FROM QUIT_IN_MAIL,
         .lmtp = true},
        {.name = "... and a command all the same is one",
         .text = LHLO "C: MAIL FROM:<datano@a>\nO: MAIL <datano@a>\nS: 250 2.0.0 ok\n" RCPT_OK(
             "ok1") "C: DATA\nO: DATA\nS: 452 4.3.1 disk full\n" NOOP FROM RCPT_OK("ok1")
             DATA BODY EACH_OK("ok1") QUIT,
         .lmtp = true},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_greeting(void **state)
{
    static const struct script script = {.name = "greeting", .lmtp = true};
    struct owner o;

    (void)state;
    owner_start(&o, &script);
    inbound_greet(o.in);
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard), "220 relay.example LMTP tlsmend\r\n");
    assert_true(feed(&o, "LHLO c\r\n", 8));
    assert_true(inbound_esmtp(o.in));
    assert_true(inbound_answers_each(o.in));
    owner_end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),       cmocka_unit_test(test_final_replies),
        cmocka_unit_test(test_one_for_all), cmocka_unit_test(test_no_recipients),
        cmocka_unit_test(test_greeting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
