/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the greeting to READY: the transcripts of tests/unit/dialog/outbound_script.h.  The cases
 * behind "peer" follow the catalogue of broken servers around STARTTLS of "Why TLS is better
 * without STARTTLS" (USENIX Security 2021).
 */
#include "tests/unit/dialog/outbound_script.h"

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define OFFER HELLO "M: 250-mx.example\nM: 250-PIPELINING\nM: 250 STARTTLS\nT: STARTTLS\n"
#define TLS_UP OFFER "M: 220 go\n! starttls\n> tls trusted\nT: EHLO relay.example\n"

static const struct script opening[] = {
    {"clear at none, STARTTLS never asked for", LEVEL_NONE, false,
     HELLO "M: 250-mx.example\nM: 250 STARTTLS\n! ready\nT: -\n= READY"},
    {"clear at may where not offered", LEVEL_MAY, false, HELLO "M: 250 mx.example\n! ready\nT: -"},
    {"clear at may on the second try", LEVEL_MAY, true,
     HELLO "M: 250-mx.example\nM: 250 STARTTLS\n! ready\nT: -"},
    {"TLS at may", LEVEL_MAY, false, OFFER "M: 220 go\n! starttls\nT: -\n= HANDSHAKE"},
    {"TLS at verify", LEVEL_VERIFY, false,
     TLS_UP "= EHLO_TLS\nM: 250 mx.example\n! ready\n= READY"},
    {"C-TLS-03: what is offered inside TLS counts, STARTTLS there is ignored", LEVEL_VERIFY, false,
     TLS_UP "M: 250-mx.example\nM: 250-STARTTLS\nM: 250 SIZE 10\n! ready\n"
            "> mail size=11\n! reply mail 552 ours\n~ SIZE 10\n> mail size=10\n"
            "T: MAIL FROM:<s@client.example> SIZE=10\n> rcpt\nT: -"},
    {"C-TLS-03: offers from before TLS are forgotten", LEVEL_ENCRYPT, false,
     HELLO "M: 250-mx.example\nM: 250-SIZE 5\nM: 250-PIPELINING\nM: 250 STARTTLS\nT: STARTTLS\n"
           "M: 220 go\n! starttls\n> tls untrusted\nT: EHLO relay.example\nM: 250 mx.example\n"
           "! ready\n> mail size=11\nT: MAIL FROM:<s@client.example>\n> rcpt\nT: -"},
    {"C-TLS-03: no EHLO inside TLS", LEVEL_VERIFY, false,
     TLS_UP "M: 500 what?\n! failed ehlo-tls mx-refused 500\n= DEAD"},
    {"C-TLS-03: EHLO inside TLS answered with 220", LEVEL_MAY, false,
     TLS_UP "M: 220 what?\n! failed ehlo-tls mx-refused 220"},
    {"C-OUT-03: HELO at none", LEVEL_NONE, false,
     HELLO "M: 502 no\nT: HELO relay.example\n= HELO\nM: 250 mx.example\n! ready"},
    {"C-OUT-03: HELO at may", LEVEL_MAY, false,
     HELLO "M: 550-no\nM: 550 no\nT: HELO relay.example\nM: 250 mx.example\n! ready\n"
           "> mail 8bit\nT: MAIL FROM:<s@client.example>"},
    {"C-OUT-03: no HELO at encrypt", LEVEL_ENCRYPT, false,
     HELLO "M: 550 5.7.1 no ESMTP\n! failed ehlo no-starttls 550\n~ 550 5.7.1 no ESMTP\nT: -"},
    {"C-MX-06: a greeting with our own name", LEVEL_MAY, false,
     "M: 220 Relay.EXAMPLE. ESMTP tlsmend\n! failed greeting mail-loop 220\nT: -"},
    {"C-MX-06: an EHLO reply with our own name", LEVEL_MAY, false,
     HELLO "M: 250-relay.example\nM: 250 STARTTLS\n! failed ehlo mail-loop 250\nT: -"},
    {"C-MX-06: our own name inside TLS", LEVEL_MAY, false,
     TLS_UP "M: 250 relay.example hello\n! failed ehlo-tls mail-loop 250"},
    {"C-MX-06: a HELO reply with our own name", LEVEL_MAY, false,
     HELLO "M: 500 no\nT: HELO relay.example\nM: 250 relay.example\n! failed ehlo mail-loop 250"},
    {"C-MX-06: our own connection, sent back by a packet filter", LEVEL_MAY, false,
     "M: 220 TLSmend.relay.example ESMTP tlsmend\n! failed greeting filter-loop 220\nT: -"},
    {"our name in the words of another is no loop", LEVEL_MAY, false,
     "M: 220-mx.example ESMTP\nM: 220 hello relay.example\nT: EHLO relay.example\n"
     "M: 250-mx.example\nM: 250 relay.example\n! ready"},
    {"C-TLS-05: STARTTLS not offered", LEVEL_VERIFY, false,
     HELLO "M: 250-mx.example\nM: 250 SIZE\n! failed ehlo no-starttls 250\n"
           "~ EHLO was answered: 250 mx.example / SIZE\nT: -"},
    {"C-TLS-05: STARTTLS overwritten", LEVEL_VERIFY, false,
     HELLO "M: 250-mx.example\nM: 250-XXXXXXXA\nM: 250 SIZE\n! failed ehlo starttls-masked 250\n"
           "~ XXXXXXXA"},
    {"C-TLS-05: the banner overwritten", LEVEL_VERIFY, false,
     "M: 220 *****************************\nT: EHLO relay.example\nM: 250-mx.example\n"
     "M: 250 SIZE\n! failed ehlo starttls-masked 250"},
    {"C-TLS-05: 500 to EHLO", LEVEL_VERIFY, false,
     HELLO "M: 500 unrecognized\n! failed ehlo starttls-masked 500\n~ 500 unrecognized"},
    {"C-TLS-05: 502 to EHLO", LEVEL_VERIFY, false,
     HELLO "M: 502 unrecognized\n! failed ehlo starttls-masked 502"},
    {"C-TLS-02: bytes behind the 220", LEVEL_VERIFY, false,
     OFFER "M: 220 go\nm: 250 mx.example\n! failed starttls starttls-injection 0\nT: -\n= DEAD"},
    {"C-TLS-02: one byte behind the 220, at may", LEVEL_MAY, false,
     OFFER "M: 220 go\nm: x\n! failed starttls starttls-injection 0\nT: -\n= DEAD"},
    {"control bytes of the MX are escaped in the detail", LEVEL_MAY, false,
     "M: 554 \033[31mred\303\n! failed greeting mx-refused 554\n~ 554 \\x1b[31mred\\xc3"},
    {"C-OUT-09: greeting and EHLO reply at once", LEVEL_MAY, false,
     "M: 220 mx.example ESMTP\nM: 250 mx.example\n! failed ehlo unasked-reply 250\nT: -"},
    {"C-OUT-09: EHLO and STARTTLS replies at once", LEVEL_MAY, false,
     HELLO "M: 250-mx.example\nM: 250 STARTTLS\nM: 220 go\n! failed starttls unasked-reply 220"},
    {"C-OUT-09: a reply in READY", LEVEL_NONE, false,
     HELLO "M: 250 mx.example\nM: 250 sent\n! ready\n! failed mail unasked-reply 250\n= DEAD"},
    {"C-OUT-09: half a reply in READY, then MAIL", LEVEL_NONE, false,
     HELLO "M: 250 mx.example\nm: 250 o\n! ready\n> mail\n! failed mail unasked-reply 0\nT: -"},
    {"C-OUT-02: silence", LEVEL_VERIFY, false, "> timeout\n! failed greeting timeout 0\nT: -"},
    {"lost in the middle of the greeting", LEVEL_VERIFY, false,
     "m: 220-mx.exa\n> lost\n! failed greeting connection-lost 0\n"
     "~ reset, in the middle of a reply: 220-mx.exa"},
};

