/* SPDX-License-Identifier: Apache-2.0 */
/* Entries for the ledger, and short ways to ask for them. */
#ifndef TLSMEND_TESTS_LEDGER_RIG_H
#define TLSMEND_TESTS_LEDGER_RIG_H

#include "tests/unit/store/store_rig.h"

#include <poll.h>

/* Every member says something, and what it says depends on `id`. */
__attribute__((unused)) static struct ledger_entry led_entry(const char *sender,
                                                             const char *recipient, uint32_t id)
{
    struct ledger_entry e = {
        .sender = sender,
        .recipient = recipient,
        .outcome = LEDGER_DELIVERED,
        .code = 250,
        .reply = "2.0.0 Ok: queued as 4XyZ\nthank you",
        .mx = "mx.example.com",
        .address = "192.0.2.25",
        .transaction = "0123456789abcdef",
        .queue_id = "4Q1x2y3z",
        .signs = {.client = "127.0.0.1",
                  .helo = "client.example",
                  .ident = "IDENT1",
                  .has_size = true,
                  .size = 12345},
        .at = NOW,
    };

    memcpy(e.digest, &id, sizeof(id));
    e.digest[LEDGER_DIGEST_SIZE - 1] = 0xd1;
    return e;
}

__attribute__((unused)) static bool led_put(struct ledger *l, const struct ledger_entry *e,
                                            uint64_t *ticket)
{
    uint64_t unused;

    return ledger_put(l, e, 1, ticket != NULL ? ticket : &unused);
}

__attribute__((unused)) static bool led_knows(struct ledger *l, const char *sender,
                                              const char *recipient, wall_ms now)
{
    bool knows = ledger_knows(l, slice_str(sender), slice_str(recipient), now);
    struct ledger_view *v = ledger_find(l, slice_str(sender), slice_str(recipient), now);

    assert_int_equal(v != NULL, knows); /* the two never differ */
    ledger_view_free(&v);
    return knows;
}

__attribute__((unused)) static size_t led_count(struct ledger *l, const char *sender,
                                                const char *recipient, wall_ms now)
{
    struct ledger_view *v = ledger_find(l, slice_str(sender), slice_str(recipient), now);
    size_t n = v != NULL ? v->count : 0;

    ledger_view_free(&v);
    return n;
}

/* What the ticket has come to, at most `ms` later. */
__attribute__((unused)) static enum ledger_state led_wait(struct ledger *l, uint64_t ticket, int ms)
{
    for (; ms > 0 && ledger_settled(l, ticket) == LEDGER_WAITING; ms--)
        (void)poll(NULL, 0, 1);
    return ledger_settled(l, ticket);
}

__attribute__((unused)) static void led_same(const struct ledger_entry *a,
                                             const struct ledger_entry *b)
{
    assert_string_equal(a->sender, b->sender);
    assert_string_equal(a->recipient, b->recipient);
    assert_memory_equal(a->digest, b->digest, LEDGER_DIGEST_SIZE);
    assert_int_equal(a->outcome, b->outcome);
    assert_int_equal(a->code, b->code);
    assert_string_equal(a->reply, b->reply);
    assert_int_equal(a->reply_is_ours, b->reply_is_ours);
    assert_string_equal(a->mx, b->mx);
    assert_string_equal(a->address, b->address);
    assert_string_equal(a->transaction, b->transaction);
    assert_string_equal(a->queue_id, b->queue_id);
    assert_string_equal(a->signs.client, b->signs.client);
    assert_string_equal(a->signs.helo, b->signs.helo);
    assert_string_equal(a->signs.ident, b->signs.ident);
    assert_int_equal(a->signs.has_size, b->signs.has_size);
    assert_int_equal(a->signs.size, b->signs.size);
    assert_int_equal(a->untold, b->untold);
    assert_int_equal(a->at, b->at);
}

#endif
