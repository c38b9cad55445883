/* SPDX-License-Identifier: Apache-2.0 */
/* The demand beyond the table: rows of `destinations`, override_policy, observe mode, REQUIRETLS
 * and address literals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/demand.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define PKIX (NEED_TLS | NEED_CHAIN | NEED_NAME)
#define FAR 4000000000000

static char *partner_names[] = {(char[]){"mx.partner.test"}};
static char *loose_names[] = {(char[]){"mx.partner.test"}, (char[]){"hostname"}};
static struct fingerprint pin = {{1}, 32};

#define TEXT(s) ((char[]){s})
#define AT_LEVEL(l) .has_level = true, .level = LEVEL_##l
#define OVERRULES .override_policy = true, .expires = FAR

static const struct override rows[] = {
    {.match = TEXT("secure.test"), AT_LEVEL(SECURE)},
    {.match = TEXT("named.test"), AT_LEVEL(SECURE), .names = {partner_names, 1}},
    {.match = TEXT("loose.test"), AT_LEVEL(VERIFY), .names = {loose_names, 2}},
    {.match = TEXT("weak.test"), AT_LEVEL(MAY), .names = {partner_names, 1}, .expires = 1000},
    {.match = TEXT("pin.test"),
     AT_LEVEL(FINGERPRINT),
     .fingerprints = &pin,
     .fingerprint_count = 1},
    {.match = TEXT("new.test"), .min_version = TLS_VERSION_1_3},
    {.match = TEXT("none.test"), AT_LEVEL(NONE)},
    {.match = TEXT("dane.test"), AT_LEVEL(DANE)},
    {.match = TEXT("only.test"), AT_LEVEL(DANE_ONLY)},
    {.match = TEXT("[192.0.2.7]"),
     AT_LEVEL(FINGERPRINT),
     .fingerprints = &pin,
     .fingerprint_count = 1},
    {.match = TEXT("mx:mx.b.test"), AT_LEVEL(ENCRYPT), .expires = 5},
    {.match = TEXT("may.over.test"), AT_LEVEL(MAY), OVERRULES},
    {.match = TEXT("none.over.test"), AT_LEVEL(NONE), OVERRULES},
    {.match = TEXT("secure.over.test"), AT_LEVEL(SECURE), OVERRULES},
    {.match = TEXT("pin.over.test"), AT_LEVEL(FINGERPRINT), OVERRULES},
    {.match = TEXT("dane.over.test"), AT_LEVEL(DANE), OVERRULES},
    {.match = TEXT("only.over.test"), AT_LEVEL(DANE_ONLY), OVERRULES},
    {.match = TEXT("ended.over.test"), AT_LEVEL(NONE), .override_policy = true, .expires = 1000},
    {.match = TEXT("endless.over.test"), AT_LEVEL(NONE), .override_policy = true},
    {.match = TEXT("silent.over.test"), OVERRULES},
    {.match = TEXT("off.watch.test"), .observe = OBSERVE_OFF},
    {.match = TEXT("on.watch.test"), .observe = OBSERVE_ON},
    {.match = TEXT("all.watch.test"), .observe = OBSERVE_ALL},
    {.match = TEXT("named.watch.test"),
     AT_LEVEL(SECURE),
     .names = {partner_names, 1},
     .observe = OBSERVE_ON},
    {.match = TEXT("pin.watch.test"),
     AT_LEVEL(FINGERPRINT),
     .fingerprints = &pin,
     .fingerprint_count = 1,
     .observe = OBSERVE_ON},
    {.match = TEXT("over.watch.test"), AT_LEVEL(VERIFY), OVERRULES, .observe = OBSERVE_ON},
};

static struct demand_config config_of(enum tls_level level, enum observe observe)
{
    return (struct demand_config){.level = level,
                                  .literal_level = LEVEL_ENCRYPT,
                                  .min_version = TLS_VERSION_1_2,
                                  .observe = observe,
                                  .overrides = rows,
                                  .override_count = COUNT(rows)};
}

static struct demand_facts facts_of(const char *domain)
{
    return (struct demand_facts){.domain = slice_str(domain),
                                 .is_literal = domain[0] == '[',
                                 .mx_host = SLICE("mx.b.test"),
                                 .mx_secure = true,
                                 .dane = DANE_ABSENT,
                                 .sts_id = "",
                                 .now = 100};
}

static struct demand decided(const struct demand_facts *f)
{
    struct demand_config c = config_of(LEVEL_VERIFY, OBSERVE_UNSET);
    struct demand d;

    demand_decide(&c, f, &d);
    return d;
}

static void test_rows_of_destinations(void **state)
{
    static const struct {
        const char *domain;
        wall_ms now;
        enum tls_level level;
        enum demand_source source;
        enum tls_version version;
        const char *id, *name, *expired; /* name: the first of those in force */
    } cases[] = {
        {"a.test", 9, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         "mx:mx.b.test"},
        {"a.test", 4, LEVEL_ENCRYPT, DEMAND_CONFIG, TLS_VERSION_1_2, "mx:mx.b.test", "hostname",
         NULL},
        {"a.test", 5, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         "mx:mx.b.test"},
        {"secure.test", 9, LEVEL_SECURE, DEMAND_CONFIG, TLS_VERSION_1_2, "secure.test", "nexthop",
         NULL},
        {"named.test", 9, LEVEL_SECURE, DEMAND_CONFIG, TLS_VERSION_1_2, "named.test",
         "mx.partner.test", NULL},
        {"weak.test", 999, LEVEL_MAY, DEMAND_CONFIG, TLS_VERSION_1_2, "weak.test",
         "mx.partner.test", NULL},
        {"weak.test", 1000, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         "weak.test"}, /* the row has ended: the default holds */
        {"pin.test", 9, LEVEL_FINGERPRINT, DEMAND_CONFIG, TLS_VERSION_1_2, "pin.test", "hostname",
         NULL},
        {"new.test", 9, LEVEL_VERIFY, DEMAND_CONFIG, TLS_VERSION_1_3, "new.test", "hostname", NULL},
        {"none.test", 9, LEVEL_NONE, DEMAND_CONFIG, TLS_VERSION_1_2, "none.test", "hostname", NULL},
        {"[192.0.2.1]", 9, LEVEL_ENCRYPT, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         NULL}, /* C-MX-08; a row of an MX host says nothing about an address */
        {"[192.0.2.7]", 9, LEVEL_FINGERPRINT, DEMAND_CONFIG, TLS_VERSION_1_2, "[192.0.2.7]",
         "hostname", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_facts f = facts_of(cases[i].domain);
        struct demand d;

        f.now = cases[i].now;
        d = decided(&f);
        assert_int_equal(d.level, cases[i].level);
        assert_int_equal(d.source, cases[i].source);
        assert_int_equal(d.needs, tls_level_needs(cases[i].level));
        assert_int_equal(d.min_version, cases[i].version);
        assert_string_equal(d.policy_id, cases[i].id);
        assert_int_equal(d.override != NULL, d.source == DEMAND_CONFIG);
        assert_string_equal(d.names[0], cases[i].name);
        assert_int_equal(d.expired != NULL, cases[i].expired != NULL);
        if (d.expired != NULL)
            assert_string_equal(d.expired->match, cases[i].expired);
    }
}

