/* SPDX-License-Identifier: Apache-2.0 */
/* Host names and certificates' names (C-CERT-01). */
#include "tests/unit/certs/judge_case.h"

static const struct name_row {
    struct slice pattern, reference;
    bool want;
} rows[] = {
#define ROW(p, r, w)                                  \
    {                                                 \
        {(p), sizeof(p) - 1}, {(r), sizeof(r) - 1}, w \
    }
    ROW("mx.example.org", "mx.example.org", true),
    ROW("MX.Example.ORG", "mx.example.org", true),
    ROW("mx.example.org", "MX.EXAMPLE.ORG", true),
    ROW("mx.example.org", "mx2.example.org", false),
    ROW("mx.example.org", "mx.example.org.", true),
    ROW("mx.example.org.", "mx.example.org", false),
    ROW("mx.example.org", "example.org", false),
    ROW("example.org", "mx.example.org", false),
    ROW("localhost", "localhost", true),
    ROW("mx_1.example.org", "mx_1.example.org", true),
    ROW("xn--mx-wka.example", "xn--mx-wka.example", true),
    /* wildcards: the whole leftmost label, one label */
    ROW("*.example.org", "mx.example.org", true),
    ROW("*.EXAMPLE.org", "mx.example.org", true),
    ROW("*.example.org", "xn--mx-wka.example.org", true),
    ROW("*.example.org", "a.b.example.org", false),
    ROW("*.example.org", "example.org", false),
    ROW("*.example.org", ".example.org.", true), /* the reference is ".parent" */
    ROW("*.org", "example.org", false),
    ROW("*", "localhost", false),
    ROW("*.", "a.", false),
    ROW("m*.example.org", "mx.example.org", false),
    ROW("*x.example.org", "mx.example.org", false),
    ROW("m*x.example.org", "mx.example.org", false),
    ROW("mx.*.org", "mx.example.org", false),
    ROW("mx.example.*", "mx.example.org", false),
    ROW("*.*.example.org", "a.b.example.org", false),
    ROW("**.example.org", "mx.example.org", false),
    ROW("*mx.example.org", "*mx.example.org", false),
    ROW("*.example.org", "*.example.org", false),
    /* what is no name */
    ROW("", "mx.example.org", false),
    ROW("mx.example.org", "", false),
    ROW("", "", false),
    ROW(".", ".", false),
    ROW("mx.example.org\0", "mx.example.org", false),
    ROW("mx.example.org\0.evil.test", "mx.example.org", false),
    ROW("mx.example.org", "mx.example.org\0", false),
    ROW("\0", "\0", false),
    ROW("mx..example.org", "mx..example.org", false),
    ROW(".mx.example.org", "mx.example.org", false),
    ROW("mx.example.org ", "mx.example.org", false),
    ROW(" mx.example.org", "mx.example.org", false),
    ROW("mx\xc3\xbc.example.org", "mx\xc3\xbc.example.org", false),
    ROW("mx.example.org\n", "mx.example.org", false),
    ROW("mx@example.org", "mx@example.org", false),
    /* addresses never match DNS names */
    ROW("192.0.2.1", "192.0.2.1", false),
    ROW("*.0.2.1", "192.0.2.1", false),
    ROW("2001:db8::1", "2001:db8::1", false),
    ROW("[192.0.2.1]", "[192.0.2.1]", false),
    /* any name below */
    ROW("mx.example.org", ".example.org", true),
    ROW("a.b.example.org", ".example.org", true),
    ROW("A.B.Example.Org", ".example.org", true),
    ROW("*.example.org", ".example.org", true),
    ROW("*.b.example.org", ".example.org", true),
    ROW("example.org", ".example.org", false),
    ROW("badexample.org", ".example.org", false),
    ROW("mx.example.com", ".example.org", false),
    ROW("*.org", ".example.org", false),
    ROW("mx.example.org", ".", false),
    ROW("mx.example.org", "..example.org", false),
    ROW("mx\0.example.org", ".example.org", false),
    ROW("192.0.2.1", ".2.1", false),
#undef ROW
};

static void matches_c_cert_01(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (cert_name_match(rows[i].pattern, rows[i].reference) != rows[i].want)
            fail_msg("%s against %s: not %d", rows[i].pattern.p, rows[i].reference.p, rows[i].want);
}

static void long_names(void **state)
{
    char text[300];

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 50; i < sizeof(text); i += 51)
        text[i] = '.';
    assert_true(cert_name_match(slice_of(text, 253), slice_of(text, 253)));
    assert_false(cert_name_match(slice_of(text, 254), slice_of(text, 254)));
}

