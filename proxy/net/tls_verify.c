/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_verify - the certificates of the peer are judged inside the handshake
 *
 * The judgement is computed always and kept; the level decides whether it ends the handshake. Below
 * `verify` it never does (C-TLS-01).  Whatever goes wrong here refuses (C-CERT-05).
 */
#include <openssl/pool.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
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
    {REASON_CERT_UNCHECKED, SSL_AD_INTERNAL_ERROR},
};

static uint8_t alert_for(enum reason why)
{
    for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
        if (alerts[i].why == why)
            return alerts[i].alert;
    return SSL_AD_BAD_CERTIFICATE;
}

/* Without a name that could be looked for, no certificate is the right one (C-CERT-01). */
static void miss_name(struct judgement *j)
{
    j->name_ok = false;
    if (j->reason != REASON_OK)
        return;
    j->reason = REASON_CERT_NAME_MISMATCH;
    (void)snprintf(j->detail, sizeof(j->detail),
                   "the host is an address and no certificate names one");
}

static void judge(struct tls_wire *w, const STACK_OF(CRYPTO_BUFFER) * sent)
{
    size_t count = sk_CRYPTO_BUFFER_num(sent);
    struct slice *chain = mem_array(count, sizeof(*chain));
    const uint8_t *staple = NULL;
    size_t staple_length = 0;
    struct judge_request req = {
        .trust = w->trust,
        .chain = chain,
        .chain_count = count,
        .names = w->names,
        .name_count = w->name_count,
        .host = w->host,
        .fingerprints = w->fingerprints,
        .fingerprint_count = w->fingerprint_count,
        .now = loop_wall(),
        .min_rsa_bits = w->min_rsa_bits,
    };

    for (size_t i = 0; i < count; i++) {
        const CRYPTO_BUFFER *one = sk_CRYPTO_BUFFER_value(sent, i);

        chain[i] = slice_of(CRYPTO_BUFFER_data(one), CRYPTO_BUFFER_len(one));
    }
    SSL_get0_ocsp_response(w->ssl, &staple, &staple_length);
    if (staple_length > 0)
        req.ocsp = slice_of(staple, staple_length);
    judge_chain(&req, &w->facts.judgement);
    if (w->name_count == 0)
        miss_name(&w->facts.judgement);
    w->facts.judged = true;
    free(chain);
}

/* What the certificates give; TLS itself is nearly there. */
void tls_verify_reached(const struct tls_wire *w, struct tls_reached *out)
{
    const struct judgement *j = &w->facts.judgement;

    *out = (struct tls_reached){
        .tls = true,
        .chain = w->facts.judged && j->chain_ok,
        .name = w->facts.judged && w->name_count > 0 && j->name_ok,
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

enum ssl_verify_result_t tls_verify(SSL *ssl, uint8_t *alert)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, SSL_get_app_data(ssl));
    const STACK_OF(CRYPTO_BUFFER) *sent = SSL_get0_peer_certificates(ssl);
    bool any = sent != NULL && sk_CRYPTO_BUFFER_num(sent) > 0;

    if (w->facts.judged) { /* a second handshake on this connection: there is none */
        w->refusal = REASON_CERT_UNCHECKED;
    } else {
        if (any && w->trust != NULL)
            judge(w, sent);
        w->refusal = any ? refusal(w) : REASON_CERT_NONE;
    }
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
