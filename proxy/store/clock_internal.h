/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      clock_internal - the clocks, for the threads of this layer
 */
#ifndef TLSMEND_STORE_CLOCK_INTERNAL_H
#define TLSMEND_STORE_CLOCK_INTERNAL_H

#include <time.h>

#include "proxy/base/instant.h"

int64_t clock_ms(clockid_t which);
mono_ms now_ms(void); /* CLOCK_MONOTONIC */

#endif
