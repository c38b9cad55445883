/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of MTA-STS: record, discovery, patterns, media type (RFC 8461). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"
#include "proxy/policy/mtasts.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ID32 "abcdefghijklmnopABCDEFGHIJ012345"
#define NAME32 "n234567890123456789012345678901."

/* "name=value|", one after the other */
static void note(void *ctx, struct slice name, struct slice value)
{
    assert_true(buf_addf(ctx, "%.*s=%.*s|", SLICE_ARG(name), SLICE_ARG(value)));
}

static void c_sts_02_records(void **state)
{
    static const struct {
        const char *txt, *id, *extensions; /* id NULL: refused */
    } cases[] = {
        {"v=STSv1;id=1", "1", ""},
        {"v=STSv1; id=20260131T0900;", "20260131T0900", ""},
        {"v=STSv1\t ;\t id=Ab9 \t; ", "Ab9", ""},
        {"v=STSv1; id=" ID32, ID32, ""},
        {"v=STSv1; id=x; a=b; A.b-c_d=#@:~,/", "x", "a=b|A.b-c_d=#@:~,/|"},
        {"v=STSv1; first=1; id=x;", "x", "first=1|"},
        {"v=STSv1; " NAME32 "=1; id=x", "x", NAME32 "=1|"},
        {"v=STSv1; id=x; ID=y; Id=z", "x", "ID=y|Id=z|"}, /* names have a case (RFC 7405) */
        {"v=STSv1; id=x; id=y", "x", ""},                 /* the first wins, ... */
        {"v=STSv1; id=x; id=no-id", "x", ""},             /* ... whatever the others say */
        {"v=STSv1; v=STSv2; id=x", "x", ""},
        {"v=STSv1; e=1; e=2; id=x", "x", "e=1|e=2|"},
        /* the version */
        {"", NULL, NULL},
        {"v=STSv1", NULL, NULL},
        {"v=STSv1 id=x", NULL, NULL},
        {"v=STSv12; id=x", NULL, NULL},
        {"v=STSv2; id=x", NULL, NULL},
        {"V=STSv1; id=x", NULL, NULL},
        {"v=stsv1; id=x", NULL, NULL},
        {" v=STSv1; id=x", NULL, NULL},
        {"v =STSv1; id=x", NULL, NULL},
        {"id=x; v=STSv1;", NULL, NULL},
        {"\"v=STSv1; id=x\"", NULL, NULL},
        /* the id */
        {"v=STSv1;", NULL, NULL},
        {"v=STSv1; \t", NULL, NULL},
        {"v=STSv1; e=1", NULL, NULL},
        {"v=STSv1; id", NULL, NULL},
        {"v=STSv1; id=", NULL, NULL},
        {"v=STSv1; id=;", NULL, NULL},
        {"v=STSv1; id=; id=x", NULL, NULL},
        {"v=STSv1; id=" ID32 "6", NULL, NULL},
        {"v=STSv1; id=2026-01-31", NULL, NULL},
        {"v=STSv1; id=a b", NULL, NULL},
        {"v=STSv1; id=\xc3\xa9", NULL, NULL},
        {"v=STSv1; id= x", NULL, NULL},
        {"v=STSv1; id =x", NULL, NULL},
        {"v=STSv1; id=no-id; id=x", NULL, NULL},
        {"v=STSv1; ID=x", NULL, NULL},
        /* the other fields */
        {"v=STSv1; id=x; e", NULL, NULL},
        {"v=STSv1; id=x; e=", NULL, NULL},
        {"v=STSv1; id=x; =1", NULL, NULL},
        {"v=STSv1; id=x; e=1=2", NULL, NULL},
        {"v=STSv1; id=x; e=a b", NULL, NULL},
        {"v=STSv1; id=x; e=\x7f", NULL, NULL},
        {"v=STSv1; id=x; e=\x01", NULL, NULL},
        {"v=STSv1; id=x; e=\xc3\xa9", NULL, NULL},
        {"v=STSv1; id=x; _e=1", NULL, NULL},
        {"v=STSv1; id=x; -e=1", NULL, NULL},
        {"v=STSv1; id=x; .e=1", NULL, NULL},
        {"v=STSv1; id=x; e!=1", NULL, NULL},
        {"v=STSv1; id=x; " NAME32 "3=1", NULL, NULL},
        {"v=STSv1; id=x; id=", NULL, NULL}, /* ignored, but no field */
        /* delimiters */
        {"v=STSv1;; id=x", NULL, NULL},
        {"v=STSv1; id=x;;", NULL, NULL},
        {"v=STSv1; id=x; ;", NULL, NULL},
        {"v=STSv1; id=x;; e=1", NULL, NULL},
        {"v=STSv1; id=x ", NULL, NULL},
        {"v=STSv1; id=x\n", NULL, NULL},
        {"v=STSv1; id=x, e=1", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sts_record r = {.id = "before"};
        const char *why = "before";
        struct buf extensions;
        bool ok;

        buf_init(&extensions, 1000);
        ok = sts_record_parse(slice_str(cases[i].txt), &r, &why, note, &extensions);
        if (ok != (cases[i].id != NULL))
            fail_msg("\"%s\": %s", cases[i].txt, why != NULL ? why : "accepted");
        assert_true(ok == (why == NULL));
        assert_string_equal(r.id, ok ? cases[i].id : "");
        if (ok)
            assert_string_equal(buf_cstr(&extensions), cases[i].extensions);
        assert_true(sts_record_parse(slice_str(cases[i].txt), &r, &why, NULL, NULL) == ok);
        buf_clear(&extensions);
    }
}

static void c_sts_02_a_nul_is_no_end(void **state)
{
    struct sts_record r;
    const char *why;

    (void)state;
    assert_false(sts_record_parse(SLICE("v=STSv1; id=x\0"), &r, &why, NULL, NULL));
    assert_false(sts_record_parse(SLICE("v=STSv1; id=x\0; id=y"), &r, &why, NULL, NULL));
    assert_false(sts_record_parse(SLICE("v=STSv1; id=x; e=\0a"), &r, &why, NULL, NULL));
    assert_false(sts_record_parse(SLICE_NONE, &r, &why, NULL, NULL));
}

static void c_sts_01_discovery(void **state)
{
#define GOOD SLICE("\x0cv=STSv1;id=1")
#define OTHER SLICE("\x0cv=STSv1;id=2")
#define BROKEN SLICE("\x07v=STSv1\x06;id=--")
    static const struct {
        struct slice rdata[4];
        size_t count;
        enum sts_txt want;
        const char *id;
    } cases[] = {
        {{SLICE_NONE}, 0, STS_TXT_ABSENT, ""},
        {{GOOD}, 1, STS_TXT_RECORD, "1"},
        {{SLICE("\x04v=ST\x00\x05Sv1;i\x04"
                "d=12")},
         1,
         STS_TXT_RECORD,
         "12"},
        {{SLICE("\x07v=STSv1\x02; \x05id=ab")}, 1, STS_TXT_RECORD, "ab"},
        {{SLICE("\x07v=STSv1\x08 \t;id=ab")}, 1, STS_TXT_RECORD, "ab"},
        {{SLICE("\x0bv=spf1 -all"), GOOD, SLICE("\x01x")}, 3, STS_TXT_RECORD, "1"},
        /* None of these begins with v=STSv1;: dropped before they are counted. */
        {{SLICE("\x0dv=STSv10;id=2"), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE("\x07v=STSv1"), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE("\x0dV=STSv1; id=2"), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE("\x0e v=STSv1; id=2"), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE(""), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE("\x00"), GOOD}, 2, STS_TXT_RECORD, "1"},
        {{SLICE("\x0ev=STSv1;id=2"), GOOD}, 2, STS_TXT_RECORD, "1"}, /* one byte short */
        {{SLICE("\x07v=STSv1"), SLICE("\x0fv=TLSRPTv1;rua="), SLICE("\x00")},
         3,
         STS_TXT_ABSENT,
         ""},
        /* Not exactly one. */
        {{GOOD, GOOD}, 2, STS_TXT_SEVERAL, ""},
        {{GOOD, OTHER}, 2, STS_TXT_SEVERAL, ""},
        {{OTHER, SLICE("\x01x"), GOOD}, 3, STS_TXT_SEVERAL, ""},
        {{GOOD, BROKEN}, 2, STS_TXT_SEVERAL, ""},
        {{BROKEN, GOOD}, 2, STS_TXT_SEVERAL, ""},
        {{BROKEN, BROKEN}, 2, STS_TXT_SEVERAL, ""},
        {{GOOD, OTHER, GOOD, BROKEN}, 4, STS_TXT_SEVERAL, ""},
        {{BROKEN}, 1, STS_TXT_BROKEN, ""},
        {{SLICE("\x01x"), BROKEN}, 2, STS_TXT_BROKEN, ""},
        {{SLICE("\x08v=STSv1;")}, 1, STS_TXT_BROKEN, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sts_record r = {.id = "before"};
        const char *why = "before";
        enum sts_txt got = sts_discover(cases[i].rdata, cases[i].count, &r, &why);

        if (got != cases[i].want)
            fail_msg("case %zu: %d, %s", i, (int)got, why);
        assert_string_equal(r.id, cases[i].id);
        assert_true((why == NULL) == (got == STS_TXT_RECORD));
    }
#undef GOOD
#undef OTHER
#undef BROKEN
}

/* Cut into strings at any place, a record stays the same (RFC 8461 3.1: "without adding spaces"). */
static void c_sts_01_strings_are_joined(void **state)
{
    static const char txt[] = "v=STSv1 ; id=20260131; more=things";
    size_t n = sizeof(txt) - 1;

    (void)state;
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            char wire[sizeof(txt) + 4];
            struct slice rdata;
            struct sts_record r;
            const char *why;

            (void)snprintf(wire, sizeof(wire), "%c%.*s%c%.*s%c%s", (int)a, (int)a, txt,
                           (int)(b - a), (int)(b - a), txt + a, (int)(n - b), txt + b);
            rdata = slice_of(wire, n + 3);
            assert_int_equal(sts_discover(&rdata, 1, &r, &why), STS_TXT_RECORD);
            assert_string_equal(r.id, "20260131");
        }
    }
}

