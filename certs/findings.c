/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      findings - what is wrong with a path
 */
#include "certs/findings_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const enum reason report_order[] = {
    REASON_CERT_NONE,
    REASON_CERT_TOO_MANY,
    REASON_CERT_MALFORMED,
    REASON_CERT_REVOKED,
    REASON_CERT_SELF_SIGNED,
    REASON_CERT_UNTRUSTED_ROOT,
    REASON_CERT_INCOMPLETE_CHAIN,
    REASON_CERT_BAD_SIGNATURE,
    REASON_CERT_UNCHECKED,
    REASON_CERT_EXPIRED,
    REASON_CERT_NOT_YET_VALID,
    REASON_CERT_WRONG_PURPOSE,
    REASON_CERT_WEAK_SIGNATURE,
    REASON_CERT_WEAK_KEY,
    REASON_CERT_NAME_MISMATCH,
};

unsigned reason_rank(enum reason why)
{
    unsigned n = sizeof(report_order) / sizeof(report_order[0]);

    for (unsigned i = 0; i < n; i++)
        if (report_order[i] == why)
            return i;
    return n;
}

void findings_add(struct findings *f, enum reason why, const char *format, ...)
{
    struct finding *at = &f->list[f->count];
    va_list args;

    if (f->count == FINDINGS_MAX)
        return;
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].reason == why)
            return;
    at->reason = why;
    va_start(args, format);
    (void)vsnprintf(at->detail, sizeof(at->detail), format, args);
    va_end(args);
    f->count++;
}

void findings_add_names(struct findings *f, struct slice wanted, const struct cert_facts *leaf)
{
    struct buf text;

    buf_init(&text, FINDING_DETAIL - 1);
    (void)buf_add(&text, SLICE("wanted "));
    text_escape(wanted, &text);
    (void)buf_add(&text, leaf->names_kept > 0 ? SLICE(", it names") : SLICE(", it names no host"));
    for (size_t i = 0; i < leaf->names_kept && i < 3; i++)
        (void)buf_addf(&text, "%s %s", i > 0 ? "," : "", leaf->names[i]);
    if (leaf->name_count > 3)
        (void)buf_addf(&text, " and %zu more", leaf->name_count - 3);
    findings_add(f, REASON_CERT_NAME_MISMATCH, "%s", buf_cstr(&text));
    buf_clear(&text);
}

static int by_rank(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    return (int)reason_rank(x->reason) - (int)reason_rank(y->reason);
}

void findings_sort(struct findings *f)
{
    qsort(f->list, f->count, sizeof(f->list[0]), by_rank);
}

const struct finding *findings_first(const struct findings *f)
{
    const struct finding *first = NULL;

    for (size_t i = 0; i < f->count; i++)
        if (first == NULL || by_rank(&f->list[i], first) < 0)
            first = &f->list[i];
    return first;
}

const char *cert_label(const struct cert *c, const char *role, char out[CERT_LABEL_MAX])
{
    struct buf text;

    buf_init(&text, CERT_LABEL_MAX / 2);
    der_name_brief(c->subject, &text);
    (void)snprintf(out, CERT_LABEL_MAX, "%s (%s)", role, text.n > 0 ? buf_cstr(&text) : "no name");
    buf_clear(&text);
    return out;
}

const char *path_role(const struct path *p, size_t at)
{
    if (at == 0)
        return "the leaf";
    return p->anchored && at + 1 == p->count ? "the anchor" : "the issuer";
}
