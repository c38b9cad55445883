/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_resume - sessions are offered and taken (C-TLS-08)
 *
 * The library would judge the chain of a session only when the server has taken it, and then all that is
 * left is to end the connection.  So it is judged before the hello: what does not stand any more is
 * not offered, and the mail pays no failed attempt for it.  tls_verify() is called all the same, and
 * a resumption of something that was not judged here does not pass.
 */
#include <openssl/pool.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions_internal.h"

/* A TLS 1.3 server sends tickets behind the handshake, also when the connection is idle for long. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, SSL_get_app_data(ssl));

    if (w->sessions == NULL || !w->verified || w->refusal != REASON_OK ||
        w->tickets == TLS_TICKETS_MAX)
        return 0; /* it stays the library's */
    w->tickets++;
    tls_sessions_put(w->sessions, w->session_key,
                     (struct tls_kept){session, tls_verdict_hold(w->verdict)});
    return 1;
}

void tls_resume_setup(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_reverify_on_resume(ctx, 1);
    SSL_CTX_set_early_data_enabled(ctx, 0); /* it can be replayed */
}

/*
 * The verdict over its chain, by this request and time: the one that is kept, or a new one.  NULL: it is
 * not what it was, and a full handshake must say why (the certificate expired, the staple is too old),
 * whether that is enforced or not.  What it was of a session of another process nobody knows: then it has
 * to be good.
 */
static struct tls_verdict *verdict_now(const struct tls_wire *w, const struct tls_kept *kept,
                                       wall_ms now)
{
    const uint8_t *staple = NULL;
    struct tls_verdict *v;
    size_t length = 0;

    if (kept->verdict != NULL && tls_verdict_stands(kept->verdict, now))
        return tls_verdict_hold(kept->verdict);
    SSL_SESSION_get0_ocsp_response(kept->session, &staple, &length);
    v = tls_verdict_new(w, SSL_SESSION_get0_peer_certificates(kept->session),
                        length > 0 ? slice_of(staple, length) : SLICE_NONE);
    if (v != NULL &&
        !(kept->verdict != NULL ? tls_verdict_same(v, kept->verdict) : tls_verdict_good(v)))
        tls_verdict_drop(&v);
    return v;
}

void tls_resume_offer(struct tls_wire *w)
{
    struct tls_kept kept;
    wall_ms now = loop_wall();

    if (w->sessions == NULL) {
        (void)SSL_set_options(w->ssl, SSL_OP_NO_TICKET);
        return;
    }
    if (!tls_sessions_take(w->sessions, w->session_key, now, &kept))
        return;
    tls_verify_set(w, verdict_now(w, &kept, now));
    w->offered = tls_verify_refusal(w) == REASON_OK && SSL_set_session(w->ssl, kept.session) == 1;
    tls_kept_clear(&kept);
    if (!w->offered) {
        tls_verify_set(w, NULL);
        tls_sessions_forget(w->sessions, w->session_key);
    }
}

void tls_resume_failed(struct tls_wire *w)
{
    if (w->offered)
        tls_sessions_forget(w->sessions, w->session_key);
}
