/* SPDX-License-Identifier: Apache-2.0 */
/* See attempt.h; the fields are documented in docs/log.md in the same order. */
#include "proxy/relay/attempt.h"

#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/loop.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define REPLY_LOG_MAX 2048

void attempt_init(struct attempt *a)
{
    memset(a, 0, sizeof(*a));
    reply_init(&a->reply);
    a->stage = STAGE_CONNECT;
    a->reason = REASON_OK;
    a->outcome = "abandoned";
    a->t_connect = a->t_greeting = a->t_tls = a->t_mail = a->t_data = a->t_final = -1;
}

void attempt_clear(struct attempt *a)
{
    reply_clear(&a->reply);
}

static void put_ms(struct record *r, const char *key, int64_t ms)
{
    if (ms >= 0)
        record_int(r, key, ms);
}

static void put_nonempty(struct record *r, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        record_cstr(r, key, value);
}

static void put_reply(struct record *r, const char *key, const struct reply *reply)
{
    struct buf line;

    if (reply == NULL || reply->code == 0)
        return;
    buf_init(&line, REPLY_LOG_MAX + 16);
    (void)buf_addf(&line, "%d ", reply->code);
    reply_oneline(reply, &line);
    record_str(r, key, buf_slice(&line));
    buf_clear(&line);
}

static void put_envelope(struct record *r, const struct envelope *e, const char *leg)
{
    record_cstr(r, "session", e->session_id);
    record_cstr(r, "transaction", e->transaction_id);
    record_cstr(r, "leg", leg);
    put_nonempty(r, "queue_id", e->queue_id);
    record_cstr(r, "client", e->client);
}

static void put_certificate(struct record *r, const struct attempt *a)
{
    const struct judgement *j = &a->tls->judgement;
    const struct cert_facts *leaf = j->fact_count > 0 ? &j->facts[0] : NULL;
    struct slice also[4];
    char text[INSTANT_TEXT_MAX];

    if (leaf != NULL) {
        struct slice names[FACT_NAMES_MAX];
        size_t count = leaf->names_kept < FACT_NAMES_MAX ? leaf->names_kept : FACT_NAMES_MAX;

        for (size_t i = 0; i < count; i++)
            names[i] = slice_str(leaf->names[i]);
        put_nonempty(r, "cert_subject", leaf->subject);
        record_list(r, "cert_names", names, count);
        put_nonempty(r, "cert_issuer", leaf->issuer);
        record_cstr(r, "cert_not_before", instant_text(leaf->not_before, text));
        record_cstr(r, "cert_not_after", instant_text(leaf->not_after, text));
        record_int(r, "cert_days_left", (leaf->not_after - loop_wall()) / DAY_MS);
        record_strf(r, "cert_key", "%s %d", leaf->key, leaf->key_bits);
        put_nonempty(r, "cert_signature", leaf->signature);
        put_nonempty(r, "cert_sha256", leaf->sha256);
        put_nonempty(r, "cert_spki_sha256", leaf->spki_sha256);
    }
    record_int(r, "chain_length", (int64_t)j->fact_count);
    record_cstr(r, "verify", reason_info(j->reason)->token);
    put_nonempty(r, "verify_detail", j->detail);
    for (size_t i = 0; i < j->also_count; i++)
        also[i] = slice_str(reason_info(j->also[i])->token);
    record_list(r, "verify_also", also, j->also_count);
    put_nonempty(r, "matched_name", j->matched_name);
    record_bool(r, "pinned", j->pinned);
    record_cstr(r, "ocsp", ocsp_status_name(j->ocsp));
    if (j->must_staple_missing)
        record_bool(r, "must_staple_missing", true);
    put_nonempty(r, "anchor", j->anchor);
}

const char *attempt_tls_name(const struct attempt *a)
{
    if (a->handshake)
        return a->tls->version != NULL ? a->tls->version : "";
    return a->smtp != NULL && a->t_mail >= 0 ? "clear" : "";
}

