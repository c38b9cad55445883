/* SPDX-License-Identifier: Apache-2.0 */
/* addr - see addr.h for the contract. */
#include "proxy/base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/invariant.h"

/* First fitting row wins; what is in no row is public. */
static const struct class_rule {
    enum addr_family family;
    uint8_t ip[16];
    unsigned bits;
    enum addr_class class;
} class_rules[] = {
    {ADDR_IP4, {0}, 8, ADDR_UNSPECIFIED},       /* RFC 1122 3.2.1.3 */
    {ADDR_IP4, {127}, 8, ADDR_LOOPBACK},        /* RFC 1122 3.2.1.3 */
    {ADDR_IP4, {10}, 8, ADDR_PRIVATE},          /* RFC 1918 */
    {ADDR_IP4, {172, 16}, 12, ADDR_PRIVATE},    /* RFC 1918 */
    {ADDR_IP4, {192, 168}, 16, ADDR_PRIVATE},   /* RFC 1918 */
    {ADDR_IP4, {100, 64}, 10, ADDR_PRIVATE},    /* RFC 6598 */
    {ADDR_IP4, {169, 254}, 16, ADDR_PRIVATE},   /* RFC 3927 */
    {ADDR_IP4, {224}, 4, ADDR_MULTICAST},       /* RFC 5771 */
    {ADDR_IP4, {240}, 4, ADDR_MULTICAST},       /* RFC 1112 4, and the broadcast address */
    {ADDR_IP6, {0}, 128, ADDR_UNSPECIFIED},     /* RFC 4291 2.5.2 */
    {ADDR_IP6, {[15] = 1}, 128, ADDR_LOOPBACK}, /* RFC 4291 2.5.3 */
    {ADDR_IP6, {0xfe, 0x80}, 10, ADDR_PRIVATE}, /* RFC 4291 2.5.6 */
    {ADDR_IP6, {0xfe, 0xc0}, 10, ADDR_PRIVATE}, /* RFC 3879: once site-local */
    {ADDR_IP6, {0xfc}, 7, ADDR_PRIVATE},        /* RFC 4193 */
    {ADDR_IP6, {0xff}, 8, ADDR_MULTICAST},      /* RFC 4291 2.7 */
};

/* IPv6 prefixes of 96 bits behind which an IPv4 address stands. */
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};          /* RFC 4291 2.5.5.2 */
static const uint8_t compatible_prefix[12] = {0};                             /* RFC 4291 2.5.5.1 */
static const uint8_t nat64_prefix[12] = {[1] = 0x64, [2] = 0xff, [3] = 0x9b}; /* RFC 6052 2.1 */

static size_t ip_size(enum addr_family family)
{
    return family == ADDR_IP4 ? 4 : family == ADDR_IP6 ? 16 : 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static struct addr ip4_inside(const struct addr *a)
{
    struct addr inside = {.family = ADDR_IP4, .port = a->port};

    memcpy(inside.ip, a->ip + 12, 4);
    return inside;
}

/* A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d; that is the IPv4 address. */
static struct addr unmap(const struct addr *a)
{
    if (a->family == ADDR_IP6 && same_bits(a->ip, mapped_prefix, 96))
        return ip4_inside(a);
    return *a;
}

bool addr_parse(struct slice text, struct addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct slice ip, scope;
    struct addr a = {.family = ADDR_NONE};

    if (slice_cut(text, '%', &ip, &scope)) {
        unsigned long long number;

        /* By number only: an interface's name means a look-up. */
        if (!slice_u64(scope, UINT32_MAX, &number))
            return false;
        a.scope = (uint32_t)number;
    }
    if (ip.n == 0 || ip.n >= sizeof(copy) || memchr(ip.p, '\0', ip.n) != NULL)
        return false;
    memcpy(copy, ip.p, ip.n);
    copy[ip.n] = '\0';
    if (inet_pton(AF_INET6, copy, a.ip) == 1)
        a.family = ADDR_IP6;
    else if (ip.n == text.n && inet_pton(AF_INET, copy, a.ip) == 1)
        a.family = ADDR_IP4;
    else
        return false;
    *out = a;
    return true;
}

bool addr_net_parse(struct slice text, struct addr_net *out)
{
    struct slice ip, bits;
    struct addr_net net;
    unsigned long long number;
    bool has_bits = slice_cut(text, '/', &ip, &bits);

    if (!addr_parse(ip, &net.base))
        return false;
    number = ip_size(net.base.family) * 8;
    if (has_bits && !slice_u64(bits, number, &number))
        return false;
    net.bits = (unsigned)number;
    *out = net;
    return true;
}

bool addr_in_net(const struct addr *a, const struct addr_net *net)
{
    struct addr plain = net->base.family == ADDR_IP4 ? unmap(a) : *a;

    return plain.family != ADDR_NONE && plain.family == net->base.family &&
           same_bits(plain.ip, net->base.ip, net->bits);
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    struct addr x = unmap(a), y = unmap(b);

    return x.family == y.family && x.scope == y.scope && memcmp(x.ip, y.ip, ip_size(x.family)) == 0;
}

bool addr_same(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_same_ip(a, b);
}

enum addr_class addr_class(const struct addr *a)
{
    struct addr inside;

    INVARIANT(a->family != ADDR_NONE);
    for (size_t i = 0; i < sizeof(class_rules) / sizeof(class_rules[0]); i++)
        if (class_rules[i].family == a->family &&
            same_bits(class_rules[i].ip, a->ip, class_rules[i].bits))
            return class_rules[i].class;
    if (a->family == ADDR_IP6 &&
        (same_bits(a->ip, mapped_prefix, 96) || same_bits(a->ip, compatible_prefix, 96) ||
         same_bits(a->ip, nat64_prefix, 96))) {
        inside = ip4_inside(a);
        return addr_class(&inside);
    }
    return ADDR_PUBLIC;
}

const char *addr_class_name(enum addr_class c)
{
    static const char *const names[] = {
        [ADDR_PUBLIC] = "public",       [ADDR_PRIVATE] = "private",
        [ADDR_LOOPBACK] = "loopback",   [ADDR_UNSPECIFIED] = "unspecified",
        [ADDR_MULTICAST] = "multicast",
    };

    return names[c];
}

const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "";
    int family = a->family == ADDR_IP4 ? AF_INET : AF_INET6;

    if (a->family == ADDR_NONE) {
        (void)snprintf(out, ADDR_TEXT_MAX, "-");
        return out;
    }
    (void)inet_ntop(family, a->ip, ip, sizeof(ip));
    if (a->scope != 0)
        (void)snprintf(out, ADDR_TEXT_MAX, "%s%%%u", ip, (unsigned)a->scope);
    else
        (void)snprintf(out, ADDR_TEXT_MAX, "%s", ip);
    return out;
}

const char *addr_port_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];

    addr_text(a, ip);
    /* INET6_ADDRSTRLEN + scope + port is 67 at the very most: a scope of ten digits is cut. */
    (void)snprintf(out, ADDR_TEXT_MAX, a->family == ADDR_IP6 ? "[%.55s]:%u" : "%.55s:%u", ip,
                   (unsigned)a->port);
    return out;
}