/* The largest rdata that DNS can carry: 255 strings of 255 bytes and one more. */
static void c_sts_01_a_large_record(void **state)
{
    static const char begin[] = "v=STSv1; id=1; e=";
    static char wire[65535];
    struct slice rdata = slice_of(wire, sizeof(wire));
    struct sts_record r;
    const char *why;

    (void)state;
    memset(wire, 'a', sizeof(wire));
    for (size_t at = 0; at < sizeof(wire); at += 256)
        wire[at] = (char)(sizeof(wire) - at > 255 ? 255 : sizeof(wire) - at - 1);
    memcpy(wire + 1, begin, sizeof(begin) - 1);
    assert_int_equal(sts_discover(&rdata, 1, &r, &why), STS_TXT_RECORD);
    assert_string_equal(r.id, "1");
}

static void c_sts_10_patterns(void **state)
{
    static const struct {
        const char *pattern, *host;
        bool want;
    } cases[] = {
        {"mx.example.com", "mx.example.com", true},
        {"MX.Example.com", "mx.example.com", true},
        {"mx.example.com", "MX.EXAMPLE.COM", true},
        {"mx.example.com", "mx2.example.com", false},
        {"mx.example.com", "a.mx.example.com", false},
        {"mx.example.com", "example.com", false},
        {"mx.example.com", "mx.example.co", false},
        {"mx.example.com", "xmx.example.com", false},
        {"*.example.com", "mx.example.com", true},
        {"*.EXAMPLE.com", "mx.example.com", true},
        {"*.example.com", "xn--mx-ija.example.com", true},
        {"*.example.com", "_mx.example.com", true}, /* the label may be any */
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.example.com", "a.b.example.com", false},
        {"*.example.com", "mx.example.net", false},
        {"*.example.com", "mxexample.com", false},
        {"*.com", "example.com", true},
        {"*.com", "mx.example.com", false},
        {"xn--mx-ija.example", "xn--mx-ija.example", true},
        {"m\xc3\xb8x.example", "m\xc3\xb8x.example", false}, /* a U-label matches nothing */
        {"*.m\xc3\xb8x.example", "a.m\xc3\xb8x.example", false},
        {"*", "mx", false},
        {"*", "", false},
        {"*.", "mx.", false},
        {"*.*.com", "a.*.com", false},
        {"a.*.com", "a.b.com", false},
        {"a*.com", "ab.com", false},
        {"**.com", "ab.com", false},
        {"mx.example.com.", "mx.example.com", false}, /* no pattern by the grammar */
        {"mx.example.com", "mx.example.com.", false}, /* not normalised */
        {"", "", false},
        {"", "mx", false},
        {".example.com", "mx.example.com", false},
    };
    static const char body[] =
        "version: STSv1\nmode: enforce\nmx: mx.example.com\nmx: *.Example.NET\nmax_age: 864000\n";
    struct sts_policy p;
    const char *why;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (sts_mx_match(slice_str(cases[i].pattern), slice_str(cases[i].host)) != cases[i].want)
            fail_msg("%s and %s", cases[i].pattern, cases[i].host);
    assert_false(sts_mx_match(SLICE("*.example.com"), SLICE_NONE));
    assert_false(sts_mx_match(SLICE("mx.example.com"), SLICE("mx.example.com\0.evil")));

    assert_true(sts_policy_parse(slice_of(body, sizeof(body) - 1), &p, &why, NULL, NULL));
    assert_true(sts_policy_lists(&p, SLICE("mx.example.com")));
    assert_true(sts_policy_lists(&p, SLICE("any.example.net")));
    assert_false(sts_policy_lists(&p, SLICE("mx2.example.com")));
    assert_false(sts_policy_lists(&p, SLICE("example.net")));
    sts_policy_clear(&p);
    assert_false(sts_policy_lists(&p, SLICE("mx.example.com")));
}

