/* SPDX-License-Identifier: Apache-2.0 */
/*
 * override - which row of `destinations` is in force; see demand.h for the contract.
 *
 * Every row that fits gets a rank: first the kind of fit, then its length.  The highest rank wins,
 * the first of equals stands (the loader refuses equal matches).
 */
#include "proxy/policy/demand.h"
#include "proxy/smtp/mailbox.h"

enum fit { FIT_NONE, FIT_ANY, FIT_MX, FIT_PARENT, FIT_EXACT };

struct rank {
    enum fit fit;
    size_t length;
};

static bool is_literal(struct slice s)
{
    return s.n > 0 && s.p[0] == '[';
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3). */
static bool literal_parse(struct slice s, struct addr *out)
{
    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    s = slice_of(s.p + 1, s.n - 2);
    if (slice_istarts(s, SLICE("IPv6:")))
        s = slice_from(s, 5);
    return addr_parse(s, out);
}

static bool literal_eq(struct slice a, struct slice b)
{
    struct addr x, y;

    return literal_parse(a, &x) && literal_parse(b, &y) && addr_same_ip(&x, &y);
}

static struct rank rank_name(struct slice match, struct slice name, enum fit exact, enum fit below)
{
    if (match.n > 1 && match.p[0] == '.') {
        if (domain_below(name, slice_from(match, 1)))
            return (struct rank){below, match.n};
    } else if (match.n > 0 && domain_eq(name, match)) {
        return (struct rank){exact, match.n};
    }
    return (struct rank){FIT_NONE, 0};
}

static struct rank rank_row(struct slice match, struct slice domain, struct slice mx_host)
{
    if (slice_eq(match, SLICE("*")))
        return (struct rank){FIT_ANY, 0};
    if (is_literal(domain) || is_literal(match))
        return (struct rank){literal_eq(match, domain) ? FIT_EXACT : FIT_NONE, 0};
    if (slice_istarts(match, SLICE("mx:"))) {
        if (mx_host.n == 0)
            return (struct rank){FIT_NONE, 0};
        return rank_name(slice_from(match, 3), mx_host, FIT_MX, FIT_MX);
    }
    return rank_name(match, domain, FIT_EXACT, FIT_PARENT);
}

static bool is_better(struct rank r, struct rank than)
{
    return r.fit > than.fit || (r.fit == than.fit && r.length > than.length);
}

static bool has_expired(const struct override *o, wall_ms now)
{
    return o->expires != 0 && now >= o->expires;
}

/* The best row among those that have expired, or among those that have not. */
static const struct override *best_row(const struct demand_config *c, struct slice domain,
                                       struct slice mx_host, wall_ms now, bool expired,
                                       struct rank *top)
{
    const struct override *best = NULL;

    *top = (struct rank){FIT_NONE, 0};
    for (size_t i = 0; i < c->override_count; i++) {
        const struct override *o = &c->overrides[i];
        struct rank r = rank_row(slice_str(o->match), domain, mx_host);

        if (has_expired(o, now) == expired && is_better(r, *top)) {
            *top = r;
            best = o;
        }
    }
    return best;
}

const struct override *override_for_host(const struct demand_config *c, struct slice domain,
                                         struct slice mx_host, wall_ms now)
{
    struct rank ignored;

    return best_row(c, domain, mx_host, now, false, &ignored);
}

const struct override *override_for_domain(const struct demand_config *c, struct slice domain,
                                           wall_ms now)
{
    return override_for_host(c, domain, SLICE_NONE, now);
}

const struct override *override_expired(const struct demand_config *c, struct slice domain,
                                        struct slice mx_host, wall_ms now)
{
    struct rank live, dead;
    const struct override *ended = best_row(c, domain, mx_host, now, true, &dead);

    (void)best_row(c, domain, mx_host, now, false, &live);
    return is_better(dead, live) ? ended : NULL;
}
