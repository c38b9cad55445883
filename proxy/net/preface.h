/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      preface - the exact bytes that stand before the conversation on a fresh connection
 *
 * DESCRIPTION
 *      A stream reads as much as comes; what belongs to the next layer must stay in the socket.
 *      So a preface (a PROXY header) is read from the bare descriptor, never more than `wanted`
 *      says, within a deadline, and then the descriptor is handed on.  Parameters in, events out;
 *      none inside preface_new(), none after preface_free().  Exactly one of `whole` and `failed`
 *      comes; call preface_free() then or later.
 */
#ifndef TLSMEND_NET_PREFACE_H
#define TLSMEND_NET_PREFACE_H

#include <stddef.h>

#include "proxy/net/loop.h"

struct preface;

enum preface_end {
    PREFACE_LATE,
    PREFACE_CLOSED, /* by the peer, before it was whole */
    PREFACE_ERROR,  /* of the connection */
};

struct preface_events {
    size_t (*wanted)(void *owner); /* so many bytes may be read now; 0: it is whole, or is none */
    void (*bytes)(void *owner, const char *bytes, size_t n); /* at most what was wanted */
    void (*whole)(void *owner, int fd);                      /* yours now */
    void (*failed)(void *owner, enum preface_end how);       /* the connection is closed */
};

/* Takes the descriptor (non-blocking) over. */
struct preface *preface_new(struct loop *l, int fd, int64_t ms, const struct preface_events *on,
                            void *owner);
void preface_free(struct preface **p); /* closes what was not handed on; NULL is fine */

#endif
