/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      trust - trust stores: roots, extra roots, CRLs
 *
 * DESCRIPTION
 *      A trust store is loaded once, is constant from then on, and is shared between threads by
 *      counted holds.  Loading reads files (at start, on reload, when the file changed); judging never does.
 *      A file that is broken or empty gives NULL and an error that names file, place and mend; the caller
 *      keeps the store it has (C-CERT-09).
 */
#ifndef TLSMEND_CERTS_TRUST_H
#define TLSMEND_CERTS_TRUST_H

#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/instant.h"

struct trust_store;

struct trust_params {
    const char *bundle; /* PEM file of roots; NULL: no roots but `extra` */
    const char *extra;  /* another PEM file (ca_file of a destination), NULL: none; roots and
                                    intermediates in it are trusted as anchors */
    const char *const *crl_files; /* PEM or DER */
    size_t crl_count;
};

/* One hold is yours; NULL on failure, *error then has one line. */
struct trust_store *trust_load(const struct trust_params *p, struct buf *error);
/* From DER anchors, for tools and tests. */
struct trust_store *trust_from_der(const struct slice *anchors, size_t count, struct buf *error);
struct trust_store *trust_hold(struct trust_store *t);
void trust_drop(struct trust_store **t);

/* SHA-256 over the anchors and CRLs: the same content, the same digest, whatever file it came from. */
#define TRUST_DIGEST_LENGTH 32
const unsigned char *trust_digest(const struct trust_store *t);

size_t trust_roots(const struct trust_store *t);
/* Not readable entries of the bundle that were passed over (a distribution's bundle may hold some). */
size_t trust_skipped(const struct trust_store *t);
/* Newest modification time of the files it was made of, and whether one of them has changed since
 * (size, mtime, inode). */
wall_ms trust_file_time(const struct trust_store *t);
bool trust_changed(const struct trust_store *t);

#endif
