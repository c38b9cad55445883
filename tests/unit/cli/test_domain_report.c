/* SPDX-License-Identifier: Apache-2.0 */
/* What mta-sts and dane make of the command line, of hostile bytes and of each end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/base/mem.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/domain_report.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define NOW INT64_C(1795340000000)

/* ---- the domain ---- */

static void test_domains(void **state)
{
    static const struct {
        const char *word, *domain, *error; /* error: words in it, where domain is NULL */
    } cases[] = {
        {"example.org", "example.org", NULL},
        {"Example.ORG.", "example.org", NULL},
        {"user@example.org", "example.org", NULL},
        {"\"a@b\"@example.org", "example.org", NULL},
        {"xn--mll-hoa.example", "xn--mll-hoa.example", NULL},
        {"localhost", "localhost", NULL},
        {"", NULL, "empty"},
        {"user@", NULL, "empty"},
        {"[192.0.2.1]", NULL, "is an address"},
        {"user@[IPv6:2001:db8::1]", NULL, "is an address"},
        {"192.0.2.1", NULL, "tls.literal_level"},
        {"2001:db8::1", NULL, "is an address"},
        {"m\xc3\xbcll.example", NULL, "A-labels"},
        {"a..example", NULL, "is no domain"},
        {"a b.example", NULL, "is no domain"},
        {".", NULL, "is no domain"},
    };
    char out[DOMAIN_MAX + 1];
    struct buf error;

    (void)state;
    buf_init(&error, 4096);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *expect = cases[i].domain != NULL ? cases[i].domain : cases[i].error;
        bool good = report_domain(cases[i].word, out, &error);

        assert_int_equal(good, cases[i].domain != NULL);
        if (good)
            assert_string_equal(out, expect);
        else
            assert_non_null(strstr(buf_cstr(&error), expect));
        buf_reset(&error);
    }
    buf_clear(&error);
}

/* C-STS-05 */
static void test_c_sts_05_policy_domain(void **state)
{
    struct override rows[] = {
        {.match = "routed.example", .route_host = "Smart.Example.NET"},
        {.match = "fixed.example", .route_host = "192.0.2.1"},
        {.match = "over.example", .route_host = "smart.example.net", .expires = NOW - 1},
        {.match = ".example", .has_level = true},
    };
    struct settings s = {
        .mta_sts.enabled = true,
        .destinations = rows,
        .destination_count = COUNT(rows),
    };
    static const struct {
        const char *domain, *policy; /* NULL: none */
    } cases[] = {
        {"plain.example", "plain.example"},
        {"routed.example", "smart.example.net"},
        {"fixed.example", NULL},
        {"over.example", "over.example"},
    };
    char out[DOMAIN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool found = report_policy_domain(&s, cases[i].domain, NOW, out);

        assert_int_equal(found, cases[i].policy != NULL);
        if (found)
            assert_string_equal(out, cases[i].policy);
    }
    s.mta_sts.enabled = false;
    assert_false(report_policy_domain(&s, "plain.example", NOW, out));
}

/* ---- the end ---- */

static void test_exit_codes(void **state)
{
    static const struct {
        enum reason reason;
        int code;
        const char *status;
    } cases[] = {
        {REASON_DNS_FAILED, CLI_TEMPFAIL, "deferred"},
        {REASON_DNS_TIMEOUT, CLI_TEMPFAIL, "deferred"},
        {REASON_DNS_BOGUS, CLI_TEMPFAIL, "deferred"},
        {REASON_TLSA_LOOKUP_FAILED, CLI_TEMPFAIL, "deferred"},
        {REASON_STS_MX_NOT_LISTED, CLI_FORBIDDEN, "deferred"},
        {REASON_DANE_REQUIRED, CLI_FORBIDDEN, "deferred"},
        {REASON_NULL_MX, CLI_NO_HOST, "rejected"},
        {REASON_DOMAIN_NOT_FOUND, CLI_NO_HOST, "rejected"},
        {REASON_LOOP, CLI_NO_HOST, "rejected"},
        {REASON_MX_FORBIDDEN, CLI_NO_HOST, "deferred"},
        {REASON_ROUTE_UNRESOLVABLE, CLI_NO_HOST, "deferred"},
    };
    struct destination d = {.reason = REASON_OK, .target_count = 1};

    (void)state;
    assert_int_equal(report_exit_code(&d), CLI_OK);
    assert_string_equal(report_status(&d), "deliverable");
    d.target_count = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        d.reason = cases[i].reason;
        assert_int_equal(report_exit_code(&d), cases[i].code);
        assert_string_equal(report_status(&d), cases[i].status);
    }
}

