/* SPDX-License-Identifier: Apache-2.0 */
/* What is said where a demand is not met (C-CERT-06), and what the client hears of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/demand.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define PKIX (NEED_TLS | NEED_CHAIN | NEED_NAME)

static void test_told(void **state)
{
    (void)state;
    for (int r = 0; r < REASON_COUNT; r++) {
        enum reason told = demand_told(PKIX | NEED_REQUIRETLS, (enum reason)r);
        bool final = r == REASON_NO_STARTTLS ||
                     (reason_is_certificate((enum reason)r) && r != REASON_CERT_UNCHECKED);

        assert_int_equal(demand_told(PKIX, (enum reason)r), r);
        assert_int_equal(told, final ? REASON_REQUIRETLS_UNMET : (enum reason)r);
    }
    /* C-OUT-12: refused for now is temporary. */
    assert_int_equal(demand_told(NEED_REQUIRETLS, REASON_STARTTLS_REFUSED),
                     REASON_STARTTLS_REFUSED);
}

/* ---- what is owed and not there ---- */

static void test_refusal(void **state)
{
    static const struct {
        unsigned needs;
        struct tls_reached got;
        enum reason no_tls;
        bool judged;
        enum reason pkix, dane, want;
    } cases[] = {
        {0, {0}, REASON_NO_STARTTLS, 0, REASON_OK, REASON_OK, REASON_OK},
        {NEED_TLS, {.tls = true}, REASON_OK, 0, REASON_OK, REASON_OK, REASON_OK},
        {NEED_TLS, {0}, REASON_TLS_STALLED, 0, REASON_OK, REASON_OK, REASON_TLS_STALLED},
        {PKIX, {0}, REASON_OK, 0, REASON_OK, REASON_OK, REASON_NO_STARTTLS},
        /* without TLS nothing else counts */
        {DANE_NEEDS, {.tlsa = true}, REASON_TLS_RESET, 0, REASON_OK, REASON_OK, REASON_TLS_RESET},
        {DANE_NEEDS,
         {.tls = true, .tlsa = true},
         REASON_OK,
         1,
         REASON_CERT_SELF_SIGNED,
         REASON_OK,
         REASON_OK},
        {DANE_NEEDS,
         {.tls = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_CERT_NAME_MISMATCH,
         REASON_CERT_NAME_MISMATCH},
        {DANE_NEEDS,
         {.tls = true, .chain = true, .name = true, .host = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_OK,
         REASON_DANE_MISMATCH},
        {NEED_TLS | NEED_PIN,
         {.tls = true, .chain = true, .name = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_OK,
         REASON_CERT_FINGERPRINT},
        {PKIX, {.tls = true}, REASON_OK, 1, REASON_CERT_EXPIRED, REASON_OK, REASON_CERT_EXPIRED},
        {PKIX,
         {.tls = true, .chain = true},
         REASON_OK,
         1,
         REASON_CERT_NAME_MISMATCH,
         REASON_OK,
         REASON_CERT_NAME_MISMATCH},
        {PKIX, {.tls = true}, REASON_OK, 0, REASON_OK, REASON_OK, REASON_CERT_UNCHECKED},
        {PKIX,
         {.tls = true, .name = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_OK,
         REASON_CERT_UNCHECKED},
        /* MTA-STS wants the host itself, though the configuration's names are there */
        {STS_NEEDS,
         {.tls = true, .chain = true, .name = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_OK,
         REASON_CERT_NAME_MISMATCH},
        {STS_NEEDS,
         {.tls = true, .chain = true, .host = true},
         REASON_OK,
         1,
         REASON_CERT_NAME_MISMATCH,
         REASON_OK,
         REASON_OK},
        {PKIX | NEED_REQUIRETLS,
         {.tls = true, .chain = true, .name = true},
         REASON_OK,
         1,
         REASON_OK,
         REASON_OK,
         REASON_REQUIRETLS_UNMET},
        {PKIX | NEED_TLSA,
         {.tls = true, .tlsa = true},
         REASON_OK,
         1,
         REASON_CERT_UNTRUSTED_ROOT,
         REASON_OK,
         REASON_CERT_UNTRUSTED_ROOT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_seen seen = {&cases[i].got, cases[i].no_tls, cases[i].judged, cases[i].pkix,
                                   cases[i].dane};
        struct demand d = {.needs = cases[i].needs};
        enum reason got = demand_refusal(cases[i].needs, &seen);

        if (got != cases[i].want)
            fail_msg("case %zu: %s", i, reason_info(got)->token);
        assert_int_equal(demand_met(&d, &cases[i].got), got == REASON_OK);
    }
}

/* What is not met is always refused, and with a reason (every set of needs, every reached). */
static void test_refusal_agrees_with_met(void **state)
{
    (void)state;
    for (unsigned needs = 0; needs < 1u << NEED_COUNT; needs++)
        for (unsigned b = 0; b < 1u << NEED_COUNT; b++) {
            struct tls_reached got = {b & 1u, b & 2u, b & 4u, b & 8u, b & 16u, b & 32u, b & 64u};
            struct demand_seen seen = {&got, REASON_OK, true, REASON_OK, REASON_OK};
            struct demand d = {.needs = needs};

            assert_int_equal(demand_met(&d, &got), demand_refusal(needs, &seen) == REASON_OK);
            assert_int_equal(demand_met(&d, &got), (needs & ~(got.tls ? b : 0u)) == 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_refusal_agrees_with_met),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
