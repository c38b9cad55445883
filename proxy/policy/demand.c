/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demand - see demand.h for the contract.  level.c knows what a level means, override.c finds the row
 * in force, demand_rules.c has the table.
 */
#include "proxy/base/invariant.h"
#include "proxy/policy/demand_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* The names that Postfix asks for by default at its levels of the same meaning. */
static const char *const verify_names[] = {"hostname"};
static const char *const secure_names[] = {"nexthop", "dot-nexthop"};

/* The demand before anybody adds to it. */
struct base {
    enum tls_level level;
    enum demand_source source;
    bool by_hand;
};

static void strengthen(struct demand_would *w, const struct base *base,
                       const struct demand_facts *f)
{
    const struct demand_rule *r = demand_rule_at(demand_row(base->level, base->by_hand, f));

    *w = (struct demand_would){base->level, base->source, tls_level_needs(base->level), r->skip};
    if (r->level != KEEP_LEVEL)
        w->level = (enum tls_level)r->level;
    if (r->source != KEEP_SOURCE)
        w->source = (enum demand_source)r->source;
    if (r->take == ADD_NEEDS)
        w->needs |= r->needs;
    else if (r->take == TAKE_NEEDS)
        w->needs = r->needs;
}

/* ---- override_policy ---- */

/* Without an end it does not count, whatever the loader let pass. */
static bool is_overruling(const struct override *o)
{
    return o != NULL && o->override_policy && o->has_level && o->expires != 0;
}

/* The row alone is in force: no MTA-STS, and DANE only where the row itself asks for it.  Returns who
 * would have asked for more. */
static enum demand_source weaken(struct demand_would *w, const struct base *base,
                                 const struct demand_facts *f)
{
    struct demand_would full = *w;
    struct demand_facts alone = *f;
    unsigned given_up;

    alone.sts = STS_NONE;
    if (base->level != LEVEL_DANE && base->level != LEVEL_DANE_ONLY)
        alone.dane = DANE_OFF;
    strengthen(w, base, &alone);
    given_up = full.needs & ~w->needs;
    if (full.skip == w->skip && given_up == 0)
        return DEMAND_DEFAULT;
    return given_up & NEED_HOST ? DEMAND_MTA_STS : full.source;
}

/* ---- observe mode ---- */

static enum observe_place observed_at(const struct demand_config *c, const struct override *o,
                                      const struct demand_facts *f, enum observe *how)
{
    enum observe_place place = OBSERVED_GLOBAL;

    *how = c->observe;
    if (f->observe != OBSERVE_UNSET) {
        *how = f->observe;
        place = OBSERVED_LISTENER;
    }
    if (o != NULL && o->observe != OBSERVE_UNSET) {
        *how = o->observe;
        place = OBSERVED_DESTINATION;
    }
    return *how == OBSERVE_UNSET || *how == OBSERVE_OFF ? OBSERVED_NOWHERE : place;
}

/* What is enforced while the configuration is observed: may, and what MTA-STS and DANE ask for
 * (unless they are observed too, or overruled). */
static void relax(struct demand_would *w, const struct base *base, enum observe how,
                  const struct demand_facts *f)
{
    struct base may = {base->level == LEVEL_NONE ? LEVEL_NONE : LEVEL_MAY, base->source, false};

    if (how == OBSERVE_ALL)
        *w = (struct demand_would){may.level, may.source, 0, REASON_OK};
    else
        strengthen(w, &may, f);
}

/* ---- names ---- */

/* By the level that the configuration says, whatever came on top of it: where DANE or REQUIRETLS leave
 * NEED_NAME in force, it is the names of that level. */
static void set_names(struct demand *d, enum tls_level configured)
{
    const struct override *o = d->override;

    if (o != NULL && o->names.count > 0) {
        d->names = (const char *const *)o->names.items;
        d->name_count = o->names.count;
    } else if (configured == LEVEL_SECURE) {
        d->names = secure_names;
        d->name_count = COUNT(secure_names);
    } else {
        d->names = verify_names;
        d->name_count = COUNT(verify_names);
    }
}

/* The certificate must name what the administrator wrote down or the domain, not only the host that
 * the MX record says. */
static bool names_look_past_mx(const struct demand *d)
{
    for (size_t i = 0; i < d->name_count; i++)
        if (slice_eq(slice_str(d->names[i]), SLICE("hostname")))
            return false;
    return d->name_count > 0;
}

/* ---- the mail's own demand: RFC 8689 4.2.1 ---- */

/* Somebody other than plain DNS says that this host may have the domain's mail.  TLSA records alone do
 * not: with half_dane the MX record may be forged and the records be the forger's own. */
static bool mx_is_authentic(const struct demand *d, unsigned needs, const struct demand_facts *f)
{
    if (f->mx_secure || f->is_route || (f->sts == STS_ENFORCE && f->sts_listed))
        return true;
    return (needs & NEED_PIN) || ((needs & NEED_NAME) && names_look_past_mx(d));
}

