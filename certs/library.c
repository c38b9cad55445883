/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      library - BoringSSL's own judgement over one path
 *
 * DESCRIPTION
 *      The library is given exactly the certificates of the path, so it has nothing to search.  It
 * is the second pair of eyes on every path that is accepted, and the only one for name constraints.
 *      No verify callback is set (C-CERT-05); every failure, of allocation too, refuses.
 */
#include <stdlib.h>

#include "certs/findings_internal.h"

static const struct library_error {
    int code;
    enum reason reason;
} library_errors[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, REASON_CERT_EXPIRED},
    {X509_V_ERR_CERT_NOT_YET_VALID, REASON_CERT_NOT_YET_VALID},
    {X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, REASON_CERT_MALFORMED},
    {X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, REASON_CERT_MALFORMED},
    {X509_V_ERR_INVALID_EXTENSION, REASON_CERT_MALFORMED},
    {X509_V_ERR_INVALID_POLICY_EXTENSION, REASON_CERT_MALFORMED},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, REASON_CERT_BAD_SIGNATURE},
    {X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, REASON_CERT_WEAK_KEY},
    {X509_V_ERR_INVALID_CA, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_INVALID_NON_CA, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_INVALID_PURPOSE, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_PERMITTED_VIOLATION, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_EXCLUDED_VIOLATION, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_SUBTREE_MINMAX, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, REASON_CERT_WRONG_PURPOSE},
    {X509_V_ERR_NAME_CONSTRAINTS_WITHOUT_SANS, REASON_CERT_WRONG_PURPOSE},
    /* Names fit but key identifiers or the key usage do not: to the library it is no issuer. */
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, REASON_CERT_INCOMPLETE_CHAIN},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, REASON_CERT_INCOMPLETE_CHAIN},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, REASON_CERT_INCOMPLETE_CHAIN},
    {X509_V_ERR_CERT_UNTRUSTED, REASON_CERT_UNTRUSTED_ROOT},
};

static enum reason reason_of(int code)
{
    for (size_t i = 0; i < sizeof(library_errors) / sizeof(library_errors[0]); i++)
        if (library_errors[i].code == code)
            return library_errors[i].reason;
    return REASON_CERT_UNCHECKED;
}

static bool is_constraint(int code)
{
    return (code >= X509_V_ERR_PERMITTED_VIOLATION && code <= X509_V_ERR_SUBTREE_MINMAX) ||
           code == X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE ||
           code == X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX ||
           code == X509_V_ERR_UNSUPPORTED_NAME_SYNTAX;
}

static void refused(const struct path *p, X509_STORE_CTX *ctx, struct findings *out)
{
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    size_t at = depth >= 0 && (size_t)depth < p->count ? (size_t)depth : 0;
    char label[CERT_LABEL_MAX];

    findings_add(
        out, reason_of(code), "%s: %s%s", cert_label(p->certs[at], path_role(p, at), label),
        is_constraint(code) ? "name constraints: " : "", X509_verify_cert_error_string(code));
}

/* The dates are checked already (rules.c); the library counts the very last second as past. */
static int64_t library_time(const struct path *p, wall_ms now)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->certs[i]->not_after / 1000 == now / 1000)
            return now / 1000 - 1;
    return now / 1000;
}

/* It has built its own chain of what it was given: is it this path, link by link? */
static bool is_path(X509_STORE_CTX *ctx, const struct path *p)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);

    if (chain == NULL || sk_X509_num(chain) != p->count)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (X509_cmp(sk_X509_value(chain, i), p->certs[i]->x509) != 0)
            return false;
    return true;
}

bool library_check(const struct path *p, wall_ms now, bool *each_link, struct findings *out)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    bool ready = store != NULL && ctx != NULL && between != NULL, good = false;

    *each_link = false;
    ready = ready && X509_STORE_add_cert(store, p->certs[p->count - 1]->x509);
    for (size_t i = 1; ready && i + 1 < p->count; i++)
        ready = sk_X509_push(between, p->certs[i]->x509) != 0;
    ready = ready && X509_STORE_CTX_init(ctx, store, p->certs[0]->x509, between);
    if (ready) {
        /* An anchor may be an intermediate or the leaf itself (ca_file). */
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
        X509_STORE_CTX_set_time(ctx, 0, (time_t)library_time(p, now));
        good = X509_verify_cert(ctx) == 1;
        *each_link = good && is_path(ctx, p);
        if (!good)
            refused(p, ctx, out);
    } else {
        findings_add(out, REASON_CERT_UNCHECKED, "the library could not begin its judgement");
    }
    sk_X509_free(between);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return good;
}
