/* SPDX-License-Identifier: Apache-2.0 */
/* test_resolver_types - the records that policies are made of: CNAME itself, TXT whole, TLSA untouched. */
#include "tests/unit/net/dns_peer.h"

#include "proxy/net/resolver.h"

#define S62 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define S248 S62 S62 S62 S62

static struct dns_row rows[] = {
    {.name = "mx1.mail.lab", .type = DNS_A, .rdata = {{"\300\0\2\1", 4}}},
    {.name = "alias.lab", .mood = DNS_ALIAS, .rdata = {{"Second.lab", 10}}},
    {.name = "second.lab", .mood = DNS_ALIAS, .rdata = {{"mx1.mail.lab", 12}}},
    {.name = "dangling.lab", .mood = DNS_ALIAS, .rdata = {{"nowhere.lab", 11}}},
    {.name = "odd.lab", .mood = DNS_ALIAS, .rdata = {{"a b.lab", 7}}},
    {.name = "two.lab", .type = DNS_CNAME, .rdata = {{"\1a\3lab\0", 7}, {"\1b\3lab\0", 7}}},
    {.name = "closed.lab", .mood = DNS_SERVFAIL},
    {.name = "_mta-sts.txt.lab",
     .type = DNS_TXT,
     .rdata = {{"\10v=STSv1;\0\4 id=\2"
                "12",
                18},
               {"\370" S248, 249},
               {"\4abc", 4}}},
    {.name = "_25._tcp.tlsa.lab",
     .type = DNS_TLSA,
     .rdata = {{"\3", 1}, {"\3\1", 2}, {"\3\1\1", 3}}},
    {.name = "_25._tcp.full.lab",
     .type = DNS_TLSA,
     .rdata = {{"\3\1\1\0\r\n\377"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                35},
               {"\377\376\375\374", 4}}},
    {.name = "_25._tcp.empty.lab", .type = DNS_TLSA, .rdata = {{"\3\1\1", 3}, {"", 0}}},
};

struct scene {
    struct loop *loop;
    struct dns_peer peer;
    struct resolver *resolver;
    const struct dns_answer *answer;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    struct buf error;

    assert_non_null(s);
    s->loop = loop_new();
    dns_start(&s->peer, rows, sizeof(rows) / sizeof(rows[0]));
    buf_init(&error, 500);
    s->resolver = resolver_new(s->loop,
                               &(struct resolver_params){
                                   .stubs = &(struct dns_stub){"lab", s->peer.at},
                                   .stub_count = 1,
                                   .trust_anchor = "",
                                   .timeout = 4000,
                               },
                               &error);
    assert_non_null(s->resolver);
    buf_clear(&error);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    resolver_free(&s->resolver);
    loop_free(&s->loop);
    dns_stop(&s->peer);
    free(s);
    return 0;
}

static void on_done(void *owner, const struct dns_answer *a)
{
    struct scene *s = owner;

    s->answer = dns_answer_hold(a);
}

/* The answer is dropped by the caller. */
static const struct dns_answer *resolve(struct scene *s, const char *name, enum dns_type type)
{
    s->answer = NULL;
    (void)dns_ask(s->resolver, name, type, on_done, s);
    RIG_UNTIL(s->loop, s->answer != NULL);
    return s->answer;
}

/* C-DANE-03: the step by which an alias is followed, asked for by itself. */
static void a_cname_is_not_followed(void **state)
{
    static const struct {
        const char *name;
        enum dns_status want;
        const char *target, *detail;
    } cases[] = {
        {"alias.lab", DNS_OK, "second.lab", ""}, /* one step, not to the end; lower case */
        {"second.lab", DNS_OK, "mx1.mail.lab", ""},
        {"dangling.lab", DNS_OK, "nowhere.lab", ""}, /* whether the target exists is not asked */
        {"mx1.mail.lab", DNS_NODATA, "mx1.mail.lab", ""},
        {"missing.lab", DNS_NXDOMAIN, "missing.lab", ""},
        {"closed.lab", DNS_FAILED, "closed.lab", "SERVFAIL"},
        {"odd.lab", DNS_FAILED, "odd.lab", "malformed"},
        {"two.lab", DNS_OK, NULL, ""}, /* RFC 2181 10.1: libunbound takes one of them */
    };
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dns_answer *a = resolve(s, cases[i].name, DNS_CNAME);

        if (a->status != cases[i].want || strstr(a->detail, cases[i].detail) == NULL)
            fail_msg("%s: wanted %s, got %s (%s)", cases[i].name, dns_status_name(cases[i].want),
                     dns_status_name(a->status), a->detail);
        if (cases[i].target != NULL && strcmp(a->canonical, cases[i].target) != 0)
            fail_msg("%s: target %s", cases[i].name, a->canonical);
        assert_string_equal(a->name, cases[i].name);
        assert_int_equal(a->count, a->status == DNS_OK ? 1 : 0);
        assert_false(a->secure);
        dns_answer_drop(&a);
    }
}

