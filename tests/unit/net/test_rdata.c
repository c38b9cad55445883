/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdata - names, addresses, MX and TXT data, CNAMEs counted; every truncation of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/rdata_internal.h"

#define BYTES(lit)             \
    {                          \
        (lit), sizeof(lit) - 1 \
    }
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void names(void **state)
{
    static const struct {
        struct slice wire;
        bool ok;
        const char *text;
        size_t used;
    } cases[] = {
        {BYTES("\0"), true, "", 1},
        {BYTES("\3MX1\7Example\0"), true, "mx1.example", 13},
        {BYTES("\10_mta-sts\1a\0tail"), true, "_mta-sts.a", 12},
        {BYTES("\77" L63 "\77" L63 "\77" L63 "\75"
               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\0"),
         true, NULL, 255},
        {BYTES("\77" L63 "\77" L63 "\77" L63 "\76"
               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\0"),
         false, NULL, 0},
        {BYTES("\100aaaa\0"), false, NULL, 0},
        {BYTES("\300\014"), false, NULL, 0}, /* a pointer: nothing to point into */
        {BYTES("\3a.b\0"), false, NULL, 0},  /* a dot inside a label is no other name */
        {BYTES("\3a\0b\0"), false, NULL, 0}, /* NUL */
        {BYTES("\3a b\0"), false, NULL, 0},
        {BYTES("\3a\\b\0"), false, NULL, 0},
        {BYTES("\3a\rb\0"), false, NULL, 0},
        {BYTES("\3a\xc3\xa4\0"), false, NULL, 0},
    };
    char out[DNS_NAME_MAX];
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (rdata_name(cases[i].wire, out, &used) != cases[i].ok)
            fail_msg("case %zu", i);
        if (!cases[i].ok)
            continue;
        assert_int_equal(used, cases[i].used);
        if (cases[i].text != NULL)
            assert_string_equal(out, cases[i].text);
        else
            assert_int_equal(strlen(out), 253);
        for (size_t cut = 0; cut < cases[i].used; cut++) {
            char *exact = malloc(cut > 0 ? cut : 1); /* its end is guarded under ASan */

            memcpy(exact, cases[i].wire.p, cut);
            assert_false(rdata_name(slice_of(exact, cut), out, &used));
            free(exact);
        }
    }
}

static void mx(void **state)
{
    static const struct {
        struct slice rdata;
        bool ok;
        unsigned preference;
        const char *host;
    } cases[] = {
        {BYTES("\0\12\2mx\4test\0"), true, 10, "mx.test"},
        {BYTES("\0\0\0"), true, 0, ""}, /* null MX */
        {BYTES("\377\377\2mx\0"), true, 65535, "mx"},
        {BYTES("\0\12\2mx\0x"), false, 0, NULL}, /* something behind it */
        {BYTES("\0\12"), false, 0, NULL},
        {BYTES("\0"), false, 0, NULL},
        {BYTES(""), false, 0, NULL},
    };
    struct mx_record out;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (rdata_mx(cases[i].rdata, &out) != cases[i].ok)
            fail_msg("case %zu", i);
        if (cases[i].ok) {
            assert_int_equal(out.preference, cases[i].preference);
            assert_string_equal(out.host, cases[i].host);
        }
    }
}

static void addresses(void **state)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;

    (void)state;
    assert_true(rdata_address(SLICE("\300\0\2\1"), &a));
    assert_string_equal(addr_text(&a, text), "192.0.2.1");
    assert_int_equal(a.port, 0);
    assert_true(rdata_address(SLICE("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), &a));
    assert_string_equal(addr_text(&a, text), "2001:db8::1");
    for (size_t n = 0; n < 20; n++)
        if (n != 4 && n != 16)
            assert_false(rdata_address(slice_of("aaaaaaaaaaaaaaaaaaaa", n), &a));
}

static void texts(void **state)
{
    (void)state;
    assert_true(rdata_txt_ok(SLICE("\3abc")));
    assert_true(rdata_txt_ok(SLICE("\0")));
    assert_true(rdata_txt_ok(SLICE("\1a\0\2bc")));
    assert_false(rdata_txt_ok(SLICE("")));
    assert_false(rdata_txt_ok(SLICE("\4abc")));
    assert_false(rdata_txt_ok(SLICE("\2abc")));
}

static void cnames(void **state)
{
    /* a. CNAME b. ; (pointer) CNAME c. ; c. A */
    static const char message[] = "\0\0\201\200\0\1\0\3\0\0\0\0"
                                  "\1a\0\0\1\0\1"
                                  "\300\014\0\5\0\1\0\0\0\1\0\3\1b\0"
                                  "\300\037\0\5\0\1\0\0\0\1\0\3\1c\0"
                                  "\1c\0\0\1\0\1\0\0\0\1\0\4\1\2\3\4";
    size_t whole = sizeof(message) - 1;

    (void)state;
    assert_int_equal(rdata_count_cnames(slice_of(message, whole)), 2);
    for (size_t cut = 0; cut < whole; cut++) {
        char *exact = malloc(cut > 0 ? cut : 1);

        memcpy(exact, message, cut);
        assert_int_equal(rdata_count_cnames(slice_of(exact, cut)), -1);
        free(exact);
    }
    assert_int_equal(rdata_count_cnames(SLICE("\0\0\201\200\0\0\0\0\0\0\0\0")), 0);
    assert_int_equal(rdata_count_cnames(SLICE("\0\0\201\200\0\1\0\0\0\0\0\0\200\0\0\1\0\1")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(mx),     cmocka_unit_test(addresses),
        cmocka_unit_test(texts), cmocka_unit_test(cnames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
