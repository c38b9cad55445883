/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      make_cert - certificates, made at test time
 */
#include "tests/unit/certs/make_cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/base/mem.h"
#include "tests/unit/certs/make_der.h"

static int64_t or_default(int64_t t, int64_t preset)
{
    return t != 0 ? t : preset;
}

static void put_serial(CBB *out, const struct make *m)
{
    static int64_t next = 1000;
    CBB number;

    if (m->serial_hex == NULL) {
        MUST(CBB_add_asn1_int64(out, m->serial != 0 ? m->serial : ++next));
        return;
    }
    MUST(CBB_add_asn1(out, &number, CBS_ASN1_INTEGER));
    for (const char *p = m->serial_hex; *p != '\0'; p += 2) {
        char pair[3] = {p[0], p[1], '\0'};

        MUST(CBB_add_u8(&number, (uint8_t)strtoul(pair, NULL, 16)));
    }
    MUST(CBB_flush(out));
}

/* extnID, critical, and the open OCTET STRING; `seq` and `value` are flushed by the caller's flush.
 */
static void open_extension(CBB *list, CBB *seq, CBB *value, const char *oid, bool critical)
{
    MUST(CBB_add_asn1(list, seq, CBS_ASN1_SEQUENCE));
    der_put_oid(seq, oid);
    if (critical)
        MUST(CBB_add_asn1_bool(seq, 1));
    MUST(CBB_add_asn1(seq, value, CBS_ASN1_OCTETSTRING));
}

static void put_basic(CBB *list, const struct make *m)
{
    CBB seq, value, basic;

    open_extension(list, &seq, &value, "2.5.29.19", true);
    if (m->broken_basic) {
        MUST(CBB_add_u8(&value, 0x30) && CBB_add_u8(&value, 0x05));
    } else {
        MUST(CBB_add_asn1(&value, &basic, CBS_ASN1_SEQUENCE));
        if (m->basic == BASIC_CA)
            MUST(CBB_add_asn1_bool(&basic, 1));
        if (m->path_limit > 0)
            MUST(CBB_add_asn1_uint64(&basic, (uint64_t)m->path_limit - 1));
    }
    MUST(CBB_flush(list));
}

static void put_usage(CBB *list, const char *letters)
{
    CBB seq, value, bits;
    uint8_t byte = 0;

    for (; *letters != '\0'; letters++)
        byte |= (uint8_t)(*letters == 's'   ? 0x80
                          : *letters == 'e' ? 0x20
                          : *letters == 'a' ? 0x08
                          : *letters == 'c' ? 0x04
                          : *letters == 'r' ? 0x02
                                            : 0);
    unsigned unused = 0;

    while (unused < 7 && (byte & 1u << unused) == 0)
        unused++;
    open_extension(list, &seq, &value, "2.5.29.15", true);
    MUST(CBB_add_asn1(&value, &bits, CBS_ASN1_BITSTRING));
    MUST(CBB_add_u8(&bits, (uint8_t)unused) && CBB_add_u8(&bits, byte));
    MUST(CBB_flush(list));
}

static void put_extended(CBB *list, const char *words)
{
    CBB seq, value, purposes;

    open_extension(list, &seq, &value, "2.5.29.37", false);
    MUST(CBB_add_asn1(&value, &purposes, CBS_ASN1_SEQUENCE));
    if (strstr(words, "server") != NULL)
        der_put_oid(&purposes, "1.3.6.1.5.5.7.3.1");
    if (strstr(words, "client") != NULL)
        der_put_oid(&purposes, "1.3.6.1.5.5.7.3.2");
    if (strstr(words, "ocsp") != NULL)
        der_put_oid(&purposes, "1.3.6.1.5.5.7.3.9");
    if (strstr(words, "any") != NULL)
        der_put_oid(&purposes, "2.5.29.37.0");
    MUST(CBB_flush(list));
}

