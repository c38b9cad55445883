/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      judge_case - a chain, a trust store and a question, for the tests of the judge
 *
 * DESCRIPTION
 *      A case owns the certificates that are put into it; case_end() frees them.
 */
#ifndef TLSMEND_TESTS_JUDGE_CASE_H
#define TLSMEND_TESTS_JUDGE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/judge.h"
#include "tests/unit/certs/make_cert.h"

#define CASE_CERTS 40

struct judge_case {
    struct slice certs[CASE_CERTS]; /* all that were made, owned */
    size_t cert_count;
    struct slice chain[CASE_CERTS], anchors[CASE_CERTS];
    size_t chain_count, anchor_count;
    const char *host; /* NULL: names are not checked */
    struct slice ocsp;
    struct trust_store *trust; /* NULL: made of `anchors` */
    int64_t now;               /* seconds; 0: TEST_NOW */
    struct judgement got;
};

static inline struct slice case_make(struct judge_case *c, const struct make *m)
{
    assert_true(c->cert_count < CASE_CERTS);
    c->certs[c->cert_count] = make_cert(m);
    return c->certs[c->cert_count++];
}

static inline void case_send(struct judge_case *c, struct slice cert)
{
    assert_true(c->chain_count < CASE_CERTS);
    c->chain[c->chain_count++] = cert;
}

static inline void case_trust(struct judge_case *c, struct slice cert)
{
    c->anchors[c->anchor_count++] = cert;
}

static inline enum reason case_judge(struct judge_case *c)
{
    struct slice name = slice_str(c->host);
    struct judge_request req = {.trust = c->trust,
                                .chain = c->chain,
                                .chain_count = c->chain_count,
                                .names = &name,
                                .name_count = c->host != NULL ? 1 : 0,
                                .ocsp = c->ocsp,
                                .now = (c->now != 0 ? c->now : TEST_NOW) * 1000,
                                .min_rsa_bits = 2048};
    struct trust_store *own = NULL;
    struct buf error;

    buf_init(&error, 1000);
    if (c->trust == NULL)
        req.trust = own = trust_from_der(c->anchors, c->anchor_count, &error);
    assert_non_null(req.trust);
    judgement_clear(&c->got);
    judge_chain(&req, &c->got);
    trust_drop(&own);
    buf_clear(&error);
    return c->got.reason;
}

static inline bool case_also(const struct judge_case *c, enum reason r)
{
    for (size_t i = 0; i < c->got.also_count; i++)
        if (c->got.also[i] == r)
            return true;
    return false;
}

static inline void case_end(struct judge_case *c)
{
    for (size_t i = 0; i < c->cert_count; i++)
        make_free(&c->certs[i]);
    judgement_clear(&c->got);
    trust_drop(&c->trust);
    make_free(&c->ocsp);
}

/* Says which case of a table failed, and what it got. */
static inline void case_expect(const char *name, const struct judge_case *c, enum reason want)
{
    if (c->got.reason != want)
        fail_msg("%s: wanted %s, got %s (%s)", name, reason_info(want)->token,
                 reason_info(c->got.reason)->token, c->got.detail);
}

/* The usual three. */
static inline struct make make_root(const char *name, int key)
{
    return (struct make){.subject = name, .key = make_key(key), .basic = BASIC_CA, .usage = "cr"};
}

static inline struct make make_issuer(const char *name, int key, const char *by, int by_key)
{
    return (struct make){.subject = name,
                         .issuer = by,
                         .key = make_key(key),
                         .signer = make_key(by_key),
                         .basic = BASIC_CA,
                         .usage = "cr"};
}

static inline struct make make_leaf(const char *const *dns, int key, const char *by, int by_key)
{
    return (struct make){.subject = "leaf",
                         .issuer = by,
                         .key = make_key(key),
                         .signer = make_key(by_key),
                         .dns = dns,
                         .usage = "s",
                         .extended = "server"};
}

#endif
