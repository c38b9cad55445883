/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      crl - one certificate revocation list, read
 */
#include "certs/crl_internal.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"

#define EXPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

static int by_serial(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return x->n > 0 ? memcmp(x->p, y->p, x->n) : 0;
}

static const char *read_revoked(struct crl *c, CBS list)
{
    size_t room = 0;

    while (CBS_len(&list) > 0) {
        CBS entry, serial;
        wall_ms when;

        if (!CBS_get_asn1(&list, &entry, CBS_ASN1_SEQUENCE) ||
            !CBS_get_asn1(&entry, &serial, CBS_ASN1_INTEGER) || !der_time(&entry, &when))
            return "an entry cannot be read";
        if (c->serial_count == room) {
            room = room > 0 ? room * 2 : 64;
            c->serials = mem_resize(c->serials, room, sizeof(*c->serials));
        }
        c->serials[c->serial_count++] = der_slice(&serial);
    }
    if (c->serial_count > 0)
        qsort(c->serials, c->serial_count, sizeof(*c->serials), by_serial);
    return NULL;
}

/* RFC 5280 5.2.5; an indirect list speaks about other issuers' certificates. */
static bool is_indirect(CBS value)
{
    CBS seq, field;
    unsigned tag;

    if (!CBS_get_asn1(&value, &seq, CBS_ASN1_SEQUENCE))
        return true;
    while (CBS_len(&seq) > 0) {
        if (!CBS_get_any_asn1(&seq, &field, &tag))
            return true;
        if (tag == (CBS_ASN1_CONTEXT_SPECIFIC | 4))
            return true;
    }
    return false;
}

static const char *read_extension(CBS *list)
{
    static const struct slice distribution = OID("\x55\x1d\x1c");
    CBS seq, oid, value;
    int critical = 0;

    if (!CBS_get_asn1(list, &seq, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1(&seq, &oid, CBS_ASN1_OBJECT) ||
        (CBS_peek_asn1_tag(&seq, CBS_ASN1_BOOLEAN) && !CBS_get_asn1_bool(&seq, &critical)) ||
        !CBS_get_asn1(&seq, &value, CBS_ASN1_OCTETSTRING))
        return "an extension cannot be read";
    if (slice_eq(der_slice(&oid), distribution))
        return is_indirect(value) ? "it is an indirect list" : NULL;
    /* A delta list's indicator is critical (5.2.4), so delta lists end here too. */
    return critical ? "it has a critical extension that is not supported" : NULL;
}

static const char *read_extensions(CBS *tbs)
{
    CBS outer, list;
    const char *why = NULL;

    if (CBS_len(tbs) == 0)
        return NULL;
    if (!CBS_get_asn1(tbs, &outer, EXPLICIT(0)) || !CBS_get_asn1(&outer, &list, CBS_ASN1_SEQUENCE))
        return "the extensions cannot be read";
    while (why == NULL && CBS_len(&list) > 0)
        why = read_extension(&list);
    return why;
}

static const char *read_list(struct crl *c, CBS *tbs)
{
    CBS issuer, revoked;
    uint64_t version;
    struct slice oid, params;
    const unsigned char *p;
    const char *why;

    if (CBS_peek_asn1_tag(tbs, CBS_ASN1_INTEGER) && !CBS_get_asn1_uint64(tbs, &version))
        return "the version cannot be read";
    if (!der_algorithm(tbs, &oid, &params) ||
        !CBS_get_asn1_element(tbs, &issuer, CBS_ASN1_SEQUENCE) || !der_time(tbs, &c->this_update))
        return "it is no revocation list";
    c->signature = sig_alg_find(oid, params);
    p = CBS_data(&issuer);
    c->issuer = d2i_X509_NAME(NULL, &p, (long)CBS_len(&issuer));
    if (c->issuer == NULL)
        return "the issuer cannot be read";
    if ((CBS_peek_asn1_tag(tbs, CBS_ASN1_UTCTIME) ||
         CBS_peek_asn1_tag(tbs, CBS_ASN1_GENERALIZEDTIME)) &&
        !der_time(tbs, &c->next_update))
        return "the date of the next update cannot be read";
    if (CBS_peek_asn1_tag(tbs, CBS_ASN1_SEQUENCE)) {
        if (!CBS_get_asn1(tbs, &revoked, CBS_ASN1_SEQUENCE))
            return "the entries cannot be read";
        why = read_revoked(c, revoked);
        if (why != NULL)
            return why;
    }
    return read_extensions(tbs);
}

static const char *read_crl(struct crl *c)
{
    CBS in = der_cbs(c->der), outer, element, tbs;
    struct slice oid, params;
    unsigned size = 0;
    const char *why;

    if (!CBS_get_asn1(&in, &outer, CBS_ASN1_SEQUENCE) ||
        !CBS_get_asn1_element(&outer, &element, CBS_ASN1_SEQUENCE))
        return "it is no revocation list";
    c->signed_part = der_slice(&element);
    if (!CBS_get_asn1(&element, &tbs, CBS_ASN1_SEQUENCE))
        return "it is no revocation list";
    why = read_list(c, &tbs);
    if (why != NULL)
        return why;
    /* 5.1.1.2: the algorithm stands twice and must be the same. */
    if (!der_algorithm(&outer, &oid, &params) || sig_alg_find(oid, params) != c->signature ||
        !der_bits(&outer, &c->signature_bits))
        return "the signature cannot be read";
    if (c->signature->weak != NULL || c->signature->key_type == EVP_PKEY_NONE)
        return "its signature algorithm is not supported";
    if (c->signature->digest != NULL) {
        if (!EVP_Digest(c->signed_part.p, c->signed_part.n, c->digest, &size,
                        c->signature->digest(), NULL))
            return "its digest cannot be made";
        c->digest_size = size;
    }
    return NULL;
}

struct crl *crl_parse(struct slice der, const char **why)
{
    struct crl *c = mem_zalloc(sizeof(*c));
    char *bytes = mem_zalloc(der.n + 1);

    if (der.n > 0)
        memcpy(bytes, der.p, der.n);
    c->der = slice_of(bytes, der.n);
    *why = read_crl(c);
    ERR_clear_error();
    if (*why == NULL)
        return c;
    crl_free(c);
    return NULL;
}

void crl_free(struct crl *c)
{
    if (c == NULL)
        return;
    X509_NAME_free(c->issuer);
    free(c->serials);
    free((char *)c->der.p);
    free(c);
}

bool crl_is_of(const struct crl *c, const struct cert *issuer)
{
    return cert_same_name(c->issuer, X509_get_subject_name(issuer->x509));
}

bool crl_verify(const struct crl *c, const struct cert *issuer)
{
    if (!cert_may_sign(issuer, USAGE_CRL_SIGN))
        return false;
    if (c->digest_size == 0)
        return sig_verify(c->signature, issuer->key, c->signed_part, c->signature_bits);
    return sig_verify_digest(c->signature, issuer->key, slice_of(c->digest, c->digest_size),
                             c->signature_bits);
}

bool crl_lists(const struct crl *c, struct slice serial)
{
    return c->serial_count > 0 &&
           bsearch(&serial, c->serials, c->serial_count, sizeof(serial), by_serial) != NULL;
}
