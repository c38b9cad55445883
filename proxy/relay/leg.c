/* SPDX-License-Identifier: Apache-2.0 */
/* See leg.h: the owner's calls, and what it is told; the MX's replies are leg_reply.c, which host comes next
 * is leg_route.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/leg_internal.h"

/* ---- answers ---- */

struct leg_answer leg_answer_of(struct leg *l, const struct reply *reply, enum reason why)
{
    struct leg_answer a = {reply, why, l->mx, l->address, l->tls, l->demand, l->would_defer};

    return a;
}

/* Its own copy: the destination may be found anew. */
void leg_set_mx(struct leg *l, const char *name)
{
    if (strcmp(l->mx, name) == 0)
        return;
    free(l->mx);
    l->mx = mem_strdup(name);
}

void leg_note_host(struct leg *l)
{
    const struct attempt *a;

    if (l->upstream == NULL)
        return;
    a = upstream_attempt(l->upstream);
    leg_set_mx(l, a->host->name);
    (void)addr_text(&a->addr, l->address);
    l->tls = attempt_tls_name(a);
    l->demand = tls_level_name(a->host->demand.level);
    l->would_defer = attempt_would_defer(a);
}

void leg_answer_recipient(struct leg *l, struct leg_recipient_state *r, const struct reply *reply,
                          enum reason why)
{
    struct leg_answer answer;

    INVARIANT(r->state == RECIPIENT_WAITING || r->state == RECIPIENT_SENT);
    if (reply->code >= 200 && reply->code < 300) {
        r->state = RECIPIENT_ACCEPTED;
        l->accepted++;
    } else {
        r->state = RECIPIENT_REFUSED;
    }
    l->unanswered--;
    answer = leg_answer_of(l, reply, why);
    l->on.recipient(l->owner, r->slot, &answer);
}

void leg_rearm_budget(struct leg *l)
{
    mono_ms first = 0;

    for (size_t i = 0; i < l->recipient_count; i++) {
        const struct leg_recipient_state *r = &l->recipients[i];

        if ((r->state == RECIPIENT_WAITING || r->state == RECIPIENT_SENT) &&
            (first == 0 || r->deadline < first))
            first = r->deadline;
    }
    l->deadline = first;
    if (first == 0)
        timer_disarm(l->budget);
    else
        timer_arm(l->budget, first - loop_now(l->services->loop) + BUDGET_GRACE_MS);
    if (first != 0 && l->upstream != NULL)
        upstream_budget(l->upstream, first);
}

/* Nothing more can come of this leg: everybody who waits hears why. */
void leg_die(struct leg *l, const struct reply *reply, enum reason why)
{
    enum leg_phase was = l->phase;

    if (was == LEG_DEAD)
        return;
    leg_note_host(l);
    reply_copy(&l->last_reply, reply);
    l->last_reason = why;
    l->phase = LEG_DEAD;
    timer_disarm(l->budget);
    destinations_cancel(&l->query);
    sts_cancel(&l->second_look);
    upstream_close(&l->upstream);
    for (size_t i = 0; i < l->recipient_count && l->unanswered > 0; i++) {
        struct leg_recipient_state *r = &l->recipients[i];

        if (r->state == RECIPIENT_WAITING || r->state == RECIPIENT_SENT)
            leg_answer_recipient(l, r, &l->last_reply, why);
    }
    if (was == LEG_DATA) {
        struct leg_answer a = leg_answer_of(l, &l->last_reply, why);

        l->on.data(l->owner, &a);
    } else if (was == LEG_BODY) {
        l->on.room(l->owner); /* what follows is dropped: let it come */
    } else if (was == LEG_FINAL) {
        struct leg_answer a = leg_answer_of(l, &l->last_reply, why);

        l->on.final(l->owner, &a);
    }
}

void leg_die_of_reason(struct leg *l, enum reason why, const char *detail)
{
    struct reply reply;

    reply_init(&reply);
    leg_reason_reply(l, why, detail, &reply);
    leg_die(l, &reply, why);
    reply_clear(&reply);
}

void leg_on_room(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->on.room(l->owner);
}

/* ---- the owner's calls ---- */

/* Send a recipient that waits; only while the envelope is open. */
void leg_send_recipient(struct leg *l, size_t index)
{
    struct leg_recipient_state *r = &l->recipients[index];

    l->sent = mem_resize(l->sent, l->sent_count + 1, sizeof(*l->sent));
    l->sent[l->sent_count++] = index;
    r->state = RECIPIENT_SENT;
    upstream_rcpt(l->upstream, slice_str(r->path));
}

