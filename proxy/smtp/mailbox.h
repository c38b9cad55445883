/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      mailbox - paths, mailboxes and domains of the envelope (RFC 5321 4.1.2, 4.1.3)
 *
 * DESCRIPTION
 *      Pure.  Everything is ASCII: control and 8-bit bytes are refused (C-IN-06).  Source routes
 *      are stripped, quoted local parts and `%`-hacks are kept as they came.  Domains are
 *      compared as lower-case A-labels without a trailing dot (C-MX-09).
 */
#ifndef TLSMEND_SMTP_MAILBOX_H
#define TLSMEND_SMTP_MAILBOX_H

#include "proxy/base/addr.h"

#define DOMAIN_MAX 253
#define LOCAL_PART_MAX 512 /* RFC 5321 says 64; real senders (VERP, SRS) use more */

struct mailbox {
    struct slice path;   /* "user@example.org", as sent, without <> and source route; empty: <> */
    struct slice local;  /* with quotes as sent */
    struct slice domain; /* as sent; empty for <> and for a bare <postmaster> */
    bool is_literal;     /* domain is [192.0.2.1] or [IPv6:...] */
    struct addr literal;
};

enum mailbox_status {
    MAILBOX_OK,
    MAILBOX_EMPTY, /* "<>": only a sender may be that */
    MAILBOX_BAD_SYNTAX,
    MAILBOX_BAD_BYTES, /* control or 8-bit bytes */
    MAILBOX_NO_DOMAIN, /* no @; allowed by caller for <postmaster> */
    MAILBOX_BAD_DOMAIN,
    MAILBOX_TOO_LONG,
};

/* Parse "<...>" at the start of `text`; *rest is what follows ">".  Slices point into `text`. */
enum mailbox_status mailbox_parse(struct slice text, struct mailbox *out, struct slice *rest);

/* Lower case, trailing dot off; false when it is no host name: labels of 1-63 letters, digits,
 * hyphen, underscore, whole at most 253. */
bool domain_normalise(struct slice domain, char out[DOMAIN_MAX + 1]);
/* Both normalised or not: equal after case folding and without trailing dots. */
bool domain_eq(struct slice a, struct slice b);
/* `domain` is below `parent` (not equal). */
bool domain_below(struct slice domain, struct slice parent);

#endif
