/* SPDX-License-Identifier: Apache-2.0 */
/* Chains against TLSA records (C-DANE-05, C-DANE-06), within bounds (C-CERT-07). */
#include <time.h>

#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "certs/dane.h"
#include "proxy/base/mem.h"
#include "tests/unit/certs/judge_case.h"

#define TLSA_MOST 70
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* One letter per certificate; keys are numbers, so the same number is the same key. */
enum { ROOT = 1, LOW = 2, LEAF = 3, SELF = 4, OTHER = 5, LONE = 6 };

static const char *const host[] = {"mx.test", NULL};
static const char *const elsewhere[] = {"mx.elsewhere", NULL};
static const char *const wild[] = {"*.mail.test", NULL};

static struct make leaf_by_low(const char *const *names)
{
    return make_leaf(names, LEAF, "low", LOW);
}

static struct slice make_letter(char letter)
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
    struct slice rdata[TLSA_MOST];
    struct tlsa_record records[TLSA_MOST];
    size_t record_count;
    struct dane_judgement got;
};

static struct slice letter(struct dane_case *c, char which)
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

static struct slice key_of(struct slice cert)
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
static struct slice rdata_of(unsigned usage, unsigned selector, unsigned matching,
                             struct slice cert)
{
    struct slice key = selector == 1 ? key_of(cert) : SLICE_NONE, what = selector == 1 ? key : cert;
    size_t n = matching == 0 ? what.n : matching == 1 ? 32 : 64;
    char *p = mem_zalloc(n + 3);

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

static void add_rdata(struct dane_case *c, struct slice rdata)
{
    assert_true(c->record_count < TLSA_MOST);
    c->rdata[c->record_count++] = rdata;
}

/* "311l 201i" */
static void add_records(struct dane_case *c, const char *text)
{
    struct slice rest = slice_str(text), word;

    while (slice_word(&rest, &word)) {
        assert_int_equal(word.n, 4);
        add_rdata(c, rdata_of((unsigned)(word.p[0] - '0'), (unsigned)(word.p[1] - '0'),
                              (unsigned)(word.p[2] - '0'), letter(c, word.p[3])));
    }
}

static enum reason judge(struct dane_case *c, const char *name, const char *more_names)
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

static void end(struct dane_case *c)
{
    for (size_t i = 0; i < c->made_count; i++)
        make_free(&c->made[i]);
    for (size_t i = 0; i < c->record_count; i++)
        make_free(&c->rdata[i]);
}

static const struct row {
    const char *what, *chain, *records;
    enum reason want;
    size_t matched, depth; /* where OK */
} rows[] = {
    /* DANE-EE(3): RFC 7671 5.1 */
    {"3 1 1 of a leaf with an issuer", "lir", "311l", REASON_OK, 0, 0},
    {"3 1 2", "l", "312l", REASON_OK, 0, 0},
    {"3 1 0", "l", "310l", REASON_OK, 0, 0},
    {"3 0 1", "l", "301l", REASON_OK, 0, 0},
    {"3 0 2", "l", "302l", REASON_OK, 0, 0},
    {"3 0 0", "l", "300l", REASON_OK, 0, 0},
    {"3 1 1, no chain behind it", "l", "311l", REASON_OK, 0, 0},
    {"3 1 1, self-signed", "s", "311s", REASON_OK, 0, 0},
    {"3 1 1, name and dates do not matter", "S", "311S", REASON_OK, 0, 0},
    {"3 1 1, expired", "ei", "311e", REASON_OK, 0, 0},
    {"3 1 1, not yet valid", "yi", "311y", REASON_OK, 0, 0},
    {"3 1 1, another name", "ni", "311n", REASON_OK, 0, 0},
    {"3 1 1, not for servers", "ui", "311u", REASON_OK, 0, 0},
    {"3 1 1, SHA-1", "hi", "311h", REASON_OK, 0, 0},
    {"3 1 1, a forged signature", "fi", "311f", REASON_OK, 0, 0},
    {"3 1 1, renewed with the same key", "li", "311e", REASON_OK, 0, 0},
    {"3 0 1, renewed with the same key", "li", "301e", REASON_DANE_MISMATCH, 0, 0},
    {"3 1 1, broken behind its key", "b", "311b", REASON_OK, 0, 0},
    {"3 0 1, broken behind its key", "b", "301b", REASON_OK, 0, 0},
    {"3 1 1 of garbage", "g", "311l", REASON_DANE_MISMATCH, 0, 0},
    {"the second matches", "l", "311o 311l", REASON_OK, 1, 0},
    {"the first of two that match", "l", "301l 311l", REASON_OK, 0, 0},
    {"none matches", "lir", "311o 301o", REASON_DANE_MISMATCH, 0, 0},
    {"usage 3 of the issuer", "lir", "311i 301r", REASON_DANE_MISMATCH, 0, 0},
    {"the other leaf, sent second", "sl", "311l", REASON_DANE_MISMATCH, 0, 0},
    {"usage 1 is not usable", "lir", "111l", REASON_DANE_MISMATCH, 0, 0},
    {"usage 0 is not usable", "lir", "011i", REASON_DANE_MISMATCH, 0, 0},
    {"usage 4 is not usable", "lir", "411l", REASON_DANE_MISMATCH, 0, 0},
    {"no record", "lir", "", REASON_DANE_MISMATCH, 0, 0},
    {"a weaker digest that matches does not count, C-DANE-06", "l", "311l 312o",
     REASON_DANE_MISMATCH, 0, 0},
    {"one of another selector does, C-DANE-06", "l", "301l 312o", REASON_OK, 0, 0},
    {"Full(0) beside a digest does, C-DANE-06", "l", "310l 312o", REASON_OK, 0, 0},

    /* DANE-TA(2): RFC 7671 5.2 */
    {"2 1 1 of the issuer", "lir", "211i", REASON_OK, 0, 1},
    {"2 0 1 of the issuer", "lir", "201i", REASON_OK, 0, 1},
    {"2 1 2 of the root", "lir", "212r", REASON_OK, 0, 2},
    {"2 0 2 of the root", "lir", "202r", REASON_OK, 0, 2},
    {"2 0 0 of the root, sent", "lir", "200r", REASON_OK, 0, 2},
    {"2 1 0 of the root, sent", "lir", "210r", REASON_OK, 0, 2},
    {"2 0 0 of the root, not sent", "li", "200r", REASON_OK, 0, 2},
    {"2 0 0 of the issuer, not sent", "l", "200i", REASON_OK, 0, 1},
    {"2 1 0 of the root, not sent", "li", "210r", REASON_OK, 0, 2},
    {"2 1 0 of the issuer, not sent", "l", "210i", REASON_OK, 0, 1},
    {"2 1 1 of the root, not sent", "li", "211r", REASON_DANE_MISMATCH, 0, 0},
    {"2 0 1 of the issuer, not sent", "l", "201i", REASON_DANE_MISMATCH, 0, 0},
    {"sent in another order", "lri", "211r", REASON_OK, 0, 1},
    {"a stranger between", "lori", "211r", REASON_OK, 0, 2},
    {"garbage between", "lgri", "211r", REASON_OK, 0, 2},
    {"the issuer twice", "lii", "211i", REASON_OK, 0, 1},
    {"one of several matches", "lir", "211o 211i", REASON_OK, 1, 1},
    {"of several that match, that of the path", "lior", "211o 211i", REASON_OK, 1, 1},
    {"another root", "lir", "211o", REASON_DANE_MISMATCH, 0, 0},
    {"another root, in the record", "lir", "200o", REASON_DANE_MISMATCH, 0, 0},
    {"another key, in the record", "lir", "210o", REASON_DANE_MISMATCH, 0, 0},
    {"an anchor beside the path", "liro", "211o", REASON_DANE_MISMATCH, 0, 0},
    {"a self-signed leaf, the anchor beside it", "sir", "211i", REASON_DANE_MISMATCH, 0, 0},
    {"a forged leaf below the anchor", "fir", "211i", REASON_CERT_BAD_SIGNATURE, 0, 0},
    {"a forged leaf, bare key", "f", "210i", REASON_DANE_MISMATCH, 0, 0},
    {"a wildcard of another parent", "wir", "211i", REASON_CERT_NAME_MISMATCH, 0, 0},
    {"another name", "nir", "211i", REASON_CERT_NAME_MISMATCH, 0, 0},
    {"another name, bare key", "n", "210i", REASON_CERT_NAME_MISMATCH, 0, 0},
    {"the name only as common name", "cir", "211i", REASON_CERT_NAME_MISMATCH, 0, 0},
    {"expired", "eir", "211i", REASON_CERT_EXPIRED, 0, 0},
    {"not yet valid", "yir", "211i", REASON_CERT_NOT_YET_VALID, 0, 0},
    {"not for servers", "uir", "211i", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"SHA-1", "hir", "211i", REASON_CERT_WEAK_SIGNATURE, 0, 0},
    {"SHA-1, bare key", "h", "210i", REASON_CERT_WEAK_SIGNATURE, 0, 0},
    {"an expired issuer on the way", "lIr", "211r", REASON_CERT_EXPIRED, 0, 0},
    {"an expired anchor", "lI", "211I", REASON_CERT_EXPIRED, 0, 0},
    {"an expired anchor in the record", "li", "200R", REASON_CERT_EXPIRED, 0, 0},
    {"the key of an expired anchor, not sent: a key has no dates", "li", "210R", REASON_OK, 0, 2},
    {"an issuer that is no CA", "lNr", "211r", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"an anchor that is no CA", "lN", "211N", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"name constraints on the way", "lPr", "211r", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"name constraints of the anchor", "lP", "211P", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"path length of the anchor", "liQ", "201Q", REASON_CERT_WRONG_PURPOSE, 0, 0},
    {"path length of the anchor, not passed", "dQ", "201Q", REASON_OK, 0, 1},
    {"a valid path beside an expired one", "lIir", "211r", REASON_OK, 0, 3},
    {"an expired and a valid anchor of one key", "lIi", "211i", REASON_OK, 0, 2},
    {"a path of two that hold: the shorter", "lir", "211r 211i", REASON_OK, 1, 1},
    {"a broken leaf", "bir", "211i", REASON_CERT_MALFORMED, 0, 0},
    {"garbage as leaf", "gir", "211i", REASON_CERT_MALFORMED, 0, 0},
    {"a weaker digest that matches does not count (usage 2), C-DANE-06", "lir", "211i 212o",
     REASON_DANE_MISMATCH, 0, 0},

    /* the leaf is no issuer */
    {"2 1 1 of a self-signed leaf", "s", "211s", REASON_DANE_MISMATCH, 0, 0},
    {"2 0 1 of a self-signed CA as leaf", "a", "201a", REASON_DANE_MISMATCH, 0, 0},
    {"2 0 0 of the leaf", "s", "200s", REASON_DANE_MISMATCH, 0, 0},
    {"2 0 1 of the leaf, sent twice", "ss", "201s", REASON_DANE_MISMATCH, 0, 0},
    {"2 0 1 of the leaf, which has an issuer", "lir", "201l", REASON_DANE_MISMATCH, 0, 0},
    {"2 1 0: the key has signed it", "s", "210s", REASON_OK, 0, 0},
    {"2 1 0: the key has signed it, another name", "S", "210S", REASON_CERT_EXPIRED, 0, 0},
    {"2 1 0 of the leaf, which has an issuer", "li", "210l", REASON_DANE_MISMATCH, 0, 0},

    /* both usages */
    {"usage 3 fails, usage 2 holds", "lir", "311o 211i", REASON_OK, 1, 1},
    {"usage 2 fails, usage 3 holds", "lir", "211o 311l", REASON_OK, 1, 0},
    {"usage 2 is expired, usage 3 holds", "eir", "211i 311e", REASON_OK, 1, 0},
    {"usage 3 fails, usage 2 is expired", "eir", "311o 211i", REASON_CERT_EXPIRED, 0, 0},
    {"both fail", "lir", "311o 211o", REASON_DANE_MISMATCH, 0, 0},
};

static void c_dane_05_06_chains_and_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        struct dane_case c = {.made_count = 0};

        for (const char *p = r->chain; *p != '\0'; p++)
            c.chain[c.chain_count++] = letter(&c, *p);
        add_records(&c, r->records);
        if (judge(&c, "mx.test", NULL) != r->want)
            fail_msg("%s: wanted %s, got %s (%s)", r->what, reason_info(r->want)->token,
                     reason_info(c.got.reason)->token, c.got.detail);
        assert_true(c.got.detail[0] != '\0');
        if (r->want == REASON_OK && (c.got.matched != r->matched || c.got.depth != r->depth))
            fail_msg("%s: record %zu, depth %zu", r->what, c.got.matched, c.got.depth);
        end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_dane_05_06_chains_and_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
