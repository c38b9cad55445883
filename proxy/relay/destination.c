/* SPDX-License-Identifier: Apache-2.0 */
/* See destination.h: the look-ups, one after the other; what they mean is destination_make.c. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/policy/provider.h"
#include "proxy/relay/destination_internal.h"

#define QUERY_MAGIC 0x64737451u

struct destination_query {
    uint32_t magic;
    struct services *services;
    struct resolver_share *resolver;
    struct destination *dest;
    destination_done_fn *done;
    void *owner;
    struct destination_wish wish;
    struct dns_query *mx;
    struct sts_query *sts;
    struct host_query **hosts; /* one per host of `dest` */
    size_t pending;            /* hosts that are not finished */
    struct addr address;       /* of a host that is one */
    bool asked, hosts_known, sts_known;
    mono_ms started;
    bool cancelled;
};

static void queries_free(struct destination_query *q)
{
    dns_cancel(&q->mx);
    sts_cancel(&q->sts);
    for (size_t i = 0; q->hosts != NULL && i < q->dest->host_count; i++)
        host_query_free(&q->hosts[i]);
    free(q->hosts);
    q->hosts = NULL;
}

static void query_free(void *owner)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    destination_free(&q->dest);
    resolver_share_drop(&q->resolver);
    q->magic = 0;
    free(q);
}

static void query_end(struct destination_query *q)
{
    struct destination *d = q->dest;

    for (size_t i = 0; q->hosts != NULL && i < d->host_count; i++)
        destination_lives(d, host_query_good_until(q->hosts[i]));
    d->dates_until = destination_dates(d, loop_wall());
    d->holds = 1;
    queries_free(q);
    q->dest = NULL;
    q->cancelled = true; /* the answer is given: nothing else may come */
    q->done(q->owner, d);
    loop_defer(q->services->loop, query_free, q);
}

/* Hosts and policy are known: the demands are decided, and with them the targets. */
static void query_settle(struct destination_query *q)
{
    struct destination *d = q->dest;
    struct host_answers *answers;

    if (!q->hosts_known || !q->sts_known)
        return;
    destination_demands(d, &q->wish, loop_wall());
    if (q->asked) {
        answers = mem_array(d->host_count + 1, sizeof(*answers));
        for (size_t i = 0; i < d->host_count; i++)
            answers[i] = *host_query_answers(q->hosts[i]);
        destination_settle(d, q->services, answers);
        free(answers);
    } else {
        destination_settle_address(d, &q->address);
    }
    query_end(q);
}

/* The answer may be known without a look-up; tell it from the loop all the same. */
static void query_settle_later(void *owner)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    if (q->cancelled)
        return;
    q->hosts_known = true;
    query_settle(q);
}

static void on_sts(void *owner, struct sts_found *found)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    q->sts = NULL;
    q->dest->sts = *found;
    q->dest->sts.detail = destination_text(found->detail);
    destination_lives(q->dest, found->good_until);
    q->sts_known = true;
    query_settle(q);
}

static void on_host(void *owner)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    if (--q->pending > 0)
        return;
    q->hosts_known = true;
    query_settle(q);
}

static void ask_hosts(struct destination_query *q)
{
    struct destination *d = q->dest;
    struct resolver *r = resolver_of(q->resolver);

    q->asked = true;
    q->hosts = mem_array(d->host_count + 1, sizeof(struct host_query *));
    q->pending = d->host_count;
    for (size_t i = 0; i < d->host_count; i++)
        q->hosts[i] = host_query_start(q->services, r, d, &d->hosts[i], on_host, q);
}

static void add_host(struct destination *d, const char *name, int preference)
{
    struct destination_host *h;

    d->hosts = mem_resize(d->hosts, d->host_count + 1, sizeof(*d->hosts));
    h = &d->hosts[d->host_count++];
    *h = (struct destination_host){
        .name = destination_text(name),
        .preference = preference,
        .dane = {.base = "", .detail = ""},
        .why_skipped = "",
    };
    h->provider = provider_of(h->name);
}

/* C-MX-03 and C-MX-04 make the mail bounce.  Where the domain has said under its certificate that it takes
 * mail, an answer that anybody could have forged must not: then it waits, at most for max_age. */
static void fail_for_good(struct destination_query *q, enum reason why, const char *what,
                          const struct dns_answer *answer)
{
    const struct policy_entry *held =
        answer->secure ? NULL : policies_find(q->services->policies, q->dest->domain);

    if (held != NULL && held->held.mode == STS_ENFORCE && sts_live(&held->held, loop_wall()))
        destination_fail(
            q->dest, REASON_STS_MX_NOT_LISTED,
            "the DNS says %s, not signed, and the MTA-STS policy %s (enforce) of %s lists %s", what,
            held->held.id, held->domain,
            held->policy.mx_count > 0 ? held->policy.mx[0] : "nothing");
    else
        destination_fail(q->dest, why, "%s", what);
    policy_entry_drop(&held);
}

