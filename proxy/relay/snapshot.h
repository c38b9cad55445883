/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      snapshot - settings and everything that is loaded because of them
 *
 * DESCRIPTION
 *      The settings, the trust stores (the general one, and one per destination with a ca_file),
 *      the TLS context and our own addresses, made together or not at all: a reload that fails
 *      changes nothing. Constant once made; shared between threads by counted holds.  A
 *      transaction ends on the snapshot it began with.
 */
#ifndef TLSMEND_RELAY_SNAPSHOT_H
#define TLSMEND_RELAY_SNAPSHOT_H

#include "certs/trust.h"
#include "config/settings.h"
#include "proxy/net/tls.h"
#include "proxy/policy/mxset.h"

struct snapshot;

/* The general trust store (`o` NULL), or that of a row with a ca_file; for check too.  NULL with one
 * line in *error, which names the setting. */
struct trust_store *snapshot_load_trust(const struct settings *set, const struct override *o,
                                        struct buf *error);
/* Takes the caller's hold of `settings` over, also on failure.  `own` are the addresses that the
 * listeners are bound to (for the loop check).  NULL with one line in *error. */
struct snapshot *snapshot_new(struct settings *settings, const struct addr *own, size_t own_count,
                              struct buf *error);
/* The same settings with trust stores loaded anew (the file changed). */
struct snapshot *snapshot_refresh(struct snapshot *old, struct buf *error);
struct snapshot *snapshot_hold(struct snapshot *s);
/* Freeing takes milliseconds for each row with a ca_file: see to it that the last hold is main's (daemon.c). */
void snapshot_drop(struct snapshot **s);
bool snapshot_is_last(const struct snapshot *s); /* this hold is the only one left */

const struct settings *snapshot_settings(const struct snapshot *s);
const struct demand_config *snapshot_demand(const struct snapshot *s);
struct tls_context *snapshot_tls(const struct snapshot *s);
/* The store for a host: the override's own where it has a ca_file (lent). */
struct trust_store *snapshot_trust(const struct snapshot *s, const struct override *o);
const struct addr *snapshot_own(const struct snapshot *s, size_t *count);
/* The addresses of this host, for listeners on 0.0.0.0 or "::"; none where no listener is so. */
const struct addr *snapshot_local(const struct snapshot *s, size_t *count);
/* Which addresses a connection to `port` of a foreign host may go to (C-MX-06). */
struct addr_filter snapshot_addr_filter(const struct snapshot *s, uint16_t port);
/* One of the files behind the trust stores has changed. */
bool snapshot_trust_changed(const struct snapshot *s);

#endif
