/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From MAIL to QUIT: the transcripts of tests/unit/dialog/outbound_script.h.  The session scripts
 * follow those of mox (smtpclient) and of Postfix's smtp-sink.
 */
#include "tests/unit/dialog/outbound_script.h"

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define PLAIN HELLO "M: 250 mx.example\n! ready\n"
#define PIPE HELLO "M: 250-mx.example\nM: 250 PIPELINING\n! ready\n"
#define MAIL "> mail\nT: MAIL FROM:<s@client.example>\n"
#define RCPT "> rcpt\nT: RCPT TO:<r@mx.example>\n"
#define TAKEN \
    MAIL "M: 250 2.1.0 ok\n! reply mail 250\n" RCPT "M: 250 2.1.5 ok\n! reply rcpt 0 250\n"
#define BODY PLAIN TAKEN "> data\nT: DATA\nM: 354 go\n! reply data 354\n= BODY\n"
#define DOT "> body hi|\nT: hi\n> end\nT: .\n= FINAL\n"

static const struct script delivery[] = {
    {"one recipient", LEVEL_NONE, false,
     BODY DOT
     "M: 250 2.0.0 queued\n! reply end 250\n= READY\n> quit\nT: QUIT\nM: 221 bye\n! closed"},
    {"two transactions on one connection", LEVEL_NONE, false,
     BODY DOT "M: 250 queued\n! reply end 250\n" TAKEN "> data\nT: DATA\nM: 354 go\n"
              "! reply data 354\n> body a|..b|.|c\nT: a\nT: ...b\nT: ..\n> end\nT: c\nT: .\n"
              "M: 250 queued\n! reply end 250"},
    {"an empty message", LEVEL_NONE, false,
     BODY "> end\nT: .\nM: 554 5.6.0 empty\n! reply end 554"},
    {"RCPTs one by one without PIPELINING", LEVEL_NONE, false,
     PLAIN
     "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: -\nM: 250 ok\n"
     "! reply mail 250\nT: RCPT TO:<r@mx.example>\nT: -\nM: 550 no\n! reply rcpt 0 550\n"
     "T: RCPT TO:<r@mx.example>\n= ENVELOPE\nM: 251 forward\n! reply rcpt 1 251\n= RECIPIENTS\n"
     "> rcpt\nT: RCPT TO:<r@mx.example>\n= ENVELOPE\nM: 252 perhaps\n! reply rcpt 2 252\n"
     "> data\nT: DATA"},
    {"MAIL and RCPTs pipelined", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "T: RCPT TO:<r@mx.example>\nM: 250 ok\nM: 250 ok\nM: 450 no\n! reply mail 250\n"
          "! reply rcpt 0 250\n! reply rcpt 1 450\n= RECIPIENTS"},
    {"a RCPT more while replies are under way", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\n"
          "! reply mail 250\n> rcpt\nM: 250 ok\n! reply rcpt 0 250\nT: RCPT TO:<r@mx.example>\n"
          "M: 250 ok\n! reply rcpt 1 250"},
    {"SIZE and BODY where offered", LEVEL_NONE, false,
     HELLO "M: 250-mx.example\nM: 250-8BITMIME\nM: 250 SIZE 0\n! ready\n> mail 8bit\n"
           "T: MAIL FROM:<s@client.example> BODY=8BITMIME\nM: 550 no\n! reply mail 550\n"
           "> mail size=99999999999\nT: MAIL FROM:<s@client.example> SIZE=99999999999"},
    {"C-OUT-05: neither SIZE nor BODY where not offered", LEVEL_NONE, false,
     PLAIN "> mail 8bit\nT: MAIL FROM:<s@client.example>\nM: 550 no\n! reply mail 550\n"
           "> mail size=100\nT: MAIL FROM:<s@client.example>"},
    {"C-OUT-05: more declared than taken", LEVEL_NONE, false,
     HELLO "M: 250-mx.example\nM: 250 SIZE 511\n! ready\n> mail size=512\n! reply mail 552 ours\n"
           "T: -\n= READY\n> mail size=511\nT: MAIL FROM:<s@client.example> SIZE=511"},
    {"QUIT answered with anything", LEVEL_NONE, false,
     PLAIN "> quit\nT: QUIT\nM: 500 what\n! closed"},
    {"QUIT answered with garbage", LEVEL_NONE, false,
     PLAIN "> quit\nT: QUIT\nm: x\n! closed\n= DEAD"},
    {"QUIT answered with a close", LEVEL_NONE, false, PLAIN "> quit\nT: QUIT\n> lost\n! closed"},
    {"QUIT never answered", LEVEL_NONE, false,
     PLAIN "> quit\nT: QUIT\n> timeout\n! closed\n> lost"},
    {"QUIT with replies under way", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n> quit\n"
          "T: QUIT\nM: 250 ok\nM: 250 ok\n= QUIT\nM: 221 bye\n! closed"},
};

