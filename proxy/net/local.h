/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      local - the addresses of this host
 *
 * DESCRIPTION
 *      For the loop check (C-MX-06) where a listener is bound to all of them.  Any thread.
 */
#ifndef TLSMEND_NET_LOCAL_H
#define TLSMEND_NET_LOCAL_H

#include "proxy/base/addr.h"

/* *out is yours to free(), also when it is empty.  False with errno when the system refuses. */
bool local_addresses(struct addr **out, size_t *count);

#endif
