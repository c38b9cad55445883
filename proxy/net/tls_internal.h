/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls_internal - one TLS connection without a socket, and what stands around it
 *
 * DESCRIPTION
 *      A tls_wire turns records into bytes and back; the stream moves the records between wire_in,
 *      wire_out and the socket.  No step blocks, and none calls back into the stream.
 */
#ifndef TLSMEND_NET_TLS_INTERNAL_H
#define TLSMEND_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "proxy/net/queue_internal.h"
#include "proxy/net/tls.h"

#define TLS_WIRE_MAGIC 0x57495245u
#define TLS_DETAIL_MAX sizeof(((struct tls_facts *)NULL)->detail)
/* One whole record (RFC 8446 5.2: 5 + 2^14 + 256) and the begin of the next. */
#define TLS_WIRE_IN_HIGH (20 * 1024)
#define TLS_CHUNK 16384
/* Session tickets taken from one connection: one to follow it, and some for those beside it. */
#define TLS_TICKETS_MAX 4

struct tls_context {
    atomic_uint holds;
    SSL_CTX *ssl;
    BIO_METHOD *bio;
};

/*
 * What was judged of a chain by one request: constant once it is made, held by the connections and the
 * sessions that came of that chain.
 */
struct tls_verdict {
    atomic_uint holds;
    wall_ms made;
    bool judged, dane_judged; /* which of the two */
    struct judgement judgement;
    struct dane_judgement dane;
};

struct tls_wire {
    uint32_t magic;
    struct tls_context *context;
    SSL *ssl;
    struct queue in, out;   /* records */
    unsigned char first[5]; /* the first bytes of the peer: is it TLS at all? */
    size_t first_count;
    bool certificate_asked; /* the server wants one of ours */
    bool done;              /* the handshake is complete */
    bool said_bye;

    unsigned needs;
    enum tls_rung rung;
    struct tls_request *asked; /* a copy; gone when the handshake is complete */

    struct tls_sessions *sessions; /* NULL: nothing is offered and no ticket is taken */
    unsigned char session_key[TLS_DIGEST_LENGTH];
    bool offered;     /* a session; `verdict` is about its chain, by this request and time */
    unsigned tickets; /* that came */

    bool verified;               /* the verify callback has come */
    enum reason refusal;         /* by it; OK: none */
    struct tls_verdict *verdict; /* NULL: no chain; the facts repeat it */
    struct tls_facts facts;      /* of the handshake; never changed behind it */
    enum reason end_reason;      /* TLS_FAILED behind the handshake: why ... */
    char *end_detail;            /* ... and in whose words; NULL: it did not end so */
};

enum tls_step {
    TLS_MORE,   /* nothing more to do until records come (or go) */
    TLS_DONE,   /* the handshake is complete; *n bytes were read or written */
    TLS_CLOSED, /* close_notify */
    TLS_FAILED, /* facts.reason and facts.detail say why, behind the handshake end_reason and end_detail */
};

/* If the library refuses, the first step of the handshake fails and says so. */
struct tls_wire *tls_wire_new(struct tls_context *c, const struct tls_request *req);
void tls_wire_free(struct tls_wire **w);
enum tls_step tls_wire_handshake(struct tls_wire *w);
enum tls_step tls_wire_read(struct tls_wire *w, void *into, size_t max, size_t *n);
enum tls_step tls_wire_write(struct tls_wire *w, const void *from, size_t max, size_t *n);
void tls_wire_say_bye(struct tls_wire *w); /* close_notify into `out` */
/* The handshake ends here for a reason that the library does not know. */
void tls_wire_fail(struct tls_wire *w, enum reason why, const char *detail);

/* tls_wire.c: for BIO_METHOD */
bool tls_wire_bio_method(struct tls_context *c);

/* tls_request.c.  The copy: without SNI, trust held. */
struct tls_request *tls_request_copy(const struct tls_request *req);
void tls_request_free(struct tls_request **req);

/* tls_resume.c */
void tls_resume_setup(SSL_CTX *ctx);
/* Offers a session where one is kept whose chain still stands. */
void tls_resume_offer(struct tls_wire *w);
/* The handshake failed: what was offered is not offered again. */
void tls_resume_failed(struct tls_wire *w);

/* tls.c: what this rung of the ladder offers.  False: the library refuses. */
bool tls_offer(SSL *ssl, enum tls_rung rung, enum tls_version least);

/* tls_verdict.c */
/* Judges; NULL: there is no certificate. */
struct tls_verdict *tls_verdict_new(const struct tls_wire *w, const STACK_OF(CRYPTO_BUFFER) * chain,
                                    struct slice staple);
struct tls_verdict *tls_verdict_hold(struct tls_verdict *v);
void tls_verdict_drop(struct tls_verdict **v);
/* The same request would be told the same of the same chain. */
bool tls_verdict_stands(const struct tls_verdict *v, wall_ms now);
bool tls_verdict_same(const struct tls_verdict *a, const struct tls_verdict *b);
/* PKIX or DANE vouches for the peer. */
bool tls_verdict_good(const struct tls_verdict *v);
/* The host's own name is not in the certificate, whatever other names are (RFC 8461 4.2). */
void tls_verdict_no_host(const struct tls_request *asked, const struct judgement *j,
                         struct buf *out);

/* tls_verify.c: takes the verdict over as that of the connection; NULL takes back what there is. */
void tls_verify_set(struct tls_wire *w, struct tls_verdict *v);
/* OK, or why the needs cannot live with the verdict. */
enum reason tls_verify_refusal(const struct tls_wire *w);
/* What the certificates give. */
void tls_verify_reached(const struct tls_wire *w, struct tls_reached *out);
/* With w->refusal: the words of the judgement that refused, which also may live in `scratch`. */
const char *tls_verify_detail(const struct tls_wire *w, char scratch[TLS_DETAIL_MAX]);
/* SSL_CTX_set_custom_verify() */
enum ssl_verify_result_t tls_verify(SSL *ssl, uint8_t *alert);
/* SSL_CTX_set_cert_cb(): the server asked for a certificate of ours; it gets none (C-TLS-12). */
int tls_on_certificate_request(SSL *ssl, void *arg);

/* tls_reason.c: what the library's error queue says, which it empties. */
void tls_explain(const struct tls_wire *w, enum reason *why, char detail[TLS_DETAIL_MAX]);
/* The first bytes of the peer are no TLS record (C-TLS-02): which reason that is. */
enum reason tls_explain_start(struct slice bytes, char detail[TLS_DETAIL_MAX]);
bool tls_is_record_start(unsigned char first);

#endif