/* Every reply around STARTTLS: at may and at verify. */
static const struct script peer[] = {
    {"peer greeting 221", LEVEL_MAY, false, "M: 221 bye\n! failed greeting mx-refused 221\nT: -"},
    {"peer greeting 354", LEVEL_MAY, false, "M: 354 go\n! failed greeting mx-refused 354\nT: -"},
    {"peer greeting 421", LEVEL_MAY, false, "M: 421 no\n! failed greeting mx-refused 421\nT: -"},
    {"peer greeting 500", LEVEL_MAY, false, "M: 500 no\n! failed greeting mx-refused 500\nT: -"},
    {"peer greeting 554", LEVEL_VERIFY, false,
     "M: 554 no\n! failed greeting mx-refused 554\n~ 554 no\nT: -"},
    {"peer EHLO 220", LEVEL_MAY, false, HELLO "M: 220 hi\n! failed ehlo mx-refused 220\nT: -"},
    {"peer EHLO 221", LEVEL_MAY, false, HELLO "M: 221 hi\n! failed ehlo mx-refused 221\nT: -"},
    {"peer EHLO 354", LEVEL_VERIFY, false, HELLO "M: 354 hi\n! failed ehlo mx-refused 354\nT: -"},
    {"peer EHLO 421", LEVEL_MAY, false, HELLO "M: 421 hi\n! failed ehlo mx-refused 421\nT: -"},
    {"peer EHLO 450", LEVEL_MAY, false, HELLO "M: 450 hi\n! failed ehlo mx-refused 450\nT: -"},
    {"peer EHLO 530", LEVEL_VERIFY, false,
     HELLO "M: 530 5.7.0 Must issue STARTTLS first\n! failed ehlo no-starttls 530\nT: -"},
    {"peer EHLO 250 of another", LEVEL_MAY, false,
     HELLO "M: 251 mx.example\n! failed ehlo mx-refused 251\nT: -"},
    {"peer HELO 220", LEVEL_MAY, false,
     HELLO "M: 500 no\nT: HELO relay.example\nM: 220 hi\n! failed ehlo mx-refused 220\nT: -"},
    {"peer HELO 354", LEVEL_MAY, false,
     HELLO "M: 500 no\nT: HELO relay.example\nM: 354 hi\n! failed ehlo mx-refused 354\nT: -"},
    {"peer HELO 421", LEVEL_MAY, false,
     HELLO "M: 500 no\nT: HELO relay.example\nM: 421 hi\n! failed ehlo mx-refused 421\nT: -"},
    {"peer HELO 500", LEVEL_MAY, false,
     HELLO "M: 500 no\nT: HELO relay.example\nM: 500 hi\n! failed ehlo mx-refused 500\nT: -"},
    {"C-TLS-04 may 454", LEVEL_MAY, false, OFFER "M: 454 4.7.0 later\n! ready\nT: -"},
    {"C-TLS-04 may 502", LEVEL_MAY, false, OFFER "M: 502 what\n! ready\nT: -"},
    {"C-TLS-04 may 250", LEVEL_MAY, false, OFFER "M: 250 ok\n! ready\nT: -"},
    {"C-TLS-04 may 354", LEVEL_MAY, false, OFFER "M: 354 go\n! ready\nT: -"},
    {"C-TLS-04 may 221", LEVEL_MAY, false,
     OFFER "M: 221 bye\n! failed starttls starttls-refused 221\nT: -"},
    {"C-TLS-04 may 421", LEVEL_MAY, false,
     OFFER "M: 421 bye\n! failed starttls starttls-refused 421\nT: -"},
    {"C-TLS-04 encrypt 454", LEVEL_ENCRYPT, false,
     OFFER "M: 454 4.7.0 later\n! failed starttls starttls-refused 454\n~ 454 4.7.0 later\nT: -"},
    {"C-TLS-04 verify 502", LEVEL_VERIFY, false,
     OFFER "M: 502 what\n! failed starttls starttls-refused 502\nT: -"},
    {"C-TLS-04 secure 250", LEVEL_SECURE, false,
     OFFER "M: 250 ok\n! failed starttls starttls-refused 250\nT: -"},
    {"C-TLS-04 fingerprint 354", LEVEL_FINGERPRINT, false,
     OFFER "M: 354 go\n! failed starttls starttls-refused 354\nT: -"},
    {"C-TLS-04 verify 221", LEVEL_VERIFY, false,
     OFFER "M: 221 bye\n! failed starttls starttls-refused 221\nT: -"},
    {"C-TLS-04 verify 421", LEVEL_VERIFY, false,
     OFFER "M: 421 bye\n! failed starttls starttls-refused 421\nT: -"},
    {"C-TLS-09 garbage to STARTTLS", LEVEL_MAY, false,
     OFFER "m: \026\003\001\n! failed starttls protocol-error 0\nT: -"},
};

