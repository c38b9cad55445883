/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      cert - one certificate, read (RFC 5280 4.1)
 */
#include "certs/cert_internal.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"

#define EXPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))
#define IMPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))

static bool read_basic(struct cert *c, CBS in)
{
    CBS seq;
    int ca = 0;
    uint64_t limit;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
        return false;
    if (CBS_peek_asn1_tag(&seq, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&seq, &ca))
        return false;
    c->has_basic = true;
    c->is_ca = ca != 0;
    if (CBS_len(&seq) == 0)
        return true;
    if (!CBS_get_asn1_uint64(&seq, &limit) || CBS_len(&seq) != 0)
        return false;
    c->path_limit = limit > 1000 ? 1000 : (int)limit;
    return true;
}

static bool read_usage(struct cert *c, CBS in)
{
    CBS bits;

    if (!CBS_get_asn1(&in, &bits, CBS_ASN1_BITSTRING) || CBS_len(&in) != 0 ||
        !CBS_is_valid_asn1_bitstring(&bits))
        return false;
    c->has_usage = true;
    for (unsigned i = 0; i < 9; i++)
        if (CBS_asn1_bitstring_has_bit(&bits, i))
            c->usage |= 1u << i;
    return true;
}

static bool read_extended(struct cert *c, CBS in)
{
    static const struct slice server = OID("\x2b\x06\x01\x05\x05\x07\x03\x01");
    static const struct slice ocsp = OID("\x2b\x06\x01\x05\x05\x07\x03\x09");
    static const struct slice any = OID("\x55\x1d\x25\x00");
    CBS seq, oid;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 || CBS_len(&seq) == 0)
        return false;
    c->has_extended = true;
    while (CBS_len(&seq) > 0) {
        if (!CBS_get_asn1(&seq, &oid, CBS_ASN1_OBJECT))
            return false;
        c->server_auth |= slice_eq(der_slice(&oid), server);
        c->ocsp_signing |= slice_eq(der_slice(&oid), ocsp);
        c->any_purpose |= slice_eq(der_slice(&oid), any);
    }
    return true;
}

static bool read_subject_key_id(struct cert *c, CBS in)
{
    CBS id;

    if (!CBS_get_asn1(&in, &id, CBS_ASN1_OCTETSTRING) || CBS_len(&in) != 0)
        return false;
    c->subject_key_id = der_slice(&id);
    return true;
}

static bool read_authority_key_id(struct cert *c, CBS in)
{
    CBS seq, id;
    int present;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
        !CBS_get_optional_asn1(&seq, &id, &present, IMPLICIT(0)))
        return false;
    if (present)
        c->authority_key_id = der_slice(&id);
    return true;
}

static bool read_alt_names(struct cert *c, CBS in)
{
    CBS seq, walk, name;
    unsigned tag;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 || CBS_len(&seq) == 0)
        return false;
    for (walk = seq; CBS_len(&walk) > 0;)
        if (!CBS_get_any_asn1(&walk, &name, &tag))
            return false;
    c->alt_names = der_slice(&seq);
    return true;
}

/* RFC 7633: the list of TLS extensions that the server promises; 5 is status_request. */
static bool read_tls_features(struct cert *c, CBS in)
{
    CBS seq;
    uint64_t feature;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
        return false;
    while (CBS_len(&seq) > 0) {
        if (!CBS_get_asn1_uint64(&seq, &feature))
            return false;
        c->must_staple |= feature == 5;
    }
    return true;
}

/* Known extensions; without a reader: the library checks it (name constraints), or it is about
 * policies, which mail does not use. */
static const struct extension_rule {
    struct slice oid;
    bool (*read)(struct cert *c, CBS in);
    const char *broken;
} extension_rules[] = {
    {OID("\x55\x1d\x13"), read_basic, "basicConstraints cannot be read"},
    {OID("\x55\x1d\x0f"), read_usage, "keyUsage cannot be read"},
    {OID("\x55\x1d\x25"), read_extended, "extendedKeyUsage cannot be read"},
    {OID("\x55\x1d\x0e"), read_subject_key_id, "subjectKeyIdentifier cannot be read"},
    {OID("\x55\x1d\x23"), read_authority_key_id, "authorityKeyIdentifier cannot be read"},
    {OID("\x55\x1d\x11"), read_alt_names, "subjectAltName cannot be read"},
    {OID("\x2b\x06\x01\x05\x05\x07\x01\x18"), read_tls_features, "TLS features cannot be read"},
    {OID("\x55\x1d\x1e"), NULL, NULL}, /* nameConstraints */
    {OID("\x55\x1d\x20"), NULL, NULL}, /* certificatePolicies */
    {OID("\x55\x1d\x21"), NULL, NULL}, /* policyMappings */
    {OID("\x55\x1d\x24"), NULL, NULL}, /* policyConstraints */
    {OID("\x55\x1d\x36"), NULL, NULL}, /* inhibitAnyPolicy */
};

