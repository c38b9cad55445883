/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proxy_header - any bytes, read as a reader has to.  Held:
 *   - in any pieces the answer is the same, and so is the byte at which a header ends;
 *   - nothing behind a header is wanted: what follows it changes nothing;
 *   - version 1 ends at its first CRLF within 107 bytes, version 2 where its length says;
 *   - the addresses of a header, written as version 1, are read back as the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/smtp/proxy_header.h"

#define CHECK(x) ((x) ? (void)0 : abort())

static void read_header(struct proxy_header *h, struct slice in, size_t step)
{
    proxy_header_start(h);
    while (h->status == PROXY_MORE && h->n < in.n) {
        size_t n = proxy_header_wanted(h);

        CHECK(n > 0 && n <= PROXY_HEADER_MAX - h->n);
        n = n < step ? n : step;
        n = n < in.n - h->n ? n : in.n - h->n;
        (void)proxy_header_feed(h, in.p + h->n, n);
    }
    CHECK((proxy_header_wanted(h) == 0) == (h->status != PROXY_MORE));
    CHECK((h->why != NULL) == (h->status == PROXY_BAD));
}

static void check_end(const struct proxy_header *h)
{
    const unsigned char *b = (const unsigned char *)h->bytes;

    if (h->version == 2) {
        CHECK(h->n >= 16 && h->n == 16u + (b[14] * 256u + b[15]));
        return;
    }
    CHECK(h->version == 1 && h->n >= 15 && h->n <= 107);
    for (size_t i = 0; i < h->n; i++)
        CHECK((b[i] != '\r' && b[i] != '\n') || i + 2 >= h->n);
    CHECK(memcmp(h->bytes + h->n - 2, "\r\n", 2) == 0);
}

static void check_round(const struct proxy_header *h)
{
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX], line[256];
    struct proxy_header again;
    int n;

    if (!h->has_addresses || h->source.family != h->destination.family)
        return;
    n = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
                 h->source.family == ADDR_IP4 ? '4' : '6', addr_text(&h->source, source),
                 addr_text(&h->destination, destination), h->source.port, h->destination.port);
    CHECK(n > 0 && (size_t)n < sizeof(line));
    read_header(&again, slice_of(line, (size_t)n), 7);
    CHECK(again.status == PROXY_DONE && again.has_addresses);
    CHECK(addr_same(&again.source, &h->source));
    CHECK(addr_same(&again.destination, &h->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct proxy_header whole, parts;
    struct slice in = slice_of(data, size);

    read_header(&whole, in, SIZE_MAX);
    for (size_t step = 1; step < 40; step += 1 + step / 2) {
        read_header(&parts, in, step);
        CHECK(parts.status == whole.status);
        if (whole.status == PROXY_BAD)
            continue;
        CHECK(parts.n == whole.n && parts.version == whole.version);
        CHECK(parts.has_addresses == whole.has_addresses);
    }
    if (whole.status != PROXY_DONE)
        return 0;
    read_header(&parts, slice_first(in, whole.n), SIZE_MAX);
    CHECK(parts.status == PROXY_DONE && parts.n == whole.n);
    check_end(&whole);
    check_round(&whole);
    return 0;
}
