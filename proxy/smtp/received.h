/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      received - the client's queue id from the first Received: header (C-LEG-02)
 *
 * DESCRIPTION
 *      Fed with the content of the message in any segmentation; looks at the header section only,
 *      at most 16 KiB of it, and finds the word behind `id` in the first Received: field (folded
 *      or not, also behind comments).  Pure.
 */
#ifndef TLSMEND_SMTP_RECEIVED_H
#define TLSMEND_SMTP_RECEIVED_H

#include "proxy/base/slice.h"

#define QUEUE_ID_MAX 128
#define RECEIVED_SCAN_MAX 16384

struct received_scan {
    unsigned char state;
    bool done;
    size_t seen, n;
    char field[2048];            /* the first Received field, unfolded, cut */
    char queue_id[QUEUE_ID_MAX]; /* empty until found; letters, digits and -._+= only */
};

void received_scan_start(struct received_scan *s);
void received_scan_feed(struct received_scan *s, struct slice content);

#endif