#define EXTENSION_RULES (sizeof(extension_rules) / sizeof(extension_rules[0]))

static const char *read_extension(struct cert *c, CBS *list, unsigned *seen)
{
    CBS seq, oid, value;
    int critical = 0;

    if (!CBS_get_asn1(list, &seq, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&seq, &oid, CBS_ASN1_OBJECT) ||
        (CBS_peek_asn1_tag(&seq, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&seq, &critical)) ||
        !CBS_get_asn1(&seq, &value, CBS_ASN1_OCTETSTRING) || CBS_len(&seq) != 0)
        return "an extension cannot be read";
    for (size_t i = 0; i < EXTENSION_RULES; i++) {
        const struct extension_rule *rule = &extension_rules[i];

        if (!slice_eq(der_slice(&oid), rule->oid))
            continue;
        if (*seen & 1u << i) /* RFC 5280 4.2: at most one instance */
            return "an extension is there twice";
        *seen |= 1u << i;
        return rule->read == NULL || rule->read(c, value) ? NULL : rule->broken;
    }
    if (critical && c->unknown_critical.p == NULL)
        c->unknown_critical = der_slice(&oid);
    return NULL;
}

static const char *read_extensions(struct cert *c, CBS *tbs, uint64_t version)
{
    CBS outer, list;
    unsigned seen = 0;

    if (CBS_len(tbs) == 0)
        return NULL;
    if (version != 2 || !CBS_get_asn1(tbs, &outer, EXPLICIT(3)) || CBS_len(tbs) != 0 ||
        !CBS_get_asn1(&outer, &list, CBS_ASN1_SEQUENCE) || CBS_len(&outer) != 0)
        return "the extensions cannot be read";
    while (CBS_len(&list) > 0) {
        const char *broken = read_extension(c, &list, &seen);

        if (broken != NULL)
            return broken;
    }
    return NULL;
}

static int rsa_size(struct slice bits)
{
    CBS in = der_cbs(bits), seq, n;
    int size;

    if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&seq, &n, CBS_ASN1_INTEGER))
        return 0;
    struct slice m = der_slice(&n);

    while (m.n > 0 && m.p[0] == 0)
        m = slice_from(m, 1);
    size = (int)m.n * 8;
    for (unsigned top = m.n > 0 ? (unsigned char)m.p[0] : 0x80; top < 0x80; top <<= 1)
        size--;
    return size;
}

