/* SPDX-License-Identifier: Apache-2.0 */
/* The digest of a message: known answers, and that the pieces it comes in do not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "certs/digest.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void to_hex(const uint8_t digest[DIGEST_SIZE], char hex[2 * DIGEST_SIZE + 1])
{
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void digest_hex(struct slice in, size_t cut, char hex[2 * DIGEST_SIZE + 1])
{
    struct digest *d = digest_new();
    uint8_t out[DIGEST_SIZE];

    digest_feed(d, slice_first(in, cut));
    digest_feed(d, SLICE_NONE);
    digest_feed(d, slice_from(in, cut));
    digest_finish(d, out);
    digest_free(&d);
    assert_null(d);
    to_hex(out, hex);
}

/* FIPS 180-4, the examples of its annex and the empty message. */
static const struct {
    struct slice in;
    const char *want;
} cases[] = {
    {{"", 0}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {{"abc", 3}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56},
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void c_rcpt_06_known_answers_at_every_cut(void **state)
{
    char hex[2 * DIGEST_SIZE + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t cut = 0; cut <= cases[i].in.n; cut++) {
            digest_hex(cases[i].in, cut, hex);
            assert_string_equal(hex, cases[i].want);
        }
}

static void test_million_in_uneven_pieces(void **state)
{
    struct digest *d = digest_new();
    char piece[1000], hex[2 * DIGEST_SIZE + 1];
    uint8_t out[DIGEST_SIZE];
    size_t left = 1000000, n;

    (void)state;
    memset(piece, 'a', sizeof(piece));
    for (size_t i = 1; left > 0; i++, left -= n) {
        n = (i * 7919) % sizeof(piece);
        n = n < left ? n : left;
        digest_feed(d, slice_of(piece, n));
    }
    digest_finish(d, out);
    to_hex(out, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    digest_free(&d);
    digest_free(&d); /* NULL is fine */
}

/* C-RCPT-06: one bit makes another message. */
static void c_rcpt_06_any_bit_counts(void **state)
{
    char body[100] = "Subject: x\r\n\r\nThe same text.\r\n", one[65], other[65];

    (void)state;
    digest_hex(slice_of(body, sizeof(body)), 0, one);
    for (size_t bit = 0; bit < 8 * sizeof(body); bit += 37) {
        body[bit / 8] = (char)(body[bit / 8] ^ (1 << bit % 8));
        digest_hex(slice_of(body, sizeof(body)), 50, other);
        assert_string_not_equal(one, other);
        body[bit / 8] = (char)(body[bit / 8] ^ (1 << bit % 8));
    }
    digest_hex(slice_of(body, sizeof(body) - 1), 0, other);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_rcpt_06_known_answers_at_every_cut),
        cmocka_unit_test(test_million_in_uneven_pieces),
        cmocka_unit_test(c_rcpt_06_any_bit_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
