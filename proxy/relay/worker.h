/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      worker - one thread with its own loop, resolver and sessions
 *
 * DESCRIPTION
 *      A session never changes its worker.  main starts the workers, gives them new snapshots and
 *      tells them to end; all calls here are main's, and reach the worker's thread as posts to its
 *      loop.
 */
#ifndef TLSMEND_RELAY_WORKER_H
#define TLSMEND_RELAY_WORKER_H

#include <stdatomic.h>

#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/relay/snapshot.h"
#include "proxy/store/log.h"
#include "proxy/store/store.h"

struct worker;

/* What all workers share. */
struct worker_shared {
    struct log *log;
    struct store *store;
    struct tls_sessions *tls_sessions;
    struct loop *main_loop;     /* serves nobody: what takes long goes there */
    unsigned workers;           /* how many share the limits */
    atomic_uint sessions;       /* of all workers: limits.sessions is one number */
    atomic_uint admitted;       /* those of them that have a place within it */
    void (*ended)(void *owner); /* a worker's thread ends; called by that thread */
    void *owner;
};

struct worker_params {
    struct worker_shared *shared;
    unsigned index;
    struct snapshot *snapshot; /* a hold is taken */
    const int *listen_fds;     /* one per listener of the snapshot; taken over */
    bool validate;             /* DNS answers, where a trust anchor is set */
    unsigned fetches;          /* its share of mta_sts.fetches */
};

/* NULL with one line in *error; the sockets are closed then. */
struct worker *worker_start(const struct worker_params *p, struct buf *error);
/* The next transactions use `s`.  listen_fds as above; -1: that listener's socket is already there.  *resolver was
 * prepared for `s` and `validate`, and is taken over; NULL: the present one serves on. */
void worker_reload(struct worker *w, struct snapshot *s, const int *listen_fds,
                   struct resolver_context **resolver, bool validate);
/* DNSSEC validation on or off, as dnssec.h found out; *resolver is taken over. */
void worker_set_validation(struct worker *w, struct resolver_context **resolver, bool validate);
/* It logs its status record. */
void worker_status(struct worker *w);
/* Stop accepting, let transactions end for at most `grace_ms`, then cut. Call again with 0 to cut
 * now. */
void worker_shutdown(struct worker *w, int64_t grace_ms);
/* Wait for the end of the thread, free. */
void worker_join(struct worker **w);

#endif
