/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol, versions 1 and 2: what is a header, where it ends, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"
#include "proxy/smtp/proxy_header.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define BEHIND "EHLO client.example\r\n"

#define IP4_BLOCK "\300\0\2\1\306\63\144\2\22\147\0\31" /* 192.0.2.1 198.51.100.2 4711 25 */
#define ZEROS_8 "\0\0\0\0\0\0\0\0"
#define IP6_BLOCK "\40\1\15\270" ZEROS_8 "\0\0\0\1\40\1\15\270" ZEROS_8 "\0\0\0\2\22\147\0\31"
#define MAPPED_BLOCK \
    ZEROS_8 "\0\0\377\377\300\0\2\1" ZEROS_8 "\0\0\377\377\306\63\144\2\22\147\0\31"
#define A_36 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define UNIX_BLOCK A_36 A_36 A_36 A_36 A_36 A_36

/* Reads as a reader has to: never more than is wanted, at most `step` bytes at a time.  What was
 * taken is in h->n. */
static enum proxy_status read_in_steps(struct proxy_header *h, struct slice in, size_t step)
{
    enum proxy_status status = PROXY_MORE;

    proxy_header_start(h);
    while (status == PROXY_MORE && h->n < in.n) {
        size_t n = proxy_header_wanted(h);

        assert_true(n > 0 && h->n + n <= PROXY_HEADER_MAX);
        n = n < step ? n : step;
        n = n < in.n - h->n ? n : in.n - h->n;
        status = proxy_header_feed(h, in.p + h->n, n);
        assert_int_equal(status, h->status);
    }
    assert_int_equal(proxy_header_wanted(h) == 0, status != PROXY_MORE);
    return status;
}

static void assert_addr(const struct addr *a, const char *want)
{
    char text[ADDR_TEXT_MAX];

    assert_string_equal(addr_port_text(a, text), want);
}

struct good {
    struct slice in;
    int version;
    const char *source, *destination; /* NULL: without addresses */
};

#define V4 "192.0.2.1:4711", "198.51.100.2:25"
#define V6 "[2001:db8::1]:4711", "[2001:db8::2]:25"

