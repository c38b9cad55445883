/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a path in whatever was sent (C-CERT-04), within bounds (C-CERT-07). */
#include <time.h>
#include <unistd.h>

#include <openssl/nid.h>

#include "tests/unit/certs/judge_case.h"

static const char *const dns[] = {"mx.test", NULL};

/* leaf(4) <- low(3) <- high(2) <- root(1) */
struct four {
    struct slice leaf, low, high, root;
};

static struct four make_four(struct judge_case *c)
{
    struct make root = make_root("root", 1), high = make_issuer("high", 2, "root", 1);
    struct make low = make_issuer("low", 3, "high", 2), leaf = make_leaf(dns, 4, "low", 3);

    return (struct four){.leaf = case_make(c, &leaf),
                         .low = case_make(c, &low),
                         .high = case_make(c, &high),
                         .root = case_make(c, &root)};
}

static void orders_c_cert_04(void **state)
{
    static const char *const orders[] = {
        "lhr", "lrh",  "hlr",    "hrl",  "rlh",   "rhl",  "lh",
        "hl",  "llhh", "hlhlrr", "xlhx", "xxhxl", "lhLr",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct judge_case c = {.host = "mx.test"};
        struct four f = make_four(&c);
        struct make stranger = make_root("stranger", 8);
        struct slice extra = case_make(&c, &stranger);

        case_trust(&c, f.root);
        case_send(&c, f.leaf);
        for (const char *p = orders[i]; *p != '\0'; p++)
            case_send(&c, *p == 'l'   ? f.low
                          : *p == 'h' ? f.high
                          : *p == 'r' ? f.root
                          : *p == 'L' ? f.leaf
                                      : extra);
        (void)case_judge(&c);
        case_expect(orders[i], &c, REASON_OK);
        assert_int_equal(c.got.path_length, 4);
        assert_string_equal(c.got.anchor, "CN=root");
        case_end(&c);
    }
}

static void a_certificate_that_cannot_be_read_beside_a_path_c_cert_04(void **state)
{
    struct judge_case c = {.host = NULL};
    struct four f = make_four(&c);

    (void)state;
    case_trust(&c, f.root);
    case_send(&c, f.leaf);
    case_send(&c, SLICE("garbage"));
    case_send(&c, f.low);
    case_send(&c, f.high);
    assert_int_equal(case_judge(&c), REASON_OK);
    assert_int_equal(c.got.fact_count, 4);
    case_end(&c);
}

/* leaf <- middle, where middle has several certificates with the same name and key. */
static const struct cross_row {
    const char *name;
    struct make cross; /* the other certificate of middle, beside the one by the trusted root */
    bool root_is_old, cross_first, no_good_one;
    enum reason want;
} crosses[] = {
    {"valid beside an expired cross-sign",
     {.to = TEST_NOW - TEST_DAY, .from = TEST_NOW - 9 * TEST_DAY, .issuer = "root"},
     .cross_first = true,
     .want = REASON_OK},
    {"expired cross-sign last",
     {.to = TEST_NOW - TEST_DAY, .from = TEST_NOW - 9 * TEST_DAY, .issuer = "root"},
     .want = REASON_OK},
    {"cross-sign by an unknown root",
     {.issuer = "unknown"},
     .cross_first = true,
     .want = REASON_OK},
    {"only the unknown root is left",
     {.issuer = "unknown"},
     .no_good_one = true,
     .want = REASON_CERT_INCOMPLETE_CHAIN},
    {"only the expired one is left",
     {.to = TEST_NOW - TEST_DAY, .from = TEST_NOW - 9 * TEST_DAY, .issuer = "root"},
     .no_good_one = true,
     .want = REASON_CERT_EXPIRED},
    {"expired before unknown",
     {.issuer = "unknown"},
     .root_is_old = true,
     .cross_first = true,
     .want = REASON_CERT_EXPIRED},
    {"a sibling that is no CA",
     {.issuer = "root", .basic = BASIC_NOT_CA},
     .cross_first = true,
     .want = REASON_OK},
    {"a sibling that is constrained",
     {.issuer = "root", .permitted = "other"},
     .cross_first = true,
     .want = REASON_OK},
    {"a damaged sibling",
     {.issuer = "root", .damage = true},
     .cross_first = true,
     .want = REASON_OK},
    {"a SHA-1 sibling", {.issuer = "root", .hash = "sha1"}, .cross_first = true, .want = REASON_OK},
};

