/* SPDX-License-Identifier: Apache-2.0 */
/* level - what each level means, and the words of demand.h; see there for the contract. */
#include "proxy/base/invariant.h"
#include "proxy/policy/demand_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* C-TLS-01: a level is a row. */
static const struct level_info {
    const char *name;
    unsigned needs;
} levels[LEVEL_COUNT] = {
    [LEVEL_NONE] = {"none", 0},
    [LEVEL_MAY] = {"may", 0},
    [LEVEL_ENCRYPT] = {"encrypt", NEED_TLS},
    [LEVEL_VERIFY] = {"verify", PKIX_NEEDS},
    [LEVEL_SECURE] = {"secure", PKIX_NEEDS},
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

static const char *const need_names[NEED_COUNT] = {
    "tls", "chain", "name", "host", "pin", "tlsa", "requiretls",
};

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

const char *demand_need_name(unsigned need)
{
    for (size_t i = 0; i < NEED_COUNT; i++)
        if (need == 1u << i)
            return need_names[i];
    invariant_failed(__FILE__, __LINE__, "one need");
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
