/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_verdict - what is judged of a chain: PKIX, and DANE where there are TLSA records
 *
 * A verdict is made once for a chain, and kept beside the sessions that come of it.  A connection that
 * resumes one of them needs no signature checked again, as long as no date has been passed since: it
 * is the same chain, request and trust (C-TLS-08).
 */
#include <openssl/pool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/escape_internal.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls_internal.h"

void tls_verdict_no_host(const struct tls_request *asked, const struct judgement *j,
                         struct buf *out)
{
    const struct cert_facts *leaf = j->fact_count > 0 ? &j->facts[0] : NULL;

    if (asked->host.n == 0) {
        (void)buf_add(out, SLICE("the host is an address and no certificate names one"));
        return;
    }
    (void)buf_add(out, SLICE("wanted "));
    escape_add(asked->host, out);
    (void)buf_add(out, SLICE(", the name of the MX host itself"));
    if (leaf == NULL || leaf->names_kept == 0) {
        (void)buf_add(out, SLICE("; it names no host"));
        return;
    }
    (void)buf_add(out, SLICE("; it names"));
    for (size_t i = 0; i < leaf->names_kept && i < 3; i++)
        (void)buf_addf(out, "%s %s", i > 0 ? "," : "", leaf->names[i]);
    if (leaf->name_count > 3)
        (void)buf_addf(out, " and %zu more", leaf->name_count - 3);
}

/* No reference names: then the judgement is about the host's own, and without that no certificate
 * is the right one (C-CERT-01). */
static void judge_nameless(const struct tls_request *asked, struct judgement *j)
{
    struct buf text;

    j->name_ok = asked->host.n > 0 && j->host_ok;
    if (j->name_ok || j->reason != REASON_OK)
        return;
    buf_init(&text, TLS_DETAIL_MAX - 1);
    tls_verdict_no_host(asked, j, &text);
    j->reason = REASON_CERT_NAME_MISMATCH;
    free(j->detail);
    j->detail = slice_dup(buf_slice(&text));
    buf_clear(&text);
}

static void judge_pkix(struct tls_verdict *v, const struct tls_request *asked,
                       const struct slice *chain, size_t count, struct slice staple)
{
    struct judge_request req = {
        .trust = asked->trust,
        .chain = chain,
        .chain_count = count,
        .names = asked->names,
        .name_count = asked->name_count,
        .host = asked->host,
        .fingerprints = asked->fingerprints,
        .fingerprint_count = asked->fingerprint_count,
        .ocsp = staple,
        .skip_must_staple = asked->rung != RUNG_FULL, /* the compact hello asks for none */
        .now = v->made,
        .min_rsa_bits = asked->min_rsa_bits,
    };

    judge_chain(&req, &v->judgement);
    if (asked->name_count == 0)
        judge_nameless(asked, &v->judgement);
    v->judged = true;
}

static void judge_dane(struct tls_verdict *v, const struct tls_request *asked,
                       const struct slice *chain, size_t count)
{
    struct dane_request req = {
        .records = asked->tlsa,
        .record_count = asked->tlsa_count,
        .chain = chain,
        .chain_count = count,
        .names = asked->dane_names,
        .name_count = asked->dane_name_count,
        .now = v->made,
        .min_rsa_bits = asked->min_rsa_bits,
    };

    v->dane = (struct dane_judgement){.reason = REASON_CERT_UNCHECKED};
    dane_judge(&req, &v->dane);
    v->dane_judged = true;
}

struct tls_verdict *tls_verdict_new(const struct tls_wire *w, const STACK_OF(CRYPTO_BUFFER) * sent,
                                    struct slice staple)
{
    size_t count = sent != NULL ? sk_CRYPTO_BUFFER_num(sent) : 0;
    struct tls_verdict *v;
    struct slice *chain;

    if (count == 0)
        return NULL;
    v = mem_zalloc(sizeof(*v));
    atomic_init(&v->holds, 1);
    v->made = loop_wall();
    chain = mem_array(count, sizeof(*chain));
    for (size_t i = 0; i < count; i++) {
        const CRYPTO_BUFFER *one = sk_CRYPTO_BUFFER_value(sent, i);

        chain[i] = slice_of(CRYPTO_BUFFER_data(one), CRYPTO_BUFFER_len(one));
    }
    if (w->asked->trust != NULL)
        judge_pkix(v, w->asked, chain, count, staple);
    if (w->asked->tlsa_count > 0)
        judge_dane(v, w->asked, chain, count);
    free(chain);
    return v;
}

struct tls_verdict *tls_verdict_hold(struct tls_verdict *v)
{
    atomic_fetch_add(&v->holds, 1);
    return v;
}

void tls_verdict_drop(struct tls_verdict **verdict)
{
    struct tls_verdict *v = *verdict;

    *verdict = NULL;
    if (v == NULL || atomic_fetch_sub(&v->holds, 1) > 1)
        return;
    judgement_clear(&v->judgement);
    free(v);
}

/* The dates of the chain are the judgement's to know. */
bool tls_verdict_stands(const struct tls_verdict *v, wall_ms now)
{
    return v->judged && now >= v->made && now < v->judgement.until;
}

bool tls_verdict_same(const struct tls_verdict *a, const struct tls_verdict *b)
{
    return a->judged == b->judged && a->dane_judged == b->dane_judged &&
           a->judgement.reason == b->judgement.reason && a->judgement.ocsp == b->judgement.ocsp &&
           a->dane.reason == b->dane.reason;
}

bool tls_verdict_good(const struct tls_verdict *v)
{
    return (v->judged && v->judgement.reason == REASON_OK) ||
           (v->dane_judged && v->dane.reason == REASON_OK);
}
