/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      signature_internal - signature algorithms: names, strength, verification
 */
#ifndef TLSMEND_CERTS_SIGNATURE_INTERNAL_H
#define TLSMEND_CERTS_SIGNATURE_INTERNAL_H

#include "certs/der_internal.h"

struct sig_alg {
    struct slice oid;
    const char *name;
    const char *weak;              /* why it proves nothing any more, NULL: it does */
    bool usable;                   /* the library verifies it in certificates */
    int key_type;                  /* EVP_PKEY_*, for signatures that we verify ourselves */
    const EVP_MD *(*digest)(void); /* NULL: Ed25519, or only the library verifies it */
};

/* Never NULL: unknown algorithms have a row of their own, which is weak and not usable. */
const struct sig_alg *sig_alg_find(struct slice oid, struct slice params);
/* A signature over `data`, as OCSP responses and CRLs have it; weak algorithms do not verify. */
bool sig_verify(const struct sig_alg *alg, EVP_PKEY *key, struct slice data, struct slice sig);
/* The same where the caller has the digest of the data already (alg->digest). */
bool sig_verify_digest(const struct sig_alg *alg, EVP_PKEY *key, struct slice digest,
                       struct slice sig);

#endif
