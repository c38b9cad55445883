/* SPDX-License-Identifier: Apache-2.0 */
/* Levels, rows of `destinations`, and the demand that comes of them, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/demand.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* C-TLS-01: what each level owes, and what satisfies it. */
static void test_levels(void **state)
{
    static const struct {
        const char *name;
        bool owes_tls, owes_trust;
        bool clear, tls, trusted, pinned, all; /* does that satisfy it? */
    } rows[] = {
        [LEVEL_NONE] = {"none", false, false, true, true, true, true, true},
        [LEVEL_MAY] = {"may", false, false, true, true, true, true, true},
        [LEVEL_ENCRYPT] = {"encrypt", true, false, false, true, true, true, true},
        [LEVEL_VERIFY] = {"verify", true, true, false, false, true, false, true},
        [LEVEL_SECURE] = {"secure", true, true, false, false, true, false, true},
        [LEVEL_FINGERPRINT] = {"fingerprint", true, false, false, false, false, true, true},
    };
    static const struct tls_reached clear = {false, false, false}, tls = {true, false, false},
                                    trusted = {true, true, false}, pinned = {true, false, true},
                                    all = {true, true, true}, no_tls = {false, true, true};

    (void)state;
    assert_int_equal(COUNT(rows), LEVEL_COUNT);
    for (int l = 0; l < LEVEL_COUNT; l++) {
        struct demand d = {.level = (enum tls_level)l};
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
        assert_int_equal(demand_met(&d, &all), rows[l].all);
        assert_int_equal(demand_met(&d, &no_tls), !rows[l].owes_tls);
    }
    assert_false(tls_level_find(SLICE("VERIFY"), &(enum tls_level){LEVEL_NONE}));
    assert_false(tls_level_find(SLICE("dane"), &(enum tls_level){LEVEL_NONE}));
    assert_false(tls_level_find(SLICE(""), &(enum tls_level){LEVEL_NONE}));
}

static void test_words(void **state)
{
    enum tls_version v;

    (void)state;
    assert_true(tls_version_find(SLICE("1.2"), &v) && v == TLS_VERSION_1_2);
    assert_true(tls_version_find(SLICE("1.3"), &v) && v == TLS_VERSION_1_3);
    assert_false(tls_version_find(SLICE(""), &v));
    assert_false(tls_version_find(SLICE("1.1"), &v));
    assert_string_equal(tls_version_name(TLS_VERSION_1_3), "1.3");
    assert_string_equal(demand_source_name(DEMAND_DEFAULT), "default");
    assert_string_equal(demand_source_name(DEMAND_CONFIG), "config");
}

#define ROW(m)            \
    {                     \
        .match = (char[]) \
        {                 \
            m             \
        }                 \
    }

static const struct override rows[] = {
    ROW("*"),
    ROW(".example"),
    ROW(".legacy.example"),
    ROW("a.legacy.example"),
    ROW("mx:.outlook.example"),
    ROW("mx:.protection.outlook.example"),
    ROW("mx:mx1.outlook.example"),
    ROW("mx:mx.other.test"),
    ROW("[192.0.2.1]"),
    ROW("[IPv6:2001:db8::1]"),
    ROW("Partner.Test."),
};
static const struct demand_config no_star = {.overrides = rows + 1,
                                             .override_count = COUNT(rows) - 1};
static const struct demand_config with_star = {.overrides = rows, .override_count = COUNT(rows)};

