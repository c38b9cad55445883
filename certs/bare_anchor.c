/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      bare_anchor - a bare public key as a trust anchor (RFC 7671 5.2.3)
 *
 * DESCRIPTION
 *      Path search and library know anchors as certificates only, so one is made around the key.
 *      Its signature is empty, and nobody looks at an anchor's own signature.
 */
#include "certs/dane_internal.h"

#define EXPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

static bool put(CBB *out, struct slice element)
{
    return CBB_add_bytes(out, (const uint8_t *)element.p, element.n);
}

/* Any algorithm will do: ecdsa-with-SHA256. */
static bool put_algorithm(CBB *out)
{
    static const struct slice algorithm = OID("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02");

    return put(out, algorithm);
}

/* RFC 5280 4.2.1.1: the child may name its issuer by that one's issuer and serial number too, and
 * the library holds an anchor to it. */
static bool put_serial(CBB *out, const AUTHORITY_KEYID *wanted)
{
    uint8_t *der = NULL;
    int n;
    bool good;

    if (wanted == NULL || wanted->serial == NULL)
        return CBB_add_asn1_uint64(out, 1);
    n = i2d_ASN1_INTEGER(wanted->serial, &der);
    good = n > 0 && CBB_add_bytes(out, der, (size_t)n);
    OPENSSL_free(der);
    return good;
}

static bool put_issuer(CBB *out, const AUTHORITY_KEYID *wanted, struct slice preset)
{
    size_t count =
        wanted != NULL && wanted->issuer != NULL ? sk_GENERAL_NAME_num(wanted->issuer) : 0;

    for (size_t i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(wanted->issuer, i);
        uint8_t *der = NULL;
        int n;
        bool good;

        if (name->type != GEN_DIRNAME)
            continue;
        n = i2d_X509_NAME(name->d.directoryName, &der);
        good = n > 0 && CBB_add_bytes(out, der, (size_t)n);
        OPENSSL_free(der);
        return good;
    }
    return put(out, preset);
}

static bool put_body(CBB *tbs, const struct cert *child, struct slice spki,
                     const AUTHORITY_KEYID *wanted)
{
    static const struct slice version_3 = OID("\xa0\x03\x02\x01\x02");
    /* 1950-01-01 to 9999-12-31: a bare key has no dates (RFC 5280 4.1.2.5) */
    static const struct slice always = OID("\x30\x20\x17\x0d"
                                           "500101000000Z"
                                           "\x18\x0f"
                                           "99991231235959Z");
    /* basicConstraints, critical: cA */
    static const struct slice a_ca = OID("\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff"
                                         "\x04\x05\x30\x03\x01\x01\xff");

    return put(tbs, version_3) && put_serial(tbs, wanted) && put_algorithm(tbs) &&
           put_issuer(tbs, wanted, child->issuer) && put(tbs, always) && put(tbs, child->issuer) &&
           put(tbs, spki) && put(tbs, a_ca);
}

static bool put_certificate(CBB *out, const struct cert *child, struct slice spki)
{
    AUTHORITY_KEYID *wanted =
        X509_get_ext_d2i(child->x509, NID_authority_key_identifier, NULL, NULL);
    CBB seq, tbs, bits;
    bool good =
        CBB_add_asn1(out, &seq, CBS_ASN1_SEQUENCE) && CBB_add_asn1(&seq, &tbs, CBS_ASN1_SEQUENCE) &&
        put_body(&tbs, child, spki, wanted) && CBB_flush(&seq) && put_algorithm(&seq) &&
        CBB_add_asn1(&seq, &bits, CBS_ASN1_BITSTRING) && CBB_add_u8(&bits, 0) && CBB_flush(out);

    AUTHORITY_KEYID_free(wanted);
    return good;
}

struct cert *bare_anchor(const struct cert *child, struct slice spki)
{
    struct cert *made = NULL;
    uint8_t *der = NULL;
    size_t n = 0;
    CBB out;

    if (CBB_init(&out, 512) && put_certificate(&out, child, spki) && CBB_finish(&out, &der, &n))
        made = cert_parse(slice_of(der, n));
    CBB_cleanup(&out);
    OPENSSL_free(der);
    ERR_clear_error();
    if (made != NULL && (made->broken != NULL || made->key == NULL)) {
        cert_free(made);
        made = NULL;
    }
    return made;
}
