/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every phase of the conversation against everything an MX can do there: one row per phase, one
 * column per kind of trouble (C-OUT-01, C-OUT-02, C-OUT-06, C-OUT-07, C-OUT-09, C-TLS-09).  Each
 * cell is played whole, cut at every place and byte by byte.
 */
#include "tests/unit/dialog/outbound_script.h"

enum trouble { GOT_2XX, GOT_3XX, GOT_421, GOT_4XX, GOT_5XX, GARBAGE, CLOSED, TIMEOUT, TROUBLES };

static const char *const troubles[TROUBLES] = {
    "M: 250 2.0.0 ok",  "M: 354 go",
    "M: 421 4.3.2 bye", "M: 451-4.3.0 a\nM: 451 4.3.0 b",
    "M: 554 5.7.1 no",  "M: HTTP/1.1 400 Bad Request",
    "> lost",           "> timeout",
};

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define OFFER HELLO "M: 250-mx.example\nM: 250 STARTTLS\nT: STARTTLS\n"
#define SECURED OFFER "M: 220 go\n! starttls\n"
#define PLAIN HELLO "M: 250 mx.example\n! ready\n"
#define PIPE HELLO "M: 250-mx.example\nM: 250 PIPELINING\n! ready\n"
#define MAIL "> mail\nT: MAIL FROM:<s@client.example>\n"
#define MAIL_OK MAIL "M: 250 ok\n! reply mail 250\n"
#define AHEAD                                                                               \
    "> mail\n> rcpt\n> ahead\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n" \
    "T: DATA\n"
#define RCPT "> rcpt\nT: RCPT TO:<r@mx.example>\n"
#define RCPT_OK MAIL_OK RCPT "M: 250 ok\n! reply rcpt 0 250\n"
#define BODY PLAIN RCPT_OK "> data\nT: DATA\nM: 354 go\n! reply data 354\n"