static void put_dns(CBB *names, const char *text, bool with_nul)
{
    CBB name;

    MUST(CBB_add_asn1(names, &name, CBS_ASN1_CONTEXT_SPECIFIC | 2));
    for (; *text != '\0'; text++)
        MUST(CBB_add_u8(&name, with_nul && *text == '|' ? 0 : (uint8_t)*text));
    MUST(CBB_flush(names));
}

static void put_alt_names(CBB *list, const struct make *m)
{
    CBB seq, value, names, address;
    char text[64];

    open_extension(list, &seq, &value, "2.5.29.17", false);
    MUST(CBB_add_asn1(&value, &names, CBS_ASN1_SEQUENCE));
    if (m->nul_name != NULL)
        put_dns(&names, m->nul_name, true);
    for (size_t i = 0; m->dns != NULL && m->dns[i] != NULL; i++)
        put_dns(&names, m->dns[i], false);
    for (int i = 0; i < m->dns_count; i++) {
        (void)snprintf(text, sizeof(text), "h%d.test", i);
        put_dns(&names, text, false);
    }
    if (m->address != NULL) {
        MUST(CBB_add_asn1(&names, &address, CBS_ASN1_CONTEXT_SPECIFIC | 7));
        MUST(CBB_add_bytes(&address, (const uint8_t *)m->address, 4));
    }
    MUST(CBB_flush(list));
}

static void put_subtree(CBB *trees, const char *name)
{
    CBB tree;

    MUST(CBB_add_asn1(trees, &tree, CBS_ASN1_SEQUENCE));
    put_dns(&tree, name, false);
    MUST(CBB_flush(trees));
}

static void put_constraints(CBB *list, const struct make *m)
{
    CBB seq, value, constraints, trees;
    char text[32];

    open_extension(list, &seq, &value, "2.5.29.30", true);
    MUST(CBB_add_asn1(&value, &constraints, CBS_ASN1_SEQUENCE));
    if (m->permitted != NULL) {
        MUST(CBB_add_asn1(&constraints, &trees, DER_EXPLICIT(0)));
        put_subtree(&trees, m->permitted);
        MUST(CBB_flush(&constraints));
    }
    if (m->excluded != NULL) {
        MUST(CBB_add_asn1(&constraints, &trees, DER_EXPLICIT(1)));
        put_subtree(&trees, m->excluded);
        for (int i = 0; i < m->excluded_count; i++) {
            (void)snprintf(text, sizeof(text), "no%d.test", i);
            put_subtree(&trees, text);
        }
    }
    MUST(CBB_flush(list));
}

