/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      rules - what a path must fulfil beside its signatures (C-CERT-02, C-CERT-03; RFC 5280 6.1)
 *
 * DESCRIPTION
 *      The library checks some of this again; here it is checked first, so that the report can say
 *      which certificate and why, and more strictly where docs/certs.md says so.
 */
#include <stdio.h>

#include "certs/findings_internal.h"

struct rule_context {
    const struct path *path;
    size_t at; /* of the certificate in hand */
    const struct cert *cert;
    wall_ms now;
    int min_rsa_bits;
    struct findings *out;
};

static void find(const struct rule_context *r, enum reason why, const char *what)
{
    char label[CERT_LABEL_MAX];

    findings_add(r->out, why, "%s %s", cert_label(r->cert, path_role(r->path, r->at), label), what);
}

static bool is_anchor(const struct rule_context *r)
{
    return r->path->anchored && r->at + 1 == r->path->count;
}

static void rule_dates(const struct rule_context *r)
{
    char when[INSTANT_TEXT_MAX], what[INSTANT_TEXT_MAX + 32];

    /* RFC 5280 4.1.2.5: both ends are inside; certificates know whole seconds. */
    if (r->now >= r->cert->not_after + 1000) {
        (void)snprintf(what, sizeof(what), "expired at %s", instant_text(r->cert->not_after, when));
        find(r, REASON_CERT_EXPIRED, what);
    }
    if (r->now < r->cert->not_before) {
        (void)snprintf(what, sizeof(what), "is valid only from %s",
                       instant_text(r->cert->not_before, when));
        find(r, REASON_CERT_NOT_YET_VALID, what);
    }
}

static void rule_key(const struct rule_context *r)
{
    const struct cert *c = r->cert;
    char what[80];

    if (c->key_kind == KEY_OTHER) {
        find(r, REASON_CERT_WEAK_KEY, "has a key of a kind that is not accepted");
    } else if (c->key_kind == KEY_RSA && c->key_size < r->min_rsa_bits) {
        (void)snprintf(what, sizeof(what), "has an RSA key of %d bits, at least %d are needed",
                       c->key_size, r->min_rsa_bits);
        find(r, REASON_CERT_WEAK_KEY, what);
    } else if (c->key == NULL) {
        find(r, REASON_CERT_WEAK_KEY, "has a key that the library cannot use");
    }
}

/* An anchor's own signature is never looked at: it is trusted because it is configured. */
static void rule_signature(const struct rule_context *r)
{
    char what[120];

    if (is_anchor(r) || r->cert->signature->weak == NULL)
        return;
    (void)snprintf(what, sizeof(what), "is signed with %s: %s", r->cert->signature->name,
                   r->cert->signature->weak);
    find(r, REASON_CERT_WEAK_SIGNATURE, what);
}

static void rule_extensions(const struct rule_context *r)
{
    const struct cert *c = r->cert;
    struct buf text;

    if (c->unknown_critical.p != NULL) {
        buf_init(&text, 100);
        (void)buf_add(&text, SLICE("has the unknown critical extension "));
        oid_text(c->unknown_critical, &text);
        find(r, REASON_CERT_WRONG_PURPOSE, buf_cstr(&text));
        buf_clear(&text);
    }
    if (c->has_extended && !c->server_auth && !c->any_purpose)
        find(r, REASON_CERT_WRONG_PURPOSE, "is not for TLS servers (extended key usage)");
}

/* RFC 8422 5.3, RFC 8446 4.4.2.2: in every handshake that we offer the leaf's key signs.  The library asks for
 * it too, in TLS 1.2 only where a chain is owed; what is kept of a judgement must not depend on that, for a
 * connection may be held against the demand of another domain. */
static void rule_leaf(const struct rule_context *r)
{
    if (!cert_may_sign(r->cert, USAGE_DIGITAL_SIGNATURE))
        find(r, REASON_CERT_WRONG_PURPOSE, "has a key that may not sign a handshake (key usage)");
}

/* RFC 5280 4.2.1.9: certificates between this one and the leaf, self-issued ones not counted. */
static int below(const struct rule_context *r)
{
    int n = 0;

    for (size_t i = 1; i < r->at; i++)
        n += !r->path->certs[i]->self_issued;
    return n;
}

static void rule_issuer(const struct rule_context *r)
{
    const struct cert *c = r->cert;
    bool old_anchor = is_anchor(r) && !c->has_basic; /* a version 1 root: the library decides */

    if (!c->is_ca && !old_anchor)
        find(r, REASON_CERT_WRONG_PURPOSE,
             c->has_basic ? "is not a CA (basic constraints)"
                          : "is not a CA (it has no basic constraints)");
    if (!cert_may_sign(c, USAGE_CERT_SIGN))
        find(r, REASON_CERT_WRONG_PURPOSE, "may not sign certificates (key usage)");
    if (!is_anchor(r) && !cert_may_sign(c, USAGE_CRL_SIGN))
        find(r, REASON_CERT_WRONG_PURPOSE,
             "may not sign revocation lists (key usage): what it issues could never be revoked");
    if (c->path_limit >= 0 && below(r) > c->path_limit)
        find(r, REASON_CERT_WRONG_PURPOSE, "allows fewer CAs below it (path length)");
}

void rules_check(const struct path *p, wall_ms now, int min_rsa_bits, struct findings *out)
{
    struct rule_context r = {.path = p, .now = now, .min_rsa_bits = min_rsa_bits, .out = out};

    for (r.at = 0; r.at < p->count; r.at++) {
        r.cert = p->certs[r.at];
        rule_dates(&r);
        rule_key(&r);
        rule_signature(&r);
        rule_extensions(&r);
        if (r.at == 0)
            rule_leaf(&r);
        else
            rule_issuer(&r);
    }
}
