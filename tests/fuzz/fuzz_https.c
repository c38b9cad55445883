/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_https - any bytes of a server, cut anywhere: bounded, the same answer for every cut, and nothing of
 * the server unescaped in the words
 *
 * The first byte chooses the largest body and how the bytes are cut, the second one whether the
 * connection ends in order.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/https_response_internal.h"

#define MUST(condition) ((condition) ? (void)0 : broken(#condition))

static void broken(const char *what)
{
    fprintf(stderr, "fuzz_https: %s\n", what);
    abort();
}

static void check(const struct https_response *r, struct slice bytes, size_t body_max)
{
    bool bad = r->status == RESPONSE_BAD || r->status == RESPONSE_TOO_LARGE;

    MUST(r->body.n <= body_max);
    MUST(r->body.n <= bytes.n);
    MUST(r->header_size <= HTTPS_HEADER_MAX);
    MUST(r->total <= bytes.n);
    MUST((r->detail[0] != '\0') == bad);
    for (const char *c = r->detail; *c != '\0'; c++)
        MUST(*c >= ' ' && *c <= '~');
    MUST(memchr(r->content_type, '\0', sizeof(r->content_type)) != NULL);
    for (const char *c = r->content_type; *c != '\0'; c++)
        MUST((unsigned char)*c >= ' ' || *c == '\t');
    if (r->status == RESPONSE_DONE) {
        MUST(r->header_done);
        MUST(r->code >= 200 && r->code <= 599);
        MUST(slice_eq(slice_first(bytes, 1), SLICE("H")) || bytes.p[0] == '\r' ||
             bytes.p[0] == '\n');
    }
}

/* step 0: at once */
static void feed(struct https_response *r, struct slice bytes, size_t body_max, size_t step,
                 bool end)
{
    struct slice rest = bytes;

    https_response_init(r, body_max);
    while (rest.n > 0) {
        size_t n = step == 0 || step > rest.n ? rest.n : step;
        enum response_status before = r->status;

        (void)https_response_feed(r, slice_first(rest, n));
        MUST(before == RESPONSE_MORE || r->status == before);
        rest = slice_from(rest, n);
    }
    if (end)
        MUST(https_response_end(r) != RESPONSE_MORE);
    check(r, bytes, body_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct https_response whole, pieces;
    struct slice bytes;
    size_t body_max, step;
    bool end;

    if (size < 2)
        return 0;
    body_max = (size_t)(data[0] >> 4) * 64;
    step = 1 + (data[0] & 15u);
    end = (data[1] & 1u) != 0;
    bytes = slice_of(data + 2, size - 2);
    feed(&whole, bytes, body_max, 0, end);
    feed(&pieces, bytes, body_max, step, end);
    MUST(whole.status == pieces.status);
    if (whole.status == RESPONSE_DONE) {
        MUST(whole.code == pieces.code);
        MUST(slice_eq(buf_slice(&whole.body), buf_slice(&pieces.body)));
        MUST(whole.has_content_type == pieces.has_content_type);
        MUST(strcmp(whole.content_type, pieces.content_type) == 0);
    }
    https_response_clear(&whole);
    https_response_clear(&pieces);
    return 0;
}
