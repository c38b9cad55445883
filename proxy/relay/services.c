/* SPDX-License-Identifier: Apache-2.0 */
/* See services.h. */
#include "proxy/relay/services.h"

#include <stdlib.h>

#include "proxy/base/mem.h"

struct resolver_share {
    unsigned holds;
    struct resolver *resolver;
    const struct services *services; /* NULL: the context ends with the last hold, at once */
};

/* ---- making ---- */

struct resolver_context *resolver_prepare_from(const struct settings *set, bool validate,
                                               struct buf *error)
{
    struct dns_stub *stubs = mem_array(set->resolver.stub_count + 1, sizeof(*stubs));
    struct resolver_params p = {
        .forward = set->resolver.forward,
        .forward_count = set->resolver.forward_count,
        .system = set->resolver.system,
        .stubs = stubs,
        .stub_count = set->resolver.stub_count,
        .trust_anchor = validate ? set->resolver.trust_anchor : "",
        .timeout = set->resolver.timeout,
    };
    struct resolver_context *c;

    for (size_t i = 0; i < set->resolver.stub_count; i++)
        stubs[i] = (struct dns_stub){set->resolver.stubs[i].zone, set->resolver.stubs[i].server};
    c = resolver_prepare(&p, error);
    free(stubs);
    return c;
}

static void end_context(void *owner)
{
    struct resolver_context *c = owner;

    resolver_context_free(&c);
}

/* Main's loop takes calls for as long as this one runs (worker.c). */
static void retire(const struct services *sv, struct resolver_context *c)
{
    if (sv == NULL || sv->main_loop == NULL || !loop_post(sv->main_loop, end_context, c))
        resolver_context_free(&c);
}

static struct resolver_share *open_in(struct loop *l, const struct services *sv,
                                      struct resolver_context **prepared, struct buf *error)
{
    struct resolver *r = resolver_open(l, prepared);
    struct resolver_share *s;

    if (r == NULL) {
        (void)buf_addf(error, "resolver: the event loop takes no more descriptors");
        retire(sv, *prepared);
        *prepared = NULL;
        return NULL;
    }
    s = mem_zalloc(sizeof(*s));
    s->holds = 1;
    s->resolver = r;
    s->services = sv;
    return s;
}

struct resolver_share *resolver_share_open(const struct services *sv,
                                           struct resolver_context **prepared, struct buf *error)
{
    return open_in(sv->loop, sv, prepared, error);
}

struct resolver_share *resolver_share_from(struct loop *l, const struct settings *set,
                                           bool validate, struct buf *error)
{
    struct resolver_context *c = resolver_prepare_from(set, validate, error);

    return c != NULL ? open_in(l, NULL, &c, error) : NULL;
}

/* ---- holds ---- */

struct resolver_share *resolver_share_hold(struct resolver_share *s)
{
    s->holds++;
    return s;
}

void resolver_share_drop(struct resolver_share **held)
{
    struct resolver_share *s = *held;

    *held = NULL;
    if (s == NULL || --s->holds > 0)
        return;
    retire(s->services, resolver_close(&s->resolver));
    free(s);
}

struct resolver *resolver_of(const struct resolver_share *s)
{
    return s->resolver;
}

/* ---- the rest ---- */

void services_ip6_failed(struct services *sv)
{
    sv->ip6_broken_until = loop_now(sv->loop) + IP6_BROKEN_MS;
}

void services_ip6_worked(struct services *sv)
{
    sv->ip6_broken_until = 0;
}

bool services_ip6_broken(const struct services *sv)
{
    return sv->ip6_broken_until > loop_now(sv->loop);
}

uint64_t services_random(struct services *sv)
{
    /* splitmix64: good enough to spread load over equal MX hosts, which is all that it is for. */
    uint64_t z = (sv->seed += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
