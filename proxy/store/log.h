/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      log - the sinks of the records, and the thread that writes them
 *
 * DESCRIPTION
 *      log_record() renders and queues; a thread of its own writes, in batches, so that no disk wait
 *      is ever inside a session.  A record that comes after a pause is written at once; behind it the
 *      thread gathers for LOG_GATHER_MS, or until LOG_GATHER_MAX bytes came, and is not woken for
 *      each record.  The queue is bounded (LOG_QUEUE_MAX bytes per sink): when a sink
 *      is slower, records are dropped, counted, and the count is written as a "log-dropped" record
 *      as soon as the sink takes lines again; mail goes on (C-OPS-03).  Writing to stderr before
 *      log_start() is immediate. Sinks: stderr (text on a terminal, JSON else, unless the format
 *      says), file (append, mode 0640, reopened on log_reopen()), syslog (datagrams to /dev/log,
 *      RFC 3164 form with the JSON as message; severity mapped), which journald reads too.
 *      log_record() may be called by any thread.
 */
#ifndef TLSMEND_STORE_LOG_H
#define TLSMEND_STORE_LOG_H

#include "proxy/base/buf.h"
#include "proxy/base/record.h"

#define LOG_QUEUE_MAX (8 * 1024 * 1024)
#define LOG_GATHER_MS 20
#define LOG_GATHER_MAX (256 * 1024)

enum log_kind { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_SYSLOG };
enum log_form { LOG_FORM_AUTO, LOG_FORM_JSON, LOG_FORM_TEXT };

struct log_sink {
    enum log_kind kind;
    enum log_form form;
    const char *path;  /* LOG_TO_FILE: the file; LOG_TO_SYSLOG: the socket, NULL: /dev/log */
    const char *ident; /* LOG_TO_SYSLOG */
    char *place;       /* the head of an error about it; NULL: "log sink PATH" */
};

struct log;

/* Opens the sinks; NULL with one line per trouble in *errors when one cannot be opened. */
struct log *log_new(const struct log_sink *sinks, size_t count, struct buf *errors);
bool log_start(struct log *l); /* starts the thread; after privileges were dropped */
/* Replace the sinks (reload): all or nothing; queued lines go to the old ones first. */
bool log_configure(struct log *l, const struct log_sink *sinks, size_t count, struct buf *errors);
void log_reopen(struct log *l);                   /* SIGUSR1 */
void log_record(struct log *l, struct record *r); /* takes the record over */
void log_stop(struct log **l); /* writes what is queued (at most 5 s), ends the thread, frees */
unsigned long long log_dropped(const struct log *l);

#endif
