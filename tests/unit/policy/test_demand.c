/* SPDX-License-Identifier: Apache-2.0 */
/* Levels, who decides between configuration, DANE and MTA-STS row by row, and what holds for every
 * combination there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/policy/demand.h"
#include "tests/unit/policy/document.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ROWS_MAX 40

#define T NEED_TLS
#define PKIX (NEED_TLS | NEED_CHAIN | NEED_NAME)
#define PINNED (NEED_TLS | NEED_PIN)

static const struct tls_reached everything = {true, true, true, true, true, true, true};

/* C-TLS-01: what each level owes by itself, and what satisfies it. */
static void test_levels(void **state)
{
    static const struct {
        const char *name;
        bool owes_tls, owes_trust;
        bool clear, tls, trusted, pinned, tlsa; /* does that satisfy it? */
    } rows[] = {
        [LEVEL_NONE] = {"none", false, false, true, true, true, true, true},
        [LEVEL_MAY] = {"may", false, false, true, true, true, true, true},
        [LEVEL_ENCRYPT] = {"encrypt", true, false, false, true, true, true, true},
        [LEVEL_VERIFY] = {"verify", true, true, false, false, true, false, false},
        [LEVEL_SECURE] = {"secure", true, true, false, false, true, false, false},
        [LEVEL_FINGERPRINT] = {"fingerprint", true, false, false, false, false, true, false},
        [LEVEL_DANE] = {"dane", true, false, false, false, false, false, true},
        [LEVEL_DANE_ONLY] = {"dane-only", true, false, false, false, false, false, true},
    };
    static const struct tls_reached clear,
        tls = {.tls = true}, trusted = {.tls = true, .chain = true, .name = true},
        pinned = {.tls = true, .pinned = true}, tlsa = {.tls = true, .tlsa = true};
    struct tls_reached no_tls = everything;

    (void)state;
    no_tls.tls = false;
    assert_int_equal(COUNT(rows), LEVEL_COUNT);
    for (int l = 0; l < LEVEL_COUNT; l++) {
        struct demand d = {.needs = tls_level_needs((enum tls_level)l)};
        enum tls_level found;

        assert_string_equal(tls_level_name((enum tls_level)l), rows[l].name);
        assert_true(tls_level_find(slice_str(rows[l].name), &found));
        assert_int_equal(found, l);
        assert_int_equal(tls_level_owes_tls((enum tls_level)l), rows[l].owes_tls);
        assert_int_equal(tls_level_owes_trust((enum tls_level)l), rows[l].owes_trust);
        assert_int_equal(demand_met(&d, &clear), rows[l].clear);
        assert_int_equal(demand_met(&d, &tls), rows[l].tls);
        assert_int_equal(demand_met(&d, &trusted), rows[l].trusted);
        assert_int_equal(demand_met(&d, &pinned), rows[l].pinned);
        assert_int_equal(demand_met(&d, &tlsa), rows[l].tlsa);
        assert_true(demand_met(&d, &everything));
        assert_int_equal(demand_met(&d, &no_tls), !rows[l].owes_tls);
        d.skip = REASON_DANE_REQUIRED;
        assert_false(demand_met(&d, &everything));
    }
    assert_false(tls_level_find(SLICE("VERIFY"), &(enum tls_level){LEVEL_NONE}));
    assert_false(tls_level_find(SLICE("dane-"), &(enum tls_level){LEVEL_NONE}));
    assert_false(tls_level_find(SLICE(""), &(enum tls_level){LEVEL_NONE}));
}

