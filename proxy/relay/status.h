/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      status - what is held just now, as records (SIGUSR2)
 *
 * DESCRIPTION
 *      One record of the process, from main, and one of each worker, from its own thread: how many
 *      sessions and connections, and the bytes of memory by kind.  docs/log.md has the fields.
 */
#ifndef TLSMEND_RELAY_STATUS_H
#define TLSMEND_RELAY_STATUS_H

#include "proxy/relay/services.h"
#include "proxy/relay/session.h"

void status_log_worker(const struct services *sv, const struct session_list *sessions,
                       unsigned index);

struct status_process {
    unsigned workers, sessions;
    mono_ms started;
};

void status_log_process(const struct services *sv, const struct status_process *p);

#endif
