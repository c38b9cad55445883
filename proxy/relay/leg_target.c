/* SPDX-License-Identifier: Apache-2.0 */
/* See leg.h: one address, by the rungs of the ladder (C-TLS-06) and by policy/verdict, to an open envelope. */
#include "proxy/base/invariant.h"
#include "proxy/relay/leg_internal.h"

static void leg_on_ready(void *owner);
static void leg_on_failed(void *owner, const struct upstream_failure *f);

static const struct upstream_events upstream_events = {
    .ready = leg_on_ready,
    .replied = leg_on_replied,
    .failed = leg_on_failed,
    .room = leg_on_room,
};

static const struct mx_target *target_of(const struct leg *l)
{
    return &l->targets[l->target];
}

static const struct demand *demand_of(const struct leg *l)
{
    return &l->dest->hosts[target_of(l)->host].demand;
}

static bool may_be_clear(const struct leg *l)
{
    return demand_of(l)->level == LEVEL_MAY && demand_of(l)->needs == 0;
}

static bool next_rung(const struct leg *l, enum tls_rung *out)
{
    return demand_of(l)->level != LEVEL_NONE &&
           ladder_next(l->rung, may_be_clear(l), demand_of(l)->min_version != TLS_VERSION_1_3, out);
}

static int64_t ladder_ttl(const struct leg *l)
{
    return snapshot_settings(l->snapshot)->tls.ladder_ttl;
}

/* Why the present attempt is in clear; of a rung that is only remembered the cause is forgotten. */
static enum reason why_clear(const struct leg *l)
{
    if (l->fell)
        return l->why_fell;
    return l->rung == RUNG_CLEAR ? REASON_TLS_PROTOCOL : REASON_OK;
}

/* On a connection that waits for a mail, where there is one and it was not just found dead. */
static void open_target(struct leg *l, bool fresh)
{
    enum tls_rung lower;
    struct upstream_params p = {
        .services = l->services,
        .dest = l->dest,
        .target = target_of(l),
        .envelope = l->envelope,
        .leg_id = l->id,
        .number = ++l->attempts,
        .rung = l->rung,
        .retest = l->retest,
        .lower_left = next_rung(l, &lower),
        .why_clear = why_clear(l),
        .deadline = l->deadline,
        .dns_ms = l->dns_ms,
    };

    l->phase = LEG_OPENING;
    l->sent_count = 0;
    l->data_sent = false;
    reply_clear(&l->data_reply);
    for (size_t i = 0; i < l->recipient_count; i++)
        if (l->recipients[i].state == RECIPIENT_SENT)
            l->recipients[i].state = RECIPIENT_WAITING; /* its host is gone: ask the next one */
    l->upstream = fresh ? NULL : upstream_take(&p, &upstream_events, l);
    if (l->upstream == NULL)
        l->upstream = upstream_open(&p, &upstream_events, l);
}

/* A new address: begin at the rung that is known to work there.  Observe mode has to see why a
 * handshake fails, so it never begins in clear. */
void leg_begin_target(struct leg *l)
{
    bool clear = may_be_clear(l) && demand_of(l)->observed == OBSERVED_NOWHERE;
    struct ladder_choice c = {RUNG_FULL, false};

    if (demand_of(l)->level != LEVEL_NONE)
        c = rungs_begin(l->services->rungs, &target_of(l)->addr, clear, loop_wall());
    if (c.rung == RUNG_TLS12 && demand_of(l)->min_version == TLS_VERSION_1_3)
        c.rung = RUNG_COMPACT;
    l->rung = c.rung;
    l->retest = c.retest;
    l->fell = false;
    l->learns = true;
    open_target(l, false);
}

void leg_retest_failed(struct leg *l)
{
    if (l->retest)
        rungs_retest_failed(l->services->rungs, &target_of(l)->addr, ladder_ttl(l), loop_wall());
    l->retest = false;
}

/* The same address again at `rung`, because of `why`.  What works there is worth remembering; not so
 * where a certificate was the trouble (C-TLS-06). */
static void fall_to(struct leg *l, enum tls_rung rung, enum reason why)
{
    upstream_close(&l->upstream);
    if (!l->fell)
        l->why_fell = why;
    leg_retest_failed(l);
    l->fell = true;
    l->learns = !reason_is_certificate(why);
    l->rung = rung;
    if (loop_now(l->services->loop) >= l->deadline)
        leg_hurry(l, REASON_BUDGET_SPENT);
    else
        open_target(l, true);
}

