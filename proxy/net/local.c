/* SPDX-License-Identifier: Apache-2.0 */
/* See local.h. */
#include "proxy/net/local.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/base/mem.h"
#include "proxy/net/sockaddr_internal.h"

bool local_addresses(struct addr **out, size_t *count)
{
    struct ifaddrs *all;

    *out = NULL;
    *count = 0;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct sockaddr_storage storage = {0};
        struct addr a;

        if (i->ifa_addr == NULL)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            memcpy(&storage, i->ifa_addr, sizeof(struct sockaddr_in));
        else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(&storage, i->ifa_addr, sizeof(struct sockaddr_in6));
        else
            continue;
        if (!sockaddr_to(&storage, &a))
            continue;
        *out = mem_resize(*out, *count + 1, sizeof(**out));
        (*out)[(*count)++] = a;
    }
    freeifaddrs(all);
    return true;
}