/* ---- hostile bytes ---- */

static const char hostile[] = "\x1b[2J\r\n\xff\xc3\xbc\xe2\x80\xae end";

static void put(char *to, size_t room, const char *text)
{
    assert_true((size_t)snprintf(to, room, "%s", text) < room);
}

struct scene {
    struct settings settings;
    struct destination_host host;
    struct mx_target target;
    struct destination dest;
    struct policy_entry held;
    char mx[DOMAIN_MAX + 3], *list[1];
    struct domain_report report;
};

static struct scene *scene_new(void)
{
    struct scene *s = mem_zalloc(sizeof(*s));

    s->settings.mta_sts.enabled = true;
    s->settings.mta_sts.refresh = 86400000;
    s->settings.resolver.mx_port = 25;
    s->host.name = "mx.example";
    s->host.why_skipped = s->host.dane.base = s->host.dane.detail = "";
    s->host.preference = 10;
    s->host.demand.policy_id = "";
    s->host.addr_count = 0;
    s->dest.domain = s->dest.nexthop = s->dest.policy_domain = "example.org";
    s->dest.expanded = s->dest.detail = s->dest.sts.detail = "";
    s->dest.sts.why = "no usable TXT record";
    s->dest.hosts = &s->host;
    s->dest.host_count = 1;
    s->dest.targets = &s->target;
    s->dest.target_count = 1;
    put(s->mx, sizeof(s->mx), "*.example");
    s->list[0] = s->mx;
    s->held.held = (struct sts_held){
        .policy = true,
        .id = "old",
        .mode = STS_ENFORCE,
        .fetched = NOW - 7200000,
        .expires = NOW - 1000,
    };
    s->held.policy = (struct sts_policy){STS_ENFORCE, 7199, s->list, 1, NULL};
    s->report = (struct domain_report){
        .settings = &s->settings,
        .dest = &s->dest,
        .held = &s->held,
        .dnssec = DNSSEC_TRUST_ON,
        .dnssec_detail = "",
        .now = NOW,
    };
    return s;
}

static void put_hostile(struct scene *s)
{
    s->dest.sts.trouble = REASON_STS_FETCH_FAILED;
    s->dest.sts.detail = s->dest.detail = hostile;
    s->host.why_skipped = s->host.dane.detail = hostile;
    s->host.demand.skip = s->dest.reason = REASON_STS_MX_NOT_LISTED;
    s->dest.target_count = 0;
    s->report.dnssec_detail = hostile;
}

/* Nothing of a peer's moves the cursor of a terminal (C-OPS-04). */
static void test_hostile_bytes_are_harmless(void **state)
{
    report_fn *const forms[] = {mta_sts_text, mta_sts_json, dane_text, dane_json};
    struct scene *s = scene_new();
    struct buf out;

    (void)state;
    put_hostile(s);
    buf_init(&out, 65536);
    for (size_t f = 0; f < COUNT(forms); f++) {
        forms[f](&s->report, &out);
        assert_true(out.n > 0);
        for (size_t i = 0; i < out.n; i++)
            assert_true(out.p[i] == '\n' || (out.p[i] >= 0x20 && out.p[i] < 0x7f));
        assert_non_null(strstr(buf_cstr(&out), " end"));
        buf_reset(&out);
    }
    buf_clear(&out);
    free(s);
}