static const struct row {
    const char *name;
    enum tls_level level;
    const char *before;
    const char *want[TROUBLES]; /* what follows the trouble */
} grid[] = {
    {"BANNER",
     LEVEL_MAY,
     "= BANNER\n",
     {"! failed greeting mx-refused 250", "! failed greeting mx-refused 354",
      "! failed greeting mx-refused 421", "! failed greeting mx-refused 451",
      "! failed greeting mx-refused 554", "! failed greeting protocol-error 0",
      "! failed greeting connection-lost 0", "! failed greeting timeout 0"}},
    {"EHLO at may",
     LEVEL_MAY,
     HELLO "= EHLO\n",
     {"! ready\n= READY", "! failed ehlo mx-refused 354", "! failed ehlo mx-refused 421",
      "! failed ehlo mx-refused 451", "= HELO\nT: HELO relay.example",
      "! failed ehlo protocol-error 0", "! failed ehlo connection-lost 0",
      "! failed ehlo timeout 0"}},
    {"EHLO at verify",
     LEVEL_VERIFY,
     HELLO,
     {"! failed ehlo no-starttls 250", "! failed ehlo mx-refused 354",
      "! failed ehlo mx-refused 421", "! failed ehlo mx-refused 451",
      "! failed ehlo no-starttls 554", "! failed ehlo protocol-error 0",
      "! failed ehlo connection-lost 0", "! failed ehlo timeout 0"}},
    {"HELO",
     LEVEL_MAY,
     HELLO "M: 500 no\nT: HELO relay.example\n= HELO\n",
     {"! ready", "! failed ehlo mx-refused 354", "! failed ehlo mx-refused 421",
      "! failed ehlo mx-refused 451", "! failed ehlo mx-refused 554",
      "! failed ehlo protocol-error 0", "! failed ehlo connection-lost 0",
      "! failed ehlo timeout 0"}},
    {"STARTTLS at may",
     LEVEL_MAY,
     OFFER "= STARTTLS\n",
     {"! ready", "! ready", "! failed starttls starttls-refused 421", "! ready", "! ready",
      "! failed starttls protocol-error 0", "! failed starttls connection-lost 0",
      "! failed starttls timeout 0"}},
    {"STARTTLS at verify",
     LEVEL_VERIFY,
     OFFER,
     {"! failed starttls starttls-refused 250", "! failed starttls starttls-refused 354",
      "! failed starttls starttls-refused 421", "! failed starttls starttls-refused 451",
      "! failed starttls starttls-refused 554", "! failed starttls protocol-error 0",
      "! failed starttls connection-lost 0", "! failed starttls timeout 0"}},
    {"HANDSHAKE",
     LEVEL_MAY,
     SECURED "= HANDSHAKE\n",
     {"! failed starttls starttls-injection 0", "! failed starttls starttls-injection 0",
      "! failed starttls starttls-injection 0", "! failed starttls starttls-injection 0",
      "! failed starttls starttls-injection 0", "! failed starttls starttls-injection 0",
      "! failed handshake connection-lost 0", "! failed handshake timeout 0"}},
    {"EHLO_TLS",
     LEVEL_MAY,
     SECURED "> tls untrusted\nT: EHLO relay.example\n= EHLO_TLS\n",
     {"! ready", "! failed ehlo-tls mx-refused 354", "! failed ehlo-tls mx-refused 421",
      "! failed ehlo-tls mx-refused 451", "! failed ehlo-tls mx-refused 554",
      "! failed ehlo-tls protocol-error 0", "! failed ehlo-tls connection-lost 0",
      "! failed ehlo-tls timeout 0"}},
    {"READY",
     LEVEL_NONE,
     PLAIN "= READY\n",
     {"! failed mail unasked-reply 250", "! failed mail unasked-reply 354",
      "! failed mail connection-lost 421", "! failed mail unasked-reply 451",
      "! failed mail unasked-reply 554", "! failed mail unasked-reply 0",
      "! failed mail connection-lost 0", "! failed mail timeout 0"}},
    {"ENVELOPE, MAIL",
     LEVEL_NONE,
     PLAIN MAIL "= ENVELOPE\n",
     {"! reply mail 250\n= RECIPIENTS", "! failed mail protocol-error 354",
      "! reply mail 421\n= GOODBYE", "! reply mail 451\n= READY", "! reply mail 554\n= READY",
      "! failed mail protocol-error 0", "! failed mail connection-lost 0",
      "! failed mail timeout 0"}},
    {"ENVELOPE, RCPT",
     LEVEL_NONE,
     PLAIN MAIL_OK RCPT "= ENVELOPE\n",
     {"! reply rcpt 0 250\n= RECIPIENTS", "! failed rcpt protocol-error 354",
      "! reply rcpt 0 421\n= GOODBYE", "! reply rcpt 0 451\n= RECIPIENTS",
      "! reply rcpt 0 554\n= RECIPIENTS", "! failed rcpt protocol-error 0",
      "! failed rcpt connection-lost 0", "! failed rcpt timeout 0"}},
    {"REFUSED",
     LEVEL_NONE,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n"
          "M: 550 no\n! reply mail 550\n= REFUSED\n",
     {"= READY", "! failed mail protocol-error 354", "! failed mail connection-lost 421", "= READY",
      "= READY", "! failed mail protocol-error 0", "! failed mail connection-lost 0",
      "! failed mail timeout 0"}},
    {"REFUSED, DATA ahead",
     LEVEL_NONE,
     PIPE AHEAD "M: 550 no\nM: 503 no\n! reply mail 550\n= REFUSED\n",
     {"! failed mail protocol-error 250", "! failed mail protocol-error 354",
      "! failed mail connection-lost 421", "= READY", "= READY", "! failed mail protocol-error 0",
      "! failed mail connection-lost 0", "! failed mail timeout 0"}},
    {"RESET",
     LEVEL_NONE,
     PLAIN RCPT_OK "> reset\nT: RSET\n= RESET\n",
     {"! ready\n= READY", "! failed mail protocol-error 354", "! failed mail connection-lost 421",
      "! failed mail protocol-error 451", "! failed mail protocol-error 554",
      "! failed mail protocol-error 0", "! failed mail connection-lost 0",
      "! failed mail timeout 0"}},
    {"RECIPIENTS",
     LEVEL_NONE,
     PLAIN RCPT_OK "= RECIPIENTS\n",
     {"! failed rcpt unasked-reply 250", "! failed rcpt unasked-reply 354",
      "! failed rcpt connection-lost 421", "! failed rcpt unasked-reply 451",
      "! failed rcpt unasked-reply 554", "! failed rcpt unasked-reply 0",
      "! failed rcpt connection-lost 0", "! failed rcpt timeout 0"}},
    {"DATA",
     LEVEL_NONE,
     PLAIN RCPT_OK "> data\nT: DATA\n= DATA\n",
     {"! failed data protocol-error 250", "! reply data 354\n= BODY", "! reply data 421\n= GOODBYE",
      "! reply data 451\n= RECIPIENTS", "! reply data 554\n= RECIPIENTS",
      "! failed data protocol-error 0", "! failed data connection-lost 0",
      "! failed data timeout 0"}},
    {"DATA ahead",
     LEVEL_NONE,
     PIPE AHEAD "M: 250 ok\nM: 250 ok\n! reply mail 250\n! reply rcpt 0 250\n= DATA\n",
     {"! failed data protocol-error 250", "! reply data 354\n= BODY", "! reply data 421\n= GOODBYE",
      "! reply data 451\n= RECIPIENTS", "! reply data 554\n= RECIPIENTS",
      "! failed data protocol-error 0", "! failed data connection-lost 0",
      "! failed data timeout 0"}},
    {"DATA ahead of nobody",
     LEVEL_NONE,
     PIPE AHEAD "M: 250 ok\nM: 550 no\n! reply mail 250\n! reply rcpt 0 550\n= DATA\n",
     {"! failed data protocol-error 250", "! failed data protocol-error 354",
      "! reply data 421\n= GOODBYE", "! reply data 451\n= RECIPIENTS",
      "! reply data 554\n= RECIPIENTS", "! failed data protocol-error 0",
      "! failed data connection-lost 0", "! failed data timeout 0"}},
    {"BODY",
     LEVEL_NONE,
     BODY "> body hi|\nT: hi\n= BODY\n",
     {"! failed body unasked-reply 250", "! failed body unasked-reply 354",
      "! failed body unasked-reply 421", "! failed body unasked-reply 451",
      "! failed body unasked-reply 554", "! failed body unasked-reply 0",
      "! failed body connection-lost 0", "! failed body timeout 0"}},
    {"FINAL",
     LEVEL_NONE,
     BODY "> body hi|\nT: hi\n> end\nT: .\n= FINAL\n",
     {"! reply end 250\n= READY", "! failed final maybe-delivered 354",
      "! reply end 421\n= GOODBYE", "! reply end 451\n= READY", "! reply end 554\n= READY",
      "! failed final maybe-delivered 0", "! failed final maybe-delivered 0",
      "! failed final maybe-delivered 0"}},
    {"QUIT",
     LEVEL_NONE,
     PLAIN "> quit\nT: QUIT\n= QUIT\n",
     {"! closed", "! closed", "! closed", "! closed", "! closed", "! closed", "! closed",
      "! closed"}},
    {"GOODBYE",
     LEVEL_NONE,
     PLAIN MAIL "M: 421 bye\n! reply mail 421\n= GOODBYE\n",
     {"! failed mail connection-lost 421", "! failed mail connection-lost 421",
      "! failed mail connection-lost 421", "! failed mail connection-lost 421",
      "! failed mail connection-lost 421", "! failed mail connection-lost 421",
      "! failed mail connection-lost 421", "! failed mail connection-lost 421"}},
    {"DEAD",
     LEVEL_NONE,
     "M: 554 no\n! failed greeting mx-refused 554\n= DEAD\n",
     {"= DEAD", "= DEAD", "= DEAD", "= DEAD", "= DEAD", "= DEAD", "= DEAD", "= DEAD"}},
};

