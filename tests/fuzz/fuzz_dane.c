/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      fuzz_dane - arbitrary bytes as chain and as TLSA records
 *
 * DESCRIPTION
 *      Input: one byte, the number of certificates; for each its length (two bytes, big-endian) and
 *      its bytes; then records in the same form.  Nothing is accepted unless a usable record says
 *      literally what the certificate is that it is said to match; and since nobody has the keys of
 *      the seeds, only their genuine leaves can be accepted under an anchor.  The same question has
 *      the same answer twice, and the detail holds no control byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bytestring.h>
#include <openssl/sha.h>

#include "certs/dane.h"

#define NOW_MS (1800000000LL * 1000) /* the certificates were made for that time */
#define CERTS 20
#define RECORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* SubjectPublicKeyInfo of a certificate, read by position. */
static struct slice key_of(struct slice der)
{
    CBS in, outer, tbs, version, key;
    int present;

    CBS_init(&in, (const uint8_t *)der.p, der.n);
    must(CBS_get_asn1(&in, &outer, CBS_ASN1_SEQUENCE) &&
         CBS_get_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE) &&
         CBS_get_optional_asn1(&tbs, &version, &present,
                               CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED) &&
         CBS_get_asn1(&tbs, NULL, CBS_ASN1_INTEGER));
    for (int i = 0; i < 4; i++) /* algorithm, issuer, validity, subject */
        must(CBS_get_asn1(&tbs, NULL, CBS_ASN1_SEQUENCE));
    must(CBS_get_asn1_element(&tbs, &key, CBS_ASN1_SEQUENCE));
    return slice_of(CBS_data(&key), CBS_len(&key));
}

static bool says(const struct tlsa_record *r, struct slice cert)
{
    struct slice what = r->selector == 1 ? key_of(cert) : cert;
    uint8_t digest[SHA512_DIGEST_LENGTH];

    if (r->matching == 0)
        return slice_eq(r->data, what);
    if (r->matching == 1)
        SHA256((const uint8_t *)what.p, what.n, digest);
    else
        SHA512((const uint8_t *)what.p, what.n, digest);
    return slice_eq(r->data, slice_of(digest, r->matching == 1 ? 32 : 64));
}

/* The leaves of the seeds: that below "fuzz middle", and the self-signed one. */
static bool is_genuine(struct slice leaf)
{
    static const uint8_t known[][4] = {{0xf4, 0x28, 0x27, 0xe2}, {0x15, 0xe1, 0x8b, 0xf2}};
    uint8_t digest[SHA256_DIGEST_LENGTH];
    struct slice key = key_of(leaf);

    SHA256((const uint8_t *)key.p, key.n, digest);
    return memcmp(digest, known[0], 4) == 0 || memcmp(digest, known[1], 4) == 0;
}

static void check_ok(const struct dane_request *req, const struct dane_judgement *j)
{
    const struct tlsa_record *r = &req->records[j->matched];

    must(j->matched < req->record_count && r->usability == TLSA_USABLE);
    must(j->depth <= req->chain_count);
    if (r->usage == 3) {
        must(j->depth == 0 && says(r, req->chain[0]));
        return;
    }
    must(r->usage == 2 && is_genuine(req->chain[0]));
    if (j->depth == req->chain_count)
        must(r->matching == 0);
    else
        must(says(r, req->chain[j->depth]) &&
             (j->depth > 0 || (r->selector == 1 && r->matching == 0)));
}

static struct slice take(struct slice *rest)
{
    size_t n = (size_t)(uint8_t)rest->p[0] << 8 | (uint8_t)rest->p[1];
    struct slice s = slice_first(slice_from(*rest, 2), n);

    *rest = slice_from(slice_from(*rest, 2), n);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), chain[CERTS], rdata[RECORDS];
    struct slice names[] = {SLICE("domain.test"), SLICE("mx.test")};
    struct tlsa_record records[RECORDS];
    struct dane_request req = {.records = records,
                               .chain = chain,
                               .names = names,
                               .name_count = 2,
                               .now = NOW_MS,
                               .min_rsa_bits = 2048};
    struct dane_judgement first, second;
    size_t count = size > 0 ? data[0] % CERTS : 0, usable;

    rest = slice_from(rest, 1);
    while (req.chain_count < count && rest.n >= 2)
        chain[req.chain_count++] = take(&rest);
    while (req.record_count < RECORDS && rest.n >= 2)
        rdata[req.record_count++] = take(&rest);
    usable = tlsa_read_all(rdata, req.record_count, records);
    dane_judge(&req, &first);
    dane_judge(&req, &second);
    must(first.reason == second.reason && strcmp(first.detail, second.detail) == 0);
    for (const char *p = first.detail; *p != '\0'; p++)
        must(*p >= 0x20 && *p <= 0x7e);
    must(usable > 0 || first.reason != REASON_OK);
    if (first.reason == REASON_OK)
        check_ok(&req, &first);
    return 0;
}
