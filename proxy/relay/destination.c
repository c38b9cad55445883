/* SPDX-License-Identifier: Apache-2.0 */
/* See destination.h: the look-ups, one after the other; what they mean is destination_make.c. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"

#define QUERY_MAGIC 0x64737451u

struct host_query {
    struct destination_query *parent;
    struct dns_query *a, *aaaa;
    struct host_answers answers;
};

struct destination_query {
    uint32_t magic;
    struct services *services;
    struct resolver_share *resolver;
    struct destination *dest;
    destination_done_fn *done;
    void *owner;
    struct dns_query *mx;
    struct host_query *hosts;
    size_t pending;
    mono_ms started;
    bool cancelled;
};

void destination_free(struct destination **held)
{
    struct destination *d = *held;

    *held = NULL;
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->host_count; i++)
        free(d->hosts[i].addrs);
    free(d->hosts);
    free(d->targets);
    snapshot_drop(&d->snapshot);
    free(d);
}

static void query_free(void *owner)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    if (q->hosts != NULL)
        for (size_t i = 0; i < q->dest->host_count; i++) {
            dns_answer_drop(&q->hosts[i].answers.a);
            dns_answer_drop(&q->hosts[i].answers.aaaa);
        }
    free(q->hosts);
    destination_free(&q->dest);
    resolver_share_drop(&q->resolver);
    q->magic = 0;
    free(q);
}

static void query_end(struct destination_query *q)
{
    struct destination *d = q->dest;

    d->took_ms = loop_now(q->services->loop) - q->started;
    for (size_t i = 0; q->hosts != NULL && i < d->host_count; i++) {
        dns_answer_drop(&q->hosts[i].answers.a);
        dns_answer_drop(&q->hosts[i].answers.aaaa);
    }
    free(q->hosts);
    q->hosts = NULL;
    q->dest = NULL;
    q->cancelled = true; /* the answer is given: nothing else may come */
    q->done(q->owner, d);
    loop_defer(q->services->loop, query_free, q);
}

/* The answer is known without a look-up; tell it from the loop all the same. */
static void query_end_later(void *owner)
{
    struct destination_query *q = OBJ_CAST(destination_query, QUERY_MAGIC, owner);

    if (q->cancelled)
        query_free(q);
    else
        query_end(q);
}

static void host_answered(struct host_query *h)
{
    struct destination_query *q = h->parent;
    struct destination *d = q->dest;

    if (--q->pending > 0)
        return;
    struct host_answers *all = mem_array(d->host_count + 1, sizeof(*all));
    for (size_t i = 0; i < d->host_count; i++)
        all[i] = q->hosts[i].answers;
    destination_settle(d, q->services, all);
    free(all);
    query_end(q);
}

static void on_a(void *owner, const struct dns_answer *a)
{
    struct host_query *h = owner;

    h->a = NULL;
    h->answers.a = dns_answer_hold(a);
    host_answered(h);
}

static void on_aaaa(void *owner, const struct dns_answer *a)
{
    struct host_query *h = owner;

    h->aaaa = NULL;
    h->answers.aaaa = dns_answer_hold(a);
    host_answered(h);
}

static void ask_addresses(struct destination_query *q)
{
    struct destination *d = q->dest;
    struct resolver *r = resolver_of(q->resolver);

    q->hosts = mem_array(d->host_count + 1, sizeof(*q->hosts));
    q->pending = d->host_count * 2;
    for (size_t i = 0; i < d->host_count; i++) {
        struct host_query *h = &q->hosts[i];

        h->parent = q;
        h->aaaa = dns_ask(r, d->hosts[i].name, DNS_AAAA, on_aaaa, h);
        h->a = dns_ask(r, d->hosts[i].name, DNS_A, on_a, h);
    }
}

static void add_host(struct destination *d, const char *name, int preference)
{
    struct destination_host *h;

    d->hosts = mem_resize(d->hosts, d->host_count + 1, sizeof(*d->hosts));
    h = &d->hosts[d->host_count++];
    memset(h, 0, sizeof(*h));
    strncpy(h->name, name, sizeof(h->name) - 1);
    h->preference = preference;
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
        destination_fail(d, REASON_NULL_MX, "MX 0 .");
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
    bool go_on = false;

    q->mx = NULL;
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
        destination_fail(d, REASON_DOMAIN_NOT_FOUND, "NXDOMAIN");
        break;
    case DNS_FAILED:
    case DNS_TIMED_OUT:
    case DNS_IS_BOGUS:
        destination_fail(d, reason_of_dns(answer->status), "MX: %s %s",
                         dns_status_name(answer->status),
                         answer->detail != NULL ? answer->detail : "");
        break;
    }
    if (go_on) {
        destination_demands(d, loop_wall());
        ask_addresses(q);
    } else {
        query_end(q);
    }
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
        strncpy(d->nexthop, o->route_host, sizeof(d->nexthop) - 1);
        is_address = addr_parse(slice_str(o->route_host), &at);
    }
    if (!d->is_route && !d->is_literal)
        return false;
    add_host(d, d->nexthop, -1);
    destination_demands(d, loop_wall());
    if (is_address) {
        destination_settle_address(d, &at);
        loop_defer(q->services->loop, query_end_later, q);
    } else {
        ask_addresses(q);
    }
    return true;
}

struct destination_query *destination_find(struct services *sv, struct snapshot *snap,
                                           const struct mailbox *recipient,
                                           destination_done_fn *done, void *owner)
{
    struct destination_query *q = mem_zalloc(sizeof(*q));
    struct destination *d = mem_zalloc(sizeof(*d));

    q->magic = QUERY_MAGIC;
    q->services = sv;
    q->resolver = resolver_share_hold(sv->resolver);
    q->dest = d;
    q->done = done;
    q->owner = owner;
    q->started = loop_now(sv->loop);
    d->snapshot = snapshot_hold(snap);
    d->reason = REASON_OK;
    d->is_literal = recipient->is_literal;
    if (d->is_literal) {
        size_t n =
            recipient->domain.n < sizeof(d->domain) ? recipient->domain.n : sizeof(d->domain) - 1;
        memcpy(d->domain, recipient->domain.p, n);
    } else {
        /* The inbound machine let only host names pass. */
        INVARIANT(domain_normalise(recipient->domain, d->domain));
    }
    memcpy(d->nexthop, d->domain, sizeof(d->nexthop));
    if (!start_without_mx(q, recipient))
        q->mx = dns_ask(resolver_of(q->resolver), d->domain, DNS_MX, on_mx, q);
    return q;
}

void destination_cancel(struct destination_query **held)
{
    struct destination_query *q = *held;

    *held = NULL;
    if (q == NULL || q->cancelled)
        return;
    q->cancelled = true;
    if (q->mx == NULL && q->hosts == NULL)
        return; /* query_end_later() is on its way and frees it */
    dns_cancel(&q->mx);
    for (size_t i = 0; q->hosts != NULL && i < q->dest->host_count; i++) {
        dns_cancel(&q->hosts[i].a);
        dns_cancel(&q->hosts[i].aaaa);
    }
    loop_defer(q->services->loop, query_free, q);
}
