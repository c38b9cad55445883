/* SPDX-License-Identifier: Apache-2.0 */
/* Chains against TLSA records (C-DANE-05, C-DANE-06), within bounds (C-CERT-07). */
#include "tests/unit/certs/dane_case.h"

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
    {"the key of an expired anchor that was sent", "liR", "210R", REASON_CERT_EXPIRED, 0, 0},
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

        dane_send(&c, r->chain);
        dane_records(&c, r->records);
        if (dane_ask(&c, "mx.test", NULL) != r->want)
            fail_msg("%s: wanted %s, got %s (%s)", r->what, reason_info(r->want)->token,
                     reason_info(c.got.reason)->token, c.got.detail);
        assert_true(c.got.detail[0] != '\0');
        if (r->want == REASON_OK && (c.got.matched != r->matched || c.got.depth != r->depth))
            fail_msg("%s: record %zu, depth %zu", r->what, c.got.matched, c.got.depth);
        dane_end(&c);
    }
}

/* RFC 7672 3.2.2: any reference name; without one nothing fits, and usage 3 does not ask. */
static void c_dane_05_reference_names(void **state)
{
    static const struct {
        const char *chain, *records, *first, *second;
        enum reason want;
    } cases[] = {
        {"li", "211i", "mx.test", NULL, REASON_OK},
        {"li", "211i", "MX.Test", NULL, REASON_OK},
        {"li", "211i", "domain.test", "mx.test", REASON_OK},
        {"li", "211i", "mx.test", "domain.test", REASON_OK},
        {"li", "211i", "domain.test", "other.test", REASON_CERT_NAME_MISMATCH},
        {"li", "211i", "test", NULL, REASON_CERT_NAME_MISMATCH},
        {"li", "211i", "a.mx.test", NULL, REASON_CERT_NAME_MISMATCH},
        {"li", "211i", NULL, NULL, REASON_CERT_NAME_MISMATCH},
        {"li", "311l", NULL, NULL, REASON_OK},
        {"li", "311l", "other.test", NULL, REASON_OK},
        {"wi", "211i", "a.mail.test", NULL, REASON_OK},
        {"wi", "211i", "a.b.mail.test", NULL, REASON_CERT_NAME_MISMATCH},
        {"wi", "211i", "mail.test", NULL, REASON_CERT_NAME_MISMATCH},
        {"ci", "211i", "mx.test", NULL, REASON_CERT_NAME_MISMATCH},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dane_case c = {.made_count = 0};

        dane_send(&c, cases[i].chain);
        dane_records(&c, cases[i].records);
        if (dane_ask(&c, cases[i].first, cases[i].second) != cases[i].want)
            fail_msg("case %zu: %s (%s)", i, reason_info(c.got.reason)->token, c.got.detail);
        dane_end(&c);
    }
}

