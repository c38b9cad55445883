/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      make_der - the common parts of what make_cert.h makes
 */
#include "tests/unit/certs/make_der.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/base64.h>
#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "proxy/base/mem.h"
#include "tests/unit/certs/make_cert.h"

struct kept_key {
    int kind, number;
    EVP_PKEY *key;
};

static struct kept_key kept[64];
static size_t kept_count;

static void free_keys(void)
{
    for (size_t i = 0; i < kept_count; i++)
        EVP_PKEY_free(kept[i].key);
}

static EVP_PKEY *find_key(int kind, int number)
{
    for (size_t i = 0; i < kept_count; i++)
        if (kept[i].kind == kind && kept[i].number == number)
            return kept[i].key;
    return NULL;
}

static EVP_PKEY *keep_key(int kind, int number, EVP_PKEY *key)
{
    if (kept_count == 0)
        MUST(atexit(free_keys) == 0);
    MUST(key != NULL && kept_count < sizeof(kept) / sizeof(kept[0]));
    kept[kept_count++] = (struct kept_key){kind, number, key};
    return key;
}

EVP_PKEY *make_rsa(int bits, int number)
{
    EVP_PKEY *key = find_key(bits, number);
    RSA *rsa;
    BIGNUM *e;

    if (key != NULL)
        return key;
    rsa = RSA_new();
    e = BN_new();
    key = EVP_PKEY_new();
    MUST(rsa != NULL && e != NULL && key != NULL && BN_set_word(e, RSA_F4));
    MUST(RSA_generate_key_ex(rsa, bits, e, NULL) && EVP_PKEY_assign_RSA(key, rsa));
    BN_free(e);
    return keep_key(bits, number, key);
}

EVP_PKEY *make_ec(int nid, int number)
{
    EVP_PKEY *key = find_key(-nid, number);
    EC_KEY *ec;

    if (key != NULL)
        return key;
    ec = EC_KEY_new_by_curve_name(nid);
    key = EVP_PKEY_new();
    MUST(ec != NULL && key != NULL && EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(key, ec));
    return keep_key(-nid, number, key);
}

EVP_PKEY *make_key(int number)
{
    return make_ec(NID_X9_62_prime256v1, number);
}

EVP_PKEY *make_ed25519(int number)
{
    uint8_t public_key[32], private_key[64];
    EVP_PKEY *key = find_key(0, number);

    if (key != NULL)
        return key;
    ED25519_keypair(public_key, private_key);
    return keep_key(0, number,
                    EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32));
}

void der_put_oid(CBB *out, const char *dotted)
{
    CBB oid;

    MUST(CBB_add_asn1(out, &oid, CBS_ASN1_OBJECT));
    MUST(CBB_add_asn1_oid_from_text(&oid, dotted, strlen(dotted)) && CBB_flush(out));
}

static const struct make_alg {
    const char *hash;
    int key;
    const char *oid;
    const EVP_MD *(*md)(void);
} make_algs[] = {
    {"sha256", EVP_PKEY_RSA, "1.2.840.113549.1.1.11", EVP_sha256},
    {"sha384", EVP_PKEY_RSA, "1.2.840.113549.1.1.12", EVP_sha384},
    {"sha1", EVP_PKEY_RSA, "1.2.840.113549.1.1.5", EVP_sha1},
    {"md5", EVP_PKEY_RSA, "1.2.840.113549.1.1.4", EVP_md5},
    {"pss", EVP_PKEY_RSA, "1.2.840.113549.1.1.10", EVP_sha256},
    {"pss-sha1", EVP_PKEY_RSA, "1.2.840.113549.1.1.10", EVP_sha1},
    {"sha256", EVP_PKEY_EC, "1.2.840.10045.4.3.2", EVP_sha256},
    {"sha384", EVP_PKEY_EC, "1.2.840.10045.4.3.3", EVP_sha384},
    {"sha1", EVP_PKEY_EC, "1.2.840.10045.4.1", EVP_sha1},
    {"sha256", EVP_PKEY_ED25519, "1.3.101.112", NULL},
    {"md2", EVP_PKEY_EC, "1.2.840.113549.1.1.2", EVP_sha256},
    {"dsa", EVP_PKEY_EC, "2.16.840.1.101.3.4.3.2", EVP_sha256},
};

static const struct make_alg *alg_of(EVP_PKEY *signer, const char *hash)
{
    if (hash == NULL)
        hash = "sha256";
    const struct make_alg *found = NULL;

    for (size_t i = 0; found == NULL && i < sizeof(make_algs) / sizeof(make_algs[0]); i++)
        if (strcmp(hash, make_algs[i].hash) == 0 && EVP_PKEY_id(signer) == make_algs[i].key)
            found = &make_algs[i];
    MUST(found != NULL);
    return found;
}

static bool is_pss(const char *hash)
{
    return hash != NULL && strncmp(hash, "pss", 3) == 0;
}

/* RFC 4055 3.1: SHA-256 three times and a salt of 32 bytes, or all by default, which is SHA-1. */
static void put_pss(CBB *seq, bool sha1)
{
    static const uint8_t sha256_params[] = {
        0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
        0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48,
        0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20};
    static const uint8_t no_params[] = {0x30, 0x00};

    MUST(sha1 ? CBB_add_bytes(seq, no_params, sizeof(no_params))
              : CBB_add_bytes(seq, sha256_params, sizeof(sha256_params)));
}

