/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_rows_internal - a list of TLS sessions on their way to or from the disk
 *
 * DESCRIPTION
 *      The store does not know what they are, only that they are secrets: what it frees is wiped.
 *      No lock.
 */
#ifndef TLSMEND_STORE_TLS_ROWS_INTERNAL_H
#define TLSMEND_STORE_TLS_ROWS_INTERNAL_H

#include "proxy/base/slice.h"

struct tls_row {
    struct slice key, bytes; /* one block of memory, from `key` on */
};

struct tls_rows {
    struct tls_row *rows;
    size_t count, room;
};

void tls_rows_add(struct tls_rows *r, struct slice key, struct slice bytes); /* copies */
void tls_rows_clear(struct tls_rows *r);

#endif
