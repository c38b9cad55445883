/* SPDX-License-Identifier: Apache-2.0 */
/* Which row of `destinations` is in force, and which would be, had it not ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/demand.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

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

static const struct override dated[] = {
    {.match = (char[]){"*"}},
    {.match = (char[]){".b.test"}, .expires = 2000},
    {.match = (char[]){"a.b.test"}, .expires = 1000},
    {.match = (char[]){"mx:mx.c.test"}, .expires = 1000},
};
static const struct demand_config ending = {.overrides = dated, .override_count = COUNT(dated)};

/* A row ends at the very millisecond; the next best one is in force, and the ended one is told as
 * long as it would be the better one. */
static void test_ends(void **state)
{
    static const struct {
        const char *domain, *host;
        wall_ms now;
        const char *want, *expired;
    } cases[] = {
        {"a.b.test", "mx.x.test", 999, "a.b.test", NULL},
        {"a.b.test", "mx.x.test", 1000, ".b.test", "a.b.test"},
        {"a.b.test", "mx.x.test", 2000, "*", "a.b.test"},
        {"z.b.test", "mx.x.test", 1000, ".b.test", NULL},
        {"z.b.test", "mx.c.test", 1500, ".b.test", NULL}, /* the ended row is the lesser one */
        {"y.test", "mx.c.test", 999, "mx:mx.c.test", NULL},
        {"y.test", "mx.c.test", 1000, "*", "mx:mx.c.test"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice domain = slice_str(cases[i].domain), host = slice_str(cases[i].host);
        const struct override *o = override_for_host(&ending, domain, host, cases[i].now);
        const struct override *ended = override_expired(&ending, domain, host, cases[i].now);

        assert_string_equal(o->match, cases[i].want);
        assert_int_equal(ended != NULL, cases[i].expired != NULL);
        if (ended != NULL)
            assert_string_equal(ended->match, cases[i].expired);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_of_domains),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
