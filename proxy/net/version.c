/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/version.h"

#include <event2/event.h>
#include <http_parser.h>
#include <unbound.h>

void net_library_versions(struct buf *out)
{
    unsigned long http = http_parser_version();

    buf_addf(out, "libevent %s\n", event_get_version());
    buf_addf(out, "libunbound %s\n", ub_version());
    buf_addf(out, "http-parser %lu.%lu.%lu\n", http >> 16 & 255, http >> 8 & 255, http & 255);
}
