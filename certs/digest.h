/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      digest - SHA-256 of a message as it passes
 *
 * DESCRIPTION
 *      For the ledger: the digest stands for the message, which is never stored.  No socket, no
 *      lock; one user at a time.
 */
#ifndef TLSMEND_CERTS_DIGEST_H
#define TLSMEND_CERTS_DIGEST_H

#include <stdint.h>

#include "proxy/base/slice.h"

#define DIGEST_SIZE 32

struct digest;

struct digest *digest_new(void);
void digest_feed(struct digest *d, struct slice bytes);
void digest_finish(struct digest *d, uint8_t out[DIGEST_SIZE]); /* once, last */
void digest_free(struct digest **d);                            /* NULL is fine */

#endif
