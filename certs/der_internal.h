/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      der_internal - small readers and printers for DER
 *
 * DESCRIPTION
 *      Pure; any thread.  Object identifiers are compared as their content bytes:
 *      OID("\x55\x1d\x13").
 */
#ifndef TLSMEND_CERTS_DER_INTERNAL_H
#define TLSMEND_CERTS_DER_INTERNAL_H

#include <stdint.h>

#include "certs/boring_internal.h"
#include "proxy/base/buf.h"
#include "proxy/base/instant.h"

#define OID(lit)               \
    {                          \
        (lit), sizeof(lit) - 1 \
    } /* an initializer of a struct slice */

struct slice der_slice(const CBS *c);
CBS der_cbs(struct slice s);

/* One UTCTime or GeneralizedTime in the only form that RFC 5280 4.1.2.5 allows. */
bool der_time(CBS *in, wall_ms *out);
bool der_generalized_time(CBS *in, wall_ms *out);
/* AlgorithmIdentifier: its OID, and what follows it. */
bool der_algorithm(CBS *in, struct slice *oid, struct slice *params);
/* BIT STRING of whole bytes, as signatures and keys are. */
bool der_bits(CBS *in, struct slice *out);

/* Appends a Name as one line, RFC 2253 order and escapes, most specific part first. */
void der_name_text(struct slice name, struct buf *out);
/* The same for the common name alone, or the whole Name where there is none. */
void der_name_brief(struct slice name, struct buf *out);
/* Appends bytes of a peer: printable ASCII as it is, all else as \xHH. */
void text_escape(struct slice s, struct buf *out);
void hex_text(const uint8_t *p, size_t n, char *out); /* lower case, 2n + 1 bytes */
void oid_text(struct slice oid, struct buf *out);     /* "2.5.29.19" */

#endif
