/* SPDX-License-Identifier: Apache-2.0 */
/* Time: dates, spans, sizes and budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/instant.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void dates_and_back(void **state)
{
    static const struct {
        const char *text;
        wall_ms t;
        const char *whole; /* NULL: the same */
    } cases[] = {
        {"1970-01-01T00:00:00.000Z", 0, NULL},
        {"1970-01-01", 0, "1970-01-01T00:00:00.000Z"},
        {"2026-11-22T05:54:00.123Z", INT64_C(1795326840123), NULL},
        {"2027-01-31", INT64_C(1801353600000), "2027-01-31T00:00:00.000Z"},
        {"2027-01-31T12:00:00Z", INT64_C(1801396800000), "2027-01-31T12:00:00.000Z"},
        {"2000-02-29", INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {"2024-02-29T23:59:59.999Z", INT64_C(1709251199999), NULL},
        {"1969-12-31T23:59:59.999Z", -1, NULL},
        {"0001-01-01T00:00:00.000Z", INT64_C(-62135596800000), NULL},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999), NULL},
    };
    char out[INSTANT_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        wall_ms t = 42;

        assert_true(instant_parse(slice_str(cases[i].text), &t));
        assert_true(t == cases[i].t);
        assert_string_equal(instant_text(t, out),
                            cases[i].whole != NULL ? cases[i].whole : cases[i].text);
    }
    assert_string_equal(instant_text(INT64_MAX, out), "292278994-08-17T07:12:55.807Z");
    assert_string_equal(instant_text(INT64_MIN, out), "-292275055-05-16T16:47:04.192Z");
}

static void no_real_day_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "2027",
        "2027-13-01",
        "2027-00-01",
        "2027-01-00",
        "2027-02-29",
        "1900-02-29",
        "2027-04-31",
        "2027-1-31",
        "27-01-31",
        "2027-01-31 ",
        "2027-01-31T12:00:00",
        "2027-01-31T24:00:00Z",
        "2027-01-31T12:60:00Z",
        "2027-01-31T12:00:60Z",
        "2027-01-31T12:00:00+01:00",
        "2027/01/31",
        "31.01.2027",
    };
    wall_ms t;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_false(instant_parse(slice_str(cases[i]), &t));
}

static void spans_have_a_unit(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        int64_t ms;
        const char *out;
    } cases[] = {
        {"250ms", true, 250, "250ms"},
        {"30s", true, 30000, "30s"},
        {"90s", true, 90000, "90s"},
        {"240s", true, 240000, "4m"},
        {"5m", true, 300000, "5m"},
        {"24h", true, 86400000, "1d"},
        {"7d", true, 604800000, "7d"},
        {"0s", true, 0, "0s"},
        {"30", false, 0, NULL},
        {"s", false, 0, NULL},
        {"", false, 0, NULL},
        {"-1s", false, 0, NULL},
        {"1.5s", false, 0, NULL},
        {"1 s", false, 0, NULL},
        {"30S", false, 0, NULL},
        {"30sec", false, 0, NULL},
        {"1h30m", false, 0, NULL},
        {"106751991168d", false, 0, NULL}, /* over 2^63 ms */
        {"9223372036854775807ms", true, INT64_MAX, "9223372036854775807ms"},
        {"9223372036854775808ms", false, 0, NULL},
    };
    char out[INSTANT_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 0;

        assert_int_equal(span_parse(slice_str(cases[i].in), &ms), cases[i].ok);
        assert_true(ms == cases[i].ms);
        if (cases[i].ok)
            assert_string_equal(span_text(ms, out), cases[i].out);
    }
}

static void sizes_have_a_unit(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        int64_t bytes;
        const char *out;
    } cases[] = {
        {"4096B", true, 4096, "4KiB"},
        {"4097B", true, 4097, "4097B"},
        {"256KiB", true, 262144, "256KiB"},
        {"1MiB", true, 1048576, "1MiB"},
        {"1024MiB", true, 1073741824, "1GiB"},
        {"2GiB", true, INT64_C(2147483648), "2GiB"},
        {"0B", true, 0, "0B"},
        {"256", false, 0, NULL},
        {"256KB", false, 0, NULL},
        {"256kib", false, 0, NULL},
        {"KiB", false, 0, NULL},
        {"9999999999GiB", false, 0, NULL},
    };
    char out[INSTANT_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t bytes = 0;

        assert_int_equal(size_parse(slice_str(cases[i].in), &bytes), cases[i].ok);
        assert_true(bytes == cases[i].bytes);
        if (cases[i].ok)
            assert_string_equal(size_text(bytes, out), cases[i].out);
    }
}

static void a_budget_is_shared(void **state)
{
    struct budget b = budget_start(1000, 240), none = {0};

    (void)state;
    assert_true(budget_left(&b, 1000, 60) == 60);
    assert_true(budget_left(&b, 1200, 60) == 40);
    assert_true(budget_left(&b, 1240, 60) == 0);
    assert_true(budget_left(&b, 9999, 60) == 0);
    assert_true(budget_left(&none, 9999, 60) == 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_and_back),     cmocka_unit_test(no_real_day_is_refused),
        cmocka_unit_test(spans_have_a_unit),  cmocka_unit_test(sizes_have_a_unit),
        cmocka_unit_test(a_budget_is_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
