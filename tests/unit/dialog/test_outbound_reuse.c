/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C-OUT-08: several mails over one connection, RSET between them, and each under its own demand.  The
 * transcripts are those of tests/unit/dialog/outbound_script.h.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/dialog/outbound_script.h"

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define PLAIN HELLO "M: 250 mx.example\n! ready\n"
#define PIPE HELLO "M: 250-mx.example\nM: 250 PIPELINING\n! ready\n"
#define MAIL "> mail\nT: MAIL FROM:<s@client.example>\n"
#define RCPT "> rcpt\nT: RCPT TO:<r@mx.example>\n"
#define MAIL_OK MAIL "M: 250 ok\n! reply mail 250\n"
#define TAKEN MAIL_OK RCPT "M: 250 ok\n! reply rcpt 0 250\n"
#define REST                                                                                  \
    "> data\nT: DATA\nM: 354 go\n! reply data 354\n> body hi|\nT: hi\n> end\nT: .\n= FINAL\n" \
    "M: 250 queued\n! reply end 250\n= READY\n"
#define WHOLE TAKEN REST
#define RSET "> reset\nT: RSET\n= RESET\n"
#define RSET_OK RSET "M: 250 flushed\n! ready\n= READY\n"
/* MAIL and two RCPTs under way together. */
#define BATCH                                                                                   \
    PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n" \
         "T: RCPT TO:<r@mx.example>\n"

static const struct script mails[] = {
    {"C-OUT-08: three mails, and QUIT", LEVEL_NONE, false,
     PLAIN WHOLE WHOLE WHOLE "> quit\nT: QUIT\nM: 221 bye\n! closed"},
    {"C-OUT-08: the indexes begin anew", LEVEL_NONE, false,
     BATCH "M: 250 ok\nM: 550 no\nM: 250 ok\n! reply mail 250\n! reply rcpt 0 550\n"
           "! reply rcpt 1 250\n" REST WHOLE},
    {"C-OUT-08: a mail behind a refused final reply", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 354 go\n! reply data 354\n> end\nT: .\nM: 552 5.3.4 big\n"
                 "! reply end 552\n= READY\n" WHOLE},
    {"C-OUT-08: a mail behind a refused MAIL", LEVEL_NONE, false,
     PLAIN MAIL "M: 451 later\n! reply mail 451\n= READY\n" WHOLE},
    {"C-OUT-08: a mail behind a refused batch", LEVEL_NONE, false,
     BATCH "M: 550 no\nM: 503 no\nM: 503 no\n! reply mail 550\n= READY\n" WHOLE},
    {"C-OUT-08: our own 552 leaves the connection as it was", LEVEL_NONE, false,
     HELLO "M: 250-mx.example\nM: 250 SIZE 10\n! ready\n> mail size=11\n! reply mail 552 ours\n"
           "T: -\n= READY\n" WHOLE},
};