static void test_opening(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++)
        script_play_all_ways(&opening[i]);
}

static void test_peer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(peer) / sizeof(peer[0]); i++)
        script_play_all_ways(&peer[i]);
}

/* Feeds a whole opening in clear and hands the machine out. */
static struct outbound *opened(const struct demand *d, const char *const segments[], size_t count)
{
    struct outbound_params params = {.helo_name = "relay.example", .demand = d};
    struct outbound *o = outbound_new(&params);
    struct outbound_what what;
    size_t used;

    for (size_t i = 0; i < count; i++) {
        (void)outbound_feed(o, segments[i], strlen(segments[i]), &used, &what);
        buf_reset(outbound_output(o));
    }
    return o;
}

/* C-TLS-05, C-TLS-04: what the record says about the opening. */
static void test_facts(void **state)
{
    static const char *const segments[] = {"220-mx.example \007ESMTP\r\n220 **\r\n",
                                           "250-mx.example\r\n250-SIZE 77\r\n250 STARTTLS\r\n",
                                           "454 4.7.0 \x80 later\r\n"};
    struct demand may = {.level = LEVEL_MAY};
    struct outbound *o = opened(&may, segments, 3);
    const struct outbound_facts *f = outbound_facts(o);

    (void)state;
    assert_string_equal(f->greeting, "220 mx.example \\x07ESMTP / **");
    assert_string_equal(f->ehlo_reply, "250 mx.example / SIZE 77 / STARTTLS");
    assert_string_equal(f->starttls_reply, "454 4.7.0 \\x80 later");
    assert_true(f->starttls_offered);
    assert_true(f->starttls_refused);
    assert_false(f->masked);
    assert_false(f->helo_only);
    assert_int_equal(f->ehlo.size_max, 77);
    assert_int_equal(outbound_phase(o), OUTBOUND_PHASE_READY);
    outbound_free(&o);
}

