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
    tls_sessions_put(w->sessions, w->session_key, session);
    return 1;
}

void tls_resume_setup(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_reverify_on_resume(ctx, 1);
    SSL_CTX_set_early_data_enabled(ctx, 0); /* it can be replayed */
}

/* A staple that has become too old says nothing of the peer: the full handshake brings a new one. */
static bool still_stands(struct tls_wire *w, const SSL_SESSION *session)
{
    const uint8_t *staple = NULL;
    size_t length = 0;

    SSL_SESSION_get0_ocsp_response(session, &staple, &length);
    return tls_judge(w, SSL_SESSION_get0_peer_certificates(session),
                     length > 0 ? slice_of(staple, length) : SLICE_NONE) == REASON_OK &&
           (!w->facts.judged || w->facts.judgement.ocsp != OCSP_INVALID);
}

void tls_resume_offer(struct tls_wire *w)
{
    SSL_SESSION *session;

    if (w->sessions == NULL) {
        (void)SSL_set_options(w->ssl, SSL_OP_NO_TICKET);
        return;
    }
    session = tls_sessions_take(w->sessions, w->session_key, loop_wall());
    if (session == NULL)
        return;
    w->offered = still_stands(w, session) && SSL_set_session(w->ssl, session) == 1;
    SSL_SESSION_free(session);
    if (!w->offered) {
        tls_unjudge(w);
        tls_sessions_forget(w->sessions, w->session_key);
    }
}

void tls_resume_failed(struct tls_wire *w)
{
    if (w->offered)
        tls_sessions_forget(w->sessions, w->session_key);
}
