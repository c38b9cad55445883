/* SPDX-License-Identifier: Apache-2.0 */
/* See transaction.h. */
#include "proxy/relay/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define TRANSACTION_MAGIC 0x7472616eu
#define REPLY_KEPT_MAX 1024 /* of a reply's text, for the result record */

struct recipient {
    unsigned slot;
    char *path;
    char domain[DOMAIN_MAX + 3];
    bool answered, accepted, ours; /* ours: answered here, no leg */
    enum reason reason, would_defer;
    struct reply reply; /* cut: for the record only */
    char mx[256], address[ADDR_TEXT_MAX], tls[16], demand[16];
    mono_ms asked, decided;
};

struct transaction {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot;
    struct transaction_events on;
    void *owner;
    enum client_profile profile;
    struct envelope envelope;
    struct header_scan header;
    struct leg *leg; /* the legs: one in this version */
    struct recipient *recipients;
    size_t count;
    bool refused; /* transaction_body_refused() */
    enum reason refused_why;
    unsigned data_slot, end_slot;
    bool awaits_final, ended, freed;
    size_t answer_from; /* recipients from here on may have an answer of ours to tell */
    bool telling;
};

/* ---- answers ---- */

static void keep_answer(struct transaction *t, struct recipient *r, const struct leg_answer *a)
{
    struct reply kept = *a->reply; /* lent */

    if (kept.text.n > REPLY_KEPT_MAX)
        kept.text.n = REPLY_KEPT_MAX;
    reply_copy(&r->reply, &kept); /* no more memory than that: there may be a thousand of them */
    r->reason = a->reason;
    r->would_defer = a->would_defer;
    r->decided = loop_now(t->services->loop);
    (void)snprintf(r->mx, sizeof(r->mx), "%s", a->mx);
    (void)snprintf(r->address, sizeof(r->address), "%s", a->address);
    (void)snprintf(r->tls, sizeof(r->tls), "%s", a->tls);
    (void)snprintf(r->demand, sizeof(r->demand), "%s", a->demand);
}

static void on_recipient(void *owner, unsigned slot, const struct leg_answer *a)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (t->freed)
        return;
    for (size_t i = 0; i < t->count; i++) {
        struct recipient *r = &t->recipients[i];

        if (r->slot != slot || r->answered || r->ours)
            continue;
        r->answered = true;
        r->accepted = a->reply->code >= 200 && a->reply->code < 300;
        keep_answer(t, r, a);
        t->on.answer(t->owner, slot, a->reply);
        return;
    }
}

/* The answer that decides for all accepted recipients. */
static void decide(struct transaction *t, const struct leg_answer *a)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->recipients[i].accepted)
            keep_answer(t, &t->recipients[i], a);
}

static void on_data(void *owner, const struct leg_answer *a)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (t->freed)
        return;
    if (a->reply->code != 354) {
        decide(t, a);
        t->ended = true;
    }
    t->on.answer(t->owner, t->data_slot, a->reply);
}

/* Sendmail makes every 4xx but 452 sticky for the whole relayhost (design section 7). */
static void answer_final(struct transaction *t, const struct reply *reply)
{
    struct reply heard;

    t->ended = true;
    if (t->profile != CLIENT_PROFILE_SENDMAIL || reply->code < 400 || reply->code > 499) {
        t->on.answer(t->owner, t->end_slot, reply);
        return;
    }
    reply_init(&heard);
    reply_copy(&heard, reply);
    reply_recode(&heard, 452);
    t->on.answer(t->owner, t->end_slot, &heard);
    reply_clear(&heard);
}

static void on_final(void *owner, const struct leg_answer *a)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (t->freed)
        return;
    t->awaits_final = false;
    decide(t, a);
    answer_final(t, a->reply);
}

static void on_room(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (!t->freed)
        t->on.room(t->owner);
}

static const struct leg_events leg_events = {
    .recipient = on_recipient,
    .data = on_data,
    .final = on_final,
    .room = on_room,
};

/* Answers that need no leg come from the loop too, like all others. */
static void tell_ours(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    t->telling = false;
    for (; t->answer_from < t->count && !t->freed; t->answer_from++) {
        struct recipient *r = &t->recipients[t->answer_from];

        if (r->ours && !r->answered) {
            r->answered = true;
            t->on.answer(t->owner, r->slot, &r->reply);
        }
    }
}

static void refuse_here(struct transaction *t, struct recipient *r, enum reason why,
                        const char *detail)
{
    struct reply reply;
    struct leg_answer a = {&reply, why, "", "", "", "", REASON_OK};

    reply_init(&reply);
    reason_reply(why, slice_str(r->domain), detail[0] != '\0' ? slice_str(detail) : SLICE_NONE,
                 &reply);
    r->ours = true;
    keep_answer(t, r, &a);
    reply_clear(&reply);
    if (!t->telling)
        loop_defer(t->services->loop, tell_ours, t);
    t->telling = true;
}

/* ---- calls of the session ---- */