static void c_sts_04_media_types(void **state)
{
    static const struct {
        const char *value;
        enum sts_media want;
    } cases[] = {
        {"text/plain", STS_MEDIA_PLAIN},
        {"TEXT/Plain", STS_MEDIA_PLAIN},
        {"  text/plain\t", STS_MEDIA_PLAIN},
        {"text/plain; charset=utf-8", STS_MEDIA_PLAIN},
        {"text/plain ;charset=\"us-ascii\" ; x=y", STS_MEDIA_PLAIN},
        {"text/plain;", STS_MEDIA_PLAIN},
        {NULL, STS_MEDIA_MISSING},
        {"", STS_MEDIA_MISSING},
        {" \t", STS_MEDIA_MISSING},
        {"text/html", STS_MEDIA_OTHER},
        {"text/html; text/plain", STS_MEDIA_OTHER},
        {"text/plain, text/html", STS_MEDIA_OTHER},
        {"text/plainer", STS_MEDIA_OTHER},
        {"text/plain charset=utf-8", STS_MEDIA_OTHER},
        {"text / plain", STS_MEDIA_OTHER},
        {"text/*", STS_MEDIA_OTHER},
        {"text", STS_MEDIA_OTHER},
        {"application/octet-stream", STS_MEDIA_OTHER},
        {";charset=utf-8", STS_MEDIA_OTHER},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (sts_media_type(slice_str(cases[i].value)) != cases[i].want)
            fail_msg("%s", cases[i].value);
    assert_int_equal(sts_media_type(SLICE("text/plain\0")), STS_MEDIA_OTHER);
}

static void modes_have_names(void **state)
{
    (void)state;
    assert_string_equal(sts_mode_name(STS_NONE), "none");
    assert_string_equal(sts_mode_name(STS_TESTING), "testing");
    assert_string_equal(sts_mode_name(STS_ENFORCE), "enforce");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_sts_02_records),        cmocka_unit_test(c_sts_02_a_nul_is_no_end),
        cmocka_unit_test(c_sts_01_discovery),      cmocka_unit_test(c_sts_01_strings_are_joined),
        cmocka_unit_test(c_sts_01_a_large_record), cmocka_unit_test(c_sts_10_patterns),
        cmocka_unit_test(c_sts_04_media_types),    cmocka_unit_test(modes_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
