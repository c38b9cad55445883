/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      pool - connections to MX hosts between mails (C-OUT-08)
 *
 * DESCRIPTION
 *      One per worker.  A connection that has done its mail waits here for the next one to the same host,
 *      address and port, whose judgement would be the same (pool_key: SNI, versions, names, pins, TLSA records,
 *      trust).  Whose recipient domain it is does not matter: that the host is an MX for it was found out by its
 *      own destination, and before each MAIL demand_met() holds the connection against its own demand.
 *      The one used last is taken first, so that those too many grow old and go.
 *
 *      A connection leaves with QUIT when it waited for pool.idle_time, is older than pool.max_age or had
 *      pool.messages mails; and when pool.idle_per_host or pool.idle is passed, the oldest first.  One that says or
 *      does anything while it waits is dropped.  pool_admit() counts all connections, in use or not, against
 *      pool.per_host and pool.connections; a waiting one of another host makes room.  Each worker has its
 *      share of the limits.
 *
 *      The upstream is the caller's when it is not waiting; worker's thread only.
 */
#ifndef TLSMEND_RELAY_POOL_H
#define TLSMEND_RELAY_POOL_H

#include "proxy/net/tls.h"
#include "proxy/relay/services.h"

struct pool;
struct upstream;

struct pool_key {
    struct addr addr; /* with port */
    unsigned char digest[TLS_DIGEST_LENGTH];
};

struct pool_limits {                                   /* a worker's share */
    size_t idle_per_host, idle, per_host, connections; /* the last two: 0 none */
};

struct pool_usage {
    size_t open, idle; /* connections: all, and those that wait */
    uint64_t reused, opened, died_idle;
};

struct pool *pool_new(struct services *sv);
void pool_limits(struct pool *p, const struct pool_limits *limits); /* at the start, and a reload */
void pool_free(struct pool **p); /* nothing is waiting any more: pool_flush() */
/* Everything that waits says QUIT: the worker ends. */
void pool_flush(struct pool *p);

/* The one used last that waits under this key, out of the pool; NULL: none. */
struct upstream *pool_take(struct pool *p, const struct pool_key *key);
/* It waits from now on, or leaves at once where there is no room. */
void pool_put(struct pool *p, struct upstream *u);
/* It waits no more: it died, or its time is over.  (pool_take() has done that already.) */
void pool_remove(struct pool *p, struct upstream *u);

/* A new connection to `addr`: counted until pool_left().  False: a limit is met; *which is its setting. */
bool pool_admit(struct pool *p, const struct addr *addr, const char **which);
void pool_left(struct pool *p, const struct addr *addr);
void pool_usage(const struct pool *p, struct pool_usage *out);

#endif
