/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      make_der - the common parts of what make_cert.h makes
 */
#ifndef TLSMEND_TESTS_MAKE_DER_H
#define TLSMEND_TESTS_MAKE_DER_H

#include <openssl/bytestring.h>
#include <openssl/evp.h>

#include "proxy/base/invariant.h"
#include "proxy/base/slice.h"

#define MUST(x) INVARIANT(x)
#define DER_EXPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

void der_put_oid(CBB *out, const char *dotted);
void der_put_algorithm(CBB *out, EVP_PKEY *signer, const char *hash);
void der_put_name(CBB *out, const char *common_name);
void der_put_time(CBB *out, int64_t seconds, bool generalized);
/* SHA-1 of the key bits, as identifiers have it. */
void der_key_id(EVP_PKEY *key, uint8_t out[20]);
/* Takes `tbs` (one finished element), gives SEQUENCE { tbs, algorithm, signature, tail }. */
struct slice der_sign(CBB *tbs, EVP_PKEY *signer, const char *hash, bool damage, struct slice tail);
struct slice der_finish(CBB *out);

/* Fields of a certificate that was made here. */
struct made {
    CBS serial, issuer, subject, key_bits;
};
struct made der_open(struct slice cert);

#endif
