/* SPDX-License-Identifier: Apache-2.0 */
/* See destination_internal.h: what the answers mean for the recipient. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"
#include "proxy/relay/host_request.h"

#define POLICY_TEXT_MX_MAX 8
#define DETAIL_MAX 512

void destination_fail(struct destination *d, enum reason why, const char *format, ...)
{
    char detail[DETAIL_MAX];
    va_list args;

    d->reason = why;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    destination_text_drop(&d->detail);
    d->detail = destination_text(detail);
}

enum reason reason_of_dns(enum dns_status s)
{
    switch (s) {
    case DNS_TIMED_OUT:
        return REASON_DNS_TIMEOUT;
    case DNS_IS_BOGUS:
        return REASON_DNS_BOGUS;
    case DNS_OK:
    case DNS_NODATA:
    case DNS_NXDOMAIN:
    case DNS_FAILED:
        break;
    }
    return REASON_DNS_FAILED;
}

const struct policy_entry *destination_policy(const struct destination *d)
{
    const struct policy_entry *e = d->sts.entry;

    return e != NULL && e->held.mode != STS_NONE ? e : NULL;
}

void destination_policy_text(const struct destination *d, struct buf *out)
{
    const struct policy_entry *e = destination_policy(d);

    if (e == NULL)
        return;
    (void)buf_addf(out, "the MTA-STS policy %s (%s) of %s lists", e->held.id,
                   sts_mode_name(e->held.mode), d->policy_domain);
    for (size_t i = 0; i < e->policy.mx_count; i++) {
        if (i == POLICY_TEXT_MX_MAX) {
            (void)buf_addf(out, " and %zu more", e->policy.mx_count - i);
            break;
        }
        (void)buf_addf(out, "%s %s", i > 0 ? "," : "", e->policy.mx[i]);
    }
}

bool destination_sts_holds(const struct destination_host *h)
{
    return h->demand.skip == REASON_STS_MX_NOT_LISTED || h->demand.source == DEMAND_MTA_STS ||
           (h->demand.needs & NEED_HOST) != 0;
}

/* Why the host must not be tried, or would not be but for observe mode. */
static void explain_skip(const struct destination *d, struct destination_host *h)
{
    enum reason why = h->demand.would.skip != REASON_OK ? h->demand.would.skip : h->demand.skip;
    struct buf text;

    buf_init(&text, DETAIL_MAX - 1);
    switch (why) {
    case REASON_STS_MX_NOT_LISTED:
        (void)buf_addf(&text, "MX %s; ", h->name);
        destination_policy_text(d, &text);
        break;
    case REASON_REQUIRETLS_UNMET:
        (void)buf_addf(&text, "neither DNSSEC, MTA-STS nor the configuration vouches for MX %s",
                       h->name);
        break;
    default:
        (void)buf_addf(&text, "MX %s%s%s", h->name, h->dane.detail[0] != '\0' ? ": " : "",
                       h->dane.detail);
        break;
    }
    destination_text_drop(&h->why_skipped);
    h->why_skipped = destination_text(buf_cstr(&text));
    buf_clear(&text);
}

void destination_demands(struct destination *d, const struct destination_wish *wish, wall_ms now)
{
    const struct policy_entry *policy = destination_policy(d);

    for (size_t i = 0; i < d->host_count; i++) {
        struct destination_host *h = &d->hosts[i];
        struct demand_facts f = {
            .domain = slice_str(d->domain),
            .is_literal = d->is_literal,
            .is_route = d->is_route,
            .mx_host = slice_str(h->name),
            .mx_secure = h->mx_secure,
            .dane = h->dane.state,
            .sts = policy != NULL ? policy->held.mode : STS_NONE,
            .sts_id = policy != NULL ? policy->held.id : "",
            .sts_listed = policy != NULL && sts_policy_lists(&policy->policy, slice_str(h->name)),
            .requiretls = wish->requiretls,
            .observe = wish->observe,
            .now = now,
        };

        h->sts_listed = f.sts_listed;
        demand_decide(snapshot_demand(d->snapshot), &f, &h->demand);
        if (h->demand.skip != REASON_OK || h->demand.would.skip != REASON_OK)
            explain_skip(d, h);
    }
}

