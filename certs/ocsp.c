/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ocsp - a stapled OCSP response about one certificate (RFC 6960 4.2)
 *
 * DESCRIPTION
 *      BoringSSL has no OCSP, so this is a strict reader of its own.  A response counts when it is
 * about this certificate, signed by the issuer or by a responder to whom the issuer gave the
 * purpose id-kp-OCSPSigning, with SHA-2 or Ed25519, and is in its time.  All else is OCSP_INVALID.
 */
#include "certs/ocsp_internal.h"

#define EXPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))
#define RESPONDERS_MAX 4 /* certificates looked at in one response */
#define RESPONSES_MAX 64 /* single responses looked at */

struct basic_response {
    struct slice signed_part, signature;
    const struct sig_alg *algorithm;
    struct slice responder_name, responder_key; /* one of them */
    CBS responses, certs;
};

static const char not_read[] = "the response cannot be read";

/* OCSPResponse down to BasicOCSPResponse. */
static const char *open_response(struct slice response, CBS *basic)
{
    static const struct slice basic_type = OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x01");
    CBS in = der_cbs(response), outer, status, tagged, bytes, type, octets;
    uint8_t code;

    if (!CBS_get_asn1(&in, &outer, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
        !CBS_get_asn1(&outer, &status, CBS_ASN1_ENUMERATED) || !CBS_get_u8(&status, &code) ||
        CBS_len(&status) != 0)
        return not_read;
    if (code != 0)
        return "the responder answered with an error";
    if (!CBS_get_asn1(&outer, &tagged, EXPLICIT(0)) || CBS_len(&outer) != 0 ||
        !CBS_get_asn1(&tagged, &bytes, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&bytes, &type, CBS_ASN1_OBJECT) ||
        !CBS_get_asn1(&bytes, &octets, CBS_ASN1_OCTETSTRING) || CBS_len(&bytes) != 0)
        return not_read;
    if (!slice_eq(der_slice(&type), basic_type))
        return "the response is of an unknown type";
    return CBS_get_asn1(&octets, basic, CBS_ASN1_SEQUENCE) && CBS_len(&octets) == 0 ? NULL
                                                                                    : not_read;
}

/* RFC 6960 4.4: none of the extensions is needed here; a critical one must be understood. */
static bool extensions_harmless(CBS *in, unsigned tag)
{
    CBS tagged, list, ext, oid;
    int present, critical = 0;

    if (!CBS_get_optional_asn1(in, &tagged, &present, tag))
        return false;
    if (!present)
        return true;
    if (!CBS_get_asn1(&tagged, &list, CBS_ASN1_SEQUENCE))
        return false;
    while (CBS_len(&list) > 0) {
        if (!CBS_get_asn1(&list, &ext, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&ext, &oid, CBS_ASN1_OBJECT) ||
            (CBS_peek_asn1_tag(&ext, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&ext, &critical)) ||
            critical)
            return false;
    }
    return true;
}

static bool read_responder(CBS *tbs, struct basic_response *b)
{
    CBS id, key;

    if (CBS_peek_asn1_tag(tbs, EXPLICIT(1))) {
        if (!CBS_get_asn1(tbs, &id, EXPLICIT(1)))
            return false;
        b->responder_name = der_slice(&id);
        return true;
    }
    if (!CBS_get_asn1(tbs, &id, EXPLICIT(2)) || !CBS_get_asn1(&id, &key, CBS_ASN1_OCTETSTRING))
        return false;
    b->responder_key = der_slice(&key);
    return true;
}

static bool read_basic(CBS basic, struct basic_response *b)
{
    CBS element, tbs, tagged;
    struct slice oid, params;
    uint64_t version;
    wall_ms produced;
    int present;

    if (!CBS_get_asn1_element(&basic, &element, CBS_ASN1_SEQUENCE))
        return false;
    b->signed_part = der_slice(&element);
    if (!CBS_get_asn1(&element, &tbs, CBS_ASN1_SEQUENCE) ||
        !CBS_get_optional_asn1_uint64(&tbs, &version, EXPLICIT(0), 0) || version != 0 ||
        !read_responder(&tbs, b) || !der_generalized_time(&tbs, &produced) ||
        !CBS_get_asn1(&tbs, &b->responses, CBS_ASN1_SEQUENCE) ||
        !extensions_harmless(&tbs, EXPLICIT(1)))
        return false;
    if (!der_algorithm(&basic, &oid, &params) || !der_bits(&basic, &b->signature) ||
        !CBS_get_optional_asn1(&basic, &tagged, &present, EXPLICIT(0)) || CBS_len(&basic) != 0)
        return false;
    b->algorithm = sig_alg_find(oid, params);
    CBS_init(&b->certs, NULL, 0);
    return !present || CBS_get_asn1(&tagged, &b->certs, CBS_ASN1_SEQUENCE);
}

/* RFC 6960 4.2.1: by name, or by the SHA-1 of its key bits (an identifier, not a proof). */
static bool is_responder(const struct basic_response *b, const struct cert *c)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    const unsigned char *p = (const unsigned char *)b->responder_name.p;
    X509_NAME *name;
    bool same;

    if (b->responder_key.p != NULL) {
        SHA1((const uint8_t *)c->key_bits.p, c->key_bits.n, digest);
        return slice_eq(b->responder_key, slice_of(digest, sizeof(digest)));
    }
    name = d2i_X509_NAME(NULL, &p, (long)b->responder_name.n);
    same = name != NULL && cert_same_name(name, X509_get_subject_name(c->x509));
    X509_NAME_free(name);
    ERR_clear_error();
    return same;
}

