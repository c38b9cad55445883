/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_verify - the certificates of the peer are judged inside the handshake
 *
 * The judgements (PKIX, and DANE where there are TLSA records) are computed always and kept; the
 * needs decide which of them ends the handshake: without NEED_CHAIN and the like none does (C-TLS-01).
 * Whatever goes wrong here refuses (C-CERT-05).
 */
#include <openssl/pool.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/escape_internal.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls_internal.h"

static const struct {
    enum reason why;
    uint8_t alert;
} alerts[] = {
    {REASON_CERT_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED},
    {REASON_CERT_REVOKED, SSL_AD_CERTIFICATE_REVOKED},
    {REASON_CERT_SELF_SIGNED, SSL_AD_UNKNOWN_CA},
    {REASON_CERT_UNTRUSTED_ROOT, SSL_AD_UNKNOWN_CA},
    {REASON_CERT_INCOMPLETE_CHAIN, SSL_AD_UNKNOWN_CA},
    {REASON_CERT_WRONG_PURPOSE, SSL_AD_UNSUPPORTED_CERTIFICATE},
    {REASON_DANE_MISMATCH, SSL_AD_BAD_CERTIFICATE},
    {REASON_CERT_UNCHECKED, SSL_AD_INTERNAL_ERROR},
};

static uint8_t alert_for(enum reason why)
{
    for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
        if (alerts[i].why == why)
            return alerts[i].alert;
    return SSL_AD_BAD_CERTIFICATE;
}

