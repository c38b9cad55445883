/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      daemon - the running program: start, signals, reload, end
 *
 * DESCRIPTION
 *      Main thread.  Order of the start: settings, sockets, privileges, log, trust stores,
 *      resolver, workers, READY.  Signals: HUP reloads all or nothing, USR1 reopens the log files,
 *      TERM and INT end gracefully (a second one at once).  Once a minute the trust store files
 *      are looked at (C-CERT-09).
 */
#ifndef TLSMEND_RELAY_DAEMON_H
#define TLSMEND_RELAY_DAEMON_H

#include "config/settings.h"

enum daemon_end {
    DAEMON_OK,
    DAEMON_BAD_CONFIG, /* settings, trust store, log sinks */
    DAEMON_SYSTEM,     /* sockets, users, threads */
};

/* Runs until told to end.  `settings` is taken over; errors go to stderr. */
enum daemon_end daemon_run(struct settings *settings);

#endif
