/* SPDX-License-Identifier: Apache-2.0 */
/* demand - see demand.h for the contract; override.c finds the row in force. */
#include "proxy/policy/demand.h"

#include <string.h>

#include "proxy/base/invariant.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define PKIX (NEED_TLS | NEED_CHAIN | NEED_NAME)

/* C-TLS-01: a level is a row. */
static const struct level_info {
    const char *name;
    unsigned needs;
} levels[LEVEL_COUNT] = {
    [LEVEL_NONE] = {"none", 0},
    [LEVEL_MAY] = {"may", 0},
    [LEVEL_ENCRYPT] = {"encrypt", NEED_TLS},
    [LEVEL_VERIFY] = {"verify", PKIX},
    [LEVEL_SECURE] = {"secure", PKIX},
    [LEVEL_FINGERPRINT] = {"fingerprint", NEED_TLS | NEED_PIN},
    [LEVEL_DANE] = {"dane", DANE_NEEDS},
    [LEVEL_DANE_ONLY] = {"dane-only", DANE_NEEDS},
};

static const char *const version_names[] = {
    [TLS_VERSION_UNSET] = "",
    [TLS_VERSION_1_2] = "1.2",
    [TLS_VERSION_1_3] = "1.3",
};

static const char *const source_names[] = {
    [DEMAND_DEFAULT] = "default", [DEMAND_CONFIG] = "config",         [DEMAND_MTA_STS] = "mta-sts",
    [DEMAND_DANE] = "dane",       [DEMAND_REQUIRETLS] = "requiretls",
};

static const char *const observe_names[] = {
    [OBSERVE_UNSET] = "",
    [OBSERVE_OFF] = "off",
    [OBSERVE_ON] = "on",
    [OBSERVE_ALL] = "all",
};

