/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      fuzz_judge - arbitrary bytes as chain and OCSP staple, against a fixed trust store
 *
 * DESCRIPTION
 *      Input: one byte, the number of certificates; for each its length (two bytes, big-endian) and
 *      its bytes; the rest, if any, is the staple.  The seeds in corpus/judge/ are chains below the one
 *      anchor here, whose key nobody has: so whatever the bytes are, only the key of the genuine leaf can
 *      ever be accepted.  Besides, the same question has the same answer twice, and no text in the
 *      answer holds a control byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/base64.h>

#include "certs/judge.h"

#define NOW_MS (1800000000LL * 1000) /* the certificates were made for that time */

static const char anchor_base64[] =
    "MIIBfTCCASOgAwIBAgICA+kwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJZnV6eiByb290MCAXDTE4MTAyOTA4MDAw"
    "MFoYDzIwNTEwOTA2MDgwMDAwWjAUMRIwEAYDVQQDDAlmdXp6IHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC"
    "AATu48nDoT59hJZnNH6g0V9rSYW1wv9Qc40PLXMHc7cu/IBrZnmq5436YMQF813+AV/Qk5RjB4+LJC1SEx13tYzK"
    "o2MwYTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUEBzXGXu0ekweFMynx2apqLAp"
    "3SgwHwYDVR0jBBgwFoAUEBzXGXu0ekweFMynx2apqLAp3SgwCgYIKoZIzj0EAwIDSAAwRQIgEY8OH8VntotNwEhU"
    "2zv4stymIwf4AfuAbYtAnMud1FsCIQCHTIRI7kRSIusAO+vBCmuLKe90jz2XHZy+OSUB2NZjHw==";

/* SHA-256 of the genuine leaf's SubjectPublicKeyInfo. */
static const char leaf_key[] = "f42827e2c22d705cdd6093435f250e3c6ad998b0f593420a798dd143bf2066da";

static struct trust_store *trust;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint8_t der[2048];
    size_t n;
    struct buf error;
    struct slice anchor;

    (void)argc;
    (void)argv;
    if (!EVP_DecodeBase64(der, &n, sizeof(der), (const uint8_t *)anchor_base64,
                          sizeof(anchor_base64) - 1))
        abort();
    anchor = slice_of(der, n);
    buf_init(&error, 1000);
    trust = trust_from_der(&anchor, 1, &error);
    buf_clear(&error);
    if (trust == NULL)
        abort();
    return 0;
}

static void check_text(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            abort();
}

static void check_answer(const struct judgement *j)
{
    check_text(j->detail);
    check_text(j->anchor);
    check_text(j->matched_name);
    for (size_t i = 0; i < j->fact_count; i++) {
        check_text(j->facts[i].subject);
        check_text(j->facts[i].issuer);
        for (size_t n = 0; n < j->facts[i].names_kept; n++)
            check_text(j->facts[i].names[n]);
    }
    if ((j->reason == REASON_OK) != (j->chain_ok && j->name_ok))
        abort();
    if (j->chain_ok && strcmp(j->facts[0].spki_sha256, leaf_key) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), chain[20], name = SLICE("mx.test");
    struct judge_request req = {.trust = trust,
                                .chain = chain,
                                .names = &name,
                                .name_count = 1,
                                .now = NOW_MS,
                                .min_rsa_bits = 2048};
    struct judgement first, second;
    size_t count = size > 0 ? data[0] % 20 : 0;

    rest = slice_from(rest, 1);
    while (req.chain_count < count && rest.n >= 2) {
        size_t n = (size_t)(uint8_t)rest.p[0] << 8 | (uint8_t)rest.p[1];

        chain[req.chain_count++] = slice_first(slice_from(rest, 2), n);
        rest = slice_from(slice_from(rest, 2), n);
    }
    if (rest.n > 0)
        req.ocsp = rest;
    judge_chain(&req, &first);
    judge_chain(&req, &second);
    check_answer(&first);
    if (first.reason != second.reason || first.ocsp != second.ocsp ||
        strcmp(first.detail, second.detail) != 0)
        abort();
    judgement_clear(&second);
    if (first.until <= NOW_MS || first.until > NOW_MS + JUDGEMENT_SPAN_MS)
        abort();
    if (req.ocsp.p == NULL) { /* what is kept so long would be said again */
        req.now = first.until - 1;
        judge_chain(&req, &second);
        if (first.reason != second.reason || strcmp(first.detail, second.detail) != 0)
            abort();
        judgement_clear(&second);
    }
    judgement_clear(&first);
    return 0;
}