static void test_words(void **state)
{
    static const char *const needs[] = {"tls", "chain", "name",      "host",
                                        "pin", "tlsa",  "requiretls"};
    enum tls_version v;

    (void)state;
    assert_true(tls_version_find(SLICE("1.2"), &v) && v == TLS_VERSION_1_2);
    assert_true(tls_version_find(SLICE("1.3"), &v) && v == TLS_VERSION_1_3);
    assert_false(tls_version_find(SLICE(""), &v));
    assert_false(tls_version_find(SLICE("1.1"), &v));
    assert_string_equal(tls_version_name(TLS_VERSION_1_3), "1.3");
    assert_string_equal(demand_source_name(DEMAND_DEFAULT), "default");
    assert_string_equal(demand_source_name(DEMAND_CONFIG), "config");
    assert_string_equal(demand_source_name(DEMAND_MTA_STS), "mta-sts");
    assert_string_equal(demand_source_name(DEMAND_DANE), "dane");
    assert_string_equal(demand_source_name(DEMAND_REQUIRETLS), "requiretls");
    assert_string_equal(observe_name(OBSERVE_UNSET), "");
    assert_string_equal(observe_name(OBSERVE_OFF), "off");
    assert_string_equal(observe_name(OBSERVE_ON), "on");
    assert_string_equal(observe_name(OBSERVE_ALL), "all");
    assert_string_equal(observe_place_name(OBSERVED_NOWHERE), "");
    assert_string_equal(observe_place_name(OBSERVED_GLOBAL), "global");
    assert_string_equal(observe_place_name(OBSERVED_LISTENER), "listener");
    assert_string_equal(observe_place_name(OBSERVED_DESTINATION), "destination");
    assert_int_equal(COUNT(needs), NEED_COUNT);
    for (size_t i = 0; i < COUNT(needs); i++)
        assert_string_equal(demand_need_name(1u << i), needs[i]);
}

/* ---- the table ---- */

static struct demand_facts facts_of(enum dane_state dane, enum sts_mode sts, bool listed)
{
    return (struct demand_facts){
        .domain = SLICE("a.test"),
        .mx_host = SLICE("mx.a.test"),
        .mx_secure = true,
        .dane = dane,
        .sts = sts,
        .sts_id = sts == STS_NONE ? "" : "20261122",
        .sts_listed = listed,
    };
}

/* The level stands in a row of `destinations`, or it is the default. */
static struct demand decided(enum tls_level level, bool by_hand, const struct demand_facts *f)
{
    struct override row = {.match = (char[]){"a.test"}, .has_level = true, .level = level};
    struct demand_config c = {.level = by_hand ? LEVEL_ENCRYPT : level,
                              .overrides = &row,
                              .override_count = by_hand ? 1 : 0};
    struct demand d;

    demand_decide(&c, f, &d);
    d.override = NULL; /* the row goes away here */
    d.policy_id = d.source == DEMAND_MTA_STS ? d.policy_id : "";
    return d;
}

