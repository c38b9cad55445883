/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict table: what it says row by row, that it is whole, and that docs/policy.md shows it.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/policy/verdict.h"
#include "tests/unit/policy/document.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ROWS_MAX 100

static size_t row_count(void)
{
    char text[1000];
    size_t n = 0;

    while (n < ROWS_MAX && verdict_row_text(n, text, sizeof(text)) != NULL)
        n++;
    return n;
}

/* Call `each` for every combination that there is. */
static void for_all(void (*each)(enum stage, enum outcome, enum tls_level, bool))
{
    for (int s = 0; s < STAGE_COUNT; s++)
        for (int o = 0; o < OUTCOME_COUNT; o++)
            for (int l = 0; l < LEVEL_COUNT; l++)
                for (int accepted = 0; accepted < 2; accepted++)
                    each((enum stage)s, (enum outcome)o, (enum tls_level)l, accepted != 0);
}

static bool reached[ROWS_MAX];

static void mark(enum stage s, enum outcome o, enum tls_level l, bool accepted)
{
    reached[verdict_row(s, o, l, accepted)] = true;
}

static void test_every_row_is_reachable(void **state)
{
    size_t rows = row_count();
    char text[1000];

    (void)state;
    assert_true(rows > 10 && rows < ROWS_MAX);
    for_all(mark);
    for (size_t i = 0; i < rows; i++)
        assert_true(reached[i]);
    assert_non_null(verdict_row_text(rows - 1, text, sizeof(text)));
    assert_string_equal(text, "| any | any | any | any | defer | in every other case: say 451, "
                              "lose nothing |");
    assert_null(verdict_row_text(rows, text, sizeof(text)));
}

/* The promises that hold for every cell of the table. */
static void check_promises(enum stage s, enum outcome o, enum tls_level l, bool accepted)
{
    enum verdict_step step = verdict_decide(s, o, l, accepted).step;

    /* Design promise 4: clear text only where the level allows it, and never behind an attack. */
    if (step == VERDICT_PLAINTEXT)
        assert_true(l == LEVEL_MAY && o != OUTCOME_ATTACK);
    if (step == VERDICT_GO_ON && o != OUTCOME_OK)
        assert_true(l == LEVEL_MAY && (s == STAGE_STARTTLS || s == STAGE_EHLO));
    /* C-TLS-06: a rung lower only for a handshake that broke, never for a certificate. */
    if (step == VERDICT_LOWER_RUNG)
        assert_true(s == STAGE_HANDSHAKE && l != LEVEL_NONE && !accepted &&
                    (o == OUTCOME_LOST || o == OUTCOME_TIMEOUT || o == OUTCOME_PROTOCOL ||
                     o == OUTCOME_BAD_TLS));
    if (o == OUTCOME_ATTACK)
        assert_true(step == VERDICT_NEXT_HOST || step == VERDICT_DEFER);
    /* Design promise 1: where there was no reply, none is passed on. */
    if (o == OUTCOME_LOST || o == OUTCOME_TIMEOUT || o == OUTCOME_PROTOCOL)
        assert_true(step != VERDICT_PASS_THROUGH && step != VERDICT_REJECT);
    /* One destination has one connection once a recipient is accepted, and once DATA began. */
    if (accepted || s == STAGE_DATA || s == STAGE_BODY || s == STAGE_FINAL)
        assert_true(step != VERDICT_NEXT_HOST && step != VERDICT_PLAINTEXT &&
                    step != VERDICT_LOWER_RUNG);
    /* C-OUT-12: nothing that is about TLS is final. */
    if (o == OUTCOME_NO_TLS || o == OUTCOME_BAD_TLS || o == OUTCOME_BAD_CERT)
        assert_true(step != VERDICT_REJECT && step != VERDICT_PASS_THROUGH);
    /* C-OUT-11: what a host says before MAIL is not the last word. */
    if (s >= STAGE_CONNECT && s <= STAGE_EHLO_TLS)
        assert_true(step != VERDICT_PASS_THROUGH && step != VERDICT_REJECT);
}

