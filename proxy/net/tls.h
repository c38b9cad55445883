/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tls - client-side TLS: the context, what is asked of a handshake, what is known after it
 *
 * DESCRIPTION
 *      Minimum TLS 1.2; AEAD ECDHE suites only; X25519, P-256 (and P-384 last); X25519MLKEM768 offered without its
 *      key share where the library has it.  SNI is a host name, never an address (C-TLS-07); no client
 *      certificate (C-TLS-12).  The chain is judged by certs/judge inside the handshake: at levels
 *      that owe trust a bad one ends it with the fitting alert; below, the judgement is only kept
 *      (computed always).  Library errors and alerts become reasons with names (C-TLS-10).
 *      A tls_context is constant and shared by threads with counted holds.
 */
#ifndef TLSMEND_NET_TLS_H
#define TLSMEND_NET_TLS_H

#include "certs/judge.h"
#include "proxy/policy/demand.h"
#include "proxy/policy/reason.h"

struct tls_context;

struct tls_context *tls_context_new(struct buf *error);
struct tls_context *tls_context_hold(struct tls_context *c);
void tls_context_drop(struct tls_context **c);

struct tls_request { /* copied by stream_start_tls() */
    const char *sni; /* NULL or "": none (address literals) */
    enum tls_version min_version;
    struct trust_store *trust; /* held for the life of the handshake */
    const struct slice *names; /* reference names; none: not checked */
    size_t name_count;
    const struct fingerprint *fingerprints;
    size_t fingerprint_count;
    enum tls_level level; /* decides whether a bad judgement ends the handshake */
    int min_rsa_bits;
};

struct tls_facts {
    enum reason reason;                     /* OK, or why the handshake failed */
    char detail[256];                       /* library's or alert's own words, escaped */
    const char *version;                    /* "TLSv1.3"; "" if it never came so far */
    const char *cipher, *group, *signature; /* "" if unknown */
    bool resumed;
    struct tls_reached reached; /* for outbound_tls_up() */
    bool judged;                /* a chain came and was judged */
    struct judgement judgement; /* owned by the stream */
};

#endif
