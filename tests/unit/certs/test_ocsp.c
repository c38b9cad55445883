/* SPDX-License-Identifier: Apache-2.0 */
/* Stapled OCSP responses and must-staple (C-CERT-08, RFC 6960, RFC 7633). */
#include "tests/unit/certs/judge_case.h"

static const char *const dns[] = {"mx.test", NULL};

enum about { ABOUT_LEAF, ABOUT_OTHER };
enum signer { BY_ISSUER, BY_DELEGATE, BY_ROOT, BY_STRANGER };

static const struct ocsp_row {
    const char *name;
    struct make_ocsp ocsp;
    enum about about;
    enum signer by;
    struct make delegate; /* replaces members of a good delegate */
    enum ocsp_status want;
    const char *detail;
} rows[] = {
    {"good", .want = OCSP_GOOD},
    {"good, id by SHA-256", {.sha256_id = true}, .want = OCSP_GOOD},
    {"good, responder by key", {.by_key = true}, .want = OCSP_GOOD},
    {"good, SHA-384", {.hash = "sha384"}, .want = OCSP_GOOD},
    {"good by a delegate", .by = BY_DELEGATE, .want = OCSP_GOOD},
    {"good by a delegate, by key", {.by_key = true}, .by = BY_DELEGATE, .want = OCSP_GOOD},
    {"revoked", {.status = STAPLE_REVOKED}, .want = OCSP_REVOKED},
    {"revoked by a delegate", {.status = STAPLE_REVOKED}, .by = BY_DELEGATE, .want = OCSP_REVOKED},
    {"unknown",
     {.status = STAPLE_UNKNOWN},
     .want = OCSP_UNKNOWN,
     .detail = "does not know the certificate"},

    {"damaged", {.damage = true}, .want = OCSP_INVALID, .detail = "not signed by the issuer"},
    {"revoked, damaged", {.status = STAPLE_REVOKED, .damage = true}, .want = OCSP_INVALID},
    {"SHA-1 signature", {.hash = "sha1"}, .want = OCSP_INVALID},
    {"signed by the root instead", .by = BY_ROOT, .want = OCSP_INVALID},
    {"signed by a stranger", .by = BY_STRANGER, .want = OCSP_INVALID},
    {"revoked, signed by a stranger",
     {.status = STAPLE_REVOKED},
     .by = BY_STRANGER,
     .want = OCSP_INVALID},
    {"about another certificate", .about = ABOUT_OTHER, .want = OCSP_INVALID,
     .detail = "about another certificate"},
    {"revoked is another one",
     {.status = STAPLE_REVOKED},
     .about = ABOUT_OTHER,
     .want = OCSP_INVALID},
    {"an error", {.error = 3}, .want = OCSP_INVALID, .detail = "answered with an error"},

    {"a critical extension", {.critical = true}, .want = OCSP_INVALID},
    {"good and revoked", {.has_second = true, .second = STAPLE_REVOKED}, .want = OCSP_REVOKED},
    {"revoked and good", {.status = STAPLE_REVOKED, .has_second = true}, .want = OCSP_REVOKED},
    {"good and unknown", {.has_second = true, .second = STAPLE_UNKNOWN}, .want = OCSP_UNKNOWN},
    {"good and good", {.has_second = true}, .want = OCSP_GOOD},

    {"delegate without the purpose", .by = BY_DELEGATE, .delegate = {.extended = "server"},
     .want = OCSP_INVALID},
    {"delegate expired", .by = BY_DELEGATE,
     .delegate = {.from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY},
     .want = OCSP_INVALID},
    {"delegate of another issuer", .by = BY_DELEGATE, .delegate = {.issuer = "root"},
     .want = OCSP_INVALID},
    {"delegate damaged", .by = BY_DELEGATE, .delegate = {.damage = true}, .want = OCSP_INVALID},
    {"delegate signed with SHA-1", .by = BY_DELEGATE, .delegate = {.hash = "sha1"},
     .want = OCSP_INVALID},
    {"delegate whose key may not sign", .by = BY_DELEGATE, .delegate = {.usage = "e"},
     .want = OCSP_INVALID},

    {"out of date",
     {.from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY},
     .want = OCSP_INVALID,
     .detail = "out of date"},
    {"revoked, out of date",
     {.status = STAPLE_REVOKED, .from = TEST_NOW - 9 * TEST_DAY, .to = TEST_NOW - TEST_DAY},
     .want = OCSP_INVALID},
    {"just out of date", {.to = TEST_NOW - 299}, .want = OCSP_GOOD},
    {"just too much out of date", {.to = TEST_NOW - 301}, .want = OCSP_INVALID},
    {"not valid yet",
     {.from = TEST_NOW + TEST_DAY, .to = TEST_NOW + 2 * TEST_DAY},
     .want = OCSP_INVALID,
     .detail = "not valid yet"},
    {"a clock that is 5 minutes behind", {.from = TEST_NOW + 299}, .want = OCSP_GOOD},
    {"no next update", {.to = -1}, .want = OCSP_GOOD},
    {"no next update, old", {.from = TEST_NOW - 8 * TEST_DAY, .to = -1}, .want = OCSP_INVALID},
};

