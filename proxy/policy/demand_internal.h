/* SPDX-License-Identifier: Apache-2.0 */
/* demand_internal - the table "Who decides" as demand.c applies it and demand_rules.c writes it. */
#ifndef TLSMEND_POLICY_DEMAND_INTERNAL_H
#define TLSMEND_POLICY_DEMAND_INTERNAL_H

#include "proxy/policy/demand.h"

#define PKIX_NEEDS (NEED_TLS | NEED_CHAIN | NEED_NAME)

enum sts_fit { STS_ANY, STS_LISTED, STS_NOT_LISTED }; /* of a policy in mode enforce */
enum hold_fit { HOLD_ANY, HOLDS }; /* the name or key that is asked for holds beside DANE */
enum take { KEEP_BASE, ADD_NEEDS, TAKE_NEEDS }; /* what becomes of the needs of the base */
#define KEEP_LEVEL LEVEL_COUNT
#define KEEP_SOURCE DEMAND_SOURCE_COUNT

struct demand_rule {
    unsigned bases; /* set of enum tls_level: what the configuration says */
    enum hold_fit hold;
    unsigned dane; /* set of enum dane_state */
    enum sts_fit sts;
    int level, source;
    enum take take;
    unsigned needs;
    enum reason skip;
    const char *why;
};

const struct demand_rule *demand_rule_at(size_t index);

#endif
