/* SPDX-License-Identifier: Apache-2.0 */
/* digest - see digest.h for the contract. */
#include "certs/digest.h"

#include <stdlib.h>

#include "certs/boring_internal.h"
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

_Static_assert(DIGEST_SIZE == SHA256_DIGEST_LENGTH, "the ledger's key is a SHA-256");

struct digest {
    SHA256_CTX sha;
    bool finished;
};

/* None of the three calls of BoringSSL can fail: openssl/sha.h says that they return one. */

struct digest *digest_new(void)
{
    struct digest *d = mem_zalloc(sizeof(*d));

    SHA256_Init(&d->sha);
    return d;
}

void digest_feed(struct digest *d, struct slice bytes)
{
    INVARIANT(!d->finished);
    SHA256_Update(&d->sha, bytes.p, bytes.n);
}

void digest_finish(struct digest *d, uint8_t out[DIGEST_SIZE])
{
    INVARIANT(!d->finished);
    d->finished = true;
    SHA256_Final(out, &d->sha);
}

void digest_free(struct digest **d)
{
    free(*d);
    *d = NULL;
}
