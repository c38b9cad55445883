/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      trust_internal - the inside of a trust store, for the judge
 */
#ifndef TLSMEND_CERTS_TRUST_INTERNAL_H
#define TLSMEND_CERTS_TRUST_INTERNAL_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "certs/crl_internal.h"
#include "certs/trust.h"

struct trust_file {
    char *path;
    struct stat at_load;
};

struct trust_store {
    atomic_size_t holds;
    struct cert **anchors;
    size_t anchor_count, anchor_room;
    size_t skipped;
    struct crl **crls;
    size_t crl_count;
    struct trust_file *files;
    size_t file_count;
    unsigned char digest[TRUST_DIGEST_LENGTH];
};

/* The anchor with these very bytes, NULL: none. */
const struct cert *trust_find(const struct trust_store *t, const struct cert *c);

/*
 * Calls `block` with the decoded bytes of every PEM block of `text`, in order; `label` is the word
 * of its BEGIN line ("CERTIFICATE").  A block that cannot be decoded is given as an absent slice.
 */
void pem_each(struct slice text, void (*block)(void *arg, struct slice label, struct slice der),
              void *arg);

#endif