static void put_must_staple(CBB *list)
{
    CBB seq, value, features;

    open_extension(list, &seq, &value, "1.3.6.1.5.5.7.1.24", false);
    MUST(CBB_add_asn1(&value, &features, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1_uint64(&features, 5) && CBB_flush(list));
}

/* authorityCertIssuer and authorityCertSerialNumber */
static void put_issuer_serial(CBB *authority, const struct make *m)
{
    CBB names, name, serial;
    uint8_t byte = (uint8_t)m->issuer_serial;

    MUST(m->issuer_serial > 0 && m->issuer_serial < 128);
    MUST(CBB_add_asn1(authority, &names, DER_EXPLICIT(1)));
    MUST(CBB_add_asn1(&names, &name, DER_EXPLICIT(4)));
    der_put_name(&name, m->issuer);
    MUST(CBB_flush(authority));
    MUST(CBB_add_asn1(authority, &serial, CBS_ASN1_CONTEXT_SPECIFIC | 2));
    MUST(CBB_add_u8(&serial, byte) && CBB_flush(authority));
}

static void put_key_ids(CBB *list, const struct make *m, EVP_PKEY *signer)
{
    CBB seq, value, authority, id;
    uint8_t digest[20];

    der_key_id(m->key, digest);
    open_extension(list, &seq, &value, "2.5.29.14", false);
    MUST(CBB_add_asn1_octet_string(&value, digest, sizeof(digest)) && CBB_flush(list));
    der_key_id(signer, digest);
    open_extension(list, &seq, &value, "2.5.29.35", false);
    MUST(CBB_add_asn1(&value, &authority, CBS_ASN1_SEQUENCE));
    MUST(CBB_add_asn1(&authority, &id, CBS_ASN1_CONTEXT_SPECIFIC | 0));
    MUST(CBB_add_bytes(&id, digest, sizeof(digest)) && CBB_flush(&authority));
    if (m->issuer_serial != 0)
        put_issuer_serial(&authority, m);
    MUST(CBB_flush(list));
}

static void put_extensions(CBB *tbs, const struct make *m, EVP_PKEY *signer)
{
    CBB outer, list, seq, value;

    MUST(CBB_add_asn1(tbs, &outer, DER_EXPLICIT(3)));
    MUST(CBB_add_asn1(&outer, &list, CBS_ASN1_SEQUENCE));
    for (int i = 0; i < (m->twice ? 2 : 1); i++)
        if (m->basic != BASIC_NONE || m->broken_basic)
            put_basic(&list, m);
    if (m->usage != NULL)
        put_usage(&list, m->usage);
    if (m->extended != NULL)
        put_extended(&list, m->extended);
    if (m->dns != NULL || m->dns_count > 0 || m->nul_name != NULL || m->address != NULL)
        put_alt_names(&list, m);
    if (m->permitted != NULL || m->excluded != NULL)
        put_constraints(&list, m);
    if (m->must_staple)
        put_must_staple(&list);
    if (m->key_ids)
        put_key_ids(&list, m, m->claimed_signer != NULL ? m->claimed_signer : signer);
    if (m->unknown_critical) {
        open_extension(&list, &seq, &value, "1.2.3.4.5", true);
        MUST(CBB_add_u8(&value, 5) && CBB_add_u8(&value, 0) && CBB_flush(&list));
    }
    MUST(CBB_flush(tbs));
}

static bool has_extensions(const struct make *m)
{
    return m->basic != BASIC_NONE || m->broken_basic || m->usage != NULL || m->extended != NULL ||
           m->dns != NULL || m->dns_count > 0 || m->nul_name != NULL || m->address != NULL ||
           m->permitted != NULL || m->excluded != NULL || m->must_staple || m->key_ids ||
           m->unknown_critical;
}

struct slice make_cert(const struct make *m)
{
    EVP_PKEY *signer = m->signer != NULL ? m->signer : m->key;
    CBB out, tbs, version, validity;

    MUST(CBB_init(&out, 1024) && CBB_add_asn1(&out, &tbs, CBS_ASN1_SEQUENCE));
    if (m->version != 1) {
        MUST(CBB_add_asn1(&tbs, &version, DER_EXPLICIT(0)));
        MUST(CBB_add_asn1_uint64(&version, m->version == 0 ? 2 : (uint64_t)m->version - 1));
    }
    MUST(CBB_flush(&tbs));
    put_serial(&tbs, m);
    der_put_algorithm(&tbs, signer, m->hash);
    der_put_name(&tbs, m->issuer != NULL ? m->issuer : m->subject);
    MUST(CBB_add_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE));
    der_put_time(&validity, or_default(m->from, TEST_NOW - 30 * TEST_DAY), false);
    der_put_time(&validity, or_default(m->to, TEST_NOW + 30 * TEST_DAY), false);
    MUST(CBB_flush(&tbs));
    der_put_name(&tbs, m->subject);
    MUST(EVP_marshal_public_key(&tbs, m->key));
    if (has_extensions(m))
        put_extensions(&tbs, m, signer);
    return der_sign(&out, signer, m->hash, m->damage, SLICE_NONE);
}

void make_free(struct slice *s)
{
    free((char *)s->p);
    *s = SLICE_NONE;
}
