/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: growth, the cap, taking off the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"

static void a_full_buffer_is_left_as_it_was(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    assert_true(buf_add(&b, SLICE("abc")));
    assert_false(buf_add(&b, SLICE("de")));
    assert_false(buf_addf(&b, "%d", 12));
    assert_true(slice_eq(buf_slice(&b), SLICE("abc")));
    assert_true(buf_addc(&b, 'd'));
    assert_false(buf_addc(&b, 'e'));
    assert_true(buf_add(&b, SLICE_NONE));
    assert_string_equal(buf_cstr(&b), "abcd"); /* the NUL does not count against the cap */
    assert_true(b.size <= 5);
    buf_clear(&b);
    assert_true(buf_add(&b, SLICE("wxyz")));
    assert_false(buf_addc(&b, '!'));
    buf_clear(&b);
}

static void an_empty_buffer_has_an_empty_slice(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    assert_non_null(buf_slice(&b).p);
    assert_int_equal(buf_slice(&b).n, 0);
    assert_string_equal(buf_cstr(&b), "");
    buf_clear(&b);
}

static void many_appends_keep_every_byte(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, SIZE_MAX);
    for (int i = 0; i < 5000; i++)
        assert_true(buf_addf(&b, "%04d", i));
    assert_int_equal(b.n, 20000);
    assert_memory_equal(b.p + 4 * 4999, "4999", 4);
    buf_consume(&b, 4 * 4998);
    assert_true(slice_eq(buf_slice(&b), SLICE("49984999")));
    buf_consume(&b, 0);
    buf_consume(&b, 8);
    assert_int_equal(b.n, 0);
    buf_reset(&b);
    assert_true(buf_add(&b, SLICE("x")));
    assert_string_equal(buf_cstr(&b), "x");
    buf_clear(&b);
}

static void room_is_made_within_the_cap(void **state)
{
    struct buf b;
    const char *p;

    (void)state;
    buf_init(&b, 1000);
    assert_true(buf_add(&b, SLICE("x")));
    assert_true(buf_reserve(&b, 999));
    assert_int_equal(b.n, 1);
    assert_true(b.size >= 1000);
    p = b.p;
    for (int i = 0; i < 999; i++)
        assert_true(buf_addc(&b, 'y'));
    assert_ptr_equal(b.p, p);
    assert_true(buf_reserve(&b, 0));
    assert_false(buf_reserve(&b, 1));
    assert_int_equal(b.n, 1000);
    buf_clear(&b);
}

/* Whatever is done with a view, the bytes that it shows stay as they are. */
static void lent_bytes_are_not_touched(void **state)
{
    char bytes[] = "250 2.0.0 taken";
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (int what = 0; what < 9; what++) {
        buf_lend(&b, slice_str(bytes));
        assert_ptr_equal(buf_slice(&b).p, bytes);
        switch (what) {
        case 0:
            break;
        case 1:
            buf_reset(&b);
            assert_true(buf_add(&b, SLICE("x")));
            break;
        case 2:
            assert_true(buf_addc(&b, '!'));
            assert_string_equal(buf_cstr(&b), "250 2.0.0 taken!");
            break;
        case 3:
            assert_true(buf_addf(&b, "%s", "?"));
            assert_string_equal(buf_cstr(&b), "250 2.0.0 taken?");
            break;
        case 4:
            buf_consume(&b, 4);
            assert_true(slice_eq(buf_slice(&b), SLICE("2.0.0 taken")));
            assert_true(buf_addc(&b, '.'));
            assert_true(slice_eq(buf_slice(&b), SLICE("2.0.0 taken.")));
            break;
        case 5:
            buf_own(&b);
            b.p[0] = '4';
            break;
        case 6:
            assert_string_equal(buf_cstr(&b), bytes);
            assert_ptr_not_equal(b.p, bytes);
            break;
        case 7:
            buf_consume(&b, b.n);
            assert_int_equal(b.n, 0);
            assert_true(buf_addc(&b, 'x'));
            break;
        default:
            assert_true(buf_reserve(&b, 10));
            assert_false(buf_reserve(&b, 100));
            break;
        }
        assert_string_equal(bytes, "250 2.0.0 taken");
        buf_clear(&b);
        assert_null(b.p);
    }
    buf_lend(&b, SLICE(""));
    assert_int_equal(b.n, 0);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(an_empty_buffer_has_an_empty_slice),
        cmocka_unit_test(many_appends_keep_every_byte),
        cmocka_unit_test(room_is_made_within_the_cap),
        cmocka_unit_test(lent_bytes_are_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
