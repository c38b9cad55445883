/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tlsa - TLSA records: reading, usability for SMTP, which of them count (RFC 6698 2, 7671 9, 7672 3)
 *
 * DESCRIPTION
 *      Pure.  Rdata of any length goes in; a record that cannot be used says why.  C-DANE-04, C-DANE-06.
 */
#ifndef TLSMEND_POLICY_TLSA_H
#define TLSMEND_POLICY_TLSA_H

#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/slice.h"

enum tlsa_usability {
    TLSA_USABLE,
    TLSA_TRUNCATED,    /* fewer than four bytes of rdata */
    TLSA_PKIX_USAGE,   /* usage 0 or 1: not for SMTP (RFC 7672 3.1.3) */
    TLSA_BAD_USAGE,    /* above 3 */
    TLSA_BAD_SELECTOR, /* above 1 */
    TLSA_BAD_MATCHING, /* above 2 */
    TLSA_BAD_LENGTH, /* no digest of that type has this length; matching 0: no DER element of this length */
    TLSA_WEAKER, /* usable, but a stronger digest of the same usage and selector counts (C-DANE-06) */
};

struct tlsa_record {
    uint8_t usage, selector, matching; /* 0 where the rdata is too short to have them */
    struct slice data;                 /* points into the rdata */
    enum tlsa_usability usability;
};

const char *
tlsa_usability_text(enum tlsa_usability u); /* a clause: "usage 0 and 1 are not for SMTP" */

/* Never fails: a broken record is an unusable one. */
void tlsa_read(struct slice rdata, struct tlsa_record *out);

/* The RRset: reads every record, and marks TLSA_WEAKER.  The order is kept.  Returns how many are
 * TLSA_USABLE.  `out` has room for `count`. */
size_t tlsa_read_all(const struct slice *rdata, size_t count, struct tlsa_record *out);

/* "3 1 1 0123abcd..." (data in hex, cut after 8 bytes). */
void tlsa_text(const struct tlsa_record *r, struct buf *out);

#endif
