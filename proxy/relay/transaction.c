/* SPDX-License-Identifier: Apache-2.0 */
/* See transaction.h: recipients, body, and the owner's calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/transaction_internal.h"

#define REPLY_KEPT_MAX LEDGER_REPLY_MAX /* of a reply's text, for the record and the ledger */

/* ---- answers ---- */

static void set_text(char **held, const char *text)
{
    char *copy = mem_strdup(text); /* it may be the old one */

    free(*held);
    *held = copy;
}

void transaction_keep_answer(struct transaction *t, struct recipient *r, const struct leg_answer *a)
{
    struct reply kept = *a->reply; /* lent */

    if (kept.text.n > REPLY_KEPT_MAX)
        kept.text.n = REPLY_KEPT_MAX;
    reply_copy(&r->reply, &kept); /* no more memory than that: there may be a thousand of them */
    r->reason = a->reason;
    r->would_defer = a->would_defer;
    r->decided = loop_now(t->services->loop);
    set_text(&r->mx, a->mx);
    set_text(&r->address, a->address);
    r->tls = a->tls;
    r->demand = a->demand;
}

/* Answers that need no leg come from the loop too, like all others. */
static void tell_ours(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    t->telling = false;
    while (t->ours_from < t->count && !t->freed) {
        struct recipient *r = &t->recipients[t->ours_from++];

        if (r->ours && !r->answered) {
            r->answered = true;
            t->waiting--;
            t->on.answer(t->owner, r->slot, &r->reply);
        }
    }
    if (!t->freed)
        transaction_look_at_those_alone(t);
}

void transaction_answer_here(struct transaction *t, size_t index)
{
    t->recipients[index].ours = true;
    if (index < t->ours_from)
        t->ours_from = index;
    if (!t->telling)
        loop_defer(t->services->loop, tell_ours, t);
    t->telling = true;
}

void transaction_refuse(struct transaction *t, size_t index, enum reason why)
{
    struct recipient *r = &t->recipients[index];
    const char *subject = why == REASON_NO_DOMAIN ? r->path : r->domain;
    struct reply reply;
    struct leg_answer a = {&reply, why, "", "", "", "", REASON_OK};

    reply_init(&reply);
    reason_reply(why, slice_str(subject), SLICE_NONE, &reply);
    transaction_keep_answer(t, r, &a);
    reply_clear(&reply);
    transaction_answer_here(t, index);
}

/* Most transactions need none of their timers: each is made when it is needed. */
void transaction_arm(struct transaction *t, struct timer **timer, loop_fn *fn, int64_t ms)
{
    if (*timer == NULL)
        *timer = timer_new(t->services->loop, fn, t);
    timer_arm(*timer, ms);
}

/* ---- the envelope ---- */

static void copy_text(char *to, size_t size, struct slice from)
{
    size_t n = from.n < size ? from.n : size - 1;

    if (n > 0)
        memcpy(to, from.p, n);
    to[n] = '\0';
}

static void fill_envelope(struct transaction *t, const struct transaction_params *p)
{
    struct envelope *e = &t->envelope;

    (void)snprintf(e->session_id, sizeof(e->session_id), "%s", p->session_id);
    (void)snprintf(e->transaction_id, sizeof(e->transaction_id), "%s-%u", p->session_id, p->number);
    (void)addr_port_text(p->peer, e->client);
    (void)snprintf(e->queue_id, sizeof(e->queue_id), "%s", p->xforward->ident);
    e->sender = slice_dup(p->sender->path);
    copy_text(e->sender_domain, sizeof(e->sender_domain), p->sender->domain);
    e->params = *p->params;
    e->esmtp = p->esmtp;
    e->observe = p->listener->observe;
    e->original = *p->original;
    e->redirect_check = p->listener->protocol == LISTENER_REDIRECT ? p->listener->redirect_check
                                                                   : REDIRECT_CHECK_OFF;
    e->log_addresses = t->settings->log.addresses;
}

static void stall_over(void *owner);

struct transaction *transaction_new(const struct transaction_params *p,
                                    const struct transaction_events *on, void *owner)
{
    struct transaction *t = mem_zalloc(sizeof(*t));

    t->magic = TRANSACTION_MAGIC;
    t->services = p->services;
    t->snapshot = snapshot_hold(p->snapshot);
    t->settings = snapshot_settings(p->snapshot);
    t->on = *on;
    t->owner = owner;
    t->listener = p->listener;
    t->alone = NO_LEG;
    fill_envelope(t, p);
    (void)addr_text(p->peer, t->signs.client);
    (void)snprintf(t->signs.helo, sizeof(t->signs.helo), "%s", p->helo);
    (void)snprintf(t->signs.ident, sizeof(t->signs.ident), "%s", p->xforward->ident);
    t->signs.has_size = p->params->has_size;
    t->signs.size = p->params->size;
    reply_init(&t->verdict);
    return t;
}

