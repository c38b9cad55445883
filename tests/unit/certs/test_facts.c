/* SPDX-License-Identifier: Apache-2.0 */
/* What the record tells about each certificate; nothing raw of a peer in it (C-OPS-04). */
#include <openssl/nid.h>

#include "tests/unit/certs/judge_case.h"

static void of_a_good_chain(void **state)
{
    static const char *const dns[] = {"mx.test", "*.mx.test", NULL};
    struct judge_case c = {.host = "a.mx.test"};
    struct make root = make_root("root", 1), leaf = make_leaf(dns, 2, "root", 1);
    const struct cert_facts *f;

    (void)state;
    leaf.key = make_rsa(2048, 1);
    leaf.must_staple = true;
    leaf.address = "\x01\x02\x03\x04";
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    case_send(&c, c.certs[0]);
    assert_int_equal(case_judge(&c), REASON_OK);
    assert_string_equal(c.got.matched_name, "*.mx.test");
    assert_string_equal(c.got.anchor, "CN=root");
    assert_int_equal(c.got.path_length, 2);
    assert_int_equal(c.got.fact_count, 2);
    f = &c.got.facts[0];
    assert_string_equal(f->subject, "CN=leaf");
    assert_string_equal(f->issuer, "CN=root");
    assert_int_equal(f->name_count, 2);
    assert_int_equal(f->names_kept, 2);
    assert_string_equal(f->names[1], "*.mx.test");
    assert_int_equal(f->not_before, (TEST_NOW - 30 * TEST_DAY) * 1000);
    assert_int_equal(f->not_after, (TEST_NOW + 30 * TEST_DAY) * 1000);
    assert_string_equal(f->key, "RSA");
    assert_int_equal(f->key_bits, 2048);
    assert_string_equal(f->signature, "ecdsa-with-SHA256");
    assert_int_equal(strlen(f->sha256), 64);
    assert_int_equal(strlen(f->spki_sha256), 64);
    assert_false(f->self_issued);
    assert_false(f->is_ca);
    assert_true(f->must_staple);
    f = &c.got.facts[1];
    assert_string_equal(f->key, "P-256");
    assert_int_equal(f->key_bits, 256);
    assert_true(f->self_issued);
    assert_true(f->is_ca);
    assert_false(f->must_staple);
    case_end(&c);
}

static void text_is_escaped(void **state)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"plain", "CN=plain"},
        {"a,b+c=\"d\"\\e<f>g;h", "CN=a\\,b\\+c\\=\\\"d\\\"\\\\e\\<f\\>g\\;h"},
        {" both ends ", "CN=\\ both ends\\ "},
        {"#hash", "CN=\\#hash"},
        {"line\r\nbreak", "CN=line\\x0d\\x0abreak"},
        {"\x1f\x7f", "CN=\\x1f\\x7f"},
        {"\x1b[31mred", "CN=\\x1b[31mred"},
        {"\xc3\xa4", "CN=\\xc3\\xa4"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct judge_case c = {.host = NULL};
        struct make root = make_root("root", 1), leaf = make_leaf(NULL, 2, "root", 1);

        leaf.subject = rows[i].name;
        leaf.nul_name = "mx|\n\x7f.test";
        leaf.to = TEST_NOW - 1;
        case_trust(&c, case_make(&c, &root));
        case_send(&c, case_make(&c, &leaf));
        (void)case_judge(&c);
        assert_string_equal(c.got.facts[0].subject, rows[i].want);
        assert_string_equal(c.got.facts[0].names[0], "mx\\x00\\x0a\\x7f.test");
        for (const char *p = c.got.detail; *p != '\0'; p++)
            assert_in_range(*p, 0x20, 0x7e);
        case_end(&c);
    }
}

static void long_text_is_cut(void **state)
{
    struct judge_case c = {.host = NULL};
    struct make root = make_root("root", 1), leaf = make_leaf(NULL, 2, "root", 1);
    char name[40001];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    leaf.subject = name;
    leaf.nul_name = name;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    (void)case_judge(&c);
    assert_in_range(strlen(c.got.facts[0].subject), 100, 1000);
    case_end(&c);
}

/* A certificate that breaks off still tells what came before. */
static void of_what_can_be_read(void **state)
{
    static const char *const dns[] = {"mx.test", NULL};
    struct judge_case c = {.host = "mx.test"};
    struct make root = make_root("root", 1), leaf = make_leaf(dns, 2, "root", 1);

    (void)state;
    leaf.basic = BASIC_NOT_CA;
    leaf.broken_basic = true;
    case_trust(&c, case_make(&c, &root));
    case_send(&c, case_make(&c, &leaf));
    case_send(&c, SLICE("\x30\x03zz"));
    assert_int_equal(case_judge(&c), REASON_CERT_MALFORMED);
    assert_int_equal(c.got.fact_count, 2);
    assert_string_equal(c.got.facts[0].subject, "CN=leaf");
    assert_string_equal(c.got.facts[0].key, "P-256");
    assert_false(c.got.name_ok); /* names of a broken certificate count for nothing */
    assert_string_equal(c.got.facts[1].subject, "");
    assert_string_equal(c.got.facts[1].signature, "unknown");
    assert_string_equal(c.got.facts[1].key, "other");
    assert_int_equal(strlen(c.got.facts[1].sha256), 64);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_good_chain),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(of_what_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
