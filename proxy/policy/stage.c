/* SPDX-License-Identifier: Apache-2.0 */
/* stage - see stage.h for the contract. */
#include "proxy/policy/stage.h"

#include "proxy/base/invariant.h"

static const char *const stage_names[STAGE_COUNT] = {
#define X(id, name) [STAGE_##id] = (name),
    STAGES(X)
#undef X
};

const char *stage_name(enum stage s)
{
    INVARIANT((unsigned)s < STAGE_COUNT);
    return stage_names[s];
}
