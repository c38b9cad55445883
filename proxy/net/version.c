/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/version.h"

#include <event2/event.h>
#include <unbound.h>

void net_library_versions(struct buf *out)
{
    buf_addf(out, "libevent %s\n", event_get_version());
    buf_addf(out, "libunbound %s\n", ub_version());
}