static const char *const place_names[] = {
    [OBSERVED_NOWHERE] = "",
    [OBSERVED_GLOBAL] = "global",
    [OBSERVED_LISTENER] = "listener",
    [OBSERVED_DESTINATION] = "destination",
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

const char *observe_name(enum observe o)
{
    INVARIANT((unsigned)o < COUNT(observe_names));
    return observe_names[o];
}

const char *observe_place_name(enum observe_place p)
{
    INVARIANT((unsigned)p < COUNT(place_names));
    return place_names[p];
}

unsigned tls_level_needs(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return levels[l].needs;
}

bool tls_level_owes_tls(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return (levels[l].needs & NEED_TLS) != 0;
}

bool tls_level_owes_trust(enum tls_level l)
{
    INVARIANT((unsigned)l < LEVEL_COUNT);
    return (levels[l].needs & NEED_CHAIN) != 0;
}

/* ---- who decides: configuration, DANE, MTA-STS ---- */

#define LV(id) (1u << LEVEL_##id)
#define LV_ANY ((1u << LEVEL_COUNT) - 1)
#define DN(id) (1u << DANE_##id)
#define DN_ANY ((1u << DANE_STATE_COUNT) - 1)
#define DN_NOT_USABLE (DN(OFF) | DN(INSECURE) | DN(ABSENT) | DN(UNUSABLE))

enum sts_fit { STS_ANY, STS_LISTED, STS_NOT_LISTED }; /* of a policy in mode enforce */
enum hand_fit { HAND_ANY, BY_HAND };            /* the level stands in a row of destinations */
enum take { KEEP_BASE, ADD_NEEDS, TAKE_NEEDS }; /* what becomes of the needs of the base */
#define KEEP_LEVEL LEVEL_COUNT
#define KEEP_SOURCE DEMAND_SOURCE_COUNT

/* First fitting row wins. */
static const struct demand_rule {
    unsigned bases;
    enum hand_fit hand;
    unsigned dane;
    enum sts_fit sts;
    int level, source;
    enum take take;
    unsigned needs;
    enum reason skip;
    const char *why;
} rules[] = {
    /* clang-format off */
    {LV_ANY, HAND_ANY, DN(FAILED), STS_ANY, KEEP_LEVEL, DEMAND_DANE, KEEP_BASE, 0, REASON_TLSA_LOOKUP_FAILED,
     "C-DANE-02: a look-up that fails is never \"no DANE\""},
    {LV_ANY, HAND_ANY, DN_ANY, STS_NOT_LISTED, KEEP_LEVEL, DEMAND_MTA_STS, KEEP_BASE, 0, REASON_STS_MX_NOT_LISTED,
     "C-STS-11: the list says which hosts; TLSA records say nothing about that"},
    {LV(DANE_ONLY), HAND_ANY, DN_NOT_USABLE, STS_ANY, KEEP_LEVEL, KEEP_SOURCE, KEEP_BASE, 0, REASON_DANE_REQUIRED,
     "dane-only: no host without usable TLSA records"},

    {LV(SECURE) | LV(FINGERPRINT), BY_HAND, DN(USABLE), STS_ANY, LEVEL_DANE, DEMAND_DANE, ADD_NEEDS, DANE_NEEDS, REASON_OK,
     "a name or a key that the administrator wrote down for this destination holds beside DANE"},
    {LV(DANE_ONLY), HAND_ANY, DN(USABLE), STS_ANY, LEVEL_DANE_ONLY, DEMAND_DANE, TAKE_NEEDS, DANE_NEEDS, REASON_OK,
     "the records say which certificate"},
    {LV_ANY, HAND_ANY, DN(USABLE), STS_ANY, LEVEL_DANE, DEMAND_DANE, TAKE_NEEDS, DANE_NEEDS, REASON_OK,
     "C-STS-13: the records say which certificate; roots and MTA-STS have no word in it"},

    {LV(NONE) | LV(MAY) | LV(ENCRYPT) | LV(DANE) | LV(VERIFY), HAND_ANY, DN_NOT_USABLE, STS_LISTED, LEVEL_VERIFY, DEMAND_MTA_STS, ADD_NEEDS,
     STS_NEEDS, REASON_OK, "C-STS-11: enforce asks for a certificate of the MX host itself"},
    {LV(SECURE) | LV(FINGERPRINT), HAND_ANY, DN_NOT_USABLE, STS_LISTED, KEEP_LEVEL, KEEP_SOURCE, ADD_NEEDS, STS_NEEDS, REASON_OK,
     "MTA-STS comes on top of what the configuration asks for"},

    {LV(NONE) | LV(MAY) | LV(DANE), HAND_ANY, DN(UNUSABLE), STS_ANY, LEVEL_ENCRYPT, DEMAND_DANE, TAKE_NEEDS, NEED_TLS, REASON_OK,
     "C-DANE-04: no usable record: TLS is owed, authentication is not"},
    {LV(DANE), HAND_ANY, DN_ANY, STS_ANY, LEVEL_MAY, KEEP_SOURCE, TAKE_NEEDS, 0, REASON_OK,
     "the setting dane is may where there are no TLSA records"},
    {LV_ANY, HAND_ANY, DN_ANY, STS_ANY, KEEP_LEVEL, KEEP_SOURCE, KEEP_BASE, 0, REASON_OK,
     "nobody asks for more than the configuration"},
    /* clang-format on */
};

static bool sts_fits(enum sts_fit fit, const struct demand_facts *f)
{
    if (fit == STS_ANY)
        return true;
    return f->sts == STS_ENFORCE && f->sts_listed == (fit == STS_LISTED);
}

size_t demand_row(enum tls_level base, bool by_hand, const struct demand_facts *f)
{
    size_t i = 0;

    INVARIANT((unsigned)base < LEVEL_COUNT && (unsigned)f->dane < DANE_STATE_COUNT);
    while (!(rules[i].bases >> base & 1u) || (rules[i].hand == BY_HAND && !by_hand) ||
           !(rules[i].dane >> f->dane & 1u) || !sts_fits(rules[i].sts, f))
        i++; /* the last row fits everything */
    return i;
}

/* The demand before anybody adds to it. */
struct base {
    enum tls_level level;
    enum demand_source source;
    bool by_hand;
};

static void strengthen(struct demand_would *w, const struct base *base,
                       const struct demand_facts *f)
{
    const struct demand_rule *r = &rules[demand_row(base->level, base->by_hand, f)];

    *w = (struct demand_would){base->level, base->source, levels[base->level].needs, r->skip};
    if (r->level != KEEP_LEVEL)
        w->level = (enum tls_level)r->level;
    if (r->source != KEEP_SOURCE)
        w->source = (enum demand_source)r->source;
    if (r->take == ADD_NEEDS)
        w->needs |= r->needs;
    else if (r->take == TAKE_NEEDS)
        w->needs = r->needs;
}

/* ---- the mail's own demand: RFC 8689 4.2.1 ---- */

/* Somebody other than plain DNS says that this host is an MX of the domain. */
static bool mx_is_authentic(const struct demand_would *w, const struct override *o,
                            const struct demand_facts *f)
{
    bool by_config = o != NULL && (o->names.count > 0 || o->fingerprint_count > 0 ||
                                   (o->has_level && o->level == LEVEL_SECURE));

    return f->mx_secure || f->is_route || by_config || (w->needs & NEED_TLSA) ||
           (f->sts == STS_ENFORCE && f->sts_listed);
}

static void add_requiretls(struct demand_would *w, const struct override *o,
                           const struct demand_facts *f)
{
    if (!f->requiretls)
        return;
    if (!(w->needs & (NEED_CHAIN | NEED_PIN | NEED_TLSA))) {
        w->needs |= PKIX;
        w->level = LEVEL_VERIFY;
        w->source = DEMAND_REQUIRETLS;
    }
    w->needs |= NEED_TLS | NEED_REQUIRETLS;
    if (w->skip == REASON_OK && !mx_is_authentic(w, o, f))
        w->skip = REASON_REQUIRETLS_UNMET;
}

/* ---- observe mode ---- */

static enum observe_place observed_at(const struct demand_config *c, const struct override *o,
                                      const struct demand_facts *f, enum observe *how)
{
    if (o != NULL && o->observe != OBSERVE_UNSET)
        *how = o->observe;
    else if (f->observe != OBSERVE_UNSET)
        *how = f->observe;
    else
        *how = c->observe;
    if (*how == OBSERVE_UNSET || *how == OBSERVE_OFF)
        return OBSERVED_NOWHERE;
    if (o != NULL && o->observe != OBSERVE_UNSET)
        return OBSERVED_DESTINATION;
    return f->observe != OBSERVE_UNSET ? OBSERVED_LISTENER : OBSERVED_GLOBAL;
}

/* What is enforced while the configuration is observed: may, and what MTA-STS and DANE ask for
 * (unless they are observed too, or overruled). */
static void relax(struct demand_would *w, const struct base *base, enum observe how,
                  const struct demand_facts *f)
{
    struct base may = *base;

    may.by_hand = false;
    if (base->level != LEVEL_NONE)
        may.level = LEVEL_MAY;
    if (how == OBSERVE_ALL)
        *w = (struct demand_would){may.level, may.source, 0, REASON_OK};
    else
        strengthen(w, &may, f);
}

/* ---- all together ---- */

/* override_policy: the row alone is in force; who would have asked for more is told. */
static enum demand_source weaken(struct demand_would *w, const struct base *base)
{
    struct demand_would plain = {base->level, base->source, levels[base->level].needs, REASON_OK};
    struct demand_would full = *w;

    *w = plain;
    if (full.skip == REASON_OK && (full.needs & ~plain.needs) == 0)
        return DEMAND_DEFAULT;
    return full.source;
}

static void set_names(struct demand *d)
{
    const struct override *o = d->override;

    if (o != NULL && o->names.count > 0) {
        d->names = (const char *const *)o->names.items;
        d->name_count = o->names.count;
    } else if (d->level == LEVEL_SECURE || d->would.level == LEVEL_SECURE) {
        d->names = secure_names;
        d->name_count = COUNT(secure_names);
    } else {
        d->names = verify_names;
        d->name_count = COUNT(verify_names);
    }
}

void demand_decide(const struct demand_config *c, const struct demand_facts *f, struct demand *out)
{
    struct slice host = f->is_literal ? SLICE_NONE : f->mx_host;
    const struct override *o = override_for_host(c, f->domain, host, f->now);
    struct base base = {f->is_literal ? c->literal_level : c->level, DEMAND_DEFAULT, false};
    struct demand_would full, enforced;
    bool overrules = o != NULL && o->override_policy && o->has_level;
    enum observe how;

    *out = (struct demand){
        .min_version = c->min_version,
        .policy_id = "",
        .override = o,
        .expired = override_expired(c, f->domain, host, f->now),
    };
    if (o != NULL) {
        base.source = DEMAND_CONFIG;
        base.by_hand = o->has_level;
        out->policy_id = o->match;
        if (o->has_level)
            base.level = o->level;
        if (o->min_version != TLS_VERSION_UNSET)
            out->min_version = o->min_version;
    }
    strengthen(&full, &base, f);
    if (overrules)
        out->weakened = weaken(&full, &base);
    enforced = full;
    out->observed = observed_at(c, o, f, &how);
    if (out->observed != OBSERVED_NOWHERE)
        relax(&enforced, &base, overrules ? OBSERVE_ALL : how, f);
    add_requiretls(&full, o, f);
    add_requiretls(&enforced, o, f);
    out->level = enforced.level;
    out->source = enforced.source;
    out->needs = enforced.needs;
    out->skip = enforced.skip;
    out->would = full;
    if (out->source == DEMAND_MTA_STS)
        out->policy_id = f->sts_id;
    set_names(out);
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

/* ---- as text, for docs/policy.md ---- */

static void add_names(struct buf *out, unsigned set, int count, const char *(*name)(int))
{
    const char *between = "";

    if (set == (1u << count) - 1) {
        (void)buf_add(out, SLICE("any | "));
        return;
    }
    for (int i = 0; i < count; i++)
        if (set >> i & 1u) {
            (void)buf_addf(out, "%s%s", between, name(i));
            between = ", ";
        }
    (void)buf_add(out, SLICE(" | "));
}

static const char *level_text(int i)
{
    return tls_level_name((enum tls_level)i);
}

static const char *dane_text(int i)
{
    return dane_state_name((enum dane_state)i);
}

static const char *need_text(int i)
{
    static const char *const names[] = {"TLS",    "chain", "name",      "host",
                                        "pinned", "TLSA",  "REQUIRETLS"};

    return names[i];
}

const char *demand_row_text(size_t index, char *out, size_t size)
{
    static const char *const sts_texts[] = {"any", "enforce, listed", "enforce, not listed"};
    const struct demand_rule *r;
    struct buf text;

    if (index >= COUNT(rules) || size == 0)
        return NULL;
    r = &rules[index];
    buf_init(&text, size - 1);
    (void)buf_add(&text, SLICE("| "));
    add_names(&text, r->bases, LEVEL_COUNT, level_text);
    (void)buf_addf(&text, "%s | ", r->hand == BY_HAND ? "yes" : "any");
    add_names(&text, r->dane, DANE_STATE_COUNT, dane_text);
    (void)buf_addf(&text, "%s | ", sts_texts[r->sts]);
    if (r->skip != REASON_OK) {
        (void)buf_addf(&text, "skip the host: `%s` | ", reason_info(r->skip)->token);
    } else {
        (void)buf_addf(&text, "%s%s",
                       r->level == KEEP_LEVEL ? "as configured" : level_text(r->level),
                       r->take == KEEP_BASE   ? " | "
                       : r->take == ADD_NEEDS ? ", and "
                                              : ": ");
        if (r->take != KEEP_BASE && r->needs == 0)
            (void)buf_add(&text, SLICE("nothing | "));
        else if (r->take != KEEP_BASE)
            add_names(&text, r->needs, 7, need_text);
    }
    (void)buf_addf(&text, "%s | %s |",
                   r->source == KEEP_SOURCE ? "config, default" : source_names[r->source], r->why);
    memcpy(out, buf_cstr(&text), text.n + 1);
    buf_clear(&text);
    return out;
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
