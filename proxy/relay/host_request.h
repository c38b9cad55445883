/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      host_request - what is asked of the TLS handshake with one host of a destination
 *
 * DESCRIPTION
 *      SNI, reference names, pins, TLSA records and trust store, from the host's demand and facts
 *      (C-TLS-07, C-DANE-03, RFC 7672 3.2.2).  Its digest says which connections are alike (C-OUT-08).
 */
#ifndef TLSMEND_RELAY_HOST_REQUEST_H
#define TLSMEND_RELAY_HOST_REQUEST_H

#include "proxy/relay/destination.h"

#define HOST_REQUEST_NAMES_MAX 32
#define HOST_REQUEST_DANE_NAMES_MAX 4

struct host_request { /* lends from the destination */
    struct tls_request tls;
    struct slice names[HOST_REQUEST_NAMES_MAX], dane_names[HOST_REQUEST_DANE_NAMES_MAX];
    struct buf scratch;
};

/* At the full hello, without sessions and place. */
void host_request_make(struct host_request *r, const struct destination *d,
                       const struct destination_host *h);
void host_request_clear(struct host_request *r);
void host_request_digest(const struct destination *d, const struct destination_host *h,
                         unsigned char out[TLS_DIGEST_LENGTH]);

#endif
