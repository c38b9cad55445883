/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_request - C-TLS-08, C-OUT-08: which requests have one digest, and the copy of a request. */
#include "tests/unit/net/net_rig.h"

#include <string.h>

#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions_internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct slice one[] = {{"mx.example", 10}};
static const struct slice two[] = {{"mx.example", 10}, {"b.example", 9}};
static const struct slice turned[] = {{"b.example", 9}, {"mx.example", 10}};
static const struct slice cut[] = {{"mx.exampl", 9}, {"eb.example", 10}};
static const struct fingerprint pin[] = {{.digest = {1, 2, 3}, .n = 32}};
static const struct fingerprint long_pin[] = {{.digest = {1, 2, 3}, .n = 64}};
static const struct tlsa_record ee[] = {{.usage = 3, .matching = 1, .data = {"abcd", 4}}};
static const struct tlsa_record key_ee[] = {
    {.usage = 3, .selector = 1, .matching = 1, .data = {"abcd", 4}}};
static const struct tlsa_record bad_ee[] = {
    {.usage = 3, .matching = 1, .data = {"abcd", 4}, .usability = TLSA_BAD_LENGTH}};
static const struct tlsa_record ta[] = {{.usage = 2, .matching = 1, .data = {"abcd", 4}}};
static const struct tlsa_record bad_ta[] = {
    {.usage = 2, .matching = 1, .data = {"abcd", 4}, .usability = TLSA_WEAKER}};
static const struct tlsa_record both[] = {{.usage = 3, .matching = 1, .data = {"abcd", 4}},
                                          {.usage = 2, .matching = 1, .data = {"abcd", 4}}};
static const struct tlsa_record both_turned[] = {{.usage = 2, .matching = 1, .data = {"abcd", 4}},
                                                 {.usage = 3, .matching = 1, .data = {"abcd", 4}}};

#define NAMES(list) .names = (list), .name_count = COUNT(list)
#define PINS(list) .fingerprints = (list), .fingerprint_count = COUNT(list)
#define TLSA(list) .tlsa = (list), .tlsa_count = COUNT(list)
#define DANE_NAMES(list) .dane_names = (list), .dane_name_count = COUNT(list)
#define HOST .host = {"mx.example", 10}

/* Each row differs from every other. */
static const struct tls_request different[] = {
    {.sni = NULL},
    {.sni = "mx.example"},
    {HOST},
    {NAMES(one)},
    {NAMES(two)},
    {NAMES(turned)}, /* the first is the one that a refusal names */
    {NAMES(cut)},
    {NAMES(one), HOST},
    {.min_version = TLS_VERSION_1_3},
    {.min_rsa_bits = 2048},
    {PINS(pin)},
    {PINS(long_pin)},
    {TLSA(ee)},
    {TLSA(key_ee)},
    {TLSA(bad_ee)},
    {TLSA(ta)},
    {TLSA(bad_ta)},
    {TLSA(ta), DANE_NAMES(one)},
    {TLSA(ta), DANE_NAMES(two)},
    {TLSA(both)},
    {TLSA(both), DANE_NAMES(one)},
};

static const struct {
    struct tls_request a, b;
} same[] = {
    {{.sni = NULL}, {.sni = ""}},
    {{TLSA(ee)}, {TLSA(ee), DANE_NAMES(one)}}, /* nobody looks at the names */
    {{TLSA(bad_ta)}, {TLSA(bad_ta), DANE_NAMES(one)}},
    {{DANE_NAMES(two)}, {DANE_NAMES(one)}},
    {{TLSA(both), DANE_NAMES(one)}, {TLSA(both_turned), DANE_NAMES(one)}},
    {{.needs = 1}, {.needs = 2}}, /* what is made of the facts, not the facts */
    {{.rung = RUNG_FULL}, {.rung = RUNG_TLS12}},
    {{.place = {.family = ADDR_IP4, .port = 25}}, {.place = {.family = ADDR_IP6}}},
};

static void digests(void **state)
{
    unsigned char a[TLS_DIGEST_LENGTH], b[TLS_DIGEST_LENGTH];

    (void)state;
    for (size_t i = 0; i < COUNT(different); i++)
        for (size_t j = 0; j < COUNT(different); j++) {
            tls_request_digest(&different[i], a);
            tls_request_digest(&different[j], b);
            if ((memcmp(a, b, sizeof(a)) == 0) != (i == j))
                fail_msg("rows %zu and %zu", i, j);
        }
    for (size_t i = 0; i < COUNT(same); i++) {
        tls_request_digest(&same[i].a, a);
        tls_request_digest(&same[i].b, b);
        if (memcmp(a, b, sizeof(a)) != 0)
            fail_msg("same[%zu]", i);
    }
}

static void many_records(void **state)
{
    unsigned char a[TLS_DIGEST_LENGTH], b[TLS_DIGEST_LENGTH];
    struct tlsa_record records[40];
    struct tls_request req = {.tlsa = records, .tlsa_count = COUNT(records)};
    unsigned char data[COUNT(records)];

    (void)state;
    for (size_t i = 0; i < COUNT(records); i++) {
        data[i] = (unsigned char)i;
        records[i] = (struct tlsa_record){.usage = 3, .data = slice_of(&data[i], 1)};
    }
    tls_request_digest(&req, a);
    for (size_t i = 0; i < COUNT(records); i++)
        records[i].data.p = (char *)&data[(i * 7 + 3) % COUNT(records)];
    tls_request_digest(&req, b);
    assert_memory_equal(a, b, sizeof(a));
    data[5]++;
    tls_request_digest(&req, b);
    assert_memory_not_equal(a, b, sizeof(a));
}

/* The key of a session takes the rest in too. */
static void keys(void **state)
{
    static const struct tls_request rows[] = {
        {.needs = 0},
        {.needs = NEED_CHAIN},
        {.rung = RUNG_COMPACT},
        {.place = {.family = ADDR_IP4}},
        {.place = {.family = ADDR_IP4, .port = 25}},
        {.place = {.family = ADDR_IP4, .ip = {0, 0, 0, 1}}},
        {.place = {.family = ADDR_IP6}},
        {.place = {.family = ADDR_IP6, .ip = {0, 0, 0, 1}}},
        {.place = {.family = ADDR_IP6, .scope = 1}},
        {.sni = "mx.example"},
    };
    unsigned char a[TLS_SESSION_KEY_LENGTH], b[TLS_SESSION_KEY_LENGTH];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t j = 0; j < COUNT(rows); j++) {
            tls_sessions_key(&rows[i], a);
            tls_sessions_key(&rows[j], b);
            if ((memcmp(a, b, sizeof(a)) == 0) != (i == j))
                fail_msg("rows %zu and %zu", i, j);
        }
}

static void copies(void **state)
{
    unsigned char before[TLS_DIGEST_LENGTH], after[TLS_DIGEST_LENGTH];

    (void)state;
    for (size_t i = 0; i < COUNT(different); i++) {
        struct tls_request req = different[i], *copy;

        req.sni = NULL;
        tls_request_digest(&req, before);
        copy = tls_request_copy(&req);
        tls_request_digest(copy, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_true(copy->name_count == 0 || copy->names[0].p != req.names[0].p);
        assert_true(copy->host.p == NULL || copy->host.p != req.host.p);
        assert_true(copy->tlsa_count == 0 || copy->tlsa[0].data.p != req.tlsa[0].data.p);
        tls_request_free(&copy);
        assert_null(copy);
        tls_request_free(&copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests),
        cmocka_unit_test(many_records),
        cmocka_unit_test(keys),
        cmocka_unit_test(copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
