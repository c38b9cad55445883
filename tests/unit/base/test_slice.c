/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: cutting, comparing, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/slice.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void absent_and_empty_differ(void **state)
{
    (void)state;
    assert_null(slice_str(NULL).p);
    assert_non_null(slice_str("").p);
    assert_true(slice_eq(SLICE_NONE, SLICE("")));
    assert_true(slice_ieq(SLICE_NONE, SLICE("")));
    assert_null(slice_from(SLICE_NONE, 7).p);
    assert_null(slice_trim(SLICE_NONE).p);
}

static void comparing_folds_ascii_only(void **state)
{
    static const struct {
        struct slice a, b;
        bool eq, ieq, starts, ends, has;
    } cases[] = {
        {{"abc", 3}, {"abc", 3}, true, true, true, true, true},
        {{"abc", 3}, {"ABC", 3}, false, true, true, true, true},
        {{"abc", 3}, {"ab", 2}, false, false, true, false, true},
        {{"abc", 3}, {"BC", 2}, false, false, false, true, true},
        {{"abcd", 4}, {"bc", 2}, false, false, false, false, true},
        {{"ab", 2}, {"abc", 3}, false, false, false, false, false},
        {{"abc", 3}, {"", 0}, false, false, true, true, true},
        {{"\xc4", 1}, {"\xe4", 1}, false, false, false, false, false},
        {{"@", 1}, {"`", 1}, false, false, false, false, false},
        {{"a\0b", 3}, {"a\0B", 3}, false, true, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(slice_eq(cases[i].a, cases[i].b), cases[i].eq);
        assert_int_equal(slice_ieq(cases[i].a, cases[i].b), cases[i].ieq);
        assert_int_equal(slice_istarts(cases[i].a, cases[i].b), cases[i].starts);
        assert_int_equal(slice_iends(cases[i].a, cases[i].b), cases[i].ends);
        assert_int_equal(slice_ihas(cases[i].a, cases[i].b), cases[i].has);
    }
}

static void parts_stay_inside(void **state)
{
    struct slice s = SLICE("abc");

    (void)state;
    assert_true(slice_eq(slice_from(s, 1), SLICE("bc")));
    assert_true(slice_eq(slice_from(s, 3), SLICE("")));
    assert_true(slice_eq(slice_from(s, 9), SLICE("")));
    assert_ptr_equal(slice_from(s, 9).p, s.p + 3);
    assert_true(slice_eq(slice_first(s, 2), SLICE("ab")));
    assert_true(slice_eq(slice_first(s, 9), s));
    assert_true(slice_eq(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_true(slice_eq(slice_trim(SLICE(" \t ")), SLICE("")));
}

static void cut_at_the_first_separator(void **state)
{
    struct slice a, b;

    (void)state;
    assert_true(slice_cut(SLICE("a.b.c"), '.', &a, &b));
    assert_true(slice_eq(a, SLICE("a")) && slice_eq(b, SLICE("b.c")));
    assert_true(slice_cut(SLICE(".b"), '.', &a, &b));
    assert_true(a.n == 0 && slice_eq(b, SLICE("b")));
    assert_true(slice_cut(SLICE("a."), '.', &a, &b));
    assert_true(slice_eq(a, SLICE("a")) && b.n == 0);
    assert_false(slice_cut(SLICE("abc"), '.', &a, &b));
    assert_true(slice_eq(a, SLICE("abc")) && b.n == 0);
    assert_false(slice_cut(SLICE_NONE, '.', &a, &b));
    assert_true(a.n == 0 && b.n == 0);
}

static void words_are_taken_off(void **state)
{
    struct slice rest = SLICE("  MAIL \t FROM:<> "), word;

    (void)state;
    assert_true(slice_word(&rest, &word) && slice_eq(word, SLICE("MAIL")));
    assert_true(slice_word(&rest, &word) && slice_eq(word, SLICE("FROM:<>")));
    assert_false(slice_word(&rest, &word));
    assert_false(slice_word(&rest, &word));
    assert_int_equal(rest.n, 0);
}

static void a_copy_ends_in_nul(void **state)
{
    char *copy = slice_dup(slice_first(SLICE("abc"), 2));

    (void)state;
    assert_string_equal(copy, "ab");
    free(copy);
    copy = slice_dup(SLICE_NONE);
    assert_string_equal(copy, "");
    free(copy);
}

static void numbers_are_digits_within_a_bound(void **state)
{
    static const struct {
        const char *text;
        unsigned long long max;
        bool ok;
        unsigned long long value;
    } cases[] = {
        {"0", 10, true, 0},
        {"10", 10, true, 10},
        {"11", 10, false, 0},
        {"007", 10, true, 7},
        {"", 10, false, 0},
        {"-1", 10, false, 0},
        {"+1", 10, false, 0},
        {" 1", 10, false, 0},
        {"1 ", 10, false, 0},
        {"1a", 10, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned long long value = 0;

        assert_int_equal(slice_u64(slice_str(cases[i].text), cases[i].max, &value), cases[i].ok);
        assert_true(value == cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_and_empty_differ),
        cmocka_unit_test(comparing_folds_ascii_only),
        cmocka_unit_test(parts_stay_inside),
        cmocka_unit_test(cut_at_the_first_separator),
        cmocka_unit_test(words_are_taken_off),
        cmocka_unit_test(a_copy_ends_in_nul),
        cmocka_unit_test(numbers_are_digits_within_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