/* The host's own name is not in the certificate, whatever other names are (RFC 8461 4.2). */
static void host_detail(const struct tls_wire *w, struct buf *out)
{
    const struct judgement *j = &w->facts.judgement;
    const struct cert_facts *leaf = j->fact_count > 0 ? &j->facts[0] : NULL;

    if (w->asked->host.n == 0) {
        (void)buf_add(out, SLICE("the host is an address and no certificate names one"));
        return;
    }
    (void)buf_add(out, SLICE("wanted "));
    escape_add(w->asked->host, out);
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
static void judge_nameless(struct tls_wire *w)
{
    struct judgement *j = &w->facts.judgement;
    struct buf text;

    j->name_ok = w->asked->host.n > 0 && j->host_ok;
    if (j->name_ok || j->reason != REASON_OK)
        return;
    buf_init(&text, sizeof(j->detail) - 1);
    host_detail(w, &text);
    j->reason = REASON_CERT_NAME_MISMATCH;
    (void)snprintf(j->detail, sizeof(j->detail), "%s", buf_cstr(&text));
    buf_clear(&text);
}

static void judge_pkix(struct tls_wire *w, const struct slice *chain, size_t count,
                       struct slice staple)
{
    struct judge_request req = {
        .trust = w->asked->trust,
        .chain = chain,
        .chain_count = count,
        .names = w->asked->names,
        .name_count = w->asked->name_count,
        .host = w->asked->host,
        .fingerprints = w->asked->fingerprints,
        .fingerprint_count = w->asked->fingerprint_count,
        .ocsp = staple,
        .skip_must_staple = w->rung != RUNG_FULL, /* the compact hello asks for none */
        .now = loop_wall(),
        .min_rsa_bits = w->asked->min_rsa_bits,
    };

    judge_chain(&req, &w->facts.judgement);
    if (w->asked->name_count == 0)
        judge_nameless(w);
    w->facts.judged = true;
}

static void judge_dane(struct tls_wire *w, const struct slice *chain, size_t count)
{
    struct dane_request req = {
        .records = w->asked->tlsa,
        .record_count = w->asked->tlsa_count,
        .chain = chain,
        .chain_count = count,
        .names = w->asked->dane_names,
        .name_count = w->asked->dane_name_count,
        .now = loop_wall(),
        .min_rsa_bits = w->asked->min_rsa_bits,
    };

    w->facts.dane = (struct dane_judgement){.reason = REASON_CERT_UNCHECKED};
    dane_judge(&req, &w->facts.dane);
    w->facts.dane_judged = true;
}

/* What the certificates give; TLS itself is nearly there. */
void tls_verify_reached(const struct tls_wire *w, struct tls_reached *out)
{
    const struct judgement *j = &w->facts.judgement;

    *out = (struct tls_reached){
        .tls = true,
        .chain = w->facts.judged && j->chain_ok,
        .name = w->facts.judged && w->asked->name_count > 0 && j->name_ok,
        .host = w->facts.judged && j->host_ok,
        .pinned = w->facts.judged && j->pinned,
        .tlsa = w->facts.dane_judged && w->facts.dane.reason == REASON_OK,
    };
}

/* OK, or why these needs cannot live with these certificates. */
static enum reason refusal(const struct tls_wire *w)
{
    struct tls_reached got;
    struct demand_seen seen = {.got = &got,
                               .judged = w->facts.judged,
                               .pkix = w->facts.judgement.reason,
                               .dane = w->facts.dane.reason};

    tls_verify_reached(w, &got);
    return demand_refusal(w->needs & ~(unsigned)NEED_REQUIRETLS, &seen);
}

/* In the order of demand_refusal(). */
const char *tls_verify_detail(const struct tls_wire *w, char scratch[TLS_DETAIL_MAX])
{
    struct tls_reached got;
    struct buf text;

    tls_verify_reached(w, &got);
    if ((w->needs & NEED_TLSA) && !got.tlsa)
        return w->facts.dane_judged ? w->facts.dane.detail : "no TLSA record is at hand";
    if ((w->needs & NEED_PIN) && !got.pinned)
        return "";
    if (!w->facts.judged)
        return "";
    if (((w->needs & NEED_CHAIN) && !got.chain) || ((w->needs & NEED_NAME) && !got.name) ||
        w->refusal != REASON_CERT_NAME_MISMATCH)
        return w->facts.judgement.detail;
    buf_init(&text, TLS_DETAIL_MAX - 1);
    host_detail(w, &text);
    (void)snprintf(scratch, TLS_DETAIL_MAX, "%s", buf_cstr(&text));
    buf_clear(&text);
    return scratch;
}

enum reason tls_judge(struct tls_wire *w, const STACK_OF(CRYPTO_BUFFER) * sent, struct slice staple)
{
    size_t count = sent != NULL ? sk_CRYPTO_BUFFER_num(sent) : 0;
    struct slice *chain;

    if (count == 0)
        return REASON_CERT_NONE;
    chain = mem_array(count, sizeof(*chain));
    for (size_t i = 0; i < count; i++) {
        const CRYPTO_BUFFER *one = sk_CRYPTO_BUFFER_value(sent, i);

        chain[i] = slice_of(CRYPTO_BUFFER_data(one), CRYPTO_BUFFER_len(one));
    }
    if (w->asked->trust != NULL)
        judge_pkix(w, chain, count, staple);
    if (w->asked->tlsa_count > 0)
        judge_dane(w, chain, count);
    free(chain);
    return refusal(w);
}

void tls_unjudge(struct tls_wire *w)
{
    if (w->facts.judged)
        judgement_clear(&w->facts.judgement);
    w->facts.judged = w->facts.dane_judged = false;
}

static enum reason judge_peer(struct tls_wire *w)
{
    const uint8_t *staple = NULL;
    size_t length = 0;

    SSL_get0_ocsp_response(w->ssl, &staple, &length);
    return tls_judge(w, SSL_get0_peer_certificates(w->ssl),
                     length > 0 ? slice_of(staple, length) : SLICE_NONE);
}

/* Of a resumption too: SSL_CTX_set_reverify_on_resume(). */
enum ssl_verify_result_t tls_verify(SSL *ssl, uint8_t *alert)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, SSL_get_app_data(ssl));

    if (w->verified) { /* a second handshake on this connection: there is none */
        w->refusal = REASON_CERT_UNCHECKED;
    } else if (SSL_session_reused(ssl)) { /* judged before the hello, or nothing is known */
        w->refusal = w->offered ? refusal(w) : REASON_CERT_UNCHECKED;
    } else {
        tls_unjudge(w);
        w->refusal = judge_peer(w);
    }
    w->verified = true;
    if (w->refusal == REASON_OK)
        return ssl_verify_ok;
    *alert = alert_for(w->refusal);
    return ssl_verify_invalid;
}

int tls_on_certificate_request(SSL *ssl, void *arg)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, SSL_get_app_data(ssl));

    (void)arg;
    w->certificate_asked = true;
    return 1; /* go on without one */
}
