/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dane - a certificate chain against TLSA records
 *
 * DESCRIPTION
 *      Usage 3 first: it asks for the leaf alone, and costs a hash.  For usage 2 the certificates
 *      that records name become the anchors of a trust store of their own, and the path search of
 *      the judge does the rest.  docs/certs.md, "DANE", has the decisions.
 *
 *      Bounds (C-CERT-07): those of judge_chain(); each certificate is hashed once per selector and
 *      digest, however many records there are; and bare keys are tried for BARE_COST_MAX units of
 *      signature work.
 */
#include "certs/dane.h"

#include <stdio.h>
#include <stdlib.h>

#include "certs/dane_internal.h"
#include "certs/search_internal.h"

enum { USAGE_TA = 2, USAGE_EE = 3 };
enum { SELECTOR_CERT = 0, SELECTOR_KEY = 1 };
enum { MATCHING_FULL = 0, MATCHING_SHA256 = 1, MATCHING_SHA512 = 2 };

#define ANCHORS_MAX 48
#define BARE_COST_MAX 50 /* beside SEARCH_COST_MAX of the search */

struct digest {
    uint8_t bytes[SHA512_DIGEST_LENGTH];
    size_t n; /* 0: not made yet */
};

struct anchor {
    size_t record, depth;
};

struct judging {
    const struct dane_request *req;
    struct dane_judgement *out;
    struct cert *certs[CHAIN_CERTS_MAX];
    size_t count;
    bool too_many;
    struct digest digests[CHAIN_CERTS_MAX][SELECTOR_KEY + 1][MATCHING_SHA512];

    struct cert *anchors[ANCHORS_MAX]; /* of the chain, or of `made` */
    struct anchor origin[ANCHORS_MAX];
    size_t anchor_count;
    struct cert *made[ANCHORS_MAX];
    size_t made_count;
    unsigned bare_cost;
    bool cut_off;
    struct findings findings;
};

static bool counts(const struct tlsa_record *r, unsigned usage)
{
    return r->usability == TLSA_USABLE && r->usage == usage;
}

static size_t records_of(const struct dane_request *req, unsigned usage)
{
    size_t n = 0;

    for (size_t i = 0; i < req->record_count; i++)
        n += counts(&req->records[i], usage);
    return n;
}

/* The first `end` certificates, or as many as the bounds of a judgement let in. */
static void read_chain(struct judging *g, size_t end)
{
    size_t bytes = 0;

    for (size_t i = 0; i < end; i++) {
        bytes += g->req->chain[i].n;
        if (i == CHAIN_CERTS_MAX || bytes > CHAIN_BYTES_MAX) {
            g->too_many = true;
            return;
        }
        if (i == g->count)
            g->certs[g->count++] = cert_parse(g->req->chain[i]);
    }
}

/* Also of a certificate that is broken behind its key: what is compared are bytes. */
static struct slice selected(const struct cert *c, unsigned selector)
{
    return selector == SELECTOR_CERT ? c->der : c->spki;
}

static struct slice digest_of(struct judging *g, size_t at, unsigned selector, unsigned matching)
{
    struct digest *d = &g->digests[at][selector][matching - 1];
    struct slice s = selected(g->certs[at], selector);

    if (d->n == 0 && matching == MATCHING_SHA256) {
        SHA256((const uint8_t *)s.p, s.n, d->bytes);
        d->n = SHA256_DIGEST_LENGTH;
    } else if (d->n == 0) {
        SHA512((const uint8_t *)s.p, s.n, d->bytes);
        d->n = SHA512_DIGEST_LENGTH;
    }
    return slice_of(d->bytes, d->n);
}

/* RFC 6698 2.1.2, 2.1.3 */
static bool matches(struct judging *g, size_t at, const struct tlsa_record *r)
{
    struct slice s;

    if (r->selector > SELECTOR_KEY || r->matching > MATCHING_SHA512 || r->data.n == 0)
        return false;
    s = selected(g->certs[at], r->selector);
    if (s.n == 0)
        return false;
    if (r->matching == MATCHING_FULL)
        return slice_eq(r->data, s);
    return slice_eq(r->data, digest_of(g, at, r->selector, r->matching));
}

static const char *record_text(const struct tlsa_record *r, char out[40])
{
    struct buf text;

    buf_init(&text, 39);
    tlsa_text(r, &text);
    (void)snprintf(out, 40, "%s", buf_cstr(&text));
    buf_clear(&text);
    return out;
}

