/* SPDX-License-Identifier: Apache-2.0 */
/* See sts_fetch.h. */
#include "proxy/relay/sts_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/https.h"

#define FETCH_MAGIC 0x73746674u
#define HTTPS_PORT 443
#define ADDRESSES_MAX 8
#define HOST_PREFIX "mta-sts."
#define POLICY_PATH "/.well-known/mta-sts.txt"

struct sts_fetch {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot;
    struct resolver_share *resolver;
    sts_fetch_done_fn *done;
    void *owner;
    char host[sizeof(HOST_PREFIX) + DOMAIN_MAX + 3];
    struct dns_query *a, *aaaa;
    unsigned pending;
    struct addr addrs[ADDRESSES_MAX];
    size_t addr_count, refused;
    char dns_trouble[128];
    struct https_fetch *https;
    mono_ms started;
    bool ended;
};

static void fetch_free(void *owner)
{
    struct sts_fetch *f = OBJ_CAST(sts_fetch, FETCH_MAGIC, owner);

    resolver_share_drop(&f->resolver);
    snapshot_drop(&f->snapshot);
    f->magic = 0;
    free(f);
}

static void fetch_end(struct sts_fetch *f, struct sts_fetched_text *text)
{
    f->ended = true;
    text->took_ms = loop_now(f->services->loop) - f->started;
    f->done(f->owner, text);
    loop_defer(f->services->loop, fetch_free, f);
}

static void fetch_fail(struct sts_fetch *f, enum reason why, const char *what, const char *more)
{
    struct sts_fetched_text text = {.reason = why};
    struct buf words;

    buf_init(&words, sizeof(text.detail) - 1);
    (void)buf_addf(&words, "%s: %s%s", f->host, what, more[0] != '\0' ? ": " : "");
    (void)buf_add(&words, slice_first(slice_str(more), sizeof(text.detail) - 1 - words.n));
    (void)snprintf(text.detail, sizeof(text.detail), "%s", buf_cstr(&words));
    buf_clear(&words);
    fetch_end(f, &text);
}

/* ---- the answer ---- */

/* A whole answer came: is it a policy? */
static void judge_answer(struct sts_fetch *f, const struct https_answer *a)
{
    struct sts_fetched_text text = {.reason = REASON_OK, .body = a->body};
    struct sts_policy policy;
    const char *why = "";
    char status[32];

    if (a->status != 200) { /* a redirect too: RFC 8461 3.3 */
        (void)snprintf(status, sizeof(status), "HTTP %d", a->status);
        fetch_fail(f, REASON_STS_FETCH_FAILED, status,
                   a->status / 100 == 3 ? "redirects must not be followed" : "");
        return;
    }
    switch (sts_media_type(a->has_content_type ? slice_str(a->content_type) : SLICE_NONE)) {
    case STS_MEDIA_OTHER:
        fetch_fail(f, REASON_STS_FETCH_FAILED, "the type is not text/plain", a->content_type);
        return;
    case STS_MEDIA_MISSING:
        text.untyped = true;
        break;
    case STS_MEDIA_PLAIN:
        break;
    }
    if (!sts_policy_parse(a->body, &policy, &why, NULL, NULL)) {
        fetch_fail(f, REASON_STS_POLICY_INVALID, "the policy is against the grammar", why);
        return;
    }
    sts_policy_clear(&policy);
    fetch_end(f, &text);
}

static void on_https(void *owner, const struct https_answer *a)
{
    struct sts_fetch *f = OBJ_CAST(sts_fetch, FETCH_MAGIC, owner);

    f->https = NULL;
    if (a->end == HTTPS_OK)
        judge_answer(f, a);
    else
        fetch_fail(f, a->end == HTTPS_CERT ? REASON_STS_WEBPKI_INVALID : REASON_STS_FETCH_FAILED,
                   a->end == HTTPS_CERT || a->end == HTTPS_TLS ? reason_info(a->tls_reason)->token
                                                               : https_end_name(a->end),
                   a->detail);
}

/* ---- the addresses ---- */