static const struct good good[] = {
    {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"), 1, V4},
    {SLICE("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n"), 1, V6},
    {SLICE("PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:db8::2 4711 25\r\n"), 1, V6},
    {SLICE("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 4711 25\r\n"), 1, V4},
    {SLICE("PROXY TCP6 ::ffff:c000:201 ::FFFF:198.51.100.2 4711 25\r\n"), 1, V4},
    {SLICE("PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 4711 25\r\n"), 1, "[2001:db8::1]:4711",
     "198.51.100.2:25"},
    {SLICE("PROXY TCP4 1.1.1.1 2.2.2.2 0 65535\r\n"), 1, "1.1.1.1:0", "2.2.2.2:65535"},
    /* 2.1: the longest lines */
    {SLICE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 1,
     "255.255.255.255:65535", "255.255.255.255:65535"},
    {SLICE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     1, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {SLICE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     1, NULL, NULL},
    /* 2.1: what stands behind UNKNOWN is ignored */
    {SLICE("PROXY UNKNOWN\r\n"), 1, NULL, NULL},
    {SLICE("PROXY UNKNOWN \r\n"), 1, NULL, NULL},
    {SLICE("PROXY UNKNOWN whatever 1 2  3 \377\r\n"), 1, NULL, NULL},
    /* 2.2 */
    {SLICE(SIG "\41\21\0\14" IP4_BLOCK), 2, V4},
    {SLICE(SIG "\41\41\0\44" IP6_BLOCK), 2, V6},
    {SLICE(SIG "\41\41\0\44" MAPPED_BLOCK), 2, V4},
    /* LOCAL: the family and the block are ignored, the length is not */
    {SLICE(SIG "\40\0\0\0"), 2, NULL, NULL},
    {SLICE(SIG "\40\21\0\14" IP4_BLOCK), 2, NULL, NULL},
    {SLICE(SIG "\40\377\0\3abc"), 2, NULL, NULL},
    /* unspecified, and what is valid but no TCP */
    {SLICE(SIG "\41\0\0\0"), 2, NULL, NULL},
    {SLICE(SIG "\41\0\0\5hello"), 2, NULL, NULL},
    {SLICE(SIG "\41\22\0\14" IP4_BLOCK), 2, NULL, NULL},
    {SLICE(SIG "\41\42\0\44" IP6_BLOCK), 2, NULL, NULL},
    {SLICE(SIG "\41\61\0\330" UNIX_BLOCK), 2, NULL, NULL},
    {SLICE(SIG "\41\62\0\333" UNIX_BLOCK "\4\0\0"), 2, NULL, NULL},
    /* TLVs are skipped */
    {SLICE(SIG "\41\21\0\17" IP4_BLOCK "\4\0\0"), 2, V4},
    {SLICE(SIG "\41\21\0\34" IP4_BLOCK "\4\0\2ab\2\0\10a.exampl"), 2, V4},
    {SLICE(SIG "\41\41\0\51" IP6_BLOCK "\356\0\2ab"), 2, V6},
    /* 2.2.3: a checksum that holds */
    {SLICE(SIG "\41\21\0\23" IP4_BLOCK "\3\0\4\101\350\224\121"), 2, V4},
};

static void headers_in_pieces_of_every_size(void **state)
{
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        const struct good *g = &good[i];
        struct buf pipelined;
        struct slice in;

        buf_init(&pipelined, 512);
        assert_true(buf_add(&pipelined, g->in));
        assert_true(buf_add(&pipelined, SLICE(BEHIND)));
        in = buf_slice(&pipelined);
        for (size_t step = 1; step <= in.n; step++) {
            assert_int_equal(read_in_steps(&h, in, step), PROXY_DONE);
            assert_int_equal(h.n, g->in.n); /* not a byte of what is behind the header */
            assert_int_equal(h.version, g->version);
            assert_int_equal(h.has_addresses, g->source != NULL);
            if (g->source != NULL) {
                assert_addr(&h.source, g->source);
                assert_addr(&h.destination, g->destination);
            }
        }
        buf_clear(&pipelined);
    }
}

/* A header that is cut anywhere is not one yet, and the rest makes it one. */
static void headers_at_every_split_point(void **state)
{
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        const struct good *g = &good[i];

        for (size_t cut = 0; cut < g->in.n; cut++) {
            size_t n;

            assert_int_equal(read_in_steps(&h, slice_first(g->in, cut), SIZE_MAX), PROXY_MORE);
            assert_int_equal(h.n, cut);
            while ((n = proxy_header_wanted(&h)) > 0)
                (void)proxy_header_feed(&h, g->in.p + h.n, n);
            assert_int_equal(h.status, PROXY_DONE);
            assert_int_equal(h.n, g->in.n);
        }
    }
}

#define LINE_104 /* two bytes short of where a CR has to stand */ \
    "PROXY UNKNOWN " A_36 A_36 "aaaaaaaaaaaaaaaaaa"