static void cross_signs_c_cert_04(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(crosses) / sizeof(crosses[0]); i++) {
        const struct cross_row *row = &crosses[i];
        struct judge_case c = {.host = NULL};
        struct make root = make_root("root", 1), good = make_issuer("middle", 2, "root", 1);
        struct make cross = row->cross, leaf = make_leaf(dns, 3, "middle", 2);
        struct slice one, two;

        if (row->root_is_old) {
            root.from = TEST_NOW - 9 * TEST_DAY;
            root.to = TEST_NOW - TEST_DAY;
        }
        cross.subject = "middle";
        cross.key = good.key;
        cross.signer = make_key(strcmp(cross.issuer, "root") == 0 ? 1 : 7);
        cross.usage = "cr";
        if (cross.basic == BASIC_NONE)
            cross.basic = BASIC_CA;
        one = case_make(&c, &good);
        two = case_make(&c, &cross);
        case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        if (row->cross_first || row->no_good_one)
            case_send(&c, two);
        if (!row->no_good_one)
            case_send(&c, one);
        if (!row->cross_first && !row->no_good_one)
            case_send(&c, two);
        (void)case_judge(&c);
        case_expect(row->name, &c, row->want);
        case_end(&c);
    }
}

/* The root that everybody trusts is sent cross-signed by one that expired (as in 2021). */
static void old_root_above_a_trusted_one_c_cert_04(void **state)
{
    for (int both = 0; both < 2; both++) {
        struct judge_case c = {.host = NULL};
        struct make old_root = make_root("old root", 8), root = make_root("root", 1);
        struct make cross = make_issuer("root", 1, "old root", 8);
        struct make middle = make_issuer("middle", 2, "root", 1);
        struct make leaf = make_leaf(dns, 3, "middle", 2);

        (void)state;
        old_root.from = TEST_NOW - 9 * TEST_DAY;
        old_root.to = TEST_NOW - TEST_DAY;
        case_trust(&c, case_make(&c, &old_root));
        if (both)
            case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        case_send(&c, case_make(&c, &middle));
        case_send(&c, case_make(&c, &cross));
        assert_int_equal(case_judge(&c), both ? REASON_OK : REASON_CERT_EXPIRED);
        if (both)
            assert_int_equal(c.got.path_length, 3);
        case_end(&c);
    }
}