struct transaction *transaction_new(const struct transaction_params *p,
                                    const struct transaction_events *on, void *owner)
{
    struct transaction *t = mem_zalloc(sizeof(*t));
    struct envelope *e = &t->envelope;
    size_t n;

    t->magic = TRANSACTION_MAGIC;
    t->services = p->services;
    t->snapshot = snapshot_hold(p->snapshot);
    t->on = *on;
    t->owner = owner;
    t->profile = p->profile;
    (void)snprintf(e->session_id, sizeof(e->session_id), "%s", p->session_id);
    (void)snprintf(e->transaction_id, sizeof(e->transaction_id), "%s-%u", p->session_id, p->number);
    (void)snprintf(e->client, sizeof(e->client), "%s", p->client);
    (void)snprintf(e->queue_id, sizeof(e->queue_id), "%s", p->xforward->ident);
    e->sender = slice_dup(p->sender->path);
    n = p->sender->domain.n < sizeof(e->sender_domain) ? p->sender->domain.n
                                                       : sizeof(e->sender_domain) - 1;
    if (n > 0)
        memcpy(e->sender_domain, p->sender->domain.p, n);
    e->params = *p->params;
    e->esmtp = p->esmtp;
    e->observe = p->observe;
    e->log_addresses = snapshot_settings(p->snapshot)->log.addresses;
    header_scan_start(&t->header);
    return t;
}

void transaction_recipient(struct transaction *t, unsigned slot, const struct mailbox *recipient)
{
    struct recipient *r;
    char normal[DOMAIN_MAX + 1];
    size_t n =
        recipient->domain.n < sizeof(r->domain) ? recipient->domain.n : sizeof(r->domain) - 1;

    t->recipients = mem_resize(t->recipients, t->count + 1, sizeof(*t->recipients));
    r = &t->recipients[t->count++];
    memset(r, 0, sizeof(*r));
    r->slot = slot;
    r->path = slice_dup(recipient->path);
    r->asked = loop_now(t->services->loop);
    if (n > 0)
        memcpy(r->domain, recipient->domain.p, n);
    reply_init(&r->reply);
    if (n == 0 || (!recipient->is_literal && !domain_normalise(recipient->domain, normal))) {
        refuse_here(t, r, REASON_NO_DOMAIN, r->path);
        return;
    }
    if (t->leg == NULL)
        t->leg = leg_new(t->services, t->snapshot, &t->envelope, 1, recipient, &leg_events, t);
    if (leg_serves(t->leg, recipient))
        leg_recipient(t->leg, slot, recipient->path);
    else
        refuse_here(t, r, REASON_LEDGER_UNAVAILABLE, "");
}

void transaction_data(struct transaction *t, unsigned slot)
{
    INVARIANT(t->leg != NULL);
    t->data_slot = slot;
    leg_data(t->leg);
}

void transaction_body(struct transaction *t, struct slice content)
{
    if (!t->header.done) {
        header_scan_feed(&t->header, content);
        if (t->envelope.queue_id[0] == '\0' && t->header.queue_id[0] != '\0')
            memcpy(t->envelope.queue_id, t->header.queue_id, sizeof(t->envelope.queue_id));
    }
    if (!t->refused)
        leg_body(t->leg, content);
}

void transaction_body_refused(struct transaction *t, enum reason why)
{
    t->refused = true;
    t->refused_why = why;
    leg_abandon(t->leg, why);
}

static void tell_refused(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);
    struct reply reply;
    struct leg_answer a = {&reply, t->refused_why, "", "", "", "", REASON_OK};

    if (t->freed)
        return;
    reply_init(&reply);
    reason_reply(t->refused_why, SLICE_NONE, SLICE_NONE, &reply);
    decide(t, &a);
    answer_final(t, &reply);
    reply_clear(&reply);
}

void transaction_end(struct transaction *t, unsigned slot)
{
    t->end_slot = slot;
    if (t->refused) {
        loop_defer(t->services->loop, tell_refused, t);
        return;
    }
    t->awaits_final = true;
    leg_end(t->leg);
}

bool transaction_has_room(const struct transaction *t)
{
    return t->refused || t->leg == NULL || leg_has_room(t->leg);
}

bool transaction_awaits_final(const struct transaction *t)
{
    return t->awaits_final;
}

/* ---- the end ---- */

static void log_results(struct transaction *t, enum reason why)
{
    t->envelope.tls_required_no = t->header.tls_required_no;
    for (size_t i = 0; i < t->count; i++) {
        struct recipient *r = &t->recipients[i];
        bool undecided = !r->answered || (r->accepted && !t->ended);
        struct result res = {
            .envelope = &t->envelope,
            .leg_id = t->leg != NULL ? leg_id(t->leg) : "",
            .recipient = r->path,
            .domain = r->domain,
            .status = !undecided                      ? result_status_of(r->reason, r->reply.code)
                      : why == REASON_MAYBE_DELIVERED ? RESULT_MAYBE_DELIVERED
                                                      : RESULT_ABORTED,
            .reason = undecided ? why : r->reason,
            .would_defer = r->would_defer,
            .reply = undecided ? NULL : &r->reply,
            .mx = r->mx,
            .address = r->address,
            .tls = r->tls,
            .demand = r->demand,
            .delay_ms = (undecided ? loop_now(t->services->loop) : r->decided) - r->asked,
        };

        result_log(t->services->log, &res);
    }
}

static void transaction_destroy(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    for (size_t i = 0; i < t->count; i++) {
        free(t->recipients[i].path);
        reply_clear(&t->recipients[i].reply);
    }
    free(t->recipients);
    free(t->envelope.sender);
    snapshot_drop(&t->snapshot);
    t->magic = 0;
    free(t);
}

void transaction_free(struct transaction **held, enum reason why)
{
    struct transaction *t = *held;

    *held = NULL;
    if (t == NULL)
        return;
    t->freed = true;
    if (t->leg != NULL) {
        if (leg_in_doubt(t->leg)) /* RFC 1047 */
            why = REASON_MAYBE_DELIVERED;
        leg_abandon(t->leg, why);
    }
    log_results(t, why);
    leg_free(&t->leg);
    loop_defer(t->services->loop, transaction_destroy, t);
}