struct cast {
    struct make root, middle, leaf, other, delegate;
    struct slice root_der, middle_der, leaf_der, other_der;
};

static void cast_init(struct cast *k, struct judge_case *c)
{
    *k = (struct cast){.root = make_root("root", 1),
                       .middle = make_issuer("middle", 2, "root", 1),
                       .leaf = make_leaf(dns, 3, "middle", 2),
                       .other = make_leaf(dns, 4, "middle", 2)};
    k->delegate = (struct make){.subject = "responder",
                                .issuer = "middle",
                                .key = make_key(5),
                                .signer = make_key(2),
                                .extended = "ocsp"};
    k->root_der = case_make(c, &k->root);
    k->middle_der = case_make(c, &k->middle);
    k->leaf_der = case_make(c, &k->leaf);
    k->other_der = case_make(c, &k->other);
    case_trust(c, k->root_der);
    case_send(c, k->leaf_der);
    case_send(c, k->middle_der);
}

static struct slice staple_of(const struct ocsp_row *row, const struct cast *k,
                              struct judge_case *c)
{
    struct make_ocsp m = row->ocsp;
    struct make d = row->delegate;

    m.leaf = row->about == ABOUT_LEAF ? k->leaf_der : k->other_der;
    m.issuer = k->middle_der;
    m.signer = make_key(row->by == BY_ISSUER     ? 2
                        : row->by == BY_DELEGATE ? 5
                        : row->by == BY_ROOT     ? 1
                                                 : 9);
    if (row->by == BY_DELEGATE) {
        d.subject = k->delegate.subject;
        d.key = k->delegate.key;
        d.signer = make_key(d.issuer != NULL ? 1 : 2);
        d.issuer = d.issuer != NULL ? d.issuer : k->delegate.issuer;
        d.extended = d.extended != NULL ? d.extended : k->delegate.extended;
        m.responder = case_make(c, &d);
    }
    return make_ocsp(&m);
}

static void staples_c_cert_08(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ocsp_row *row = &rows[i];
        struct judge_case c = {.host = "mx.test"};
        struct cast k;

        cast_init(&k, &c);
        c.ocsp = staple_of(row, &k, &c);
        (void)case_judge(&c);
        if (c.got.ocsp != row->want)
            fail_msg("%s: wanted %s, got %s (%s)", row->name, ocsp_status_name(row->want),
                     ocsp_status_name(c.got.ocsp), c.got.detail);
        case_expect(row->name, &c, row->want == OCSP_REVOKED ? REASON_CERT_REVOKED : REASON_OK);
        if (row->detail != NULL && strstr(c.got.detail, row->detail) == NULL)
            fail_msg("%s: detail is: %s", row->name, c.got.detail);
        case_end(&c);
    }
}