/* The same name, another key: a look-alike in the trust store or in the chain. */
static void look_alikes(void **state)
{
    static const struct {
        bool key_ids, root_sent;
        enum reason want;
    } rows[] = {
        {false, false, REASON_CERT_BAD_SIGNATURE}, /* what the names say is all that is known */
        {true, false, REASON_CERT_INCOMPLETE_CHAIN},
        {false, true, REASON_CERT_UNTRUSTED_ROOT},
        {true, true, REASON_CERT_UNTRUSTED_ROOT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judge_case c = {.host = NULL};
        struct make trusted = make_root("root", 1), fake = make_root("root", 9);
        struct make leaf = make_leaf(dns, 3, "root", 9);

        trusted.key_ids = fake.key_ids = leaf.key_ids = rows[i].key_ids;
        case_trust(&c, case_make(&c, &trusted));
        case_send(&c, case_make(&c, &leaf));
        if (rows[i].root_sent)
            case_send(&c, case_make(&c, &fake));
        assert_int_equal(case_judge(&c), rows[i].want);
        case_trust(&c,
                   c.certs[c.cert_count - 1]); /* the leaf, or the fake root: trusted after all */
        assert_int_equal(case_judge(&c), REASON_OK);
        case_end(&c);
    }
}

static double milliseconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Processor time, best of three, so that a busy machine does not fail the test; sanitizers may take ten times as long. */
static double measured(struct judge_case *c)
{
    double best = 1e9;

    for (int i = 0; i < 3; i++) {
        double from = milliseconds(), took;

        (void)case_judge(c);
        took = milliseconds() - from;
        best = took < best ? took : best;
    }
    return best;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIME_MAX 1000.0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIME_MAX 1000.0
#endif
#endif
#ifndef TIME_MAX
#define TIME_MAX 50.0 /* C-CERT-07: what a loop may stand still for */
#endif

static void expect_quick(const char *what, double took)
{
    print_message("%s: %.2f ms\n", what, took);
    if (took > TIME_MAX)
        fail_msg("%s took %.1f ms", what, took);
}

static void many_names_c_cert_07(void **state)
{
    struct judge_case c = {.host = "nowhere.test"};
    struct make root = make_root("root", 1), leaf = make_leaf(NULL, 2, "root", 1);

    (void)state;
    leaf.dns_count = 6500;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    assert_in_range(c.chain[0].n, 64 * 1024, CHAIN_BYTES_MAX);
    expect_quick("6,500 names", measured(&c));
    assert_int_equal(c.got.reason, REASON_CERT_NAME_MISMATCH);
    assert_int_equal(c.got.facts[0].name_count, 6500);
    assert_int_equal(c.got.facts[0].names_kept, FACT_NAMES_MAX);
    case_end(&c);
}

static void too_much_c_cert_07(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(NULL, 2, "root", 1);

    (void)state;
    leaf.dns_count = 10000;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    expect_quick("10,000 names", measured(&c));
    assert_int_equal(c.got.reason, REASON_CERT_TOO_MANY);
    c.chain_count = 0;
    leaf.dns_count = 0;
    case_send(&c, case_make(&c, &leaf));
    while (c.chain_count <= CHAIN_CERTS_MAX)
        case_send(&c, c.certs[0]);
    assert_int_equal(case_judge(&c), REASON_CERT_TOO_MANY);
    assert_int_equal(c.got.fact_count, CHAIN_CERTS_MAX);
    c.chain_count = CHAIN_CERTS_MAX;
    assert_int_equal(case_judge(&c), REASON_OK);
    case_end(&c);
}

/* 15 certificates of CAs that all have one name; `keys` keys sign each other in all pairs. */
static void mesh(const char *what, int keys, EVP_PKEY *(*key)(int), bool key_ids)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 20), leaf = make_leaf(dns, 30, "mesh", 0);

    leaf.signer = key(0);
    leaf.hash = NULL;
    leaf.key_ids = key_ids;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    for (int i = 0; c.chain_count < CHAIN_CERTS_MAX; i++) {
        struct make m = make_issuer("mesh", 0, "mesh", 0);
        int subject = i % keys, signer = (i / keys + 1 + subject) % keys;

        m.key = key(subject);
        m.signer = key(signer);
        m.key_ids = key_ids;
        case_send(&c, case_make(&c, &m));
    }
    expect_quick(what, measured(&c));
    assert_false(c.got.chain_ok);
    assert_int_not_equal(c.got.reason, REASON_OK);
    case_end(&c);
}

static EVP_PKEY *p521(int number)
{
    return make_ec(NID_secp521r1, number);
}

static EVP_PKEY *p384(int number)
{
    return make_ec(NID_secp384r1, number);
}

static EVP_PKEY *same_key(int number)
{
    (void)number;
    return make_key(0);
}

static void meshes_c_cert_07(void **state)
{
    (void)state;
    mesh("mesh of one key", 15, same_key, false);
    mesh("mesh of 4 P-256 keys", 4, make_key, false);
    mesh("mesh of 5 P-256 keys with key ids", 5, make_key, true);
    mesh("mesh of 15 P-256 keys", 15, make_key, false);
    mesh("mesh of 4 P-384 keys", 4, p384, false);
    mesh("mesh of 4 P-521 keys", 4, p521, false);
    mesh("mesh of 15 P-521 keys", 15, p521, false);
}

static void deep_chains_c_cert_07(void **state)
{
    (void)state;
    for (int depth = 8; depth <= 15; depth++) {
        struct judge_case c = {.host = NULL};
        struct make root = make_root("root", 0);
        char name[16], above[16] = "root";

        case_trust(&c, case_make(&c, &root));
        c.chain_count = (size_t)depth;
        for (int i = 1; i <= depth; i++) {
            struct make m;

            (void)snprintf(name, sizeof(name), "ca%d", i);
            m = i < depth ? make_issuer(name, i, above, i - 1) : make_leaf(dns, i, above, i - 1);
            c.chain[depth - i] = case_make(&c, &m);
            memcpy(above, name, sizeof(above));
        }
        expect_quick("deep chain", measured(&c));
        /* PATH_MAX_CERTS: ten, the anchor included. */
        assert_int_equal(c.got.reason, depth <= 9 ? REASON_OK : REASON_CERT_TOO_MANY);
        case_end(&c);
    }
}