static void a_cname_has_its_rdata_and_ttl(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "second.lab", DNS_CNAME);

    assert_int_equal(a->count, 1);
    assert_int_equal(a->rdata[0].n, 14);
    assert_memory_equal(a->rdata[0].p, "\3mx1\4mail\3lab\0", 14);
    assert_true(a->ttl > 0 && a->ttl <= 60);
    dns_answer_drop(&a);
    a = resolve(s, "alias.lab", DNS_A); /* and other questions still follow it */
    assert_int_equal(a->status, DNS_OK);
    assert_string_equal(a->canonical, "mx1.mail.lab");
    dns_answer_drop(&a);
}

/* The records of an answer, whatever their order. */
static bool has(const struct dns_answer *a, struct slice rdata)
{
    for (size_t i = 0; i < a->count; i++)
        if (slice_eq(a->rdata[i], rdata))
            return true;
    return false;
}

/* C-STS-01: a record of several strings is whole; one whose strings do not fill it is none. */
static void texts_are_whole(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "_mta-sts.txt.lab", DNS_TXT);

    assert_int_equal(a->status, DNS_OK);
    assert_true(has(a, rows[7].rdata[0]));
    assert_true(has(a, rows[7].rdata[1]));
    assert_int_equal(a->count, 2);
    assert_int_equal(a->malformed, 1);
    dns_answer_drop(&a);
}

/* C-DANE-04: rdata of any length arrives as it is; what is usable is policy's to say. */
static void tlsa_is_untouched(void **state)
{
    static const char *const names[] = {"_25._tcp.tlsa.lab", "_25._tcp.full.lab"};
    struct scene *s = *state;

    for (size_t i = 0; i < 2; i++) {
        const struct dns_answer *a = resolve(s, names[i], DNS_TLSA);
        const struct dns_row *row = &rows[8 + i];
        size_t n = 0;

        if (a->status != DNS_OK)
            fail_msg("%s: %s (%s)", names[i], dns_status_name(a->status), a->detail);
        for (; n < 4 && row->rdata[n].p != NULL; n++)
            if (!has(a, row->rdata[n]))
                fail_msg("%s: record %zu", names[i], n);
        assert_int_equal(a->count, n);
        assert_int_equal(a->malformed, 0);
        dns_answer_drop(&a);
    }
}

/* C-DANE-02: libunbound refuses an answer with an empty record as a whole; that is no "no data". */
static void an_empty_tlsa_record_is_a_failure(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "_25._tcp.empty.lab", DNS_TLSA);

    assert_int_equal(a->status, DNS_FAILED);
    assert_string_equal(a->detail, "SERVFAIL");
    dns_answer_drop(&a);
}

/* A denial has a lifetime too: the SOA's minimum (RFC 2308 5), here one second. */
static void denials_have_a_ttl(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "_25._tcp.mx1.mail.lab", DNS_TLSA);

    assert_int_equal(a->status, DNS_NXDOMAIN);
    assert_false(a->secure);
    assert_int_equal(a->ttl, 1);
    dns_answer_drop(&a);
    a = resolve(s, "mx1.mail.lab", DNS_TLSA);
    assert_int_equal(a->status, DNS_NODATA);
    assert_false(a->secure);
    assert_int_equal(a->ttl, 1);
    dns_answer_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cname_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cname_has_its_rdata_and_ttl, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_are_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(tlsa_is_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_tlsa_record_is_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(denials_have_a_ttl, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
