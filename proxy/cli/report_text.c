/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_report.h: the parts of the text. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/cli/domain_report.h"

#define LABEL_WIDTH 14
#define HOST_INDENT 4
#define VALUE_MAX 65536

/* Anything but printable ASCII as \xXX: a peer's bytes must not move the cursor. */
static void add_harmless(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c < 0x7f)
            (void)buf_addc(out, (char)c);
        else
            (void)buf_addf(out, "\\x%02X", c);
    }
}

void report_line(struct buf *out, unsigned indent, const char *label, const char *format, ...)
{
    va_list args;
    char *value;

    va_start(args, format);
    value = mem_vformat(format, args);
    va_end(args);
    (void)buf_addf(out, "%*s%-*s  ", (int)indent, "", LABEL_WIDTH, label);
    add_harmless(out, slice_str(value));
    (void)buf_addc(out, '\n');
    free(value);
}

const char *report_about(int64_t ms, char out[INSTANT_TEXT_MAX])
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};
    size_t i = 0;
    struct buf text;

    if (ms < 0)
        ms = 0;
    while (i < 3 && ms < units[i].ms)
        i++;
    buf_init(&text, INSTANT_TEXT_MAX - 1);
    (void)buf_addf(&text, "%lld %s", (long long)(ms / units[i].ms), units[i].name);
    memcpy(out, buf_cstr(&text), text.n + 1);
    buf_clear(&text);
    return out;
}

/* ---- the domain ---- */

void report_policy_lines(const struct domain_report *r, const struct policy_entry *e,
                         const char *label, struct buf *out)
{
    char when[INSTANT_TEXT_MAX], span[INSTANT_TEXT_MAX];

    report_line(out, 0, label, "%s, mode %s", e->held.id, sts_mode_name(e->held.mode));
    for (size_t i = 0; i < e->policy.mx_count; i++)
        report_line(out, 2, "mx", "%s", e->policy.mx[i]);
    report_line(out, 2, "fetched", "%s (%s ago)", instant_text(e->held.fetched, when),
                report_about(r->now - e->held.fetched, span));
    report_line(out, 2, "max_age", "%lld s", (long long)e->policy.max_age);
    if (sts_live(&e->held, r->now))
        report_line(out, 2, "live until", "%s (for %s)", instant_text(e->held.expires, when),
                    report_about(e->held.expires - r->now, span));
    else
        report_line(out, 2, "EXPIRED", "%s", instant_text(e->held.expires, when));
}

const char *report_dnssec_hint(enum dnssec_trust_state s)
{
    switch (s) {
    case DNSSEC_TRUST_UNKNOWN:
        return "Nobody answered for the root: see that the resolver can be reached.";
    case DNSSEC_TRUST_ON:
    case DNSSEC_TRUST_SUSPECTED: /* takes more than one probe */
        break;
    case DNSSEC_TRUST_OFF:
        return "The resolver strips DNSSEC, or trust anchor or clock are wrong. Use a validating "
               "resolver, or resolver.system = false to ask the authoritative servers.";
    case DNSSEC_TRUST_WAITS:
        return "All mail waits: resolver.require_dnssec keeps validation on, and the root's answer "
               "fails. Mend the resolver, the trust anchor or the clock.";
    case DNSSEC_TRUST_NO_ANCHOR:
        return "Install dns-root-data, or set resolver.trust_anchor.";
    }
    return "";
}

void report_dnssec_lines(const struct domain_report *r, struct buf *out)
{
    const char *hint = report_dnssec_hint(r->dnssec);

    report_line(out, 0, "DNSSEC", "%s%s%s", dnssec_trust_name(r->dnssec),
                r->dnssec_detail[0] != '\0' ? ": " : "", r->dnssec_detail);
    if (hint[0] != '\0')
        report_line(out, 2, "mend", "%s", hint);
}

/* ---- a host ---- */

static void add_needs(struct buf *out, unsigned needs)
{
    const char *between = "";

    if (needs == 0)
        (void)buf_addf(out, "nothing");
    for (unsigned i = 0; i < NEED_COUNT; i++) {
        if ((needs & (1u << i)) == 0)
            continue;
        (void)buf_addf(out, "%s%s", between, demand_need_name(1u << i));
        between = ", ";
    }
}

