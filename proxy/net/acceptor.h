/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      acceptor - listening sockets
 *
 * DESCRIPTION
 *      acceptor_bind() makes the sockets (SO_REUSEPORT, one per worker, so the kernel spreads the clients)
 *      before privileges are dropped; acceptor_new() serves one of them in a worker's loop.  When file
 *      descriptors run out, accepting pauses for a second instead of spinning (C-IN-09).
 */
#ifndef TLSMEND_NET_ACCEPTOR_H
#define TLSMEND_NET_ACCEPTOR_H

#include "proxy/base/addr.h"
#include "proxy/base/buf.h"
#include "proxy/net/loop.h"

struct acceptor;

struct acceptor_events {
    /* `fd` (non-blocking, close-on-exec) is yours. */
    void (*accepted)(void *owner, int fd, const struct addr *peer);
    /* No descriptors, no memory: accepting paused; once per pause. */
    void (*exhausted)(void *owner, int error);
};

/* Nobody listens there yet; else false with one line in *error.  acceptor_bind() would not see it:
 * with SO_REUSEPORT a second daemon of the same user takes half of the clients, silently. */
bool acceptor_is_free(const struct addr *at, bool transparent, struct buf *error);
/* A listening socket, or -1 with one line in *error.  port 0: the system chooses (tests).
 * transparent: for a TPROXY rule; the system wants CAP_NET_ADMIN for that. */
int acceptor_bind(const struct addr *at, bool transparent, struct buf *error);
bool acceptor_address(int fd, struct addr *out); /* what it is bound to */
/* Takes the socket over. */
struct acceptor *acceptor_new(struct loop *l, int fd, const struct acceptor_events *on,
                              void *owner);
void acceptor_pause(struct acceptor *a, bool pause);
void acceptor_free(struct acceptor **a); /* closes the socket */

#endif
