/* SPDX-License-Identifier: Apache-2.0 */
/* See report_json_internal.h; tlsmend(8) documents the members in the same order. */
#include "proxy/cli/report_json_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_MAX 65536

static json_t *there(json_t *value)
{
    if (value != NULL)
        return value;
    (void)fputs("tlsmend: out of memory\n", stderr);
    abort();
}

json_t *report_json_object(void)
{
    return there(json_object());
}

void report_json_put(json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, there(value)) != 0)
        (void)there(NULL);
}

/* jansson refuses what is no UTF-8. */
static json_t *string_of(const char *s)
{
    json_t *value = json_string(s);
    struct buf text;

    if (value != NULL)
        return value;
    buf_init(&text, STRING_MAX);
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x80)
            (void)buf_addc(&text, *s);
        else
            (void)buf_addf(&text, "\\x%02X", (unsigned char)*s);
    value = json_string(buf_cstr(&text));
    buf_clear(&text);
    return there(value);
}

void report_json_str(json_t *o, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        report_json_put(o, key, string_of(value));
}

void report_json_int(json_t *o, const char *key, int64_t value)
{
    report_json_put(o, key, json_integer(value));
}

void report_json_bool(json_t *o, const char *key, bool value)
{
    report_json_put(o, key, json_boolean(value));
}

static void append(json_t *list, json_t *value)
{
    if (json_array_append_new(list, there(value)) != 0)
        (void)there(NULL);
}

static void add_needs(json_t *o, const char *key, unsigned needs)
{
    json_t *list = there(json_array());

    for (unsigned i = 0; i < NEED_COUNT; i++)
        if (needs & (1u << i))
            append(list, string_of(demand_need_name(1u << i)));
    report_json_put(o, key, list);
}

/* ---- the domain ---- */

json_t *report_json_new(const struct domain_report *r)
{
    const struct destination *d = r->dest;
    json_t *o = there(json_object());

    report_json_str(o, "domain", d->domain);
    report_json_str(o, "route", d->is_route ? "config" : d->implicit_mx ? "implicit-mx" : "mx");
    if (d->is_route) {
        report_json_str(o, "nexthop", d->nexthop);
        report_json_int(o, "port", d->route_port);
    }
    report_json_str(o, "dnssec_state", dnssec_trust_name(r->dnssec));
    report_json_str(o, "dnssec_detail", r->dnssec_detail);
    report_json_str(o, "dnssec_hint", report_dnssec_hint(r->dnssec));
    return o;
}

json_t *report_json_policy(const struct domain_report *r, const struct policy_entry *e)
{
    json_t *o = there(json_object()), *mx = there(json_array());
    char when[INSTANT_TEXT_MAX];

    for (size_t i = 0; i < e->policy.mx_count; i++)
        append(mx, string_of(e->policy.mx[i]));
    report_json_str(o, "sts_id", e->held.id);
    report_json_str(o, "sts_mode", sts_mode_name(e->held.mode));
    report_json_put(o, "sts_mx", mx);
    report_json_int(o, "max_age", e->policy.max_age);
    report_json_str(o, "fetched", instant_text(e->held.fetched, when));
    report_json_int(o, "sts_age", (r->now - e->held.fetched) / 1000);
    report_json_str(o, "expires", instant_text(e->held.expires, when));
    report_json_bool(o, "live", sts_live(&e->held, r->now));
    return o;
}

/* ---- a host ---- */

static void add_hex(json_t *o, const char *key, struct slice bytes)
{
    struct buf text;

    buf_init(&text, bytes.n * 2 + 1);
    for (size_t i = 0; i < bytes.n; i++)
        (void)buf_addf(&text, "%02x", (unsigned char)bytes.p[i]);
    report_json_put(o, key, json_string(buf_cstr(&text)));
    buf_clear(&text);
}

static void put_dane(json_t *o, const struct destination_dane *p)
{
    json_t *list = there(json_array());

    report_json_str(o, "dane", dane_state_name(p->state));
    report_json_str(o, "dane_detail", p->detail);
    if (p->record_count > 0) {
        report_json_str(o, "tlsa_base", p->base);
        report_json_int(o, "tlsa_records", (int64_t)p->record_count);
        report_json_int(o, "tlsa_usable", (int64_t)p->usable_count);
    }
    for (size_t i = 0; i < p->record_count; i++) {
        const struct tlsa_record *t = &p->records[i];
        json_t *one = there(json_object());

        report_json_int(one, "usage", t->usage);
        report_json_int(one, "selector", t->selector);
        report_json_int(one, "matching", t->matching);
        add_hex(one, "data", t->data);
        report_json_bool(one, "usable", t->usability == TLSA_USABLE);
        if (t->usability != TLSA_USABLE)
            report_json_str(one, "why", tlsa_usability_text(t->usability));
        append(list, one);
    }
    report_json_put(o, "tlsa", list);
}

