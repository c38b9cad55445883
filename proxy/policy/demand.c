/* SPDX-License-Identifier: Apache-2.0 */
/* demand - see demand.h for the contract; override.c finds the row in force. */
#include "proxy/policy/demand.h"

#include "proxy/base/invariant.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* C-TLS-01: a level is a row. */
static const struct level_info {
    const char *name;
    bool owes_tls, owes_trust;
} levels[LEVEL_COUNT] = {
    [LEVEL_NONE] = {"none", false, false},      [LEVEL_MAY] = {"may", false, false},
    [LEVEL_ENCRYPT] = {"encrypt", true, false}, [LEVEL_VERIFY] = {"verify", true, true},
    [LEVEL_SECURE] = {"secure", true, true},    [LEVEL_FINGERPRINT] = {"fingerprint", true, false},
};

static const char *const version_names[] = {
    [TLS_VERSION_UNSET] = "",
    [TLS_VERSION_1_2] = "1.2",
    [TLS_VERSION_1_3] = "1.3",
};

static const char *const source_names[] = {
    [DEMAND_DEFAULT] = "default",
    [DEMAND_CONFIG] = "config",
};

/* The names that Postfix asks for by default at its levels of the same meaning. */
static const char *const verify_names[] = {"hostname"};
static const char *const secure_names[] = {"nexthop", "dot-nexthop"};

const char *tls_level_name(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return levels[l].name;
}

bool tls_level_find(struct slice name, enum tls_level *out)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        if (slice_eq(name, slice_str(levels[l].name))) {
            *out = (enum tls_level)l;
            return true;
        }
    return false;
}

const char *tls_version_name(enum tls_version v)
{
    INVARIANT((unsigned)v < COUNT(version_names));
    return version_names[v];
}

bool tls_version_find(struct slice name, enum tls_version *out)
{
    for (size_t v = TLS_VERSION_1_2; v < COUNT(version_names); v++)
        if (slice_eq(name, slice_str(version_names[v]))) {
            *out = (enum tls_version)v;
            return true;
        }
    return false;
}

const char *demand_source_name(enum demand_source s)
{
    INVARIANT((unsigned)s < COUNT(source_names));
    return source_names[s];
}

bool tls_level_owes_tls(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return levels[l].owes_tls;
}

bool tls_level_owes_trust(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return levels[l].owes_trust;
}

static void set_names(struct demand *d)
{
    const struct override *o = d->override;

    if (!tls_level_owes_trust(d->level))
        return;
    if (o != NULL && o->names.count > 0) {
        d->names = (const char *const *)o->names.items;
        d->name_count = o->names.count;
    } else if (d->level == LEVEL_SECURE) {
        d->names = secure_names;
        d->name_count = COUNT(secure_names);
    } else {
        d->names = verify_names;
        d->name_count = COUNT(verify_names);
    }
}

void demand_decide(const struct demand_config *c, struct slice domain, bool is_literal,
                   struct slice mx_host, wall_ms now, struct demand *out)
{
    struct slice host = is_literal ? SLICE_NONE : mx_host;
    const struct override *o = override_for_host(c, domain, host, now);

    *out = (struct demand){
        .level = is_literal ? c->literal_level : c->level,
        .source = DEMAND_DEFAULT,
        .min_version = c->min_version,
        .policy_id = "",
        .override = o,
        .expired = override_expired(c, domain, host, now),
    };
    if (o != NULL) {
        out->source = DEMAND_CONFIG;
        out->policy_id = o->match;
        if (o->has_level)
            out->level = o->level;
        if (o->min_version != TLS_VERSION_UNSET)
            out->min_version = o->min_version;
    }
    set_names(out);
}

bool demand_met(const struct demand *d, const struct tls_reached *got)
{
    switch (d->level) {
    case LEVEL_NONE:
    case LEVEL_MAY:
        return true;
    case LEVEL_ENCRYPT:
        return got->tls;
    case LEVEL_VERIFY:
    case LEVEL_SECURE:
        return got->tls && got->trusted;
    case LEVEL_FINGERPRINT:
        return got->tls && got->pinned;
    case LEVEL_COUNT:
        break;
    }
    return false;
}

/* A name that a certificate can bear as a DNS name; addresses are none (C-CERT-01). */
static bool is_name(struct slice s)
{
    struct addr a;

    return s.n > 0 && s.p[0] != '[' && !addr_parse(s, &a);
}

size_t demand_names(const struct demand *d, struct slice mx_host, struct slice nexthop,
                    struct buf *scratch, struct slice *out, size_t max)
{
    struct slice below = SLICE_NONE;
    size_t n = 0;

    if (is_name(nexthop)) {
        size_t at = scratch->n;

        if (buf_addc(scratch, '.') && buf_add(scratch, nexthop))
            below = slice_of(scratch->p + at, nexthop.n + 1);
    }
    for (size_t i = 0; i < d->name_count && n < max; i++) {
        struct slice name = slice_str(d->names[i]);

        if (slice_eq(name, SLICE("hostname")))
            name = is_name(mx_host) ? mx_host : SLICE_NONE;
        else if (slice_eq(name, SLICE("nexthop")))
            name = is_name(nexthop) ? nexthop : SLICE_NONE;
        else if (slice_eq(name, SLICE("dot-nexthop")))
            name = below;
        if (name.n > 0)
            out[n++] = name;
    }
    return n;
}
