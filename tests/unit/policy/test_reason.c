/* SPDX-License-Identifier: Apache-2.0 */
/* The list of reasons is whole and agrees with itself; replies made from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/reason.h"

/* RFC 8460 4.3. */
static const char *const result_types[] = {
    "starttls-not-supported",  "certificate-host-mismatch",
    "certificate-expired",     "tlsa-invalid",
    "dnssec-invalid",          "dane-required",
    "certificate-not-trusted", "sts-policy-fetch-error",
    "sts-policy-invalid",      "sts-webpki-invalid",
    "validation-failure",
};

static bool is_result_type(const char *s)
{
    for (size_t i = 0; i < sizeof(result_types) / sizeof(result_types[0]); i++)
        if (strcmp(result_types[i], s) == 0)
            return true;
    return false;
}

static bool is_token(const char *s)
{
    return s[0] != '\0' && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static void test_list_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        enum reason found;

        assert_non_null(info->token);
        assert_true(is_token(info->token));
        assert_true(info->code == 250 || info->code / 100 == 4 || info->code / 100 == 5);
        assert_int_not_equal(info->code, 421); /* design section 7 */
        assert_int_equal(enhanced_parse(slice_str(info->enh), info->code).class,
                         info->code / 100); /* RFC 2034 4: the classes agree */
        assert_true(info->rpt == NULL || is_result_type(info->rpt));
        assert_true(strlen(info->text) > 0);
        assert_int_not_equal(info->text[strlen(info->text) - 1], '.');
        assert_true(i == REASON_OK || strlen(info->hint) > 0);
        assert_true(strlen(info->text) < 200);
        assert_true(reason_find(slice_str(info->token), &found));
        assert_int_equal(found, i); /* no token twice */
    }
    assert_false(reason_find(SLICE("nonsense"), &(enum reason){REASON_OK}));
}

/* What fails before MAIL because of TLS is temporary (C-OUT-12), and reported (RFC 8460). */
static void test_tls_is_temporary(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);

        if (info->stage != STAGE_STARTTLS && info->stage != STAGE_HANDSHAKE &&
            info->stage != STAGE_CERT)
            continue;
        assert_int_equal(info->code, 451);
        assert_non_null(info->rpt);
        assert_int_equal(reason_is_certificate((enum reason)i), info->stage == STAGE_CERT);
    }
    assert_true(reason_is_certificate(REASON_CERT_EXPIRED));
    assert_false(reason_is_certificate(REASON_TLS_VERSION));
}