/* The same through a whole judgement: what is in the certificate, and what the caller asks for. */
static const struct in_certificate {
    const char *name;
    struct make leaf; /* names only */
    const char *host;
    bool want;
    const char *matched;
} certificates[] = {
    {"exact",
     {.dns = (const char *const[]){"a.test", "mx.test", NULL}},
     "mx.test",
     true,
     "mx.test"},
    {"wildcard", {.dns = (const char *const[]){"*.mx.test", NULL}}, "a.mx.test", true, "*.mx.test"},
    {"other", {.dns = (const char *const[]){"a.test", NULL}}, "mx.test", false, ""},
    {"no SAN, CN fits", {.subject = "mx.test"}, "mx.test", false, ""},
    {"SAN without a fitting name, CN fits",
     {.subject = "mx.test", .dns = (const char *const[]){"a.test", NULL}},
     "mx.test",
     false,
     ""},
    {"NUL inside", {.nul_name = "mx.test|.evil.test"}, "mx.test", false, ""},
    {"NUL at the end", {.nul_name = "mx.test|"}, "mx.test", false, ""},
    {"address entry", {.address = "\xc0\x00\x02\x01"}, "192.0.2.1", false, ""},
    {"address as DNS name",
     {.dns = (const char *const[]){"192.0.2.1", NULL}},
     "192.0.2.1",
     false,
     ""},
    {"empty subject",
     {.subject = "", .dns = (const char *const[]){"mx.test", NULL}},
     "mx.test",
     true,
     "mx.test"},
    {"last of a thousand", {.dns_count = 1000}, "h999.test", true, "h999.test"},
    {"names not asked for", {.dns = (const char *const[]){"a.test", NULL}}, NULL, true, ""},
};

static void names_of_certificates_c_cert_01(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++) {
        const struct in_certificate *row = &certificates[i];
        struct judge_case c = {.host = row->host};
        struct make root = make_root("root", 1), leaf = row->leaf;

        if (leaf.subject == NULL)
            leaf.subject = "leaf";
        leaf.issuer = "root";
        leaf.key = make_key(2);
        leaf.signer = make_key(1);
        case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        (void)case_judge(&c);
        case_expect(row->name, &c, row->want ? REASON_OK : REASON_CERT_NAME_MISMATCH);
        assert_int_equal(c.got.name_ok, row->want);
        assert_true(c.got.chain_ok);
        assert_string_equal(c.got.matched_name, row->matched);
        case_end(&c);
    }
}

static void mismatch_says_the_names(void **state)
{
    static const char *const dns[] = {"a.test", "b\x01.test", "c.test", "d.test", NULL};
    struct judge_case c = {.host = "mx.test"};
    struct make root = make_root("root", 1), leaf = make_leaf(dns, 2, "root", 1);

    (void)state;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    assert_int_equal(case_judge(&c), REASON_CERT_NAME_MISMATCH);
    assert_string_equal(c.got.detail,
                        "wanted mx.test, it names a.test, b\\x01.test, c.test and 1 more");
    case_end(&c);
}

static void several_references(void **state)
{
    static const char *const dns[] = {"mx.test", NULL};
    struct slice names[] = {SLICE("other.test"), SLICE(".below.test"), SLICE("mx.test")};
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(dns, 2, "root", 1);
    struct slice anchor = case_make(&c, &root), chain = case_make(&c, &leaf);
    struct buf error;
    struct judge_request req = {.chain = &chain,
                                .chain_count = 1,
                                .names = names,
                                .name_count = 3,
                                .now = TEST_NOW * 1000,
                                .min_rsa_bits = 2048};
    struct trust_store *trust;

    (void)state;
    buf_init(&error, 100);
    req.trust = trust = trust_from_der(&anchor, 1, &error);
    judge_chain(&req, &c.got);
    assert_int_equal(c.got.reason, REASON_OK);
    judgement_clear(&c.got);
    req.name_count = 2;
    judge_chain(&req, &c.got);
    assert_int_equal(c.got.reason, REASON_CERT_NAME_MISMATCH);
    trust_drop(&trust);
    buf_clear(&error);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_c_cert_01),
        cmocka_unit_test(long_names),
        cmocka_unit_test(names_of_certificates_c_cert_01),
        cmocka_unit_test(mismatch_says_the_names),
        cmocka_unit_test(several_references),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
