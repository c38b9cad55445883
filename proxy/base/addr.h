/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      addr - IP addresses, networks and their classes
 *
 * DESCRIPTION
 *      Text to bytes and back, without sockets or look-ups.  In comparisons an IPv4-mapped address
 *      (::ffff:192.0.2.1, a dual-stack socket's view) is the IPv4 address.  Pure; any thread.
 */
#ifndef TLSMEND_BASE_ADDR_H
#define TLSMEND_BASE_ADDR_H

#include <stdint.h>

#include "proxy/base/slice.h"

enum addr_family { ADDR_NONE, ADDR_IP4, ADDR_IP6 };

struct addr {
    enum addr_family family;
    uint8_t ip[16]; /* network order; 4 or 16 bytes used */
    uint32_t scope; /* IPv6 scope id, 0 if none */
    uint16_t port;  /* host order; 0 if unknown */
};

struct addr_net {
    struct addr base;
    unsigned bits;
};

/* What an address is for the purpose of sending mail to it (C-MX-06). */
enum addr_class {
    ADDR_PUBLIC,
    ADDR_PRIVATE, /* RFC 1918, RFC 6598, RFC 4193, link-local */
    ADDR_LOOPBACK,
    ADDR_UNSPECIFIED, /* 0.0.0.0/8, :: */
    ADDR_MULTICAST,   /* and 255.255.255.255, 240.0.0.0/4 */
};

#define ADDR_TEXT_MAX 64

bool addr_parse(struct slice text, struct addr *out); /* "192.0.2.1", "2001:db8::1"; port 0 */
bool addr_net_parse(struct slice text, struct addr_net *out); /* "192.0.2.0/24", "::1" is /128 */
bool addr_in_net(const struct addr *a, const struct addr_net *net);
bool addr_same_ip(const struct addr *a, const struct addr *b);
bool addr_same(const struct addr *a, const struct addr *b); /* ip and port */
/* IPv4-mapped and NAT64 (64:ff9b::/96) addresses are classed by the IPv4 address inside. */
enum addr_class addr_class(const struct addr *a);
const char *addr_class_name(enum addr_class c);
/* Without port: "192.0.2.1"; with: "192.0.2.1:25", "[2001:db8::1]:25".  Returns out. */
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX]);
const char *addr_port_text(const struct addr *a, char out[ADDR_TEXT_MAX]);

#endif
