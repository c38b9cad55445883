/* SPDX-License-Identifier: Apache-2.0 */
/* Every reason of C-CERT-03, told apart, from chains made for it (C-CERT-02, C-CERT-03). */
#include <openssl/nid.h>

#include "tests/unit/certs/judge_case.h"

enum key_choice { K_DEFAULT, K_RSA1024, K_RSA2040, K_RSA2048, K_P224, K_P384, K_P521, K_ED25519 };

static EVP_PKEY *chosen(enum key_choice k, int number)
{
    switch (k) {
    case K_DEFAULT:
        break;
    case K_RSA1024:
        return make_rsa(1024, number);
    case K_RSA2040:
        return make_rsa(2040, number);
    case K_RSA2048:
        return make_rsa(2048, number);
    case K_P224:
        return make_ec(NID_secp224r1, number);
    case K_P384:
        return make_ec(NID_secp384r1, number);
    case K_P521:
        return make_ec(NID_secp521r1, number);
    case K_ED25519:
        return make_ed25519(number);
    }
    return make_key(number);
}

enum sending { SEND_FULL, SEND_LEAF_ONLY, SEND_WITH_ROOT };
enum trusting { TRUST_ROOT, TRUST_OTHER, TRUST_MIDDLE, TRUST_LEAF };

