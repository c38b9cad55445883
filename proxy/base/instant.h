/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      instant - points in time, spans and budgets, without a clock
 *
 * DESCRIPTION
 *      Time is always handed in: `mono` is milliseconds of a monotonic clock (deadlines), `wall`
 *      is milliseconds since 1970-01-01 UTC (records, certificates).  net/clock reads the real
 *      ones.  Pure; any thread.
 */
#ifndef TLSMEND_BASE_INSTANT_H
#define TLSMEND_BASE_INSTANT_H

#include <stdint.h>

#include "proxy/base/slice.h"

typedef int64_t mono_ms;
typedef int64_t wall_ms;

#define INSTANT_TEXT_MAX 32

/* A budget: what is left of a total wait that several steps share. */
struct budget {
    mono_ms deadline; /* 0: none */
};

struct budget budget_start(mono_ms now, int64_t span_ms);
/* The smaller of `step_ms` and what is left; 0 when it is used up. */
int64_t budget_left(const struct budget *b, mono_ms now, int64_t step_ms);

/* "2026-11-22T05:54:00.123Z" */
const char *instant_text(wall_ms t, char out[INSTANT_TEXT_MAX]);
/* "2027-01-31" (that day 00:00 UTC) or "2027-01-31T12:00:00Z"; false if not ISO 8601 or no real
 * day. */
bool instant_parse(struct slice text, wall_ms *out);
/* "30s", "250ms", "5m", "4h", "7d": an unsigned number and a unit, nothing else. */
bool span_parse(struct slice text, int64_t *ms);
/* "4096B", "256KiB", "1MiB", "2GiB". */
bool size_parse(struct slice text, int64_t *bytes);
/* The shortest exact form of the two above, e.g. 240000 -> "4m", 262144 -> "256KiB". */
const char *span_text(int64_t ms, char out[INSTANT_TEXT_MAX]);
const char *size_text(int64_t bytes, char out[INSTANT_TEXT_MAX]);

#endif
