/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend dane: does DANE apply to the MX hosts of a domain, which TLSA records count, and what follows.
 */
#include <string.h>

#include "proxy/cli/cli.h"
#include "proxy/cli/domain_report.h"
#include "proxy/cli/report_json_internal.h"

static uint16_t port_of(const struct domain_report *r)
{
    return r->dest->is_route ? r->dest->route_port : r->settings->resolver.mx_port;
}

static const char *signed_word(bool is_signed)
{
    return is_signed ? "signed" : "not signed";
}

static void record_lines(const struct destination_dane *p, struct buf *out)
{
    struct buf text;

    buf_init(&text, 4096);
    for (size_t i = 0; i < p->record_count; i++) {
        const struct tlsa_record *t = &p->records[i];

        buf_reset(&text);
        tlsa_text(t, &text);
        if (t->usability == TLSA_USABLE)
            report_line(out, 4, "TLSA", "%s  usable", buf_cstr(&text));
        else
            report_line(out, 4, "TLSA", "%s  not used: %s", buf_cstr(&text),
                        tlsa_usability_text(t->usability));
    }
    buf_clear(&text);
}

static void host_lines(const struct domain_report *r, const struct destination_host *h,
                       struct buf *out)
{
    const struct destination_dane *p = &h->dane;

    if (r->dest->is_route)
        report_line(out, 4, "MX record", "%s", "not needed: the configuration names the host");
    else
        report_line(out, 4, "MX record", "%s%s", r->dest->implicit_mx ? "none, that is " : "",
                    signed_word(h->mx_secure));
    report_line(out, 4, "addresses", "%s", signed_word(h->addr_secure));
    report_line(out, 4, "DANE", "%s%s%s", dane_state_name(p->state),
                p->detail[0] != '\0' ? ": " : "", p->detail);
    if (p->record_count == 0)
        return;
    report_line(out, 4, "TLSA base", "_%u._tcp.%s%s", port_of(r), p->base,
                strcmp(p->base, h->name) != 0 ? " (the MX host is an alias)" : "");
    record_lines(p, out);
}

void dane_text(const struct domain_report *r, struct buf *out)
{
    const struct policy_entry *policy = destination_policy(r->dest);

    report_line(out, 0, "domain", "%s", r->dest->domain);
    report_dnssec_lines(r, out);
    if (r->settings->tls.half_dane)
        report_line(out, 0, "half_dane", "%s",
                    "on: TLSA records count though the MX record is not signed");
    if (policy != NULL)
        report_line(out, 0, "MTA-STS", "%s, mode %s (see tlsmend mta-sts)", policy->held.id,
                    sts_mode_name(policy->held.mode));
    report_host_lines(r, host_lines, out);
    report_verdict_lines(r, out);
}

void dane_json(const struct domain_report *r, struct buf *out)
{
    const struct policy_entry *policy = destination_policy(r->dest);
    json_t *o = report_json_new(r);

    if (policy != NULL) {
        report_json_str(o, "policy_domain", r->dest->policy_domain);
        report_json_str(o, "sts_id", policy->held.id);
        report_json_str(o, "sts_mode", sts_mode_name(policy->held.mode));
    }
    report_json_bool(o, "half_dane", r->settings->tls.half_dane);
    report_json_end(r, o, out);
}

int dane_command(int argc, char **argv)
{
    return report_command(argc, argv, dane_text, dane_json);
}
