/* SPDX-License-Identifier: Apache-2.0 */
/* sockaddr - see sockaddr_internal.h for the contract. */
#include "proxy/net/sockaddr_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

socklen_t sockaddr_from(const struct addr *a, struct sockaddr_storage *out)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memset(out, 0, sizeof(*out));
    switch (a->family) {
    case ADDR_IP4:
        in4.sin_port = htons(a->port);
        memcpy(&in4.sin_addr, a->ip, 4);
        memcpy(out, &in4, sizeof(in4));
        return sizeof(in4);
    case ADDR_IP6:
        in6.sin6_port = htons(a->port);
        in6.sin6_scope_id = a->scope;
        memcpy(&in6.sin6_addr, a->ip, 16);
        memcpy(out, &in6, sizeof(in6));
        return sizeof(in6);
    case ADDR_NONE:
        break;
    }
    return 0;
}

bool sockaddr_to(const struct sockaddr_storage *from, struct addr *out)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;

    *out = (struct addr){.family = ADDR_NONE};
    if (from->ss_family == AF_INET) {
        memcpy(&in4, from, sizeof(in4));
        out->family = ADDR_IP4;
        out->port = ntohs(in4.sin_port);
        memcpy(out->ip, &in4.sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        memcpy(&in6, from, sizeof(in6));
        out->family = ADDR_IP6;
        out->port = ntohs(in6.sin6_port);
        out->scope = in6.sin6_scope_id;
        memcpy(out->ip, &in6.sin6_addr, 16);
    }
    return out->family != ADDR_NONE;
}

void sockaddr_options(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

bool sockaddr_local(int fd, struct addr *out)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof(at);

    memset(&at, 0, sizeof(at));
    return getsockname(fd, (struct sockaddr *)&at, &n) == 0 && sockaddr_to(&at, out);
}
