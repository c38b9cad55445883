/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sockaddr_internal - between struct addr and what the socket calls take
 */
#ifndef TLSMEND_NET_SOCKADDR_INTERNAL_H
#define TLSMEND_NET_SOCKADDR_INTERNAL_H

#include <sys/socket.h>

#include "proxy/base/addr.h"

/* Length of what was written, 0 for an address without family. */
socklen_t sockaddr_from(const struct addr *a, struct sockaddr_storage *out);
/* False (and ADDR_NONE) for families that are not IP. */
bool sockaddr_to(const struct sockaddr_storage *from, struct addr *out);
/* What the socket is bound to. */
bool sockaddr_local(int fd, struct addr *out);

#endif