static bool read_key(struct cert *c)
{
    static const struct slice rsa = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
    static const struct slice ed25519 = OID("\x2b\x65\x70");
    static const struct slice ec = OID("\x2a\x86\x48\xce\x3d\x02\x01");
    static const struct {
        struct slice params; /* the whole namedCurve element */
        enum key_kind kind;
        int size;
    } curves[] = {
        {OID("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), KEY_P256, 256},
        {OID("\x06\x05\x2b\x81\x04\x00\x22"), KEY_P384, 384},
        {OID("\x06\x05\x2b\x81\x04\x00\x23"), KEY_P521, 521},
    };
    CBS outer = der_cbs(c->spki), seq;
    struct slice oid, params;

    if (!CBS_get_asn1(&outer, &seq, CBS_ASN1_SEQUENCE) || !der_algorithm(&seq, &oid, &params) ||
        !der_bits(&seq, &c->key_bits))
        return false;
    if (slice_eq(oid, rsa)) {
        c->key_kind = KEY_RSA;
        c->key_size = rsa_size(c->key_bits);
    } else if (slice_eq(oid, ed25519)) {
        c->key_kind = KEY_ED25519;
        c->key_size = 256;
    } else if (slice_eq(oid, ec)) {
        for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
            if (slice_eq(params, curves[i].params)) {
                c->key_kind = curves[i].kind;
                c->key_size = curves[i].size;
            }
        }
    }
    return true;
}

/* The fields of TBSCertificate up to the public key. */
static const char *read_fields(struct cert *c, CBS *tbs, uint64_t *version)
{
    CBS serial, issuer, validity, subject, spki;
    struct slice oid, params;

    if (!CBS_get_optional_asn1_uint64(tbs, version, EXPLICIT(0), 0) || *version > 2)
        return "the version cannot be read";
    if (!CBS_get_asn1(tbs, &serial, CBS_ASN1_INTEGER))
        return "the serial number cannot be read";
    c->serial = der_slice(&serial);
    if (!der_algorithm(tbs, &oid, &params))
        return "the signature algorithm cannot be read";
    c->signature = sig_alg_find(oid, params);
    if (!CBS_get_asn1_element(tbs, &issuer, CBS_ASN1_SEQUENCE))
        return "the issuer cannot be read";
    c->issuer = der_slice(&issuer);
    if (!CBS_get_asn1(tbs, &validity, CBS_ASN1_SEQUENCE) || !der_time(&validity, &c->not_before) ||
        !der_time(&validity, &c->not_after) || CBS_len(&validity) != 0)
        return "the validity cannot be read";
    if (!CBS_get_asn1_element(tbs, &subject, CBS_ASN1_SEQUENCE))
        return "the subject cannot be read";
    c->subject = der_slice(&subject);
    if (!CBS_get_asn1_element(tbs, &spki, CBS_ASN1_SEQUENCE))
        return "the public key cannot be read";
    c->spki = der_slice(&spki);
    return read_key(c) ? NULL : "the public key cannot be read";
}

static const char *read_certificate(struct cert *c)
{
    CBS in = der_cbs(c->der), outer, tbs, skipped;
    uint64_t version;
    const char *broken;
    int present;

    if (!CBS_get_asn1(&in, &outer, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
        !CBS_get_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE))
        return "it is no DER certificate";
    broken = read_fields(c, &tbs, &version);
    if (broken != NULL)
        return broken;
    if (!CBS_get_optional_asn1(&tbs, &skipped, &present, IMPLICIT(1)) ||
        !CBS_get_optional_asn1(&tbs, &skipped, &present, IMPLICIT(2)))
        return "the unique identifiers cannot be read";
    return read_extensions(c, &tbs, version);
}

struct cert *cert_parse(struct slice der)
{
    struct cert *c = mem_zalloc(sizeof(*c));
    char *bytes = mem_zalloc(der.n + 1);
    const unsigned char *p = (const unsigned char *)bytes;

    if (der.n > 0)
        memcpy(bytes, der.p, der.n);
    c->der = slice_of(bytes, der.n);
    c->path_limit = -1;
    c->broken = read_certificate(c);
    if (c->broken == NULL) {
        c->x509 = d2i_X509(NULL, &p, (long)der.n);
        if (c->x509 == NULL || p != (const unsigned char *)bytes + der.n)
            c->broken = "the library cannot read it";
    }
    if (c->broken == NULL) {
        c->self_issued =
            cert_same_name(X509_get_subject_name(c->x509), X509_get_issuer_name(c->x509));
        c->key = X509_get_pubkey(c->x509);
    }
    ERR_clear_error();
    return c;
}

void cert_free(struct cert *c)
{
    if (c == NULL)
        return;
    EVP_PKEY_free(c->key);
    X509_free(c->x509);
    free((char *)c->der.p);
    free(c);
}

bool cert_same(const struct cert *a, const struct cert *b)
{
    return slice_eq(a->der, b->der);
}

bool cert_same_name(X509_NAME *a, X509_NAME *b)
{
    return X509_NAME_cmp(a, b) == 0;
}

bool cert_names_issuer(const struct cert *child, const struct cert *issuer)
{
    return cert_same_name(X509_get_issuer_name(child->x509), X509_get_subject_name(issuer->x509));
}

bool cert_may_sign(const struct cert *c, enum key_usage_bit use)
{
    return !c->has_usage || (c->usage & 1u << use) != 0;
}

const char *key_kind_name(enum key_kind k)
{
    switch (k) {
    case KEY_RSA:
        return "RSA";
    case KEY_P256:
        return "P-256";
    case KEY_P384:
        return "P-384";
    case KEY_P521:
        return "P-521";
    case KEY_ED25519:
        return "Ed25519";
    case KEY_OTHER:
        break;
    }
    return "other";
}
