/* SPDX-License-Identifier: Apache-2.0 */
/* See destination_internal.h: the look-ups for one MX host; which ones DANE needs, and what they mean, is
 * policy/tlsa_plan's word. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"

struct host_query {
    struct resolver *resolver; /* lent */
    struct loop *loop;
    struct destination_host *host;
    struct dns_query *a, *aaaa, *more;
    struct host_answers answers;
    struct tlsa_plan plan;
    mono_ms good_until;
    unsigned port;
    bool mx_vouched, validating;
    host_done_fn *done;
    void *owner;
};

/* ---- DANE ---- */

static void lives(struct host_query *q, const struct dns_answer *answer)
{
    mono_ms until = loop_now(q->loop) + answer->ttl * 1000LL;

    if (until < q->good_until)
        q->good_until = until;
}

static enum tlsa_answer_status status_of(enum dns_status s)
{
    switch (s) {
    case DNS_OK:
        return TLSA_ANSWER_RECORDS;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        return TLSA_ANSWER_NONE;
    case DNS_FAILED:
    case DNS_TIMED_OUT:
    case DNS_IS_BOGUS:
        break;
    }
    return TLSA_ANSWER_FAILED;
}

/* A and AAAA as one answer: what has records must be signed. */
static struct tlsa_answer addresses_as_one(const struct host_query *q)
{
    const struct dns_answer *both[] = {q->answers.aaaa, q->answers.a};
    struct tlsa_answer all = {.status = TLSA_ANSWER_NONE, .secure = true};

    for (size_t i = 0; i < 2; i++) {
        enum tlsa_answer_status one = status_of(both[i]->status);

        if (one == TLSA_ANSWER_RECORDS) {
            all.secure = all.secure && both[i]->secure;
            all.canonical = both[i]->canonical;
            all.status = one;
        } else if (one == TLSA_ANSWER_FAILED && all.status == TLSA_ANSWER_NONE) {
            all.status = one;
        }
    }
    return all;
}

static void dane_step(struct host_query *q);

static void on_more(void *owner, const struct dns_answer *answer)
{
    struct host_query *q = owner;
    struct tlsa_answer told = {
        .status = status_of(answer->status),
        .secure = answer->secure,
        .canonical = answer->canonical,
        .rdata = answer->rdata,
        .count = answer->count,
    };

    q->more = NULL;
    lives(q, answer);
    tlsa_plan_answer(&q->plan, &told);
    dane_step(q);
}

/* The plan is three times as big as a host. */
static void keep_result(struct host_query *q)
{
    struct destination_dane *d = &q->host->dane;

    d->state = q->plan.state;
    d->base =
        strcmp(q->plan.base, q->host->name) == 0 ? q->host->name : destination_text(q->plan.base);
    d->detail = destination_text(q->plan.detail);
    d->record_count = q->plan.record_count;
    d->usable_count = q->plan.usable_count;
    tlsa_plan_give(&q->plan, &d->records, &d->data);
}

static void dane_step(struct host_query *q)
{
    for (;;) {
        struct tlsa_ask ask = tlsa_plan_next(&q->plan);
        struct tlsa_answer addresses;

        switch (ask.type) {
        case TLSA_ASK_ADDRESS:
            addresses = addresses_as_one(q);
            q->host->addr_secure = addresses.status == TLSA_ANSWER_RECORDS && addresses.secure;
            tlsa_plan_answer(&q->plan, &addresses);
            continue;
        case TLSA_ASK_CNAME:
        case TLSA_ASK_TLSA:
            q->more = dns_ask(q->resolver, ask.name,
                              ask.type == TLSA_ASK_CNAME ? DNS_CNAME : DNS_TLSA, on_more, q);
            return;
        case TLSA_ASK_DONE:
            keep_result(q);
            q->done(q->owner);
            return;
        }
    }
}

/* ---- addresses ---- */

static void addresses_known(struct host_query *q)
{
    bool any = q->answers.a->status == DNS_OK || q->answers.aaaa->status == DNS_OK;

    /* A host without addresses is no host: nothing is asked about it. */
    tlsa_plan_init(&q->plan, q->host->name, q->port, q->mx_vouched, q->validating && any);
    dane_step(q);
}

static void on_a(void *owner, const struct dns_answer *a)
{
    struct host_query *q = owner;

    q->a = NULL;
    lives(q, a);
    q->answers.a = dns_answer_hold(a);
    if (q->answers.aaaa != NULL)
        addresses_known(q);
}

static void on_aaaa(void *owner, const struct dns_answer *a)
{
    struct host_query *q = owner;

    q->aaaa = NULL;
    lives(q, a);
    q->answers.aaaa = dns_answer_hold(a);
    if (q->answers.a != NULL)
        addresses_known(q);
}

/* The setting dane-only, or half_dane: TLSA records of a signed host count though nothing vouches for its
 * being the MX (RFC 7672 2.2.1, C-DANE-08). */
static bool half_dane(const struct destination *d, const struct destination_host *h)
{
    const struct demand_config *c = snapshot_demand(d->snapshot);
    const struct override *o =
        override_for_host(c, slice_str(d->domain), slice_str(h->name), loop_wall());
    enum tls_level level = o != NULL && o->has_level ? o->level : c->level;

    return c->half_dane || level == LEVEL_DANE_ONLY;
}

struct host_query *host_query_start(struct services *sv, struct resolver *r,
                                    const struct destination *d, struct destination_host *h,
                                    host_done_fn *done, void *owner)
{
    struct host_query *q = mem_zalloc(sizeof(*q));

    q->resolver = r;
    q->loop = sv->loop;
    q->host = h;
    q->good_until = loop_now(sv->loop) + DESTINATION_LIFE_MAX_MS;
    q->port = d->is_route ? d->route_port : snapshot_settings(d->snapshot)->resolver.mx_port;
    q->validating = sv->validating;
    q->mx_vouched = h->mx_secure || d->is_route || half_dane(d, h);
    q->done = done;
    q->owner = owner;
    q->aaaa = dns_ask(r, h->name, DNS_AAAA, on_aaaa, q);
    q->a = dns_ask(r, h->name, DNS_A, on_a, q);
    return q;
}

const struct host_answers *host_query_answers(const struct host_query *q)
{
    return &q->answers;
}

mono_ms host_query_good_until(const struct host_query *q)
{
    return q->good_until;
}

void host_query_free(struct host_query **held)
{
    struct host_query *q = *held;

    *held = NULL;
    if (q == NULL)
        return;
    dns_cancel(&q->a);
    dns_cancel(&q->aaaa);
    dns_cancel(&q->more);
    dns_answer_drop(&q->answers.a);
    dns_answer_drop(&q->answers.aaaa);
    tlsa_plan_clear(&q->plan);
    free(q);
}
