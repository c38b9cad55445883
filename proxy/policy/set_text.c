/* SPDX-License-Identifier: Apache-2.0 */
/* set_text - see set_text_internal.h for the contract. */
#include "proxy/policy/set_text_internal.h"

#include "proxy/policy/demand.h"

const char *set_text_level(int i)
{
    return tls_level_name((enum tls_level)i);
}

void set_text(struct buf *out, unsigned set, int count, const char *(*name)(int))
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
