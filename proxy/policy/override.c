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

const struct override *override_for_host(const struct demand_config *c, struct slice domain,
                                         struct slice mx_host)
{
    const struct override *best = NULL;
    struct rank top = {FIT_NONE, 0};

    for (size_t i = 0; i < c->override_count; i++) {
        struct rank r = rank_row(slice_str(c->overrides[i].match), domain, mx_host);

        if (r.fit > top.fit || (r.fit == top.fit && r.length > top.length)) {
            top = r;
            best = &c->overrides[i];
        }
    }
    return best;
}

const struct override *override_for_domain(const struct demand_config *c, struct slice domain)
{
    return override_for_host(c, domain, SLICE_NONE);
}
