/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      version - which libevent, libunbound and http-parser are running
 */
#ifndef TLSMEND_NET_VERSION_H
#define TLSMEND_NET_VERSION_H

#include "proxy/base/buf.h"

void net_library_versions(struct buf *out); /* a line each: "libevent 2.1.12-stable" */

#endif