static const struct script resets[] = {
    {"C-OUT-08: RSET behind refused recipients", LEVEL_NONE, false,
     PLAIN MAIL_OK RCPT "M: 550 no\n! reply rcpt 0 550\n= RECIPIENTS\n" RSET_OK WHOLE},
    {"C-OUT-08: RSET behind a refused DATA", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nT: DATA\nM: 451 no\n! reply data 451\n= RECIPIENTS\n" RSET_OK WHOLE},
    {"C-OUT-08: RSET of a client that gave up", LEVEL_NONE, false, PLAIN TAKEN RSET_OK WHOLE},
    {"C-OUT-08: RSET in READY", LEVEL_NONE, false, PLAIN RSET_OK RSET_OK WHOLE},
    {"C-OUT-08: RSET while replies are under way", LEVEL_NONE, false,
     BATCH "M: 250 ok\n! reply mail 250\n" RSET "M: 250 ok\nM: 550 no\n= RESET\nM: 250 flushed\n"
           "! ready\n" WHOLE},
    {"C-OUT-08: ... MAIL among them, all in one segment", LEVEL_NONE, false,
     BATCH RSET "M: 550 no\nM: 503 no\nM: 503 no\nM: 250 flushed\n! ready\n= READY\n" WHOLE},
    {"C-OUT-08: RSET in REFUSED", LEVEL_NONE, false,
     BATCH "M: 550 no\n! reply mail 550\n= REFUSED\n" RSET "M: 503 no\nM: 503 no\nM: 250 flushed\n"
           "! ready\n" WHOLE},
    {"C-OUT-08: without PIPELINING RSET waits for the reply", LEVEL_NONE, false,
     PLAIN "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\n> reset\nT: -\n= RESET\n"
           "M: 250 ok\nT: RSET\nM: 250 flushed\n! ready\n= READY\nT: -\n" WHOLE},
    {"C-OUT-08: ... to a RCPT, and those queued are never sent", LEVEL_NONE, false,
     PLAIN MAIL_OK "> rcpt\n> rcpt\nT: RCPT TO:<r@mx.example>\n> reset\nT: -\nM: 250 ok\nT: RSET\n"
                   "M: 250 flushed\n! ready\nT: -\n" WHOLE},
    {"C-OUT-08: the RSET of an MX that offers nothing, whose MAIL is never answered", LEVEL_NONE,
     false, PLAIN MAIL "> reset\nT: -\n> timeout\n! failed mail timeout 0\nT: -"},
    {"C-OUT-08: RSET answered with 5xx", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: 502 what\n! failed mail protocol-error 502\n= DEAD\nT: -"},
    {"C-OUT-08: RSET answered with 4xx", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: 451 no\n! failed mail protocol-error 451\n~ 451 no"},
    {"C-OUT-08: RSET answered with another 2xx", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: 251 well\n! failed mail protocol-error 251"},
    {"C-OUT-08: RSET answered with 421", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: 421 bye\n! failed mail connection-lost 421\n~ 421 bye"},
    {"C-OUT-08: 421 to a RCPT before RSET", LEVEL_NONE, false,
     BATCH "M: 250 ok\n! reply mail 250\n" RSET "M: 421 bye\n! failed mail connection-lost 421"},
    {"C-OUT-08: 354 to a RCPT before RSET", LEVEL_NONE, false,
     BATCH "M: 250 ok\n! reply mail 250\n" RSET "M: 354 go\n! failed mail protocol-error 354"},
    {"C-OUT-08: RSET answered with garbage", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: HTTP\n! failed mail protocol-error 0"},
    {"C-OUT-08: RSET, and the connection is lost", LEVEL_NONE, false,
     PLAIN TAKEN RSET "> lost\n! failed mail connection-lost 0"},
    {"C-OUT-08: RSET never answered", LEVEL_NONE, false,
     PLAIN TAKEN RSET "> timeout\n! failed mail timeout 0"},
    {"C-OUT-08: half an answer to RSET", LEVEL_NONE, false,
     PLAIN TAKEN RSET "m: 250 flu\n> lost\n! failed mail connection-lost 0\n~ 250 flu"},
    {"C-OUT-08: QUIT behind RSET", LEVEL_NONE, false,
     PLAIN TAKEN RSET "> quit\nT: QUIT\nM: 250 flushed\nM: 221 bye\n! closed"},
    {"C-OUT-08: QUIT behind a RSET that was not sent", LEVEL_NONE, false,
     PLAIN MAIL "> reset\nT: -\n> quit\nT: QUIT\nM: 250 ok\nM: 221 bye\n! closed\nT: -"},
    {"C-OUT-08: RSET to an MX that is gone is harmless", LEVEL_NONE, false,
     PLAIN MAIL "M: 421 bye\n! reply mail 421\n= GOODBYE\n> reset\n> ahead\n> renew none trusted\n"
                "! unmet\nT: -\n> lost\n! failed mail connection-lost 421\n> reset\n> ahead\n"
                "> renew none trusted\n! unmet\nT: -\n= DEAD"},
};

static const struct script unasked[] = {
    {"C-OUT-09: a reply more behind the final one", LEVEL_NONE, false,
     PLAIN WHOLE "M: 250 queued\n! failed mail unasked-reply 250\n= DEAD"},
    {"C-OUT-09: RSET answered before it was sent", LEVEL_NONE, false,
     PLAIN TAKEN "> reset\nM: 250 flushed\n! failed mail unasked-reply 250\nT: -"},
    {"C-OUT-09: RSET answered twice", LEVEL_NONE, false,
     PLAIN TAKEN RSET "M: 250 flushed\nM: 250 flushed\n! ready\n! failed mail unasked-reply 250"},
    {"C-OUT-09: half a reply before RSET", LEVEL_NONE, false,
     PLAIN TAKEN "m: 25\n> reset\nT: -\nM: 0 flushed\n! failed mail unasked-reply 250"},
    {"C-OUT-09: RSET behind replies that are owed, answered before it was sent", LEVEL_NONE, false,
     BATCH "> reset\nM: 250 ok\nM: 250 ok\nM: 250 ok\nM: 250 flushed\n"
           "! failed mail unasked-reply 250\nT: -"},
    {"C-OUT-09: MAIL answered before it was sent", LEVEL_NONE, false,
     PLAIN WHOLE "> mail\nM: 250 ok\n! failed mail unasked-reply 250\nT: -"},
    {"C-OUT-09: a reply begun in READY makes MAIL fail", LEVEL_NONE, false,
     PLAIN WHOLE "m: 25\n> renew none trusted\n! met\n> mail\n! failed mail unasked-reply 0\nT: -"},
    {"C-OUT-09: a RCPT answered before it was sent, while MAIL was owed", LEVEL_NONE, false,
     PIPE MAIL "> rcpt\nM: 250 ok\nM: 250 ok\n! reply mail 250\n! failed rcpt unasked-reply 250\n"
               "T: -"},
    {"C-OUT-09: half of a batch has left", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "M: 250 ok\nM: 250 ok\nM: 250 ok\n! reply mail 250\n! reply rcpt 0 250\n"
          "! failed rcpt unasked-reply 250\nT: -"},
    {"C-OUT-08: the good-bye of an idle connection", LEVEL_NONE, false,
     PLAIN WHOLE "M: 421 idle too long\n! failed mail connection-lost 421\n~ idle too long"},
    {"C-OUT-08: ... that comes while MAIL waits to be sent", LEVEL_NONE, false,
     PLAIN WHOLE "> mail\n> rcpt\nM: 421 idle too long\n! failed mail connection-lost 421\nT: -"},
    {"C-OUT-08: ... while RSET does", LEVEL_NONE, false,
     PLAIN TAKEN "> reset\nM: 421 idle too long\n! failed mail connection-lost 421\nT: -"},
    {"C-OUT-08: ... while RCPT does", LEVEL_NONE, false,
     PLAIN MAIL_OK "> rcpt\nM: 421 idle too long\n! failed rcpt connection-lost 421\nT: -"},
    {"C-OUT-08: ... while DATA does", LEVEL_NONE, false,
     PLAIN TAKEN "> data\nM: 421 idle too long\n! failed data connection-lost 421\nT: -"},
    {"C-OUT-08: an idle connection is closed", LEVEL_NONE, false,
     PLAIN WHOLE "> lost\n! failed mail connection-lost 0\n~ reset"},
};

#define OFFER HELLO "M: 250-mx.example\nM: 250 STARTTLS\n"
#define SECURED OFFER "T: STARTTLS\nM: 220 go\n! starttls\n"
#define AGAIN "T: EHLO relay.example\nM: 250 mx.example\n! ready\n"
#define AGAIN_REQUIRETLS "T: EHLO relay.example\nM: 250-mx.example\nM: 250 REQUIRETLS\n! ready\n"
#define NO_MAIL "> mail\n! failed mail demand-unmet 0\nT: -\n= DEAD"

/* C-CERT-06: each mail has its own demand, and what was reached is measured by that. */
static const struct script demands[] = {
    {"C-OUT-08: an equal demand", LEVEL_VERIFY, false,
     SECURED "> tls trusted\n" AGAIN WHOLE "> renew verify trusted\n! met\n" WHOLE},
    {"C-OUT-08: a weaker demand", LEVEL_VERIFY, false,
     SECURED "> tls trusted\n" AGAIN WHOLE "> renew encrypt untrusted\n! met\n" WHOLE},
    {"C-OUT-08: a stronger demand that was reached", LEVEL_ENCRYPT, false,
     SECURED "> tls untrusted\n" AGAIN WHOLE "> renew secure trusted\n! met\n" WHOLE},
    {"C-OUT-08: a stronger demand that was not", LEVEL_ENCRYPT, false,
     SECURED "> tls trusted\n" AGAIN WHOLE "> renew secure untrusted\n! unmet\n" NO_MAIL},
    {"C-OUT-08: what was reached for another name is forgotten", LEVEL_VERIFY, false,
     SECURED "> tls trusted\n" AGAIN "> renew verify untrusted\n! unmet\n" NO_MAIL},
    {"C-OUT-08: unmet, then met", LEVEL_VERIFY, false,
     SECURED "> tls trusted\n" AGAIN "> renew secure untrusted\n! unmet\n"
             "> renew secure trusted\n! met\n" WHOLE},
    {"C-OUT-08: a connection in clear never meets a demand for TLS", LEVEL_MAY, false,
     OFFER "T: STARTTLS\nM: 454 no\n! ready\n" WHOLE "> renew encrypt trusted\n! unmet\n" NO_MAIL},
    {"C-OUT-08: nor one of the second try", LEVEL_MAY, true,
     OFFER "! ready\n" WHOLE "> renew verify trusted\n! unmet\n" NO_MAIL},
    {"C-OUT-08: but one without any", LEVEL_MAY, true,
     OFFER "! ready\n" WHOLE "> renew may trusted\n! met\n" WHOLE},
    {"C-OUT-08: REQUIRETLS as the EHLO inside TLS offered it", LEVEL_MAY, false,
     SECURED "> tls untrusted\n" AGAIN_REQUIRETLS WHOLE "> renew requiretls untrusted\n! met\n"
             "> mail requiretls\nT: MAIL FROM:<s@client.example> REQUIRETLS\n"},
    {"C-OUT-08: ... and not as the owner says", LEVEL_MAY, false,
     SECURED "> tls untrusted\n" AGAIN WHOLE "> renew requiretls requiretls\n! unmet\n"
             "> mail requiretls\n! failed mail demand-unmet 0\nT: -"},
    {"C-OUT-08: and none behind it for a mail that does not ask", LEVEL_MAY, false,
     SECURED "> tls untrusted\n" AGAIN_REQUIRETLS "> renew requiretls untrusted\n! met\n"
             "> renew may untrusted\n! met\n" WHOLE},
};

static void play(const struct script *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        script_play_all_ways(&s[i]);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_mails(void **state)
{
    (void)state;
    play(mails, COUNT(mails));
}

static void test_resets(void **state)
{
    (void)state;
    play(resets, COUNT(resets));
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

static void hear(struct outbound *o, const char *text)
{
    struct outbound_what what;
    size_t used;

    buf_reset(outbound_output(o));
    (void)outbound_feed(o, text, strlen(text), &used, &what);
}

/* C-OUT-08: the facts of one mail are not those of the next; those of the connection stay. */
static void test_facts(void **state)
{
    struct demand none = {.level = LEVEL_NONE};
    struct outbound_params params = {.helo_name = "relay.example", .demand = &none};
    struct mail_params eight_bit = {.body = BODY_8BITMIME}, plain = {0};
    struct tls_reached clear = {0};
    struct outbound *o = outbound_new(&params);
    struct outbound_what what;

    (void)state;
    hear(o, "220 mx\r\n");
    hear(o, "250-mx\r\n250 SIZE 99\r\n");
    for (int renew = 1; renew >= 0; renew--) {
        (void)outbound_mail(o, SLICE("s@client.example"), &eight_bit, &what);
        hear(o, "250 ok\r\n");
        outbound_rcpt(o, SLICE("r@mx.example"));
        hear(o, "250 ok\r\n");
        outbound_data(o);
        hear(o, "354 go\r\n");
        outbound_body(o, SLICE("\xc3\xa4\r\n"));
        outbound_end(o);
        hear(o, "250 ok\r\n");
        assert_true(outbound_facts(o)->body_undeclared);
        assert_int_equal(outbound_facts(o)->body_bytes, 4);
        if (renew)
            assert_true(outbound_renew(o, &none, &clear));
        else
            (void)outbound_mail(o, SLICE("s@client.example"), &plain, &what);
        assert_false(outbound_facts(o)->body_undeclared);
        assert_int_equal(outbound_facts(o)->body_bytes, 0);
        assert_string_equal(outbound_facts(o)->greeting, "220 mx");
        assert_string_equal(outbound_facts(o)->ehlo_reply, "250 mx / SIZE 99");
        assert_int_equal(outbound_facts(o)->ehlo.size_max, 99);
    }
    outbound_free(&o);
}

/* Ten thousand connections wait at a time: none keeps what its last mail needed. */
static void test_memory_goes_back(void **state)
{
    static char content[OUTBOUND_BODY_MAX], long_reply[4000];
    struct demand none = {.level = LEVEL_NONE};
    struct outbound_params params = {.helo_name = "relay.example", .demand = &none};
    struct mail_params plain = {0};
    struct outbound *o = outbound_new(&params);
    struct outbound_what what;

    (void)state;
    memset(content, 'x', sizeof(content));
    for (size_t i = 0; i + 9 < sizeof(long_reply); i += 8)
        memcpy(long_reply + i, i + 17 < sizeof(long_reply) ? "250-ok\r\n" : "250 ok\r\n", 9);
    hear(o, "220 mx\r\n");
    hear(o, "250-mx\r\n250 PIPELINING\r\n");
    for (int i = 0; i < 2; i++) {
        (void)outbound_mail(o, SLICE("s@client.example"), &plain, &what);
        for (unsigned k = 0; k < 100; k++)
            outbound_rcpt(o, SLICE("r@mx.example"));
        assert_true(outbound_output(o)->size > 1024);
        hear(o, "250 ok\r\n");
        assert_true(outbound_output(o)->size <= 256);
        for (unsigned k = 0; k < 100; k++)
            hear(o, long_reply);
        outbound_data(o);
        hear(o, "354 go\r\n");
        outbound_body(o, slice_of(content, sizeof(content)));
        assert_true(outbound_output(o)->size >= sizeof(content));
        outbound_end(o);
        hear(o, "250 ok\r\n");
        assert_int_equal(outbound_phase(o), OUTBOUND_PHASE_READY);
        assert_true(outbound_output(o)->size <= 256);
    }
    outbound_free(&o);
}

enum misuse { RCPT_BEHIND, RESET_BEHIND, QUIT_BEHIND, TWICE, FOR_NOBODY, MISUSES };

static void misuse(struct outbound *o, enum misuse m)
{
    struct mail_params plain = {0};
    struct outbound_what what;

    (void)outbound_mail(o, SLICE("s@client.example"), &plain, &what);
    if (m != FOR_NOBODY)
        outbound_rcpt(o, SLICE("r@mx.example"));
    outbound_data_ahead(o);
    if (m == RCPT_BEHIND)
        outbound_rcpt(o, SLICE("r@mx.example"));
    else if (m == RESET_BEHIND)
        outbound_reset(o);
    else if (m == QUIT_BEHIND)
        outbound_quit(o);
    else if (m == TWICE)
        outbound_data_ahead(o);
}

/* C-OUT-09: a command behind an open DATA could be read as the message: an owner that gives one ends. */
static void test_nothing_follows_data(void **state)
{
    (void)state;
    for (int m = 0; m < MISUSES; m++) {
        struct demand none = {.level = LEVEL_NONE};
        struct outbound_params params = {.helo_name = "relay.example", .demand = &none};
        struct outbound *o = outbound_new(&params);
        int status;
        pid_t child;

        hear(o, "220 mx\r\n");
        hear(o, "250-mx\r\n250 PIPELINING\r\n");
        child = fork();
        if (child == 0) {
            (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
            (void)close(STDERR_FILENO);
            misuse(o, (enum misuse)m);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("misuse %d is let through", m);
        outbound_free(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mails),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_demands),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_nothing_follows_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
