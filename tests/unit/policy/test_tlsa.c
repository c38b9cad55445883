/* SPDX-License-Identifier: Apache-2.0 */
/* TLSA rdata of any length, and which records of a set count (C-DANE-04, C-DANE-06). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/tlsa.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define RDATA_MAX 300

/* "030101 aa*32" to bytes: hex pairs, and a pair repeated. */
static size_t parse(const char *text, char *out)
{
    size_t n = 0;

    while (*text != '\0') {
        char pair[3] = {text[0], text[1], '\0'}, *after;
        unsigned long times = 1, byte;

        if (*text == ' ') {
            text++;
            continue;
        }
        byte = strtoul(pair, &after, 16);
        assert_ptr_equal(after, pair + 2);
        text += 2;
        if (*text == '*') {
            times = strtoul(text + 1, &after, 10);
            text = after;
        }
        for (; times > 0; times--) {
            assert_true(n < RDATA_MAX);
            out[n++] = (char)byte;
        }
    }
    return n;
}

static const struct {
    const char *rdata;
    enum tlsa_usability want;
} records[] = {
    /* too short: RFC 6698 2.1 wants four bytes, whatever they say */
    {"", TLSA_TRUNCATED},
    {"03", TLSA_TRUNCATED},
    {"00", TLSA_TRUNCATED},
    {"ff", TLSA_TRUNCATED},
    {"0301", TLSA_TRUNCATED},
    {"030101", TLSA_TRUNCATED},
    {"030100", TLSA_TRUNCATED},
    {"040909", TLSA_TRUNCATED},
    /* digests have one length */
    {"030101 aa*32", TLSA_USABLE},
    {"030001 aa*32", TLSA_USABLE},
    {"020101 aa*32", TLSA_USABLE},
    {"020001 00*32", TLSA_USABLE},
    {"030102 aa*64", TLSA_USABLE},
    {"020002 aa*64", TLSA_USABLE},
    {"030101 aa", TLSA_BAD_LENGTH},
    {"030101 aa*16", TLSA_BAD_LENGTH},
    {"030101 aa*31", TLSA_BAD_LENGTH},
    {"030101 aa*33", TLSA_BAD_LENGTH},
    {"030101 aa*64", TLSA_BAD_LENGTH},
    {"030102 aa*32", TLSA_BAD_LENGTH},
    {"030102 aa*63", TLSA_BAD_LENGTH},
    {"030102 aa*65", TLSA_BAD_LENGTH},
    /* for SMTP, usages 2 and 3 (RFC 7672 3.1.3) */
    {"000101 aa*32", TLSA_PKIX_USAGE},
    {"010101 aa*32", TLSA_PKIX_USAGE},
    {"010909 aa*32", TLSA_PKIX_USAGE},
    {"040101 aa*32", TLSA_BAD_USAGE},
    {"ff0101 aa*32", TLSA_BAD_USAGE},
    {"030201 aa*32", TLSA_BAD_SELECTOR},
    {"02ff01 aa*32", TLSA_BAD_SELECTOR},
    {"030103 aa*32", TLSA_BAD_MATCHING},
    {"0201ff aa*32", TLSA_BAD_MATCHING},
    /* whole certificate: SEQUENCE of SEQUENCE, SEQUENCE, BIT STRING */
    {"030000 30 06 3000 3000 0300", TLSA_USABLE},
    {"020000 30 08 30020500 3000 0300", TLSA_USABLE},
    {"030000 30 81 06 3000 3000 0300", TLSA_USABLE},
    {"030000 30 82 0006 3000 3000 0300", TLSA_USABLE},
    {"030000 30 84 00000006 3000 3000 0300", TLSA_USABLE},
    {"030000 30 81 84 30 80 00*128 3000 0300", TLSA_BAD_LENGTH}, /* indefinite inside */
    {"030000 30 81 88 30 81 81 00*129 3000 0300", TLSA_USABLE},
    {"030000 30 80 3000 3000 0300", TLSA_BAD_LENGTH}, /* indefinite length is not DER */
    {"030000 30 85 0000000006 3000 3000 0300", TLSA_BAD_LENGTH},
    {"030000 30 84 ffffffff 3000 3000 0300", TLSA_BAD_LENGTH},
    {"030000 30 81", TLSA_BAD_LENGTH},
    {"030000 30", TLSA_BAD_LENGTH},
    {"030000 00", TLSA_BAD_LENGTH},
    {"030000 30 05 3000 3000 0300", TLSA_BAD_LENGTH}, /* one byte behind */
    {"030000 30 07 3000 3000 0300", TLSA_BAD_LENGTH}, /* one byte missing */
    {"030000 30 06 3000 3000 0300 00", TLSA_BAD_LENGTH},
    {"030000 31 06 3000 3000 0300", TLSA_BAD_LENGTH},
    {"030000 30 04 3000 0300", TLSA_BAD_LENGTH}, /* that is a key */
    {"030000 30 08 3000 3000 0300 0500", TLSA_BAD_LENGTH},
    {"030000 aa*32", TLSA_BAD_LENGTH},
    /* whole public key: SEQUENCE of SEQUENCE, BIT STRING */
    {"030100 30 04 3000 0300", TLSA_USABLE},
    {"020100 30 04 3000 0300", TLSA_USABLE},
    {"020100 30 06 3000 3000 0300", TLSA_BAD_LENGTH}, /* that is a certificate */
    {"020100 30 00", TLSA_BAD_LENGTH},
};

