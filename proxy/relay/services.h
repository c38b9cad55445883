/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      services - what a worker lends to its sessions
 *
 * DESCRIPTION
 *      The loop, the resolver, the log and the small memory of one worker.  Handed down by pointer
 *      from worker to session, transaction, leg and upstream; one thread.  The resolver sits in a
 *      share, since a reload may replace it while look-ups of the old one are still under way.
 */
#ifndef TLSMEND_RELAY_SERVICES_H
#define TLSMEND_RELAY_SERVICES_H

#include <sys/queue.h>

#include "config/settings.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/relay/pace.h"
#include "proxy/store/ledger.h"
#include "proxy/store/log.h"
#include "proxy/store/policies.h"
#include "proxy/store/rungs.h"

struct destinations;
struct pool;
struct resolver_share;
struct services;
struct sts_agent;
struct tls_sessions;
struct transaction;
struct upstream;

/* The slow part (resolver.h), as the settings ask for it; validate false: without their trust anchor.  NULL with one
 * line in *error. */
struct resolver_context *resolver_prepare_from(const struct settings *set, bool validate,
                                               struct buf *error);
/* Takes *prepared, whatever comes of it; NULL with one line in *error.  `sv` outlives the share. */
struct resolver_share *resolver_share_open(const struct services *sv,
                                           struct resolver_context **prepared, struct buf *error);
/* Both at once, for a loop that may wait. */
struct resolver_share *resolver_share_from(struct loop *l, const struct settings *set,
                                           bool validate, struct buf *error);
struct resolver_share *resolver_share_hold(struct resolver_share *s);
void resolver_share_drop(struct resolver_share **s); /* closes the resolver with the last hold */
struct resolver *resolver_of(const struct resolver_share *s);

struct services {
    struct loop *loop;
    struct loop
        *main_loop; /* the contexts of old resolvers end there, since it takes long; NULL: here */
    struct resolver_share *resolver;
    bool validating; /* the resolver's answers are validated by DNSSEC */
    struct log *log;
    struct policies *policies;                         /* of the store, shared by all threads */
    struct rungs *rungs;                               /* the same */
    struct ledger *ledger;                             /* the same */
    LIST_HEAD(ledger_waits, transaction) ledger_waits; /* for the disk (transaction.h) */
    struct sts_agent *sts;
    struct tls_sessions *tls_sessions; /* for resumption, shared by all threads; NULL: none */
    struct destinations *destinations; /* NULL: nothing is kept (main, tools) */
    struct pool *pool;                 /* the same */
    struct pace pace;                  /* of the worker's sessions */
    uint64_t seed;            /* for the shuffle of equal MX hosts; changes with each use */
    mono_ms ip6_broken_until; /* C-MX-10: no IPv6 first before that */
    LIST_HEAD(upstreams, upstream) upstreams; /* all there are */
    struct upstream
        *leaving; /* upstreams that say RSET or QUIT without an owner (upstream.c keeps the list) */
};

/* A connection over IPv6 could not be made at all (no route, no answer): IPv4 goes first for a
 * while. */
#define IP6_BROKEN_MS (10 * 60 * 1000)
void services_ip6_failed(struct services *sv);
void services_ip6_worked(struct services *sv);
bool services_ip6_broken(const struct services *sv);
uint64_t services_random(struct services *sv);

#endif
