/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      findings_internal - what is wrong with a path: one entry per reason, with its place
 */
#ifndef TLSMEND_CERTS_FINDINGS_INTERNAL_H
#define TLSMEND_CERTS_FINDINGS_INTERNAL_H

#include "certs/cert_internal.h"

#define FINDING_DETAIL 200
#define FINDINGS_MAX 12

struct finding {
    enum reason reason;
    char detail[FINDING_DETAIL];
};

struct findings {
    struct finding list[FINDINGS_MAX];
    size_t count;
};

/* The first detail of a reason is kept; format as printf's. */
void findings_add(struct findings *f, enum reason why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The name mismatch: what was wanted, and what the leaf has. */
void findings_add_names(struct findings *f, struct slice wanted, const struct cert_facts *leaf);
/* The order in which judge.h reports reasons: small is first. */
unsigned reason_rank(enum reason why);
/* The one to report; NULL: none. */
const struct finding *findings_first(const struct findings *f);
/* All of them in that order. */
void findings_sort(struct findings *f);

#define CERT_LABEL_MAX 100
/* "the leaf (CN=mx.example)", "the anchor (...)": for details.  Returns out. */
const char *cert_label(const struct cert *c, const char *role, char out[CERT_LABEL_MAX]);

/* A path: leaf first.  `anchored`: its last certificate is an anchor of the trust store. */
#define PATH_MAX_CERTS 10

struct path {
    const struct cert *certs[PATH_MAX_CERTS];
    size_t count;
    bool anchored;
};

const char *path_role(const struct path *p, size_t at);
/* Everything that can be said without a signature: dates, purpose, strength (C-CERT-02). */
void rules_check(const struct path *p, wall_ms now, int min_rsa_bits, struct findings *out);
/* The library's word on exactly this path, which must be anchored: false and a finding if it
 * refuses.  *each_link: it has verified the signature of each by the next; false: of some of them,
 * where one could be left out. */
bool library_check(const struct path *p, wall_ms now, bool *each_link, struct findings *out);

#endif
