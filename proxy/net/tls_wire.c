/* SPDX-License-Identifier: Apache-2.0 */
/* tls_wire - see tls_internal.h for the contract. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/addr.h"
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/tls_compat_internal.h"
#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions_internal.h"

/* ---- the BIO: records come from `in` and go to `out`, nobody else copies them ---- */

static int bio_read(BIO *bio, char *into, int max)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, BIO_get_data(bio));
    struct slice some;

    BIO_clear_retry_flags(bio);
    if (max <= 0)
        return 0;
    some = slice_first(queue_slice(&w->in), (size_t)max);
    if (some.n == 0) {
        BIO_set_retry_read(bio); /* whether more will come is the stream's to know */
        return -1;
    }
    memcpy(into, some.p, some.n);
    queue_drop(&w->in, some.n);
    return (int)some.n;
}

static int bio_write(BIO *bio, const char *from, int n)
{
    struct tls_wire *w = OBJ_CAST(tls_wire, TLS_WIRE_MAGIC, BIO_get_data(bio));

    BIO_clear_retry_flags(bio);
    if (n <= 0)
        return 0;
    /* No limit here: the stream stops writing at SEALED_HIGH, and what the library says by
     * itself (alerts, one answer to any number of KeyUpdates) is small. */
    queue_add(&w->out, slice_of(from, (size_t)n));
    return n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

bool tls_wire_bio_method(struct tls_context *c)
{
    c->bio = BIO_meth_new(0, "queues");
    return c->bio != NULL && BIO_meth_set_create(c->bio, bio_create) == 1 &&
           BIO_meth_set_read(c->bio, bio_read) == 1 && BIO_meth_set_write(c->bio, bio_write) == 1 &&
           BIO_meth_set_ctrl(c->bio, bio_ctrl) == 1;
}

/* ---- making and freeing ---- */

/* C-TLS-07: a host name, never an address. */
static bool set_sni(SSL *ssl, const char *name)
{
    struct addr ignored;

    if (name == NULL || name[0] == '\0' || name[0] == '[' || addr_parse(slice_str(name), &ignored))
        return true;
    return SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool open_ssl(struct tls_wire *w, const struct tls_request *req)
{
    BIO *bio;

    w->ssl = SSL_new(w->context->ssl);
    if (w->ssl == NULL || SSL_set_app_data(w->ssl, w) != 1 || !set_sni(w->ssl, req->sni) ||
        !tls_offer(w->ssl, w->rung, req->min_version))
        return false;
    bio = BIO_new(w->context->bio);
    if (bio == NULL)
        return false;
    BIO_set_data(bio, w);
    SSL_set_bio(w->ssl, bio, bio); /* takes it over, once for both */
    SSL_set_connect_state(w->ssl);
    /* Only PKIX asks for it: with a pinned key or DANE-EE (RFC 7671 5.1) it does not matter. */
    tls_compat_key_usage(w->ssl, (w->needs & NEED_CHAIN) != 0);
    SSL_set_shed_handshake_config(w->ssl, 1);
    tls_resume_offer(w);
    return true;
}

struct tls_wire *tls_wire_new(struct tls_context *c, const struct tls_request *req)
{
    struct tls_wire *w = mem_zalloc(sizeof(*w));
    char detail[TLS_DETAIL_MAX];
    enum reason why;

    w->magic = TLS_WIRE_MAGIC;
    w->context = tls_context_hold(c);
    w->facts.version = w->facts.cipher = w->facts.group = w->facts.signature = "";
    w->needs = req->needs;
    w->rung = req->rung;
    w->asked = tls_request_copy(req);
    if (req->sessions != NULL && w->rung == RUNG_FULL) {
        w->sessions = req->sessions;
        tls_sessions_key(req, w->session_key);
    }
    ERR_clear_error();
    if (w->rung >= RUNG_CLEAR || (w->rung == RUNG_TLS12 && req->min_version == TLS_VERSION_1_3)) {
        tls_wire_fail(w, REASON_INTERNAL, "no version of TLS is both allowed and on this rung");
    } else if (!open_ssl(w, req)) {
        tls_explain(w, &why, detail);
        tls_wire_fail(w, REASON_INTERNAL, detail);
    }
    return w;
}

void tls_wire_free(struct tls_wire **wire)
{
    struct tls_wire *w = *wire;

    *wire = NULL;
    if (w == NULL)
        return;
    if (!w->done) /* it may have stalled: then nobody says that it failed */
        tls_resume_failed(w);
    SSL_free(w->ssl);
    queue_clear(&w->in);
    queue_clear(&w->out);
    tls_verify_set(w, NULL);
    free(w->end_detail);
    tls_request_free(&w->asked);
    tls_context_drop(&w->context);
    w->magic = 0;
    free(w);
}

/* ---- steps ---- */

void tls_wire_fail(struct tls_wire *w, enum reason why, const char *detail)
{
    w->facts.reason = why;
    (void)snprintf(w->facts.detail, sizeof(w->facts.detail), "%s", detail);
    w->facts.reached = (struct tls_reached){.tls = false};
    if (!w->verified) /* of a session that was offered: this peer has not shown it */
        tls_verify_set(w, NULL);
    tls_resume_failed(w);
}

static void learn(struct tls_wire *w)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(w->ssl);
    const char *signature;

    if (cipher == NULL)
        cipher = SSL_get_current_cipher(w->ssl); /* pending no more: the handshake is complete */
    if (cipher == NULL)                          /* no ServerHello: nothing is known */
        return;
    w->facts.version = SSL_get_version(w->ssl);
    w->facts.cipher = SSL_CIPHER_standard_name(cipher);
    w->facts.group = tls_compat_group_name(w->ssl);
    signature = SSL_get_signature_algorithm_name(SSL_get_peer_signature_algorithm(w->ssl),
                                                 SSL_version(w->ssl) == TLS1_3_VERSION);
    w->facts.signature = signature != NULL ? signature : "";
    w->facts.resumed = SSL_session_reused(w->ssl) == 1;
}

static void failed(struct tls_wire *w)
{
    enum reason why;
    char detail[TLS_DETAIL_MAX];

    tls_explain(w, &why, detail);
    if (w->done) {
        w->end_reason = why;
        free(w->end_detail);
        w->end_detail = mem_strdup(detail);
    } else if (w->refusal == REASON_OK) {
        tls_wire_fail(w, why, detail);
    } else {
        tls_wire_fail(w, w->refusal, tls_verify_detail(w, detail));
    }
}

static bool starts_right(struct tls_wire *w)
{
    struct slice begin = slice_first(queue_slice(&w->in), 64);
    char detail[TLS_DETAIL_MAX];

    if (w->first_count == sizeof(w->first))
        return true;
    /* Of the records only the begin of the very first is looked at; it may come byte by byte. */
    if (begin.n == 0)
        return true;
    if (w->first_count == 0 && !tls_is_record_start((unsigned char)begin.p[0])) {
        enum reason why = tls_explain_start(begin, detail);

        tls_wire_fail(w, why, detail);
        return false;
    }
    for (size_t i = 0; i < begin.n && w->first_count < sizeof(w->first); i++)
        w->first[w->first_count++] = (unsigned char)begin.p[i];
    return true;
}

static enum tls_step complete(struct tls_wire *w)
{
    learn(w);
    if (!w->verified || w->refusal != REASON_OK) { /* C-CERT-05: nothing passes unseen */
        tls_wire_fail(w, REASON_CERT_UNCHECKED, "the library did not ask for a judgement");
        return TLS_FAILED;
    }
    w->done = true;
    tls_verify_reached(w, &w->facts.reached);
    tls_request_free(&w->asked);
    return TLS_DONE;
}

enum tls_step tls_wire_handshake(struct tls_wire *w)
{
    int r;

    if (w->facts.reason != REASON_OK || !starts_right(w))
        return TLS_FAILED;
    ERR_clear_error();
    r = SSL_do_handshake(w->ssl);
    if (r == 1)
        return complete(w);
    switch (SSL_get_error(w->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        learn(w);
        tls_wire_fail(w, REASON_TLS_RESET, "alert of the server: close notify");
        return TLS_FAILED;
    default:
        learn(w);
        failed(w);
        return TLS_FAILED;
    }
}

static enum tls_step after(struct tls_wire *w, int r)
{
    switch (SSL_get_error(w->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        failed(w);
        return TLS_FAILED;
    }
}

enum tls_step tls_wire_read(struct tls_wire *w, void *into, size_t max, size_t *n)
{
    int r;

    INVARIANT(w->done && max > 0 && max <= TLS_CHUNK);
    ERR_clear_error();
    r = SSL_read(w->ssl, into, (int)max);
    *n = r > 0 ? (size_t)r : 0;
    return r > 0 ? TLS_DONE : after(w, r);
}

enum tls_step tls_wire_write(struct tls_wire *w, const void *from, size_t max, size_t *n)
{
    int r;

    INVARIANT(w->done && max > 0 && max <= TLS_CHUNK);
    ERR_clear_error();
    r = SSL_write(w->ssl, from, (int)max);
    *n = r > 0 ? (size_t)r : 0;
    return r > 0 ? TLS_DONE : after(w, r);
}

void tls_wire_say_bye(struct tls_wire *w)
{
    if (!w->done || w->said_bye)
        return;
    w->said_bye = true;
    ERR_clear_error();
    (void)SSL_shutdown(w->ssl); /* 0 or 1; after a fatal error it says nothing */
    ERR_clear_error();
}