static void demand_line(struct buf *out, const char *label, enum tls_level level,
                        enum demand_source source, unsigned needs)
{
    struct buf text;

    buf_init(&text, VALUE_MAX);
    add_needs(&text, needs);
    report_line(out, HOST_INDENT, label, "%s (%s), needs %s", tls_level_name(level),
                demand_source_name(source), buf_cstr(&text));
    buf_clear(&text);
}

static void row_lines(const struct demand *d, struct buf *out)
{
    char when[INSTANT_TEXT_MAX];

    if (d->override != NULL) {
        const struct override *o = d->override;

        report_line(out, HOST_INDENT, "destinations", "match \"%s\" (%s)%s%s%s%s", o->match,
                    o->origin != NULL ? o->origin : "", o->expires != 0 ? " until " : "",
                    o->expires != 0 ? instant_text(o->expires, when) : "",
                    o->reason != NULL ? ": " : "", o->reason != NULL ? o->reason : "");
    }
    if (d->expired != NULL)
        report_line(out, HOST_INDENT, "expired", "match \"%s\" (%s) is in force no more",
                    d->expired->match, d->expired->origin != NULL ? d->expired->origin : "");
    if (d->weakened != DEMAND_DEFAULT)
        report_line(out, HOST_INDENT, "OVERRULED", "%s asks for more, override_policy lets it pass",
                    demand_source_name(d->weakened));
    if ((d->skip == REASON_OK && (d->needs & NEED_NAME)) ||
        (d->would.skip == REASON_OK && (d->would.needs & NEED_NAME))) {
        struct buf names;

        buf_init(&names, VALUE_MAX);
        for (size_t i = 0; i < d->name_count; i++)
            (void)buf_addf(&names, "%s%s", i > 0 ? ", " : "", d->names[i]);
        report_line(out, HOST_INDENT, "names", "%s", buf_cstr(&names));
        buf_clear(&names);
    }
}

static void skip_lines(const char *label, enum reason why, enum demand_source source,
                       const char *words, struct buf *out)
{
    const struct reason_info *info = reason_info(why);

    report_line(out, HOST_INDENT, label, "%s (%s): %s%s%s", info->token, demand_source_name(source),
                info->text, words[0] != '\0' ? ": " : "", words);
    report_line(out, HOST_INDENT, "mend", "%s", info->hint);
}

static void demand_lines(const struct destination_host *h, struct buf *out)
{
    const struct demand *d = &h->demand;

    if (d->skip != REASON_OK)
        skip_lines("SKIPPED", d->skip, d->source, h->why_skipped, out);
    else
        demand_line(out, "demand", d->level, d->source, d->needs);
    row_lines(d, out);
    if (d->observed != OBSERVED_NOWHERE) {
        report_line(out, HOST_INDENT, "ONLY OBSERVED", "%s",
                    d->observed == OBSERVED_DESTINATION ? "by observe in that row of destinations"
                                                        : "by tls.observe");
        if (d->would.skip == REASON_OK)
            demand_line(out, "would demand", d->would.level, d->would.source, d->would.needs);
        else if (d->skip == REASON_OK)
            skip_lines("would skip", d->would.skip, d->would.source, h->why_skipped, out);
    }
    if (d->skip == REASON_OK && h->addr_count == 0)
        report_line(out, HOST_INDENT, "NOT USABLE", "%s",
                    h->loops         ? "it is a listener of this tlsmend"
                    : h->refused > 0 ? "it has only addresses that mail must not go to"
                                     : "it has no address, or none could be looked up");
}

static void host_head(const struct destination_host *h, struct buf *out)
{
    char text[ADDR_TEXT_MAX];

    (void)buf_addc(out, '\n');
    if (h->preference >= 0)
        (void)buf_addf(out, "MX %d ", h->preference);
    add_harmless(out, slice_str(h->name));
    for (size_t i = 0; i < h->addr_count; i++)
        (void)buf_addf(out, "%s %s", i > 0 ? "," : "", addr_text(&h->addrs[i], text));
    if (h->refused > 0)
        (void)buf_addf(out, " (%zu not to be used)", h->refused);
    (void)buf_addc(out, '\n');
}

