/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dane - a certificate chain against TLSA records (RFC 6698, 7671 5, 7672 3)
 *
 * DESCRIPTION
 *      C-DANE-05: usage 3 (DANE-EE) compares the leaf alone; names, dates, key usage and who signed it do
 *      not matter.  Usage 2 (DANE-TA) asks for a path from the leaf to the anchor that the record names: the
 *      anchor is a certificate of the chain (or its key), or the whole certificate or bare public key in the
 *      record itself (matching type 0), which need not be in the chain; on that path signatures, dates, CA
 *      bits, path length and our own rules hold, and the leaf must bear one of the reference names.
 *      Only records that are TLSA_USABLE are looked at.  The leaf is its own anchor only for a bare
 *      key that has signed it.  Bounded as judge_chain() is (C-CERT-07): a chain beyond those bounds is
 *      too-many-certificates, unless usage 3 holds.  Any thread; a failure inside it refuses.
 *      docs/certs.md, "DANE", has the decisions.
 */
#ifndef TLSMEND_CERTS_DANE_H
#define TLSMEND_CERTS_DANE_H

#include "proxy/base/instant.h"
#include "proxy/policy/reason.h"
#include "proxy/policy/tlsa.h"

struct dane_request {
    const struct tlsa_record *records;
    size_t record_count;
    const struct slice *chain; /* DER as sent, leaf first */
    size_t chain_count;
    const struct slice *names; /* reference names for usage 2, any may match */
    size_t name_count;
    wall_ms now;
    int min_rsa_bits;
};

struct dane_judgement {
    enum reason
        reason; /* OK: authenticated.  dane-mismatch: no record matches the chain; else what is wrong
                           with the path to the anchor that does match (expired, name-mismatch, ...) */
    char detail[256]; /* which record matched where, or why none did; escaped */
    size_t matched;   /* index of the record, with OK */
    size_t
        depth; /* certificate of the chain that it matched, 0 the leaf; chain_count: not in the chain */
};

void dane_judge(const struct dane_request *req, struct dane_judgement *out);

#endif
