/* SPDX-License-Identifier: Apache-2.0 */
/* tlsa_plan - see tlsa_plan.h for the contract. */
#include "proxy/policy/tlsa_plan.h"

#include "proxy/base/invariant.h"

static const char *const state_names[] = {
    [DANE_OFF] = "off",       [DANE_INSECURE] = "insecure", [DANE_ABSENT] = "absent",
    [DANE_USABLE] = "usable", [DANE_UNUSABLE] = "unusable", [DANE_FAILED] = "lookup-failed",
};

const char *dane_state_name(enum dane_state s)
{
    INVARIANT((unsigned)s < DANE_STATE_COUNT);
    return state_names[s];
}