static const struct script refusal[] = {
    {"mox: MAIL 550, then closed, pipelined", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "T: RCPT TO:<r@mx.example>\nM: 550 blocked\n! reply mail 550\n= REFUSED\n> lost\n"
          "! failed mail connection-lost 0"},
    {"MAIL 550, pipelined RCPTs refused too", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "T: RCPT TO:<r@mx.example>\nM: 550 blocked\nM: 503 no MAIL\n! reply mail 550\n= REFUSED\n"
          "M: 503 no MAIL\n= READY\n" MAIL},
    {"MAIL 550, a pipelined RCPT gets 421", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "M: 550 blocked\nM: 421 bye\n! reply mail 550\n! failed mail connection-lost 421"},
    {"MAIL refused: queued RCPTs are never sent", LEVEL_NONE, false,
     PLAIN
     "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nM: 451 later\n! reply mail 451\n= READY\n"
     "T: -\n" MAIL},
    {"mox: RCPT 554, then closed", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\n"
          "M: 554 5.7.0 Blocked\n! reply mail 250\n! reply rcpt 0 554\n> lost\n"
          "! failed rcpt connection-lost 0"},
    {"mox: DATA 550", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 550 no!\n! reply data 550\n= RECIPIENTS\n> quit\nT: QUIT"},
    {"C-OUT-04: 552 at RCPT is 452", LEVEL_NONE, false,
     PLAIN MAIL "M: 250 ok\n! reply mail 250\n" RCPT "M: 552 5.5.3 too many\n! reply rcpt 0 452"},
    {"552 at MAIL stays", LEVEL_NONE, false, PLAIN MAIL "M: 552 5.3.4 too big\n! reply mail 552"},
    {"C-OUT-04: 421 at MAIL", LEVEL_NONE, false,
     PLAIN MAIL
     "M: 421 bye\n! reply mail 421\n= GOODBYE\n> rcpt\n> lost\n! failed mail connection-lost 421\n"
     "~ 421 bye\n= DEAD\n> timeout\nM: 250 ok\nT: -"},
    {"421 at RCPT, and the others are lost", LEVEL_NONE, false,
     PIPE
     "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
     "T: RCPT TO:<r@mx.example>\nM: 250 ok\nM: 421 bye\nM: 421 bye\n! reply mail 250\n"
     "! reply rcpt 0 421\n! failed rcpt connection-lost 421\n= DEAD\n> rcpt\n> data\n> body x\n"
     "> end\n> quit\nT: -"},
    {"421 at RCPT, and the MX stays silent", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "T: RCPT TO:<r@mx.example>\nM: 250 ok\nM: 250 ok\nM: 421 bye\n! reply mail 250\n"
          "! reply rcpt 0 250\n! reply rcpt 1 421\n= GOODBYE\n> data\nT: -\n> timeout\n"
          "! failed rcpt connection-lost 421"},
    {"421 at DATA", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 421 bye\n! reply data 421\n= GOODBYE\n> lost\n! failed data "
                 "connection-lost 421"},
    {"421 at the final dot", LEVEL_NONE, false, BODY DOT "M: 421 bye\n! reply end 421\n= GOODBYE"},
    {"4xx at the final dot", LEVEL_NONE, false, BODY DOT "M: 452 full\n! reply end 452\n= READY"},
    {"C-TLS-11: TLS demanded at MAIL is a reply", LEVEL_NONE, false,
     PLAIN MAIL "M: 530 5.7.0 Must issue a STARTTLS command first\n! reply mail 530"},
    {"3xx to MAIL", LEVEL_NONE, false, PLAIN MAIL "M: 354 go\n! failed mail protocol-error 354"},
    {"3xx to RCPT", LEVEL_NONE, false,
     PLAIN MAIL "M: 250 ok\n! reply mail 250\n" RCPT "M: 354 go\n! failed rcpt protocol-error 354"},
    {"2xx to DATA is no delivery", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 250 queued\n! failed data protocol-error 250\n~ 250 queued"},
    {"another 3xx to DATA", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 334 go\n! failed data protocol-error 334"},
    {"3xx to the final dot", LEVEL_NONE, false,
     BODY DOT "M: 354 go\n! failed final maybe-delivered 354"},
};

static const struct script unasked[] = {
    {"C-OUT-09: 250 in the middle of the body", LEVEL_NONE, false,
     BODY "> body hi|\nT: hi\nM: 250 queued\n! failed body unasked-reply 250\n= DEAD\n> end\nT: -"},
    {"C-OUT-09: 451 in the middle of the body", LEVEL_NONE, false,
     BODY
     "> body hi|\nT: hi\nM: 451 4.3.0 disk full\n! failed body unasked-reply 451\n~ disk full"},
    {"C-OUT-09: 421 in the middle of the body", LEVEL_NONE, false,
     BODY "M: 421 shutting down\n! failed body unasked-reply 421\n~ 421 shutting down"},
    {"C-OUT-09: a 250 begun before the dot, ended behind it", LEVEL_NONE, false,
     BODY "> body hi|\nT: hi\nm: 250 que\n> end\nT: -\n= FINAL\nM: ued\n"
          "! failed final unasked-reply 250\n= DEAD\nT: -"},
    {"C-OUT-09: ... and never ended", LEVEL_NONE, false,
     BODY "m: 2\n> end\nT: -\n> timeout\n! failed final unasked-reply 0\nT: -"},
    {"C-OUT-09: ... or cut off", LEVEL_NONE, false,
     BODY "m: 250 ok\n> body more|\n> end\n> lost\n! failed final unasked-reply 0\nT: -"},
    {"C-OUT-09: 250 while the dot has not left", LEVEL_NONE, false,
     BODY "> body hi|\n> end\nM: 250 queued\n! failed final unasked-reply 250\nT: -"},
    {"C-OUT-09: 250 while the dot waits with the owner", LEVEL_NONE, false,
     BODY "> body hi|\n> end\nT: hi\nT: .\n> unsent\nM: 250 queued\n"
          "! failed final unasked-reply 250"},
    {"C-OUT-09: 354 and the final reply at once", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 354 go\nM: 250 queued\n! reply data 354\n"
                 "! failed body unasked-reply 250"},
    {"C-OUT-09: two final replies", LEVEL_NONE, false,
     BODY DOT "M: 250 queued\nM: 550 no\n! reply end 250\n! failed mail unasked-reply 550"},
    {"C-OUT-09: `2x0` is no code", LEVEL_NONE, false,
     BODY DOT "m: 2x0 queued\n! failed final maybe-delivered 0"},
    {"C-OUT-09: two codes in one final reply", LEVEL_NONE, false,
     BODY DOT "M: 250-queued\nm: 550 no\n! failed final maybe-delivered 0"},
    {"C-OUT-01: half a final reply is none", LEVEL_NONE, false,
     BODY DOT "M: 250-queued\n> lost\n! failed final maybe-delivered 0"},
    {"C-OUT-09: a RCPT answered before it was sent", LEVEL_NONE, false,
     PLAIN MAIL "M: 250 ok\nM: 250 ok\n! reply mail 250\n! failed rcpt unasked-reply 250"},
    {"C-OUT-09: DATA answered before it was sent", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nM: 354 go\n! failed data unasked-reply 354\nT: -"},
    {"C-OUT-09: half a reply before DATA", LEVEL_NONE, false,
     PLAIN TAKEN "m: 354\n> data\nT: -\nM:  go\n! failed data unasked-reply 354"},
    {"421 while nothing is open is a good-bye", LEVEL_NONE, false,
     PLAIN "M: 421 idle too long\n! failed mail connection-lost 421\n~ 421 idle too long"},
    {"421 between RCPT and DATA is a good-bye", LEVEL_NONE, false,
     PLAIN TAKEN "M: 421 idle too long\n! failed rcpt connection-lost 421"},
    {"C-OUT-07: lost after the dot", LEVEL_NONE, false,
     BODY DOT "> lost\n! failed final maybe-delivered 0\n~ reset"},
    {"C-OUT-07: silence after the dot", LEVEL_NONE, false,
     BODY DOT "> timeout\n! failed final maybe-delivered 0"},
    {"C-OUT-07: lost in DATA", LEVEL_NONE, false,
     BODY "> body hi|\n> lost\n! failed body connection-lost 0\n= DEAD\n> body x\n> end\nT: -"},
};

#define OFFER HELLO "M: 250-mx.example\nM: 250 STARTTLS\n"
#define SECURED OFFER "T: STARTTLS\nM: 220 go\n! starttls\n"
#define AGAIN "T: EHLO relay.example\nM: 250 mx.example\n! ready\n"

/* C-CERT-06: the demand is looked up where MAIL is sent; where it does not hold, no byte leaves. */
static const struct script demands[] = {
    {"verify, trusted", LEVEL_VERIFY, false, SECURED "> tls trusted\n" AGAIN MAIL},
    {"C-CERT-06 verify, untrusted", LEVEL_VERIFY, false,
     SECURED "> tls untrusted\n" AGAIN "> mail\n! failed mail demand-unmet 0\nT: -\n= DEAD"},
    {"C-CERT-06 secure, untrusted", LEVEL_SECURE, false,
     SECURED "> tls untrusted\n" AGAIN "> mail\n! failed mail demand-unmet 0\nT: -"},
    {"C-CERT-06 fingerprint, trusted but not pinned", LEVEL_FINGERPRINT, false,
     SECURED "> tls trusted\n" AGAIN "> mail\n! failed mail demand-unmet 0\nT: -"},
    {"encrypt, untrusted", LEVEL_ENCRYPT, false, SECURED "> tls untrusted\n" AGAIN MAIL},
    {"may, untrusted", LEVEL_MAY, false, SECURED "> tls untrusted\n" AGAIN MAIL},
    {"may, clear", LEVEL_MAY, false, OFFER "T: STARTTLS\nM: 454 no\n! ready\n" MAIL},
    {"may, second try", LEVEL_MAY, true, OFFER "! ready\n" MAIL},
};

static void play(const struct script *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        script_play_all_ways(&s[i]);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_delivery(void **state)
{
    (void)state;
    play(delivery, COUNT(delivery));
}

static void test_refusal(void **state)
{
    (void)state;
    play(refusal, COUNT(refusal));
}

static void test_unasked(void **state)
{
    (void)state;
    play(unasked, COUNT(unasked));
}

static void test_demands(void **state)
{
    (void)state;
    play(demands, COUNT(demands));
}

/* C-OUT-05: an 8-bit message to an MX without 8BITMIME goes out as it is, and the record says so.
 */
static void test_body_facts(void **state)
{
    static const char *const segments[] = {"220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n",
                                           "354 go\r\n"};
    struct demand none = {.level = LEVEL_NONE};
    struct outbound_params params = {.helo_name = "relay.example", .demand = &none};
    struct mail_params mail = {.body = BODY_8BITMIME};
    struct outbound *o = outbound_new(&params);
    struct outbound_what what;
    size_t used;

    (void)state;
    for (size_t i = 0; i < COUNT(segments); i++) {
        (void)outbound_feed(o, segments[i], strlen(segments[i]), &used, &what);
        if (i == 1) {
            (void)outbound_mail(o, SLICE(""), &mail, &what);
            outbound_rcpt(o, SLICE("r@mx"));
            assert_string_equal(buf_cstr(outbound_output(o)), "MAIL FROM:<>\r\n");
        } else if (i == 3) {
            outbound_data(o);
        }
        buf_reset(outbound_output(o));
    }
    outbound_body(o, SLICE("\xc3\xa4\r\n"));
    assert_true(outbound_facts(o)->body_undeclared);
    assert_int_equal(outbound_facts(o)->body_bytes, 4);
    assert_memory_equal(buf_cstr(outbound_output(o)), "\xc3\xa4\r\n", 4);
    outbound_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),   cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_unasked),    cmocka_unit_test(test_demands),
        cmocka_unit_test(test_body_facts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
