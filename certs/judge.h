/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      judge - the judgement over a certificate chain: facts and a reason, not yes or no
 *
 * DESCRIPTION
 *      Always computed, also where the demand does not ask for it.  Sans-I/O: DER in, time in, answer out;
 *      bounded in time and memory (C-CERT-07: at most CHAIN_CERTS_MAX certificates and CHAIN_BYTES_MAX
 *      bytes are looked at).  C-CERT-01..08.  Any thread; a failure inside it refuses (C-CERT-05).
 *
 *      The reasons, when several hold, are reported in this order: no-certificate,
 *      too-many-certificates, malformed, revoked, then what is wrong with the chain (self-signed,
 *      untrusted-root, incomplete-chain, bad-signature, unchecked, expired, not-yet-valid,
 *      wrong-purpose, weak-signature, weak-key), then name-mismatch; `also` names the further ones.
 *      fingerprint-mismatch is the caller's to say, from `pinned`: fingerprints stand beside chain and name.
 *      docs/certs.md has the decisions behind each.
 */
#ifndef TLSMEND_CERTS_JUDGE_H
#define TLSMEND_CERTS_JUDGE_H

#include "certs/trust.h"
#include "proxy/policy/demand.h"
#include "proxy/policy/reason.h"

#define CHAIN_CERTS_MAX 16
#define CHAIN_BYTES_MAX (96 * 1024)
#define FACT_NAMES_MAX 100 /* names kept of one certificate; name_count says how many there are */

struct cert_facts {
    char *subject, *issuer; /* RFC 2253-like one line, escaped */
    char **names;           /* dNSName entries of the SAN, at most FACT_NAMES_MAX; NULL: none */
    size_t names_kept, name_count;
    wall_ms not_before, not_after;
    const char *key; /* "RSA", "P-256", "P-384", "P-521", "Ed25519", "other" */
    int key_bits;
    const char *signature;            /* "sha256WithRSAEncryption", ... */
    char sha256[65], spki_sha256[65]; /* lower-case hex */
    bool self_issued, is_ca, must_staple;
};

struct judge_request {
    const struct trust_store *trust;
    const struct slice *chain; /* DER as sent, leaf first */
    size_t chain_count;
    const struct slice *names; /* reference names, any may match; ".name": any name below.
                                       None: names are not checked (name_ok stays true) */
    size_t name_count;
    struct slice
        host; /* a further reference name with an answer of its own (host_ok); absent: none */
    const struct fingerprint *fingerprints;
    size_t fingerprint_count;
    struct slice ocsp;     /* stapled response, absent if none */
    bool skip_must_staple; /* for callers that cannot see a staple */
    wall_ms now;
    int min_rsa_bits; /* 2048 */
};

enum ocsp_status { OCSP_NONE, OCSP_GOOD, OCSP_UNKNOWN, OCSP_REVOKED, OCSP_INVALID };

/* So long a judgement may be kept at most: lists and staples, whose dates are not in `until`, are
 * taken with as much patience. */
#define JUDGEMENT_SPAN_MS (5 * 60 * 1000LL)

struct judgement {
    enum reason reason; /* REASON_OK: chain and name hold */
    char *detail;       /* which certificate and why, escaped, for log and reply; with REASON_OK: a
                           note about a CRL or staple that was of no use, or "" */
    enum reason also[4];
    size_t also_count;
    bool chain_ok, name_ok;
    bool host_ok;       /* the leaf bears request.host; false where none was asked for */
    bool pinned;        /* a fingerprint matches the leaf or its key */
    char *matched_name; /* the certificate's name that matched, or "" */
    enum ocsp_status ocsp;
    bool must_staple_missing; /* must-staple and no usable staple: reported, not refused */
    size_t path_length;       /* certificates of the accepted path, anchor included; 0: none */
    char *anchor;             /* subject of the anchor, or "" */
    struct cert_facts *facts; /* of each certificate sent, leaf first */
    size_t fact_count;
    wall_ms until; /* until then the same chain and request get the same answer */
};

/* Fills *out (yours to judgement_clear()). */
void judge_chain(const struct judge_request *req, struct judgement *out);
void judgement_clear(struct judgement *j);
const char *ocsp_status_name(enum ocsp_status s);

/* RFC 6125 6.4.3 as C-CERT-01 has it; pure.  `pattern` is a dNSName from a certificate, `reference` a
 * normalised host name or ".parent". */
bool cert_name_match(struct slice pattern, struct slice reference);

#endif
