/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_request - what is asked of a handshake: a copy of it, and its digests
 *
 * The digests stand for a request in tables of connections and sessions, so whatever has a say in a
 * judgement goes in, each piece behind its length: no two requests give the same bytes.
 */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/tls_internal.h"
#include "proxy/net/tls_sessions_internal.h"

_Static_assert(TLS_DIGEST_LENGTH == SHA256_DIGEST_LENGTH, "it is a SHA-256");
_Static_assert(TLS_SESSION_KEY_LENGTH == SHA256_DIGEST_LENGTH, "so is this");

/* ---- the copy: one block of memory ---- */

struct block {
    char *at; /* the arrays stand first, so they are aligned */
};

static size_t names_size(const struct slice *names, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += names[i].n;
    return n;
}

static size_t bytes_size(const struct tls_request *req)
{
    size_t n = names_size(req->names, req->name_count) +
               names_size(req->dane_names, req->dane_name_count) + req->host.n;

    for (size_t i = 0; i < req->tlsa_count; i++)
        n += req->tlsa[i].data.n;
    return n;
}

static void *put_array(struct block *b, const void *from, size_t count, size_t size)
{
    void *here = b->at;

    if (count > 0)
        memcpy(here, from, count * size);
    b->at += count * size;
    return here;
}

static void put_bytes(struct block *b, struct slice *s)
{
    if (s->p == NULL)
        return;
    memcpy(b->at, s->p, s->n);
    s->p = b->at;
    b->at += s->n;
}

struct tls_request *tls_request_copy(const struct tls_request *req)
{
    size_t slices = req->name_count + req->dane_name_count;
    struct tls_request *copy = mem_zalloc(
        sizeof(*copy) + slices * sizeof(struct slice) + req->tlsa_count * sizeof(*req->tlsa) +
        req->fingerprint_count * sizeof(*req->fingerprints) + bytes_size(req));
    struct block b = {.at = (char *)(copy + 1)};
    struct slice *names, *dane_names;
    struct tlsa_record *tlsa;

    *copy = *req;
    copy->sni = NULL; /* the library has its own */
    if (req->trust != NULL)
        copy->trust = trust_hold(req->trust);
    copy->names = names = put_array(&b, req->names, req->name_count, sizeof(*names));
    copy->dane_names = dane_names =
        put_array(&b, req->dane_names, req->dane_name_count, sizeof(*dane_names));
    copy->tlsa = tlsa = put_array(&b, req->tlsa, req->tlsa_count, sizeof(*tlsa));
    copy->fingerprints =
        put_array(&b, req->fingerprints, req->fingerprint_count, sizeof(*req->fingerprints));
    for (size_t i = 0; i < req->name_count; i++)
        put_bytes(&b, &names[i]);
    for (size_t i = 0; i < req->dane_name_count; i++)
        put_bytes(&b, &dane_names[i]);
    for (size_t i = 0; i < req->tlsa_count; i++)
        put_bytes(&b, &tlsa[i].data);
    put_bytes(&b, &copy->host);
    return copy;
}

void tls_request_free(struct tls_request **req)
{
    if (*req != NULL)
        trust_drop(&(*req)->trust);
    free(*req);
    *req = NULL;
}

/* ---- the digests ---- */

static void add_number(SHA256_CTX *sum, uint64_t n)
{
    SHA256_Update(sum, &n, sizeof(n));
}

static void add_slice(SHA256_CTX *sum, struct slice s)
{
    add_number(sum, s.n);
    if (s.n > 0)
        SHA256_Update(sum, s.p, s.n);
}

static void add_names(SHA256_CTX *sum, const struct slice *names, size_t count)
{
    add_number(sum, count);
    for (size_t i = 0; i < count; i++)
        add_slice(sum, names[i]);
}

static void add_fingerprints(SHA256_CTX *sum, const struct tls_request *req)
{
    add_number(sum, req->fingerprint_count);
    for (size_t i = 0; i < req->fingerprint_count; i++)
        add_slice(sum, slice_of(req->fingerprints[i].digest, req->fingerprints[i].n));
}

static int compare_numbers(unsigned a, unsigned b)
{
    return (a > b) - (a < b);
}

static int compare_records(const void *left, const void *right)
{
    const struct tlsa_record *a = *(const struct tlsa_record *const *)left;
    const struct tlsa_record *b = *(const struct tlsa_record *const *)right;
    int order = compare_numbers(a->usage, b->usage);

    if (order == 0)
        order = compare_numbers(a->selector, b->selector);
    if (order == 0)
        order = compare_numbers(a->matching, b->matching);
    if (order == 0)
        order = (a->data.n > b->data.n) - (a->data.n < b->data.n);
    if (order == 0 && a->data.n > 0)
        order = memcmp(a->data.p, b->data.p, a->data.n);
    return order;
}

/* Servers of DNS turn the order of a set at each answer; a judgement does not depend on it. */
static void add_tlsa(SHA256_CTX *sum, const struct tls_request *req)
{
    const struct tlsa_record *few[8], **order = few;
    bool anchors = false;

    add_number(sum, req->tlsa_count);
    if (req->tlsa_count > sizeof(few) / sizeof(few[0]))
        order = mem_array(req->tlsa_count, sizeof(struct tlsa_record *));
    for (size_t i = 0; i < req->tlsa_count; i++)
        order[i] = &req->tlsa[i];
    if (req->tlsa_count > 1)
        qsort((void *)order, req->tlsa_count, sizeof(struct tlsa_record *), compare_records);
    for (size_t i = 0; i < req->tlsa_count; i++) {
        const struct tlsa_record *r = order[i];
        unsigned char head[4] = {r->usage, r->selector, r->matching, (unsigned char)r->usability};

        SHA256_Update(sum, head, sizeof(head));
        add_slice(sum, r->data);
        anchors |= r->usability == TLSA_USABLE && r->usage == 2;
    }
    if (order != few)
        free((void *)order);
    if (anchors) /* RFC 7672 3.1.1: usage 3 looks at no name */
        add_names(sum, req->dane_names, req->dane_name_count);
}

void tls_request_digest(const struct tls_request *req, unsigned char out[TLS_DIGEST_LENGTH])
{
    SHA256_CTX sum;

    SHA256_Init(&sum);
    add_slice(&sum, slice_str(req->sni));
    add_number(&sum, req->min_version);
    add_number(&sum, (uint64_t)req->min_rsa_bits);
    add_number(&sum, req->trust != NULL);
    if (req->trust != NULL)
        SHA256_Update(&sum, trust_digest(req->trust), TRUST_DIGEST_LENGTH);
    add_names(&sum, req->names, req->name_count);
    add_slice(&sum, req->host);
    add_fingerprints(&sum, req);
    add_tlsa(&sum, req);
    SHA256_Final(out, &sum);
}

void tls_sessions_key(const struct tls_request *req, unsigned char out[TLS_SESSION_KEY_LENGTH])
{
    size_t ip = req->place.family == ADDR_IP6 ? 16 : req->place.family == ADDR_IP4 ? 4 : 0;
    SHA256_CTX sum;

    tls_request_digest(req, out);
    SHA256_Init(&sum);
    SHA256_Update(&sum, out, TLS_DIGEST_LENGTH);
    add_number(&sum, req->needs);
    add_number(&sum, req->rung);
    add_slice(&sum, slice_of(req->place.ip, ip));
    add_number(&sum, req->place.scope);
    add_number(&sum, req->place.port);
    SHA256_Final(out, &sum);
}
