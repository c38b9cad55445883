/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dane_case - a chain and its TLSA records, for the tests of dane_judge()
 *
 * DESCRIPTION
 *      Certificates have letters (make_letter() says which), records are written "311l": usage,
 *      selector, matching type, and the certificate that they are about.  A case owns what is made
 *      for it; dane_end() frees it.
 */
#ifndef TLSMEND_TESTS_DANE_CASE_H
#define TLSMEND_TESTS_DANE_CASE_H

#include <openssl/mem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "certs/dane.h"
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "tests/unit/certs/judge_case.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define DANE_RECORDS 70

/* One letter per certificate; keys are numbers, so the same number is the same key. */
enum { ROOT = 1, LOW = 2, LEAF = 3, SELF = 4, OTHER = 5, LONE = 6 };

static const char *const host[] = {"mx.test", NULL};
static const char *const elsewhere[] = {"mx.elsewhere", NULL};
static const char *const wild[] = {"*.mail.test", NULL};

static inline struct make leaf_by_low(const char *const *names)
{
    return make_leaf(names, LEAF, "low", LOW);
}

static inline struct slice make_letter(char letter)
{
    struct make root = make_root("root", ROOT), low = make_issuer("low", LOW, "root", ROOT);
    struct make other = make_root("other", OTHER), leaf = leaf_by_low(host), m = leaf;

    switch (letter) {
    case 'r': /* the root */
        return make_cert(&root);
    case 'R': /* the root, expired */
        root.from = TEST_NOW - 9 * TEST_DAY;
        root.to = TEST_NOW - TEST_DAY;
        return make_cert(&root);
    case 'i': /* the intermediate */
        return make_cert(&low);
    case 'I': /* the same, expired */
        low.from = TEST_NOW - 9 * TEST_DAY;
        low.to = TEST_NOW - TEST_DAY;
        return make_cert(&low);
    case 'N': /* the same, and no CA */
        low.basic = BASIC_NOT_CA;
        return make_cert(&low);
    case 'P': /* the same, for names of .elsewhere only */
        low.permitted = "elsewhere";
        return make_cert(&low);
    case 'Q': /* the root, with no CA below it but the leaf's issuer: path length */
        root.path_limit = 1;
        return make_cert(&root);
    case 'o': /* another root */
        return make_cert(&other);
    case 'l': /* the leaf */
        return make_cert(&leaf);
    case 'w': /* a wildcard leaf */
        m.dns = wild;
        return make_cert(&m);
    case 'n': /* a leaf of another name */
        m.dns = elsewhere;
        return make_cert(&m);
    case 'c': /* the name only as common name */
        m.dns = NULL;
        m.subject = "mx.test";
        return make_cert(&m);
    case 'e': /* expired */
        m.from = TEST_NOW - 9 * TEST_DAY;
        m.to = TEST_NOW - TEST_DAY;
        return make_cert(&m);
    case 'y': /* not yet valid */
        m.from = TEST_NOW + TEST_DAY;
        return make_cert(&m);
    case 'u': /* for clients */
        m.extended = "client";
        return make_cert(&m);
    case 'h': /* SHA-1 */
        m.hash = "sha1";
        return make_cert(&m);
    case 'f': /* says low and is signed by somebody else */
        m.signer = make_key(OTHER);
        return make_cert(&m);
    case 'd': /* signed by the root itself */
        m.issuer = "root";
        m.signer = make_key(ROOT);
        return make_cert(&m);
    case 's': /* self-signed */
        m = make_leaf(host, SELF, NULL, SELF);
        return make_cert(&m);
    case 'S': /* self-signed, of another name, expired */
        m = make_leaf(elsewhere, SELF, NULL, SELF);
        m.from = TEST_NOW - 9 * TEST_DAY;
        m.to = TEST_NOW - TEST_DAY;
        return make_cert(&m);
    case 'a': /* a self-signed CA as leaf */
        m = make_root("leaf", SELF);
        m.dns = host;
        m.usage = "scr";
        return make_cert(&m);
    case 'b': /* broken behind its key */
        m.broken_basic = true;
        return make_cert(&m);
    default:
        fail_msg("no certificate %c", letter);
        return SLICE_NONE;
    }
}

