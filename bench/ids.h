/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ids - which numbered messages were seen, and how often
 *
 * DESCRIPTION
 *      The generator writes those that were answered 250, the sink those that arrived; bench/run
 *      compares the lists, and so finds what was lost and what came twice.
 */
#ifndef TLSMEND_BENCH_IDS_H
#define TLSMEND_BENCH_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { IDS_MAX = 1 << 26 };

struct ids {
    uint8_t *count;
    size_t room;
};

/* How often it was seen before; false in *known when the number is out of range. */
int ids_mark(struct ids *ids, uint64_t id, bool *known);
/* As JSON: [[first, last], ...] of those seen at least `times` times. */
void ids_print(const struct ids *ids, int times, FILE *to);
void ids_free(struct ids *ids);

#endif