static void test_grid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(grid) / sizeof(grid[0]); i++) {
        for (size_t t = 0; t < TROUBLES; t++) {
            char text[2048], name[128];
            struct script s = {.name = name, .level = grid[i].level, .text = text};
            bool dead = strncmp(grid[i].want[t], "! failed", 8) == 0 ||
                        strncmp(grid[i].want[t], "! closed", 8) == 0;

            (void)snprintf(name, sizeof(name), "%s x %s", grid[i].name, troubles[t]);
            (void)snprintf(text, sizeof(text), "%s%s\n%s\n%s", grid[i].before, troubles[t],
                           grid[i].want[t],
                           dead ? "= DEAD\nT: -\n> lost\n> timeout\nM: 250 x" : "");
            script_play_all_ways(&s);
        }
    }
}

/* Every phase has its row in the grid, and a patience unless nothing is owed (C-OUT-02, C-OUT-10).
 */
static void test_patience(void **state)
{
    static const enum outbound_patience wants[] = {
        [OUTBOUND_PHASE_BANNER] = PATIENCE_GREETING, [OUTBOUND_PHASE_EHLO] = PATIENCE_EHLO,
        [OUTBOUND_PHASE_READY] = PATIENCE_NONE,      [OUTBOUND_PHASE_ENVELOPE] = PATIENCE_BUDGET,
        [OUTBOUND_PHASE_RECIPIENTS] = PATIENCE_NONE,
    };
    static const char *const segments[] = {"220 mx\r\n", "250 mx\r\n", "", "250 ok\r\n"};
    struct demand none = {.level = LEVEL_NONE};
    struct outbound_params params = {.helo_name = "relay.example", .demand = &none};
    struct outbound *o = outbound_new(&params);
    struct mail_params mail = {0};
    struct outbound_what what;
    size_t used;

    (void)state;
    for (size_t i = 0; i <= 4; i++) {
        assert_int_equal(outbound_patience(o), wants[outbound_phase(o)]);
        buf_reset(outbound_output(o));
        if (i == 2)
            (void)outbound_mail(o, SLICE("a@b"), &mail, &what);
        else if (i < 4)
            (void)outbound_feed(o, segments[i], strlen(segments[i]), &used, &what);
    }
    assert_int_equal(outbound_phase(o), OUTBOUND_PHASE_RECIPIENTS);
    outbound_free(&o);
    for (int phase = 0; phase <= OUTBOUND_PHASE_DEAD; phase++) {
        const char *name = outbound_phase_name((enum outbound_phase)phase);
        bool found = false;

        for (size_t i = 0; i < sizeof(grid) / sizeof(grid[0]); i++)
            found = found || strncmp(grid[i].name, name, strlen(name)) == 0;
        if (!found)
            fail_msg("phase %s is not in the grid", name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_patience),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