/* Exact domain, longest parent, longest mx suffix, "*". */
static void test_rows(void **state)
{
    static const struct {
        const char *domain, *host, *want; /* want NULL: none but "*" */
    } cases[] = {
        {"a.legacy.example", "mx1.outlook.example", "a.legacy.example"},
        {"A.Legacy.Example.", "mx1.outlook.example", "a.legacy.example"},
        {"b.legacy.example", "mx1.outlook.example", ".legacy.example"},
        {"x.a.legacy.example", "mx.x.test", ".legacy.example"},
        {"legacy.example", "mx.x.test", ".example"},
        {"example", "mx.x.test", NULL},
        {"notexample", "mx.x.test", NULL},
        {"b.test", "mx1.outlook.example", "mx:mx1.outlook.example"},
        {"b.test", "MX1.Outlook.Example.", "mx:mx1.outlook.example"},
        {"b.test", "mx2.outlook.example", "mx:.outlook.example"},
        {"b.test", "c.mail.protection.outlook.example", "mx:.protection.outlook.example"},
        {"b.test", "outlook.example", NULL},
        {"b.test", "evil-outlook.example", NULL},
        {"b.test", "mx.other.test", "mx:mx.other.test"},
        {"b.test", "x.mx.other.test", NULL},
        {"partner.test", "mx1.outlook.example", "Partner.Test."},
        {"[192.0.2.1]", "", "[192.0.2.1]"},
        {"[192.0.2.2]", "mx1.outlook.example", NULL},
        {"[ipv6:2001:DB8:0::1]", "", "[IPv6:2001:db8::1]"},
        {"[IPv6:::ffff:192.0.2.1]", "", "[192.0.2.1]"},
        {"[192.0.2.1", "", NULL},
        {"192.0.2.1", "", NULL},
        {"", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice domain = slice_str(cases[i].domain), host = slice_str(cases[i].host);
        const struct override *o = override_for_host(&no_star, domain, host, 0);
        const struct override *star = override_for_host(&with_star, domain, host, 0);

        if (cases[i].want == NULL) {
            assert_null(o);
            assert_ptr_equal(star, &rows[0]);
        } else {
            assert_non_null(o);
            assert_string_equal(o->match, cases[i].want);
            assert_ptr_equal(star, o);
        }
    }
}

/* Route and expiry belong to the domain: rows of hosts say nothing about it. */
static void test_rows_of_domains(void **state)
{
    (void)state;
    assert_null(override_for_domain(&no_star, SLICE("b.test"), 0));
    assert_string_equal(override_for_domain(&no_star, SLICE("x.example"), 0)->match, ".example");
    assert_ptr_equal(override_for_domain(&with_star, SLICE("mx.other.test"), 0), &rows[0]);
    assert_null(override_for_domain(&(struct demand_config){.level = LEVEL_MAY}, SLICE("a"), 0));
}

static char *listed_names[] = {(char[]){"mx.partner.test"}, (char[]){"hostname"}};
static const struct override strong[] = {
    {.match = (char[]){"secure.test"}, .has_level = true, .level = LEVEL_SECURE},
    {.match = (char[]){"named.test"},
     .has_level = true,
     .level = LEVEL_SECURE,
     .names = {listed_names, COUNT(listed_names)}},
    {.match = (char[]){"weak.test"},
     .has_level = true,
     .level = LEVEL_MAY,
     .names = {listed_names, COUNT(listed_names)},
     .expires = 1000},
    {.match = (char[]){"pin.test"}, .has_level = true, .level = LEVEL_FINGERPRINT},
    {.match = (char[]){"new.test"}, .min_version = TLS_VERSION_1_3},
    {.match = (char[]){"none.test"}, .has_level = true, .level = LEVEL_NONE},
    {.match = (char[]){"[192.0.2.7]"}, .has_level = true, .level = LEVEL_FINGERPRINT},
    {.match = (char[]){"mx:mx.b.test"}, .has_level = true, .level = LEVEL_ENCRYPT, .expires = 5},
};
static const struct demand_config config = {.level = LEVEL_VERIFY,
                                            .literal_level = LEVEL_ENCRYPT,
                                            .min_version = TLS_VERSION_1_2,
                                            .overrides = strong,
                                            .override_count = COUNT(strong)};

static void test_decide(void **state)
{
    static const struct {
        const char *domain, *host;
        wall_ms now;
        enum tls_level level;
        enum demand_source source;
        enum tls_version version;
        const char *id, *name; /* the first of the names in force, or NULL */
        size_t names;
    } cases[] = {
        {"a.test", "mx.a.test", 0, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         1},
        {"secure.test", "mx.b.test", 9, LEVEL_SECURE, DEMAND_CONFIG, TLS_VERSION_1_2, "secure.test",
         "nexthop", 2},
        {"named.test", "mx", 0, LEVEL_SECURE, DEMAND_CONFIG, TLS_VERSION_1_2, "named.test",
         "mx.partner.test", 2},
        {"weak.test", "mx", 999, LEVEL_MAY, DEMAND_CONFIG, TLS_VERSION_1_2, "weak.test", NULL, 0},
        {"weak.test", "mx", 1000, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         1}, /* the row has ended: the default holds */
        {"pin.test", "mx", 0, LEVEL_FINGERPRINT, DEMAND_CONFIG, TLS_VERSION_1_2, "pin.test", NULL,
         0},
        {"new.test", "mx", 0, LEVEL_VERIFY, DEMAND_CONFIG, TLS_VERSION_1_3, "new.test", "hostname",
         1},
        {"none.test", "mx", 0, LEVEL_NONE, DEMAND_CONFIG, TLS_VERSION_1_2, "none.test", NULL, 0},
        {"[192.0.2.1]", "", 0, LEVEL_ENCRYPT, DEMAND_DEFAULT, TLS_VERSION_1_2, "", NULL,
         0}, /* C-MX-08 */
        {"[192.0.2.1]", "mx.b.test", 9, LEVEL_ENCRYPT, DEMAND_DEFAULT, TLS_VERSION_1_2, "", NULL,
         0},
        {"[192.0.2.7]", "", 0, LEVEL_FINGERPRINT, DEMAND_CONFIG, TLS_VERSION_1_2, "[192.0.2.7]",
         NULL, 0},
        {"a.test", "mx.b.test", 4, LEVEL_ENCRYPT, DEMAND_CONFIG, TLS_VERSION_1_2, "mx:mx.b.test",
         NULL, 0},
        {"a.test", "mx.b.test", 5, LEVEL_VERIFY, DEMAND_DEFAULT, TLS_VERSION_1_2, "", "hostname",
         1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demand d;

        demand_decide(&config, slice_str(cases[i].domain), cases[i].domain[0] == '[',
                      slice_str(cases[i].host), cases[i].now, &d);
        assert_int_equal(d.level, cases[i].level);
        assert_int_equal(d.source, cases[i].source);
        assert_int_equal(d.min_version, cases[i].version);
        assert_string_equal(d.policy_id, cases[i].id);
        assert_int_equal(d.override != NULL, d.source == DEMAND_CONFIG);
        assert_int_equal(d.name_count, cases[i].names);
        if (cases[i].name != NULL)
            assert_string_equal(d.names[0], cases[i].name);
    }
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels), cmocka_unit_test(test_words),
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_rows_of_domains),
        cmocka_unit_test(test_decide), cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
