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
 *      (computed always).  The same holds for TLSA records.  The rungs of the ladder (C-TLS-06): FULL; COMPACT,
 *      the smallest hello that a modern peer answers (few groups, suites and signatures, no OCSP: about 210 bytes
 *      and the name; from a name of 54 bytes on Debian's library pads it to 517); TLS12, the compact hello
 *      without TLS 1.3 (about 110 bytes and the name), which fails at once where min_version is 1.3.
 *      Library errors and alerts become reasons with names (C-TLS-10).
 *      A tls_context is constant and shared by threads with counted holds.
 */
#ifndef TLSMEND_NET_TLS_H
#define TLSMEND_NET_TLS_H

#include "certs/dane.h"
#include "certs/judge.h"
#include "proxy/base/addr.h"
#include "proxy/policy/demand.h"
#include "proxy/policy/ladder.h"
#include "proxy/policy/reason.h"

struct tls_context;
struct tls_sessions;

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
    struct slice host; /* the MX host's own name, for NEED_HOST; absent: it is not looked for */
    const struct tlsa_record *tlsa; /* the records of the host; none: no DANE */
    size_t tlsa_count;
    const struct slice *dane_names; /* reference names for usage 2 */
    size_t dane_name_count;
    unsigned needs; /* of enum demand_need: decides whether a bad judgement ends the handshake */
    enum tls_rung rung; /* FULL, COMPACT, TLS12 */
    int min_rsa_bits;
    struct tls_sessions *sessions; /* NULL: no resumption; only the full hello offers one.  Outlives
                                      the stream */
    struct addr place;             /* address and port: a session is for them alone */
};

/*
 * What a judgement of the peer depends on, beside its certificates and the time: SNI, least version, the
 * content of the trust store, names, pins, TLSA records, the limits.  Two requests with one digest get the
 * same facts from the same peer, so a connection made for one may be held against the needs of the other.
 * `needs`, rung, sessions and place are not in it.
 */
#define TLS_DIGEST_LENGTH 32
void tls_request_digest(const struct tls_request *req, unsigned char out[TLS_DIGEST_LENGTH]);

struct tls_facts {
    enum reason reason;                     /* OK, or why the handshake failed */
    char detail[256];                       /* library's or alert's own words, escaped */
    const char *version;                    /* "TLSv1.3"; "" if it never came so far */
    const char *cipher, *group, *signature; /* "" if unknown */
    bool resumed;
    struct tls_reached reached; /* for outbound_tls_up() */
    bool judged;                /* a chain came and was judged */
    struct judgement judgement; /* owned by the stream */
    bool dane_judged;           /* there were records, and they were compared */
    struct dane_judgement dane;
};

#endif
