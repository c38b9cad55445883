/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      signature - signature algorithms: names, strength, verification
 *
 * DESCRIPTION
 *      One row per algorithm (C-CERT-02).  BoringSSL cannot verify DSA at all, and newer versions
 *      no longer MD5; both are weak here anyway, so what cannot be verified is never accepted.
 */
#include "certs/signature_internal.h"

#define RSA_OID(last) OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01" last)
#define EC_OID(rest) OID("\x2a\x86\x48\xce\x3d\x04" rest)
#define DSA2_OID(last) OID("\x60\x86\x48\x01\x65\x03\x04\x03" last)

static const char md2_broken[] = "MD2 is broken";
static const char md5_broken[] = "MD5 is broken";
static const char sha1_broken[] = "SHA-1 is broken";
static const char no_dsa[] = "DSA is not supported";

/* clang-format off */
static const struct sig_alg algorithms[] = {
    {RSA_OID("\x0b"), "sha256WithRSAEncryption", NULL,       true,  EVP_PKEY_RSA,  EVP_sha256},
    {RSA_OID("\x0c"), "sha384WithRSAEncryption", NULL,       true,  EVP_PKEY_RSA,  EVP_sha384},
    {RSA_OID("\x0d"), "sha512WithRSAEncryption", NULL,       true,  EVP_PKEY_RSA,  EVP_sha512},
    {RSA_OID("\x0e"), "sha224WithRSAEncryption", NULL,       true,  EVP_PKEY_RSA,  EVP_sha224},
    {RSA_OID("\x0a"), "RSASSA-PSS",              NULL,       true,  EVP_PKEY_NONE, NULL},
    {EC_OID("\x03\x02"), "ecdsa-with-SHA256",    NULL,       true,  EVP_PKEY_EC,   EVP_sha256},
    {EC_OID("\x03\x03"), "ecdsa-with-SHA384",    NULL,       true,  EVP_PKEY_EC,   EVP_sha384},
    {EC_OID("\x03\x04"), "ecdsa-with-SHA512",    NULL,       true,  EVP_PKEY_EC,   EVP_sha512},
    {EC_OID("\x03\x01"), "ecdsa-with-SHA224",    NULL,       true,  EVP_PKEY_EC,   EVP_sha224},
    {OID("\x2b\x65\x70"), "Ed25519",             NULL,       true,  EVP_PKEY_ED25519, NULL},
    {RSA_OID("\x05"), "sha1WithRSAEncryption",   sha1_broken, true, EVP_PKEY_RSA,  NULL},
    {EC_OID("\x01"), "ecdsa-with-SHA1",          sha1_broken, true, EVP_PKEY_EC,   NULL},
    {OID("\x2b\x0e\x03\x02\x1d"), "sha1WithRSA", sha1_broken, false, EVP_PKEY_RSA, NULL},
    {RSA_OID("\x04"), "md5WithRSAEncryption",    md5_broken, false, EVP_PKEY_RSA,  NULL},
    {RSA_OID("\x02"), "md2WithRSAEncryption",    md2_broken, false, EVP_PKEY_RSA,  NULL},
    {OID("\x2a\x86\x48\xce\x38\x04\x03"), "dsa-with-SHA1", no_dsa, false, EVP_PKEY_DSA, NULL},
    {OID("\x2b\x0e\x03\x02\x1b"), "dsa-with-SHA1", no_dsa,   false, EVP_PKEY_DSA,  NULL},
    {DSA2_OID("\x01"), "dsa-with-SHA224",        no_dsa,     false, EVP_PKEY_DSA,  NULL},
    {DSA2_OID("\x02"), "dsa-with-SHA256",        no_dsa,     false, EVP_PKEY_DSA,  NULL},
};
/* clang-format on */

static const struct sig_alg unknown_algorithm = {
    {NULL, 0}, "unknown", "this algorithm is not supported", false, EVP_PKEY_NONE, NULL};

static const struct sig_alg weak_pss = {{NULL, 0}, "RSASSA-PSS",  "RSASSA-PSS without a SHA-2 hash",
                                        false,     EVP_PKEY_NONE, NULL};

/* RFC 4055 3.1: RSASSA-PSS-params; the hash is [0], and SHA-1 where it is absent. */
static bool pss_is_sha2(struct slice params)
{
    static const struct slice sha2 = OID("\x60\x86\x48\x01\x65\x03\x04\x02");
    CBS in = der_cbs(params), seq, tagged;
    struct slice oid, rest;

    return CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) &&
           CBS_get_asn1(&seq, &tagged, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) &&
           der_algorithm(&tagged, &oid, &rest) && oid.n == sha2.n + 1 &&
           slice_eq(slice_first(oid, sha2.n), sha2);
}

const struct sig_alg *sig_alg_find(struct slice oid, struct slice params)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (!slice_eq(oid, algorithms[i].oid))
            continue;
        if (slice_eq(oid, (struct slice)RSA_OID("\x0a")) && !pss_is_sha2(params))
            return &weak_pss;
        return &algorithms[i];
    }
    return &unknown_algorithm;
}

static bool fits(const struct sig_alg *alg, EVP_PKEY *key)
{
    return alg->weak == NULL && key != NULL && EVP_PKEY_id(key) == alg->key_type;
}

bool sig_verify(const struct sig_alg *alg, EVP_PKEY *key, struct slice data, struct slice sig)
{
    EVP_MD_CTX *ctx;
    bool good;

    if (!fits(alg, key))
        return false;
    ctx = EVP_MD_CTX_new();
    good = ctx != NULL &&
           EVP_DigestVerifyInit(ctx, NULL, alg->digest != NULL ? alg->digest() : NULL, NULL, key) &&
           EVP_DigestVerify(ctx, (const uint8_t *)sig.p, sig.n, (const uint8_t *)data.p, data.n);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

bool sig_verify_digest(const struct sig_alg *alg, EVP_PKEY *key, struct slice digest,
                       struct slice sig)
{
    EVP_PKEY_CTX *ctx;
    bool good;

    if (!fits(alg, key))
        return false;
    ctx = EVP_PKEY_CTX_new(key, NULL);
    good = ctx != NULL && EVP_PKEY_verify_init(ctx) &&
           EVP_PKEY_CTX_set_signature_md(ctx, alg->digest()) &&
           EVP_PKEY_verify(ctx, (const uint8_t *)sig.p, sig.n, (const uint8_t *)digest.p, digest.n);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return good;
}
