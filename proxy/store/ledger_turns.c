/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_turns - whose turn it is among the recipients of a message; see ledger.h for the contract. */
#include <stdio.h>
#include <string.h>

#include "proxy/store/ledger_internal.h"

static struct ledger_note *note_of(struct ledger *l, const char *transaction)
{
    for (size_t i = 0; i < LEDGER_TURNS; i++)
        if (l->notes[i].turn != TURN_NOBODY && strcmp(l->notes[i].transaction, transaction) == 0)
            return &l->notes[i];
    return NULL;
}

void ledger_owe_turn(struct ledger *l, const char *transaction, enum ledger_turn to)
{
    struct ledger_note *n;

    pthread_mutex_lock(&l->lock);
    n = note_of(l, transaction);
    if (n == NULL) {
        n = &l->notes[l->next_note];
        l->next_note = (l->next_note + 1) % LEDGER_TURNS;
        if (n->turn == TURN_NOBODY)
            atomic_fetch_add(&l->note_count, 1);
    }
    (void)snprintf(n->transaction, sizeof(n->transaction), "%s", transaction);
    n->turn = to;
    pthread_mutex_unlock(&l->lock);
}

enum ledger_turn ledger_owed_turn(struct ledger *l, const char *transaction)
{
    enum ledger_turn turn = TURN_NOBODY;
    struct ledger_note *n;

    if (atomic_load(&l->note_count) == 0)
        return TURN_NOBODY;
    pthread_mutex_lock(&l->lock);
    n = note_of(l, transaction);
    if (n != NULL) {
        turn = n->turn;
        n->turn = TURN_NOBODY;
        atomic_fetch_sub(&l->note_count, 1);
    }
    pthread_mutex_unlock(&l->lock);
    return turn;
}