static void what_is_no_header(void **state)
{
    static const struct {
        struct slice in;
        size_t at_most; /* bytes after which it is known, read one by one */
    } cases[] = {
        {SLICE("EHLO client.example\r\n"), 1},
        {SLICE("QUIT\r\n"), 1},
        {SLICE("PRXY TCP4 "), 3},
        {SLICE("proxy TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"), 1},
        {SLICE("PROXY  TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"), 7},
        {SLICE("PROXY\r\n"), 6},
        {SLICE("PROXY \r\n"), 7},
        {SLICE("PROXY TCP 192.0.2.1 198.51.100.2 4711 25\r\n"), 10},
        {SLICE("PROXY TCP5 192.0.2.1"), 10},
        {SLICE("PROXY tcp4 192.0.2.1"), 7},
        {SLICE("PROXY UDP4 192.0.2.1"), 8},
        {SLICE("PROXY UNKNOWNS\r\n"), 14},
        {SLICE("PROXY UNKNOWN\n"), 14},
        /* only CRLF ends the line */
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\n"), 42},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r "), 43},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r25\r\n"), 40},
        {SLICE("PROXY UNKNOWN a\nb\r\n"), 16},
        {SLICE("PROXY UNKNOWN\r\r\n"), 15},
        {SLICE("PROXY UNKNOWN a\0b\r\n"), 16},
        /* blanks and words */
        {SLICE("PROXY TCP4\r\n"), 11},
        {SLICE("PROXY TCP4 \r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 \r\nQUIT\r\n"), 13},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 \r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 \r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 1\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4  192.0.2.1 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1  198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1\t198.51.100.2 4711 25\r\n"), SIZE_MAX},
        /* ports: 0 to 65535, no leading zeros, no sign */
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 99999999999999999999\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 04711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 00\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 +4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 0x19\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 smtp\r\n"), SIZE_MAX},
        /* addresses: of the family, no leading zeros, no scope, no name */
        {SLICE("PROXY TCP4 192.0.2.01 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.256 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 0xc0000201 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 localhost 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 192.0.2.1 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP4 ::ffff:192.0.2.1 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 192.0.2.1 198.51.100.2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 fe80::1%2 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 [2001:db8::1] 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 2001:db8::1::2 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        {SLICE("PROXY TCP6 12001:db8::1 2001:db8::2 4711 25\r\n"), SIZE_MAX},
        /* 2.1: no CRLF within 107 bytes; known when it has no room any more */
        {SLICE(LINE_104 "aa\r\n"), 106},
        {SLICE(LINE_104 "aaaaaaaaaaaa"), 106},
        {SLICE(LINE_104 "a\r "), 107},
        /* 2.2: signature, version, command, family */
        {SLICE("\r\nEHLO x\r\n"), 3},
        {SLICE("\r\n\r\n\0\r\nQUIT\r"), 12},
        {SLICE(SIG "\1"), 13},
        {SLICE(SIG "\21"), 13},
        {SLICE(SIG "\61"), 13},
        {SLICE(SIG "\42"), 13},
        {SLICE(SIG "\57"), 13},
        {SLICE(SIG "\41\1"), 14},
        {SLICE(SIG "\41\2"), 14},
        {SLICE(SIG "\41\20"), 14},
        {SLICE(SIG "\41\23"), 14},
        {SLICE(SIG "\41\40"), 14},
        {SLICE(SIG "\41\60"), 14},
        {SLICE(SIG "\41\101"), 14},
        {SLICE(SIG "\41\377"), 14},
        /* lengths */
        {SLICE(SIG "\41\21\0\13"), 16},
        {SLICE(SIG "\41\21\0\0"), 16},
        {SLICE(SIG "\41\22\0\13"), 16},
        {SLICE(SIG "\41\41\0\43"), 16},
        {SLICE(SIG "\41\41\0\14"), 16},
        {SLICE(SIG "\41\61\0\327"), 16},
        {SLICE(SIG "\41\21\17\361"), 16}, /* 4097 in all */
        {SLICE(SIG "\40\0\377\377"), 16},
        /* TLVs that do not end where the header does */
        {SLICE(SIG "\41\21\0\15" IP4_BLOCK "\4"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\16" IP4_BLOCK "\4\0"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\17" IP4_BLOCK "\4\0\1"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\21" IP4_BLOCK "\4\0\1a\4"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\21" IP4_BLOCK "\4\1\1ab"), SIZE_MAX},
        {SLICE(SIG "\41\62\0\331" UNIX_BLOCK "\4"), SIZE_MAX},
        /* 2.2.3: checksums */
        {SLICE(SIG "\41\21\0\23" IP4_BLOCK "\3\0\4\101\350\224\120"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\23" IP4_BLOCK "\3\0\4\0\0\0\0"), SIZE_MAX},
        {SLICE(SIG "\41\21\0\22" IP4_BLOCK "\3\0\3\101\350\224"), SIZE_MAX},
    };
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = cases[i].in;

        for (size_t step = 1; step <= in.n; step++) {
            assert_int_equal(read_in_steps(&h, in, step), PROXY_BAD);
            assert_non_null(h.why);
            assert_false(h.has_addresses);
            if (step == 1)
                assert_int_equal(h.n, cases[i].at_most < in.n ? cases[i].at_most : in.n);
        }
    }
}

/* The longest header of version 2 is taken, with TLVs to the last byte. */
static void the_longest_header(void **state)
{
    char bytes[PROXY_HEADER_MAX + 1] = SIG "\41\21\17\360" IP4_BLOCK "\4\17\341";
    struct proxy_header h;

    (void)state;
    for (size_t step = 1; step <= PROXY_HEADER_MAX; step += 97) {
        assert_int_equal(read_in_steps(&h, slice_of(bytes, sizeof(bytes)), step), PROXY_DONE);
        assert_int_equal(h.n, PROXY_HEADER_MAX);
        assert_addr(&h.source, "192.0.2.1:4711");
    }
    assert_int_equal(proxy_header_feed(&h, bytes, 0), PROXY_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_in_pieces_of_every_size),
        cmocka_unit_test(headers_at_every_split_point),
        cmocka_unit_test(what_is_no_header),
        cmocka_unit_test(the_longest_header),
    };

    return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
