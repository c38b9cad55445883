/* SPDX-License-Identifier: Apache-2.0 */
/* See services.h. */
#include "proxy/relay/services.h"

#include <stdlib.h>

#include "proxy/base/mem.h"

struct resolver_share {
    unsigned holds;
    struct resolver *resolver;
};

struct resolver_share *resolver_share_new(struct loop *l, const struct resolver_params *p,
                                          struct buf *error)
{
    struct resolver *r = resolver_new(l, p, error);
    struct resolver_share *s;

    if (r == NULL)
        return NULL;
    s = mem_zalloc(sizeof(*s));
    s->holds = 1;
    s->resolver = r;
    return s;
}

struct resolver_share *resolver_share_from(struct loop *l, const struct settings *set,
                                           bool validate, struct buf *error)
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
    struct resolver_share *share;

    for (size_t i = 0; i < set->resolver.stub_count; i++)
        stubs[i] = (struct dns_stub){set->resolver.stubs[i].zone, set->resolver.stubs[i].server};
    share = resolver_share_new(l, &p, error);
    free(stubs);
    return share;
}

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
    resolver_free(&s->resolver);
    free(s);
}

struct resolver *resolver_of(const struct resolver_share *s)
{
    return s->resolver;
}

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