/* On a connection that was there already its own record has greeting, offers and certificate. */
static void put_negotiation(struct record *r, const struct attempt *a)
{
    if (a->reused) {
        record_bool(r, "reused", true);
        record_cstr(r, "connection", a->opener);
        record_int(r, "mail", a->mail);
        if (a->smtp->body_undeclared)
            record_bool(r, "body_undeclared", true);
    } else if (a->smtp != NULL) {
        put_nonempty(r, "greeting", a->smtp->greeting);
        put_nonempty(r, "ehlo", a->smtp->ehlo_reply);
        if (a->smtp->ehlo_reply[0] != '\0' || a->smtp->helo_only)
            record_bool(r, "starttls_offered", a->smtp->starttls_offered);
        if (a->smtp->starttls_refused)
            put_nonempty(r, "starttls_reply", a->smtp->starttls_reply);
        if (a->smtp->masked)
            record_bool(r, "middlebox", true);
        if (a->smtp->helo_only)
            record_bool(r, "helo_only", true);
        if (a->smtp->body_undeclared)
            record_bool(r, "body_undeclared", true);
    }
    if (a->downgraded)
        record_bool(r, "downgraded", true);
    put_nonempty(r, "tls", attempt_tls_name(a));
    if (!a->handshake)
        return;
    put_nonempty(r, "cipher", a->tls->cipher);
    put_nonempty(r, "group", a->tls->group);
    put_nonempty(r, "sigalg", a->tls->signature);
    record_bool(r, "resumed", a->tls->resumed);
    if (a->tls->judged && a->reused)
        record_cstr(r, "verify", reason_info(a->tls->judgement.reason)->token);
    else if (a->tls->judged)
        put_certificate(r, a);
}

/* ---- what each policy would say of this connection ---- */

/* How the handshake that was begun failed; OK: it did not, or it was left in the middle.  One that
 * stalls is ended by the clock, and TLS itself has no word about it. */
static enum reason handshake_failure(const struct attempt *a)
{
    if (a->tls->reached.tls || a->tls->reason != REASON_OK)
        return a->tls->reason;
    return reason_info(a->reason)->stage == STAGE_HANDSHAKE ? a->reason : REASON_OK;
}

/* Far enough to know whether there is TLS? */
static bool tls_was_decided(const struct attempt *a)
{
    if (a->handshake)
        return a->tls->reached.tls || handshake_failure(a) != REASON_OK;
    return a->why_clear != REASON_OK ||
           (a->smtp != NULL && (a->smtp->ehlo_reply[0] != '\0' || a->smtp->helo_only));
}

static enum reason why_no_tls(const struct attempt *a)
{
    if (a->handshake)
        return handshake_failure(a);
    if (a->why_clear != REASON_OK)
        return a->why_clear;
    if (a->stage == STAGE_STARTTLS && a->reason != REASON_OK)
        return a->reason; /* an injection, a connection that was cut */
    if (a->smtp == NULL || a->smtp->starttls_refused)
        return REASON_STARTTLS_REFUSED;
    return a->smtp->masked && !a->smtp->starttls_offered ? REASON_STARTTLS_MASKED
                                                         : REASON_NO_STARTTLS;
}

/* From the judgements, not from what was enforced: a handshake that one policy ended tells about the
 * others too. */
static enum reason refusal_by(const struct attempt *a, unsigned needs)
{
    const struct tls_facts *t = a->tls;
    struct tls_reached got = t->reached;
    struct demand_seen seen = {.got = &got, .no_tls = why_no_tls(a)};

    if (a->handshake && t->judged) {
        got.tls = true;
        got.chain = t->judgement.chain_ok;
        got.name = t->judgement.name_ok;
        got.host = t->judgement.host_ok;
        got.pinned = t->judgement.pinned;
        got.tlsa = t->dane_judged && t->dane.reason == REASON_OK;
        seen.judged = true;
        seen.pkix = t->judgement.reason;
        seen.dane = t->dane_judged ? t->dane.reason : REASON_OK;
    }
    got.requiretls = a->smtp != NULL && a->smtp->ehlo.requiretls;
    return demand_refusal(needs, &seen);
}

enum reason attempt_would_defer(const struct attempt *a)
{
    const struct demand *d = &a->host->demand;

    if (d->observed == OBSERVED_NOWHERE)
        return REASON_OK;
    if (d->would.skip != REASON_OK)
        return d->would.skip;
    return tls_was_decided(a) ? refusal_by(a, d->would.needs) : REASON_OK;
}

static void put_sts(struct record *r, const struct destination *d, const struct destination_host *h,
                    const struct attempt *a)
{
    const struct policy_entry *policy = destination_policy(d);

    if (d->sts.trouble != REASON_OK) {
        record_cstr(r, "sts_trouble", reason_info(d->sts.trouble)->token);
        put_nonempty(r, "sts_trouble_detail", d->sts.detail);
    }
    if (policy == NULL)
        return;
    record_cstr(r, "policy_domain", d->policy_domain);
    record_cstr(r, "sts_id", policy->held.id);
    record_cstr(r, "sts_mode", sts_mode_name(policy->held.mode));
    record_int(r, "sts_age", (loop_wall() - policy->held.fetched) / 1000);
    if (!h->sts_listed)
        record_cstr(r, "sts_outcome", reason_info(REASON_STS_MX_NOT_LISTED)->token);
    else if (a != NULL && tls_was_decided(a))
        record_cstr(r, "sts_outcome", reason_info(refusal_by(a, STS_NEEDS))->token);
}

