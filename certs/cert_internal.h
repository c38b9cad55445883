/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      cert_internal - one certificate, read
 *
 * DESCRIPTION
 *      Read once with CBS, strictly, beside the library's own parser; both must take it.  Constant
 *      after cert_parse(), so the anchors of a trust store are shared between threads.
 */
#ifndef TLSMEND_CERTS_CERT_INTERNAL_H
#define TLSMEND_CERTS_CERT_INTERNAL_H

#include "certs/judge.h"
#include "certs/signature_internal.h"

enum key_kind { KEY_OTHER, KEY_RSA, KEY_P256, KEY_P384, KEY_P521, KEY_ED25519 };

enum key_usage_bit { /* RFC 5280 4.2.1.3: bit numbers */
                     USAGE_DIGITAL_SIGNATURE = 0,
                     USAGE_KEY_ENCIPHERMENT = 2,
                     USAGE_KEY_AGREEMENT = 4,
                     USAGE_CERT_SIGN = 5,
                     USAGE_CRL_SIGN = 6,
};

struct cert {
    struct slice der;             /* owned by this struct; the slices below lie in it */
    const char *broken;           /* what cannot be read; NULL: all is well */
    X509 *x509;                   /* NULL where broken */
    EVP_PKEY *key;                /* NULL: not a key that the library can use */
    struct slice serial;          /* content of the INTEGER */
    struct slice issuer, subject; /* whole Name */
    struct slice spki;            /* whole SubjectPublicKeyInfo */
    struct slice key_bits;        /* content of its BIT STRING, for OCSP */
    wall_ms not_before, not_after;
    const struct sig_alg *signature; /* NULL where not read */
    enum key_kind key_kind;
    int key_size;     /* bits */
    bool self_issued; /* issuer and subject are the same name */

    bool has_basic, is_ca;
    int path_limit; /* pathLenConstraint, -1: none */
    bool has_usage;
    unsigned usage; /* 1u << enum key_usage_bit */
    bool has_extended, server_auth, any_purpose, ocsp_signing;
    struct slice subject_key_id, authority_key_id; /* contents; absent if none */
    struct slice alt_names;                        /* content of the GeneralNames SEQUENCE */
    bool must_staple;
    struct slice unknown_critical; /* OID of the first critical extension that nobody here knows */
};

/* Never NULL; a copy of `der` is kept.  Where ->broken is set, the members read so far are there.
 */
struct cert *cert_parse(struct slice der);
void cert_free(struct cert *c);
bool cert_same(const struct cert *a, const struct cert *b);
bool cert_same_name(X509_NAME *a, X509_NAME *b);
/* `issuer` has the subject that `child` names as its issuer. */
bool cert_names_issuer(const struct cert *child, const struct cert *issuer);
bool cert_may_sign(const struct cert *c, enum key_usage_bit use); /* by key usage alone */
const char *key_kind_name(enum key_kind k);

/* Calls `each` for every dNSName until it answers false. */
void cert_each_name(const struct cert *c, bool (*each)(void *arg, struct slice name), void *arg);
void cert_facts_fill(const struct cert *c, struct cert_facts *out);
void cert_facts_clear(struct cert_facts *f);

#endif
