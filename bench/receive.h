/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      receive - the sink's side of a connection: an MX that takes every mail and counts
 *
 * DESCRIPTION
 *      A receiver is one thread's part: a listener, a loop, the connections.  The counts are shared by
 *      all receivers and read by the main thread.
 */
#ifndef TLSMEND_BENCH_RECEIVE_H
#define TLSMEND_BENCH_RECEIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "bench/ids.h"
#include "bench/secure.h"
#include "bench/wire.h"

/* JSON name and meaning of every count. */
#define SINK_COUNTS(X)                                         \
    X(connections)  /* accepted */                             \
    X(open)         /* now */                                  \
    X(most_open)    /* at one time */                          \
    X(full)         /* handshakes with a certificate */        \
    X(resumed)      /* handshakes with a ticket */             \
    X(tls_failures) /* handshakes that broke off */            \
    X(messages)     /* taken, 250 */                           \
    X(bytes)        /* of those messages */                    \
    X(twice)        /* had arrived before */                   \
    X(strange)      /* without a readable number */            \
    X(damaged)      /* longer or shorter than they say */      \
    X(cut)          /* broken off inside DATA */               \
    X(clear)        /* taken without TLS */                    \
    X(one_flight)   /* MAIL, RCPT and DATA came in one read */ \
    X(wrong)        /* commands out of place or unknown */     \
    X(last_ns)      /* CLOCK_MONOTONIC of the last message */

struct sink_counts {
#define X(name) _Atomic uint64_t name;
    SINK_COUNTS(X)
#undef X
};

struct sink {
    struct secure *tls; /* NULL: STARTTLS is not offered */
    int64_t delay_ns;   /* before each reply, as a far peer; other connections do not wait */
    struct sink_counts counts;
    pthread_mutex_t lock; /* ids */
    struct ids ids;
};

/* Serves the listener in the calling thread, for ever. */
void receive(struct sink *sink, int listener);

#endif
