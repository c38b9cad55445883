/* SPDX-License-Identifier: Apache-2.0 */
/* See leg.h: from the destination to an open envelope, by policy/verdict. */
#include <stdio.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/leg_internal.h"

static void leg_on_ready(void *owner);
static void leg_on_failed(void *owner, const struct upstream_failure *f);

static const struct upstream_events upstream_events = {
    .ready = leg_on_ready,
    .replied = leg_on_replied,
    .failed = leg_on_failed,
    .room = leg_on_room,
};

enum tls_level leg_level(const struct leg *l)
{
    INVARIANT(l->dest != NULL && l->target < l->dest->target_count);
    return l->dest->hosts[l->dest->targets[l->target].host].demand.level;
}

void leg_reason_reply(const struct leg *l, enum reason why, const char *detail, struct reply *out)
{
    char subject[512], at[ADDR_TEXT_MAX];

    if (l->upstream != NULL) {
        const struct attempt *a = upstream_attempt(l->upstream);

        (void)snprintf(subject, sizeof(subject), "%s[%s]", a->host->name, addr_text(&a->addr, at));
    } else {
        (void)snprintf(subject, sizeof(subject), "%s", l->domain);
    }
    reason_reply(why, slice_str(subject), detail[0] != '\0' ? slice_str(detail) : SLICE_NONE, out);
}

void leg_tls_refusal_reply(const struct leg *l, const struct reply *reply, struct reply *out)
{
    struct buf words;

    buf_init(&words, 1024);
    (void)buf_addf(&words, "%d ", reply->code);
    reply_oneline(reply, &words);
    leg_reason_reply(l, REASON_TLS_REQUIRED_BY_MX, buf_cstr(&words), out);
    buf_clear(&words);
}

/* The reply that the client would get if this failure decided: the MX's own words where it refused
 * the session or the mail (docs/policy.md, "Which answer the client hears"), else ours. */
static int failure_reply(const struct leg *l, enum stage stage, enum reason why,
                         const struct reply *reply, const char *detail, struct reply *out)
{
    int code = 0;

    if (reply != NULL && reply->code != 0 && why == REASON_MX_REFUSED)
        code = refusal_code(stage, reply->code, leg_level(l));
    else if (reply != NULL && reply->code != 0 && why == REASON_MX_REPLIED)
        code = reply->code == 421 ? 451 : reply->code;
    if (why == REASON_TLS_REQUIRED_BY_MX && reply != NULL) {
        leg_tls_refusal_reply(l, reply, out);
    } else if (code != 0 && code / 100 == reply->code / 100) {
        reply_copy(out, reply);
        if (code != reply->code)
            reply_recode(out, code);
    } else {
        leg_reason_reply(l, why, detail, out);
    }
    return out->code;
}

void leg_keep_failure(struct leg *l, enum stage stage, enum reason why, const struct reply *reply,
                      const char *detail)
{
    struct failure latest = {why, stage, 0};
    struct reply heard;

    reply_init(&heard);
    latest.code = failure_reply(l, stage, why, reply, detail, &heard);
    if (failure_replaces(&l->kept, &latest)) {
        l->kept = latest;
        reply_move(&l->kept_reply, &heard);
        leg_note_host(l);
    }
    reply_clear(&heard);
}

void leg_die_kept(struct leg *l)
{
    struct reply reply;

    reply_init(&reply);
    reply_move(&reply, &l->kept_reply);
    /* The host that decided was noted with the failure; the last one tried must not replace it. */
    upstream_close(&l->upstream);
    leg_die(l, &reply, l->kept.reason);
    reply_clear(&reply);
}

static void open_target(struct leg *l)
{
    struct upstream_params p = {
        .services = l->services,
        .dest = l->dest,
        .target = &l->dest->targets[l->target],
        .envelope = l->envelope,
        .leg_id = l->id,
        .number = ++l->attempts,
        .plaintext = l->plaintext,
        .deadline = l->deadline,
    };

    l->phase = LEG_OPENING;
    l->sent_count = 0;
    for (size_t i = 0; i < l->recipient_count; i++)
        if (l->recipients[i].state == RECIPIENT_SENT)
            l->recipients[i].state = RECIPIENT_WAITING; /* its host is gone: ask the next one */
    l->upstream = upstream_open(&p, &upstream_events, l);
}

void leg_next_host(struct leg *l, bool plaintext)
{
    upstream_close(&l->upstream);
    l->plaintext = plaintext;
    if (!plaintext)
        l->target++;
    if (l->target >= l->dest->target_count || loop_now(l->services->loop) >= l->deadline)
        leg_die_kept(l);
    else
        open_target(l);
}

void leg_on_destination(void *owner, struct destination *d)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->query = NULL;
    l->dest = d;
    if (d->reason != REASON_OK) {
        enum reason why = d->reason;

        /* RFC 7504: 556 is new; a client without EHLO may not know it (C-MX-04). */
        if (why == REASON_NULL_MX && !l->envelope->esmtp) {
            struct reply reply;

            reply_init(&reply);
            leg_reason_reply(l, why, d->detail, &reply);
            reply_recode(&reply, 550);
            leg_die(l, &reply, why);
            reply_clear(&reply);
        } else {
            leg_die_of_reason(l, why, d->detail);
        }
        return;
    }
    open_target(l);
}

static void leg_on_ready(void *owner)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->phase = LEG_ENVELOPE;
    upstream_mail(l->upstream);
    for (size_t i = 0; i < l->recipient_count && l->phase == LEG_ENVELOPE; i++)
        if (l->recipients[i].state == RECIPIENT_WAITING)
            leg_send_recipient(l, i);
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

    if (may_move && v.step == VERDICT_PLAINTEXT && !l->plaintext) {
        leg_keep_failure(l, f->stage, f->reason, f->reply, f->detail);
        leg_next_host(l, true);
    } else if (may_move && (v.step == VERDICT_NEXT_HOST || v.step == VERDICT_PLAINTEXT)) {
        leg_keep_failure(l, f->stage, f->reason, f->reply, f->detail);
        leg_next_host(l, false);
    } else {
        leg_die_of_reason(l, f->reason, f->detail);
    }
}
