/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      refresher - MTA-STS policies are fetched anew before they expire, also without mail (C-STS-09)
 *
 * DESCRIPTION
 *      Main thread, with a resolver of its own.  Each second it begins what is due, as far as its share of
 *      mta_sts.fetches allows; the store spreads the dates, so that thousands of domains make no herd, neither
 *      at a start nor a day later.
 */
#ifndef TLSMEND_RELAY_REFRESHER_H
#define TLSMEND_RELAY_REFRESHER_H

#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"
#include "proxy/relay/snapshot.h"
#include "proxy/store/store.h"

struct refresher;

struct refresher *refresher_new(struct loop *l, struct log *log, struct store *store);
/* The settings to go by from now on; *resolver is taken over, NULL: the present one serves on. */
void refresher_use(struct refresher *r, struct snapshot *s, struct resolver_context **resolver,
                   unsigned fetches);
void refresher_free(struct refresher **r);

#endif
