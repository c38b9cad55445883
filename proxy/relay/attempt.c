/* SPDX-License-Identifier: Apache-2.0 */
/* See attempt.h; the fields are documented in docs/log.md in the same order. */
#include "proxy/relay/attempt.h"

#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/loop.h"
#include "proxy/policy/provider.h"

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

static void put_negotiation(struct record *r, const struct attempt *a)
{
    if (a->smtp != NULL) {
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
    if (a->tls->judged)
        put_certificate(r, a);
}

static void put_demand(struct record *r, const struct demand *d)
{
    record_cstr(r, "rung", "full");
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
    put_ms(r, "t_dns", a->dest->took_ms);
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
    if (strcmp(a->outcome, "failed") == 0 || a->downgraded || a->host->demand.expired != NULL)
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
    record_cstr(r, "provider", provider_of(a->host->name));
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
    put_demand(r, &a->host->demand);
    put_negotiation(r, a);
    put_end(r, a);
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
    record_cstr(r, "reason", reason_info(res->reason)->token);
    if (!fine)
        put_nonempty(r, "hint", reason_info(res->reason)->hint);
    put_nonempty(r, "mx", res->mx);
    put_nonempty(r, "address", res->address);
    put_nonempty(r, "tls", res->tls);
    put_nonempty(r, "demand", res->demand);
    record_int(r, "delay", res->delay_ms);
    log_record(log, r);
}