static void test_promises(void **state)
{
    (void)state;
    for_all(check_promises);
}

static void test_rows(void **state)
{
    static const struct {
        enum stage stage;
        enum outcome outcome;
        enum tls_level level;
        bool accepted;
        enum verdict_step want;
    } cases[] = {
        {STAGE_RCPT, OUTCOME_OK, LEVEL_VERIFY, false, VERDICT_PASS_THROUGH},
        {STAGE_FINAL, OUTCOME_OK, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_GREETING, OUTCOME_OK, LEVEL_VERIFY, false, VERDICT_GO_ON},
        {STAGE_DATA, OUTCOME_OK, LEVEL_MAY, true, VERDICT_GO_ON},
        /* C-MX-03, C-MX-04, C-MX-06 */
        {STAGE_DNS, OUTCOME_5XX, LEVEL_VERIFY, false, VERDICT_REJECT},
        {STAGE_DNS, OUTCOME_LOOP, LEVEL_VERIFY, false, VERDICT_REJECT},
        {STAGE_DNS, OUTCOME_4XX, LEVEL_VERIFY, false, VERDICT_DEFER},
        {STAGE_DNS, OUTCOME_TIMEOUT, LEVEL_VERIFY, false, VERDICT_DEFER},
        /* C-IN-04 */
        {STAGE_CLIENT, OUTCOME_5XX, LEVEL_VERIFY, true, VERDICT_REJECT},
        {STAGE_CLIENT, OUTCOME_4XX, LEVEL_VERIFY, true, VERDICT_DEFER},
        /* C-STS-11, C-DANE-02, dane-only, REQUIRETLS: a skipped host */
        {STAGE_POLICY, OUTCOME_4XX, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_POLICY, OUTCOME_4XX, LEVEL_NONE, false, VERDICT_NEXT_HOST},
        {STAGE_POLICY, OUTCOME_5XX, LEVEL_DANE_ONLY, false, VERDICT_NEXT_HOST},
        {STAGE_POLICY, OUTCOME_4XX, LEVEL_VERIFY, true, VERDICT_DEFER},
        {STAGE_POLICY, OUTCOME_BAD_CERT, LEVEL_VERIFY, false, VERDICT_DEFER}, /* demand-unmet */
        {STAGE_EHLO_TLS, OUTCOME_5XX, LEVEL_VERIFY, false,
         VERDICT_NEXT_HOST},                                                /* requiretls-unmet */
        {STAGE_MAIL, OUTCOME_BAD_CERT, LEVEL_VERIFY, false, VERDICT_DEFER}, /* demand-unmet */
        {STAGE_GREETING, OUTCOME_LOOP, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_EHLO_TLS, OUTCOME_LOOP, LEVEL_SECURE, false, VERDICT_NEXT_HOST},
        /* C-TLS-02, at every level */
        {STAGE_STARTTLS, OUTCOME_ATTACK, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_STARTTLS, OUTCOME_ATTACK, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_HANDSHAKE, OUTCOME_ATTACK, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        /* C-TLS-04, C-TLS-05 */
        {STAGE_STARTTLS, OUTCOME_NO_TLS, LEVEL_ENCRYPT, false, VERDICT_NEXT_HOST},
        {STAGE_EHLO, OUTCOME_NO_TLS, LEVEL_FINGERPRINT, false, VERDICT_NEXT_HOST},
        {STAGE_STARTTLS, OUTCOME_5XX, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_STARTTLS, OUTCOME_NO_TLS, LEVEL_MAY, false, VERDICT_GO_ON},
        {STAGE_EHLO, OUTCOME_NO_TLS, LEVEL_MAY, false, VERDICT_GO_ON},
        {STAGE_STARTTLS, OUTCOME_4XX, LEVEL_MAY, false, VERDICT_GO_ON},
        {STAGE_STARTTLS, OUTCOME_421, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_STARTTLS, OUTCOME_LOST, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_STARTTLS, OUTCOME_PROTOCOL, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        /* C-TLS-06, C-TLS-09 */
        {STAGE_HANDSHAKE, OUTCOME_BAD_TLS, LEVEL_MAY, false, VERDICT_LOWER_RUNG},
        {STAGE_HANDSHAKE, OUTCOME_TIMEOUT, LEVEL_MAY, false, VERDICT_LOWER_RUNG},
        {STAGE_HANDSHAKE, OUTCOME_LOST, LEVEL_DANE, false, VERDICT_LOWER_RUNG},
        {STAGE_HANDSHAKE, OUTCOME_PROTOCOL, LEVEL_SECURE, false, VERDICT_LOWER_RUNG},
        {STAGE_HANDSHAKE, OUTCOME_BAD_TLS, LEVEL_NONE, false, VERDICT_DEFER},
        {STAGE_HANDSHAKE, OUTCOME_BAD_TLS, LEVEL_MAY, true, VERDICT_DEFER},
        {STAGE_HANDSHAKE, OUTCOME_BAD_CERT, LEVEL_MAY, false, VERDICT_PLAINTEXT},
        {STAGE_EHLO_TLS, OUTCOME_LOST, LEVEL_MAY, false, VERDICT_PLAINTEXT},
        {STAGE_EHLO_TLS, OUTCOME_BAD_TLS, LEVEL_MAY, false, VERDICT_PLAINTEXT},
        {STAGE_EHLO_TLS, OUTCOME_5XX, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_HANDSHAKE, OUTCOME_BAD_TLS, LEVEL_ENCRYPT, false, VERDICT_LOWER_RUNG},
        {STAGE_EHLO_TLS, OUTCOME_BAD_TLS, LEVEL_DANE_ONLY, false, VERDICT_NEXT_HOST},
        {STAGE_CERT, OUTCOME_TIMEOUT, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_CERT, OUTCOME_BAD_CERT, LEVEL_DANE, false, VERDICT_NEXT_HOST}, /* C-DANE-07 */
        {STAGE_EHLO_TLS, OUTCOME_TIMEOUT, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_CERT, OUTCOME_BAD_CERT, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_CERT, OUTCOME_BAD_CERT, LEVEL_FINGERPRINT, false, VERDICT_NEXT_HOST},
        {STAGE_HANDSHAKE, OUTCOME_BAD_CERT, LEVEL_ENCRYPT, false, VERDICT_NEXT_HOST},
        /* C-OUT-06, C-OUT-11 */
        {STAGE_CONNECT, OUTCOME_LOST, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_CONNECT, OUTCOME_TIMEOUT, LEVEL_NONE, false, VERDICT_NEXT_HOST},
        {STAGE_GREETING, OUTCOME_4XX, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_GREETING, OUTCOME_5XX, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_GREETING, OUTCOME_421, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_EHLO, OUTCOME_5XX, LEVEL_NONE, false, VERDICT_NEXT_HOST},
        {STAGE_EHLO, OUTCOME_PROTOCOL, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_MAIL, OUTCOME_421, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_MAIL, OUTCOME_4XX, LEVEL_VERIFY, false, VERDICT_PASS_THROUGH},
        {STAGE_MAIL, OUTCOME_5XX, LEVEL_VERIFY, false, VERDICT_PASS_THROUGH},
        {STAGE_RCPT, OUTCOME_421, LEVEL_VERIFY, false, VERDICT_PASS_THROUGH},
        {STAGE_RCPT, OUTCOME_5XX, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_DATA, OUTCOME_4XX, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_FINAL, OUTCOME_5XX, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_FINAL, OUTCOME_421, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_BODY, OUTCOME_421, LEVEL_VERIFY, true, VERDICT_PASS_THROUGH},
        {STAGE_MAIL, OUTCOME_LOST, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_RCPT, OUTCOME_TIMEOUT, LEVEL_VERIFY, false, VERDICT_NEXT_HOST},
        {STAGE_RCPT, OUTCOME_PROTOCOL, LEVEL_VERIFY, true, VERDICT_DEFER},
        /* C-TLS-11 */
        {STAGE_MAIL, OUTCOME_NO_TLS, LEVEL_MAY, false, VERDICT_NEXT_HOST},
        {STAGE_RCPT, OUTCOME_NO_TLS, LEVEL_NONE, false, VERDICT_NEXT_HOST},
        {STAGE_RCPT, OUTCOME_NO_TLS, LEVEL_MAY, true, VERDICT_DEFER},
        /* C-OUT-07, C-OUT-09 */
        {STAGE_DATA, OUTCOME_LOST, LEVEL_VERIFY, true, VERDICT_DEFER},
        {STAGE_BODY, OUTCOME_PROTOCOL, LEVEL_VERIFY, true, VERDICT_DEFER},
        {STAGE_BODY, OUTCOME_4XX, LEVEL_VERIFY, true, VERDICT_DEFER},
        {STAGE_FINAL, OUTCOME_LOST, LEVEL_VERIFY, true, VERDICT_DEFER},
        {STAGE_FINAL, OUTCOME_TIMEOUT, LEVEL_MAY, true, VERDICT_DEFER},
        {STAGE_LOCAL, OUTCOME_4XX, LEVEL_VERIFY, false, VERDICT_DEFER},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct verdict v =
            verdict_decide(cases[i].stage, cases[i].outcome, cases[i].level, cases[i].accepted);

        if (v.step != cases[i].want)
            fail_msg("%s %s %s accepted=%d: %s, not %s (%s)", stage_name(cases[i].stage),
                     outcome_name(cases[i].outcome), tls_level_name(cases[i].level),
                     cases[i].accepted, verdict_step_name(v.step), verdict_step_name(cases[i].want),
                     v.why);
        assert_true(strlen(v.why) > 10);
    }
}

static void test_outcome_of_reply(void **state)
{
    static const struct {
        int code;
        enum outcome want;
    } cases[] = {{220, OUTCOME_OK},     {354, OUTCOME_OK},       {421, OUTCOME_421},
                 {420, OUTCOME_4XX},    {451, OUTCOME_4XX},      {550, OUTCOME_5XX},
                 {0, OUTCOME_PROTOCOL}, {199, OUTCOME_PROTOCOL}, {600, OUTCOME_PROTOCOL}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(outcome_of_reply(cases[i].code), cases[i].want);
}

static void test_outcome_of_reason(void **state)
{
    static const struct {
        enum reason reason;
        int code;
        enum outcome want;
    } cases[] = {
        {REASON_OK, 0, OUTCOME_OK},
        {REASON_CONNECT_REFUSED, 0, OUTCOME_LOST},
        {REASON_CONNECT_TIMEOUT, 0, OUTCOME_TIMEOUT},
        {REASON_LOST, 0, OUTCOME_LOST},
        {REASON_TIMEOUT, 0, OUTCOME_TIMEOUT},
        {REASON_PROTOCOL_ERROR, 0, OUTCOME_PROTOCOL},
        {REASON_UNASKED_REPLY, 250, OUTCOME_PROTOCOL},
        {REASON_MAYBE_DELIVERED, 0, OUTCOME_LOST},
        {REASON_MX_REFUSED, 421, OUTCOME_421},
        {REASON_MX_REFUSED, 450, OUTCOME_4XX},
        {REASON_MX_REFUSED, 554, OUTCOME_5XX},
        {REASON_MX_REFUSED, 221, OUTCOME_PROTOCOL}, /* a greeting of 221 */
        {REASON_MX_REPLIED, 250, OUTCOME_OK},
        {REASON_MX_REPLIED, 552, OUTCOME_5XX},
        {REASON_SIZE_EXCEEDED, 0, OUTCOME_5XX},
        {REASON_NO_STARTTLS, 250, OUTCOME_NO_TLS},
        {REASON_NO_STARTTLS, 550, OUTCOME_NO_TLS}, /* EHLO refused where TLS is owed */
        {REASON_STARTTLS_MASKED, 250, OUTCOME_NO_TLS},
        {REASON_STARTTLS_REFUSED, 454, OUTCOME_NO_TLS}, /* C-TLS-04 */
        {REASON_STARTTLS_REFUSED, 502, OUTCOME_NO_TLS},
        {REASON_STARTTLS_REFUSED, 250, OUTCOME_NO_TLS},
        {REASON_STARTTLS_REFUSED, 354, OUTCOME_NO_TLS},
        {REASON_STARTTLS_REFUSED, 421, OUTCOME_421},
        {REASON_STARTTLS_REFUSED, 221, OUTCOME_LOST},
        {REASON_STARTTLS_INJECTION, 220, OUTCOME_ATTACK},
        {REASON_TLS_REQUIRED_BY_MX, 530, OUTCOME_NO_TLS},
        {REASON_TLS_STALLED, 0, OUTCOME_BAD_TLS},
        {REASON_TLS_VERSION, 0, OUTCOME_BAD_TLS},
        {REASON_CERT_EXPIRED, 0, OUTCOME_BAD_CERT},
        {REASON_DEMAND_UNMET, 0, OUTCOME_BAD_CERT},
        {REASON_TLS_CLIENT_CERT, 0, OUTCOME_BAD_CERT}, /* C-TLS-06: no rung mends that */
        {REASON_DANE_MISMATCH, 0, OUTCOME_BAD_CERT},
        {REASON_TLSA_LOOKUP_FAILED, 0, OUTCOME_4XX},
        {REASON_DANE_REQUIRED, 0, OUTCOME_4XX},
        {REASON_STS_MX_NOT_LISTED, 0, OUTCOME_4XX},
        {REASON_REQUIRETLS_UNMET, 250, OUTCOME_5XX}, /* EHLO inside TLS without it */
        {REASON_STS_FETCH_FAILED, 0, OUTCOME_4XX},
        {REASON_LOOP, 220, OUTCOME_LOOP},
        {REASON_DOMAIN_NOT_FOUND, 0, OUTCOME_5XX},
        {REASON_NULL_MX, 0, OUTCOME_5XX},
        {REASON_DNS_FAILED, 0, OUTCOME_4XX},
        {REASON_DNS_BOGUS, 0, OUTCOME_4XX},
        {REASON_MX_FORBIDDEN, 0, OUTCOME_4XX},
        {REASON_BARE_NEWLINE, 0, OUTCOME_5XX},
        {REASON_FILTER_LOOP, 0, OUTCOME_LOST},
        {REASON_OVERLOADED, 0, OUTCOME_4XX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (outcome_of_reason(cases[i].reason, cases[i].code) != cases[i].want)
            fail_msg("%s %d: %s", reason_info(cases[i].reason)->token, cases[i].code,
                     outcome_name(outcome_of_reason(cases[i].reason, cases[i].code)));
    for (int r = REASON_OK + 1; r < REASON_COUNT; r++)
        assert_true((outcome_of_reason((enum reason)r, 0) == OUTCOME_OK) ==
                    (r == REASON_ALREADY_DELIVERED));
}

/* docs/policy.md shows the rows as they are, in their order. */
static void test_document(void **state)
{
    char *text = document_read("policy.md"), row[1000];

    (void)state;
    document_has_rows(text, verdict_row_text);
    for (int l = 0; l < LEVEL_COUNT; l++) {
        (void)snprintf(row, sizeof(row), "\n| `%s` |", tls_level_name((enum tls_level)l));
        assert_non_null(strstr(text, row));
    }
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_reachable),
        cmocka_unit_test(test_promises),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_outcome_of_reply),
        cmocka_unit_test(test_outcome_of_reason),
        cmocka_unit_test(test_document),
    };
    char row[1000];

    /* "--rows" prints the table for docs/policy.md. */
    if (argc > 1 && strcmp(argv[1], "--rows") == 0) {
        for (size_t i = 0; verdict_row_text(i, row, sizeof(row)) != NULL; i++)
            (void)puts(row);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
