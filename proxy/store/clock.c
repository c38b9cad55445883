/* SPDX-License-Identifier: Apache-2.0 */
/* clock - see clock_internal.h for the contract. */
#include "proxy/store/clock_internal.h"

#include "proxy/base/invariant.h"

int64_t clock_ms(clockid_t which)
{
    struct timespec t;

    INVARIANT(clock_gettime(which, &t) == 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

mono_ms now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}