static json_t *object_of(report_fn *form, const struct domain_report *r)
{
    struct buf out;
    json_t *o;

    buf_init(&out, 65536);
    form(r, &out);
    o = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
    buf_clear(&out);
    assert_true(json_is_object(o));
    return o;
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static void test_json_of_hostile_bytes(void **state)
{
    struct scene *s = scene_new();
    json_t *o;

    (void)state;
    put_hostile(s);
    o = object_of(mta_sts_json, &s->report);
    assert_string_equal(text_at(o, "sts_trouble_detail"),
                        "\x1b[2J\r\n\\xFF\\xC3\\xBC\\xE2\\x80\\xAE end");
    assert_string_equal(text_at(o, "sts_trouble"), "sts-fetch-failed");
    assert_string_equal(text_at(o, "status"), "deferred");
    assert_int_equal(json_integer_value(json_object_get(o, "code")), 451);
    json_decref(o);
    free(s);
}

/* Valid UTF-8 that turns the reading direction stays itself for a parser, and harmless for a terminal. */
static void test_marks_of_unicode(void **state)
{
    struct scene *s = scene_new();
    struct buf out;
    json_t *o;

    (void)state;
    s->report.dnssec_detail = "\xe2\x80\xae end";
    buf_init(&out, 65536);
    dane_json(&s->report, &out);
    assert_non_null(strstr(buf_cstr(&out), "\\u202E end"));
    buf_clear(&out);
    o = object_of(dane_json, &s->report);
    assert_string_equal(text_at(o, "dnssec_detail"), s->report.dnssec_detail);
    json_decref(o);
    free(s);
}

/* ---- what is shown ---- */

static void test_an_expired_policy_is_called_so(void **state)
{
    struct scene *s = scene_new();
    json_t *o = object_of(mta_sts_json, &s->report), *cache = json_object_get(o, "cache");
    struct buf out;

    (void)state;
    assert_string_equal(text_at(cache, "sts_id"), "old");
    assert_string_equal(text_at(cache, "sts_mode"), "enforce");
    assert_true(json_is_false(json_object_get(cache, "live")));
    assert_int_equal(json_integer_value(json_object_get(cache, "sts_age")), 7200);
    assert_string_equal(json_string_value(json_array_get(json_object_get(cache, "sts_mx"), 0)),
                        "*.example");
    json_decref(o);

    buf_init(&out, 65536);
    mta_sts_text(&s->report, &out);
    assert_non_null(strstr(buf_cstr(&out), "  EXPIRED "));
    buf_reset(&out);
    s->held.held.expires = NOW + 90000000;
    mta_sts_text(&s->report, &out);
    assert_null(strstr(buf_cstr(&out), "EXPIRED"));
    assert_non_null(strstr(buf_cstr(&out), "(for 1 d)"));
    buf_clear(&out);
    free(s);
}

static void test_records_of_any_length(void **state)
{
    static const char data[] = "\x00\xff\x10";
    struct tlsa_record records[] = {
        {3, 1, 1, {data, 3}, TLSA_BAD_LENGTH},
        {0, 0, 0, {NULL, 0}, TLSA_TRUNCATED},
    };
    struct scene *s = scene_new();
    json_t *o, *tlsa;

    (void)state;
    s->host.dane.state = DANE_UNUSABLE;
    s->host.dane.records = records;
    s->host.dane.record_count = COUNT(records);
    s->host.dane.base = "mx.example";
    o = object_of(dane_json, &s->report);
    tlsa = json_object_get(json_array_get(json_object_get(o, "hosts"), 0), "tlsa");
    assert_int_equal(json_array_size(tlsa), 2);
    assert_string_equal(text_at(json_array_get(tlsa, 0), "data"), "00ff10");
    assert_string_equal(text_at(json_array_get(tlsa, 1), "data"), "");
    assert_true(json_is_string(json_object_get(json_array_get(tlsa, 1), "data")));
    assert_true(text_at(json_array_get(tlsa, 1), "why")[0] != '\0');
    json_decref(o);
    free(s);
}

static void test_the_way_is_said(void **state)
{
    static const struct {
        enum tls_level level;
        unsigned needs;
        const char *words;
    } cases[] = {
        {LEVEL_NONE, 0, "mx.example first, in CLEAR TEXT"},
        {LEVEL_MAY, 0, "mx.example first, over TLS where it is offered, else in CLEAR TEXT"},
        {LEVEL_ENCRYPT, NEED_TLS, "mx.example first, over TLS, with any certificate"},
        {LEVEL_VERIFY, NEED_TLS | NEED_CHAIN | NEED_HOST,
         "mx.example first, over TLS, if the certificate holds (needs tls, chain, host)"},
    };
    struct scene *s = scene_new();
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    for (size_t i = 0; i < COUNT(cases); i++) {
        s->host.demand.level = cases[i].level;
        s->host.demand.needs = cases[i].needs;
        buf_reset(&out);
        report_verdict(&s->report, &out);
        assert_non_null(strstr(buf_cstr(&out), cases[i].words));
    }
    s->host.demand.observed = OBSERVED_DESTINATION;
    report_verdict(&s->report, &out);
    assert_non_null(strstr(buf_cstr(&out), "; policies are ONLY OBSERVED for 1 of 1"));
    buf_clear(&out);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_c_sts_05_policy_domain),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_hostile_bytes_are_harmless),
        cmocka_unit_test(test_json_of_hostile_bytes),
        cmocka_unit_test(test_marks_of_unicode),
        cmocka_unit_test(test_an_expired_policy_is_called_so),
        cmocka_unit_test(test_records_of_any_length),
        cmocka_unit_test(test_the_way_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