/* Nothing in DNS stands behind an address: no MX, no TLSA base domain, no policy domain. */
static void test_literals(void **state)
{
    struct demand_facts f = facts_of("[192.0.2.1]");
    struct demand d;

    (void)state;
    for (int dane = 0; dane < DANE_STATE_COUNT; dane++) {
        f.dane = (enum dane_state)dane;
        f.sts = STS_ENFORCE;
        d = decided(&f);
        assert_true(d.level == LEVEL_ENCRYPT && d.needs == NEED_TLS && d.skip == REASON_OK);
    }
    f.requiretls = true; /* no certificate can name it */
    assert_int_equal(decided(&f).skip, REASON_REQUIRETLS_UNMET);
    f.domain = SLICE("[192.0.2.7]"); /* but a key can be pinned */
    d = decided(&f);
    assert_int_equal(d.skip, REASON_OK);
    assert_int_equal(d.needs, NEED_TLS | NEED_PIN | NEED_REQUIRETLS);
}

/* Names go by the configured level, also where DANE or an observed demand stand beside it. */
static void test_names_in_force(void **state)
{
    struct demand_facts f = facts_of("secure.test");
    struct demand_config c = config_of(LEVEL_SECURE, OBSERVE_ON);
    struct demand d;

    (void)state;
    f.dane = DANE_USABLE;
    d = decided(&f);
    assert_int_equal(d.level, LEVEL_DANE);
    assert_int_equal(d.needs, PKIX | NEED_TLSA);
    assert_string_equal(d.names[0], "nexthop");
    assert_string_equal(d.names[1], "dot-nexthop");
    f = facts_of("other.test");
    f.sts = STS_ENFORCE;
    f.sts_listed = true;
    demand_decide(&c, &f, &d); /* secure is observed, MTA-STS holds: the host's name only */
    assert_int_equal(d.level, LEVEL_VERIFY);
    assert_int_equal(d.needs, STS_NEEDS);
    assert_int_equal(d.would.needs, PKIX | NEED_HOST);
    assert_string_equal(d.names[0], "nexthop");
}

