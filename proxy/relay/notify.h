/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      notify - tell the service manager (sd_notify protocol, without libsystemd)
 *
 * DESCRIPTION
 *      Sends "READY=1", "RELOADING=1", "STOPPING=1" to $NOTIFY_SOCKET; does nothing where that is
 *      not set.  Never waits: while the manager reads nothing the newest state is kept, and tried again
 *      from the loop; those before it are history by then.  A socket that nobody listens at is no
 *      trouble of ours.
 */
#ifndef TLSMEND_RELAY_NOTIFY_H
#define TLSMEND_RELAY_NOTIFY_H

#include "proxy/net/loop.h"

struct notify;

struct notify *notify_new(struct loop *l);
void notify_free(struct notify **n);                      /* NULL is fine */
void notify_manager(struct notify *n, const char *state); /* a constant */

#endif