/* Each row by an input that is decided by no other: C-STS-11, 12, 13, C-DANE-02, 04, 07, 08. */
static void test_rows(void **state)
{
    static const struct {
        size_t row;
        enum tls_level base;
        bool by_hand, mx_signed;
        enum dane_state dane;
        enum sts_mode sts;
        bool listed;
        enum tls_level level;
        enum demand_source source; /* DEFAULT: config or default */
        unsigned needs;
        enum reason skip;
    } cases[] = {
        {0, LEVEL_MAY, 0, 1, DANE_FAILED, STS_ENFORCE, 1, LEVEL_MAY, DEMAND_DANE, 0,
         REASON_TLSA_LOOKUP_FAILED},
        {0, LEVEL_DANE_ONLY, 1, 1, DANE_FAILED, STS_ENFORCE, 0, LEVEL_DANE_ONLY, DEMAND_DANE,
         DANE_NEEDS, REASON_TLSA_LOOKUP_FAILED},
        {1, LEVEL_NONE, 1, 1, DANE_USABLE, STS_ENFORCE, 0, LEVEL_NONE, DEMAND_MTA_STS, 0,
         REASON_STS_MX_NOT_LISTED},
        {1, LEVEL_SECURE, 1, 1, DANE_ABSENT, STS_ENFORCE, 0, LEVEL_SECURE, DEMAND_MTA_STS, PKIX,
         REASON_STS_MX_NOT_LISTED},
        {2, LEVEL_DANE_ONLY, 0, 1, DANE_UNUSABLE, STS_ENFORCE, 1, LEVEL_DANE_ONLY, DEMAND_DEFAULT,
         DANE_NEEDS, REASON_DANE_REQUIRED},
        {2, LEVEL_DANE_ONLY, 1, 0, DANE_INSECURE, STS_NONE, 0, LEVEL_DANE_ONLY, DEMAND_DEFAULT,
         DANE_NEEDS, REASON_DANE_REQUIRED},
        {3, LEVEL_SECURE, 1, 1, DANE_USABLE, STS_ENFORCE, 1, LEVEL_DANE, DEMAND_DANE,
         PKIX | NEED_TLSA, REASON_OK},
        {3, LEVEL_FINGERPRINT, 1, 1, DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DEMAND_DANE,
         PINNED | NEED_TLSA, REASON_OK},
        {3, LEVEL_SECURE, 0, 0, DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DEMAND_DANE, PKIX | NEED_TLSA,
         REASON_OK}, /* half_dane */
        {4, LEVEL_DANE_ONLY, 1, 1, DANE_USABLE, STS_TESTING, 0, LEVEL_DANE_ONLY, DEMAND_DANE,
         DANE_NEEDS, REASON_OK},
        {5, LEVEL_SECURE, 0, 1, DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DEMAND_DANE, DANE_NEEDS,
         REASON_OK},
        {5, LEVEL_VERIFY, 1, 1, DANE_USABLE, STS_ENFORCE, 1, LEVEL_DANE, DEMAND_DANE, DANE_NEEDS,
         REASON_OK},
        {5, LEVEL_NONE, 1, 1, DANE_USABLE, STS_NONE, 0, LEVEL_DANE, DEMAND_DANE, DANE_NEEDS,
         REASON_OK},
        {6, LEVEL_NONE, 1, 0, DANE_OFF, STS_ENFORCE, 1, LEVEL_VERIFY, DEMAND_MTA_STS, STS_NEEDS,
         REASON_OK},
        {6, LEVEL_ENCRYPT, 0, 1, DANE_UNUSABLE, STS_ENFORCE, 1, LEVEL_VERIFY, DEMAND_MTA_STS,
         STS_NEEDS, REASON_OK},
        {6, LEVEL_DANE, 0, 1, DANE_ABSENT, STS_ENFORCE, 1, LEVEL_VERIFY, DEMAND_MTA_STS, STS_NEEDS,
         REASON_OK}, /* no TLSA record is asked for where there is none */
        {7, LEVEL_VERIFY, 0, 0, DANE_INSECURE, STS_ENFORCE, 1, LEVEL_VERIFY, DEMAND_MTA_STS,
         PKIX | NEED_HOST, REASON_OK},
        {8, LEVEL_FINGERPRINT, 1, 1, DANE_ABSENT, STS_ENFORCE, 1, LEVEL_FINGERPRINT, DEMAND_DEFAULT,
         PINNED | NEED_CHAIN | NEED_HOST, REASON_OK},
        {8, LEVEL_SECURE, 0, 1, DANE_UNUSABLE, STS_ENFORCE, 1, LEVEL_SECURE, DEMAND_DEFAULT,
         PKIX | NEED_HOST, REASON_OK},
        {9, LEVEL_MAY, 1, 1, DANE_UNUSABLE, STS_TESTING, 0, LEVEL_ENCRYPT, DEMAND_DANE, T,
         REASON_OK},
        {9, LEVEL_DANE, 0, 1, DANE_UNUSABLE, STS_NONE, 0, LEVEL_ENCRYPT, DEMAND_DANE, T, REASON_OK},
        {10, LEVEL_DANE, 1, 1, DANE_ABSENT, STS_TESTING, 1, LEVEL_MAY, DEMAND_DEFAULT, 0,
         REASON_OK},
        {10, LEVEL_DANE, 0, 0, DANE_OFF, STS_NONE, 0, LEVEL_MAY, DEMAND_DEFAULT, 0, REASON_OK},
        {11, LEVEL_MAY, 0, 1, DANE_ABSENT, STS_TESTING, 0, LEVEL_MAY, DEMAND_DEFAULT, 0, REASON_OK},
        {11, LEVEL_VERIFY, 0, 1, DANE_UNUSABLE, STS_TESTING, 0, LEVEL_VERIFY, DEMAND_DEFAULT, PKIX,
         REASON_OK},
        {11, LEVEL_NONE, 1, 0, DANE_INSECURE, STS_NONE, 0, LEVEL_NONE, DEMAND_DEFAULT, 0,
         REASON_OK},
    };
    bool seen[ROWS_MAX] = {false};
    char text[1000];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand_facts f = facts_of(cases[i].dane, cases[i].sts, cases[i].listed);
        enum demand_source source = cases[i].source;
        struct demand d;

        f.mx_secure = cases[i].mx_signed;
        if (source == DEMAND_DEFAULT && cases[i].by_hand)
            source = DEMAND_CONFIG;
        d = decided(cases[i].base, cases[i].by_hand, &f);
        seen[cases[i].row] = true;
        if (demand_row(cases[i].base, cases[i].by_hand, &f) != cases[i].row ||
            d.level != cases[i].level || d.source != source || d.needs != cases[i].needs ||
            d.skip != cases[i].skip)
            fail_msg("case %zu: row %zu level %s source %s needs %#x skip %s", i,
                     demand_row(cases[i].base, cases[i].by_hand, &f), tls_level_name(d.level),
                     demand_source_name(d.source), d.needs, reason_info(d.skip)->token);
        if (source == DEMAND_MTA_STS)
            assert_string_equal(d.policy_id, "20261122");
    }
    for (size_t i = 0; demand_row_text(i, text, sizeof(text)) != NULL; i++)
        assert_true(seen[i]);
}

