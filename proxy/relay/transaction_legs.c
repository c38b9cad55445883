/* SPDX-License-Identifier: Apache-2.0 */
/* See transaction.h: which leg serves whom, and what the legs say before the body. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/transaction_internal.h"

static struct transaction_leg *leg_owner(void *owner)
{
    struct transaction_leg *tl = owner;

    (void)OBJ_CAST(transaction, TRANSACTION_MAGIC, tl->t);
    return tl;
}

bool transaction_hears_each(const struct transaction *t)
{
    return t->listener->protocol == LISTENER_LMTP || t->envelope.params.prdr;
}

/* ---- answers to RCPT ---- */

/* Of those who wait until nobody else is left, the first may go now, or none may. */
void transaction_look_at_those_alone(struct transaction *t)
{
    for (size_t i = 0; i < t->count && t->waiting_alone > 0; i++) {
        if (!t->recipients[i].waits_alone || t->waiting > t->waiting_alone)
            continue;
        t->recipients[i].waits_alone = false;
        t->waiting_alone--;
        transaction_assign_alone(t, i);
    }
}

/* ---- legs that keep others waiting ---- */

/* An MX that has accepted its recipients does not wait for DATA for ever, and with it would go all
 * that another, slow destination has nothing to do with. */
static void arm_wait(struct transaction *t)
{
    int64_t span = t->settings->timeouts.leg_wait;
    mono_ms now = loop_now(t->services->loop), first = INT64_MAX;

    for (size_t i = 0; t->taken > 0 && i < t->leg_count; i++) {
        const struct transaction_leg *tl = t->legs[i];

        if (tl->waiting > 0 && tl->taken == 0) {
            mono_ms from = tl->asked > t->first_taken ? tl->asked : t->first_taken;

            if (from + span < first)
                first = from + span;
        }
    }
    if (first == INT64_MAX)
        timer_disarm(t->wait);
    else
        transaction_arm(t, &t->wait, transaction_wait_over, first > now ? first - now : 0);
}

void transaction_wait_over(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);
    mono_ms limit = loop_now(t->services->loop) - t->settings->timeouts.leg_wait;

    if (t->first_taken <= limit)
        for (size_t i = 0; i < t->leg_count && !t->freed; i++) {
            const struct transaction_leg *tl = t->legs[i];

            if (tl->waiting > 0 && tl->taken == 0 && tl->asked <= limit)
                leg_hurry(tl->leg, REASON_LEG_SLOW);
        }
    if (!t->freed)
        arm_wait(t);
}

/* ---- answers to RCPT, from a leg ---- */

static void on_recipient(void *owner, unsigned index, const struct leg_answer *a)
{
    struct transaction_leg *tl = leg_owner(owner);
    struct transaction *t = tl->t;
    struct recipient *r = &t->recipients[index];
    unsigned slot = r->slot;
    bool yes = a->reply->code >= 200 && a->reply->code < 300;
    struct reply ok;

    if (t->freed)
        return;
    INVARIANT(index < t->count && !r->answered);
    transaction_keep_answer(t, r, a);
    r->answered = true;
    r->accepted = yes || tl->held;
    r->refused_by_leg = tl->held && !yes;
    tl->waiting--;
    tl->accepted += yes ? 1 : 0;
    tl->taken += r->accepted ? 1 : 0;
    t->waiting--;
    if (r->accepted && t->taken++ == 0)
        t->first_taken = loop_now(t->services->loop);
    arm_wait(t);
    transaction_look_at_those_alone(t);
    if (!r->refused_by_leg) {
        t->on.answer(t->owner, slot, a->reply);
        return;
    }
    /* It may have the message already, whatever its MX says today: the digest will tell. */
    reply_init(&ok);
    reply_set(&ok, 250, "2.1.5", SLICE("Ok"));
    t->on.answer(t->owner, slot, &ok);
    reply_clear(&ok);
}

/* ---- answers to DATA ---- */

/* Some recipients may have the message already: only its digest tells. */
static bool any_held(const struct transaction *t)
{
    for (size_t i = 0; i < t->leg_count; i++)
        if (t->legs[i]->held && t->legs[i]->taken > 0)
            return true;
    return false;
}

static bool any_carries(const struct transaction *t)
{
    for (size_t i = 0; i < t->leg_count; i++)
        if (t->legs[i]->carries)
            return true;
    return false;
}

