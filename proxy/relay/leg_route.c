/* SPDX-License-Identifier: Apache-2.0 */
/* See leg.h: the destination, from host to host, and which failure the client hears. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/leg_internal.h"

#define FAILURE_TEXT_MAX 2048

enum tls_level leg_level(const struct leg *l)
{
    INVARIANT(l->dest != NULL && l->target < l->dest->target_count);
    return l->dest->hosts[l->targets[l->target].host].demand.level;
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

/* A missing STARTTLS is seen in the answer to EHLO. */
static bool is_about_tls(enum stage stage, enum reason why)
{
    return (stage >= STAGE_STARTTLS && stage <= STAGE_CERT) || why == REASON_NO_STARTTLS ||
           why == REASON_STARTTLS_MASKED;
}

/* Where MTA-STS stands behind the refusal, the client hears which policy, which list and which host
 * (C-STS-11). */
static void add_policy(const struct leg *l, enum stage stage, enum reason why, struct buf *text)
{
    const struct destination_host *h;

    if (l->upstream == NULL || !is_about_tls(stage, why))
        return;
    h = upstream_attempt(l->upstream)->host;
    if (!destination_sts_holds(h) || destination_policy(l->dest) == NULL)
        return;
    (void)buf_addf(text, "%sMX %s; ", text->n > 0 ? "; " : "", h->name);
    destination_policy_text(l->dest, text);
}

/* The reason as the client hears it; what is lacking goes into the words. */
static enum reason told(const struct leg *l, enum reason why, struct buf *text)
{
    enum reason heard = demand_told(l->envelope->params.requiretls ? NEED_REQUIRETLS : 0u, why);
    struct buf before;

    if (heard == why)
        return why;
    buf_init(&before, FAILURE_TEXT_MAX);
    (void)buf_addf(&before, "%s%s%s", reason_info(why)->token, text->n > 0 ? ": " : "",
                   buf_cstr(text));
    buf_reset(text);
    (void)buf_add(text, buf_slice(&before));
    buf_clear(&before);
    return heard;
}

void leg_keep_failure(struct leg *l, enum stage stage, enum reason why, const struct reply *reply,
                      const char *detail)
{
    struct failure latest = {why, stage, 0};
    struct reply heard;
    struct buf text;

    buf_init(&text, FAILURE_TEXT_MAX);
    (void)buf_addf(&text, "%s", detail);
    add_policy(l, stage, why, &text);
    latest.reason = told(l, why, &text);
    reply_init(&heard);
    latest.code = failure_reply(l, stage, latest.reason, reply, buf_cstr(&text), &heard);
    if (failure_replaces(&l->kept, &latest)) {
        l->kept = latest;
        reply_move(&l->kept_reply, &heard);
        leg_note_host(l);
    }
    reply_clear(&heard);
    buf_clear(&text);
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

/* ---- from host to host ---- */

static void give_up(struct leg *l);

void leg_next_host(struct leg *l)
{
    upstream_close(&l->upstream);
    leg_retest_failed(l); /* it ended without a word about its rung */
    l->target++;
    if (l->target >= l->dest->target_count)
        give_up(l);
    else if (loop_now(l->services->loop) >= l->deadline)
        leg_hurry(l, REASON_BUDGET_SPENT);
    else
        leg_begin_target(l);
}

/* ---- the destination ---- */

static void die_of_destination(struct leg *l)
{
    enum reason why = l->dest->reason;

    /* RFC 7504: 556 is new; a client without EHLO may not know it (C-MX-04). */
    if (why == REASON_NULL_MX && !l->envelope->esmtp) {
        struct reply reply;

        reply_init(&reply);
        leg_reason_reply(l, why, l->dest->detail, &reply);
        reply_recode(&reply, 550);
        leg_die(l, &reply, why);
        reply_clear(&reply);
    } else {
        leg_die_of_reason(l, why, l->dest->detail);
    }
}

/* Hosts that policy forbids: each leaves a record, and one of them may be what the client hears. */
static void note_skipped(struct leg *l)
{
    for (size_t i = 0; i < l->dest->host_count; i++) {
        const struct destination_host *h = &l->dest->hosts[i];

        if (!destination_host_skipped(h))
            continue;
        skip_log(l->services->log, l->envelope, l->id, l->dest, h);
        leg_keep_failure(l, STAGE_POLICY, h->demand.skip, NULL, h->why_skipped);
        leg_set_mx(l, h->name);
        l->demand = tls_level_name(h->demand.level);
    }
}

/* ---- whom the client meant to reach ---- */

/* All accepted addresses count, also those beyond the number that is tried. */
static bool is_meant(const struct destination *d, const struct addr *original)
{
    for (size_t i = 0; i < d->host_count; i++)
        for (size_t k = 0; k < d->hosts[i].addr_count; k++)
            if (addr_same_ip(&d->hosts[i].addrs[k], original))
                return true;
    return false;
}

/* A caught client chose its MX by itself.  True: it may go on.  With a route it is our configuration that
 * chose. */
static bool check_redirect(struct leg *l)
{
    const struct envelope *e = l->envelope;
    bool enforce = e->redirect_check == REDIRECT_CHECK_ENFORCE;
    char text[ADDR_TEXT_MAX] = "unknown", detail[ADDR_TEXT_MAX + 64];
    struct record *r;

    if (e->redirect_check == REDIRECT_CHECK_OFF || l->dest->is_route ||
        l->dest->reason != REASON_OK ||
        (e->original.family != ADDR_NONE && is_meant(l->dest, &e->original)))
        return true;
    if (e->original.family != ADDR_NONE)
        (void)addr_text(&e->original, text);
    r = record_new("redirect", RECORD_WARNING, loop_wall());
    record_cstr(r, "session", e->session_id);
    record_cstr(r, "transaction", e->transaction_id);
    record_cstr(r, "leg", l->id);
    record_cstr(r, "client", e->client);
    record_cstr(r, "recipient_domain", l->dest->domain);
    record_cstr(r, "original", text);
    record_cstr(r, "check", enforce ? "refused" : "mismatch");
    record_cstr(r, "hint", reason_info(REASON_REDIRECT_MISMATCH)->hint);
    log_record(l->services->log, r);
    if (!enforce)
        return true;
    (void)snprintf(detail, sizeof(detail), "the client connected to %s", text);
    leg_die_of_reason(l, REASON_REDIRECT_MISMATCH, detail);
    return false;
}

static void on_destination(void *owner, const struct destination *d, int64_t waited)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);

    l->query = NULL;
    l->dest = d;
    l->dns_ms = waited;
    l->targets = mem_array(d->target_count + 1, sizeof(*l->targets));
    (void)destination_targets(d, l->services, l->targets);
    l->target = 0;
    if (!check_redirect(l))
        return;
    note_skipped(l);
    if (d->reason == REASON_OK)
        leg_begin_target(l);
    else if (l->kept.code != 0)
        give_up(l);
    else
        die_of_destination(l);
}

