/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      store - what must last: the SQLite database and the thread that writes it
 *
 * DESCRIPTION
 *      One database file, one thread.  What is read in the way of a mail lies in memory
 *      (policies.h, rungs.h, ledger.h), loaded whole when the store opens; changes are marked and
 *      written at once by the thread, in batches, in WAL mode: what was written survives kill -9
 *      (C-STS-09, C-OPS-01), and what the ledger holds a power cut too.  A file that cannot be
 *      opened, is locked, is from a newer version or is damaged never stops mail (C-OPS-03): the
 *      store then works from memory alone, says so loudly (event record "store"), and tries again,
 *      after a second, then less and less often, at last every minute; at once where somebody
 *      waits (store_flush(), ledger_put()).  A damaged file is put aside as NAME.damaged-<time> and a new one made.  A disk
 *      that is full: the same as one that is locked; what memory holds is written when there is
 *      room.  A file that is removed or replaced under us is made anew from memory.  Opened after
 *      privileges were dropped; the log outlives it.
 */
#ifndef TLSMEND_STORE_STORE_H
#define TLSMEND_STORE_STORE_H

#include "proxy/base/buf.h"
#include "proxy/store/ledger.h"
#include "proxy/store/log.h"
#include "proxy/store/policies.h"
#include "proxy/store/rungs.h"

struct store;

struct store_params {
    const char *path; /* "": memory only, silently */
    struct log *log;  /* records "store"; NULL: none (tools) */
    /* ledger_max 0: what the file has is there, nothing is added (tools) */
    size_t policies_max, rungs_max, ledger_max;
    int64_t ledger_keep;     /* ms; 0: a week */
    size_t tls_sessions_max; /* so many of the last run are at hand, once; 0: they are deleted */
    bool read_only; /* for tools beside a daemon: no thread, nothing is written, no file is made */
};

/* Never NULL: at the worst it works from memory; *warning (NULL: not wanted) then has one line that
 * names path, trouble and mend. */
struct store *store_open(const struct store_params *p, struct buf *warning);
/* Waits until all that was changed before the call is on disk, at most `ms`; false: it is not.
 * While the disk is in trouble it is tried at once.  Any thread, but not in the way of a mail. */
bool store_flush(struct store *s, int64_t ms);
/* Writes what waits (at most 2 s), ends the thread. */
void store_close(struct store **s);
bool store_lasting(const struct store *s); /* on disk, and the last write was good; any thread */
/* The TLS sessions that the last run left, the longest unused first; they are deleted on the disk already.
 * Key and bytes are lent for the call.  Once, behind store_open(). */
void store_take_tls(struct store *s,
                    void (*each)(void *owner, struct slice key, struct slice bytes), void *owner);
/* For the next run: store_close() writes them, in this order, and nothing does before.  The last of them as
 * far as time allows.  One thread.  The file is then its owner's alone: they are secrets. */
void store_leave_tls(struct store *s, struct slice key, struct slice bytes);
struct policies *store_policies(struct store *s);
struct rungs *store_rungs(struct store *s);
struct ledger *store_ledger(struct store *s);

#endif