static void answer_dead_later(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->answering = false;
    if (l->freed)
        return;
    for (size_t i = 0; i < l->recipient_count; i++)
        if (l->recipients[i].state == RECIPIENT_WAITING && l->phase == LEG_DEAD)
            leg_answer_recipient(l, &l->recipients[i], &l->last_reply, l->last_reason);
}

static void budget_over(void *owner)
{
    leg_hurry(OBJ_CAST(leg, LEG_MAGIC, owner), REASON_BUDGET_SPENT);
}

struct leg *leg_new(struct services *sv, struct snapshot *snap, const struct envelope *envelope,
                    unsigned number, const struct mailbox *first, const struct leg_events *on,
                    void *owner)
{
    struct leg *l = mem_zalloc(sizeof(*l));
    char normal[DOMAIN_MAX + 1];

    l->magic = LEG_MAGIC;
    l->services = sv;
    l->snapshot = snapshot_hold(snap);
    l->envelope = envelope;
    l->on = *on;
    l->owner = owner;
    l->phase = LEG_LOOKING;
    l->is_literal = first->is_literal;
    if (first->is_literal || !domain_normalise(first->domain, normal))
        l->domain = slice_dup(first->domain);
    else
        l->domain = mem_strdup(normal);
    l->mx = mem_strdup("");
    l->tls = l->demand = "";
    (void)snprintf(l->id, sizeof(l->id), "%s-%u", envelope->transaction_id, number);
    reply_init(&l->last_reply);
    reply_init(&l->kept_reply);
    reply_init(&l->data_reply);
    l->budget = timer_new(sv->loop, budget_over, l);
    l->literal = first->literal;
    leg_look(l);
    return l;
}

bool leg_serves(const struct leg *l, const struct mailbox *recipient)
{
    if (l->is_literal != recipient->is_literal)
        return false;
    return domain_eq(slice_str(l->domain), recipient->domain);
}

void leg_recipient(struct leg *l, unsigned slot, struct slice path)
{
    struct leg_recipient_state *r;
    int64_t span = snapshot_settings(l->snapshot)->timeouts.recipient_budget;

    INVARIANT(!l->data_follows);
    l->recipients = mem_resize(l->recipients, l->recipient_count + 1, sizeof(*l->recipients));
    r = &l->recipients[l->recipient_count++];
    memset(r, 0, sizeof(*r));
    r->slot = slot;
    r->path = slice_dup(path);
    r->state = RECIPIENT_WAITING;
    r->deadline = loop_now(l->services->loop) + span;
    l->unanswered++;
    if (l->phase == LEG_DEAD) {
        if (!l->answering)
            loop_defer(l->services->loop, answer_dead_later, l);
        l->answering = true;
        return;
    }
    if (l->phase == LEG_ENVELOPE)
        leg_send_recipient(l, l->recipient_count - 1);
    if (l->phase != LEG_DEAD)
        leg_rearm_budget(l);
    if (l->phase == LEG_RESTING)
        leg_wake(l);
}

static void tell_data_dead(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);
    struct leg_answer a;

    if (l->freed)
        return;
    a = leg_answer_of(l, &l->last_reply, l->last_reason);
    l->on.data(l->owner, &a);
}

void leg_share(struct leg *l, size_t legs)
{
    if (l->phase == LEG_ENVELOPE)
        upstream_share(l->upstream, legs);
}

/* The MX answered DATA before the client's turn to hear it came. */
static void tell_data_ahead(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);
    struct reply reply;

    if (l->freed || l->phase != LEG_DATA)
        return;
    reply_init(&reply);
    reply_move(&reply, &l->data_reply);
    leg_on_replied(l, OUTBOUND_DATA, 0, &reply);
    reply_clear(&reply);
}

void leg_data(struct leg *l)
{
    if (l->phase == LEG_DEAD) {
        loop_defer(l->services->loop, tell_data_dead, l);
        return;
    }
    INVARIANT(l->phase == LEG_ENVELOPE && l->accepted > 0);
    l->phase = LEG_DATA;
    if (!l->data_sent)
        upstream_data(l->upstream);
    else if (l->data_reply.code != 0)
        loop_defer(l->services->loop, tell_data_ahead, l);
}