static bool signed_by(const struct basic_response *b, const struct cert *c)
{
    return sig_verify(b->algorithm, c->key, b->signed_part, b->signature);
}

/* RFC 6960 4.2.2.2: a delegated responder has its certificate from the issuer itself. */
static bool is_delegate(const struct cert *c, const struct cert *issuer, wall_ms now)
{
    return c->ocsp_signing && c->unknown_critical.p == NULL && c->signature->weak == NULL &&
           cert_may_sign(c, USAGE_DIGITAL_SIGNATURE) && now >= c->not_before &&
           now < c->not_after + 1000 && cert_names_issuer(c, issuer) && issuer->key != NULL &&
           X509_verify(c->x509, issuer->key) == 1;
}

static bool signed_by_delegate(const struct basic_response *b, const struct cert *issuer,
                               wall_ms now)
{
    CBS certs = b->certs, element;
    bool good = false;

    for (int i = 0; i < RESPONDERS_MAX && !good && CBS_len(&certs) > 0; i++) {
        struct cert *c;

        if (!CBS_get_asn1_element(&certs, &element, CBS_ASN1_SEQUENCE))
            return false;
        c = cert_parse(der_slice(&element));
        good = c->broken == NULL && is_responder(b, c) && is_delegate(c, issuer, now) &&
               signed_by(b, c);
        cert_free(c);
    }
    ERR_clear_error();
    return good;
}

/* CertID: hashes of the issuer's name and key, and the serial number. */
static bool is_about(CBS id, const struct cert *leaf, const struct cert *issuer)
{
    static const struct slice sha1 = OID("\x2b\x0e\x03\x02\x1a");
    static const struct slice sha256 = OID("\x60\x86\x48\x01\x65\x03\x04\x02\x01");
    const EVP_MD *md;
    CBS name, key, serial;
    struct slice oid, params;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;

    if (!der_algorithm(&id, &oid, &params) || !CBS_get_asn1(&id, &name, CBS_ASN1_OCTETSTRING) ||
        !CBS_get_asn1(&id, &key, CBS_ASN1_OCTETSTRING) ||
        !CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER))
        return false;
    if (!slice_eq(der_slice(&serial), leaf->serial))
        return false;
    md = slice_eq(oid, sha1) ? EVP_sha1() : slice_eq(oid, sha256) ? EVP_sha256() : NULL;
    if (md == NULL || !EVP_Digest(leaf->issuer.p, leaf->issuer.n, digest, &n, md, NULL) ||
        !slice_eq(der_slice(&name), slice_of(digest, n)))
        return false;
    return EVP_Digest(issuer->key_bits.p, issuer->key_bits.n, digest, &n, md, NULL) &&
           slice_eq(der_slice(&key), slice_of(digest, n));
}