struct dane_case {
    struct slice made[128], chain[CHAIN_CERTS_MAX + 4];
    char letters[128];
    size_t made_count, chain_count;
    struct slice rdata[DANE_RECORDS];
    struct tlsa_record records[DANE_RECORDS];
    size_t record_count;
    struct dane_judgement got;
};

static inline struct slice dane_letter(struct dane_case *c, char which)
{
    assert_true(c->made_count < 128);
    for (size_t i = 0; i < c->made_count; i++)
        if (c->letters[i] == which)
            return c->made[i];
    c->letters[c->made_count] = which;
    c->made[c->made_count] =
        which == 'g' ? slice_of(slice_dup(SLICE("garbage")), 7) : make_letter(which);
    return c->made[c->made_count++];
}

static inline struct slice key_of(struct slice cert)
{
    const uint8_t *p = (const uint8_t *)cert.p;
    X509 *x = d2i_X509(NULL, &p, (long)cert.n);
    uint8_t *der = NULL;
    int n;
    struct slice copy;

    assert_non_null(x);
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    assert_true(n > 0);
    copy = slice_of(memcpy(mem_zalloc((size_t)n), der, (size_t)n), (size_t)n);
    OPENSSL_free(der);
    X509_free(x);
    return copy;
}

/* Rdata, yours to free, for this certificate. */
static inline struct slice dane_rdata(unsigned usage, unsigned selector, unsigned matching,
                                      struct slice cert)
{
    struct slice key = selector == 1 ? key_of(cert) : SLICE_NONE, what = selector == 1 ? key : cert;
    size_t n = matching == 0 ? what.n : matching == 1 ? 32 : 64;
    char *p = mem_zalloc(n + 3);

    INVARIANT(what.p != NULL);
    p[0] = (char)usage;
    p[1] = (char)selector;
    p[2] = (char)matching;
    if (matching == 0)
        memcpy(p + 3, what.p, n);
    else if (matching == 1)
        SHA256((const uint8_t *)what.p, what.n, (uint8_t *)p + 3);
    else
        SHA512((const uint8_t *)what.p, what.n, (uint8_t *)p + 3);
    free((char *)key.p);
    return slice_of(p, n + 3);
}

static inline void dane_add(struct dane_case *c, struct slice rdata)
{
    assert_true(c->record_count < DANE_RECORDS);
    c->rdata[c->record_count++] = rdata;
}

/* "311l 201i" */
static inline void dane_records(struct dane_case *c, const char *text)
{
    struct slice rest = slice_str(text), word;

    while (slice_word(&rest, &word)) {
        assert_int_equal(word.n, 4);
        dane_add(c, dane_rdata((unsigned)(word.p[0] - '0'), (unsigned)(word.p[1] - '0'),
                               (unsigned)(word.p[2] - '0'), dane_letter(c, word.p[3])));
    }
}

static inline enum reason dane_ask(struct dane_case *c, const char *name, const char *more_names)
{
    struct slice names[2] = {slice_str(name), slice_str(more_names)};
    struct dane_request req = {.records = c->records,
                               .record_count = c->record_count,
                               .chain = c->chain,
                               .chain_count = c->chain_count,
                               .names = names,
                               .name_count =
                                   (name != NULL ? 1u : 0u) + (more_names != NULL ? 1u : 0u),
                               .now = TEST_NOW * 1000,
                               .min_rsa_bits = 2048};

    (void)tlsa_read_all(c->rdata, c->record_count, c->records);
    dane_judge(&req, &c->got);
    assert_true(memchr(c->got.detail, '\0', sizeof(c->got.detail)) != NULL);
    return c->got.reason;
}

static inline void dane_end(struct dane_case *c)
{
    for (size_t i = 0; i < c->made_count; i++)
        make_free(&c->made[i]);
    for (size_t i = 0; i < c->record_count; i++)
        make_free(&c->rdata[i]);
}

static inline void dane_send(struct dane_case *c, const char *letters)
{
    for (; *letters != '\0'; letters++)
        c->chain[c->chain_count++] = dane_letter(c, *letters);
}

static inline struct slice dane_keep(struct dane_case *c, struct slice cert)
{
    assert_true(c->made_count < COUNT(c->made));
    c->made[c->made_count++] = cert;
    return cert;
}

#endif
