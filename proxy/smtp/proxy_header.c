/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_header - see proxy_header.h for the contract. */
#include "proxy/smtp/proxy_header.h"

#include <string.h>

#include "proxy/base/invariant.h"

/* Sections are those of the PROXY protocol's specification, "The PROXY protocol, versions 1 & 2". */
#define V1_MAX 107           /* 2.1: with CRLF */
#define V1_MIN 15            /* "PROXY UNKNOWN\r\n"; a header of version 2 is longer */
#define V2_FIXED 16          /* 2.2: signature, version and command, family, length */
#define TLV_HEAD 3           /* type and length */
#define TLV_TYPE_CRC32C 0x03 /* 2.2.3 */

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};

enum v2_address { NO_ADDRESS, IP4_ADDRESS, IP6_ADDRESS };

/* 2.2: the 14th byte.  What is in no row is unassigned, or a family without a protocol. */
static const struct v2_family {
    uint8_t byte;
    uint16_t size; /* of the addresses; TLVs stand behind them */
    enum v2_address holds;
} v2_families[] = {
    {0x00, 0, NO_ADDRESS},   /* unspecified: whatever is there is to be ignored */
    {0x11, 12, IP4_ADDRESS}, /* TCP over IPv4 */
    {0x12, 12, NO_ADDRESS},  /* UDP over IPv4: valid, and not what we serve: as unspecified */
    {0x21, 36, IP6_ADDRESS}, /* TCP over IPv6 */
    {0x22, 36, NO_ADDRESS},  /* UDP over IPv6 */
    {0x31, 216, NO_ADDRESS}, /* UNIX stream */
    {0x32, 216, NO_ADDRESS}, /* UNIX datagram */
};

static enum proxy_status bad(struct proxy_header *h, const char *why)
{
    h->status = PROXY_BAD;
    h->why = why;
    h->has_addresses = false;
    return PROXY_BAD;
}

static enum proxy_status done(struct proxy_header *h, int version, bool has_addresses)
{
    h->status = PROXY_DONE;
    h->version = version;
    h->has_addresses = has_addresses;
    return PROXY_DONE;
}

/* A balancer with a dual-stack socket writes an IPv4 client as ::ffff:192.0.2.1: say who it is. */
static void unmap(struct addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */

    if (a->family != ADDR_IP6 || memcmp(a->ip, mapped, sizeof(mapped)) != 0)
        return;
    a->family = ADDR_IP4;
    memmove(a->ip, a->ip + sizeof(mapped), 4);
    memset(a->ip + 4, 0, sizeof(a->ip) - 4);
}

/* ---- version 1 ---- */

/* 2.1: decimal, 0 to 65535, no leading zeros. */
static bool port(struct slice text, uint16_t *out)
{
    unsigned long long number;

    if ((text.n > 1 && text.p[0] == '0') || !slice_u64(text, UINT16_MAX, &number))
        return false;
    *out = (uint16_t)number;
    return true;
}

static bool address(struct slice text, enum addr_family family, struct addr *out)
{
    /* addr_parse() knows scopes, this protocol does not. */
    return memchr(text.p, '%', text.n) == NULL && addr_parse(text, out) && out->family == family;
}

/* "TCP4 192.0.2.1 198.51.100.2 4711 25", one blank between the words. */
static bool v1_addresses(struct proxy_header *h, struct slice line)
{
    enum addr_family family = line.p[3] == '4' ? ADDR_IP4 : ADDR_IP6;
    struct slice word[4], rest = slice_from(line, strlen("TCP4 "));

    for (size_t i = 0; i < 4; i++)
        if (slice_cut(rest, ' ', &word[i], &rest) != (i < 3) || word[i].n == 0)
            return false;
    if (!address(word[0], family, &h->source) || !address(word[1], family, &h->destination) ||
        !port(word[2], &h->source.port) || !port(word[3], &h->destination.port))
        return false;
    unmap(&h->source);
    unmap(&h->destination);
    return true;
}

static enum proxy_status v1_line(struct proxy_header *h)
{
    struct slice line = slice_from(slice_of(h->bytes, h->n - 2), strlen("PROXY "));

    if (line.p[0] == 'U')
        return done(h, 1, false); /* 2.1: whatever else is in the line is to be ignored */
    if (!v1_addresses(h, line))
        return bad(h, "version 1: not two addresses of the family and two ports");
    return done(h, 1, true);
}

/* Whether bytes may begin a line of this protocol. */
static bool v1_begins(const char *bytes, size_t n)
{
    static const struct slice heads[] = {
        {"PROXY TCP4 ", 11}, {"PROXY TCP6 ", 11}, {"PROXY UNKNOWN ", 14}, {"PROXY UNKNOWN\r", 14}};

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (memcmp(bytes, heads[i].p, n < heads[i].n ? n : heads[i].n) == 0)
            return true;
    return false;
}

static enum proxy_status v1_feed(struct proxy_header *h, size_t fresh)
{
    if (!v1_begins(h->bytes, h->n))
        return bad(h, "version 1: none of TCP4, TCP6 and UNKNOWN");
    for (size_t i = h->n - fresh; i < h->n; i++) {
        bool behind_cr = i > 0 && h->bytes[i - 1] == '\r';

        if (behind_cr != (h->bytes[i] == '\n'))
            return bad(h, "version 1: a CR or LF alone");
        if (behind_cr) /* more was only wanted where no header could end yet */
            return i + 1 == h->n ? v1_line(h) : bad(h, "version 1: the line is too short");
        if (h->bytes[i] == '\0')
            return bad(h, "version 1: a NUL");
    }
    if (proxy_header_wanted(h) > V1_MAX - h->n)
        return bad(h, "version 1: no end of the line within 107 bytes");
    return PROXY_MORE;
}