/* leaf <- middle <- root; members that are set replace those of a good chain. */
static const struct judge_row {
    const char *name;
    struct make leaf, middle, root;
    const char *host;
    const char *detail;
    enum key_choice leaf_key, middle_key, root_key;
    enum sending send;
    enum trusting trust;
    enum reason want, also; /* also REASON_OK: none */
    bool self_signed;       /* the leaf */
} rows[] = {
#define OLD .from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY
#define EARLY .from = TEST_NOW + TEST_DAY, .to = TEST_NOW + 9 * TEST_DAY
    {"good", .want = REASON_OK},
    {"good, with host", .host = "mx.test", .want = REASON_OK},
    {"good, root sent too", .send = SEND_WITH_ROOT, .want = REASON_OK},
    {"RSA", .leaf_key = K_RSA2048, .middle_key = K_RSA2048, .root_key = K_RSA2048,
     .want = REASON_OK},
    {"P-384 and P-521", .leaf_key = K_P384, .middle_key = K_P521, .want = REASON_OK},
    {"Ed25519", .leaf_key = K_ED25519, .middle_key = K_ED25519, .root_key = K_ED25519,
     .want = REASON_OK},
    {"any purpose", .leaf = {.extended = "any"}, .middle = {.extended = "any"}, .want = REASON_OK},
    {"server among others", .leaf = {.extended = "client,server"}, .want = REASON_OK},
    {"limit just kept", .root = {.path_limit = 2}, .middle = {.path_limit = 1}, .want = REASON_OK},
    {"old root of version 1", .root = {.version = 1}, .want = REASON_OK},
    {"negative serial", .leaf = {.serial = -5}, .want = REASON_OK},
    {"serial zero", .leaf = {.serial_hex = "00"}, .want = REASON_OK},
    {"serial of 30 bytes",
     .leaf = {.serial_hex = "010203040506070809101112131415161718192021222324252627282930"},
     .want = REASON_OK},
    {"constraint kept", .middle = {.permitted = "test", .excluded = "bad.test"}, .want = REASON_OK},

    /* who is trusted (C-CERT-03) */
    {"self-signed", .self_signed = true, .want = REASON_CERT_SELF_SIGNED,
     .detail = "the leaf (CN=leaf) is signed with its own key"},
    {"untrusted root", .send = SEND_WITH_ROOT, .trust = TRUST_OTHER,
     .want = REASON_CERT_UNTRUSTED_ROOT, .detail = "CN=root"},
    {"root not sent, not trusted", .trust = TRUST_OTHER, .want = REASON_CERT_INCOMPLETE_CHAIN,
     .detail = "the issuer (CN=middle) names an issuer"},
    {"intermediate not sent", .send = SEND_LEAF_ONLY, .want = REASON_CERT_INCOMPLETE_CHAIN,
     .detail = "the leaf (CN=leaf) names an issuer"},
    {"intermediate trusted (ca_file)", .send = SEND_LEAF_ONLY, .trust = TRUST_MIDDLE,
     .want = REASON_OK},
    {"intermediate trusted and sent", .trust = TRUST_MIDDLE, .want = REASON_OK},
    {"leaf trusted", .send = SEND_LEAF_ONLY, .trust = TRUST_LEAF, .want = REASON_OK},
    {"self-signed leaf trusted", .self_signed = true, .trust = TRUST_LEAF, .want = REASON_OK},
    {"self-signed leaf trusted, expired", .leaf = {OLD}, .self_signed = true, .trust = TRUST_LEAF,
     .want = REASON_CERT_EXPIRED},

    /* dates */
    {"leaf expired", .leaf = {OLD}, .want = REASON_CERT_EXPIRED,
     .detail = "the leaf (CN=leaf) expired at 2027-01-14"},
    {"issuer expired", .middle = {OLD}, .want = REASON_CERT_EXPIRED,
     .detail = "the issuer (CN=middle)"},
    {"anchor expired", .root = {OLD}, .want = REASON_CERT_EXPIRED,
     .detail = "the anchor (CN=root)"},
    {"leaf early", .leaf = {EARLY}, .want = REASON_CERT_NOT_YET_VALID, .detail = "2027-01-16"},
    {"issuer early", .middle = {EARLY}, .want = REASON_CERT_NOT_YET_VALID},
    {"last second", .leaf = {.to = TEST_NOW}, .want = REASON_OK},
    {"a second late", .leaf = {.to = TEST_NOW - 1}, .want = REASON_CERT_EXPIRED},
    {"first second", .leaf = {.from = TEST_NOW}, .want = REASON_OK},
    {"a second early", .leaf = {.from = TEST_NOW + 1}, .want = REASON_CERT_NOT_YET_VALID},
    {"far future", .leaf = {.to = 253402300799LL}, .want = REASON_OK}, /* 9999-12-31T23:59:59Z */
    {"1950", .leaf = {.from = -631152000LL}, .want = REASON_OK},

    /* signatures (C-CERT-02) */
    {"leaf damaged", .leaf = {.damage = true}, .want = REASON_CERT_BAD_SIGNATURE,
     .detail = "the leaf (CN=leaf)"},
    {"issuer damaged", .middle = {.damage = true}, .want = REASON_CERT_BAD_SIGNATURE,
     .detail = "the issuer (CN=middle)"},
    {"anchor damaged", .root = {.damage = true}, .want = REASON_OK}, /* trusted as configured */
    {"SHA-1 leaf", .leaf = {.hash = "sha1"}, .middle_key = K_RSA2048,
     .want = REASON_CERT_WEAK_SIGNATURE, .detail = "SHA-1"},
    {"SHA-1 leaf, ECDSA", .leaf = {.hash = "sha1"}, .want = REASON_CERT_WEAK_SIGNATURE},
    {"SHA-1 leaf, damaged", .leaf = {.hash = "sha1", .damage = true},
     .want = REASON_CERT_BAD_SIGNATURE, .also = REASON_CERT_WEAK_SIGNATURE},
    {"SHA-1 issuer", .middle = {.hash = "sha1"}, .want = REASON_CERT_WEAK_SIGNATURE,
     .detail = "the issuer (CN=middle)"},
    {"SHA-1 anchor", .root = {.hash = "sha1"}, .want = REASON_OK},
    {"MD5 leaf", .leaf = {.hash = "md5"}, .middle_key = K_RSA2048,
     .want = REASON_CERT_WEAK_SIGNATURE, .detail = "MD5"},
    {"MD5 issuer", .middle = {.hash = "md5"}, .root_key = K_RSA2048,
     .want = REASON_CERT_WEAK_SIGNATURE},
    {"MD5 anchor", .root = {.hash = "md5"}, .root_key = K_RSA2048, .want = REASON_OK},
    {"RSASSA-PSS", .leaf = {.hash = "pss"}, .middle_key = K_RSA2048, .want = REASON_OK},
    {"RSASSA-PSS with SHA-1", .leaf = {.hash = "pss-sha1"}, .middle_key = K_RSA2048,
     .want = REASON_CERT_WEAK_SIGNATURE, .detail = "RSASSA-PSS without a SHA-2 hash"},
    {"MD2 leaf", .leaf = {.hash = "md2"}, .want = REASON_CERT_WEAK_SIGNATURE, .detail = "MD2"},
    {"DSA leaf", .leaf = {.hash = "dsa"}, .want = REASON_CERT_WEAK_SIGNATURE, .detail = "DSA"},

    /* keys */
    {"RSA 1024 leaf", .leaf_key = K_RSA1024, .want = REASON_CERT_WEAK_KEY,
     .detail = "RSA key of 1024 bits, at least 2048"},
    {"RSA 2040 leaf", .leaf_key = K_RSA2040, .want = REASON_CERT_WEAK_KEY},
    {"RSA 1024 issuer", .middle_key = K_RSA1024, .want = REASON_CERT_WEAK_KEY,
     .detail = "the issuer (CN=middle)"},
    {"RSA 1024 anchor", .root_key = K_RSA1024, .want = REASON_CERT_WEAK_KEY,
     .detail = "the anchor (CN=root)"},
    {"P-224 leaf", .leaf_key = K_P224, .want = REASON_CERT_WEAK_KEY},

    /* purpose */
    {"client only", .leaf = {.extended = "client"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "the leaf (CN=leaf) is not for TLS servers"},
    {"issuer for clients only", .middle = {.extended = "client"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "the issuer (CN=middle) is not for TLS servers"},
    {"key for nothing of TLS", .leaf = {.usage = "c"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "key usage"},
    {"key for encipherment only", .leaf = {.usage = "e"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "may not sign a handshake (key usage)"},
    {"issuer is no CA", .middle = {.basic = BASIC_NOT_CA}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "is not a CA (basic constraints)"},
    {"issuer says nothing", .middle = {.basic = BASIC_NOT_CA + 1},
     .want = REASON_CERT_WRONG_PURPOSE, .detail = "it has no basic constraints"},
    {"issuer of version 1", .middle = {.version = 1}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "it has no basic constraints"},
    {"anchor is no CA", .root = {.basic = BASIC_NOT_CA}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "the anchor (CN=root) is not a CA"},
    {"issuer may not sign", .middle = {.usage = "sr"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "may not sign certificates"},
    {"issuer may not revoke", .middle = {.usage = "c"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "revocation lists"},
    {"anchor may not revoke", .root = {.usage = "c"}, .want = REASON_OK},
    {"path too long", .root = {.path_limit = 1}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "the anchor (CN=root) allows fewer CAs"},
    {"constraint broken", .middle = {.permitted = "other"}, .want = REASON_CERT_WRONG_PURPOSE,
     .detail = "name constraints: permitted"},
    {"constraint of the anchor broken", .root = {.excluded = "test"},
     .want = REASON_CERT_WRONG_PURPOSE, .detail = "name constraints: excluded"},
    {"unknown critical extension", .leaf = {.unknown_critical = true},
     .want = REASON_CERT_WRONG_PURPOSE, .detail = "critical extension 1.2.3.4.5"},
    {"the same in the issuer", .middle = {.unknown_critical = true},
     .want = REASON_CERT_WRONG_PURPOSE, .detail = "the issuer (CN=middle)"},

    /* what cannot be read */
    {"broken extension in the leaf", .leaf = {.broken_basic = true}, .want = REASON_CERT_MALFORMED,
     .detail = "certificate 1 of 2: basicConstraints"},
    {"broken extension in the issuer", .middle = {.broken_basic = true},
     .want = REASON_CERT_MALFORMED, .detail = "certificate 2 of 2",
     .also = REASON_CERT_INCOMPLETE_CHAIN},
    {"extension twice", .middle = {.twice = true}, .want = REASON_CERT_MALFORMED,
     .detail = "there twice", .also = REASON_CERT_INCOMPLETE_CHAIN},

    /* the order of reasons */
    {"expired and untrusted", .leaf = {OLD}, .send = SEND_WITH_ROOT, .trust = TRUST_OTHER,
     .want = REASON_CERT_UNTRUSTED_ROOT, .also = REASON_CERT_EXPIRED},
    {"expired and the wrong name", .leaf = {OLD}, .host = "other.test", .want = REASON_CERT_EXPIRED,
     .also = REASON_CERT_NAME_MISMATCH},
    {"expired, weak key", .leaf = {OLD}, .leaf_key = K_RSA1024, .want = REASON_CERT_EXPIRED,
     .also = REASON_CERT_WEAK_KEY},
    {"client only, weak key", .leaf = {.extended = "client"}, .leaf_key = K_RSA1024,
     .want = REASON_CERT_WRONG_PURPOSE, .also = REASON_CERT_WEAK_KEY},
    {"self-signed, wrong name", .self_signed = true, .host = "other.test",
     .want = REASON_CERT_SELF_SIGNED, .also = REASON_CERT_NAME_MISMATCH},
    {"wrong name alone", .host = "other.test", .want = REASON_CERT_NAME_MISMATCH},
};

static const char *const host_names[] = {"mx.test", NULL};

static void fill(struct make *m, struct make good)
{
    if (m->subject == NULL)
        m->subject = good.subject;
    if (m->issuer == NULL)
        m->issuer = good.issuer;
    m->key = good.key;
    m->signer = good.signer;
    if (m->version == 1)
        return;
    if (m->basic == BASIC_NONE && !m->broken_basic)
        m->basic = good.basic;
    if (m->basic > BASIC_NOT_CA)
        m->basic = BASIC_NONE;
    if (m->usage == NULL)
        m->usage = good.usage;
    if (m->extended == NULL)
        m->extended = good.extended;
    m->dns = good.dns;
}

static void run_row(const struct judge_row *row, bool key_ids)
{
    struct judge_case c = {.host = row->host};
    EVP_PKEY *leaf_key = chosen(row->leaf_key, 3), *middle_key = chosen(row->middle_key, 2);
    EVP_PKEY *root_key = chosen(row->root_key, 1);
    struct make root = row->root, middle = row->middle, leaf = row->leaf, other;
    struct slice sent[3];

    fill(&root, make_root("root", 1));
    root.key = root_key;
    fill(&middle, make_issuer("middle", 2, "root", 1));
    middle.key = middle_key;
    middle.signer = root_key;
    fill(&leaf, make_leaf(host_names, 3, row->self_signed ? "leaf" : "middle", 2));
    leaf.key = leaf_key;
    leaf.signer = row->self_signed ? leaf_key : middle_key;
    root.key_ids = key_ids && root.version != 1;
    middle.key_ids = key_ids && middle.version != 1;
    leaf.key_ids = key_ids;
    other = make_root("other root", 9);
    sent[0] = case_make(&c, &leaf);
    sent[1] = case_make(&c, &middle);
    sent[2] = case_make(&c, &root);
    case_trust(&c, row->trust == TRUST_ROOT     ? sent[2]
                   : row->trust == TRUST_MIDDLE ? sent[1]
                   : row->trust == TRUST_LEAF   ? sent[0]
                                                : case_make(&c, &other));
    for (size_t i = 0; i < (row->send == SEND_LEAF_ONLY ? 1u
                            : row->send == SEND_FULL    ? 2u
                                                        : 3u);
         i++)
        case_send(&c, sent[i]);
    if (row->self_signed)
        c.chain_count = 1;

    (void)case_judge(&c);
    case_expect(row->name, &c, row->want);
    if (row->detail != NULL && strstr(c.got.detail, row->detail) == NULL)
        fail_msg("%s: detail is: %s", row->name, c.got.detail);
    if (row->also != REASON_OK && !case_also(&c, row->also))
        fail_msg("%s: %s is not among the others", row->name, reason_info(row->also)->token);
    if (row->also == REASON_OK && c.got.also_count > 0)
        fail_msg("%s: %s is told too", row->name, reason_info(c.got.also[0])->token);
    assert_int_equal(c.got.chain_ok,
                     row->want == REASON_OK || row->want == REASON_CERT_NAME_MISMATCH);
    assert_int_equal(c.got.chain_ok, c.got.path_length > 0);
    case_end(&c);
}

static void reasons_c_cert_02_03(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_row(&rows[i], false);
}

static void reasons_with_key_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_row(&rows[i], true);
}

static void nothing_sent(void **state)
{
    struct judge_case c = {.host = "mx.test"};
    struct make root = make_root("root", 1);

    (void)state;
    case_trust(&c, case_make(&c, &root));
    assert_int_equal(case_judge(&c), REASON_CERT_NONE);
    assert_false(c.got.chain_ok);
    assert_false(c.got.name_ok);
    assert_int_equal(c.got.fact_count, 0);
    case_end(&c);
}

/* A certificate cut at every byte is malformed, and never more than that. */
static void cut_anywhere_is_malformed(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(host_names, 2, "root", 1);
    struct slice whole;

    (void)state;
    case_trust(&c, case_make(&c, &root));
    whole = case_make(&c, &leaf);
    c.chain_count = 1;
    for (size_t n = 0; n < whole.n; n++) {
        c.chain[0] = slice_first(whole, n);
        assert_int_equal(case_judge(&c), REASON_CERT_MALFORMED);
        assert_int_equal(c.got.fact_count, 1);
    }
    c.chain[0] = whole;
    assert_int_equal(case_judge(&c), REASON_OK);
    case_end(&c);
}

/* One bit turned anywhere: whatever the reason, it is never accepted. */
static void no_bit_may_change(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(host_names, 2, "root", 1);
    struct slice whole;
    char bytes[2048];

    (void)state;
    case_trust(&c, case_make(&c, &root));
    whole = case_make(&c, &leaf);
    assert_true(whole.n < sizeof(bytes));
    memcpy(bytes, whole.p, whole.n);
    c.chain[0] = slice_of(bytes, whole.n);
    c.chain_count = 1;
    for (size_t bit = 0; bit < whole.n * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (case_judge(&c) == REASON_OK)
            fail_msg("bit %zu of byte %zu makes no difference", bit % 8, bit / 8);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(case_judge(&c), REASON_OK);
    case_end(&c);
}

static void fingerprints_pin_certificate_and_key(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make leaf = make_leaf(host_names, 2, "leaf", 2);
    struct slice chain = case_make(&c, &leaf);
    struct fingerprint pins[2] = {{.n = 32}, {.n = 32}};
    struct judge_request req = {.chain = &chain,
                                .chain_count = 1,
                                .fingerprints = pins,
                                .fingerprint_count = 2,
                                .now = TEST_NOW * 1000,
                                .min_rsa_bits = 2048};
    struct buf error;
    struct trust_store *none;

    (void)state;
    buf_init(&error, 100);
    req.trust = none = trust_from_der(NULL, 0, &error);
    judge_chain(&req, &c.got);
    assert_false(c.got.pinned);
    const char *const hex[2] = {c.got.facts[0].sha256, c.got.facts[0].spki_sha256};

    for (int i = 0; i < 2; i++) {
        struct judgement j;

        for (size_t at = 0; at < 32; at++) {
            unsigned byte;

            assert_int_equal(sscanf(hex[i] + 2 * at, "%2x", &byte), 1); /* NOLINT(cert-err34-c) */
            pins[1].digest[at] = (unsigned char)byte;
        }
        judge_chain(&req, &j);
        assert_true(j.pinned);
        assert_int_equal(j.reason, REASON_CERT_SELF_SIGNED);
        judgement_clear(&j);
    }
    trust_drop(&none);
    buf_clear(&error);
    case_end(&c);
}

/* C-TLS-08: how long an answer may be kept: to the next date of a certificate that was sent or lies on the
 * path; and the second before it the answer is the same. */
static void the_next_date(void **state)
{
    enum { LEAF = 1, MIDDLE = 2, ROOT = 4, SENT = 8, FUTURE = 16 };
    static const struct {
        unsigned soon; /* whose end, or begin, comes in a minute */
        int64_t until; /* seconds from now */
    } cases[] = {{0, JUDGEMENT_SPAN_MS / 1000},
                 {LEAF, 61},
                 {MIDDLE, 61},
                 {ROOT, 61},
                 {SENT, 61},
                 {FUTURE, 60}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judge_case c = {.host = NULL};
        struct make root = make_root("root", 1), other = make_root("other", 5);
        struct make middle = make_issuer("middle", 2, "root", 1);
        struct make leaf = make_leaf(host_names, 3, "middle", 2);
        enum reason now;

        leaf.to = cases[i].soon == LEAF ? TEST_NOW + 60 : 0;
        middle.to = cases[i].soon == MIDDLE ? TEST_NOW + 60 : 0;
        root.to = cases[i].soon == ROOT ? TEST_NOW + 60 : 0;
        other.to = cases[i].soon == SENT ? TEST_NOW + 60 : 0;
        other.from = cases[i].soon == FUTURE ? TEST_NOW + 60 : 0;
        case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        case_send(&c, case_make(&c, &middle));
        case_send(&c, case_make(&c, &other));
        now = case_judge(&c);
        assert_int_equal(now, REASON_OK);
        assert_int_equal(c.got.until, (TEST_NOW + cases[i].until) * 1000);
        c.now = TEST_NOW + cases[i].until - 1;
        assert_int_equal(case_judge(&c), now);
        c.now++;
        (void)case_judge(&c);
        if (cases[i].soon == LEAF || cases[i].soon == MIDDLE || cases[i].soon == ROOT)
            assert_int_equal(c.got.reason, REASON_CERT_EXPIRED);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_c_cert_02_03),
        cmocka_unit_test(reasons_with_key_ids),
        cmocka_unit_test(nothing_sent),
        cmocka_unit_test(cut_anywhere_is_malformed),
        cmocka_unit_test(no_bit_may_change),
        cmocka_unit_test(fingerprints_pin_certificate_and_key),
        cmocka_unit_test(the_next_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
