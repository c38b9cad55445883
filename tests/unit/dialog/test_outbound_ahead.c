/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAIL, RCPT and DATA in one flight (RFC 2920 3.1): what each reply means there, and that no byte of a
 * message is sent to an MX that has no recipient for it (C-OUT-08, C-OUT-09).
 */
#include "tests/unit/dialog/outbound_script.h"

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define PLAIN HELLO "M: 250 mx.example\n! ready\n"
#define PIPE HELLO "M: 250-mx.example\nM: 250 PIPELINING\n! ready\n"
#define GIVEN "> mail\n> rcpt\n> ahead\n"
#define SENT "T: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nT: DATA\n"
#define FLIGHT GIVEN SENT
#define YES \
    "M: 250 ok\nM: 250 ok\nM: 354 go\n! reply mail 250\n! reply rcpt 0 250\n! reply data 354\n"
#define MESSAGE "= BODY\n> body hi|\nT: hi\n> end\nT: .\nM: 250 queued\n! reply end 250\n= READY\n"

static const struct script flights[] = {
    {"C-OUT-08: one flight", LEVEL_NONE, false, PIPE FLIGHT YES MESSAGE},
    {"C-OUT-08: three mails, each in one flight", LEVEL_NONE, false,
     PIPE FLIGHT YES MESSAGE FLIGHT YES MESSAGE FLIGHT YES MESSAGE
     "> quit\nT: QUIT\nM: 221 bye\n! closed"},
    {"C-OUT-08: a flight behind a mail without, and one without behind it", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\n"
          "M: 250 ok\n! reply mail 250\n! reply rcpt 0 250\n> data\nT: DATA\nM: 354 go\n"
          "! reply data 354\n" MESSAGE FLIGHT YES MESSAGE
          "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\n"
          "M: 250 ok\n! reply mail 250\n! reply rcpt 0 250\n= RECIPIENTS\n> data\nT: DATA"},
    {"C-OUT-08: DATA ahead when MAIL is answered already", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\n"
          "! reply mail 250\n> ahead\nT: DATA\n= ENVELOPE\nM: 250 ok\n! reply rcpt 0 250\n= DATA\n"
          "M: 354 go\n! reply data 354\n" MESSAGE},
    {"C-OUT-08: behind refused recipients RSET, and the next flight", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\nM: 550 no\nM: 503 no\n! reply mail 250\n! reply rcpt 0 550\n"
                 "! reply data 503\n= RECIPIENTS\n> reset\nT: RSET\nM: 250 ok\n! ready\n"
                 "= READY\n" FLIGHT YES MESSAGE},
    {"behind a refused DATA a recipient more, and DATA again", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\nM: 250 ok\nM: 451 no\n! reply mail 250\n! reply rcpt 0 250\n"
                 "! reply data 451\n= RECIPIENTS\n> rcpt\n> ahead\nT: RCPT TO:<r@mx.example>\n"
                 "T: DATA\nM: 250 ok\nM: 354 go\n! reply rcpt 1 250\n! reply data 354\n" MESSAGE},
    {"C-OUT-08: a flight refused at MAIL, and the next", LEVEL_NONE, false,
     PIPE FLIGHT "M: 550 no\nM: 503 no\nM: 503 no\n! reply mail 550\n= READY\n" FLIGHT YES MESSAGE},
    {"the connection is lost in the flight", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\n! reply mail 250\n> lost\n! failed rcpt connection-lost 0\nT: -"},
    {"... and before DATA is answered", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\nM: 250 ok\n! reply mail 250\n! reply rcpt 0 250\n= DATA\n> lost\n"
                 "! failed data connection-lost 0\nT: -"},
    {"421 at RCPT ends the flight", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\nM: 421 bye\n! reply mail 250\n! reply rcpt 0 421\n= GOODBYE\n"
                 "M: 354 go\n! failed rcpt connection-lost 421\n> body x\n> end\nT: -\n= DEAD"},
};

static const struct script singly[] = {
    {"without PIPELINING one by one, DATA too", LEVEL_NONE, false,
     PLAIN GIVEN
     "T: MAIL FROM:<s@client.example>\nT: -\nM: 250 ok\n! reply mail 250\n"
     "T: RCPT TO:<r@mx.example>\nT: -\n= ENVELOPE\nM: 250 ok\n! reply rcpt 0 250\n= DATA\nT: DATA\n"
     "M: 354 go\n! reply data 354\n" MESSAGE},
    {"without PIPELINING no DATA to nobody", LEVEL_NONE, false,
     PLAIN GIVEN "T: MAIL FROM:<s@client.example>\nM: 250 ok\n! reply mail 250\n"
                 "T: RCPT TO:<r@mx.example>\nM: 550 no\n! reply rcpt 0 550\n= RECIPIENTS\nT: -\n"
                 "> reset\nT: RSET\nM: 250 ok\n! ready\n= READY\n> quit\nT: QUIT"},
    {"... nor where MAIL is refused", LEVEL_NONE, false,
     PLAIN GIVEN "T: MAIL FROM:<s@client.example>\nM: 550 no\n! reply mail 550\n= READY\nT: -\n"
                 "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nM: 250 ok\n! reply mail 250\n"
                 "T: RCPT TO:<r@mx.example>\nM: 250 ok\n! reply rcpt 0 250\n= RECIPIENTS\nT: -"},
};

static const struct script unasked[] = {
    {"C-OUT-09: DATA answered before it was sent", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\n> ahead\n"
          "M: 250 ok\nM: 250 ok\nM: 354 go\n! reply mail 250\n! reply rcpt 0 250\n"
          "! failed data unasked-reply 354\nT: -"},
    {"C-OUT-09: the flight answered before it was sent", LEVEL_NONE, false,
     PIPE GIVEN "M: 250 ok\n! failed mail unasked-reply 250\nT: -"},
    {"C-OUT-09: only MAIL has left", LEVEL_NONE, false,
     PIPE GIVEN "T: MAIL FROM:<s@client.example>\nM: 250 ok\nM: 250 ok\n! reply mail 250\n"
                "! failed rcpt unasked-reply 250\nT: -"},
    {"C-OUT-09: all but DATA has left", LEVEL_NONE, false,
     PIPE GIVEN "T: MAIL FROM:<s@client.example>\nT: RCPT TO:<r@mx.example>\nM: 250 ok\nM: 250 ok\n"
                "M: 354 go\n! reply mail 250\n! reply rcpt 0 250\n! failed data unasked-reply 354\n"
                "T: -"},
    {"C-OUT-09: half a reply before MAIL", LEVEL_NONE, false,
     PIPE "m: 25\n> mail\n! failed mail unasked-reply 0\nT: -"},
    {"C-OUT-09: half a reply before DATA", LEVEL_NONE, false,
     PIPE "> mail\n> rcpt\nT: MAIL FROM:<s@client.example>\nM: 250 ok\n! reply mail 250\nm: 25\n"
          "> ahead\nT: RCPT TO:<r@mx.example>\nT: -\nM: 0 ok\n! failed rcpt unasked-reply 250"},
    {"C-OUT-09: one reply more in the flight stands for DATA", LEVEL_NONE, false,
     PIPE FLIGHT
     "M: 250 ok\nM: 250 ok\nM: 250 ok\nM: 354 go\n! reply mail 250\n! reply rcpt 0 250\n"
     "! failed data protocol-error 250\nT: -"},
    {"C-OUT-09: one reply more behind the 354", LEVEL_NONE, false,
     PIPE FLIGHT YES "M: 250 queued\n! failed body unasked-reply 250\n> body x\n> end\nT: -"},
    {"C-OUT-09: ... that ends behind the dot", LEVEL_NONE, false,
     PIPE FLIGHT YES "m: 250 que\n> end\nT: -\nM: ued\n! failed final unasked-reply 250\nT: -"},
    {"C-OUT-09: 354 with the final reply behind a refused flight", LEVEL_NONE, false,
     PIPE FLIGHT "M: 250 ok\nM: 550 no\nM: 354 go\nM: 250 queued\n! reply mail 250\n"
                 "! reply rcpt 0 550\n! failed data protocol-error 354\nT: -\n= DEAD"},
    {"C-OUT-09: one reply more behind a flight refused at MAIL", LEVEL_NONE, false,
     PIPE FLIGHT "M: 550 no\nM: 503 no\nM: 503 no\nM: 503 no\n! reply mail 550\n"
                 "! failed mail unasked-reply 503\nT: -"},
    {"C-OUT-09: 354 too early in a flight refused at MAIL", LEVEL_NONE, false,
     PIPE FLIGHT "M: 550 no\nM: 354 go\n! reply mail 550\n! failed mail protocol-error 354\nT: -"},
};

static void play(const struct script *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        script_play_all_ways(&s[i]);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_flights(void **state)
{
    (void)state;
    play(flights, COUNT(flights));
}

static void test_singly(void **state)
{
    (void)state;
    play(singly, COUNT(singly));
}

static void test_unasked(void **state)
{
    (void)state;
    play(unasked, COUNT(unasked));
}

/* ---- every combination of replies, told by a second reading of outbound.h ---- */

#define RCPTS 2

struct combination {
    bool pipelining;
    unsigned mail, rcpt[RCPTS], data;
};

struct story {
    struct buf text;
    bool over; /* nothing more is said */
};

#define TELL(s, ...) assert_true(buf_addf(&(s)->text, __VA_ARGS__))

/* The reply is heard right before its event: with PIPELINING all are heard at once. */
static void heard(struct story *s, const struct combination *c, unsigned code)
{
    if (!c->pipelining)
        TELL(s, "M: %u x\n", code);
}

static void failed(struct story *s, const char *stage, const char *reason, unsigned code)
{
    TELL(s, "! failed %s %s %u\n= DEAD\n", stage, reason, code);
    s->over = true;
}

/* After a 421 the MX says more with PIPELINING, and closes without. */
static void goodbye(struct story *s, const struct combination *c, const char *stage)
{
    if (!c->pipelining)
        TELL(s, "= GOODBYE\n> lost\n");
    failed(s, stage, "connection-lost", 421);
}

static void refused_one(struct story *s, unsigned code, bool data)
{
    if (s->over)
        return;
    if (code == 421)
        failed(s, "mail", "connection-lost", 421);
    else if (code / 100 == 3 || (data && code / 100 == 2))
        failed(s, "mail", "protocol-error", code);
}

static void story_refused(struct story *s, const struct combination *c)
{
    TELL(s, "! reply mail %u\n", c->mail);
    for (size_t i = 0; c->pipelining && i < RCPTS; i++)
        refused_one(s, c->rcpt[i], false);
    if (c->pipelining)
        refused_one(s, c->data, true);
    if (!s->over)
        TELL(s, "= READY\nT: -\n> mail\nT: MAIL FROM:<s@client.example>\n");
}

static unsigned story_recipients(struct story *s, const struct combination *c)
{
    unsigned accepted = 0;

    for (size_t i = 0; i < RCPTS && !s->over; i++) {
        unsigned code = c->rcpt[i];

        if (!c->pipelining)
            TELL(s, "T: RCPT TO:<r@mx.example>\nT: -\n");
        heard(s, c, code);
        if (code / 100 == 3) {
            failed(s, "rcpt", "protocol-error", code);
            break;
        }
        TELL(s, "! reply rcpt %zu %u\n", i, code == 552 ? 452 : code);
        if (code == 421)
            goodbye(s, c, "rcpt");
        accepted += code / 100 == 2 ? 1 : 0;
    }
    return accepted;
}

static void story_data(struct story *s, const struct combination *c, unsigned accepted)
{
    if (!c->pipelining)
        TELL(s, accepted > 0 ? "= DATA\nT: DATA\nT: -\n" : "= RECIPIENTS\nT: -\n");
    if (!c->pipelining && accepted == 0)
        return;
    heard(s, c, c->data);
    if (c->data / 100 == 2 || (c->data == 354 && accepted == 0)) {
        failed(s, "data", "protocol-error", c->data);
        return;
    }
    TELL(s, "! reply data %u\n", c->data);
    if (c->data == 354)
        TELL(s, "= BODY\n> body .|\nT: ..\n> end\nT: .\nM: 250 x\n! reply end 250\n= READY\n");
    else if (c->data == 421)
        TELL(s, "= GOODBYE\nT: -\n");
    else
        TELL(s, "= RECIPIENTS\n> reset\nT: RSET\nM: 250 x\n! ready\n");
}

static void story_of(const struct combination *c, struct story *s)
{
    unsigned accepted;

    buf_init(&s->text, 4096);
    s->over = false;
    TELL(s, "%s> mail\n> rcpt\n> rcpt\n> ahead\nT: MAIL FROM:<s@client.example>\n",
         c->pipelining ? PIPE : PLAIN);
    if (c->pipelining)
        TELL(s,
             "T: RCPT TO:<r@mx.example>\nT: RCPT TO:<r@mx.example>\nT: DATA\nM: %u x\nM: %u x\n"
             "M: %u x\nM: %u x\n",
             c->mail, c->rcpt[0], c->rcpt[1], c->data);
    else
        TELL(s, "T: -\n");
    heard(s, c, c->mail);
    if (c->mail / 100 == 3) {
        failed(s, "mail", "protocol-error", c->mail);
    } else if (c->mail == 421) {
        TELL(s, "! reply mail 421\n");
        goodbye(s, c, "mail");
    } else if (c->mail / 100 != 2) {
        story_refused(s, c);
    } else {
        TELL(s, "! reply mail %u\n", c->mail);
        accepted = story_recipients(s, c);
        if (!s->over)
            story_data(s, c, accepted);
    }
    if (s->over)
        TELL(s, "> body x\n> end\nT: -\n");
}

static void play_combination(const struct combination *c)
{
    struct story s;
    char name[128];
    struct script script = {.name = name, .level = LEVEL_NONE};

    story_of(c, &s);
    script.text = buf_cstr(&s.text);
    (void)snprintf(name, sizeof(name), "C-OUT-09: %s %u %u %u %u",
                   c->pipelining ? "together" : "singly", c->mail, c->rcpt[0], c->rcpt[1], c->data);
    script_play(&script, 0, CUT_NOT);
    script_play(&script, 0, CUT_ALL);
    if (c->pipelining)
        script_play(&script, 0, 7); /* between two replies */
    buf_clear(&s.text);
}

/* C-OUT-08, C-OUT-09: MAIL, two RCPTs and DATA ahead, answered in every way. */
static void test_combinations(void **state)
{
    static const unsigned to_mail[] = {250, 354, 421, 451, 550};
    static const unsigned to_rcpt[] = {250, 251, 354, 421, 450, 552};
    static const unsigned to_data[] = {250, 354, 421, 451, 503};

    (void)state;
    for (size_t n = 0; n < 2 * COUNT(to_mail) * COUNT(to_rcpt) * COUNT(to_rcpt) * COUNT(to_data);
         n++) {
        size_t at = n;
        struct combination c = {.pipelining = at % 2 == 0};

        at /= 2;
        c.mail = to_mail[at % COUNT(to_mail)];
        at /= COUNT(to_mail);
        c.data = to_data[at % COUNT(to_data)];
        at /= COUNT(to_data);
        c.rcpt[0] = to_rcpt[at % COUNT(to_rcpt)];
        c.rcpt[1] = to_rcpt[at / COUNT(to_rcpt)];
        play_combination(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flights),
        cmocka_unit_test(test_singly),
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_combinations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