/* MX records that are there: sort them, and ask for every host (C-MX-01, C-MX-04). */
static bool take_mx(struct destination_query *q, const struct dns_answer *answer)
{
    struct destination *d = q->dest;
    size_t count = answer->count, refused = 0; /* mx_sort() keeps the best of too many */
    struct mx_record *records = mem_array(count + 1, sizeof(*records));
    enum mx_kind kind;

    if (count > 0)
        memcpy(records, answer->mx, count * sizeof(*records));
    kind = mx_sort(records, &count, services_random(q->services), &refused);
    d->mx_ignored = refused + answer->malformed;
    switch (kind) {
    case MX_NULL:
        fail_for_good(q, REASON_NULL_MX, "MX 0 .", answer);
        break;
    case MX_NONE:
    case MX_UNUSABLE:
        destination_fail(d, REASON_MX_FORBIDDEN,
                         "%zu MX record(s), none with a host that mail can go to",
                         answer->count + answer->malformed);
        break;
    case MX_LIST:
        for (size_t i = 0; i < count; i++) {
            add_host(d, records[i].host, records[i].preference);
            d->hosts[i].mx_secure = answer->secure;
        }
        break;
    }
    free(records);
    return kind == MX_LIST;
}

static void on_mx(void *owner, const struct dns_answer *answer)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);
    struct destination *d = q->dest;
    char expanded[DOMAIN_MAX + 1];
    bool go_on = false;

    q->mx = NULL;
    destination_lives(d, loop_now(q->services->loop) + answer->ttl * 1000LL);
    if (answer->secure && strcmp(answer->canonical, d->domain) != 0 &&
        domain_normalise(slice_str(answer->canonical), expanded))
        d->expanded = destination_text(expanded);
    switch (answer->status) {
    case DNS_OK:
        go_on = take_mx(q, answer);
        break;
    case DNS_NODATA: /* C-MX-02: the domain is its own MX, never when MX records exist */
        d->implicit_mx = true;
        add_host(d, d->domain, -1);
        d->hosts[0].mx_secure = answer->secure;
        go_on = true;
        break;
    case DNS_NXDOMAIN:
        fail_for_good(q, REASON_DOMAIN_NOT_FOUND, "NXDOMAIN", answer);
        break;
    case DNS_FAILED:
    case DNS_TIMED_OUT:
    case DNS_IS_BOGUS:
        destination_fail(d, reason_of_dns(answer->status), "MX: %s %s",
                         dns_status_name(answer->status),
                         answer->detail != NULL ? answer->detail : "");
        break;
    }
    if (go_on)
        ask_hosts(q);
    else
        query_end(q);
}

/* True when the answer needs no MX look-up: an address literal, or a route. */
static bool start_without_mx(struct destination_query *q, const struct mailbox *recipient)
{
    struct destination *d = q->dest;
    const struct override *o =
        override_for_domain(snapshot_demand(d->snapshot), slice_str(d->domain), loop_wall());
    struct addr at = recipient->literal;
    bool is_address = recipient->is_literal;

    if (o != NULL && o->route_host != NULL) {
        d->is_route = true;
        d->route_port = o->route_port;
        destination_text_drop(&d->nexthop);
        d->nexthop = destination_text(o->route_host);
        is_address = addr_parse(slice_str(o->route_host), &at);
    }
    if (!d->is_route && !d->is_literal)
        return false;
    add_host(d, d->nexthop, -1);
    if (is_address) {
        q->address = at;
        loop_defer(q->services->loop, query_settle_later, q);
    } else {
        ask_hosts(q);
    }
    return true;
}

/* C-STS-05: the policy domain is the recipient's domain, or the host of a route; an address has none. */
static void start_sts(struct destination_query *q)
{
    struct destination *d = q->dest;
    char domain[DOMAIN_MAX + 1];
    struct addr ignored;

    q->sts_known = d->is_literal || !snapshot_settings(d->snapshot)->mta_sts.enabled ||
                   q->services->sts == NULL ||
                   (d->is_route && addr_parse(slice_str(d->nexthop), &ignored));
    d->sts = (struct sts_found){.why = "MTA-STS is not looked for", .detail = ""};
    if (q->sts_known || !domain_normalise(slice_str(d->nexthop), domain)) {
        q->sts_known = true;
    } else {
        d->policy_domain = destination_text(domain);
        d->sts.why = "there is no host to ask it for"; /* where the MX look-up ends it all */
        q->sts = sts_find(q->services->sts, d->snapshot, d->policy_domain, false, on_sts, q);
    }
}

struct destination_query *destination_find(struct services *sv, struct snapshot *snap,
                                           const struct mailbox *recipient,
                                           const struct destination_wish *wish,
                                           destination_done_fn *done, void *owner)
{
    struct destination_query *q = mem_zalloc(sizeof(*q));
    struct destination *d;

    q->magic = QUERY_MAGIC;
    q->services = sv;
    q->resolver = resolver_share_hold(sv->resolver);
    q->dest = d = destination_new(snap, recipient);
    q->wish = *wish;
    q->done = done;
    q->owner = owner;
    q->started = loop_now(sv->loop);
    d->good_until = q->started + DESTINATION_LIFE_MAX_MS;
    if (!start_without_mx(q, recipient))
        q->mx = dns_ask(resolver_of(q->resolver), d->domain, DNS_MX, on_mx, q);
    start_sts(q);
    return q;
}

void destination_cancel(struct destination_query **held)
{
    struct destination_query *q = *held;

    *held = NULL;
    if (q == NULL || q->cancelled)
        return;
    q->cancelled = true;
    queries_free(q);
    loop_defer(q->services->loop, query_free, q); /* behind query_settle_later(), if that waits */
}