static void put_dane(struct record *r, const struct destination_host *h, const struct attempt *a)
{
    record_cstr(r, "dane", dane_state_name(h->dane.state));
    put_nonempty(r, "dane_detail", h->dane.detail);
    if (h->dane.state == DANE_FAILED) {
        record_cstr(r, "dane_outcome", reason_info(REASON_TLSA_LOOKUP_FAILED)->token);
        return;
    }
    if (h->dane.state != DANE_USABLE && h->dane.state != DANE_UNUSABLE)
        return;
    record_cstr(r, "tlsa_base", h->dane.base);
    record_int(r, "tlsa_records", (int64_t)h->dane.record_count);
    record_int(r, "tlsa_usable", (int64_t)h->dane.usable_count);
    if (a == NULL || !tls_was_decided(a))
        return;
    record_cstr(
        r, "dane_outcome",
        reason_info(refusal_by(a, h->dane.state == DANE_USABLE ? DANE_NEEDS : NEED_TLS))->token);
    if (a->tls->dane_judged)
        put_nonempty(r, "dane_match", a->tls->dane.detail);
}

/* would: what enforcing would have given; OK: nothing. */
static void put_observed(struct record *r, const struct demand *d, enum reason would)
{
    if (d->observed == OBSERVED_NOWHERE)
        return;
    record_cstr(r, "observe", observe_place_name(d->observed));
    record_cstr(r, "would_demand", tls_level_name(d->would.level));
    record_cstr(r, "would_demand_source", demand_source_name(d->would.source));
    if (would == REASON_OK)
        return;
    record_cstr(r, "would_defer", reason_info(would)->token);
    record_cstr(r, "would_hint", reason_info(would)->hint);
}

/* ---- the record ---- */

static void put_demand(struct record *r, const struct demand *d)
{
    record_cstr(r, "demand", tls_level_name(d->level));
    record_cstr(r, "demand_source", demand_source_name(d->source));
    put_nonempty(r, "policy_id", d->policy_id);
    if (d->override != NULL) {
        char when[INSTANT_TEXT_MAX];

        if (d->override->expires != 0)
            record_cstr(r, "policy_expires", instant_text(d->override->expires, when));
        put_nonempty(r, "policy_note", d->override->reason);
    }
    if (d->expired != NULL)
        record_cstr(r, "policy_expired", d->expired->match);
    if (d->weakened != DEMAND_DEFAULT)
        record_cstr(r, "policy_overruled", demand_source_name(d->weakened));
    if (d->needs & NEED_REQUIRETLS)
        record_bool(r, "requiretls", true);
    record_cstr(r, "min_version", tls_version_name(d->min_version));
}

static void put_end(struct record *r, const struct attempt *a)
{
    const struct reason_info *why = reason_info(a->reason);

    record_cstr(r, "stage", stage_name(a->stage));
    record_cstr(r, "outcome", a->outcome);
    record_cstr(r, "reason", why->token);
    put_nonempty(r, "detail", a->detail);
    put_reply(r, "reply", &a->reply);
    if (a->reason != REASON_OK)
        put_nonempty(r, "hint", why->hint);
    put_ms(r, "t_dns", a->t_dns);
    put_ms(r, "t_connect", a->t_connect);
    put_ms(r, "t_greeting", a->t_greeting);
    put_ms(r, "t_tls", a->t_tls);
    put_ms(r, "t_mail", a->t_mail);
    put_ms(r, "t_data", a->t_data);
    put_ms(r, "t_final", a->t_final);
    if (a->smtp != NULL)
        record_int(r, "bytes", (int64_t)a->smtp->body_bytes);
}

static enum record_severity attempt_severity(const struct attempt *a)
{
    if (strcmp(a->outcome, "failed") == 0 || a->downgraded || a->host->demand.expired != NULL ||
        a->host->demand.weakened != DEMAND_DEFAULT || attempt_would_defer(a) != REASON_OK)
        return RECORD_WARNING;
    return RECORD_INFO;
}

void attempt_log(struct log *log, const struct attempt *a)
{
    struct record *r = record_new("attempt", attempt_severity(a), loop_wall());
    char text[ADDR_TEXT_MAX];

    put_envelope(r, a->envelope, a->leg_id);
    record_cstr(r, "attempt", a->id);
    put_nonempty(r, "sender_domain", a->envelope->sender_domain);
    record_cstr(r, "recipient_domain", a->dest->domain);
    record_cstr(r, "provider", a->host->provider);
    record_cstr(r, "mx", a->host->name);
    record_cstr(r, "address", addr_text(&a->addr, text));
    record_int(r, "port", a->addr.port);
    if (a->host->preference >= 0)
        record_int(r, "preference", a->host->preference);
    record_cstr(r, "route",
                a->dest->is_route      ? "config"
                : a->dest->is_literal  ? "literal"
                : a->dest->implicit_mx ? "implicit-mx"
                                       : "mx");
    record_bool(r, "dnssec", a->host->mx_secure && a->host->addr_secure);
    if (a->dest->mx_ignored > 0)
        record_int(r, "mx_ignored", (int64_t)a->dest->mx_ignored);
    record_cstr(r, "rung", tls_rung_name(a->rung));
    if (a->retest)
        record_bool(r, "rung_retest", true);
    put_demand(r, &a->host->demand);
    put_sts(r, a->dest, a->host, a);
    put_dane(r, a->host, a);
    put_negotiation(r, a);
    put_observed(r, &a->host->demand, attempt_would_defer(a));
    put_end(r, a);
    log_record(log, r);
}

