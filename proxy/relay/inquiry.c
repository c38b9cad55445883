/* SPDX-License-Identifier: Apache-2.0 */
/* See inquiry.h. */
#include "proxy/relay/inquiry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/store.h"

#define PROBE_MS 3000
#define DETAIL_MAX 1024

struct inquiry {
    struct services services;
    struct snapshot *snapshot;
    struct store *store;
    enum dnssec_state dnssec;
    struct buf dnssec_detail;
    const struct policy_entry *held;
    const struct destination *answer;
};

static bool open_services(struct inquiry *q, struct settings *set, struct buf *note,
                          struct buf *error)
{
    struct store_params p = {
        .path = set->store.path,
        .policies_max = (size_t)set->mta_sts.policies,
        .rungs_max = (size_t)set->tls.ladder_addresses,
        .read_only = true,
    };
    struct services *sv = &q->services;
    struct dnssec_trust trust;

    dnssec_trust_start(&trust, set->resolver.trust_anchor[0] != '\0', set->resolver.require_dnssec);
    q->dnssec = dnssec_probe_now(set, PROBE_MS, &q->dnssec_detail);
    (void)dnssec_trust_probed(&trust, q->dnssec); /* as a daemon at its start would take it */
    q->store = store_open(&p, note);
    sv->policies = store_policies(q->store);
    sv->rungs = store_rungs(q->store);
    sv->log = log_new(NULL, 0, error); /* nobody reads it */
    sv->loop = loop_new();
    if (sv->log == NULL || sv->loop == NULL) {
        (void)buf_addf(error, "no event loop: %s\n", strerror(errno));
        return false;
    }
    sv->validating = dnssec_trust_validates(&trust);
    sv->resolver = resolver_share_from(sv->loop, set, sv->validating, error);
    sv->sts = sts_agent_new(sv, 1);
    return sv->resolver != NULL;
}

struct inquiry *inquiry_new(struct settings *settings, struct buf *note, struct buf *error)
{
    struct inquiry *q = mem_zalloc(sizeof(*q));

    buf_init(&q->dnssec_detail, DETAIL_MAX);
    q->snapshot = snapshot_new(settings, NULL, 0, error);
    if (q->snapshot == NULL || !open_services(q, settings, note, error))
        inquiry_free(&q);
    return q;
}

enum dnssec_state inquiry_dnssec(struct inquiry *q, const char **detail)
{
    *detail = buf_cstr(&q->dnssec_detail);
    return q->dnssec;
}

const struct policy_entry *inquiry_held(struct inquiry *q, const char *domain)
{
    policy_entry_drop(&q->held);
    q->held = policies_find(q->services.policies, domain);
    return q->held != NULL && q->held->held.policy ? q->held : NULL;
}

static void on_answer(void *owner, const struct destination *d)
{
    struct inquiry *q = owner;

    q->answer = d;
    loop_stop(q->services.loop);
}

const struct destination *inquiry_ask(struct inquiry *q, const char *domain)
{
    struct mailbox recipient = {.domain = slice_str(domain)};
    struct destination_wish wish = {.requiretls = false, .observe = OBSERVE_UNSET};

    destination_drop(&q->answer);
    (void)destination_find(&q->services, q->snapshot, &recipient, &wish, on_answer, q);
    loop_run(q->services.loop);
    return q->answer;
}

void inquiry_free(struct inquiry **held)
{
    struct inquiry *q = *held;

    *held = NULL;
    if (q == NULL)
        return;
    destination_drop(&q->answer);
    policy_entry_drop(&q->held);
    if (q->services.sts != NULL)
        sts_agent_free(&q->services.sts);
    resolver_share_drop(&q->services.resolver);
    if (q->services.loop != NULL)
        loop_free(&q->services.loop);
    if (q->services.log != NULL)
        log_stop(&q->services.log);
    if (q->store != NULL)
        store_close(&q->store);
    snapshot_drop(&q->snapshot);
    buf_clear(&q->dnssec_detail);
    free(q);
}