/* All legs have said whether they take the body; `said` is the MX's 354, NULL: none is at hand. */
static void data_answered(struct transaction *t, const struct reply *said)
{
    struct reply reply;

    reply_init(&reply);
    /* Nobody takes it, and all for one class of reasons: the message need not come.  If they differ it
     * must, since the ledger knows it by its digest. */
    if (!any_carries(t) && !any_held(t) && transaction_combine(t, &reply)) {
        t->ended = true;
        t->told = reply.code;
    } else {
        transaction_begin_digest(t);
        if (said != NULL && t->leg_count == 1)
            reply_lend(&reply, said);
        else
            reply_set(&reply, 354, NULL, SLICE("End data with <CR><LF>.<CR><LF>"));
    }
    t->on.answer(t->owner, t->data_slot, &reply);
    reply_clear(&reply);
}

static void on_data(void *owner, const struct leg_answer *a)
{
    struct transaction_leg *tl = leg_owner(owner);
    struct transaction *t = tl->t;

    if (t->freed)
        return;
    if (a->reply->code == 354)
        tl->carries = true;
    else
        transaction_leg_done(tl, a);
    if (--t->data_waiting == 0)
        data_answered(t, a->reply->code == 354 ? a->reply : NULL);
}

static void nobody_to_ask(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (!t->freed)
        data_answered(t, NULL);
}

/* With several legs DATA may have to wait for one of them, and no MX waits for a message for ever. */
void transaction_data_follows(struct transaction *t)
{
    if (t->leg_count == 1 && !t->legs[0]->held && t->waiting_alone == 0)
        leg_data_follows(t->legs[0]->leg);
}

void transaction_data(struct transaction *t, unsigned slot, bool each)
{
    unsigned place = 0;

    t->data_slot = slot;
    t->each = each;
    for (size_t i = 0; i < t->count; i++)
        if (t->recipients[i].accepted)
            t->recipients[i].place = place++;
    INVARIANT(place > 0);
    for (size_t i = 0; i < t->leg_count; i++)
        t->data_waiting += t->legs[i]->accepted > 0 ? 1 : 0;
    if (t->data_waiting == 0) {
        loop_defer(t->services->loop, nobody_to_ask, t);
        return;
    }
    for (size_t i = 0, asked = t->data_waiting; i < t->leg_count; i++) {
        if (t->legs[i]->accepted == 0)
            continue;
        leg_share(t->legs[i]->leg, asked);
        leg_data(t->legs[i]->leg);
    }
}

/* ---- the body and its end ---- */

static void on_final(void *owner, const struct leg_answer *a)
{
    struct transaction_leg *tl = leg_owner(owner);
    struct transaction *t = tl->t;

    if (t->freed)
        return;
    transaction_leg_done(tl, a);
    if (!t->freed)
        transaction_maybe_final(t);
}

static void on_room(void *owner)
{
    struct transaction *t = leg_owner(owner)->t;

    if (t->freed)
        return;
    if (transaction_has_room(t))
        timer_disarm(t->stall);
    t->on.room(t->owner);
}

static const struct leg_events leg_events = {
    .recipient = on_recipient,
    .data = on_data,
    .final = on_final,
    .room = on_room,
};

/* ---- recipients to legs ---- */

static size_t leg_of(const struct transaction *t, const struct mailbox *m, bool held, uint64_t key)
{
    for (size_t i = 0; i < t->leg_count; i++) {
        const struct transaction_leg *tl = t->legs[i];

        if (tl->held == held && tl->held_for == key && leg_serves(tl->leg, m))
            return i;
    }
    return NO_LEG;
}

/* Somebody waits for it or will get the message by it; one that refused all is not. */
static bool in_use(const struct transaction_leg *tl)
{
    return tl->waiting > 0 || tl->taken > 0;
}

static size_t legs_in_use(const struct transaction *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->leg_count; i++)
        n += in_use(t->legs[i]) ? 1 : 0;
    return n;
}

/* Why one recipient more cannot go to this leg, NO_LEG: to a new one.  With several legs the ledger must
 * have room for all who may be accepted, also for those of a leg that is there. */
static enum reason why_not(const struct transaction *t, size_t leg)
{
    size_t others = legs_in_use(t);

    if (leg != NO_LEG && in_use(t->legs[leg]))
        others--;
    if (others >= (size_t)t->settings->limits.legs)
        return REASON_TOO_MANY_LEGS;
    if (others > 0 && !transaction_hears_each(t) &&
        !ledger_ready(t->services->ledger, t->taken + t->waiting, loop_wall()))
        return REASON_LEDGER_UNAVAILABLE;
    return REASON_OK;
}