static void accept(struct judging *g, const struct anchor *by, const struct cert *c,
                   const char *role)
{
    char label[CERT_LABEL_MAX], text[40];

    g->out->reason = REASON_OK;
    g->out->matched = by->record;
    g->out->depth = by->depth;
    (void)snprintf(g->out->detail, sizeof(g->out->detail), "TLSA %s is %s",
                   record_text(&g->req->records[by->record], text), cert_label(c, role, label));
}

/* RFC 7671 5.1: the leaf's bytes, and nothing else about it. */
static bool judge_leaf(struct judging *g)
{
    for (size_t i = 0; i < g->req->record_count; i++) {
        if (counts(&g->req->records[i], USAGE_EE) && matches(g, 0, &g->req->records[i])) {
            accept(g, &(struct anchor){.record = i, .depth = 0}, g->certs[0], "the leaf");
            return true;
        }
    }
    return false;
}

static bool is_anchor(const struct judging *g, const struct cert *c)
{
    for (size_t i = 0; i < g->anchor_count; i++)
        if (cert_same(g->anchors[i], c))
            return true;
    return false;
}

static bool add_anchor(struct judging *g, struct cert *c, size_t record, size_t depth)
{
    if (g->anchor_count == ANCHORS_MAX) {
        g->cut_off = true;
        return false;
    }
    g->origin[g->anchor_count] = (struct anchor){.record = record, .depth = depth};
    g->anchors[g->anchor_count++] = c;
    return true;
}

/* A certificate that is not in the chain; it is the judgement's own from here on. */
static void add_made(struct judging *g, struct cert *c, size_t record)
{
    if (c->broken == NULL && !cert_same(c, g->certs[0]) && !is_anchor(g, c) &&
        add_anchor(g, c, record, g->req->chain_count))
        g->made[g->made_count++] = c;
    else
        cert_free(c);
}

/* RFC 7671 5.2.2: an anchor is an issuer, so the leaf is none (usage 3 is for that). */
static bool anchors_in_chain(struct judging *g, size_t record)
{
    bool found = false;

    for (size_t i = 1; i < g->count; i++) {
        struct cert *c = g->certs[i];

        if (c->broken != NULL || cert_same(c, g->certs[0]) ||
            !matches(g, i, &g->req->records[record]))
            continue;
        found = true;
        if (!is_anchor(g, c))
            (void)add_anchor(g, c, record, i);
    }
    return found;
}

/* True where the key of `a`, made for this child, has signed it. */
static bool has_signed(struct judging *g, const struct cert *a, const struct cert *child)
{
    bool good;

    g->bare_cost += search_cost_of(a);
    good = X509_verify(child->x509, a->key) == 1;
    ERR_clear_error();
    return good;
}

/*
 * RFC 7671 5.2.3: a whole key that no issuer in the chain has; its owner signed one of them and was
 * not sent.  So a self-signed leaf is its own anchor (as in OpenSSL).
 */
static void bare_key(struct judging *g, size_t record)
{
    struct slice key = g->req->records[record].data;

    for (size_t i = 0; i < g->count; i++) {
        struct cert *child = g->certs[i], *a;

        if (child->broken != NULL || !child->signature->usable)
            continue;
        if (g->bare_cost >= BARE_COST_MAX) {
            g->cut_off = true;
            return;
        }
        g->bare_cost++;
        a = bare_anchor(child, key);
        if (a == NULL)
            return;
        if (!has_signed(g, a, child)) {
            cert_free(a);
        } else if (i == 0 && child->self_issued && slice_eq(child->spki, key)) {
            cert_free(a);
            (void)add_anchor(g, child, record, 0);
        } else {
            add_made(g, a, record);
        }
    }
}

static void find_anchors(struct judging *g)
{
    for (size_t i = 0; i < g->req->record_count; i++) {
        const struct tlsa_record *r = &g->req->records[i];

        if (!counts(r, USAGE_TA) || anchors_in_chain(g, i) || r->matching != MATCHING_FULL)
            continue;
        if (r->selector == SELECTOR_CERT)
            add_made(g, cert_parse(r->data), i);
        else
            bare_key(g, i);
    }
}

static bool any_name(void *arg, struct slice name)
{
    const struct dane_request **req = arg;

    for (size_t i = 0; i < (*req)->name_count; i++) {
        if (cert_name_match(name, (*req)->names[i])) {
            *req = NULL; /* found */
            return false;
        }
    }
    return true;
}

/* RFC 7672 3.2.2; C-CERT-01 */
static bool check_names(struct judging *g)
{
    const struct dane_request *search = g->req;
    struct cert_facts facts;

    cert_each_name(g->certs[0], any_name, &search);
    if (search == NULL)
        return true;
    cert_facts_fill(g->certs[0], &facts);
    findings_add_names(&g->findings, g->req->name_count > 0 ? g->req->names[0] : SLICE("a name"),
                       &facts);
    cert_facts_clear(&facts);
    return false;
}

