/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      escape_internal - bytes of a peer inside a detail (C-OPS-04)
 */
#ifndef TLSMEND_NET_ESCAPE_INTERNAL_H
#define TLSMEND_NET_ESCAPE_INTERNAL_H

#include "proxy/base/buf.h"

/* Printable ASCII as it is; everything else, '"' and '\' as "\xNN". Stops where *out is full. */
void escape_add(struct slice bytes, struct buf *out);

#endif
