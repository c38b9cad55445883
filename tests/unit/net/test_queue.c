/* SPDX-License-Identifier: Apache-2.0 */
/* test_queue - bytes in one piece, in memory of their own or lent. */
#include "tests/unit/net/net_rig.h"

#include <stdlib.h>

#include "proxy/net/queue_internal.h"

static void an_empty_queue_holds_nothing(void **state)
{
    struct queue q = {.p = NULL};

    (void)state;
    assert_int_equal(queue_slice(&q).n, 0);
    assert_non_null(queue_slice(&q).p);
    queue_add(&q, SLICE(""));
    assert_null(q.p);
    queue_add(&q, SLICE("abc"));
    assert_true(queue_memory(&q) >= 3);
    queue_drop(&q, 1);
    assert_true(slice_eq(queue_slice(&q), SLICE("bc")));
    queue_drop(&q, 2);
    assert_null(q.p);
    assert_int_equal(queue_memory(&q), 0);
    (void)queue_room(&q, 1000); /* room that nothing came into */
    queue_filled(&q, 0);
    assert_null(q.p);
}

static void lent_memory_is_left_in_time(void **state)
{
    struct queue q = {.p = NULL};
    char lent[16];

    (void)state;
    queue_add(&q, SLICE("0123"));
    queue_lend(&q, lent, sizeof(lent));
    assert_ptr_equal(q.p, lent);
    assert_int_equal(queue_memory(&q), 0);
    queue_add(&q, SLICE("4567"));
    assert_ptr_equal(q.p, lent);
    queue_drop(&q, 6);
    queue_add(&q, SLICE("89abcdefghijkl")); /* fits when the dropped ones give their place */
    assert_ptr_equal(q.p, lent);
    assert_true(slice_eq(queue_slice(&q), SLICE("6789abcdefghijkl")));
    queue_add(&q, SLICE("m")); /* does not */
    assert_ptr_not_equal(q.p, lent);
    memset(lent, '!', sizeof(lent));
    assert_true(slice_eq(queue_slice(&q), SLICE("6789abcdefghijklm")));
    assert_ptr_equal(queue_own(&q), lent); /* it is given back all the same */
    assert_null(queue_own(&q));
    queue_clear(&q);
    assert_null(q.p);
    queue_lend(&q, lent, sizeof(lent));
    queue_add(&q, SLICE("xyz"));
    queue_drop(&q, 3);
    queue_add(&q, SLICE("xyz")); /* an empty queue keeps what it was lent */
    assert_ptr_equal(q.p, lent);
    queue_drop(&q, 1);
    assert_ptr_equal(queue_own(&q), lent);
    memset(lent, '!', sizeof(lent));
    assert_true(slice_eq(queue_slice(&q), SLICE("yz")));
    assert_null(queue_own(&q)); /* again: nothing */
    queue_drop(&q, 2);
    queue_lend(&q, lent, sizeof(lent));
    assert_ptr_equal(queue_own(&q), lent);
    assert_null(q.p);
    queue_lend(&q, lent, sizeof(lent));
    queue_add(&q, SLICE("more than there is room for"));
    queue_clear(&q); /* its own goes; what was lent is still to be given back */
    assert_null(q.p);
    queue_add(&q, SLICE("a"));
    assert_ptr_not_equal(q.p, lent);
    assert_ptr_equal(queue_own(&q), lent);
    queue_clear(&q);
}

/* Any order of calls gives the bytes back in order, from one counter that both sides know. */
static void any_order_of_calls(void **state)
{
    static char lent[6000];
    struct queue q = {.p = NULL};
    unsigned in = 0, out = 0, x = 7;
    char bytes[3000];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t n;

        x = x * 1664525u + 1013904223u;
        n = (x >> 8) % ((x >> 29) == 0 ? sizeof(bytes) : 40);
        switch ((x >> 26) % 7) {
        case 0:
        case 1:
            for (size_t k = 0; k < n; k++)
                bytes[k] = (char)in++;
            queue_add(&q, slice_of(bytes, n));
            break;
        case 2:
            if (n > 0) {
                char *room = queue_room(&q, n);

                n /= 2;
                for (size_t k = 0; k < n; k++)
                    room[k] = (char)in++;
                queue_filled(&q, n);
            }
            break;
        case 3:
            if (q.n <= sizeof(lent) && !q.lent)
                queue_lend(&q, lent, sizeof(lent));
            break;
        case 4:
            (void)queue_own(&q);
            break;
        default:
            n = n < q.n ? n : q.n;
            for (size_t k = 0; k < n; k++)
                assert_int_equal((unsigned char)queue_slice(&q).p[k], (unsigned char)out++);
            queue_drop(&q, n);
        }
        assert_int_equal(q.n, in - out);
        assert_true(q.n > 0 || q.p == NULL || q.lent);
    }
    queue_clear(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_queue_holds_nothing),
        cmocka_unit_test(lent_memory_is_left_in_time),
        cmocka_unit_test(any_order_of_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