static void accept_path(struct judging *g, const struct path *p)
{
    for (size_t i = 0; i < g->anchor_count; i++)
        if (g->anchors[i] == p->certs[p->count - 1])
            accept(g, &g->origin[i], p->certs[p->count - 1], path_role(p, p->count - 1));
}

/* No path to an anchor that a record names; what the chain itself looks like is only told. */
static void no_path(struct judging *g, const struct search *s)
{
    const struct finding *first = findings_first(&s->findings);
    char text[40];

    if (g->cut_off || s->cut_off)
        findings_add(&g->findings, REASON_CERT_TOO_MANY, "the search for a path was cut off");
    else if (first != NULL && first->reason == REASON_CERT_BAD_SIGNATURE)
        findings_add(&g->findings, first->reason, "%s", first->detail);
    else
        findings_add(&g->findings, REASON_DANE_MISMATCH,
                     "TLSA %s names an anchor, but the leaf has no path to it%s%.90s",
                     record_text(&g->req->records[g->origin[0].record], text),
                     first != NULL ? ": " : "", first != NULL ? first->detail : "");
}

static void judge_path(struct judging *g)
{
    struct trust_store store = {.anchors = g->anchors, .anchor_count = g->anchor_count};
    struct search s = {.trust = &store,
                       .sent = g->certs,
                       .sent_count = g->count,
                       .now = g->req->now,
                       .min_rsa_bits = g->req->min_rsa_bits};

    search_run(&s);
    if (s.accepted && check_names(g))
        accept_path(g, &s.best);
    else if (!s.accepted && s.best.anchored)
        g->findings = s.findings;
    else if (!s.accepted)
        no_path(g, &s);
}

static void judge_issuers(struct judging *g)
{
    if (g->too_many) {
        findings_add(&g->findings, REASON_CERT_TOO_MANY,
                     "%zu certificates; at most %d and %d bytes are judged", g->req->chain_count,
                     CHAIN_CERTS_MAX, CHAIN_BYTES_MAX);
    } else if (g->certs[0]->broken != NULL) {
        findings_add(&g->findings, REASON_CERT_MALFORMED, "the leaf: %s", g->certs[0]->broken);
    } else {
        find_anchors(g);
        if (g->anchor_count > 0)
            judge_path(g);
        else if (g->cut_off)
            findings_add(&g->findings, REASON_CERT_TOO_MANY,
                         "the search for an anchor was cut off");
    }
}

/* What the record for this leaf would be: what the postmaster needs to see. */
static void describe_mismatch(struct judging *g)
{
    size_t leaf = records_of(g->req, USAGE_EE), issuer = records_of(g->req, USAGE_TA);
    struct tlsa_record own = {.usage = USAGE_EE, .selector = SELECTOR_KEY, .matching = 1};
    char text[40] = "unknown";

    if (selected(g->certs[0], SELECTOR_KEY).n > 0) {
        own.data = digest_of(g, 0, SELECTOR_KEY, MATCHING_SHA256);
        (void)record_text(&own, text);
    }
    findings_add(&g->findings, REASON_DANE_MISMATCH,
                 "%zu records for the leaf, %zu for an issuer; the leaf is %s", leaf, issuer, text);
}

static void keep_reason(struct judging *g)
{
    const struct finding *first;

    if (g->findings.count == 0)
        describe_mismatch(g);
    first = findings_first(&g->findings);
    g->out->reason = first->reason;
    (void)snprintf(g->out->detail, sizeof(g->out->detail), "%s", first->detail);
}

void dane_judge(const struct dane_request *req, struct dane_judgement *out)
{
    struct judging g = {.req = req, .out = out};

    *out = (struct dane_judgement){.reason = REASON_CERT_UNCHECKED, .depth = req->chain_count};
    if (req->chain_count == 0) {
        out->reason = REASON_CERT_NONE;
        return;
    }
    read_chain(&g, 1);
    if (g.count == 0 || !judge_leaf(&g)) {
        if (g.count == 0 || records_of(req, USAGE_TA) > 0) {
            read_chain(&g, req->chain_count);
            judge_issuers(&g);
        }
        if (out->reason != REASON_OK)
            keep_reason(&g);
    }
    for (size_t i = 0; i < g.count; i++)
        cert_free(g.certs[i]);
    for (size_t i = 0; i < g.made_count; i++)
        cert_free(g.made[i]);
}