static void take_addresses(struct sts_fetch *f, const struct dns_answer *answer)
{
    struct addr_filter filter = snapshot_addr_filter(f->snapshot, HTTPS_PORT);

    if (answer->status > DNS_NXDOMAIN)
        (void)snprintf(f->dns_trouble, sizeof(f->dns_trouble), "%s %s",
                       dns_status_name(answer->status),
                       answer->detail != NULL ? answer->detail : "");
    if (answer->status != DNS_OK)
        return;
    for (size_t i = 0; i < answer->count && f->addr_count < ADDRESSES_MAX; i++) {
        struct addr a = answer->addrs[i];

        a.port = HTTPS_PORT;
        if (addr_judge(&filter, &a) == ADDR_ACCEPTED)
            f->addrs[f->addr_count++] = a;
        else
            f->refused++;
    }
}

static void connect_host(struct sts_fetch *f)
{
    const struct settings *set = snapshot_settings(f->snapshot);
    int64_t left = set->mta_sts.timeout - (loop_now(f->services->loop) - f->started);
    struct https_request req = {
        .tls = snapshot_tls(f->snapshot),
        .trust = snapshot_trust(f->snapshot, NULL),
        .host = f->host,
        .path = POLICY_PATH,
        .addrs = f->addrs,
        .addr_count = f->addr_count,
        .body_max = STS_POLICY_MAX,
        .timeout = left > 0 ? left : 0,
        .min_rsa_bits = set->tls.min_rsa_bits,
    };

    f->https = https_get(f->services->loop, &req, on_https, f);
}

static void addresses_known(struct sts_fetch *f)
{
    if (--f->pending > 0)
        return;
    if (f->addr_count > 0)
        connect_host(f);
    else if (f->refused > 0)
        fetch_fail(f, REASON_STS_FETCH_FAILED,
                   "its addresses are loopback, private or multicast ones", "");
    else if (f->dns_trouble[0] != '\0')
        fetch_fail(f, REASON_STS_FETCH_FAILED, "its address cannot be looked up", f->dns_trouble);
    else
        fetch_fail(f, REASON_STS_FETCH_FAILED, "the host has no address", "");
}

static void on_a(void *owner, const struct dns_answer *answer)
{
    struct sts_fetch *f = OBJ_CAST(sts_fetch, FETCH_MAGIC, owner);

    f->a = NULL;
    take_addresses(f, answer);
    addresses_known(f);
}

static void on_aaaa(void *owner, const struct dns_answer *answer)
{
    struct sts_fetch *f = OBJ_CAST(sts_fetch, FETCH_MAGIC, owner);

    f->aaaa = NULL;
    if (!services_ip6_broken(f->services) || f->addr_count == 0)
        take_addresses(f, answer);
    addresses_known(f);
}

struct sts_fetch *sts_fetch_start(struct services *sv, struct snapshot *snap, const char *domain,
                                  sts_fetch_done_fn *done, void *owner)
{
    struct sts_fetch *f = mem_zalloc(sizeof(*f));

    f->magic = FETCH_MAGIC;
    f->services = sv;
    f->snapshot = snapshot_hold(snap);
    f->resolver = resolver_share_hold(sv->resolver);
    f->done = done;
    f->owner = owner;
    f->started = loop_now(sv->loop);
    (void)snprintf(f->host, sizeof(f->host), HOST_PREFIX "%s", domain);
    f->pending = 2;
    f->a = dns_ask(resolver_of(f->resolver), f->host, DNS_A, on_a, f);
    f->aaaa = dns_ask(resolver_of(f->resolver), f->host, DNS_AAAA, on_aaaa, f);
    return f;
}

void sts_fetch_cancel(struct sts_fetch **held)
{
    struct sts_fetch *f = *held;

    *held = NULL;
    if (f == NULL || f->ended)
        return;
    f->ended = true;
    dns_cancel(&f->a);
    dns_cancel(&f->aaaa);
    https_cancel(&f->https);
    loop_defer(f->services->loop, fetch_free, f);
}