static void c_dane_04_usability_of_rdata(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(records); i++) {
        char bytes[RDATA_MAX];
        size_t n = parse(records[i].rdata, bytes);
        char *exact = malloc(n + 1); /* so that a sanitizer sees a read behind the end */
        struct tlsa_record r;

        assert_non_null(exact);
        exact = realloc(exact, n > 0 ? n : 1);
        assert_non_null(exact);
        if (n > 0)
            memcpy(exact, bytes, n);
        tlsa_read(slice_of(exact, n), &r);
        if (r.usability != records[i].want)
            fail_msg("%s: wanted \"%s\", got \"%s\"", records[i].rdata,
                     tlsa_usability_text(records[i].want), tlsa_usability_text(r.usability));
        if (n >= 4)
            assert_true(r.data.p == exact + 3 && r.data.n == n - 3);
        else
            assert_true(r.data.n == 0);
        free(exact);
    }
}

static void c_dane_04_a_digest_of_any_other_length_is_unusable(void **state)
{
    char bytes[RDATA_MAX] = {3, 1, 0};
    struct tlsa_record r;

    (void)state;
    for (bytes[2] = 1; bytes[2] <= 2; bytes[2]++) {
        for (size_t n = 0; n < sizeof(bytes); n++) {
            bool right = n == 3u + 32u * (size_t)bytes[2];

            tlsa_read(slice_of(bytes, n), &r);
            assert_int_equal(r.usability == TLSA_USABLE, right);
        }
    }
    tlsa_read(SLICE_NONE, &r);
    assert_int_equal(r.usability, TLSA_TRUNCATED);
}

/* One letter per record: U usable, w weaker, - anything else. */
static const struct {
    const char *name, *set[6], *want;
} sets[] = {
    {"empty", {NULL}, ""},
    {"one", {"030101 aa*32"}, "U"},
    {"the same digest twice", {"030101 aa*32", "030101 bb*32"}, "UU"},
    {"SHA-512 beats SHA-256", {"030101 aa*32", "030102 bb*64"}, "wU"},
    {"in any order", {"030102 bb*64", "030101 aa*32", "030101 cc*32"}, "Uww"},
    {"per usage", {"030101 aa*32", "020102 bb*64"}, "UU"},
    {"per selector", {"030101 aa*32", "030002 bb*64"}, "UU"},
    {"per usage and selector",
     {"020001 aa*32", "030101 aa*32", "020002 aa*64", "030002 aa*64"},
     "wUUU"},
    {"an unusable strong one beats nobody", {"030101 aa*32", "030102 bb*63"}, "U-"},
    {"nor does one of usage 1", {"030101 aa*32", "010102 bb*64"}, "U-"},
    {"nor an unknown matching type", {"030101 aa*32", "030103 bb*64"}, "U-"},
    {"Full(0) is no digest: it stays", {"030100 30043000 0300", "030102 bb*64"}, "UU"},
    {"and beats none", {"030100 30043000 0300", "030101 bb*32"}, "UU"},
    {"all three", {"030101 aa*32", "030100 30043000 0300", "030102 bb*64"}, "wUU"},
    {"none is usable", {"", "03", "000101 aa*32", "040101 aa*32"}, "----"},
};

static void c_dane_06_only_the_strongest_digest_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sets); i++) {
        char bytes[6][RDATA_MAX], got[7] = "";
        struct slice rdata[6];
        struct tlsa_record out[6];
        size_t n = 0, usable, counted = 0;

        for (; n < 6 && sets[i].set[n] != NULL; n++)
            rdata[n] = slice_of(bytes[n], parse(sets[i].set[n], bytes[n]));
        usable = tlsa_read_all(rdata, n, out);
        for (size_t k = 0; k < n; k++) {
            got[k] = out[k].usability == TLSA_USABLE   ? 'U'
                     : out[k].usability == TLSA_WEAKER ? 'w'
                                                       : '-';
            counted += out[k].usability == TLSA_USABLE;
            if (rdata[k].n > 3) /* the order is kept */
                assert_ptr_equal(out[k].data.p, bytes[k] + 3);
        }
        if (strcmp(got, sets[i].want) != 0)
            fail_msg("%s: wanted %s, got %s", sets[i].name, sets[i].want, got);
        assert_int_equal(usable, counted);
    }
}

static void texts(void **state)
{
    static const struct {
        const char *rdata, *want;
    } cases[] = {
        {"", "0 0 0"},
        {"03", "3 0 0"},
        {"030101", "3 1 1"},
        {"030101 0a", "3 1 1 0a"},
        {"030101 0123456789abcdef", "3 1 1 0123456789abcdef"},
        {"030101 0123456789abcdef 00*24", "3 1 1 0123456789abcdef..."},
        {"ffffff 00", "255 255 255 00"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char bytes[RDATA_MAX];
        struct tlsa_record r;
        struct buf text;

        buf_init(&text, 100);
        tlsa_read(slice_of(bytes, parse(cases[i].rdata, bytes)), &r);
        tlsa_text(&r, &text);
        assert_string_equal(buf_cstr(&text), cases[i].want);
        buf_clear(&text);
    }
    for (int u = TLSA_USABLE; u <= TLSA_WEAKER; u++)
        assert_true(tlsa_usability_text((enum tlsa_usability)u)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_dane_04_usability_of_rdata),
        cmocka_unit_test(c_dane_04_a_digest_of_any_other_length_is_unusable),
        cmocka_unit_test(c_dane_06_only_the_strongest_digest_counts),
        cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
