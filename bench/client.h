/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      client - the load generator's side of a connection: a legacy MTA that hands in numbered mails
 *
 * DESCRIPTION
 *      All clients of a run share a struct load, which says what to send and counts what came of it.
 */
#ifndef TLSMEND_BENCH_CLIENT_H
#define TLSMEND_BENCH_CLIENT_H

#include <stdint.h>

#include "bench/ids.h"
#include "bench/secure.h"
#include "bench/wire.h"

enum { CODES = 600, REFUSAL_MAX = 200 };

struct client;

struct load {
    /* what is asked for */
    struct sockaddr_storage to;
    socklen_t to_size;
    struct secure *tls; /* NULL: plain to the end */
    const char *domain;
    unsigned domains; /* 0: the domain itself; else d0.DOMAIN, d1.DOMAIN, ... round robin */
    uint64_t first;   /* number of the first message */
    uint64_t total;
    size_t clients, size;
    unsigned each;       /* messages on one connection */
    int64_t interval_ns; /* open loop: a message is meant to leave each interval; 0: closed loop */
    bool pipelining, park;

    /* what goes on */
    struct wire_loop loop;
    const char *body;
    char *page; /* WIRE_READ bytes to put a piece of a message together */
    int64_t begun;
    uint64_t taken; /* messages given to clients */
    size_t open;
    struct client *idle;      /* open loop: between two messages */
    struct client **standing; /* park: those whose RCPT is answered */
    size_t parked;
    bool released;

    /* what came of it */
    int64_t last; /* the last final reply */
    uint64_t delivered, refused[CODES], broken, unknown, connections, failed_connections;
    uint64_t full, resumed;
    char refusal[REFUSAL_MAX]; /* the first one */
    int64_t *latency;          /* of each message delivered, ns from its intended time */
    struct ids ids;            /* delivered */
};

/* Opens a connection; its first message is taken at once. */
void client_open(struct load *l);
/* Open loop: idle clients take what is due, or end when nothing is left. */
void client_wake(struct load *l);
/* Park: every standing client delivers. */
void client_release(struct load *l);
/* A message can be taken now. */
bool load_due(const struct load *l, int64_t now);
uint64_t load_refused(const struct load *l);
/* Messages whose fate is known. */
uint64_t load_settled(const struct load *l);

#endif
