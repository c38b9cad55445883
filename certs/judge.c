/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      judge - the judgement over a certificate chain: facts and a reason
 */
#include "certs/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "certs/ocsp_internal.h"
#include "certs/search_internal.h"
#include "proxy/base/mem.h"

#define ANCHOR_TEXT_MAX 255

struct judging {
    const struct judge_request *req;
    struct cert *certs[CHAIN_CERTS_MAX];
    size_t count;
    struct findings findings;
    struct search search;
    char note[FINDING_DETAIL]; /* what is worth a word though nothing is refused for it */
};

static void read_chain(struct judging *g)
{
    size_t bytes = 0;

    for (size_t i = 0; i < g->req->chain_count; i++) {
        bytes += g->req->chain[i].n;
        if (g->count == CHAIN_CERTS_MAX || bytes > CHAIN_BYTES_MAX) {
            findings_add(&g->findings, REASON_CERT_TOO_MANY,
                         "%zu certificates; at most %d and %d bytes are judged",
                         g->req->chain_count, CHAIN_CERTS_MAX, CHAIN_BYTES_MAX);
            return;
        }
        g->certs[g->count++] = cert_parse(g->req->chain[i]);
    }
}

static void keep_facts(const struct judging *g, struct judgement *out)
{
    out->facts = mem_array(g->count > 0 ? g->count : 1, sizeof(*out->facts));
    out->fact_count = g->count;
    for (size_t i = 0; i < g->count; i++)
        cert_facts_fill(g->certs[i], &out->facts[i]);
}

static bool digest_is(const struct fingerprint *f, struct slice s)
{
    uint8_t digest[SHA512_DIGEST_LENGTH];

    if (f->n == SHA256_DIGEST_LENGTH)
        SHA256((const uint8_t *)s.p, s.n, digest);
    else if (f->n == SHA512_DIGEST_LENGTH)
        SHA512((const uint8_t *)s.p, s.n, digest);
    else
        return false;
    return slice_eq(slice_of(f->digest, f->n), slice_of(digest, f->n));
}

static bool is_pinned(const struct judging *g)
{
    const struct cert *leaf = g->certs[0];

    for (size_t i = 0; leaf->broken == NULL && i < g->req->fingerprint_count; i++)
        if (digest_is(&g->req->fingerprints[i], leaf->der) ||
            digest_is(&g->req->fingerprints[i], leaf->spki))
            return true;
    return false;
}

/* A certificate that cannot be read only matters where no path was found without it. */
static void note_broken(struct judging *g)
{
    for (size_t i = 0; i < g->count; i++) {
        if (g->certs[i]->broken != NULL) {
            findings_add(&g->findings, REASON_CERT_MALFORMED, "certificate %zu of %zu: %s", i + 1,
                         g->count, g->certs[i]->broken);
            return;
        }
    }
}

static void search_path(struct judging *g)
{
    struct search *s = &g->search;

    *s = (struct search){.trust = g->req->trust,
                         .sent = g->certs,
                         .sent_count = g->count,
                         .now = g->req->now,
                         .min_rsa_bits = g->req->min_rsa_bits};
    search_run(s);
    if (s->accepted)
        return;
    note_broken(g);
    if (s->cut_off && !s->best.anchored)
        findings_add(&g->findings, REASON_CERT_TOO_MANY,
                     "no path of at most %d certificates was found within the bounds of the search",
                     PATH_MAX_CERTS);
    for (size_t i = 0; i < s->findings.count; i++)
        findings_add(&g->findings, s->findings.list[i].reason, "%s", s->findings.list[i].detail);
}

/* What the library sees on the path that counts: the accepted one, or the best of the others. */
static void check_staple(struct judging *g, struct judgement *out)
{
    const struct path *path = &g->search.best;
    const char *why = "its issuer is not known";
    struct slice staple = g->req->ocsp;

    if (staple.p != NULL) {
        out->ocsp = OCSP_INVALID;
        if (path->count > 1)
            out->ocsp = ocsp_check(staple, g->certs[0], path->certs[1], g->req->now, &why);
        if (out->ocsp == OCSP_REVOKED)
            findings_add(&g->findings, REASON_CERT_REVOKED,
                         "the stapled OCSP response says that the leaf is revoked");
        else if (out->ocsp != OCSP_GOOD)
            (void)snprintf(g->note, sizeof(g->note), "stapled OCSP response: %s", why);
    }
    out->must_staple_missing = g->certs[0]->must_staple && !g->req->skip_must_staple &&
                               out->ocsp != OCSP_GOOD && out->ocsp != OCSP_REVOKED;
}