/* ---- every combination ---- */

typedef void combination_fn(enum tls_level base, bool by_hand, const struct demand_facts *f);

static void for_all(combination_fn *each)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (int dane = 0; dane < DANE_STATE_COUNT; dane++)
            for (int sts = STS_NONE; sts <= STS_ENFORCE; sts++)
                for (unsigned bits = 0; bits < 16; bits++) {
                    struct demand_facts f =
                        facts_of((enum dane_state)dane, (enum sts_mode)sts, bits & 1u);

                    f.mx_secure = bits & 2u;
                    f.is_route = bits & 4u;
                    each((enum tls_level)l, bits & 8u, &f);
                }
}

static bool reached[ROWS_MAX];

static void mark(enum tls_level base, bool by_hand, const struct demand_facts *f)
{
    reached[demand_row(base, by_hand, f)] = true;
}

static void test_every_row_is_reachable(void **state)
{
    char text[1000];
    size_t rows = 0;

    (void)state;
    for_all(mark);
    while (demand_row_text(rows, text, sizeof(text)) != NULL)
        assert_true(reached[rows++]);
    assert_int_equal(rows, 12);
    assert_null(demand_row_text(0, text, 0));
}

static bool includes(unsigned needs, unsigned part)
{
    return (needs & part) == part;
}

/* Design promise 4, for every combination. */
static void check_promises(enum tls_level base, bool by_hand, const struct demand_facts *f)
{
    struct demand d = decided(base, by_hand, f);
    unsigned own = base == LEVEL_DANE ? 0 : tls_level_needs(base);
    bool usable = f->dane == DANE_USABLE, enforce = f->sts == STS_ENFORCE;
    bool stays = base == LEVEL_SECURE || base == LEVEL_FINGERPRINT;

    /* Never less than the configuration, but where DANE stands for the roots. */
    if (!usable || (stays && (by_hand || !(f->mx_secure || f->is_route))))
        assert_true(includes(d.needs, own));
    else
        assert_true(d.skip != REASON_OK || includes(d.needs, DANE_NEEDS));
    /* C-DANE-02, C-STS-11, dane-only: no skip is lost, none is made up. */
    if (f->dane == DANE_FAILED)
        assert_int_equal(d.skip, REASON_TLSA_LOOKUP_FAILED);
    else if (enforce && !f->sts_listed)
        assert_int_equal(d.skip, REASON_STS_MX_NOT_LISTED);
    else if (base == LEVEL_DANE_ONLY && !usable)
        assert_int_equal(d.skip, REASON_DANE_REQUIRED);
    else
        assert_int_equal(d.skip, REASON_OK);
    /* Who asks, gets. */
    if (d.skip == REASON_OK && usable)
        assert_true(includes(d.needs, DANE_NEEDS));
    if (d.skip == REASON_OK && f->dane == DANE_UNUSABLE)
        assert_true(includes(d.needs, NEED_TLS)); /* C-DANE-04 */
    if (d.skip == REASON_OK && enforce && !usable)
        assert_true(includes(d.needs, STS_NEEDS));
    if (d.skip == REASON_OK && !usable) /* nobody asks for what is not there */
        assert_false(d.needs & NEED_TLSA);
    /* The words and the needs say the same; a skipped host satisfies nobody. */
    assert_int_equal(includes(d.needs, NEED_TLS), tls_level_owes_tls(d.level));
    assert_int_equal(demand_met(&d, &everything), d.skip == REASON_OK);
    assert_int_equal(d.observed, OBSERVED_NOWHERE);
    assert_int_equal(d.weakened, DEMAND_DEFAULT);
    assert_true(d.would.level == d.level && d.would.source == d.source &&
                d.would.needs == d.needs && d.would.skip == d.skip);
    if (f->sts == STS_TESTING) { /* C-STS-12 */
        struct demand_facts without = *f;
        struct demand same;

        without.sts = STS_NONE;
        same = decided(base, by_hand, &without);
        assert_true(same.level == d.level && same.source == d.source && same.needs == d.needs &&
                    same.skip == d.skip);
    }
}