void leg_look(struct leg *l)
{
    struct mailbox recipient = {
        .domain = slice_str(l->domain), .is_literal = l->is_literal, .literal = l->literal};
    struct destination_wish wish = {.requiretls = l->envelope->params.requiretls,
                                    .observe = l->envelope->observe};

    l->phase = LEG_LOOKING;
    l->query = destinations_find(l->services->destinations, l->snapshot, &recipient, &wish,
                                 on_destination, l);
}

/* ---- the second look (RFC 8461 5.1, C-STS-11) ---- */

/* What would be answered is MTA-STS's doing: perhaps the domain has another policy by now. */
static bool sts_refused(const struct leg *l)
{
    const struct policy_entry *policy = destination_policy(l->dest);
    bool about_tls = is_about_tls(l->kept.stage, l->kept.reason);

    if (policy == NULL || policy->held.mode != STS_ENFORCE)
        return false;
    for (size_t i = 0; i < l->dest->host_count; i++) {
        const struct destination_host *h = &l->dest->hosts[i];

        if (destination_sts_holds(h) && (about_tls || h->demand.skip != REASON_OK))
            return true;
    }
    return false;
}

static bool same_policy(const struct policy_entry *a, const struct policy_entry *b)
{
    return a != NULL && b != NULL && strcmp(a->held.id, b->held.id) == 0 &&
           slice_eq(a->body, b->body);
}

static void on_second_look(void *owner, struct sts_found *found)
{
    struct leg *l = OBJ_CAST(leg, LEG_MAGIC, owner);
    bool same = same_policy(found->entry, l->dest->sts.entry);

    l->second_look = NULL;
    policy_entry_drop(&found->entry);
    if (same) {
        leg_die_kept(l);
        return;
    }
    l->kept = (struct failure){.code = 0};
    destination_drop(&l->dest);
    free(l->targets);
    l->targets = NULL;
    destinations_forget(l->services->destinations, l->domain);
    leg_look(l); /* the new policy is in the cache now */
}

static void give_up(struct leg *l)
{
    bool time_left = loop_now(l->services->loop) < l->deadline;

    if (l->looked_again || !time_left || !sts_refused(l)) {
        leg_die_kept(l);
        return;
    }
    l->looked_again = true;
    l->phase = LEG_LOOKING;
    l->second_look =
        sts_find(l->services->sts, l->snapshot, l->dest->policy_domain, true, on_second_look, l);
}