static void host_accept(const struct destination *d, struct destination_host *h,
                        const struct addr_filter *filter, uint16_t port,
                        const struct dns_answer *answer)
{
    if (answer == NULL || answer->status != DNS_OK)
        return;
    h->addrs = mem_resize(h->addrs, h->addr_count + answer->count + 1, sizeof(*h->addrs));
    for (size_t i = 0; i < answer->count; i++) {
        struct addr a = answer->addrs[i];
        enum addr_refusal refusal;

        a.port = port;
        refusal = addr_judge(filter, &a);
        if (refusal == ADDR_REFUSED_SELF) {
            h->loops = true;
            h->refused++;
        } else if (refusal != ADDR_ACCEPTED && !d->is_route) {
            h->refused++; /* a route is the administrator's word: any class of address is fine */
        } else {
            h->addrs[h->addr_count++] = a;
        }
    }
}

/* What the client hears when no host has a usable address (C-MX-03, C-MX-05, C-MX-06). */
static void settle_nobody(struct destination *d, const struct host_answers *answers)
{
    bool all_absent = true, any_loop = false, any_refused = false;

    for (size_t i = 0; i < d->host_count; i++) {
        const struct dns_answer *both[] = {answers[i].a, answers[i].aaaa};

        any_loop |= d->hosts[i].loops;
        any_refused |= d->hosts[i].refused > 0;
        for (size_t k = 0; k < 2; k++) {
            if (both[k] == NULL)
                continue;
            if (both[k]->status != DNS_NXDOMAIN)
                all_absent = false;
            if (both[k]->status > DNS_NXDOMAIN) {
                destination_fail(d, reason_of_dns(both[k]->status), "address of %s: %s %s",
                                 d->hosts[i].name, dns_status_name(both[k]->status),
                                 both[k]->detail != NULL ? both[k]->detail : "");
                return;
            }
        }
    }
    if (any_loop)
        destination_fail(d, REASON_LOOP, "the only MX address left is a listener of this tlsmend");
    else if (any_refused)
        destination_fail(d, REASON_MX_FORBIDDEN, "host %s", d->hosts[0].name);
    else if (d->is_route) /* a slip of the administrator's pen makes no mail bounce */
        destination_fail(d, REASON_ROUTE_UNRESOLVABLE, "host %s %s", d->hosts[0].name,
                         all_absent ? "does not exist" : "has neither A nor AAAA");
    else if (all_absent && !d->implicit_mx)
        destination_fail(d, REASON_MX_NOT_FOUND, "host %s", d->hosts[0].name);
    else
        destination_fail(d, REASON_MX_UNRESOLVABLE, "host %s has neither A nor AAAA",
                         d->hosts[0].name);
}

/* A host without an address has trouble of its own; but of one that the MTA-STS policy does not list
 * nothing counts that DNS says: whoever forges an MX record can name a host that does not exist, and no
 * mail bounces for that (C-STS-11). */
bool destination_host_skipped(const struct destination_host *h)
{
    return h->demand.skip == REASON_STS_MX_NOT_LISTED ||
           (h->demand.skip != REASON_OK && h->addr_count > 0);
}

/* There are hosts, and none may be used: the first that says so decides, temporary before final. */
static bool settle_skipped(struct destination *d)
{
    const struct destination_host *found = NULL;

    for (size_t i = 0; i < d->host_count; i++) {
        const struct destination_host *h = &d->hosts[i];

        if (!destination_host_skipped(h))
            continue;
        if (found == NULL || (reason_info(found->demand.skip)->code >= 500 &&
                              reason_info(h->demand.skip)->code < 500))
            found = h;
    }
    if (found != NULL)
        destination_fail(d, found->demand.skip, "%s", found->why_skipped);
    return found != NULL;
}