static const char *check_times(CBS *single, wall_ms now)
{
    wall_ms this_update, next_update;
    CBS tagged;
    int present;

    if (!der_generalized_time(single, &this_update) ||
        !CBS_get_optional_asn1(single, &tagged, &present, EXPLICIT(0)) ||
        (present && !der_generalized_time(&tagged, &next_update)) ||
        !extensions_harmless(single, EXPLICIT(1)) || CBS_len(single) != 0)
        return not_read;
    if (!present)
        next_update = this_update + OCSP_AGE_MAX_MS;
    if (this_update > now + OCSP_SKEW_MS)
        return "the response is not valid yet";
    return next_update + OCSP_SKEW_MS < now ? "the response is out of date" : NULL;
}

/* One SingleResponse about this certificate. */
static enum ocsp_status read_single(CBS single, wall_ms now, const char **why)
{
    CBS status;
    unsigned tag;

    if (!CBS_get_any_asn1(&single, &status, &tag)) {
        *why = not_read;
        return OCSP_INVALID;
    }
    *why = check_times(&single, now);
    if (*why != NULL)
        return OCSP_INVALID;
    if (tag == (CBS_ASN1_CONTEXT_SPECIFIC | 0))
        return OCSP_GOOD;
    if (tag == EXPLICIT(1)) /* IMPLICIT RevokedInfo, a SEQUENCE */
        return OCSP_REVOKED;
    *why = tag == (CBS_ASN1_CONTEXT_SPECIFIC | 2) ? "the responder does not know the certificate"
                                                  : not_read;
    return tag == (CBS_ASN1_CONTEXT_SPECIFIC | 2) ? OCSP_UNKNOWN : OCSP_INVALID;
}

/* Several answers about one certificate: the worst one in its time counts. */
static enum ocsp_status worst_answer(CBS responses, const struct cert *leaf,
                                     const struct cert *issuer, wall_ms now, const char **why)
{
    static const int badness[] = {
        [OCSP_INVALID] = 1, [OCSP_GOOD] = 2, [OCSP_UNKNOWN] = 3, [OCSP_REVOKED] = 4};
    enum ocsp_status worst = OCSP_INVALID;
    bool found = false;

    *why = "the response is about another certificate";
    for (int i = 0; i < RESPONSES_MAX && CBS_len(&responses) > 0; i++) {
        CBS single, id;
        const char *reason;
        enum ocsp_status status;

        if (!CBS_get_asn1(&responses, &single, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&single, &id, CBS_ASN1_SEQUENCE)) {
            *why = not_read;
            return OCSP_INVALID;
        }
        if (!is_about(id, leaf, issuer))
            continue;
        status = read_single(single, now, &reason);
        if (!found || badness[status] > badness[worst]) {
            worst = status;
            *why = reason;
        }
        found = true;
    }
    return worst;
}

enum ocsp_status ocsp_check(struct slice response, const struct cert *leaf,
                            const struct cert *issuer, wall_ms now, const char **why)
{
    struct basic_response b = {.responder_name = SLICE_NONE};
    CBS basic;

    *why =
        response.n > OCSP_BYTES_MAX ? "the response is too large" : open_response(response, &basic);
    if (*why != NULL)
        return OCSP_INVALID;
    *why = not_read;
    if (!read_basic(basic, &b))
        return OCSP_INVALID;
    if (!(is_responder(&b, issuer) && signed_by(&b, issuer)) &&
        !signed_by_delegate(&b, issuer, now)) {
        *why = "the response is not signed by the issuer or its responder";
        return OCSP_INVALID;
    }
    return worst_answer(b.responses, leaf, issuer, now, why);
}

const char *ocsp_status_name(enum ocsp_status s)
{
    static const char *const names[] = {
        [OCSP_NONE] = "none",       [OCSP_GOOD] = "good",       [OCSP_UNKNOWN] = "unknown",
        [OCSP_REVOKED] = "revoked", [OCSP_INVALID] = "invalid",
    };

    return names[s];
}
