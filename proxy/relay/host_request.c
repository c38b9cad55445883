/* SPDX-License-Identifier: Apache-2.0 */
/* See host_request.h. */
#include "proxy/relay/host_request.h"

#include <string.h>

#include "proxy/base/invariant.h"

/* The name that the MX is called by: under DANE the one that its TLSA records stand at (C-TLS-07,
 * C-DANE-03); an address has none. */
static const char *sni_of(const struct destination *d, const struct destination_host *h)
{
    struct addr ignored;

    if (d->is_literal || addr_parse(slice_str(h->name), &ignored))
        return NULL;
    return h->dane.state == DANE_USABLE ? h->dane.base : h->name;
}

/* RFC 7672 3.2.2: what a certificate below a DANE-TA anchor may name. */
static size_t dane_names(const struct destination *d, const struct destination_host *h,
                         struct slice *out)
{
    size_t n = 0;

    INVARIANT(h->dane.base != NULL); /* usable records stand below a name */
    out[n++] = slice_str(h->dane.base);
    if (strcmp(h->dane.base, h->name) != 0)
        out[n++] = slice_str(h->name);
    if (h->mx_secure && !d->is_route) {
        out[n++] = slice_str(d->domain);
        if (d->expanded[0] != '\0')
            out[n++] = slice_str(d->expanded);
    }
    return n;
}

void host_request_make(struct host_request *r, const struct destination *d,
                       const struct destination_host *h)
{
    const struct demand *demand = &h->demand;

    memset(&r->tls, 0, sizeof(r->tls));
    buf_init(&r->scratch, 16384);
    r->tls.sni = sni_of(d, h);
    r->tls.min_version = demand->min_version;
    r->tls.trust = snapshot_trust(d->snapshot, demand->override);
    r->tls.names = r->names;
    r->tls.needs = demand->needs;
    r->tls.rung = RUNG_FULL;
    r->tls.min_rsa_bits = snapshot_settings(d->snapshot)->tls.min_rsa_bits;
    if (r->tls.sni != NULL)
        r->tls.host = slice_str(h->name); /* an address is no name (C-CERT-01) */
    r->tls.name_count = demand_names(demand, slice_str(h->name), slice_str(d->nexthop), &r->scratch,
                                     r->names, HOST_REQUEST_NAMES_MAX);
    if (r->tls.name_count == 0 && r->tls.sni != NULL) {
        /* No name is owed at this level; the judgement is made and logged all the same. */
        r->names[0] = slice_str(h->name);
        r->tls.name_count = 1;
    }
    if (demand->override != NULL) {
        r->tls.fingerprints = demand->override->fingerprints;
        r->tls.fingerprint_count = demand->override->fingerprint_count;
    }
    if (h->dane.state == DANE_USABLE) { /* also where it is only observed */
        r->tls.tlsa = h->dane.records;
        r->tls.tlsa_count = h->dane.record_count;
        r->tls.dane_names = r->dane_names;
        r->tls.dane_name_count = dane_names(d, h, r->dane_names);
    }
}

void host_request_clear(struct host_request *r)
{
    buf_clear(&r->scratch);
}

void host_request_digest(const struct destination *d, const struct destination_host *h,
                         unsigned char out[TLS_DIGEST_LENGTH])
{
    struct host_request r;

    host_request_make(&r, d, h);
    tls_request_digest(&r.tls, out);
    host_request_clear(&r);
}