/* Cut or changed, a response is never good; and it never stops a good chain. */
static void damaged_anywhere(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make_ocsp m = {.signer = make_key(2)};
    struct slice whole;
    char bytes[2048];
    struct cast k;

    (void)state;
    cast_init(&k, &c);
    m.leaf = k.leaf_der;
    m.issuer = k.middle_der;
    whole = make_ocsp(&m);
    assert_true(whole.n < sizeof(bytes));
    memcpy(bytes, whole.p, whole.n);
    for (size_t n = 0; n < whole.n; n++) {
        c.ocsp = slice_of(bytes, n);
        assert_int_equal(case_judge(&c), REASON_OK);
        assert_int_equal(c.got.ocsp, OCSP_INVALID);
    }
    c.ocsp = slice_of(bytes, whole.n);
    for (size_t bit = 0; bit < whole.n * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(case_judge(&c), REASON_OK);
        if (c.got.ocsp != OCSP_INVALID)
            fail_msg("bit %zu of byte %zu makes no difference", bit % 8, bit / 8);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    (void)case_judge(&c);
    assert_int_equal(c.got.ocsp, OCSP_GOOD);
    c.ocsp = SLICE_NONE;
    make_free(&whole);
    case_end(&c);
}

static void revoked_is_told_first(void **state)
{
    struct judge_case c = {.host = "other.test"};
    struct make root = make_root("root", 1), leaf = make_leaf(dns, 3, "root", 1);
    struct make_ocsp m = {.signer = make_key(1), .status = STAPLE_REVOKED};

    (void)state;
    leaf.to = TEST_NOW - 1;
    m.issuer = case_make(&c, &root);
    m.leaf = case_make(&c, &leaf);
    case_trust(&c, m.issuer);
    case_send(&c, m.leaf);
    c.ocsp = make_ocsp(&m);
    assert_int_equal(case_judge(&c), REASON_CERT_REVOKED);
    assert_int_equal(c.got.also_count, 2);
    assert_int_equal(c.got.also[0], REASON_CERT_EXPIRED);
    assert_int_equal(c.got.also[1], REASON_CERT_NAME_MISMATCH);
    case_end(&c);
}

static void must_staple_c_cert_08(void **state)
{
    static const struct {
        const char *name;
        struct make_ocsp ocsp;
        bool must, staple, missing;
    } cases[] = {
        {"not demanded", .must = false, .missing = false},
        {"demanded, none there", .must = true, .missing = true},
        {"demanded and there", .must = true, .staple = true, .missing = false},
        {"demanded, damaged", .must = true, .staple = true, .ocsp = {.damage = true},
         .missing = true},
        {"demanded, unknown", .must = true, .staple = true, .ocsp = {.status = STAPLE_UNKNOWN},
         .missing = true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judge_case c = {.host = "mx.test"};
        struct make root = make_root("root", 1), leaf = make_leaf(dns, 3, "root", 1);
        struct make_ocsp m = cases[i].ocsp;

        leaf.must_staple = cases[i].must;
        m.issuer = case_make(&c, &root);
        m.leaf = case_make(&c, &leaf);
        m.signer = make_key(1);
        case_trust(&c, m.issuer);
        case_send(&c, m.leaf);
        if (cases[i].staple)
            c.ocsp = make_ocsp(&m);
        assert_int_equal(case_judge(&c), REASON_OK);
        if (c.got.must_staple_missing != cases[i].missing)
            fail_msg("%s", cases[i].name);
        assert_int_equal(c.got.facts[0].must_staple, cases[i].must);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staples_c_cert_08),
        cmocka_unit_test(damaged_anywhere),
        cmocka_unit_test(revoked_is_told_first),
        cmocka_unit_test(must_staple_c_cert_08),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
