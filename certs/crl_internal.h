/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      crl_internal - one certificate revocation list, read (RFC 5280 5)
 *
 * DESCRIPTION
 *      Constant after crl_parse().  A list is only ever a source of "revoked": a certificate that
 *      no list speaks about is not refused, so a partial list is as good as it is.
 */
#ifndef TLSMEND_CERTS_CRL_INTERNAL_H
#define TLSMEND_CERTS_CRL_INTERNAL_H

#include "certs/cert_internal.h"

struct crl {
    struct slice der; /* owned */
    X509_NAME *issuer;
    const struct sig_alg *signature;
    struct slice signature_bits;
    uint8_t
        digest[EVP_MAX_MD_SIZE]; /* of what is signed, so that judging does not hash megabytes */
    size_t digest_size;          /* 0: the algorithm signs the bytes themselves */
    struct slice signed_part;
    wall_ms this_update, next_update; /* next_update 0: not said */
    struct slice *serials;            /* sorted */
    size_t serial_count;
};

/* NULL and *why where it cannot be read or is of a kind that cannot be used. */
struct crl *crl_parse(struct slice der, const char **why);
void crl_free(struct crl *c);
bool crl_is_of(const struct crl *c, const struct cert *issuer);
bool crl_verify(const struct crl *c, const struct cert *issuer);
bool crl_lists(const struct crl *c, struct slice serial);

#endif
