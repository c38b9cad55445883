/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      set_text_internal - a set of table values as the cell of a Markdown table, for docs/policy.md
 */
#ifndef TLSMEND_POLICY_SET_TEXT_INTERNAL_H
#define TLSMEND_POLICY_SET_TEXT_INTERNAL_H

#include "proxy/base/buf.h"

/* "a, b | ", or "any | " for all `count` bits. */
void set_text(struct buf *out, unsigned set, int count, const char *(*name)(int));
const char *set_text_level(int i); /* a name for it: tls_level_name() */

#endif
