/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_sessions - TLS sessions for resumption, kept per host and demand (C-TLS-08)
 *
 * DESCRIPTION
 *      A session is offered only where the whole request is the same that it was made under: address
 *      and port, SNI, versions, needs, names, pins, TLSA records, the content of the trust store
 *      (tls_request in tls.h).  With it goes the peer's chain and what was judged of it.  Before the hello
 *      that is held against the present time, and the chain judged anew where a date has been passed or
 *      some minutes: a session whose verdict is not what it was (the certificate expired, the
 *      staple is too old) is not offered and forgotten, and a full handshake says what is.
 *
 *      A session of TLS 1.3 is used once where there are others (RFC 8446 C.4): a stack for each key,
 *      the newest on top.  The last one stays and is used again: many MXs (Postfix) give one with a
 *      full handshake and none with a resumption.  What single use would hide, that two connections are
 *      one client's, our address tells anyway; there is no early data.  At most `max` sessions in all; the key unused for the
 *      longest time goes first.
 *
 *      A session is a secret: in memory only, unless the caller takes them out as bytes and puts them back
 *      in another process.  Such ones come without what was judged; their chain is judged before the
 *      first hello, and only a good one is offered.
 *
 *      Shared by all threads, with its own lock.
 */
#ifndef TLSMEND_NET_TLS_SESSIONS_H
#define TLSMEND_NET_TLS_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/instant.h"
#include "proxy/base/slice.h"

struct tls_context;
struct tls_sessions;

/* So many connections to one address may begin at once and each find a session. */
#define TLS_SESSIONS_PER_KEY 64

struct tls_sessions *tls_sessions_new(size_t max); /* 0: keeps none */
void tls_sessions_free(struct tls_sessions **s);
void tls_sessions_limit(struct tls_sessions *s, size_t max); /* a reload */
size_t tls_sessions_count(struct tls_sessions *s);
size_t tls_sessions_memory(struct tls_sessions *s); /* bytes, about */

/* Those that are good at `now`, the key unused for the longest time first, of one key the newest last.
 * Key and bytes are lent for the call, which must not come back here. */
void tls_sessions_each(struct tls_sessions *s, wall_ms now,
                       void (*each)(void *owner, struct slice key, struct slice bytes),
                       void *owner);
/* What each() gave, in its order.  False: it is no session.  One that has expired is left out. */
bool tls_sessions_add(struct tls_sessions *s, const struct tls_context *c, wall_ms now,
                      struct slice key, struct slice bytes);

#endif