/* Name constraints against names: the library multiplies them. */
static void constraints_times_names_c_cert_07(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(NULL, 2, "root", 1);

    (void)state;
    root.permitted = "nothing";
    leaf.dns_count = 6000;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    expect_quick("6,000 names under a constraint", measured(&c));
    assert_int_equal(c.got.reason, REASON_CERT_WRONG_PURPOSE);
    case_end(&c);
}

/* The library stops at 2^20 comparisons; just below and far above. */
static void many_constraints_c_cert_07(void **state)
{
    static const struct {
        int names, constraints;
        enum reason want;
    } rows[] = {{1000, 1000, REASON_OK}, {3000, 2500, REASON_CERT_UNCHECKED}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judge_case c = {.host = NULL};
        struct make root = make_root("root", 1), middle = make_issuer("middle", 2, "root", 1);
        struct make leaf = make_leaf(NULL, 3, "middle", 2);

        middle.excluded = "other";
        middle.excluded_count = rows[i].constraints;
        leaf.dns_count = rows[i].names;
        case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        case_send(&c, case_make(&c, &middle));
        expect_quick("names times constraints", measured(&c));
        assert_int_equal(c.got.reason, rows[i].want);
        case_end(&c);
    }
}

/* A stranger with the issuer's name stands between: the list of the true issuer is heard all the same
 * (C-CERT-08), and a staple of the stranger's is not. */
static void a_false_issuer_on_the_path(void **state)
{
    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        bool first = variant & 1, self = variant & 2, ids = variant & 4;
        struct judge_case c = {.host = "mx.test"};
        struct make root = make_root("root", 1), issuer = make_issuer("issuer", 2, "root", 1);
        struct make leaf = make_leaf(dns, 3, "issuer", 2), decoy = make_issuer("issuer", 4, "x", 9);
        struct make_crl list = {.issuer = "issuer", .signer = make_key(2)};
        struct make_ocsp about = {.signer = make_key(4)};
        struct slice top, middle, end, between, crl;
        struct trust_store *t;
        struct buf error;
        char path[] = "/tmp/tlsmend-crl-XXXXXX", root_path[] = "/tmp/tlsmend-root-XXXXXX", *pem;
        int fd = mkstemp(path), root_fd = mkstemp(root_path);
        const char *const lists[] = {path};
        struct trust_params params = {.extra = root_path, .crl_files = lists, .crl_count = 1};

        decoy.issuer = "issuer";
        decoy.signer = self ? NULL : make_key(9);
        leaf.key_ids = issuer.key_ids = ids;
        top = case_make(&c, &root);
        middle = case_make(&c, &issuer);
        end = case_make(&c, &leaf);
        between = case_make(&c, &decoy);
        list.revoked[0] = end;
        crl = make_crl(&list);
        pem = make_pem("CERTIFICATE", top);
        assert_int_equal(write(fd, crl.p, crl.n), crl.n);
        assert_int_equal(write(root_fd, pem, strlen(pem)), strlen(pem));
        buf_init(&error, 1000);
        t = c.trust = trust_load(&params, &error);
        assert_non_null(t);
        case_send(&c, end);
        case_send(&c, first ? between : middle);
        case_send(&c, first ? middle : between);
        assert_int_equal(case_judge(&c), REASON_CERT_REVOKED);

        c.trust = NULL; /* without the list */
        case_trust(&c, top);
        about.leaf = end;
        about.issuer = between;
        c.ocsp = make_ocsp(&about);
        assert_int_equal(case_judge(&c), REASON_OK);
        assert_int_equal(c.got.ocsp, OCSP_INVALID);
        trust_drop(&t);
        assert_int_equal(unlink(path) + unlink(root_path) + close(fd) + close(root_fd), 0);
        make_free(&crl);
        free(pem);
        buf_clear(&error);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_c_cert_04),
        cmocka_unit_test(a_certificate_that_cannot_be_read_beside_a_path_c_cert_04),
        cmocka_unit_test(cross_signs_c_cert_04),
        cmocka_unit_test(old_root_above_a_trusted_one_c_cert_04),
        cmocka_unit_test(look_alikes),
        cmocka_unit_test(many_names_c_cert_07),
        cmocka_unit_test(too_much_c_cert_07),
        cmocka_unit_test(meshes_c_cert_07),
        cmocka_unit_test(deep_chains_c_cert_07),
        cmocka_unit_test(constraints_times_names_c_cert_07),
        cmocka_unit_test(many_constraints_c_cert_07),
        cmocka_unit_test(a_false_issuer_on_the_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