static void add_requiretls(struct demand_would *w, const struct demand *d,
                           const struct demand_facts *f)
{
    if (!f->requiretls)
        return;
    if (!(w->needs & (NEED_CHAIN | NEED_PIN | NEED_TLSA))) {
        w->needs |= PKIX_NEEDS;
        w->level = LEVEL_VERIFY;
        w->source = DEMAND_REQUIRETLS;
    }
    w->needs |= NEED_REQUIRETLS;
    if (w->skip == REASON_OK && !mx_is_authentic(d, w->needs, f))
        w->skip = REASON_REQUIRETLS_UNMET;
}

/* ---- all together ---- */

/* No MX record and no policy domain stand behind an address. */
static void forget_dns(struct demand_facts *f)
{
    f->mx_host = SLICE_NONE;
    f->mx_secure = false;
    f->dane = DANE_OFF;
    f->sts = STS_NONE;
    f->sts_listed = false;
}

/* The row's part of it, and the default's where the row is silent. */
static struct base configured(const struct demand_config *c, const struct demand_facts *f,
                              struct demand *out)
{
    const struct override *o = override_for_host(c, f->domain, f->mx_host, f->now);
    struct base base = {f->is_literal ? c->literal_level : c->level, DEMAND_DEFAULT, false};

    *out = (struct demand){
        .min_version = c->min_version,
        .policy_id = "",
        .override = o,
        .expired = override_expired(c, f->domain, f->mx_host, f->now),
    };
    if (o == NULL)
        return base;
    out->policy_id = o->match;
    if (o->min_version != TLS_VERSION_UNSET)
        out->min_version = o->min_version;
    base.source = DEMAND_CONFIG;
    base.by_hand = o->has_level;
    if (o->has_level)
        base.level = o->level;
    return base;
}

void demand_decide(const struct demand_config *c, const struct demand_facts *facts,
                   struct demand *out)
{
    struct demand_facts f = *facts;
    struct demand_would full, enforced;
    struct base base;
    enum observe how;

    if (f.is_literal)
        forget_dns(&f);
    base = configured(c, &f, out);
    set_names(out, base.level);
    strengthen(&full, &base, &f);
    if (is_overruling(out->override))
        out->weakened = weaken(&full, &base, &f);
    enforced = full;
    out->observed = observed_at(c, out->override, &f, &how);
    if (out->observed != OBSERVED_NOWHERE)
        relax(&enforced, &base, is_overruling(out->override) ? OBSERVE_ALL : how, &f);
    add_requiretls(&full, out, &f);
    add_requiretls(&enforced, out, &f);
    out->level = enforced.level;
    out->source = enforced.source;
    out->needs = enforced.needs;
    out->skip = enforced.skip;
    out->would = full;
    if (out->source == DEMAND_MTA_STS)
        out->policy_id = f.sts_id != NULL ? f.sts_id : "";
}

/* ---- what was reached ---- */

static unsigned has(const struct tls_reached *got)
{
    if (!got->tls)
        return 0;
    return NEED_TLS | (got->chain ? NEED_CHAIN : 0u) | (got->name ? NEED_NAME : 0u) |
           (got->host ? NEED_HOST : 0u) | (got->pinned ? NEED_PIN : 0u) |
           (got->tlsa ? NEED_TLSA : 0u) | (got->requiretls ? NEED_REQUIRETLS : 0u);
}

bool demand_met(const struct demand *d, const struct tls_reached *got)
{
    return d->skip == REASON_OK && (d->needs & ~has(got)) == 0;
}

/* The judgement's own word where it has one that is no other matter. */
static enum reason pkix_refusal(unsigned missing, const struct demand_seen *seen)
{
    if (!seen->judged)
        return REASON_CERT_UNCHECKED;
    if (seen->pkix != REASON_OK)
        return seen->pkix;
    return missing & NEED_CHAIN ? REASON_CERT_UNCHECKED : REASON_CERT_NAME_MISMATCH;
}

enum reason demand_refusal(unsigned needs, const struct demand_seen *seen)
{
    unsigned missing = needs & ~has(seen->got);

    if (missing == 0)
        return REASON_OK;
    if (missing & NEED_TLS)
        return seen->no_tls != REASON_OK ? seen->no_tls : REASON_NO_STARTTLS;
    if (missing & NEED_TLSA)
        return seen->dane != REASON_OK ? seen->dane : REASON_DANE_MISMATCH;
    if (missing & NEED_PIN)
        return REASON_CERT_FINGERPRINT;
    if (missing & (NEED_CHAIN | NEED_NAME | NEED_HOST))
        return pkix_refusal(missing, seen);
    return REASON_REQUIRETLS_UNMET;
}

enum reason demand_told(unsigned needs, enum reason r)
{
    if (!(needs & NEED_REQUIRETLS) || r == REASON_CERT_UNCHECKED)
        return r;
    return r == REASON_NO_STARTTLS || reason_is_certificate(r) ? REASON_REQUIRETLS_UNMET : r;
}

/* ---- the names, written out ---- */

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
