/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several failures the client hears (C-OUT-11, C-OUT-12), and late TLS refusals
 * (C-TLS-11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/verdict.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_refusal_code(void **state)
{
    static const struct {
        enum stage stage;
        int code;
        enum tls_level level;
        int want;
    } cases[] = {
        {STAGE_GREETING, 554, LEVEL_VERIFY, 554}, {STAGE_GREETING, 500, LEVEL_MAY, 500},
        {STAGE_GREETING, 450, LEVEL_MAY, 450},    {STAGE_GREETING, 421, LEVEL_MAY, 451},
        {STAGE_GREETING, 221, LEVEL_MAY, 451},    {STAGE_EHLO, 550, LEVEL_NONE, 550},
        {STAGE_EHLO, 550, LEVEL_MAY, 550},        {STAGE_EHLO, 550, LEVEL_ENCRYPT, 451},
        {STAGE_EHLO, 550, LEVEL_VERIFY, 451},     {STAGE_EHLO, 452, LEVEL_VERIFY, 452},
        {STAGE_EHLO_TLS, 550, LEVEL_MAY, 451},    {STAGE_EHLO_TLS, 550, LEVEL_VERIFY, 451},
        {STAGE_STARTTLS, 554, LEVEL_VERIFY, 451}, {STAGE_STARTTLS, 454, LEVEL_VERIFY, 454},
        {STAGE_GREETING, 0, LEVEL_MAY, 451},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(refusal_code(cases[i].stage, cases[i].code, cases[i].level),
                         cases[i].want);
}

static const struct failure none = {REASON_OK, STAGE_LOCAL, 0};
static const struct failure loop = {REASON_LOOP, STAGE_GREETING, 554};
static const struct failure refused_554 = {REASON_MX_REFUSED, STAGE_GREETING, 554};
static const struct failure refused_450 = {REASON_MX_REFUSED, STAGE_GREETING, 450};
static const struct failure down = {REASON_CONNECT_TIMEOUT, STAGE_CONNECT, 451};
static const struct failure no_tls = {REASON_NO_STARTTLS, STAGE_STARTTLS, 451};
static const struct failure bad_cert = {REASON_CERT_EXPIRED, STAGE_CERT, 451};
static const struct failure unlisted = {REASON_STS_MX_NOT_LISTED, STAGE_POLICY, 451};
static const struct failure no_tlsa = {REASON_TLSA_LOOKUP_FAILED, STAGE_POLICY, 451};
static const struct failure unsafe = {REASON_REQUIRETLS_UNMET, STAGE_POLICY, 550};
static const struct failure unsafe_inside = {REASON_REQUIRETLS_UNMET, STAGE_EHLO_TLS, 550};
static const struct failure budget = {REASON_BUDGET_SPENT, STAGE_LOCAL, 451};

static void test_replaces(void **state)
{
    static const struct {
        const struct failure *kept, *latest;
        bool want;
    } cases[] = {
        {&none, &loop, true},
        {&none, &down, true},
        {&loop, &loop, true},
        {&loop, &down, true},
        {&loop, &refused_554, true},
        {&down, &loop, false},
        {&refused_554, &loop, false},
        {&refused_554, &down, true},
        {&refused_554, &budget, true},
        {&down, &refused_554, false},
        {&bad_cert, &down, false},
        {&down, &bad_cert, true},
        {&no_tls, &bad_cert, true},
        {&bad_cert, &no_tls, false},
        {&down, &down, true},
        {&refused_450, &refused_554, false},
        {&refused_554, &refused_450, true},
        {&bad_cert, &budget, false},
        /* skipped hosts: any that was reached says more; REQUIRETLS is final only where every host
         * lacks it */
        {&none, &unlisted, true},
        {&unlisted, &no_tlsa, true},
        {&unlisted, &down, true},
        {&down, &unlisted, false},
        {&refused_554, &unlisted, true},
        {&unsafe, &unsafe_inside, true},
        {&unsafe_inside, &unsafe, false},
        {&unsafe_inside, &down, true},
        {&down, &unsafe_inside, false},
        {&unsafe, &unlisted, true},
        {&unlisted, &unsafe, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(failure_replaces(cases[i].kept, cases[i].latest), cases[i].want);
}

static const struct failure *decide(const struct failure *const *list, size_t count)
{
    const struct failure *kept = &none;

    for (size_t i = 0; i < count; i++)
        if (failure_replaces(kept, list[i]))
            kept = list[i];
    return kept;
}

/* Whatever the order of the hosts: a 5xx stands only where every host said so, a loop only where
 * all are loops. */
static void test_any_order(void **state)
{
    const struct failure *const all[] = {&loop, &refused_554, &down, &bad_cert, &unsafe, &unlisted};

    (void)state;
    for (size_t a = 0; a < COUNT(all); a++)
        for (size_t b = 0; b < COUNT(all); b++)
            for (size_t c = 0; c < COUNT(all); c++) {
                const struct failure *const list[] = {all[a], all[b], all[c]};
                const struct failure *kept = decide(list, COUNT(list));
                bool temporary = false, only_loops = true;

                for (size_t i = 0; i < COUNT(list); i++) {
                    temporary = temporary || list[i]->code / 100 == 4;
                    only_loops = only_loops && list[i]->reason == REASON_LOOP;
                }
                assert_int_equal(kept->code / 100 == 4, temporary);
                assert_int_equal(kept->reason == REASON_LOOP, only_loops);
                if (a == 3 || b == 3 || c == 3)
                    assert_ptr_equal(kept, &bad_cert);
            }
}

static void test_tls_refusals(void **state)
{
    static const struct {
        int code;
        const char *enh, *text;
        bool want;
    } cases[] = {
        {530, "5.7.0", "Must issue a STARTTLS command first", true}, /* RFC 3207 4 */
        {530, NULL, "#5.7.0 Must issue a STARTTLS command first", true},
        {530, NULL, "Authentication required", false},
        {454, "4.7.0", "TLS not available due to temporary reason", true},
        {454, "4.7.0", "Encryption required", true},
        {550, "5.7.1", "Session encryption is required", true},
        {550, "5.7.1", "TLS required by recipient policy", true},
        {451, NULL, "5.7.3 STARTTLS is required to send mail", true}, /* Office 365 */
        {550, "5.7.10", "whatever", true},
        {523, "5.7.10", "Encryption Needed", true},
        {554, "5.7.1", "Only TLS connections are accepted", true},
        {550, "5.7.1", "Rejected for policy reasons", false},
        {550, "5.7.1", "TLS-RPT address must exist", false},
        {550, "5.7.1", "Message must pass DMARC", false},
        {550, "5.1.1", "TLS is a must: no such user", false},
        {550, NULL, "no such user, subtlsty needed", false},
        {250, "2.0.0", "TLS required", false},
        {354, NULL, "TLS required", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct reply r;

        reply_init(&r);
        reply_set(&r, cases[i].code, cases[i].enh, slice_str(cases[i].text));
        if (reply_is_tls_refusal(&r) != cases[i].want)
            fail_msg("%d %s", cases[i].code, cases[i].text);
        reply_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal_code),
        cmocka_unit_test(test_replaces),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_tls_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
