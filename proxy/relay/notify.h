/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      notify - tell the service manager (sd_notify protocol, without libsystemd)
 *
 * DESCRIPTION
 *      Sends "READY=1", "RELOADING=1", "STOPPING=1" to $NOTIFY_SOCKET; does nothing where that is
 *      not set.
 */
#ifndef TLSMEND_RELAY_NOTIFY_H
#define TLSMEND_RELAY_NOTIFY_H

void notify_manager(const char *state);

#endif
