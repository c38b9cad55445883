/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      wire - one connection of the bench: a socket in an epoll loop, plain at first, perhaps TLS later
 *
 * DESCRIPTION
 *      Made to cost little, since generator, peer and sink share the machine: an edge-triggered epoll
 *      that is told about a socket once, one read for an event, one write for all that an event
 *      caused.  Reading goes into a buffer that all wires of a loop share, so a wire that waits holds
 *      no buffer at all.  Nothing of tlsmend's own network code is used here: a bench that shared it
 *      would share its mistakes.
 *
 *      A loop and its wires belong to one thread.  wire_close() may be called at any time, also from
 *      the wire's own events; the wire lives until the loop has gone through the present batch.  A
 *      wire is the first member of its owner's struct, allocated with mem_zalloc(); the loop frees it.
 */
#ifndef TLSMEND_BENCH_WIRE_H
#define TLSMEND_BENCH_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { WIRE_READ = 64 * 1024, WIRE_RECORD = 16 * 1024, WIRE_EVENTS = 512 };

struct wire;

/* Anything with a descriptor in the loop; first member of its owner's struct. */
struct watch {
    int fd;
    void (*on)(struct watch *w, uint32_t events);
};

struct wire_events {
    void (*connected)(struct wire *w); /* wire_connect() came through */
    void (*secured)(struct wire *w);   /* the handshake is over */
    void (*bytes)(struct wire *w, const char *p, size_t n);
    void (*drained)(struct wire *w); /* nothing waits to be written any more; may be NULL */
    /* Ended by the peer, the network or TLS; the wire is closed behind it.  failed: not an orderly
     * end.  May be NULL. */
    void (*ended)(struct wire *w, bool failed);
    void (*closed)(struct wire *w); /* behind every wire_close(); may be NULL */
};

struct wire {
    struct watch watch;
    struct wire_loop *loop;
    const struct wire_events *events;
    SSL *ssl; /* NULL: plain */
    char *out;
    size_t out_at, out_used, out_room;
    const char *in; /* what was read and not yet decrypted, during an event */
    size_t in_used;
    bool connecting, handshaking, blocked, paused, closed;
    struct wire *next_dead;
};

struct wire_loop {
    int epoll;
    bool stop;
    struct wire *dead;
    char *scratch, *clear; /* WIRE_READ and WIRE_RECORD */
};

void wire_loop_init(struct wire_loop *l);
void wire_loop_free(struct wire_loop *l);
void wire_watch(struct wire_loop *l, struct watch *w, uint32_t events);
/* One batch of events, waited for at most so long (nanoseconds; -1: for ever). */
void wire_loop_once(struct wire_loop *l, int64_t wait_ns);

/* w->events is set by the caller.  Errors of a connect come as ended(). */
void wire_adopt(struct wire_loop *l, struct wire *w, int fd);
void wire_connect(struct wire_loop *l, struct wire *w, const struct sockaddr *to, socklen_t size);
/* The handshake begins; the wire owns ssl. */
void wire_secure(struct wire *w, SSL *ssl);
void wire_put(struct wire *w, const char *p, size_t n);
/* Writes what was put; what the socket does not take goes later. */
void wire_flush(struct wire *w);
size_t wire_waiting(const struct wire *w);
/* paused: nothing is read until wire_resume(), which may call bytes(). */
void wire_pause(struct wire *w);
void wire_resume(struct wire *w);
/* Gives the empty output buffer back. */
void wire_shrink(struct wire *w);
void wire_close(struct wire *w);

/* The process may have as many descriptors as the host lets it. */
void wire_raise_limit(void);
int64_t wire_now(void); /* CLOCK_MONOTONIC, ns */
/* "203.0.113.1" or "2001:db8::1" and a port; exits with a message when it is no address. */
socklen_t wire_address(const char *address, int port, struct sockaddr_storage *out);
/* A listening socket; exits with a message when there is none. */
int wire_listen(const struct sockaddr_storage *at, socklen_t size);
__attribute__((noreturn, format(printf, 1, 2))) void wire_die(const char *format, ...);

#endif