static void put_row(json_t *o, const struct demand *d)
{
    json_t *names = there(json_array());
    char when[INSTANT_TEXT_MAX];

    for (size_t i = 0; i < d->name_count && ((d->needs | d->would.needs) & NEED_NAME); i++)
        append(names, string_of(d->names[i]));
    report_json_put(o, "names", names);
    report_json_str(o, "policy_id", d->policy_id);
    if (d->override != NULL) {
        if (d->override->expires != 0)
            report_json_str(o, "policy_expires", instant_text(d->override->expires, when));
        report_json_str(o, "policy_note", d->override->reason);
    }
    if (d->expired != NULL)
        report_json_str(o, "policy_expired", d->expired->match);
    if (d->weakened != DEMAND_DEFAULT)
        report_json_str(o, "policy_overruled", demand_source_name(d->weakened));
    report_json_str(o, "min_version", tls_version_name(d->min_version));
}

static void put_demand(json_t *o, const struct destination_host *h)
{
    const struct demand *d = &h->demand;

    report_json_str(o, "demand", tls_level_name(d->level));
    report_json_str(o, "demand_source", demand_source_name(d->source));
    add_needs(o, "needs", d->needs);
    put_row(o, d);
    if (d->observed != OBSERVED_NOWHERE) {
        report_json_str(o, "observe", observe_place_name(d->observed));
        report_json_str(o, "would_demand", tls_level_name(d->would.level));
        report_json_str(o, "would_demand_source", demand_source_name(d->would.source));
        add_needs(o, "would_needs", d->would.needs);
        if (d->would.skip != REASON_OK) {
            report_json_str(o, "would_defer", reason_info(d->would.skip)->token);
            report_json_str(o, "would_hint", reason_info(d->would.skip)->hint);
        }
    }
    report_json_bool(o, "usable", d->skip == REASON_OK && h->addr_count > 0);
    if (d->skip != REASON_OK) {
        report_json_str(o, "reason", reason_info(d->skip)->token);
        report_json_str(o, "hint", reason_info(d->skip)->hint);
    }
    report_json_str(o, "detail", h->why_skipped);
}

static json_t *host_of(const struct domain_report *r, const struct destination_host *h)
{
    json_t *o = there(json_object()), *addresses = there(json_array());
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < h->addr_count; i++)
        append(addresses, string_of(addr_text(&h->addrs[i], text)));
    report_json_str(o, "mx", h->name);
    if (h->preference >= 0)
        report_json_int(o, "preference", h->preference);
    report_json_put(o, "addresses", addresses);
    if (h->refused > 0)
        report_json_int(o, "addresses_refused", (int64_t)h->refused);
    report_json_bool(o, "dnssec", h->mx_secure && h->addr_secure);
    report_json_bool(o, "mx_signed", h->mx_secure);
    report_json_bool(o, "addresses_signed", h->addr_secure);
    if (destination_policy(r->dest) != NULL)
        report_json_bool(o, "sts_listed", h->sts_listed);
    put_dane(o, &h->dane);
    put_demand(o, h);
    return o;
}

/* ---- the end ---- */

static void put_verdict(const struct domain_report *r, json_t *o)
{
    const struct destination *d = r->dest;
    struct buf text;

    buf_init(&text, STRING_MAX);
    report_json_str(o, "status", report_status(d));
    if (d->target_count == 0) {
        report_json_int(o, "code", reason_info(d->reason)->code);
        report_json_str(o, "reason", reason_info(d->reason)->token);
        report_json_str(o, "detail", d->detail);
        report_json_str(o, "hint", reason_info(d->reason)->hint);
    }
    report_verdict(r, &text);
    report_json_str(o, "verdict", buf_cstr(&text));
    buf_clear(&text);
}

static int take(const char *bytes, size_t n, void *out)
{
    return buf_add(out, slice_of(bytes, n)) ? 0 : -1;
}

void report_json_dump(json_t *o, size_t flags, struct buf *out)
{
    /* ensured ASCII: no mark that turns the reading direction on a terminal */
    if (json_dump_callback(o, take, out, flags | JSON_ENSURE_ASCII) != 0)
        (void)there(NULL); /* half an object is worse than none */
    json_decref(o);
}

void report_json_end(const struct domain_report *r, json_t *o, struct buf *out)
{
    const struct destination *d = r->dest;
    json_t *hosts = there(json_array());

    for (size_t i = 0; i < d->host_count; i++)
        append(hosts, host_of(r, &d->hosts[i]));
    report_json_put(o, "hosts", hosts);
    if (d->mx_ignored > 0)
        report_json_int(o, "mx_ignored", (int64_t)d->mx_ignored);
    put_verdict(r, o);
    report_json_dump(o, JSON_INDENT(2), out);
    if (!buf_addc(out, '\n'))
        (void)there(NULL);
}
