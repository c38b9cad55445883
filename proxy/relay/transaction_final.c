/* SPDX-License-Identifier: Apache-2.0 */
/* See transaction.h: from the results of the legs to the answer to the dot. */
#include <stdlib.h>

#include "proxy/base/mem.h"
#include "proxy/policy/final_answer.h"
#include "proxy/relay/transaction_internal.h"

/* A message that one MX has taken and another has not answered for so long goes into the ledger
 * before the end: a crash meanwhile would send it out again. */
#define EARLY_MS 1000
#define FEW 4 /* recipients, for whom no memory is asked */

static bool is_yes(const struct reply *r)
{
    return r->code >= 200 && r->code < 300;
}

void transaction_leg_done(struct transaction_leg *tl, const struct leg_answer *a)
{
    struct transaction *t = tl->t;

    tl->done = true;
    reply_copy(&tl->final, a->reply);
    for (size_t i = 0; i < t->count; i++) {
        struct recipient *r = &t->recipients[i];

        if (!r->accepted || r->done || r->refused_by_leg || t->legs[r->leg] != tl)
            continue;
        transaction_keep_answer(t, r, a);
        r->done = true;
    }
}

/* ---- one reply for all ---- */

/* Recipients of a leg share its answer; one that the ledger or the MX's RCPT decided has its own. */
static bool shares(const struct transaction *t, const struct recipient *r)
{
    return t->legs[r->leg]->done && !r->refused_by_leg && r->before == NULL;
}

static const struct reply *result_of(const struct transaction *t, const struct recipient *r)
{
    return shares(t, r) ? &t->legs[r->leg]->final : &r->reply;
}

static size_t gather(const struct transaction *t, struct final_part *parts)
{
    size_t n = 0;

    for (size_t i = 0; i < t->leg_count; i++)
        t->legs[i]->gathered = false;
    for (size_t i = 0; i < t->count; i++) {
        const struct recipient *r = &t->recipients[i];

        if (!r->accepted || (shares(t, r) && t->legs[r->leg]->gathered))
            continue;
        if (shares(t, r))
            t->legs[r->leg]->gathered = true;
        parts[n].domain = r->domain;
        parts[n++].reply = result_of(t, r);
    }
    return n;
}

bool transaction_combine(const struct transaction *t, struct reply *out)
{
    struct final_part few[FEW], *parts = few;
    bool agree;

    if (t->taken > FEW)
        parts = mem_array(t->taken, sizeof(*parts));
    agree = final_answer_make(parts, gather(t, parts), out);
    if (parts != few)
        free(parts);
    return agree;
}

static void combine_prdr(const struct transaction *t, struct reply *out)
{
    struct final_part *parts = mem_array(t->taken + 1, sizeof(*parts));

    final_answer_prdr(parts, gather(t, parts), out);
    free(parts);
}

/* ---- the answer ---- */

/* Sendmail makes every 4xx but 452 sticky for the whole relayhost (design section 7). */
static bool wants_452(const struct transaction *t)
{
    enum client_profile profile = t->listener->client_profile;

    return profile == CLIENT_PROFILE_SENDMAIL ||
           (profile == CLIENT_PROFILE_AUTO && t->kind == CLIENT_SENDMAIL);
}

void transaction_answer_final(struct transaction *t, const struct reply *reply)
{
    struct reply heard;

    t->ended = true;
    t->awaits_final = false;
    timer_disarm(t->early);
    reply_init(&heard);
    reply_lend(&heard, reply);
    if (!t->each && wants_452(t) && heard.code >= 400 && heard.code < 500)
        reply_recode(&heard, 452);
    t->told = heard.code;
    if (!t->gone)
        transaction_forget_told_refusals(t);
    t->on.answer(t->owner, t->end_slot, &heard);
    reply_clear(&heard);
}

/* The truth is told, so nothing needs to be remembered; unless nobody hears it, which shows at times
 * when it is told (transaction_client_gone()). */
static void tell_truth(struct transaction *t)
{
    if (t->gone)
        (void)transaction_record(t, false, true);
    else if (t->others_waited && t->verdict.code / 100 == 4)
        (void)transaction_record(t, true, false); /* the next time it is the turn of the others */
    else
        transaction_forget(t);
    transaction_answer_final(t, &t->verdict);
}

static void tell_each(struct transaction *t)
{
    for (size_t i = 0; i < t->count && !t->freed; i++) {
        struct recipient *r = &t->recipients[i];

        if (!r->accepted || !r->done || r->told)
            continue;
        r->told = true;
        t->on.answer_each(t->owner, r->place, result_of(t, r));
    }
}

void transaction_maybe_final(struct transaction *t)
{
    bool some = false, all = true;

    if (!t->awaits_final || t->ticket != 0)
        return;
    if (t->each)
        tell_each(t);
    if (t->freed)
        return;
    for (size_t i = 0; i < t->count; i++) {
        const struct recipient *r = &t->recipients[i];

        some = some || (r->accepted && r->done && is_yes(&r->reply));
        all = all && (!r->accepted || r->done);
    }
    if (!all) {
        if (some && !timer_armed(t->early))
            transaction_arm(t, &t->early, transaction_early, EARLY_MS);
        return;
    }
    if (t->each) {
        if (!transaction_combine(t, &t->verdict))
            combine_prdr(t, &t->verdict);
        tell_truth(t);
    } else if (transaction_combine(t, &t->verdict)) {
        tell_truth(t);
    } else if (transaction_record(t, true, t->gone)) {
        transaction_wait_for_disk(t);
    } else {
        transaction_answer_final(t, &t->verdict);
    }
}

void transaction_early(void *owner)
{
    struct transaction *t = owner;

    if (!t->freed && t->awaits_final && t->ticket == 0)
        (void)transaction_record(t, false, true);
}
