/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      original - whom a caught client meant to reach
 *
 * DESCRIPTION
 *      A rule of the packet filter brings connections here that were made to somebody else.
 *      Under REDIRECT (and DNAT) the kernel's connection tracking remembers the address; under
 *      TPROXY nothing was translated, and the socket's own address is the one.  Any thread.
 */
#ifndef TLSMEND_NET_ORIGINAL_H
#define TLSMEND_NET_ORIGINAL_H

#include "proxy/base/addr.h"

/* Of the accepted socket `fd` of a listener that is bound to `bind`.  False, and ADDR_NONE: it was
 * not caught, the client connected to the listener itself. */
bool original_destination(int fd, const struct addr *bind, struct addr *out);

#endif
