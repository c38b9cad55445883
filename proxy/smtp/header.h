/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      header - what the records want to know of a message's header section
 *
 * DESCRIPTION
 *      Fed with the content of the message in any segmentation; looks at the header section only,
 *      at most HEADER_SCAN_MAX bytes of it, in one pass.  It finds
 *      - the client's queue id: the word behind `id` in the first Received: field, folded or not,
 *        also behind comments (C-LEG-02);
 *      - "TLS-Required: No" (RFC 8689 3): the sender asks that delivery go before TLS.  There may be
 *        one such field; several, or any other value, say nothing;
 *      - whether it has a Received, Date or Message-ID field, as all that an MTA keeps in a queue has:
 *        then no other message is the same, byte for byte.
 *      Names and values ignore case.  Pure; no allocation.
 */
#ifndef TLSMEND_SMTP_HEADER_H
#define TLSMEND_SMTP_HEADER_H

#include "proxy/base/slice.h"

#define QUEUE_ID_MAX 128
#define HEADER_SCAN_MAX 65536

struct header_scan {
    unsigned char state, field, value; /* header.c's */
    bool done;                         /* the header section is over, or as much of it as is read */
    bool tls_required_no;        /* settled with `done`, or where the message ends before that */
    bool unique;                 /* Received, Date or Message-ID was seen */
    unsigned char received, tls; /* fields of that name so far: none, one, more */
    size_t seen, matched, n;
    char text[2048];             /* the first Received field, unfolded, cut */
    char queue_id[QUEUE_ID_MAX]; /* empty until found; letters, digits and -._+= only */
};

void header_scan_start(struct header_scan *s);
void header_scan_feed(struct header_scan *s, struct slice content);

#endif