void skip_log(struct log *log, const struct envelope *e, const char *leg_id,
              const struct destination *d, const struct destination_host *h)
{
    struct record *r = record_new("skip", RECORD_WARNING, loop_wall());

    put_envelope(r, e, leg_id);
    record_cstr(r, "recipient_domain", d->domain);
    record_cstr(r, "provider", h->provider);
    record_cstr(r, "mx", h->name);
    if (h->preference >= 0)
        record_int(r, "preference", h->preference);
    record_bool(r, "dnssec", h->mx_secure && h->addr_secure);
    put_demand(r, &h->demand);
    put_sts(r, d, h, NULL);
    put_dane(r, h, NULL);
    put_observed(r, &h->demand, REASON_OK); /* skipped in spite of it: enforced it is */
    record_cstr(r, "reason", reason_info(h->demand.skip)->token);
    record_cstr(r, "detail", h->why_skipped);
    record_cstr(r, "hint", reason_info(h->demand.skip)->hint);
    log_record(log, r);
}

enum result_status result_status_of(enum reason reason, int code)
{
    if (reason == REASON_MAYBE_DELIVERED)
        return RESULT_MAYBE_DELIVERED;
    if (code >= 200 && code < 300)
        return RESULT_DELIVERED;
    return code >= 500 ? RESULT_REJECTED : RESULT_DEFERRED;
}

static const char *status_name(enum result_status s)
{
    switch (s) {
    case RESULT_DELIVERED:
        return "delivered";
    case RESULT_DEFERRED:
        return "deferred";
    case RESULT_REJECTED:
        return "rejected";
    case RESULT_MAYBE_DELIVERED:
        return "maybe-delivered";
    case RESULT_ABORTED:
        break;
    }
    return "aborted";
}

/* "user@example.org" as the log may show it: the local part is the person. */
static void put_path(struct record *r, const char *key, const char *path, bool whole)
{
    const char *at = strrchr(path, '@'); /* a quoted local part may hold another one */

    if (path[0] == '\0')
        record_str(r, key, SLICE("<>"));
    else if (whole)
        record_cstr(r, key, path);
    else
        record_strf(r, key, "...%s", at != NULL ? at : "");
}

void result_log(struct log *log, const struct result *res)
{
    bool fine = res->status == RESULT_DELIVERED;
    struct record *r = record_new("result", fine ? RECORD_INFO : RECORD_WARNING, loop_wall());

    put_envelope(r, res->envelope, res->leg_id);
    put_path(r, "sender", res->envelope->sender, res->envelope->log_addresses);
    put_path(r, "recipient", res->recipient, res->envelope->log_addresses);
    record_cstr(r, "recipient_domain", res->domain);
    record_cstr(r, "status", status_name(res->status));
    if (res->reply != NULL && res->reply->code != 0) {
        const struct enhanced *enh = &res->reply->enh;

        record_int(r, "code", res->reply->code);
        if (enh->class != 0)
            record_strf(r, "enhanced", "%d.%d.%d", enh->class, enh->subject, enh->detail);
        put_reply(r, "reply", res->reply);
        record_cstr(r, "origin", res->reply->origin == REPLY_FROM_MX ? "mx" : "tlsmend");
    }
    if (res->told != 0)
        record_int(r, "told", res->told);
    if (res->in_ledger)
        record_bool(r, "in_ledger", true);
    record_cstr(r, "reason", reason_info(res->reason)->token);
    if (!fine)
        put_nonempty(r, "hint", reason_info(res->reason)->hint);
    put_nonempty(r, "mx", res->mx);
    put_nonempty(r, "address", res->address);
    put_nonempty(r, "tls", res->tls);
    put_nonempty(r, "demand", res->demand);
    if (res->would_defer != REASON_OK)
        record_cstr(r, "would_defer", reason_info(res->would_defer)->token);
    if (res->envelope->tls_required_no)
        record_bool(r, "tls_required_no", true);
    record_int(r, "delay", res->delay_ms);
    log_record(log, r);
}
