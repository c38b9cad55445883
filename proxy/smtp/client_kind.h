/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      client_kind - which MTA the client is, as far as it shows (client_profile = "auto")
 *
 * DESCRIPTION
 *      Legacy MTAs are told apart by habits that their versions of twenty years share: by commands
 *      those that only one of them has (the case of "From:" in MAIL, XFORWARD, PRDR); and by the
 *      Received: field that they put on top of the message, which says most and comes last.  A sign
 *      that fits several says nothing; signs against each other make the client unknown.  Pure; no
 *      allocation.
 */
#ifndef TLSMEND_SMTP_CLIENT_KIND_H
#define TLSMEND_SMTP_CLIENT_KIND_H

#include "proxy/base/slice.h"

enum client_kind {
    CLIENT_UNKNOWN,
    CLIENT_POSTFIX,
    CLIENT_EXIM,
    CLIENT_SENDMAIL,
    CLIENT_OPENSMTPD,
    CLIENT_QMAIL,
    CLIENT_EXCHANGE,
};
const char *client_kind_name(enum client_kind k); /* "postfix"; "unknown" */

struct client_signs { /* client_kind.c's; all zero at the start of a session */
    enum client_kind by_commands;
    unsigned seen;
};

/* Each command line that was understood, without its CRLF. */
void client_signs_command(struct client_signs *s, struct slice line);
enum client_kind client_signs_kind(const struct client_signs *s);
/* The value of the topmost Received: field, unfolded (struct header_scan.text). */
enum client_kind client_kind_of_received(struct slice value);

#endif
