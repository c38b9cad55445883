/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      resolvers - what main does for the resolvers of all threads: prepare them, before anything changes
 */
#ifndef TLSMEND_RELAY_RESOLVERS_H
#define TLSMEND_RELAY_RESOLVERS_H

#include "config/settings.h"
#include "proxy/net/resolver.h"
#include "proxy/store/log.h"

/* The resolver as the settings ask for it, for a test before anything depends on it.  Lines in *error. */
bool resolvers_check(const struct settings *set, struct buf *error);

/* `count` contexts, or NULL with lines in *error; validate false: without the trust anchor. */
struct resolver_context **resolvers_prepare(const struct settings *set, bool validate,
                                            unsigned count, struct buf *error);
/* With those that nobody took. */
void resolvers_free(struct resolver_context ***all, unsigned count); /* NULL is fine */

/* The record of a resolver that could not be had; what was there serves on. */
void resolvers_tell(struct log *log, struct slice why);

#endif
