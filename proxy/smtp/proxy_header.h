/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      proxy_header - the PROXY protocol, versions 1 and 2: who the client behind a load balancer is
 *
 * DESCRIPTION
 *      Bytes go in as they come; nothing behind the header is asked for, so the reader never takes
 *      a byte of SMTP: proxy_header_wanted() says how many bytes may be read next.  UNKNOWN (v1)
 *      and LOCAL or AF_UNSPEC (v2) are headers without addresses: the connection is the balancer's own (a health
 *      check), and its own address stands.  TLVs of v2 are skipped, at most PROXY_HEADER_MAX
 *      bytes in all.  Strict: a header that is not exactly of the specification is refused, since
 *      who may forge it may relay.  Pure.
 */
#ifndef TLSMEND_SMTP_PROXY_HEADER_H
#define TLSMEND_SMTP_PROXY_HEADER_H

#include "proxy/base/addr.h"

#define PROXY_HEADER_MAX 4096

enum proxy_status { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
    size_t n; /* bytes so far */
    char bytes[PROXY_HEADER_MAX];
    enum proxy_status status;
    int version;        /* 1 or 2, with PROXY_DONE */
    bool has_addresses; /* false: UNKNOWN, LOCAL, or no IP */
    struct addr source, destination;
    const char *why; /* PROXY_BAD: in words */
};

void proxy_header_start(struct proxy_header *h);
size_t proxy_header_wanted(const struct proxy_header *h); /* 0 unless PROXY_MORE */
/* At most proxy_header_wanted() bytes. */
enum proxy_status proxy_header_feed(struct proxy_header *h, const char *bytes, size_t n);

#endif
