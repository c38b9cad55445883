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

struct resolver_context { /* resolver_setup.c makes and ends it */
    struct ub_ctx *ub;
    int64_t timeout;
};

/* dns_answer.c: one hold is yours.  `name` and `detail` are copied. */
struct dns_answer *dns_answer_of(const char *name, enum dns_type type,
                                 const struct ub_result *from);
struct dns_answer *dns_answer_bare(const char *name, enum dns_type type, enum dns_status status,
                                   const char *detail);
char *dns_name_normalised(const char *name); /* lower case, no dot at the end; yours */

#endif