/* C-TLS-03: from the end of the handshake on no offer from before it is in force. */
static void test_offers_are_forgotten(void **state)
{
    static const char *const segments[] = {
        "220 mx\r\n", "250-mx\r\n250-PIPELINING\r\n250-SIZE 77\r\n250 STARTTLS\r\n", "220 go\r\n"};
    struct demand may = {.level = LEVEL_MAY};
    struct outbound *o = opened(&may, segments, 3);
    struct tls_reached got = {.tls = true};

    (void)state;
    assert_true(outbound_facts(o)->ehlo.pipelining);
    outbound_tls_up(o, &got);
    assert_false(outbound_facts(o)->ehlo.pipelining);
    assert_int_equal(outbound_facts(o)->ehlo.size_max, 0);
    assert_true(outbound_facts(o)->starttls_offered); /* that stays for the record */
    outbound_free(&o);
}

static void test_facts_of_a_helo_server(void **state)
{
    static const char *const segments[] = {"220 mx\r\n", "502 what?\r\n", "250 mx\r\n"};
    struct demand may = {.level = LEVEL_MAY};
    struct outbound *o = opened(&may, segments, 3);

    (void)state;
    assert_true(outbound_facts(o)->helo_only);
    assert_true(outbound_facts(o)->masked);
    assert_false(outbound_facts(o)->starttls_offered);
    assert_string_equal(outbound_facts(o)->ehlo_reply, "502 what?");
    outbound_free(&o);
}

/* A long reply fills a fact up to its size and not a byte more. */
static void test_facts_are_cut(void **state)
{
    struct demand may = {.level = LEVEL_MAY};
    const char *segments[1];
    char greeting[2000];
    struct outbound *o;

    (void)state;
    (void)snprintf(greeting, sizeof(greeting), "220 %01500d\r\n", 7);
    segments[0] = greeting;
    o = opened(&may, segments, 1);
    assert_int_equal(strlen(outbound_facts(o)->greeting), 255);
    assert_string_equal(outbound_facts(o)->ehlo_reply, "");
    assert_string_equal(outbound_facts(o)->starttls_reply, "");
    outbound_free(&o);
}

/* C-OUT-01: at most 512 lines and 64 KiB; more is an error of the attempt. */
static void test_endless_reply(void **state)
{
    struct demand may = {.level = LEVEL_MAY};
    struct outbound_params params = {.helo_name = "relay.example", .demand = &may};
    struct outbound *o = outbound_new(&params);
    enum outbound_event ev = OUTBOUND_NEED_INPUT;
    struct outbound_what what;
    size_t used, lines = 0;

    (void)state;
    for (; ev == OUTBOUND_NEED_INPUT && lines < 1000; lines++)
        ev = outbound_feed(o, "220-more\r\n", 10, &used, &what);
    assert_int_equal(ev, OUTBOUND_FAILED);
    assert_int_equal(what.reason, REASON_PROTOCOL_ERROR);
    assert_int_equal(what.stage, STAGE_GREETING);
    assert_int_equal(lines, 513);
    outbound_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_offers_are_forgotten),
        cmocka_unit_test(test_facts_of_a_helo_server),
        cmocka_unit_test(test_facts_are_cut),
        cmocka_unit_test(test_endless_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
