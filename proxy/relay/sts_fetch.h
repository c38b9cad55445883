/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      sts_fetch - get the policy text of one domain (RFC 8461 3.3, C-STS-04)
 *
 * DESCRIPTION
 *      Addresses of mta-sts.DOMAIN, filtered as those of an MX are; one HTTPS GET; status 200, text/plain;
 *      the grammar.  The whole takes at most mta_sts.timeout.  `done` comes from the loop.
 */
#ifndef TLSMEND_RELAY_STS_FETCH_H
#define TLSMEND_RELAY_STS_FETCH_H

#include "proxy/policy/mtasts.h"
#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"

struct sts_fetch;

struct sts_fetched_text { /* lent to `done` */
    enum reason reason;   /* OK, sts-fetch-failed, sts-policy-invalid, sts-webpki-invalid */
    char detail[256];
    struct slice body; /* with OK: good by the grammar */
    bool untyped;      /* there was no Content-Type: accepted, and told */
    int64_t took_ms;
};

typedef void sts_fetch_done_fn(void *owner, const struct sts_fetched_text *text);

struct sts_fetch *sts_fetch_start(struct services *sv, struct snapshot *snap, const char *domain,
                                  sts_fetch_done_fn *done, void *owner);
void sts_fetch_cancel(struct sts_fetch **f); /* NULL is fine */

#endif
