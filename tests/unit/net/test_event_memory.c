/* SPDX-License-Identifier: Apache-2.0 */
/* test_event_memory - what libevent gets when it asks for memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/net/event_memory_internal.h"

#define LARGE (EVENT_MEMORY_SMALL + 1)

static void fill(void *p, size_t n, unsigned char with)
{
    memset(p, with, n);
}

static void assert_filled(const void *p, size_t n, unsigned char with)
{
    const unsigned char *b = p;

    for (size_t i = 0; i < n; i++)
        assert_int_equal(b[i], with);
}

static void pieces_are_apart_and_aligned(void **state)
{
    void *p[1000];

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        size_t n = i % 80;

        p[i] = event_memory_get(n);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
        fill(p[i], n, (unsigned char)i);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_filled(p[i], i % 80, (unsigned char)i);
        event_memory_put(p[i]);
    }
}

static void a_small_piece_is_used_again(void **state)
{
    void *a = event_memory_get(48), *b;

    (void)state;
    event_memory_put(a);
    b = event_memory_get(40); /* of the same size in units of 16 */
    assert_ptr_equal(a, b);
    event_memory_put(b);
}

static void the_contents_move_along(void **state)
{
    static const size_t sizes[] = {1, 16, 17, 64, LARGE, 5000, LARGE, 64, 20, 1};
    size_t had = 1;
    void *p = event_memory_resize(NULL, 1);

    (void)state;
    fill(p, 1, 7);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        p = event_memory_resize(p, sizes[i]);
        assert_non_null(p);
        assert_filled(p, had < sizes[i] ? had : sizes[i], 7);
        fill(p, sizes[i], 7);
        had = sizes[i];
    }
    event_memory_put(p);
    event_memory_put(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_apart_and_aligned),
        cmocka_unit_test(a_small_piece_is_used_again),
        cmocka_unit_test(the_contents_move_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