/* limits.legs is one of connections too: those that nobody needs go before there are more.  `but`: the
 * one that will be needed now. */
static void rest_idle_legs(struct transaction *t, size_t but)
{
    if (t->leg_count < (size_t)t->settings->limits.legs)
        return;
    for (size_t i = 0; i < t->leg_count; i++)
        if (i != but && !in_use(t->legs[i]))
            leg_rest(t->legs[i]->leg);
}

static size_t add_leg(struct transaction *t, const struct mailbox *m, bool held, uint64_t key)
{
    struct transaction_leg *tl = mem_zalloc(sizeof(*tl));

    tl->t = t;
    tl->held = held;
    tl->held_for = key;
    reply_init(&tl->final);
    t->legs = mem_resize(t->legs, t->leg_count + 1, sizeof(struct transaction_leg *));
    t->legs[t->leg_count] = tl;
    tl->leg = leg_new(t->services, t->snapshot, &t->envelope, (unsigned)t->leg_count + 1, m,
                      &leg_events, tl);
    return t->leg_count++;
}

static struct mailbox mailbox_of(const struct recipient *r)
{
    struct mailbox m = {.path = slice_str(r->path),
                        .domain = slice_str(r->domain),
                        .is_literal = r->is_literal,
                        .literal = r->literal};

    return m;
}

/* The leg that is there for it, or NO_LEG. */
static size_t own_leg(const struct transaction *t, size_t index, bool held)
{
    const struct recipient *r = &t->recipients[index];
    struct mailbox m = mailbox_of(r);

    return leg_of(t, &m, held, held ? transaction_held_for(r) : 0);
}

void transaction_assign(struct transaction *t, size_t index, bool held)
{
    struct recipient *r = &t->recipients[index];
    struct mailbox m = mailbox_of(r);
    size_t leg = own_leg(t, index, held);
    enum reason why = why_not(t, leg);

    if (why != REASON_OK) {
        transaction_refuse(t, index, why);
        return;
    }
    rest_idle_legs(t, leg);
    r->leg = leg != NO_LEG ? leg : add_leg(t, &m, held, held ? transaction_held_for(r) : 0);
    if (t->legs[r->leg]->waiting++ == 0)
        t->legs[r->leg]->asked = r->asked;
    leg_recipient(t->legs[r->leg]->leg, (unsigned)index, m.path);
    arm_wait(t);
}

bool transaction_has_no_place(const struct transaction *t, size_t index, bool held)
{
    if (t->alone == NO_LEG || !in_use(t->legs[t->alone]))
        return false;
    held = held || transaction_was_delivered(&t->recipients[index]);
    return own_leg(t, index, held) != t->alone;
}

/* The recipients of one leg have one answer at the end, so they may go together. */
void transaction_assign_alone(struct transaction *t, size_t index)
{
    struct recipient *r = &t->recipients[index];
    bool held = transaction_was_delivered(r);
    size_t own = own_leg(t, index, held);
    size_t taken = own != NO_LEG ? t->legs[own]->taken : 0;
    size_t waiting = own != NO_LEG ? t->legs[own]->waiting : 0;

    if (t->taken > taken || transaction_has_no_place(t, index, held)) {
        t->others_waited = true;
        transaction_refuse(t, index, REASON_ASKED_ALONE);
    } else if (t->waiting > t->waiting_alone + waiting + 1) {
        r->waits_alone = true; /* those before it may all be refused */
        t->waiting_alone++;
    } else {
        transaction_assign(t, index, held);
        t->alone = r->leg;
    }
}

size_t transaction_memory(const struct transaction *t)
{
    size_t n = sizeof(*t) + t->count * sizeof(*t->recipients) + strlen(t->envelope.sender);

    if (t->header != NULL)
        n += sizeof(*t->header);
    for (size_t i = 0; i < t->count; i++) {
        const struct recipient *r = &t->recipients[i];

        n += strlen(r->path) + strlen(r->domain) + strlen(r->mx) + strlen(r->address) +
             r->reply.text.size;
    }
    for (size_t i = 0; i < t->leg_count; i++)
        n += sizeof(*t->legs[i]) + (t->legs[i]->leg != NULL ? leg_memory(t->legs[i]->leg) : 0);
    return n;
}

void transaction_legs_free(struct transaction *t)
{
    for (size_t i = 0; i < t->leg_count; i++) {
        reply_clear(&t->legs[i]->final);
        free(t->legs[i]);
    }
    free(t->legs);
}
