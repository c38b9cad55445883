/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_verify - what the verdict over the peer's certificates means for the handshake
 *
 * The verdict is made always and kept; the needs decide whether it ends the handshake: without NEED_CHAIN
 * and the like nothing does (C-TLS-01).  Whatever goes wrong here refuses (C-CERT-05).
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

void tls_verify_set(struct tls_wire *w, struct tls_verdict *v)
{
    tls_verdict_drop(&w->verdict);
    w->verdict = v;
    w->facts.judged = v != NULL && v->judged;
    w->facts.dane_judged = v != NULL && v->dane_judged;
    w->facts.judgement = v != NULL ? v->judgement : (struct judgement){.reason = REASON_OK};
    w->facts.dane = v != NULL ? v->dane : (struct dane_judgement){.reason = REASON_OK};
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

enum reason tls_verify_refusal(const struct tls_wire *w)
{
    struct tls_reached got;
    struct demand_seen seen = {.got = &got,
                               .judged = w->facts.judged,
                               .pkix = w->facts.judgement.reason,
                               .dane = w->facts.dane.reason};

    if (w->verdict == NULL)
        return REASON_CERT_NONE;
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
    tls_verdict_no_host(w->asked, &w->facts.judgement, &text);
    (void)snprintf(scratch, TLS_DETAIL_MAX, "%s", buf_cstr(&text));
    buf_clear(&text);
    return scratch;
}

static void judge_peer(struct tls_wire *w)
{
    const uint8_t *staple = NULL;
    size_t length = 0;

    SSL_get0_ocsp_response(w->ssl, &staple, &length);
    tls_verify_set(w, tls_verdict_new(w, SSL_get0_peer_certificates(w->ssl),
                                      length > 0 ? slice_of(staple, length) : SLICE_NONE));
}

/* Of a resumption too: SSL_CTX_set_reverify_on_resume(). */
enum ssl_verify_result_t tls_verify(SSL *ssl, uint8_t *alert)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, SSL_get_app_data(ssl));

    if (w->verified) { /* a second handshake on this connection: there is none */
        w->refusal = REASON_CERT_UNCHECKED;
    } else if (SSL_session_reused(ssl)) { /* judged before the hello, or nothing is known */
        w->refusal = w->offered ? tls_verify_refusal(w) : REASON_CERT_UNCHECKED;
    } else {
        judge_peer(w);
        w->refusal = tls_verify_refusal(w);
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