void leg_connect_anew(struct leg *l)
{
    open_target(l, true);
}

void leg_rung_worked(struct leg *l)
{
    if (l->learns)
        rungs_worked(l->services->rungs, &target_of(l)->addr, l->rung, l->fell, ladder_ttl(l),
                     loop_wall());
    l->retest = false;
}

void leg_rung_forget(struct leg *l)
{
    rungs_forget(l->services->rungs, &target_of(l)->addr);
}

void leg_wake(struct leg *l)
{
    l->kept = (struct failure){.code = 0};
    leg_begin_target(l);
}

void leg_rest(struct leg *l)
{
    if (l->phase != LEG_ENVELOPE || l->accepted > 0 || l->unanswered > 0)
        return;
    leg_note_host(l);
    upstream_finish(&l->upstream);
    l->phase = LEG_RESTING;
}

/* ---- events of the upstream ---- */

static void leg_on_ready(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->phase = LEG_ENVELOPE;
    if (upstream_attempt(l->upstream)->tls->reached.tls && !upstream_reused(l->upstream))
        leg_rung_worked(l);
    upstream_mail(l->upstream);
    for (size_t i = 0; i < l->recipient_count && l->phase == LEG_ENVELOPE; i++)
        if (l->recipients[i].state == RECIPIENT_WAITING)
            leg_send_recipient(l, i);
    if (l->data_follows && l->phase == LEG_ENVELOPE && l->unanswered > 0)
        leg_send_data_ahead(l);
}

/* It died while it waited, and nothing was lost by that (C-OUT-08). */
static bool died_idle(const struct leg *l)
{
    return upstream_is_stale(l->upstream) && l->phase <= LEG_ENVELOPE && l->accepted == 0 &&
           l->unanswered > 0 && loop_now(l->services->loop) < l->deadline;
}

/* It answered and then went away, before anybody was accepted: the MX may have had enough of it. */
static bool is_worn(const struct leg *l, enum reason why)
{
    return upstream_reused(l->upstream) && why == REASON_LOST && l->phase <= LEG_ENVELOPE &&
           l->accepted == 0 && l->unanswered > 0 && loop_now(l->services->loop) < l->deadline;
}

/* The upstream is dead.  Before a recipient was accepted another host may do; afterwards the leg is
 * lost. */
static void leg_on_failed(void *owner, const struct upstream_failure *f)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);
    int code = f->reply != NULL ? f->reply->code : 0;
    struct verdict v =
        verdict_decide(f->stage, outcome_of_reason(f->reason, code), leg_level(l), l->accepted > 0);
    bool may_move = l->phase <= LEG_ENVELOPE && l->accepted == 0 && l->unanswered > 0;
    enum tls_rung lower;

    if (died_idle(l)) {
        upstream_discard(&l->upstream);
        leg_connect_anew(l);
        return;
    }
    if (is_worn(l, f->reason)) {
        upstream_close(&l->upstream);
        leg_connect_anew(l);
        return;
    }
    if (l->phase == LEG_ENVELOPE && l->accepted == 0 && l->unanswered == 0) {
        leg_note_host(l);
        upstream_close(&l->upstream); /* nothing is lost: it had refused everybody */
        l->phase = LEG_RESTING;
        return;
    }
    if (f->stage == STAGE_CERT && (l->fell || l->retest))
        leg_rung_worked(l); /* the hello was answered; what came was no good */
    if (!may_move || (v.step != VERDICT_LOWER_RUNG && v.step != VERDICT_PLAINTEXT &&
                      v.step != VERDICT_NEXT_HOST)) {
        leg_die_of_reason(l, f->reason, f->detail);
        return;
    }
    /* The highest rung tells the trouble; that a hello which offers less does not fit either says
     * less ("no common TLS version" of an MX that knows TLS 1.3 only). */
    if (!l->fell || f->stage != STAGE_HANDSHAKE)
        leg_keep_failure(l, f->stage, f->reason, f->reply, f->detail);
    if (v.step == VERDICT_LOWER_RUNG && next_rung(l, &lower))
        fall_to(l, lower, f->reason);
    else if (v.step == VERDICT_PLAINTEXT && l->rung != RUNG_CLEAR && may_be_clear(l))
        fall_to(l, RUNG_CLEAR, f->reason);
    else
        leg_next_host(l);
}
