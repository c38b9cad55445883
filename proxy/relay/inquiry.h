/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      inquiry - what the daemon would find out and decide about a domain, without a daemon
 *
 * DESCRIPTION
 *      For the subcommands mta-sts and dane: the same settings, look-ups, cache and decisions as those of a mail, in
 *      a loop of its own; no MX is connected to.  The store is read beside a running daemon, and not written.
 *      Main thread.
 */
#ifndef TLSMEND_RELAY_INQUIRY_H
#define TLSMEND_RELAY_INQUIRY_H

#include "proxy/relay/destination.h"
#include "proxy/relay/dnssec.h"

struct inquiry;

/* Takes the caller's hold of `settings` over, also on failure.  NULL with a line in *error; *note: what is worth a
 * word though it goes on (the store cannot be read). */
struct inquiry *inquiry_new(struct settings *settings, struct buf *note, struct buf *error);
enum dnssec_state inquiry_dnssec(struct inquiry *q, const char **detail);
/* What the cache held before anything was asked; NULL: nothing.  Lent. */
const struct policy_entry *inquiry_held(struct inquiry *q, const char *domain);
/* Waits for the answer, which is lent until inquiry_free(). */
const struct destination *inquiry_ask(struct inquiry *q, const char *domain);
void inquiry_free(struct inquiry **q);

#endif