struct name_search {
    const struct judge_request *req;
    struct slice found;
};

static bool try_name(void *arg, struct slice name)
{
    struct name_search *n = arg;

    for (size_t i = 0; i < n->req->name_count; i++) {
        if (cert_name_match(name, n->req->names[i])) {
            n->found = name;
            return false;
        }
    }
    return true;
}

static bool try_host(void *arg, struct slice name)
{
    struct name_search *n = arg;

    if (cert_name_match(name, n->req->host))
        n->found = name;
    return n->found.p == NULL;
}

static bool bears_host(const struct judging *g)
{
    struct name_search n = {.req = g->req, .found = SLICE_NONE};

    if (g->req->host.n == 0 || g->certs[0]->broken != NULL)
        return false;
    cert_each_name(g->certs[0], try_host, &n);
    return n.found.p != NULL;
}

static void check_names(struct judging *g, struct judgement *out)
{
    struct name_search n = {.req = g->req, .found = SLICE_NONE};

    out->host_ok = bears_host(g);
    out->name_ok = g->req->name_count == 0;
    if (out->name_ok)
        return;
    if (g->certs[0]->broken == NULL)
        cert_each_name(g->certs[0], try_name, &n);
    out->name_ok = n.found.p != NULL;
    if (out->name_ok) { /* it matched, so it is a host name */
        free(out->matched_name);
        out->matched_name = slice_dup(n.found);
    } else {
        findings_add_names(&g->findings, g->req->names[0], &out->facts[0]);
    }
}

/* The anchor and the length of the accepted path. */
static void keep_path(const struct judging *g, struct judgement *out)
{
    const struct path *path = &g->search.best;
    struct buf text;

    out->path_length = path->count;
    buf_init(&text, ANCHOR_TEXT_MAX);
    der_name_text(path->certs[path->count - 1]->subject, &text);
    free(out->anchor);
    out->anchor = slice_dup(buf_slice(&text));
    buf_clear(&text);
}

static void keep_findings(struct judging *g, struct judgement *out)
{
    struct findings *f = &g->findings;

    findings_sort(f);
    out->reason = f->count > 0 ? f->list[0].reason : REASON_OK;
    out->detail = mem_strdup(f->count > 0 ? f->list[0].detail : g->note);
    for (size_t i = 1; i < f->count && out->also_count < 4; i++)
        out->also[out->also_count++] = f->list[i].reason;
}

static void end_at(struct judgement *out, wall_ms now, wall_ms date)
{
    if (date > now && date < out->until)
        out->until = date;
}

/* The next date at which one of the certificates becomes valid or ceases to be. */
static void keep_until(const struct judging *g, struct judgement *out)
{
    const struct path *path = &g->search.best;
    wall_ms now = g->req->now;

    out->until = now + JUDGEMENT_SPAN_MS;
    for (size_t i = 0; i < g->count + path->count; i++) {
        const struct cert *c = i < g->count ? g->certs[i] : path->certs[i - g->count];

        end_at(out, now, c->not_before);
        end_at(out, now, c->not_after + 1000); /* whole seconds: the last one is inside */
    }
}

void judge_chain(const struct judge_request *req, struct judgement *out)
{
    struct judging g = {.req = req};

    *out = (struct judgement){.reason = REASON_CERT_UNCHECKED,
                              .name_ok = req->name_count == 0,
                              .matched_name = mem_strdup(""),
                              .anchor = mem_strdup("")};
    read_chain(&g);
    keep_facts(&g, out);
    if (req->chain_count == 0) {
        findings_add(&g.findings, REASON_CERT_NONE, "%s", "");
    } else if (g.count > 0) {
        out->pinned = is_pinned(&g);
        if (g.findings.count == 0 && g.certs[0]->broken == NULL) {
            search_path(&g);
            (void)snprintf(g.note, sizeof(g.note), "%s", g.search.stale_crl);
            check_staple(&g, out);
        } else {
            note_broken(&g);
        }
        out->chain_ok = g.search.accepted && g.findings.count == 0;
        check_names(&g, out);
    }
    if (out->chain_ok)
        keep_path(&g, out);
    keep_findings(&g, out);
    keep_until(&g, out);
    for (size_t i = 0; i < g.count; i++)
        cert_free(g.certs[i]);
}

void judgement_clear(struct judgement *j)
{
    for (size_t i = 0; i < j->fact_count; i++)
        cert_facts_clear(&j->facts[i]);
    free(j->facts);
    free(j->detail);
    free(j->matched_name);
    free(j->anchor);
    *j = (struct judgement){.reason = REASON_CERT_UNCHECKED};
}
