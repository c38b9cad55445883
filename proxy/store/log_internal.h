/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      log_internal - one sink: opening, rendering, writing; shared by log.c and log_sink.c
 *
 * DESCRIPTION
 *      A sink has two buffers: `queue` takes new lines (under the log's lock), `writing` belongs to
 *      whoever writes.  Lines end in '\n' and hold no other line end, so for syslog too a line is a
 *      datagram.
 */
#ifndef TLSMEND_STORE_LOG_INTERNAL_H
#define TLSMEND_STORE_LOG_INTERNAL_H

#include "proxy/base/buf.h"
#include "proxy/base/instant.h"
#include "proxy/store/log.h"

struct sink {
    enum log_kind kind;
    enum log_form form;
    char *path, *ident;
    int fd;
    bool terminal;
    enum {
        TAKES_ALL,     /* a file: write() as it is */
        TAKES_PIECES,  /* a pipe or terminal of others too, and so a blocking one */
        TAKES_MESSAGES /* a connected stream socket: send() without waiting */
    } manner;

    /* Under the lock of the log. */
    struct buf queue;
    size_t in_flight;          /* bytes of `writing`, counted against LOG_QUEUE_MAX */
    unsigned long long untold; /* lines dropped since the last "log-dropped" */
    bool reopen;
    struct buf stamp; /* LOG_TO_SYSLOG: what stands before the message, behind the priority */
    int64_t stamp_of; /* ... in this second */

    /* The writer's. */
    struct buf writing;
    size_t at;               /* written of it */
    unsigned long long lost; /* lines that the system refused for good */
    bool broken;             /* the last try failed; */
    int error;               /* ... with this errno */
    mono_ms again;           /* ... and the next one is not before then */
};

enum sink_result { SINK_DONE, SINK_BLOCKED, SINK_BROKEN };

/* False, with one line added to *errors, when it cannot be opened. */
bool sink_open(struct sink *s, const struct log_sink *from, struct buf *errors);
void sink_clear(struct sink *s);
/* "stderr", or the path. */
const char *sink_name(const struct sink *s);

/* Adds a line to `queue`; false when it does not fit. */
bool sink_render(struct sink *s, const struct record *r);
/* Gives back what a time of many records has left. */
void sink_shrink(struct sink *s);

/* Writes from `writing` what the system takes without waiting.  DONE: everything. */
enum sink_result sink_write(struct sink *s);
/* Writes `line` now, waiting if it must. */
void sink_write_now(const struct sink *s, struct slice line);
/* Another file under the same path; false (and the old one stays) when it cannot be opened. */
bool sink_reopen(struct sink *s);

#endif
