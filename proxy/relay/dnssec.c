/* SPDX-License-Identifier: Apache-2.0 */
/* See dnssec.h: the probe; dnssec_watch.c has the rest. */
#include "proxy/relay/dnssec.h"

#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/services.h"

#define PROBE_MAGIC 0x646e7373u

struct dnssec_probe {
    uint32_t magic;
    struct loop *loop;
    struct resolver_share *resolver;
    struct dns_query *query;
    dnssec_done_fn *done;
    void *owner;
};

static void probe_free(void *owner)
{
    struct dnssec_probe *p = OBJ_CAST(dnssec_probe, PROBE_MAGIC, owner);

    resolver_share_drop(&p->resolver);
    p->magic = 0;
    free(p);
}

static enum dnssec_state state_of(const struct dns_answer *a)
{
    switch (a->status) {
    case DNS_OK:
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        return a->secure ? DNSSEC_WORKS : DNSSEC_STRIPPED;
    case DNS_IS_BOGUS:
        return DNSSEC_STRIPPED;
    case DNS_FAILED:
    case DNS_TIMED_OUT:
        break;
    }
    return DNSSEC_UNKNOWN;
}

static void on_answer(void *owner, const struct dns_answer *a)
{
    struct dnssec_probe *p = OBJ_CAST(dnssec_probe, PROBE_MAGIC, owner);

    p->query = NULL;
    p->done(p->owner, state_of(a), a->detail != NULL ? a->detail : "");
    loop_defer(p->loop, probe_free, p);
}

struct dnssec_probe *dnssec_probe_start(struct loop *l, const struct settings *set,
                                        dnssec_done_fn *done, void *owner)
{
    struct dnssec_probe *p;
    struct resolver_share *resolver;
    struct buf ignored; /* the settings were tried before: resolvers_check() */
    char *zone;

    if (set->resolver.trust_anchor[0] == '\0')
        return NULL;
    buf_init(&ignored, 1024);
    zone = resolver_anchor_zone(set->resolver.trust_anchor, &ignored);
    resolver = zone != NULL ? resolver_share_from(l, set, true, &ignored) : NULL;
    buf_clear(&ignored);
    if (resolver == NULL) {
        free(zone);
        return NULL;
    }
    p = mem_zalloc(sizeof(*p));
    p->magic = PROBE_MAGIC;
    p->loop = l;
    p->resolver = resolver;
    p->done = done;
    p->owner = owner;
    p->query = dns_ask(resolver_of(resolver), zone, DNS_A, on_answer, p);
    free(zone);
    return p;
}

void dnssec_probe_cancel(struct dnssec_probe **held)
{
    struct dnssec_probe *p = *held;

    *held = NULL;
    if (p == NULL)
        return;
    dns_cancel(&p->query);
    loop_defer(p->loop, probe_free, p);
}

/* ---- waited for ---- */

struct waiting {
    struct loop *loop;
    struct dnssec_probe *probe;
    enum dnssec_state state;
    struct buf *detail;
};

static void waited_done(void *owner, enum dnssec_state state, const char *detail)
{
    struct waiting *w = owner;

    w->probe = NULL;
    w->state = state;
    (void)buf_add(w->detail, slice_str(detail));
    loop_stop(w->loop);
}

static void waited_enough(void *owner)
{
    struct waiting *w = owner;

    loop_stop(w->loop);
}

enum dnssec_state dnssec_probe_now(const struct settings *set, int64_t ms, struct buf *detail)
{
    struct waiting w = {.loop = loop_new(), .state = DNSSEC_UNKNOWN, .detail = detail};
    struct timer *limit;

    if (set->resolver.trust_anchor[0] == '\0' || w.loop == NULL) {
        loop_free(&w.loop);
        return DNSSEC_OFF;
    }
    loop_unwatched(w.loop); /* it ends a resolver */
    limit = timer_new(w.loop, waited_enough, &w);
    timer_arm(limit, ms);
    w.probe = dnssec_probe_start(w.loop, set, waited_done, &w);
    if (w.probe != NULL)
        loop_run(w.loop);
    dnssec_probe_cancel(&w.probe);
    timer_free(&limit);
    loop_free(&w.loop);
    return w.state;
}
