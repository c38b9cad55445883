/* SPDX-License-Identifier: Apache-2.0 */
/* The table under policies and rungs: keys, times, and what the disk is to be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/store/table_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define MANY 5000

struct entry {
    struct slot slot;
    char key[16];
};

static unsigned freed;

static void free_entry(struct slot *s)
{
    freed++;
    free((struct entry *)s);
}

static struct slot *add(struct table *t, unsigned number)
{
    struct entry *e = mem_zalloc(sizeof(*e));

    (void)snprintf(e->key, sizeof(e->key), "%u", number);
    e->slot.key = slice_str(e->key);
    table_add(t, &e->slot);
    return &e->slot;
}

static struct slot *find(const struct table *t, unsigned number)
{
    char key[16];

    (void)snprintf(key, sizeof(key), "%u", number);
    return table_find(t, slice_str(key));
}

static void keys(void **state)
{
    struct table t;

    (void)state;
    freed = 0;
    table_init(&t, false, free_entry);
    for (unsigned i = 0; i < MANY; i++)
        (void)add(&t, i);
    for (unsigned i = 0; i < MANY; i += 2)
        table_remove(&t, find(&t, i));
    assert_int_equal(freed, MANY / 2);
    for (unsigned i = 0; i < 2 * MANY; i++)
        assert_int_equal(find(&t, i) != NULL, i < MANY && i % 2 == 1);
    table_clear(&t);
    assert_int_equal(freed, MANY);
}

/* In whatever order times are set, changed and taken away: the lowest comes first. */
static void times(void **state)
{
    struct table t;
    struct slot *s, *all[MANY];
    int64_t last = INT64_MIN;
    unsigned left = MANY;

    (void)state;
    table_init(&t, false, free_entry);
    for (unsigned i = 0; i < MANY; i++) {
        all[i] = add(&t, i);
        table_time(&t, all[i], (int64_t)(i * 7919u % 1000));
    }
    for (unsigned i = 0; i < MANY; i += 3)
        table_time(&t, all[i], (int64_t)(i * 104729u % 3000) - 1000);
    for (unsigned i = 0; i < MANY; i += 5) {
        table_untime(&t, all[i]);
        table_untime(&t, all[i]); /* twice is once */
        left--;
    }
    while ((s = table_first(&t)) != NULL) {
        assert_true(s->when >= last);
        last = s->when;
        table_remove(&t, s);
        left--;
    }
    assert_int_equal(left, 0);
    assert_int_equal(t.count, MANY / 5);
    table_clear(&t);
}

/* However often it changes, it is written once; in the order of the first change. */
static void marks(void **state)
{
    struct table t;
    struct slot *a, *b;
    bool was;

    (void)state;
    table_init(&t, true, free_entry);
    a = add(&t, 1);
    b = add(&t, 2);
    assert_null(table_take(&t, &was));
    table_mark(&t, b);
    table_mark(&t, a);
    table_mark(&t, b);
    assert_ptr_equal(table_take(&t, &was), b);
    assert_false(was);
    table_mark(&t, b); /* changed while it is being written */
    table_settle(&t, b->key, false, was, true);
    assert_ptr_equal(table_take(&t, &was), a);
    table_settle(&t, a->key, false, was, false); /* failed: again */
    assert_ptr_equal(table_take(&t, &was), b);
    assert_true(was);
    table_settle(&t, b->key, false, was, true);
    assert_ptr_equal(table_take(&t, &was), a);
    assert_false(was);
    table_settle(&t, a->key, false, was, true);
    assert_null(table_take(&t, &was));
    table_clear(&t);
}

/* What the disk has not got, or has lost, leaves nothing behind: a disk that is gone for days costs
 * no memory. */
static void removals(void **state)
{
    static const struct {
        bool on_disk;      /* before */
        bool while_taken;  /* removed while it is being written */
        bool ok;           /* the write */
        bool left, marked; /* then */
    } cases[] = {
        {false, false, true, false, false}, /* nobody has to be told */
        {true, false, true, true, true},    /* the disk has to be */
        {false, true, true, true, true},    /* it is there now */
        {false, true, false, false, false}, /* it never came there */
        {true, true, false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct table t;
        struct slot *s;
        char key[] = "7";
        bool was;

        table_init(&t, true, free_entry);
        s = add(&t, 7);
        s->on_disk = cases[i].on_disk;
        table_mark(&t, s);
        if (cases[i].while_taken) {
            (void)table_take(&t, &was);
            table_remove(&t, s);
            table_settle(&t, slice_str(key), false, was, cases[i].ok);
        } else {
            table_remove(&t, s);
        }
        s = find(&t, 7);
        assert_int_equal(s != NULL, cases[i].left);
        if (s != NULL) {
            assert_true(s->gone);
            assert_int_equal(s->marked, cases[i].marked);
            /* Told, not told, told. */
            assert_ptr_equal(table_take(&t, &was), s);
            table_settle(&t, slice_str(key), true, was, false);
            assert_ptr_equal(table_take(&t, &was), s);
            table_settle(&t, slice_str(key), true, was, true);
            assert_null(find(&t, 7));
        }
        assert_null(table_take(&t, &was));
        assert_int_equal(t.count, 0);
        table_clear(&t);
    }
}

/* Back again before the disk has heard that it went. */
static void back_again(void **state)
{
    struct table t;
    struct slot *s;
    bool was;

    (void)state;
    table_init(&t, true, free_entry);
    s = add(&t, 7);
    s->on_disk = true;
    table_remove(&t, s);
    assert_ptr_equal(table_take(&t, &was), s);
    s->gone = false; /* while the row is being dropped */
    table_mark(&t, s);
    table_settle(&t, s->key, true, was, true);
    assert_ptr_equal(find(&t, 7), s);
    assert_ptr_equal(table_take(&t, &was), s);
    assert_false(was);
    table_settle(&t, s->key, false, was, true);
    assert_ptr_equal(find(&t, 7), s);
    assert_true(s->on_disk);
    table_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),     cmocka_unit_test(times),      cmocka_unit_test(marks),
        cmocka_unit_test(removals), cmocka_unit_test(back_again),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
