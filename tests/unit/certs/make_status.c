/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      make_status - revocation lists and OCSP responses, made at test time
 */
#include <stdlib.h>

#include <openssl/digest.h>
#include <openssl/sha.h>

#include "tests/unit/certs/make_cert.h"
#include "tests/unit/certs/make_der.h"

static void put_crl_extension(CBB *list, const char *oid, bool indirect)
{
    CBB ext, value, seq, flag;

    MUST(CBB_add_asn1(list, &ext, CBS_ASN1_SEQUENCE));
    der_put_oid(&ext, oid);
    MUST(CBB_add_asn1_bool(&ext, 1) && CBB_add_asn1(&ext, &value, CBS_ASN1_OCTETSTRING));
    if (indirect) {
        MUST(CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE));
        MUST(CBB_add_asn1(&seq, &flag, CBS_ASN1_CONTEXT_SPECIFIC | 4) && CBB_add_u8(&flag, 0xff));
    } else {
        MUST(CBB_add_asn1_uint64(&value, 1));
    }
    MUST(CBB_flush(list));
}

struct slice make_crl(const struct make_crl *m)
{
    CBB out, tbs, list, entry, serial, outer;

    MUST(CBB_init(&out, 512) && CBB_add_asn1(&out, &tbs, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1_uint64(&tbs, 1));
    der_put_algorithm(&tbs, m->signer, NULL);
    der_put_name(&tbs, m->issuer);
    der_put_time(&tbs, m->from != 0 ? m->from : TEST_NOW - TEST_DAY, false);
    der_put_time(&tbs, m->to != 0 ? m->to : TEST_NOW + TEST_DAY, false);
    if (m->revoked[0].p != NULL)
        MUST(CBB_add_asn1(&tbs, &list, CBS_ASN1_SEQUENCE));
    for (size_t i = 0; i < 4 && m->revoked[i].p != NULL; i++) {
        struct made cert = der_open(m->revoked[i]);

        MUST(CBB_add_asn1(&list, &entry, CBS_ASN1_SEQUENCE));
        MUST(CBB_add_asn1(&entry, &serial, CBS_ASN1_INTEGER));
        MUST(CBB_add_bytes(&serial, CBS_data(&cert.serial), CBS_len(&cert.serial)));
        der_put_time(&entry, TEST_NOW - 2 * TEST_DAY, false);
        MUST(CBB_flush(&list));
    }
    if (m->delta || m->indirect) {
        MUST(CBB_add_asn1(&tbs, &outer, DER_EXPLICIT(0)));
        MUST(CBB_add_asn1(&outer, &list, CBS_ASN1_SEQUENCE));
        put_crl_extension(&list, m->delta ? "2.5.29.27" : "2.5.29.28", m->indirect);
    }
    return der_sign(&out, m->signer, NULL, m->damage, SLICE_NONE);
}

static void put_cert_id(CBB *single, const struct make_ocsp *m)
{
    const EVP_MD *md = m->sha256_id ? EVP_sha256() : EVP_sha1();
    struct made leaf = der_open(m->leaf), issuer = der_open(m->issuer);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    CBB id, algorithm, serial;

    MUST(CBB_add_asn1(single, &id, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1(&id, &algorithm, CBS_ASN1_SEQUENCE));
    der_put_oid(&algorithm, m->sha256_id ? "2.16.840.1.101.3.4.2.1" : "1.3.14.3.2.26");
    MUST(EVP_Digest(CBS_data(&leaf.issuer), CBS_len(&leaf.issuer), digest, &n, md, NULL));
    MUST(CBB_add_asn1_octet_string(&id, digest, n));
    MUST(EVP_Digest(CBS_data(&issuer.key_bits), CBS_len(&issuer.key_bits), digest, &n, md, NULL));
    MUST(CBB_add_asn1_octet_string(&id, digest, n));
    MUST(CBB_add_asn1(&id, &serial, CBS_ASN1_INTEGER));
    MUST(CBB_add_bytes(&serial, CBS_data(&leaf.serial), CBS_len(&leaf.serial)));
    MUST(CBB_flush(single));
}

static void put_critical(CBB *single)
{
    CBB tagged, list, ext, value;

    MUST(CBB_add_asn1(single, &tagged, DER_EXPLICIT(1)));
    MUST(CBB_add_asn1(&tagged, &list, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1(&list, &ext, CBS_ASN1_SEQUENCE));
    der_put_oid(&ext, "1.2.3.4.5");
    MUST(CBB_add_asn1_bool(&ext, 1) && CBB_add_asn1(&ext, &value, CBS_ASN1_OCTETSTRING));
    MUST(CBB_flush(single));
}

static void put_single(CBB *list, const struct make_ocsp *m, enum make_status answer)
{
    CBB single, status, next;

    MUST(CBB_add_asn1(list, &single, CBS_ASN1_SEQUENCE));
    put_cert_id(&single, m);
    if (answer == STAPLE_REVOKED) {
        MUST(CBB_add_asn1(&single, &status, DER_EXPLICIT(1)));
        der_put_time(&status, TEST_NOW - TEST_DAY, true);
    } else {
        MUST(CBB_add_asn1(&single, &status,
                          CBS_ASN1_CONTEXT_SPECIFIC | (answer == STAPLE_UNKNOWN ? 2 : 0)));
    }
    MUST(CBB_flush(&single));
    der_put_time(&single, m->from != 0 ? m->from : TEST_NOW - TEST_DAY, true);
    if (m->to >= 0) {
        MUST(CBB_add_asn1(&single, &next, DER_EXPLICIT(0)));
        der_put_time(&next, m->to != 0 ? m->to : TEST_NOW + TEST_DAY, true);
    }
    MUST(CBB_flush(&single));
    if (m->critical)
        put_critical(&single);
    MUST(CBB_flush(list));
}

/* BasicOCSPResponse. */
static struct slice basic_response(const struct make_ocsp *m)
{
    bool delegated = m->responder.p != NULL;
    struct made who = der_open(delegated ? m->responder : m->issuer);
    struct slice tail = SLICE_NONE, basic;
    uint8_t digest[SHA_DIGEST_LENGTH];
    CBB out, tbs, id, list;

    MUST(CBB_init(&out, 512) && CBB_add_asn1(&out, &tbs, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1(&tbs, &id, DER_EXPLICIT(m->by_key ? 2u : 1u)));
    SHA1(CBS_data(&who.key_bits), CBS_len(&who.key_bits), digest);
    if (m->by_key)
        MUST(CBB_add_asn1_octet_string(&id, digest, sizeof(digest)));
    else
        MUST(CBB_add_bytes(&id, CBS_data(&who.subject), CBS_len(&who.subject)));
    MUST(CBB_flush(&tbs));
    der_put_time(&tbs, TEST_NOW - TEST_DAY, true);
    MUST(CBB_add_asn1(&tbs, &list, CBS_ASN1_SEQUENCE));
    if (m->has_second)
        put_single(&list, m, m->second);
    put_single(&list, m, m->status);
    MUST(CBB_flush(&tbs));
    if (delegated) {
        CBB certs, tagged, seq;

        MUST(CBB_init(&certs, 512) && CBB_add_asn1(&certs, &tagged, DER_EXPLICIT(0)));
        MUST(CBB_add_asn1(&tagged, &seq, CBS_ASN1_SEQUENCE));
        MUST(CBB_add_bytes(&seq, (const uint8_t *)m->responder.p, m->responder.n));
        tail = der_finish(&certs);
    }
    basic = der_sign(&out, m->signer, m->hash, m->damage, tail);
    free((char *)tail.p);
    return basic;
}

struct slice make_ocsp(const struct make_ocsp *m)
{
    struct slice basic = basic_response(m);
    CBB out, seq, status, tagged, bytes;

    MUST(CBB_init(&out, 512) && CBB_add_asn1(&out, &seq, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1(&seq, &status, CBS_ASN1_ENUMERATED));
    MUST(CBB_add_u8(&status, (uint8_t)m->error) && CBB_add_asn1(&seq, &tagged, DER_EXPLICIT(0)));
    MUST(CBB_add_asn1(&tagged, &bytes, CBS_ASN1_SEQUENCE));
    der_put_oid(&bytes, "1.3.6.1.5.5.7.48.1.1");
    MUST(CBB_add_asn1_octet_string(&bytes, (const uint8_t *)basic.p, basic.n));
    free((char *)basic.p);
    return der_finish(&out);
}
