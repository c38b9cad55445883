/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend mta-sts: the MTA-STS policy of a domain, in the cache and now, and what follows from it.
 */
#include "proxy/cli/cli.h"
#include "proxy/cli/domain_report.h"
#include "proxy/cli/report_json_internal.h"

static void host_lines(const struct domain_report *r, const struct destination_host *h,
                       struct buf *out)
{
    const struct policy_entry *policy = destination_policy(r->dest);

    report_line(out, 4, "MTA-STS", "%s",
                policy == NULL  ? "no policy in force"
                : h->sts_listed ? "listed"
                : policy->held.mode == STS_TESTING
                    ? "NOT LISTED; the mode is testing: it is recorded only"
                    : "NOT LISTED");
    report_line(out, 4, "DANE", "%s%s%s", dane_state_name(h->dane.state),
                h->dane.detail[0] != '\0' ? ": " : "", h->dane.detail);
}

static void cache_lines(const struct domain_report *r, struct buf *out)
{
    char when[INSTANT_TEXT_MAX];

    if (r->held == NULL) {
        report_line(out, 0, "in the cache", "%s", "nothing");
        return;
    }
    report_policy_lines(r, r->held, "in the cache", out);
    /* the place of a domain inside the spread is the daemon's: the earliest time is told */
    report_line(
        out, 2, "refresh", "%s or a little later",
        instant_text(sts_refresh_at(&r->held->held, r->settings->mta_sts.refresh, 0), when));
}

static void found_lines(const struct domain_report *r, struct buf *out)
{
    const struct sts_found *f = &r->dest->sts;

    report_line(out, 0, "now", "%s", f->why != NULL ? f->why : "");
    if (f->trouble == REASON_OK)
        return;
    report_line(out, 2, "trouble", "%s: %s: %s", reason_info(f->trouble)->token,
                reason_info(f->trouble)->text, f->detail);
    report_line(out, 2, "mend", "%s", reason_info(f->trouble)->hint);
}

void mta_sts_text(const struct domain_report *r, struct buf *out)
{
    const struct destination *d = r->dest;

    report_line(out, 0, "domain", "%s", d->domain);
    report_line(out, 0, "MTA-STS", "%s",
                r->settings->mta_sts.enabled ? "on" : "OFF: mta_sts.enabled = false");
    if (d->policy_domain[0] != '\0') {
        report_line(out, 0, "policy domain", "%s%s", d->policy_domain,
                    d->is_route ? " (the host of the route)" : "");
        cache_lines(r, out);
        found_lines(r, out);
        if (d->sts.entry != NULL)
            report_policy_lines(r, d->sts.entry, "in force", out);
        else
            report_line(out, 0, "in force", "%s", "none: mail goes as if there were no MTA-STS");
    } else if (d->is_route) {
        report_line(out, 0, "policy domain", "%s", "none: the host of the route is an address");
    }
    report_dnssec_lines(r, out);
    report_host_lines(r, host_lines, out);
    report_verdict_lines(r, out);
}

void mta_sts_json(const struct domain_report *r, struct buf *out)
{
    const struct destination *d = r->dest;
    json_t *o = report_json_new(r);

    report_json_bool(o, "sts_enabled", r->settings->mta_sts.enabled);
    report_json_str(o, "policy_domain", d->policy_domain);
    if (r->held != NULL) {
        json_t *cache = report_json_policy(r, r->held);
        char when[INSTANT_TEXT_MAX];

        report_json_str(
            cache, "refresh",
            instant_text(sts_refresh_at(&r->held->held, r->settings->mta_sts.refresh, 0), when));
        report_json_put(o, "cache", cache);
    }
    report_json_str(o, "why", d->sts.why);
    if (d->sts.trouble != REASON_OK) {
        report_json_str(o, "sts_trouble", reason_info(d->sts.trouble)->token);
        report_json_str(o, "sts_trouble_detail", d->sts.detail);
        report_json_str(o, "sts_trouble_hint", reason_info(d->sts.trouble)->hint);
    }
    if (d->sts.entry != NULL)
        report_json_put(o, "policy", report_json_policy(r, d->sts.entry));
    report_json_end(r, o, out);
}

int mta_sts_command(int argc, char **argv)
{
    return report_command(argc, argv, mta_sts_text, mta_sts_json);
}