/* ---- version 2 ---- */

static unsigned byte_at(const struct proxy_header *h, size_t at)
{
    return (unsigned char)h->bytes[at];
}

static unsigned short_at(const struct proxy_header *h, size_t at)
{
    return byte_at(h, at) << 8 | byte_at(h, at + 1);
}

static size_t v2_size(const struct proxy_header *h)
{
    return V2_FIXED + short_at(h, 14);
}

static bool v2_is_local(const struct proxy_header *h)
{
    return byte_at(h, 12) == 0x20;
}

static const struct v2_family *v2_family(const struct proxy_header *h)
{
    for (size_t i = 0; i < sizeof(v2_families) / sizeof(v2_families[0]); i++)
        if (v2_families[i].byte == byte_at(h, 13))
            return &v2_families[i];
    return NULL;
}

/* CRC32c (RFC 9260 appendix A) of the header with zeros in place of the four bytes at `hole`. */
static uint32_t v2_checksum(const struct proxy_header *h, size_t hole)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < h->n; i++) {
        crc ^= i >= hole && i < hole + 4 ? 0 : byte_at(h, i);
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* 2.2: type, length, value, up to the end of the header; NULL, or what is wrong. */
static const char *v2_tlvs(const struct proxy_header *h, size_t at)
{
    while (at < h->n) {
        size_t value = at + TLV_HEAD, size;

        if (h->n - at < TLV_HEAD || h->n - value < (size = short_at(h, at + 1)))
            return "version 2: a TLV is cut short";
        if (byte_at(h, at) == TLV_TYPE_CRC32C) {
            if (size != 4 || v2_checksum(h, value) !=
                                 ((uint32_t)short_at(h, value) << 16 | short_at(h, value + 2)))
                return "version 2: the checksum is wrong";
        }
        at = value + size;
    }
    return NULL;
}

static void v2_take(const struct proxy_header *h, size_t at, size_t port_at, size_t size,
                    struct addr *out)
{
    *out = (struct addr){.family = size == 4 ? ADDR_IP4 : ADDR_IP6};
    memcpy(out->ip, h->bytes + at, size);
    out->port = (uint16_t)short_at(h, port_at);
    unmap(out);
}

static enum proxy_status v2_whole(struct proxy_header *h)
{
    const struct v2_family *family = v2_family(h);
    const char *wrong;
    size_t size;

    if (v2_is_local(h) || family->size == 0)
        return done(h, 2, false); /* 2.2: the length is skipped, whatever is in there */
    wrong = v2_tlvs(h, V2_FIXED + family->size);
    if (wrong != NULL)
        return bad(h, wrong);
    if (family->holds == NO_ADDRESS)
        return done(h, 2, false);
    size = family->holds == IP4_ADDRESS ? 4 : 16;
    v2_take(h, V2_FIXED, V2_FIXED + 2 * size, size, &h->source);
    v2_take(h, V2_FIXED + size, V2_FIXED + 2 * size + 2, size, &h->destination);
    return done(h, 2, true);
}

static enum proxy_status v2_feed(struct proxy_header *h)
{
    size_t n = h->n < sizeof(v2_signature) ? h->n : sizeof(v2_signature);

    if (memcmp(h->bytes, v2_signature, n) != 0)
        return bad(h, "no PROXY header");
    if (h->n > 12 && byte_at(h, 12) != 0x20 && byte_at(h, 12) != 0x21)
        return bad(h, "version 2: neither LOCAL nor PROXY, or another version");
    if (h->n > 13 && !v2_is_local(h) && v2_family(h) == NULL)
        return bad(h, "version 2: an address family or protocol that it does not know");
    if (h->n < V2_FIXED)
        return PROXY_MORE;
    if (v2_size(h) > PROXY_HEADER_MAX)
        return bad(h, "version 2: longer than 4096 bytes");
    if (!v2_is_local(h) && v2_size(h) < V2_FIXED + (size_t)v2_family(h)->size)
        return bad(h, "version 2: too short for its addresses");
    return h->n < v2_size(h) ? PROXY_MORE : v2_whole(h);
}

/* ---- both ---- */

void proxy_header_start(struct proxy_header *h)
{
    h->n = 0;
    h->status = PROXY_MORE;
    h->version = 0;
    h->has_addresses = false;
    h->source = h->destination = (struct addr){.family = ADDR_NONE};
    h->why = NULL;
}

size_t proxy_header_wanted(const struct proxy_header *h)
{
    if (h->status != PROXY_MORE)
        return 0;
    if (h->n < V1_MIN)
        return V1_MIN - h->n; /* every header has so many */
    if (h->bytes[0] == 'P')
        return h->bytes[h->n - 1] == '\r' ? 1 : 2; /* CRLF is still to come */
    return h->n < V2_FIXED ? V2_FIXED - h->n : v2_size(h) - h->n;
}

enum proxy_status proxy_header_feed(struct proxy_header *h, const char *bytes, size_t n)
{
    INVARIANT(n <= proxy_header_wanted(h));
    if (n == 0)
        return h->status;
    memcpy(h->bytes + h->n, bytes, n);
    h->n += n;
    if (h->bytes[0] == 'P')
        return v1_begins(h->bytes, h->n < 6 ? h->n : 6) ? v1_feed(h, n) : bad(h, "no PROXY header");
    return v2_feed(h);
}
