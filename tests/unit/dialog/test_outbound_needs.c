/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is owed is read from the demand's needs: TLS at any level's name, and REQUIRETLS (RFC 8689
 * 4.2.1), which counts only where it is offered inside TLS.
 */
#include "tests/unit/dialog/outbound_script.h"

#define HELLO "M: 220 mx.example ESMTP\nT: EHLO relay.example\n"
#define OFFER HELLO "M: 250-mx.example\nM: 250 STARTTLS\nT: STARTTLS\n"
#define TLS_UP OFFER "M: 220 go\n! starttls\n> tls trusted\nT: EHLO relay.example\n"
#define UNMET                                         \
    "! failed ehlo-tls requiretls-unmet 250\n"        \
    "~ the MX does not offer REQUIRETLS inside TLS\n" \
    "T: -\n= DEAD"

static const struct script tls_by_needs[] = {
    {"none: STARTTLS is asked for", LEVEL_NONE, false, OFFER "M: 220 go\n! starttls\n= HANDSHAKE"},
    {"none: MAIL inside TLS", LEVEL_NONE, false,
     TLS_UP "M: 250 mx.example\n! ready\n> mail\nT: MAIL FROM:<s@client.example>"},
    {"none: C-TLS-05, not offered", LEVEL_NONE, false,
     HELLO "M: 250 mx.example\n! failed ehlo no-starttls 250\nT: -\n= DEAD"},
    {"may: C-TLS-05, not offered", LEVEL_MAY, false,
     HELLO "M: 250 mx.example\n! failed ehlo no-starttls 250\nT: -\n= DEAD"},
    {"may: C-TLS-04, refused", LEVEL_MAY, false,
     OFFER "M: 454 4.7.0 later\n! failed starttls starttls-refused 454\nT: -\n= DEAD"},
    {"may: C-OUT-03, no HELO", LEVEL_MAY, false,
     HELLO "M: 550 no\n! failed ehlo no-starttls 550\nT: -\n= DEAD"},
};

static void test_tls_by_needs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(tls_by_needs) / sizeof(tls_by_needs[0]); i++)
        script_play_all_ways_needing(&tls_by_needs[i], NEED_TLS);
}

static const struct script requiretls[] = {
    {"offered inside TLS: MAIL carries it", LEVEL_VERIFY, false,
     TLS_UP "M: 250-mx.example\nM: 250-SIZE\nM: 250-8BITMIME\nM: 250 REQUIRETLS\n! ready\n"
            "> mail requiretls\nT: MAIL FROM:<s@client.example> REQUIRETLS"},
    {"behind the other parameters", LEVEL_VERIFY, false,
     TLS_UP "M: 250-mx.example\nM: 250-SIZE\nM: 250-8BITMIME\nM: 250 requiretls\n! ready\n"
            "> mail 8bit\nT: MAIL FROM:<s@client.example> BODY=8BITMIME REQUIRETLS"},
    {"not offered at all", LEVEL_VERIFY, false, TLS_UP "M: 250 mx.example\n" UNMET},
    {"C-TLS-03: offered before TLS only", LEVEL_VERIFY, false,
     HELLO "M: 250-mx.example\nM: 250-REQUIRETLS\nM: 250 STARTTLS\nT: STARTTLS\n"
           "M: 220 go\n! starttls\n> tls trusted\nT: EHLO relay.example\n"
           "M: 250-mx.example\nM: 250 XREQUIRETLS\n" UNMET},
    {"no STARTTLS: that is what is said", LEVEL_MAY, false,
     HELLO "M: 250-mx.example\nM: 250 REQUIRETLS\n! failed ehlo no-starttls 250\nT: -\n= DEAD"},
    {"C-CERT-06: offered, but over TLS that is not verified", LEVEL_VERIFY, false,
     OFFER "M: 220 go\n! starttls\n> tls untrusted\nT: EHLO relay.example\n"
           "M: 250-mx.example\nM: 250 REQUIRETLS\n! ready\n"
           "> mail\n! failed mail demand-unmet 0\nT: -\n= DEAD"},
};

static void test_requiretls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(requiretls) / sizeof(requiretls[0]); i++)
        script_play_all_ways_needing(&requiretls[i], NEED_TLS | NEED_REQUIRETLS);
}

static const struct script without[] = {
    {"offered and not asked for: MAIL does not carry it", LEVEL_VERIFY, false,
     TLS_UP "M: 250-mx.example\nM: 250 REQUIRETLS\n! ready\n"
            "> mail\nT: MAIL FROM:<s@client.example>"},
    {"asked for by the mail and not in the demand: nothing is sent", LEVEL_VERIFY, false,
     TLS_UP "M: 250-mx.example\nM: 250 REQUIRETLS\n! ready\n> mail requiretls\n"
            "! failed mail demand-unmet 0\n~ REQUIRETLS is not in the demand\nT: -\n= DEAD"},
};

static void test_without_that_need(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
        script_play_all_ways(&without[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_by_needs),
        cmocka_unit_test(test_requiretls),
        cmocka_unit_test(test_without_that_need),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