void leg_data_follows(struct leg *l)
{
    l->data_follows = true;
    if (l->phase == LEG_ENVELOPE && l->unanswered > 0)
        leg_send_data_ahead(l);
}

void leg_send_data_ahead(struct leg *l)
{
    l->data_sent = true;
    upstream_data_ahead(l->upstream);
}

void leg_body(struct leg *l, struct slice content)
{
    if (l->phase == LEG_BODY)
        upstream_body(l->upstream, content);
}

bool leg_carries(const struct leg *l)
{
    return l->phase == LEG_BODY;
}

bool leg_has_room(const struct leg *l)
{
    return l->phase != LEG_BODY || upstream_has_room(l->upstream);
}

static void tell_final_dead(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);
    struct leg_answer a;

    if (l->freed)
        return;
    a = leg_answer_of(l, &l->last_reply, l->last_reason);
    l->on.final(l->owner, &a);
}

void leg_end(struct leg *l)
{
    if (l->phase == LEG_DEAD) {
        loop_defer(l->services->loop, tell_final_dead, l);
        return;
    }
    INVARIANT(l->phase == LEG_BODY);
    l->phase = LEG_FINAL;
    upstream_end(l->upstream);
}

void leg_fail(struct leg *l, enum reason why)
{
    if (l->phase == LEG_DEAD)
        return;
    if (l->upstream != NULL) {
        struct attempt *a = upstream_attempt(l->upstream);

        a->reason = why;
        a->outcome = "failed";
        a->stage = upstream_stage(l->upstream);
    }
    leg_die_of_reason(l, why, "");
}

void leg_hurry(struct leg *l, enum reason why)
{
    if (l->phase == LEG_DEAD)
        return;
    /* A refusal for good is the domain's only when all its hosts were asked. */
    if (l->kept.code != 0 && l->kept.code / 100 != 5)
        leg_die_kept(l);
    else
        leg_fail(l, why);
}

bool leg_in_doubt(const struct leg *l)
{
    return l->phase == LEG_FINAL;
}

void leg_abandon(struct leg *l, enum reason why)
{
    if (l->phase == LEG_DEAD)
        return;
    if (l->upstream != NULL) {
        struct attempt *a = upstream_attempt(l->upstream);

        /* A refusal by the MX says more than the client's farewell, a doubt more than both. */
        if (a->reason == REASON_OK || leg_in_doubt(l)) {
            a->reason = why;
            a->outcome = "abandoned";
            a->stage = upstream_stage(l->upstream);
        }
        leg_note_host(l);
    }
    l->last_reason = why;
    timer_disarm(l->budget);
    destinations_cancel(&l->query);
    sts_cancel(&l->second_look);
    /* Before the body a polite QUIT; in it only the cut says that there is no message (C-OUT-07).
     */
    if (l->phase == LEG_ENVELOPE && l->unanswered == 0)
        upstream_finish(&l->upstream);
    else
        upstream_close(&l->upstream);
    leg_reason_reply(l, why, "", &l->last_reply);
    l->phase = LEG_DEAD;
}

size_t leg_memory(const struct leg *l)
{
    size_t n = sizeof(*l) + l->sent_count * sizeof(*l->sent) + l->kept_reply.text.size +
               l->last_reply.text.size + l->data_reply.text.size + strlen(l->domain) +
               strlen(l->mx);

    if (l->targets != NULL)
        n += l->dest->target_count * sizeof(*l->targets);
    for (size_t i = 0; i < l->recipient_count; i++)
        n += sizeof(l->recipients[i]) + strlen(l->recipients[i].path);
    return n;
}

const char *leg_id(const struct leg *l)
{
    return l->id;
}

static void leg_destroy(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    for (size_t i = 0; i < l->recipient_count; i++)
        free(l->recipients[i].path);
    free(l->recipients);
    free(l->sent);
    destination_drop(&l->dest);
    free(l->targets);
    free(l->domain);
    free(l->mx);
    reply_clear(&l->last_reply);
    reply_clear(&l->kept_reply);
    reply_clear(&l->data_reply);
    snapshot_drop(&l->snapshot);
    timer_free(&l->budget);
    l->magic = 0;
    free(l);
}

void leg_free(struct leg **held)
{
    struct leg *l = *held;

    *held = NULL;
    if (l == NULL)
        return;
    leg_abandon(l, REASON_CLIENT_RESET);
    l->freed = true;
    l->phase = LEG_DEAD;
    loop_defer(l->services->loop, leg_destroy, l);
}
