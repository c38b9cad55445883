/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      https - one GET over our own TLS stream, bounded (RFC 9110, RFC 8461 3.3)
 *
 * DESCRIPTION
 *      Connects to the addresses in order (a bad certificate is not tried elsewhere), TLS 1.2+ with the
 *      certificate verified for `host` by the given trust store, one GET with Connection: close, the
 *      answer read by libhttp-parser.  No redirect is followed, nothing is cached, no cookie, no compression
 *      (Accept-Encoding: identity; an answer with another Content-Encoding fails).  An answer whose end is
 *      that of the connection counts only with close_notify (RFC 9112 9.8).  The whole takes at most
 *      `timeout`, the header at most 16 KiB, the body at most body_max.  Loop's thread; `done` comes from
 *      the loop, never inside https_get().
 *
 * OWNERSHIP
 *      The fetch is gone when `done` returns: forget the pointer there, or https_cancel() it inside.
 */
#ifndef TLSMEND_NET_HTTPS_H
#define TLSMEND_NET_HTTPS_H

#include "proxy/base/addr.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls.h"

enum https_end {
    HTTPS_OK,      /* a whole answer came, whatever its status */
    HTTPS_CONNECT, /* no address could be reached */
    HTTPS_TLS,     /* no handshake */
    HTTPS_CERT,    /* the certificate is not good for `host`: tls_reason says why */
    HTTPS_TIMEOUT,
    HTTPS_TOO_LARGE, /* header or body */
    HTTPS_PROTOCOL,  /* no HTTP, cut off in the middle, wrong length */
};

const char *https_end_name(enum https_end e); /* "ok", "connect", "tls", "certificate", ... */

struct https_request { /* copied; trust and tls are held */
    struct tls_context *tls;
    struct trust_store *trust;
    const char *host;         /* SNI, reference name and Host: */
    const char *path;         /* "/.well-known/mta-sts.txt" */
    const struct addr *addrs; /* with port */
    size_t addr_count;
    size_t body_max;
    int64_t timeout; /* ms */
    int min_rsa_bits;
};

struct https_answer { /* lent to `done` for its duration */
    enum https_end end;
    char detail[256];       /* what was wrong, escaped; the status too where there was one */
    enum reason tls_reason; /* with HTTPS_TLS, HTTPS_CERT; else OK */
    int status;             /* HTTPS_OK: 200, 404 ... */
    bool has_content_type;
    char content_type[256]; /* as sent (not escaped; no control byte but HT); cut there */
    struct slice body;
    struct addr peer; /* that shook hands, or at least was connected; ADDR_NONE: none */
    int64_t took_ms;
};

struct https_fetch;
typedef void https_done_fn(void *owner, const struct https_answer *a);

struct https_fetch *https_get(struct loop *l, const struct https_request *req, https_done_fn *done,
                              void *owner);
void https_cancel(struct https_fetch **f); /* `done` is not called any more; NULL is fine */

#endif
