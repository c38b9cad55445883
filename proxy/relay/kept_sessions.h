/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      kept_sessions - TLS sessions from one run to the next (tls.keep_sessions)
 *
 * DESCRIPTION
 *      Main thread.  Written at an orderly end and read at the start, which takes them out of the database: a
 *      session is used once (C-TLS-08).  Whatever goes wrong costs a full handshake and nothing else.
 */
#ifndef TLSMEND_RELAY_KEPT_SESSIONS_H
#define TLSMEND_RELAY_KEPT_SESSIONS_H

#include "config/settings.h"
#include "proxy/net/tls.h"
#include "proxy/store/store.h"

/* So many the store shall have at hand when it opens. */
size_t kept_sessions_max(const struct settings *set);
/* Before the workers start. */
void kept_sessions_read(struct tls_sessions *into, struct store *store,
                        const struct tls_context *tls, struct log *log);
/* When the workers have ended; the store writes them when it closes.  NULL of either is fine. */
void kept_sessions_write(struct tls_sessions *from, struct store *store,
                         const struct settings *set);

#endif
