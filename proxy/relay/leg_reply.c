/* SPDX-License-Identifier: Apache-2.0 */
/* See leg.h: what the MX's replies mean for the recipients and for the leg. */
#include "proxy/base/invariant.h"
#include "proxy/relay/leg_internal.h"

/* The MX's refusal as the client hears it.  TLS that the MX demands in a clear session is our
 * trouble, not the mail's: temporary (C-TLS-11). */
static enum reason refusal_reason(struct leg *l, const struct reply *reply)
{
    /* Not the stream's word: one that a reset has ended is under TLS no more. */
    bool clear = !upstream_attempt(l->upstream)->tls->reached.tls;

    if (reply->origin == REPLY_FROM_US)
        return REASON_SIZE_EXCEEDED;
    return clear && reply_is_tls_refusal(reply) ? REASON_TLS_REQUIRED_BY_MX : REASON_MX_REPLIED;
}

/* The MX answered about this mail: note it in the attempt, and give the reply that the client
 * hears. */
static enum reason take_refusal(struct leg *l, enum stage stage, const struct reply *reply,
                                struct reply *out)
{
    struct attempt *a = upstream_attempt(l->upstream);
    enum reason why = refusal_reason(l, reply);

    a->stage = stage;
    a->reason = why;
    a->outcome = "refused";
    reply_copy(&a->reply, reply);
    if (why == REASON_TLS_REQUIRED_BY_MX) {
        leg_tls_refusal_reply(l, reply, out);
        leg_rung_forget(l);
    } else
        reply_copy(out, reply);
    return why;
}

/* What the table says to this reply; a late demand for TLS sends us on as any trouble with TLS does. */
static enum verdict_step step_after(struct leg *l, enum stage stage, const struct reply *reply)
{
    enum outcome outcome = refusal_reason(l, reply) == REASON_TLS_REQUIRED_BY_MX
                               ? OUTCOME_NO_TLS
                               : outcome_of_reply(reply->code);

    return verdict_decide(stage, outcome, leg_level(l), l->accepted > 0).step;
}

/* An MX may have enough of a connection, or take one mail for each, and say so with 421, 4xx or even 5xx:
 * only a fresh one gives its true answer to this mail.  A mail must not bounce because we saved a handshake. */
static bool tired(const struct leg *l, const struct reply *reply)
{
    return upstream_reused(l->upstream) && reply->code >= 400 && l->accepted == 0;
}

static void on_mail_reply(struct leg *l, const struct reply *reply)
{
    enum verdict_step step = step_after(l, STAGE_MAIL, reply);
    struct reply heard;
    enum reason why;

    if (step == VERDICT_GO_ON)
        return;
    reply_init(&heard);
    why = take_refusal(l, STAGE_MAIL, reply, &heard);
    if (why == REASON_MX_REPLIED && tired(l, reply)) {
        upstream_close(&l->upstream);
        leg_connect_anew(l);
    } else if (step == VERDICT_NEXT_HOST && l->accepted == 0) {
        leg_keep_failure(l, STAGE_MAIL, why, reply, "");
        leg_next_host(l);
    } else {
        /* An answer about this mail: every recipient of the leg hears it (C-OUT-06). */
        leg_note_host(l);
        upstream_finish(&l->upstream);
        leg_die(l, &heard, why);
    }
    reply_clear(&heard);
}

static void on_rcpt_reply(struct leg *l, unsigned index, const struct reply *reply)
{
    struct leg_recipient_state *r;
    struct reply heard;
    enum reason why = REASON_OK;

    INVARIANT(index < l->sent_count);
    r = &l->recipients[l->sent[index]];
    if (r->state != RECIPIENT_SENT)
        return;
    leg_note_host(l);
    reply_init(&heard);
    if (outcome_of_reply(reply->code) == OUTCOME_OK)
        reply_lend(&heard, reply);
    else
        why = take_refusal(l, STAGE_RCPT, reply, &heard);
    if (reply->code == 421 && tired(l, reply)) {
        upstream_close(&l->upstream);
        leg_connect_anew(l); /* with all that are not answered */
    } else if (step_after(l, STAGE_RCPT, reply) == VERDICT_NEXT_HOST && l->accepted == 0) {
        leg_keep_failure(l, STAGE_RCPT, why, reply, "");
        leg_next_host(l); /* this recipient too */
    } else {
        leg_answer_recipient(l, r, &heard, why);
        leg_rearm_budget(l);
    }
    reply_clear(&heard);
}

static void on_data_reply(struct leg *l, const struct reply *reply)
{
    struct leg_answer a;
    struct reply heard;

    if (l->phase == LEG_ENVELOPE) { /* ahead of leg_data(), which will tell it */
        reply_copy(&l->data_reply, reply);
        return;
    }
    leg_note_host(l);
    if (reply->code == 354) {
        l->phase = LEG_BODY;
        a = leg_answer_of(l, reply, REASON_OK);
        l->on.data(l->owner, &a);
        return;
    }
    reply_init(&heard);
    l->last_reason = take_refusal(l, STAGE_DATA, reply, &heard);
    reply_move(&l->last_reply, &heard);
    l->phase = LEG_DEAD;
    upstream_finish(&l->upstream);
    a = leg_answer_of(l, &l->last_reply, l->last_reason);
    l->on.data(l->owner, &a);
    reply_clear(&heard);
}

static void on_final_reply(struct leg *l, const struct reply *reply)
{
    struct attempt *at = upstream_attempt(l->upstream);
    struct leg_answer a;

    leg_note_host(l);
    if (outcome_of_reply(reply->code) == OUTCOME_OK) {
        l->last_reason = REASON_OK;
        at->stage = STAGE_FINAL;
        at->reason = REASON_OK;
        at->outcome = "delivered";
        at->detail[0] = '\0';
        reply_copy(&at->reply, reply);
        reply_copy(&l->last_reply, reply);
        if (l->rung == RUNG_CLEAR)
            leg_rung_worked(l);
    } else {
        struct reply heard;

        reply_init(&heard);
        l->last_reason = take_refusal(l, STAGE_FINAL, reply, &heard);
        reply_move(&l->last_reply, &heard);
        reply_clear(&heard);
    }
    l->phase = LEG_DEAD;
    upstream_finish(&l->upstream);
    a = leg_answer_of(l, &l->last_reply, l->last_reason);
    l->on.final(l->owner, &a);
}

void leg_on_replied(void *owner, enum outbound_command command, unsigned index,
                    const struct reply *reply)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    if (l->phase == LEG_DEAD || l->upstream == NULL)
        return;
    switch (command) {
    case OUTBOUND_MAIL:
        on_mail_reply(l, reply);
        break;
    case OUTBOUND_RCPT:
        on_rcpt_reply(l, index, reply);
        break;
    case OUTBOUND_DATA:
        on_data_reply(l, reply);
        break;
    case OUTBOUND_END:
        on_final_reply(l, reply);
        break;
    }
}
