/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_sessions_internal - how a connection takes a session and gives new ones
 */
#ifndef TLSMEND_NET_TLS_SESSIONS_INTERNAL_H
#define TLSMEND_NET_TLS_SESSIONS_INTERNAL_H

#include <openssl/ssl.h>

#include "proxy/base/instant.h"
#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions.h"

#define TLS_SESSION_KEY_LENGTH 32

/* tls_request.c: the request, its needs, its rung, the address and port (C-TLS-08) */
void tls_sessions_key(const struct tls_request *req, unsigned char out[TLS_SESSION_KEY_LENGTH]);

struct tls_kept {
    SSL_SESSION *session;
    struct tls_verdict
        *verdict; /* over its chain; held.  NULL: of another process, not judged here */
};

void tls_kept_clear(struct tls_kept *k);
/* The newest that is good at `now`, yours to tls_kept_clear().  One that may be used once is gone from the
 * table.  False: there is none. */
bool tls_sessions_take(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH],
                       wall_ms now, struct tls_kept *out);
/* Takes `kept` over.  What cannot be resumed is freed at once. */
void tls_sessions_put(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH],
                      struct tls_kept kept);
/* All of that key: what they came from does not hold any more. */
void tls_sessions_forget(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH]);

#endif