static size_t add_recipient(struct transaction *t, unsigned slot, const struct mailbox *recipient)
{
    struct recipient *r;

    t->recipients = mem_resize(t->recipients, t->count + 1, sizeof(*t->recipients));
    r = &t->recipients[t->count];
    memset(r, 0, sizeof(*r));
    r->slot = slot;
    r->leg = NO_LEG;
    r->path = slice_dup(recipient->path);
    r->asked = loop_now(t->services->loop);
    r->is_literal = recipient->is_literal;
    r->literal = recipient->literal;
    r->domain = slice_dup(recipient->domain);
    r->mx = mem_strdup("");
    r->address = mem_strdup("");
    r->tls = r->demand = "";
    reply_init(&r->reply);
    t->waiting++;
    return t->count++;
}

void transaction_recipient(struct transaction *t, unsigned slot, const struct mailbox *recipient)
{
    size_t index = add_recipient(t, slot, recipient);
    char normal[DOMAIN_MAX + 1];
    enum retry_step step;

    if (recipient->domain.n == 0 ||
        (!recipient->is_literal && !domain_normalise(recipient->domain, normal))) {
        transaction_refuse(t, index, REASON_NO_DOMAIN);
        return;
    }
    step = transaction_recall(t, index);
    if (step != RETRY_TELL && step != RETRY_STAND_BACK &&
        transaction_has_no_place(t, index, step == RETRY_HOLD)) {
        t->others_waited = true;
        transaction_refuse(t, index, REASON_ASKED_ALONE);
        return;
    }
    switch (step) {
    case RETRY_SEND:
    case RETRY_HOLD:
        transaction_assign(t, index, step == RETRY_HOLD);
        break;
    case RETRY_STAND_BACK:
        transaction_refuse(t, index, REASON_OTHERS_FIRST);
        break;
    case RETRY_TELL:
        transaction_answer_here(t, index);
        break;
    case RETRY_ALONE:
        transaction_assign_alone(t, index);
        break;
    }
}

/* ---- the body ---- */

static bool legs_have_room(const struct transaction *t)
{
    for (size_t i = 0; i < t->leg_count; i++)
        if (!leg_has_room(t->legs[i]->leg))
            return false;
    return true;
}

static size_t legs_carrying(const struct transaction *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->leg_count; i++)
        n += leg_carries(t->legs[i]->leg) ? 1 : 0;
    return n;
}

/* One leg that stands still must not keep the message from the others, nor the client waiting until
 * it gives up on all of them. */
static void stall_over(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    /* Each that fails makes room, and what comes then may fill the next one: that one has not stalled. */
    for (size_t i = 0; i < t->leg_count; i++)
        t->legs[i]->stalled = !leg_has_room(t->legs[i]->leg);
    for (size_t i = 0; i < t->leg_count && !t->freed; i++)
        if (t->legs[i]->stalled && legs_carrying(t) > 1)
            leg_fail(t->legs[i]->leg, REASON_LEG_STALLED);
}

void transaction_body(struct transaction *t, struct slice content)
{
    if (t->header == NULL) {
        t->header = mem_zalloc(sizeof(*t->header));
        header_scan_start(t->header);
    }
    if (!t->header->done) {
        header_scan_feed(t->header, content);
        if (t->envelope.queue_id[0] == '\0' && t->header->queue_id[0] != '\0')
            memcpy(t->envelope.queue_id, t->header->queue_id, sizeof(t->envelope.queue_id));
    }
    if (t->refused)
        return;
    transaction_feed_digest(t, content);
    for (size_t i = 0; i < t->leg_count; i++)
        leg_body(t->legs[i]->leg, content);
    if (t->leg_count > 1 && !timer_armed(t->stall) && !legs_have_room(t))
        transaction_arm(t, &t->stall, stall_over, t->settings->timeouts.leg_stall);
}

void transaction_body_refused(struct transaction *t, enum reason why)
{
    t->refused = true;
    t->refused_why = why;
    timer_disarm(t->stall);
    for (size_t i = 0; i < t->leg_count; i++)
        leg_abandon(t->legs[i]->leg, why);
}

bool transaction_has_room(const struct transaction *t)
{
    return t->refused || legs_have_room(t);
}

/* ---- the end of the message ---- */

static void tell_refused(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);
    struct reply reply;
    struct leg_answer a = {&reply, t->refused_why, "", "", "", "", REASON_OK};

    if (t->freed)
        return;
    reply_init(&reply);
    reason_reply(t->refused_why, SLICE_NONE, SLICE_NONE, &reply);
    for (size_t i = 0; i < t->count && !t->freed; i++) {
        struct recipient *r = &t->recipients[i];

        if (!r->accepted)
            continue;
        transaction_keep_answer(t, r, &a);
        r->done = true;
        if (t->each)
            t->on.answer_each(t->owner, r->place, &reply);
    }
    if (!t->freed)
        transaction_answer_final(t, &reply);
    reply_clear(&reply);
}

