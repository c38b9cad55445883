/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      daemon_internal - what main holds, for the two files of it: daemon.c from start to end, daemon_reload.c
 */
#ifndef TLSMEND_RELAY_DAEMON_INTERNAL_H
#define TLSMEND_RELAY_DAEMON_INTERNAL_H

#include <sys/queue.h>

#include "proxy/relay/daemon.h"
#include "proxy/relay/dnssec.h"
#include "proxy/relay/notify.h"
#include "proxy/relay/refresher.h"
#include "proxy/relay/snapshot.h"
#include "proxy/relay/worker.h"
#include "proxy/store/log.h"
#include "proxy/store/store.h"

#define NOTE_MAX 16384

struct old_snapshot { /* kept until nobody else has a hold: a worker would take long to free it */
    SLIST_ENTRY(old_snapshot) next;
    struct snapshot *snapshot;
};

struct daemon {
    struct settings *settings; /* held */
    struct snapshot *snapshot;
    SLIST_HEAD(, old_snapshot) old_snapshots;
    struct loop *loop;
    struct notify *notify;
    struct log *log;
    struct store *store;
    struct refresher *refresher;
    struct worker_shared shared;
    struct worker **workers;
    unsigned worker_count, workers_ended;
    struct timer *watch, *retire;
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
/* From now on this one; its hold is taken over. */
void daemon_use_snapshot(struct daemon *d, struct snapshot *fresh);
void daemon_retire(void *daemon);             /* d->retire */
void daemon_drop_snapshots(struct daemon *d); /* at the end: all of them */
/* False with lines in *error: nothing has changed. */
bool daemon_reload(struct daemon *d, struct buf *error);
/* For dnssec_watch: all resolvers are made anew. */
void daemon_validation(void *daemon, bool on);

#endif