static void test_promises(void **state)
{
    (void)state;
    for_all(check_promises);
}

/* RFC 8689 4.2.1: the mail adds, it takes nothing away. */
static void check_requiretls(enum tls_level base, bool by_hand, const struct demand_facts *f)
{
    struct demand_facts asks = *f;
    struct demand plain = decided(base, by_hand, f), d;

    asks.requiretls = true;
    d = decided(base, by_hand, &asks);
    assert_true(includes(d.needs, plain.needs | NEED_TLS | NEED_REQUIRETLS));
    assert_true(d.needs & (NEED_CHAIN | NEED_PIN | NEED_TLSA));
    assert_true(tls_level_owes_tls(d.level));
    if (plain.skip != REASON_OK)
        assert_int_equal(d.skip, plain.skip);
    else
        assert_true(d.skip == REASON_OK || d.skip == REASON_REQUIRETLS_UNMET);
    if (f->mx_secure || f->is_route)
        assert_int_equal(d.skip, plain.skip);
    if (plain.needs & (NEED_CHAIN | NEED_PIN | NEED_TLSA))
        assert_true(d.level == plain.level && d.source == plain.source);
    else
        assert_true(d.level == LEVEL_VERIFY && d.source == DEMAND_REQUIRETLS);
}

static void test_requiretls_adds(void **state)
{
    (void)state;
    for_all(check_requiretls);
}

/* ---- the names, written out ---- */

static void test_names(void **state)
{
    static const char *const keywords[] = {"hostname", "dot-nexthop", "nexthop", "dot-nexthop",
                                           ".any.test"};
    static const struct {
        const char *host, *nexthop;
        size_t max;
        const char *want;
    } cases[] = {
        {"mx.a.test", "a.test", 9, "mx.a.test .a.test a.test .a.test .any.test "},
        {"mx.a.test", "a.test", 2, "mx.a.test .a.test "},
        {"mx.a.test", "", 9, "mx.a.test .any.test "},
        {"", "a.test", 9, ".a.test a.test .a.test .any.test "},
        {"[192.0.2.1]", "[192.0.2.1]", 9, ".any.test "},
        {"192.0.2.1", "2001:db8::1", 9, ".any.test "}, /* C-CERT-01: no address is a name */
    };
    struct demand d = {.level = LEVEL_SECURE, .names = keywords, .name_count = COUNT(keywords)};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice names[9];
        struct buf scratch, got;
        size_t n;

        buf_init(&scratch, 1000);
        buf_init(&got, 1000);
        n = demand_names(&d, slice_str(cases[i].host), slice_str(cases[i].nexthop), &scratch, names,
                         cases[i].max);
        for (size_t k = 0; k < n; k++)
            assert_true(buf_addf(&got, "%.*s ", SLICE_ARG(names[k])));
        assert_string_equal(buf_cstr(&got), cases[i].want);
        buf_clear(&scratch);
        buf_clear(&got);
    }
}

/* ---- the document ---- */

/* docs/policy.md shows the rows as they are, in their order, and what each level needs. */
static void test_document(void **state)
{
    char *text = document_read("policy.md"), row[1000];

    (void)state;
    document_has_rows(text, demand_row_text);
    for (int l = 0; l < LEVEL_COUNT; l++) {
        const char *between = "";
        struct buf line;

        buf_init(&line, sizeof(row));
        (void)buf_addf(&line, "\n| `%s` | ", tls_level_name((enum tls_level)l));
        for (unsigned n = 0; n < NEED_COUNT; n++)
            if (tls_level_needs((enum tls_level)l) >> n & 1u) {
                (void)buf_addf(&line, "%s%s", between, demand_need_name(1u << n));
                between = ", ";
            }
        (void)buf_addf(&line, "%s |", *between == '\0' ? "nothing" : "");
        if (strstr(text, buf_cstr(&line)) == NULL)
            fail_msg("not in docs/policy.md: %s", buf_cstr(&line));
        buf_clear(&line);
    }
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),   cmocka_unit_test(test_words),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_every_row_is_reachable),
        cmocka_unit_test(test_promises), cmocka_unit_test(test_requiretls_adds),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_document),
    };
    char row[1000];

    /* "--rows" prints the table for docs/policy.md. */
    if (argc > 1 && strcmp(argv[1], "--rows") == 0) {
        for (size_t i = 0; demand_row_text(i, row, sizeof(row)) != NULL; i++)
            (void)puts(row);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