/* What log and reply say. */
static void details(void **state)
{
    static const struct {
        const char *chain, *records, *want;
    } cases[] = {
        {"li", "311l", "TLSA 3 1 1 #... is the leaf (CN=leaf)"},
        {"li", "211i", "TLSA 2 1 1 #... is the anchor (CN=low)"},
        {"li", "210r", "TLSA 2 1 0 #... is the anchor (CN=root)"},
        {"s", "210s", "TLSA 2 1 0 #... is the leaf (CN=leaf)"},
        {"li", "311o 211o", "1 records for the leaf, 1 for an issuer; the leaf is 3 1 1 #..."},
        {"g", "311o", "1 records for the leaf, 0 for an issuer; the leaf is unknown"},
        {"ni", "211i", "wanted mx.test, it names mx.elsewhere"},
        {"si", "211i",
         "TLSA 2 1 1 #... names an anchor, but the leaf has no path to it: the leaf (CN=leaf) is "
         "signed with its own key"},
        {"g", "211i", "the leaf: it is no DER certificate"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dane_case c = {.made_count = 0};
        const char *hash = strchr(cases[i].want, '#');
        size_t before = hash != NULL ? (size_t)(hash - cases[i].want) : 0;

        dane_send(&c, cases[i].chain);
        dane_records(&c, cases[i].records);
        (void)dane_ask(&c, "mx.test", NULL);
        if (hash == NULL)
            assert_string_equal(c.got.detail, cases[i].want);
        else if (strncmp(c.got.detail, cases[i].want, before) != 0 ||
                 strspn(c.got.detail + before, "0123456789abcdef") != 16 ||
                 strcmp(c.got.detail + before + 16, hash + 1) != 0)
            fail_msg("%s instead of %s", c.got.detail, cases[i].want);
        dane_end(&c);
    }
}

/* RFC 7671 5.2.3: the key alone, whatever the child says about who has it; our own rules hold. */
static void c_dane_05_bare_keys(void **state)
{
    static const struct {
        const char *what;
        bool key_ids, wrong_key_id, nameless;
        int64_t issuer_serial;
        int rsa_bits;
        enum reason want;
    } cases[] = {
        {"P-256", .want = REASON_OK},
        {"with key identifiers", .key_ids = true, .want = REASON_OK},
        {"with the issuer's serial number", .key_ids = true, .issuer_serial = 77,
         .want = REASON_OK},
        {"identifier of another key", .key_ids = true, .wrong_key_id = true, .want = REASON_OK},
        {"an issuer without a name", .nameless = true, .want = REASON_OK},
        {"RSA 2048", .rsa_bits = 2048, .want = REASON_OK},
        {"RSA 1024", .rsa_bits = 1024, .want = REASON_CERT_WEAK_KEY},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dane_case c = {.made_count = 0};
        struct make root = make_root(cases[i].nameless ? "" : "root", ROOT);
        struct make m = make_leaf(host, LEAF, root.subject, ROOT);

        if (cases[i].rsa_bits != 0)
            root.key = m.signer = make_rsa(cases[i].rsa_bits, 1);
        m.key_ids = cases[i].key_ids;
        m.claimed_signer = cases[i].wrong_key_id ? make_key(OTHER) : NULL;
        m.issuer_serial = cases[i].issuer_serial;
        c.chain[c.chain_count++] = dane_keep(&c, make_cert(&m));
        dane_add(&c, dane_rdata(2, 1, 0, dane_keep(&c, make_cert(&root))));
        if (dane_ask(&c, "mx.test", NULL) != cases[i].want)
            fail_msg("%s: %s (%s)", cases[i].what, reason_info(c.got.reason)->token, c.got.detail);
        dane_end(&c);
    }
}

/* A key or certificate in a record that nobody can read matches nothing and does no harm. */
static void unreadable_full_records(void **state)
{
    static const char cert[] = {2, 0, 0, 0x30, 6, 0x30, 0, 0x30, 0, 3, 0};
    static const char key[] = {2, 1, 0, 0x30, 4, 0x30, 0, 3, 0};
    struct dane_case c = {.made_count = 0};

    (void)state;
    dane_send(&c, "lir");
    dane_add(&c, slice_of(memcpy(mem_zalloc(sizeof(cert)), cert, sizeof(cert)), sizeof(cert)));
    dane_add(&c, slice_of(memcpy(mem_zalloc(sizeof(key)), key, sizeof(key)), sizeof(key)));
    assert_int_equal(dane_ask(&c, "mx.test", NULL), REASON_DANE_MISMATCH);
    assert_int_equal(c.records[0].usability, TLSA_USABLE);
    assert_int_equal(c.records[1].usability, TLSA_USABLE);
    dane_records(&c, "211r");
    assert_int_equal(dane_ask(&c, "mx.test", NULL), REASON_OK);
    assert_int_equal(c.got.matched, 2);
    dane_end(&c);
}

static void nothing_sent(void **state)
{
    struct dane_case c = {.made_count = 0};

    (void)state;
    dane_records(&c, "311l 211i");
    assert_int_equal(dane_ask(&c, "mx.test", NULL), REASON_CERT_NONE);
    c.chain[c.chain_count++] = SLICE_NONE;
    assert_int_equal(dane_ask(&c, "mx.test", NULL), REASON_CERT_MALFORMED);
    dane_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_dane_05_06_chains_and_records),
        cmocka_unit_test(c_dane_05_reference_names),
        cmocka_unit_test(details),
        cmocka_unit_test(c_dane_05_bare_keys),
        cmocka_unit_test(unreadable_full_records),
        cmocka_unit_test(nothing_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
