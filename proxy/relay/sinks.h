/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sinks - the log as the settings ask for it
 *
 * DESCRIPTION
 *      Main thread.  An error names the row of log.sinks.
 */
#ifndef TLSMEND_RELAY_SINKS_H
#define TLSMEND_RELAY_SINKS_H

#include "config/settings.h"
#include "proxy/store/log.h"

/* NULL with a line for each trouble in *errors. */
struct log *sinks_open(const struct settings *set, struct buf *errors);
/* The sinks of new settings; false: nothing has changed. */
bool sinks_configure(struct log *log, const struct settings *set, struct buf *errors);

#endif