void der_put_algorithm(CBB *out, EVP_PKEY *signer, const char *hash)
{
    CBB seq, null;

    MUST(CBB_add_asn1(out, &seq, CBS_ASN1_SEQUENCE));
    der_put_oid(&seq, alg_of(signer, hash)->oid);
    if (is_pss(hash))
        put_pss(&seq, strcmp(hash, "pss-sha1") == 0);
    else if (EVP_PKEY_id(signer) == EVP_PKEY_RSA)
        MUST(CBB_add_asn1(&seq, &null, CBS_ASN1_NULL));
    MUST(CBB_flush(out));
}

void der_put_name(CBB *out, const char *common_name)
{
    CBB name, rdn, pair, value;

    MUST(CBB_add_asn1(out, &name, CBS_ASN1_SEQUENCE));
    if (common_name[0] != '\0') {
        MUST(CBB_add_asn1(&name, &rdn, CBS_ASN1_SET));
        MUST(CBB_add_asn1(&rdn, &pair, CBS_ASN1_SEQUENCE));
        der_put_oid(&pair, "2.5.4.3");
        MUST(CBB_add_asn1(&pair, &value, CBS_ASN1_UTF8STRING));
        MUST(CBB_add_bytes(&value, (const uint8_t *)common_name, strlen(common_name)));
    }
    MUST(CBB_flush(out));
}

void der_put_time(CBB *out, int64_t seconds, bool generalized)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    char text[32];
    CBB value;
    bool utc = !generalized && seconds < 2524608000LL; /* 2050 */

    MUST(gmtime_r(&t, &tm) != NULL);
    MUST(strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) > 0);
    const char *from = utc ? text + 2 : text;

    MUST(CBB_add_asn1(out, &value, utc ? CBS_ASN1_UTCTIME : CBS_ASN1_GENERALIZEDTIME));
    MUST(CBB_add_bytes(&value, (const uint8_t *)from, strlen(from)) && CBB_flush(out));
}

struct slice der_finish(CBB *out)
{
    uint8_t *p;
    size_t n;
    char *copy;

    MUST(CBB_finish(out, &p, &n));
    copy = mem_zalloc(n + 1);
    memcpy(copy, p, n);
    OPENSSL_free(p);
    return slice_of(copy, n);
}

struct slice der_sign(CBB *tbs, EVP_PKEY *signer, const char *hash, bool damage, struct slice tail)
{
    const struct make_alg *alg = alg_of(signer, hash);
    struct slice body = der_finish(tbs);
    uint8_t sig[1024];
    size_t n = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;
    CBB out, seq, bits;

    MUST(ctx != NULL &&
         EVP_DigestSignInit(ctx, &how, alg->md != NULL ? alg->md() : NULL, NULL, signer));
    if (is_pss(hash))
        MUST(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, -1));
    MUST(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)body.p, body.n));
    EVP_MD_CTX_free(ctx);
    if (damage)
        sig[n - 1] ^= 1;
    MUST(CBB_init(&out, 1024) && CBB_add_asn1(&out, &seq, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_bytes(&seq, (const uint8_t *)body.p, body.n));
    der_put_algorithm(&seq, signer, hash);
    MUST(CBB_add_asn1(&seq, &bits, CBS_ASN1_BITSTRING));
    MUST(CBB_add_u8(&bits, 0) && CBB_add_bytes(&bits, sig, n) && CBB_flush(&seq));
    if (tail.n > 0)
        MUST(CBB_add_bytes(&seq, (const uint8_t *)tail.p, tail.n));
    free((char *)body.p);
    return der_finish(&out);
}

/* SubjectPublicKeyInfo's BIT STRING without the count of unused bits. */
static CBS key_bits(CBS spki)
{
    CBS seq, algorithm, bits;
    uint8_t unused;

    MUST(CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1(&seq, &algorithm, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1(&seq, &bits, CBS_ASN1_BITSTRING) && CBS_get_u8(&bits, &unused));
    return bits;
}

void der_key_id(EVP_PKEY *key, uint8_t out[20])
{
    CBB cbb;
    struct slice spki;
    CBS in, bits;

    MUST(CBB_init(&cbb, 512) && EVP_marshal_public_key(&cbb, key));
    spki = der_finish(&cbb);
    CBS_init(&in, (const uint8_t *)spki.p, spki.n);
    bits = key_bits(in);
    SHA1(CBS_data(&bits), CBS_len(&bits), out);
    free((char *)spki.p);
}

struct made der_open(struct slice cert)
{
    struct made m;
    CBS in, outer, tbs, skip;

    CBS_init(&in, (const uint8_t *)cert.p, cert.n);
    MUST(CBS_get_asn1(&in, &outer, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE));
    if (CBS_peek_asn1_tag(&tbs, DER_EXPLICIT(0)))
        MUST(CBS_get_asn1(&tbs, &skip, DER_EXPLICIT(0)));
    MUST(CBS_get_asn1(&tbs, &m.serial, CBS_ASN1_INTEGER));
    MUST(CBS_get_asn1(&tbs, &skip, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1_element(&tbs, &m.issuer, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1(&tbs, &skip, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1_element(&tbs, &m.subject, CBS_ASN1_SEQUENCE));
    MUST(CBS_get_asn1_element(&tbs, &skip, CBS_ASN1_SEQUENCE));
    m.key_bits = key_bits(skip);
    return m;
}

char *make_pem(const char *label, struct slice der)
{
    size_t room;
    uint8_t *text;
    char *pem;

    MUST(EVP_EncodedLength(&room, der.n));
    text = mem_zalloc(room);
    (void)EVP_EncodeBlock(text, (const uint8_t *)der.p, der.n);
    pem = mem_format("-----BEGIN %s-----\n%s\n-----END %s-----\n", label, (char *)text, label);
    free(text);
    return pem;
}
