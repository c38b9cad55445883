/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      pool - connections to MX hosts between mails (C-OUT-08)
 *
 * DESCRIPTION
 *      One per worker.  A connection that has done its mail waits here for the next one to the same
 *      address and port whose judgement would be the same (pool_key: SNI, versions, names, pins,
 *      TLSA records, trust).  Whose recipient domain it is does not matter: that the host is an MX
 *      for it was found out by its own destination, and before each MAIL the connection is held
 *      against its own demand.  The one used last is taken first, so that those too many grow old
 *      and go.
 *
 *      A connection leaves when it waited for pool.idle_time or is older than pool.max_age; and
 *      when pool.idle_per_host or pool.idle is passed, the oldest first.  pool_admit() counts all
 *      connections, in use or not, against pool.per_host and pool.connections; a waiting one makes
 *      room.  Each worker has its share of the limits.
 *
 *      The pool knows no connection, only the pool_entry inside it, which its owner lends; `leave`
 *      tells the owner that one waits no more and has to go.  Worker's thread only.
 */
#ifndef TLSMEND_RELAY_POOL_H
#define TLSMEND_RELAY_POOL_H

#include <sys/queue.h>

#include "proxy/base/addr.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls.h"

struct pool;
struct pool_host;

/* How a connection came to be in clear: one may not stand in for the other. */
enum pool_kind {
    POOL_TLS,
    POOL_NO_TLS,      /* level none: nobody asked for STARTTLS */
    POOL_NO_STARTTLS, /* level may: it was not to be had */
    POOL_DOWNGRADED,  /* level may: no handshake can be made (the last rung) */
    POOL_RESETTING,   /* between two mails the MX owes replies: it only makes room for others */
};

struct pool_key {
    struct addr addr; /* with port */
    enum pool_kind kind;
    unsigned char digest[TLS_DIGEST_LENGTH]; /* destination_host.digest */
};

struct pool_entry { /* zero at first; pool.c's own between pool_admit() and pool_left() */
    struct pool_host *host;
    enum pool_kind kind;
    unsigned char digest[TLS_DIGEST_LENGTH];
    bool waits;
    mono_ms leaves_at;
    TAILQ_ENTRY(pool_entry) by_age;
    TAILQ_ENTRY(pool_entry) by_host;
};

struct pool_limits { /* a worker's share of the settings */
    size_t idle_per_host, idle;
    size_t per_host, connections; /* 0: no limit */
    int64_t idle_time;
};

struct pool_usage {
    size_t open, idle; /* connections: all, and those that wait */
    uint64_t opened, reused, died_idle;
};

/* `leave` comes from the loop, or inside pool_put(), pool_admit(), pool_set_limits(), pool_flush(). */
struct pool *pool_new(struct loop *l, uint64_t seed, void (*leave)(struct pool_entry *e));
/* Those that wait and are too many by the new limits leave, the oldest first. */
void pool_set_limits(struct pool *p, const struct pool_limits *limits);
/* All that wait leave; `closing`: and none will wait any more. */
void pool_flush(struct pool *p, bool closing);
void pool_free(struct pool **p); /* no entry is left; NULL is fine */

/* A new connection, counted until pool_left().  False: a limit is met, *which is its setting. */
bool pool_admit(struct pool *p, struct pool_entry *e, const struct addr *addr, const char **which);
void pool_left(struct pool *p, struct pool_entry *e);

/* The one under this key that was used last, still waiting; NULL: none. */
struct pool_entry *pool_find(const struct pool *p, const struct pool_key *key);
/* It waits no more: it is used, or it has died. */
void pool_take(struct pool *p, struct pool_entry *e);
/* It waits from now on, at most until `old_at`.  False: there is no room, or no time: it may go. */
bool pool_put(struct pool *p, struct pool_entry *e, const struct pool_key *key, mono_ms old_at);
void pool_count_reuse(struct pool *p);
/* One that had waited was found dead; `unnoticed`: without a word, so the others at this address are no
 * better. */
void pool_died(struct pool *p, struct pool_entry *e, bool unnoticed);
void pool_usage(const struct pool *p, struct pool_usage *out);

#endif
