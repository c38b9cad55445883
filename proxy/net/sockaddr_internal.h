/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sockaddr_internal - between struct addr and what the socket calls take, and what all our sockets have
 */
#ifndef TLSMEND_NET_SOCKADDR_INTERNAL_H
#define TLSMEND_NET_SOCKADDR_INTERNAL_H

#include <sys/socket.h>

#include "proxy/base/addr.h"

/* Length of what was written, 0 for an address without family. */
socklen_t sockaddr_from(const struct addr *a, struct sockaddr_storage *out);
/* False (and ADDR_NONE) for families that are not IP. */
bool sockaddr_to(const struct sockaddr_storage *from, struct addr *out);
/* No delay, and a sign when the peer's host is gone.  Only hints: what is no TCP socket does without.  What a
 * listening socket accepts inherits them. */
void sockaddr_options(int fd);
/* What the socket is bound to. */
bool sockaddr_local(int fd, struct addr *out);

#endif