/* The default `secure` looks past an MX record that may be forged; a route has none. */
static void test_half_dane(void **state)
{
    struct demand_config c = config_of(LEVEL_SECURE, OBSERVE_UNSET);
    struct demand_facts f = facts_of("other.test");
    struct demand d;

    (void)state;
    f.dane = DANE_USABLE;
    f.mx_secure = false;
    demand_decide(&c, &f, &d);
    assert_int_equal(d.needs, PKIX | NEED_TLSA);
    f.is_route = true;
    demand_decide(&c, &f, &d);
    assert_int_equal(d.needs, DANE_NEEDS);
}

/* ---- override_policy ---- */

static void test_override_policy(void **state)
{
    static const struct {
        const char *domain;
        enum dane_state dane;
        enum sts_mode sts;
        bool listed;
        enum tls_level level;
        unsigned needs;
        enum reason skip;
        enum demand_source weakened;
    } cases[] = {
        {"may.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_MAY, 0, REASON_OK, DEMAND_MTA_STS},
        {"may.over.test", DANE_ABSENT, STS_ENFORCE, 0, LEVEL_MAY, 0, REASON_OK, DEMAND_MTA_STS},
        {"may.over.test", DANE_USABLE, STS_ENFORCE, 1, LEVEL_MAY, 0, REASON_OK, DEMAND_DANE},
        {"may.over.test", DANE_UNUSABLE, STS_NONE, 0, LEVEL_MAY, 0, REASON_OK, DEMAND_DANE},
        {"may.over.test", DANE_FAILED, STS_NONE, 0, LEVEL_MAY, 0, REASON_OK, DEMAND_DANE},
        {"may.over.test", DANE_ABSENT, STS_TESTING, 0, LEVEL_MAY, 0, REASON_OK, DEMAND_DEFAULT},
        {"none.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_NONE, 0, REASON_OK, DEMAND_MTA_STS},
        {"secure.over.test", DANE_USABLE, STS_NONE, 0, LEVEL_SECURE, PKIX, REASON_OK, DEMAND_DANE},
        {"pin.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_FINGERPRINT, NEED_TLS | NEED_PIN,
         REASON_OK, DEMAND_MTA_STS},
        /* a row that asks for DANE by itself keeps it, only MTA-STS is overruled */
        {"dane.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_MAY, 0, REASON_OK, DEMAND_MTA_STS},
        {"dane.over.test", DANE_USABLE, STS_ENFORCE, 0, LEVEL_DANE, DANE_NEEDS, REASON_OK,
         DEMAND_MTA_STS},
        {"dane.over.test", DANE_FAILED, STS_NONE, 0, LEVEL_DANE, DANE_NEEDS,
         REASON_TLSA_LOOKUP_FAILED, DEMAND_DEFAULT},
        {"only.over.test", DANE_ABSENT, STS_NONE, 0, LEVEL_DANE_ONLY, DANE_NEEDS,
         REASON_DANE_REQUIRED, DEMAND_DEFAULT},
        /* not in force: ended, without an end, without a level */
        {"ended.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_VERIFY, PKIX | NEED_HOST, REASON_OK,
         DEMAND_DEFAULT},
        {"endless.over.test", DANE_ABSENT, STS_ENFORCE, 1, LEVEL_VERIFY, STS_NEEDS, REASON_OK,
         DEMAND_DEFAULT},
        {"silent.over.test", DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DANE_NEEDS, REASON_OK,
         DEMAND_DEFAULT},
        /* a plain row weakens nothing */
        {"none.test", DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DANE_NEEDS, REASON_OK, DEMAND_DEFAULT},
        {"none.test", DANE_FAILED, STS_NONE, 0, LEVEL_NONE, 0, REASON_TLSA_LOOKUP_FAILED,
         DEMAND_DEFAULT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_facts f = facts_of(cases[i].domain);
        struct demand d;

        f.dane = cases[i].dane;
        f.sts = cases[i].sts;
        f.sts_listed = cases[i].listed;
        f.now = 1000;
        d = decided(&f);
        if (d.level != cases[i].level || d.needs != cases[i].needs || d.skip != cases[i].skip ||
            d.weakened != cases[i].weakened)
            fail_msg("case %zu: level %s needs %#x skip %s weakened %s", i, tls_level_name(d.level),
                     d.needs, reason_info(d.skip)->token, demand_source_name(d.weakened));
        assert_int_equal(d.would.needs, d.needs);
    }
}

/* ---- observe mode ---- */

/* The most specific place that is set wins, off too. */
static void test_observe_precedence(void **state)
{
    static const struct {
        const char *domain;
        enum observe global, listener;
        enum observe_place want;
        bool all;
    } cases[] = {
        {"a.test", OBSERVE_UNSET, OBSERVE_UNSET, OBSERVED_NOWHERE, false},
        {"a.test", OBSERVE_OFF, OBSERVE_UNSET, OBSERVED_NOWHERE, false},
        {"a.test", OBSERVE_ON, OBSERVE_UNSET, OBSERVED_GLOBAL, false},
        {"a.test", OBSERVE_ALL, OBSERVE_UNSET, OBSERVED_GLOBAL, true},
        {"a.test", OBSERVE_ALL, OBSERVE_OFF, OBSERVED_NOWHERE, false},
        {"a.test", OBSERVE_ALL, OBSERVE_ON, OBSERVED_LISTENER, false},
        {"a.test", OBSERVE_OFF, OBSERVE_ALL, OBSERVED_LISTENER, true},
        {"new.test", OBSERVE_ON, OBSERVE_UNSET, OBSERVED_GLOBAL, false}, /* the row is silent */
        {"off.watch.test", OBSERVE_ALL, OBSERVE_ALL, OBSERVED_NOWHERE, false},
        {"on.watch.test", OBSERVE_ALL, OBSERVE_ALL, OBSERVED_DESTINATION, false},
        {"on.watch.test", OBSERVE_OFF, OBSERVE_OFF, OBSERVED_DESTINATION, false},
        {"all.watch.test", OBSERVE_UNSET, OBSERVE_ON, OBSERVED_DESTINATION, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_config c = config_of(LEVEL_VERIFY, cases[i].global);
        struct demand_facts f = facts_of(cases[i].domain);
        struct demand d;

        f.observe = cases[i].listener;
        f.dane = DANE_USABLE;
        demand_decide(&c, &f, &d);
        assert_int_equal(d.observed, cases[i].want);
        assert_int_equal(d.needs, cases[i].all ? 0 : DANE_NEEDS);
        assert_int_equal(d.would.needs, DANE_NEEDS);
    }
}

/* on: what MTA-STS and DANE ask for stays; all: nothing does; `would` says what enforcing does. */
static void test_observe(void **state)
{
    (void)state;
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (int dane = 0; dane < DANE_STATE_COUNT; dane++)
            for (unsigned bits = 0; bits < 4; bits++) {
                struct demand_facts f = facts_of("a.test");
                struct demand_config c = config_of((enum tls_level)l, OBSERVE_OFF);
                enum tls_level relaxed = l == LEVEL_NONE ? LEVEL_NONE : LEVEL_MAY;
                struct demand enforced, may, on, all;

                f.dane = (enum dane_state)dane;
                f.sts = bits & 1u ? STS_ENFORCE : STS_NONE;
                f.sts_listed = bits & 2u;
                demand_decide(&c, &f, &enforced);
                c.level = relaxed;
                demand_decide(&c, &f, &may);
                c = config_of((enum tls_level)l, OBSERVE_ON);
                demand_decide(&c, &f, &on);
                c.observe = OBSERVE_ALL;
                demand_decide(&c, &f, &all);
                assert_true(on.level == may.level && on.needs == may.needs && on.skip == may.skip);
                assert_true(all.level == relaxed && all.needs == 0 && all.skip == REASON_OK);
                assert_memory_equal(&on.would, &enforced.would, sizeof(on.would));
                assert_memory_equal(&all.would, &enforced.would, sizeof(on.would));
            }
}

/* Observed and overruled: nothing is enforced, and enforcing would do what the row alone says. */
static void test_observe_overruled(void **state)
{
    struct demand_facts f = facts_of("over.watch.test");
    struct demand d;

    (void)state;
    f.dane = DANE_USABLE;
    f.sts = STS_ENFORCE; /* not listed */
    d = decided(&f);
    assert_true(d.level == LEVEL_MAY && d.needs == 0 && d.skip == REASON_OK);
    assert_true(d.would.level == LEVEL_VERIFY && d.would.needs == PKIX &&
                d.would.skip == REASON_OK);
    assert_int_equal(d.observed, OBSERVED_DESTINATION);
    assert_int_equal(d.weakened, DEMAND_MTA_STS);
}

/* ---- REQUIRETLS ---- */

/* RFC 8689 4.2.1: who says that this host is the domain's MX. */
static void test_requiretls(void **state)
{
    static const struct {
        const char *domain;
        bool mx_signed, route;
        enum dane_state dane;
        enum sts_mode sts;
        bool listed;
        enum reason skip;
        unsigned needs;
    } cases[] = {
        {"a.test", 1, 0, DANE_ABSENT, STS_NONE, 0, REASON_OK, PKIX},
        {"a.test", 0, 0, DANE_INSECURE, STS_NONE, 0, REASON_REQUIRETLS_UNMET, PKIX},
        {"a.test", 0, 1, DANE_INSECURE, STS_NONE, 0, REASON_OK, PKIX},
        {"a.test", 0, 0, DANE_INSECURE, STS_ENFORCE, 1, REASON_OK, PKIX | NEED_HOST},
        {"a.test", 0, 0, DANE_INSECURE, STS_TESTING, 1, REASON_REQUIRETLS_UNMET, PKIX},
        {"a.test", 0, 0, DANE_INSECURE, STS_ENFORCE, 0, REASON_STS_MX_NOT_LISTED, PKIX},
        {"a.test", 1, 0, DANE_USABLE, STS_NONE, 0, REASON_OK, DANE_NEEDS},
        {"a.test", 0, 0, DANE_USABLE, STS_NONE, 0, REASON_REQUIRETLS_UNMET,
         DANE_NEEDS}, /* half_dane: whoever forges the MX has TLSA records too */
        {"a.test", 1, 0, DANE_FAILED, STS_NONE, 0, REASON_TLSA_LOOKUP_FAILED, PKIX},
        {"secure.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_OK, PKIX},
        {"secure.test", 0, 0, DANE_USABLE, STS_NONE, 0, REASON_OK, PKIX | NEED_TLSA},
        {"named.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_OK, PKIX},
        {"loose.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_REQUIRETLS_UNMET, PKIX},
        {"pin.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_OK, NEED_TLS | NEED_PIN},
        {"none.test", 1, 0, DANE_OFF, STS_NONE, 0, REASON_OK, PKIX},
        {"may.over.test", 1, 0, DANE_USABLE, STS_NONE, 0, REASON_OK, PKIX},
        /* observed: REQUIRETLS is the mail's and holds, with the names of the row; a pin that is
         * only observed vouches for nobody */
        {"on.watch.test", 1, 0, DANE_OFF, STS_NONE, 0, REASON_OK, PKIX},
        {"named.watch.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_OK, PKIX},
        {"pin.watch.test", 0, 0, DANE_OFF, STS_NONE, 0, REASON_REQUIRETLS_UNMET, PKIX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_facts f = facts_of(cases[i].domain);
        struct demand d;

        f.mx_secure = cases[i].mx_signed;
        f.is_route = cases[i].route;
        f.dane = cases[i].dane;
        f.sts = cases[i].sts;
        f.sts_listed = cases[i].listed;
        f.requiretls = true;
        d = decided(&f);
        if (d.skip != cases[i].skip || d.needs != (cases[i].needs | NEED_REQUIRETLS))
            fail_msg("case %zu: needs %#x skip %s", i, d.needs, reason_info(d.skip)->token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_destinations),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_names_in_force),
        cmocka_unit_test(test_half_dane),
        cmocka_unit_test(test_override_policy),
        cmocka_unit_test(test_observe_precedence),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_observe_overruled),
        cmocka_unit_test(test_requiretls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