void report_host_lines(const struct domain_report *r,
                       void (*each)(const struct domain_report *r, const struct destination_host *h,
                                    struct buf *out),
                       struct buf *out)
{
    const struct destination *d = r->dest;

    if (d->implicit_mx)
        (void)buf_addf(out, "\nno MX record: the domain is its own MX (RFC 5321 5.1)\n");
    if (d->is_route) {
        (void)buf_addf(out, "\na route of the configuration: ");
        add_harmless(out, slice_str(d->nexthop));
        (void)buf_addf(out, " port %u\n", d->route_port);
    }
    for (size_t i = 0; i < d->host_count; i++) {
        host_head(&d->hosts[i], out);
        each(r, &d->hosts[i], out);
        demand_lines(&d->hosts[i], out);
    }
    if (d->mx_ignored > 0)
        (void)buf_addf(out, "\n%zu MX record(s) name no host that mail can go to\n", d->mx_ignored);
}

/* ---- the verdict ---- */

const char *report_status(const struct destination *d)
{
    if (d->target_count > 0)
        return "deliverable";
    return reason_info(d->reason)->code >= 500 ? "rejected" : "deferred";
}

static void add_way(struct buf *out, const struct demand *d)
{
    if (d->level == LEVEL_NONE) {
        (void)buf_addf(out, "in CLEAR TEXT");
    } else if (d->needs == 0) {
        (void)buf_addf(out, "over TLS where it is offered, else in CLEAR TEXT");
    } else if (d->needs == NEED_TLS) {
        (void)buf_addf(out, "over TLS, with any certificate");
    } else {
        (void)buf_addf(out, "over TLS, if the certificate holds (needs ");
        add_needs(out, d->needs);
        (void)buf_addf(out, ")");
    }
}

static void add_refusal(struct buf *out, const struct destination *d)
{
    struct reply reply;
    struct buf line;

    reply_init(&reply);
    buf_init(&line, VALUE_MAX);
    reason_reply(d->reason, slice_str(d->domain), slice_str(d->detail), &reply);
    reply_oneline(&reply, &line);
    (void)buf_addf(out, "%s: %d ", report_status(d), reply.code);
    add_harmless(out, buf_slice(&line));
    buf_clear(&line);
    reply_clear(&reply);
}

void report_verdict(const struct domain_report *r, struct buf *out)
{
    const struct destination *d = r->dest;
    size_t forbidden = 0, observed = 0;

    (void)buf_addf(out, "mail to %s would be ", d->domain);
    if (d->target_count == 0) {
        add_refusal(out, d);
        return;
    }
    for (size_t i = 0; i < d->host_count; i++) {
        forbidden += d->hosts[i].demand.skip != REASON_OK;
        observed += d->hosts[i].demand.observed != OBSERVED_NOWHERE;
    }
    (void)buf_addf(out, "sent to ");
    add_harmless(out, slice_str(d->hosts[d->targets[0].host].name));
    (void)buf_addf(out, " first, ");
    add_way(out, &d->hosts[d->targets[0].host].demand);
    if (forbidden > 0)
        (void)buf_addf(out, "; policy forbids %zu of %zu MX hosts", forbidden, d->host_count);
    if (observed > 0)
        (void)buf_addf(out, "; policies are ONLY OBSERVED for %zu of %zu", observed, d->host_count);
}

void report_verdict_lines(const struct domain_report *r, struct buf *out)
{
    const struct destination *d = r->dest;

    (void)buf_addc(out, '\n');
    if (d->target_count == 0) {
        report_line(out, 0, "mend", "%s", reason_info(d->reason)->hint);
        if (d->reason == REASON_STS_MX_NOT_LISTED)
            report_line(
                out, 0, "second look", "%s",
                "before a mail is refused, the policy is looked up once more (RFC 8461 5.1)");
    }
    report_verdict(r, out);
    (void)buf_addc(out, '\n');
}