static void look_at_the_end(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (!t->freed)
        transaction_maybe_final(t);
}

void transaction_end(struct transaction *t, unsigned slot, enum client_kind kind)
{
    enum client_kind received =
        t->header != NULL ? client_kind_of_received(slice_of(t->header->text, t->header->n))
                          : CLIENT_UNKNOWN;

    t->end_slot = slot;
    t->kind = received != CLIENT_UNKNOWN ? received : kind;
    t->awaits_final = true;
    timer_disarm(t->stall);
    if (t->refused) {
        loop_defer(t->services->loop, tell_refused, t);
        return;
    }
    transaction_compare(t);
    for (size_t i = 0; i < t->leg_count; i++)
        if (t->legs[i]->carries && !t->legs[i]->done)
            leg_end(t->legs[i]->leg);
    /* Where no leg is left to be waited for. */
    loop_defer(t->services->loop, look_at_the_end, t);
}

bool transaction_awaits_final(const struct transaction *t)
{
    return t->awaits_final;
}

void transaction_client_gone(struct transaction *t)
{
    if (!t->gone && t->ended && t->told != 0)
        (void)transaction_record(t, false, true);
    t->gone = true;
}

/* ---- the end ---- */

static void log_result(struct transaction *t, const struct recipient *r, enum reason why)
{
    bool undecided = !r->answered || (r->accepted && !r->done);
    bool doubt = undecided && r->leg != NO_LEG && r->accepted && t->legs[r->leg]->doubt;
    enum reason reason = doubt ? REASON_MAYBE_DELIVERED : why; /* RFC 1047 */
    struct result res = {
        .envelope = &t->envelope,
        .leg_id = r->leg != NO_LEG ? leg_id(t->legs[r->leg]->leg) : "",
        .recipient = r->path,
        .domain = r->domain,
        .status = !undecided ? result_status_of(r->reason, r->reply.code)
                  : doubt    ? RESULT_MAYBE_DELIVERED
                             : RESULT_ABORTED,
        .reason = undecided ? reason : r->reason,
        .would_defer = r->would_defer,
        .reply = undecided ? NULL : &r->reply,
        .told = r->accepted && !undecided && !t->each && t->told != r->reply.code ? t->told : 0,
        .in_ledger = r->kept,
        .mx = r->mx,
        .address = r->address,
        .tls = r->tls,
        .demand = r->demand,
        .delay_ms = (undecided ? loop_now(t->services->loop) : r->decided) - r->asked,
    };

    result_log(t->services->log, &res);
}

static void transaction_destroy(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    for (size_t i = 0; i < t->count; i++) {
        free(t->recipients[i].path);
        free(t->recipients[i].domain);
        free(t->recipients[i].mx);
        free(t->recipients[i].address);
        reply_clear(&t->recipients[i].reply);
        ledger_view_free(&t->recipients[i].known);
    }
    free(t->recipients);
    transaction_legs_free(t);
    free(t->envelope.sender);
    free(t->header);
    digest_free(&t->digest);
    reply_clear(&t->verdict);
    timer_free(&t->wait);
    timer_free(&t->stall);
    timer_free(&t->early);
    timer_free(&t->patience);
    snapshot_drop(&t->snapshot);
    t->magic = 0;
    free(t);
}

static bool client_is_there(enum reason why)
{
    return why == REASON_CLIENT_RESET;
}

void transaction_finish(struct transaction *t, enum reason why)
{
    t->freed = true;
    timer_disarm(t->wait);
    timer_disarm(t->stall);
    timer_disarm(t->early);
    timer_disarm(t->patience);
    if (t->ticket != 0)
        LIST_REMOVE(t, waits);
    if (t->awaits_final && !t->ended) /* nobody was told of what is delivered already */
        (void)transaction_record(t, false, true);
    else if (client_is_there(why))
        transaction_forget_told_refusals(t);
    for (size_t i = 0; i < t->leg_count; i++) {
        struct transaction_leg *tl = t->legs[i];

        tl->doubt = leg_in_doubt(tl->leg);
        leg_abandon(tl->leg, tl->doubt ? REASON_MAYBE_DELIVERED : why);
    }
    t->envelope.tls_required_no = t->header != NULL && t->header->tls_required_no;
    for (size_t i = 0; i < t->count; i++)
        log_result(t, &t->recipients[i], why);
    for (size_t i = 0; i < t->leg_count; i++)
        leg_free(&t->legs[i]->leg);
}

void transaction_drop(struct transaction **held, bool heard)
{
    struct transaction *t = *held;

    *held = NULL;
    if (t == NULL)
        return;
    if (!heard)
        transaction_client_gone(t);
    loop_defer(t->services->loop, transaction_destroy, t);
}

void transaction_free(struct transaction **held, enum reason why)
{
    if (*held != NULL)
        transaction_finish(*held, why);
    transaction_drop(held, true);
}