static void test_codes_of_the_rfcs(void **state)
{
    static const struct {
        enum reason reason;
        int code;
        const char *enh;
    } rows[] = {
        {REASON_DOMAIN_NOT_FOUND, 550, "5.1.2"},   /* C-MX-03 */
        {REASON_DNS_FAILED, 451, "4.4.3"},         /* C-MX-03 */
        {REASON_DNS_TIMEOUT, 451, "4.4.3"},        /* C-MX-03 */
        {REASON_DNS_BOGUS, 451, "4.4.3"},          /* C-MX-03 */
        {REASON_NULL_MX, 556, "5.1.10"},           /* C-MX-04, RFC 7505 */
        {REASON_MX_NOT_FOUND, 550, "5.4.4"},       /* C-MX-05 */
        {REASON_LOOP, 554, "5.4.6"},               /* C-MX-06 */
        {REASON_NO_STARTTLS, 451, "4.7.4"},        /* C-TLS-05 */
        {REASON_BARE_NEWLINE, 550, "5.6.11"},      /* C-IN-04 */
        {REASON_SIZE_EXCEEDED, 552, "5.3.4"},      /* C-OUT-05 */
        {REASON_MAYBE_DELIVERED, 451, "4.4.2"},    /* C-OUT-07, RFC 1047 */
        {REASON_LEDGER_UNAVAILABLE, 451, "4.3.2"}, /* design section 6 */
        {REASON_OVERLOADED, 451, "4.3.2"},         /* C-IN-09 */
        {REASON_STS_MX_NOT_LISTED, 451, "4.7.5"},  /* C-STS-11 */
        {REASON_TLSA_LOOKUP_FAILED, 451, "4.7.5"}, /* C-DANE-02 */
        {REASON_DANE_REQUIRED, 451, "4.7.5"},
        {REASON_DANE_MISMATCH, 451, "4.7.5"},     /* C-DANE-07 */
        {REASON_REQUIRETLS_UNMET, 550, "5.7.30"}, /* RFC 8689 4.2.1 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(reason_info(rows[i].reason)->code, rows[i].code);
        assert_string_equal(reason_info(rows[i].reason)->enh, rows[i].enh);
    }
}

/* C-RPT-02: the result types of RFC 8460 4.3; NULL: nothing that the domain's policy is about. */
static void test_result_types(void **state)
{
    static const struct {
        enum reason reason;
        const char *type;
    } rows[] = {
        {REASON_NO_STARTTLS, "starttls-not-supported"},
        {REASON_CERT_EXPIRED, "certificate-expired"},
        {REASON_CERT_NAME_MISMATCH, "certificate-host-mismatch"},
        {REASON_CERT_SELF_SIGNED, "certificate-not-trusted"},
        {REASON_TLSA_LOOKUP_FAILED, "dnssec-invalid"},
        {REASON_DANE_REQUIRED, "dane-required"},
        {REASON_DANE_MISMATCH, "validation-failure"},
        {REASON_STS_MX_NOT_LISTED, "validation-failure"},
        {REASON_STS_DISCOVERY_FAILED, NULL},
        {REASON_STS_FETCH_FAILED, "sts-policy-fetch-error"},
        {REASON_STS_POLICY_INVALID, "sts-policy-invalid"},
        {REASON_STS_WEBPKI_INVALID, "sts-webpki-invalid"},
        {REASON_REQUIRETLS_UNMET, NULL},
        {REASON_CONNECT_TIMEOUT, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *rpt = reason_info(rows[i].reason)->rpt;

        assert_int_equal(rpt != NULL, rows[i].type != NULL);
        if (rpt != NULL)
            assert_string_equal(rpt, rows[i].type);
    }
}

static void expect_reply(enum reason reason, struct slice subject, struct slice detail,
                         const char *want)
{
    struct reply r;
    struct buf wire;

    reply_init(&r);
    buf_init(&wire, 4096);
    reason_reply(reason, subject, detail, &r);
    assert_int_equal(r.origin, REPLY_FROM_US);
    assert_int_equal(r.line_count, 1);
    assert_true(reply_write(&r, &wire));
    assert_string_equal(buf_cstr(&wire), want);
    reply_clear(&r);
    buf_clear(&wire);
}

static void test_reply(void **state)
{
    (void)state;
    expect_reply(REASON_DNS_TIMEOUT, SLICE("a.example"), SLICE_NONE,
                 "451 4.4.3 tlsmend: a.example: the DNS gave no answer in time [dns-timeout]\r\n");
    expect_reply(REASON_DNS_TIMEOUT, SLICE_NONE, SLICE("MX"),
                 "451 4.4.3 tlsmend: the DNS gave no answer in time (MX) [dns-timeout]\r\n");
    /* C-OUT-04: a peer's bytes are made harmless, and make no second line. */
    expect_reply(REASON_NULL_MX, SLICE("a\nb"), SLICE("x\r\n250 \xc3\xa4\0y"),
                 "556 5.1.10 tlsmend: a?b: the recipient's domain accepts no mail (null MX, RFC "
                 "7505) (x??250 ???y) [null-mx]\r\n");
}

/* However long subject and detail are, the token arrives, and the line stays within RFC 5321's
 * 512. */
static void test_reply_is_cut(void **state)
{
    static char noise[1000];

    (void)state;
    memset(noise, 'x', sizeof(noise));
    for (int i = 0; i < REASON_COUNT; i++) {
        struct reply r;
        struct buf wire;
        char tail[80];

        reply_init(&r);
        buf_init(&wire, 4096);
        reason_reply((enum reason)i, slice_of(noise, sizeof(noise)), slice_of(noise, sizeof(noise)),
                     &r);
        assert_true(reply_write(&r, &wire));
        assert_true(wire.n <= 512);
        (void)snprintf(tail, sizeof(tail), "x) [%s]\r\n", reason_info((enum reason)i)->token);
        assert_true(slice_iends(buf_slice(&wire), slice_str(tail)));
        reply_clear(&r);
        buf_clear(&wire);
    }
}

static void test_stage_names(void **state)
{
    (void)state;
    for (int i = 0; i < STAGE_COUNT; i++) {
        assert_true(is_token(stage_name((enum stage)i)));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(stage_name((enum stage)i), stage_name((enum stage)k));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_is_whole),
        cmocka_unit_test(test_tls_is_temporary),
        cmocka_unit_test(test_codes_of_the_rfcs),
        cmocka_unit_test(test_result_types),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_reply_is_cut),
        cmocka_unit_test(test_stage_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
