/* SPDX-License-Identifier: Apache-2.0 */
/* original - see original.h for the contract. */
#include "proxy/net/original.h"

#include <netinet/in.h>
#include <string.h>

#include "proxy/net/sockaddr_internal.h"

/* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of the kernel's headers, which exclude those of libc. */
#define ORIGINAL_DST 80

static bool is_mapped(const struct addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */

    return a->family == ADDR_IP6 && memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

/* A dual-stack socket's view of an IPv4 address: said as what it is. */
static void unmap(struct addr *a)
{
    struct addr inside = {.family = ADDR_IP4, .port = a->port};

    if (!is_mapped(a))
        return;
    memcpy(inside.ip, a->ip + 12, 4);
    *a = inside;
}

/* What connection tracking says: false where it has never seen the connection. */
static bool tracked(int fd, bool ip4, struct addr *out)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof(at);

    memset(&at, 0, sizeof(at));
    return getsockopt(fd, ip4 ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &at, &n) == 0 &&
           sockaddr_to(&at, out);
}

bool original_destination(int fd, const struct addr *bind, struct addr *out)
{
    struct addr local, before;
    bool ip4, is_listener;

    *out = (struct addr){.family = ADDR_NONE};
    if (!sockaddr_local(fd, &local))
        return false;
    ip4 = local.family == ADDR_IP4 || is_mapped(&local); /* mapped: IPv4's tables have it */
    unmap(&local);
    is_listener = local.port == bind->port &&
                  (addr_class(bind) == ADDR_UNSPECIFIED || addr_same_ip(&local, bind));
    /* An address that was translated on its way to us differs from the one that it has now. */
    if (tracked(fd, ip4, &before) && !addr_same(&before, &local))
        *out = before;
    else if (!is_listener)
        *out = local;
    return out->family != ADDR_NONE;
}
