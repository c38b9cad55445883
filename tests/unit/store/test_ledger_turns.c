/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is among the recipients of a message (C-RCPT-04). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "proxy/store/store.h"

static struct store *memory(void)
{
    struct store_params p = {.path = "", .ledger_max = 100};

    return store_open(&p, NULL);
}

static void c_rcpt_04_a_note_is_for_one_time(void **state)
{
    struct store *s = memory();
    struct ledger *l = store_ledger(s);

    (void)state;
    assert_int_equal(ledger_owed_turn(l, "a-1"), TURN_NOBODY);
    ledger_owe_turn(l, "a-1", TURN_ALONE);
    ledger_owe_turn(l, "a-2", TURN_OTHERS);
    assert_int_equal(ledger_owed_turn(l, "a-3"), TURN_NOBODY);
    assert_int_equal(ledger_owed_turn(l, "a-1"), TURN_ALONE);
    assert_int_equal(ledger_owed_turn(l, "a-1"), TURN_NOBODY);
    assert_int_equal(ledger_owed_turn(l, "a-2"), TURN_OTHERS);
    store_close(&s);
}

static void the_last_word_counts(void **state)
{
    struct store *s = memory();
    struct ledger *l = store_ledger(s);

    (void)state;
    ledger_owe_turn(l, "a-1", TURN_ALONE);
    ledger_owe_turn(l, "a-1", TURN_OTHERS);
    assert_int_equal(ledger_owed_turn(l, "a-1"), TURN_OTHERS);
    assert_int_equal(ledger_owed_turn(l, "a-1"), TURN_NOBODY);
    store_close(&s);
}

static void the_oldest_note_goes_first(void **state)
{
    struct store *s = memory();
    struct ledger *l = store_ledger(s);
    char id[32];

    (void)state;
    for (int i = 0; i < LEDGER_TURNS + 10; i++) {
        (void)snprintf(id, sizeof(id), "a-%d", i);
        ledger_owe_turn(l, id, TURN_ALONE);
    }
    for (int i = 0; i < LEDGER_TURNS + 10; i++) {
        (void)snprintf(id, sizeof(id), "a-%d", i);
        assert_int_equal(ledger_owed_turn(l, id), i < 10 ? TURN_NOBODY : TURN_ALONE);
    }
    assert_int_equal(ledger_owed_turn(l, "a-20"), TURN_NOBODY);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_rcpt_04_a_note_is_for_one_time),
        cmocka_unit_test(the_last_word_counts),
        cmocka_unit_test(the_oldest_note_goes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
