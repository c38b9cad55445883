/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      daemon_internal - what main holds, for the two files of it: daemon.c from start to end, daemon_reload.c
 */
#ifndef TLSMEND_RELAY_DAEMON_INTERNAL_H
#define TLSMEND_RELAY_DAEMON_INTERNAL_H

#include "proxy/relay/daemon.h"
#include "proxy/relay/dnssec.h"
#include "proxy/relay/notify.h"
#include "proxy/relay/refresher.h"
#include "proxy/relay/snapshot.h"
#include "proxy/relay/worker.h"
#include "proxy/store/log.h"
#include "proxy/store/store.h"

#define NOTE_MAX 16384

struct daemon {
    struct settings *settings; /* held */
    struct snapshot *snapshot;
    struct loop *loop;
    struct notify *notify;
    struct log *log;
    struct store *store;
    struct refresher *refresher;
    struct worker_shared shared;
    struct worker **workers;
    unsigned worker_count, workers_ended;
    struct timer *watch;
    struct dnssec_watch *dnssec;
    char watch_error[512]; /* what the last look at the trust store files ended with */
    wall_ms looked;        /* at the dates of the overrides */
    mono_ms started;
    bool resolvers_due; /* those of another state of DNSSEC could not be had */
    bool ending;
};

/* Notes are lines; each becomes one record. */
void daemon_log_lines(struct log *log, const char *event, enum record_severity severity,
                      struct slice lines);

/* ---- daemon_reload.c ---- */

unsigned daemon_workers(const struct settings *set);
unsigned daemon_fetches(const struct daemon *d); /* that each agent may have under way */
/* False with lines in *error: nothing has changed. */
bool daemon_reload(struct daemon *d, struct buf *error);
/* For dnssec_watch: all resolvers are made anew. */
void daemon_validation(void *daemon, bool on);

#endif