/* Hosts that are not to be used have no address in it. */
static struct mx_addresses addresses_of(const struct destination_host *h)
{
    bool usable = h->demand.skip == REASON_OK;

    return (struct mx_addresses){h->addrs, usable ? h->addr_count : 0};
}

static void settle_targets(struct destination *d, bool ip6_broken)
{
    size_t limit = (size_t)snapshot_settings(d->snapshot)->resolver.addresses;
    struct mx_addresses lists[MX_HOSTS_MAX];

    for (size_t i = 0; i < d->host_count; i++)
        lists[i] = addresses_of(&d->hosts[i]);
    d->targets = mem_array(limit + 1, sizeof(*d->targets));
    d->target_count = mx_targets(lists, d->host_count, limit, ip6_broken, d->targets);
    d->targets = mem_resize(d->targets, d->target_count + 1, sizeof(*d->targets));
    for (size_t i = 0; i < d->host_count; i++)
        host_request_digest(d, &d->hosts[i], d->hosts[i].digest);
}

size_t destination_targets(const struct destination *d, struct services *sv, struct mx_target *out)
{
    struct mx_addresses lists[MX_HOSTS_MAX];
    int preferences[MX_HOSTS_MAX];
    size_t order[MX_HOSTS_MAX], count;

    for (size_t i = 0; i < d->host_count; i++)
        preferences[i] = d->hosts[i].preference;
    mx_order(preferences, d->host_count, services_random(sv), order);
    for (size_t i = 0; i < d->host_count; i++)
        lists[i] = addresses_of(&d->hosts[order[i]]);
    /* The number of targets does not depend on the order. */
    count = mx_targets(lists, d->host_count, d->target_count, services_ip6_broken(sv), out);
    for (size_t i = 0; i < count; i++)
        out[i].host = order[out[i].host];
    return count;
}

static uint16_t port_for(const struct destination *d)
{
    return d->is_route ? d->route_port : snapshot_settings(d->snapshot)->resolver.mx_port;
}

void destination_settle(struct destination *d, struct services *sv,
                        const struct host_answers *answers)
{
    uint16_t port = port_for(d);
    struct addr_filter filter = snapshot_addr_filter(d->snapshot, port);

    for (size_t i = 0; i < d->host_count; i++) {
        host_accept(d, &d->hosts[i], &filter, port, answers[i].aaaa);
        host_accept(d, &d->hosts[i], &filter, port, answers[i].a);
    }
    settle_targets(d, services_ip6_broken(sv));
    if (d->target_count == 0 && !settle_skipped(d))
        settle_nobody(d, answers);
}

void destination_settle_address(struct destination *d, const struct addr *a)
{
    uint16_t port = port_for(d);
    struct addr_filter filter = snapshot_addr_filter(d->snapshot, port);
    struct destination_host *h = &d->hosts[0];
    enum addr_refusal refusal;
    char text[ADDR_TEXT_MAX];

    h->addrs = mem_array(1, sizeof(*h->addrs));
    h->addrs[0] = *a;
    h->addrs[0].port = port;
    refusal = addr_judge(&filter, &h->addrs[0]);
    if (refusal == ADDR_REFUSED_SELF) {
        destination_fail(d, REASON_LOOP, "%s is a listener of this tlsmend",
                         addr_port_text(&h->addrs[0], text));
    } else if (refusal != ADDR_ACCEPTED && !d->is_route) {
        h->refused = 1;
        destination_fail(d, REASON_MX_FORBIDDEN, "%s is a %s address", addr_text(a, text),
                         addr_class_name(addr_class(a)));
    } else {
        h->addr_count = 1;
        settle_targets(d, false);
        if (d->target_count == 0)
            (void)settle_skipped(d);
    }
}
