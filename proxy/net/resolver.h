/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      resolver - asynchronous DNS with DNSSEC state (libunbound), one per worker
 *
 * DESCRIPTION
 *      A question that is already under way is shared by all who ask it.  Each who asks has a time limit
 *      of his own.  Answers are constant, counted, and carry their DNSSEC state; NODATA, NXDOMAIN
 *      and failure are told apart and never mixed up (C-MX-03).  CNAMEs are followed (at most 8; C-MX-07),
 *      but by a question for the CNAME itself: that answers with this one record and its own DNSSEC state.
 *      libunbound keeps the cache.  Called by the worker's thread only, but for contexts; `done` comes from the
 *      loop, never inside dns_ask().
 */
#ifndef TLSMEND_NET_RESOLVER_H
#define TLSMEND_NET_RESOLVER_H

#include "proxy/base/addr.h"
#include "proxy/base/buf.h"
#include "proxy/net/loop.h"
#include "proxy/policy/mxset.h"
#include "proxy/policy/reason.h"

struct resolver;
struct dns_query;

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52,
};

enum dns_status {
    DNS_OK, /* at least one record of the type */
    DNS_NODATA,
    DNS_NXDOMAIN,
    DNS_FAILED, /* SERVFAIL, REFUSED, ... : detail */
    DNS_TIMED_OUT,
    DNS_IS_BOGUS, /* fails validation: detail */
};

struct dns_answer { /* constant; dns_answer_hold() to keep it */
    enum dns_status status;
    bool secure;     /* validated by DNSSEC, denial of existence included */
    char *name;      /* asked for, normalised */
    char *canonical; /* behind CNAMEs; == name without; DNS_CNAME: the target */
    enum dns_type type;
    char *detail;         /* why bogus, which rcode */
    uint32_t ttl;         /* of a denial too */
    struct slice *rdata;  /* all types: uncompressed wire form */
    struct mx_record *mx; /* DNS_MX */
    struct addr *addrs;   /* DNS_A, DNS_AAAA */
    size_t count;         /* of rdata, and of mx or addrs; malformed records are left out ... */
    size_t malformed;     /* ... and counted; a TLSA record never is, whatever it holds */
    int64_t took_ms;
};

struct resolver_params {
    const struct addr *forward;
    size_t forward_count;
    bool system; /* forward empty: /etc/resolv.conf, else from the root */
    const struct dns_stub *stubs;
    size_t stub_count;
    const char *trust_anchor; /* "" : no validation, secure is never true */
    int64_t timeout;          /* ms, for each who asks */
};

struct dns_stub {
    const char *zone;
    struct addr server;
};

typedef void dns_done_fn(void *owner, const struct dns_answer *a);

/*
 * libunbound's part of a resolver: its thread, its cache, the trust anchors.  It takes tens of milliseconds to make
 * one and to end one, so a loop that serves does neither; any thread may, the one that serves takes it into its loop.
 */
struct resolver_context;

/* NULL with one line in *error. */
struct resolver_context *resolver_prepare(const struct resolver_params *p, struct buf *error);
void resolver_context_free(struct resolver_context **c); /* NULL is fine */
/* Takes *prepared into the loop; NULL: the loop takes no more descriptors, and *prepared is still yours. */
struct resolver *resolver_open(struct loop *l, struct resolver_context **prepared);
/* Cancels everything, no `done` is called; the handles still want their dns_cancel().  The context is yours. */
struct resolver_context *resolver_close(struct resolver **r);

/* Both halves at once: for tools, and for loops that may wait. */
struct resolver *resolver_new(struct loop *l, const struct resolver_params *p, struct buf *error);
void resolver_free(struct resolver **r); /* NULL is fine */

/* A zone that this file of trust anchors has a key for: the root, else the first; yours.  NULL and one line in
 * *error where it has none. */
char *resolver_anchor_zone(const char *path, struct buf *error);

/* The handle is yours until `done` was called or dns_cancel(); never NULL. */
struct dns_query *dns_ask(struct resolver *r, const char *name, enum dns_type type,
                          dns_done_fn *done, void *owner);
void dns_cancel(struct dns_query **q); /* after this `done` is not called any more; NULL is fine */

const struct dns_answer *dns_answer_hold(const struct dns_answer *a);
void dns_answer_drop(const struct dns_answer **a);
const char *dns_status_name(enum dns_status s);

#endif
