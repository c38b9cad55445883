/* SPDX-License-Identifier: Apache-2.0 */
/* dnssec_trust - see dnssec_trust.h for the contract. */
#include "proxy/policy/dnssec_trust.h"

#include "proxy/base/invariant.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool become(struct dnssec_trust *t, enum dnssec_trust_state to)
{
    bool other = t->state != to;

    t->state = to;
    return other;
}

void dnssec_trust_start(struct dnssec_trust *t, bool has_anchor, bool required)
{
    *t = (struct dnssec_trust){
        .state = has_anchor ? DNSSEC_TRUST_UNKNOWN : DNSSEC_TRUST_NO_ANCHOR,
        .has_anchor = has_anchor,
        .required = required,
    };
}

bool dnssec_trust_restart(struct dnssec_trust *t, bool has_anchor, bool required)
{
    t->has_anchor = has_anchor;
    t->required = required;
    t->worked = false;
    t->failed = 0;
    if (!has_anchor)
        return become(t, DNSSEC_TRUST_NO_ANCHOR);
    if (t->state == DNSSEC_TRUST_NO_ANCHOR)
        return become(t, DNSSEC_TRUST_UNKNOWN);
    if (required && t->state == DNSSEC_TRUST_OFF)
        return become(t, DNSSEC_TRUST_WAITS);
    return false;
}

static enum dnssec_trust_state after_failure(struct dnssec_trust *t)
{
    if (t->required)
        return DNSSEC_TRUST_WAITS;
    if (!t->worked || t->state == DNSSEC_TRUST_OFF)
        return DNSSEC_TRUST_OFF;
    if (t->state == DNSSEC_TRUST_SUSPECTED)
        t->failed++;
    else
        t->failed = 0;
    return t->failed < DNSSEC_CONFIRMATIONS ? DNSSEC_TRUST_SUSPECTED : DNSSEC_TRUST_OFF;
}

bool dnssec_trust_probed(struct dnssec_trust *t, enum dnssec_state seen)
{
    if (!t->has_anchor)
        return false;
    switch (seen) {
    case DNSSEC_OFF:
    case DNSSEC_UNKNOWN:
        break; /* it says nothing about DNSSEC */
    case DNSSEC_WORKS:
        t->worked = true;
        return become(t, DNSSEC_TRUST_ON);
    case DNSSEC_STRIPPED:
        return become(t, after_failure(t));
    }
    return false;
}

bool dnssec_trust_validates(const struct dnssec_trust *t)
{
    return t->state != DNSSEC_TRUST_OFF && t->state != DNSSEC_TRUST_NO_ANCHOR;
}

int64_t dnssec_trust_next(const struct dnssec_trust *t, enum dnssec_state last)
{
    bool lost = t->state == DNSSEC_TRUST_OFF && t->worked; /* what was there may soon be back */

    if (!t->has_anchor)
        return 0;
    if (last == DNSSEC_UNKNOWN || t->state == DNSSEC_TRUST_SUSPECTED ||
        t->state == DNSSEC_TRUST_WAITS || lost)
        return DNSSEC_PROBE_SOON_MS;
    return DNSSEC_PROBE_MS;
}

/* "validation failure <. A IN>: signature crypto failed from 192.0.2.1 for key .": "signature missing" is
 * said where there are some, by other keys; "no signatures" where there are none at all. */
bool dnssec_looks_forged(struct slice why_bogus)
{
    static const char *const marks[] = {
        "crypto failed",     "expired",   "inception",      "unknown keys",
        "signature missing", "has wrong", "keys have a DS",
    };

    for (size_t i = 0; i < COUNT(marks); i++)
        if (slice_ihas(why_bogus, slice_str(marks[i])))
            return true;
    return false;
}

const char *dnssec_trust_name(enum dnssec_trust_state s)
{
    static const char *const names[] = {
        [DNSSEC_TRUST_UNKNOWN] = "unknown",     [DNSSEC_TRUST_ON] = "on",
        [DNSSEC_TRUST_SUSPECTED] = "suspected", [DNSSEC_TRUST_OFF] = "off-stripped",
        [DNSSEC_TRUST_WAITS] = "waiting",       [DNSSEC_TRUST_NO_ANCHOR] = "off-no-anchor",
    };

    INVARIANT((unsigned)s < COUNT(names));
    return names[s];
}
