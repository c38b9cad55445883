/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ehlo - what an MX offers (RFC 5321 4.1.1.1, RFC 1870, RFC 9422)
 *
 * DESCRIPTION
 *      Pure.  Filled from the lines of a 250 reply to EHLO; keywords ignore case, unknown ones are
 *      ignored.  Recognises the marks of a middlebox that hides STARTTLS (C-TLS-05).
 */
#ifndef TLSMEND_SMTP_EHLO_H
#define TLSMEND_SMTP_EHLO_H

#include <stdint.h>

#include "proxy/smtp/reply.h"

struct limits { /* RFC 9422; 0: not said, or not a valid positive number */
    uint32_t mailmax, rcptmax, rcptdomainmax;
};

struct ehlo {
    char host[256]; /* the first word of the first line, cut, for the loop check */
    bool starttls, pipelining, eightbitmime, enhancedstatuscodes, size, smtputf8, chunking, dsn;
    bool requiretls, prdr, has_limits;
    uint64_t size_max; /* 0: no limit said */
    struct limits limits;
    bool masked; /* a keyword like XXXXXXXA: a middlebox overwrote STARTTLS */
};

void ehlo_parse(const struct reply *r, struct ehlo *out);

/* The arguments of LIMITS.  False (and *out zero) when the syntax is broken or a name occurs twice.
 * each(), if given, sees every name (upper case) and value. */
bool limits_parse(struct slice args, struct limits *out,
                  void (*each)(void *ctx, struct slice name, struct slice value), void *ctx);

/* A greeting such as "220 ****************" (Cisco PIX/ASA fixup): the banner is masked. */
bool greeting_masked(const struct reply *r);

#endif
