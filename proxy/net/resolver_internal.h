/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      resolver_internal - the two helpers of the resolver: setting libunbound up, making answers of its results
 */
#ifndef TLSMEND_NET_RESOLVER_INTERNAL_H
#define TLSMEND_NET_RESOLVER_INTERNAL_H

#include <unbound.h>

#include "proxy/net/resolver.h"

#define DNS_CNAMES_MAX 8 /* C-MX-07 */

/* resolver_setup.c: a context and its thread; NULL and one line in *error else. */
struct ub_ctx *resolver_context(const struct resolver_params *p, struct buf *error);
void resolver_context_free(struct ub_ctx *ctx); /* ends its thread too */

/* dns_answer.c: one hold is yours.  `name` and `detail` are copied. */
struct dns_answer *dns_answer_of(const char *name, enum dns_type type,
                                 const struct ub_result *from);
struct dns_answer *dns_answer_bare(const char *name, enum dns_type type, enum dns_status status,
                                   const char *detail);
char *dns_name_normalised(const char *name); /* lower case, no dot at the end; yours */

#endif
