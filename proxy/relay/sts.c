/* SPDX-License-Identifier: Apache-2.0 */
/* See sts.h; what to do next is policy/sts_plan's word. */
#include "proxy/relay/sts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/sts_internal.h"

#define TOO_MANY "too many fetches at one time: mta_sts.fetches is the bound"

static unsigned bucket_of(const char *domain)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *domain != '\0'; domain++)
        hash = (hash ^ (unsigned char)*domain) * 16777619u;
    return hash % STS_BUCKETS;
}

/* ---- the end of a look-up ---- */

static void work_free(void *owner)
{
    struct sts_work *w = OBJ_CAST(sts_work, STS_WORK_MAGIC, owner);

    policy_entry_drop(&w->held);
    timer_free(&w->patience);
    timer_free(&w->other);
    resolver_share_drop(&w->resolver);
    snapshot_drop(&w->snapshot);
    w->magic = 0;
    free(w);
}

static void leave_queue(struct sts_work *w)
{
    if (w->queued)
        TAILQ_REMOVE(&w->agent->queue, w, places);
    w->queued = false;
}

static void fetch_or_wait(struct sts_work *w);

static void give_slot_back(struct sts_agent *a)
{
    struct sts_work *next;

    a->fetching--;
    while (!a->ending && a->fetching < a->fetches && (next = TAILQ_FIRST(&a->queue)) != NULL) {
        leave_queue(next);
        fetch_or_wait(next);
    }
}

static void unclaim(struct sts_work *w)
{
    if (w->claimed)
        policies_release(w->agent->services->policies, w->domain);
    w->claimed = false;
}

static void work_unlink(struct sts_work *w)
{
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    leave_queue(w);
    dns_cancel(&w->txt);
    if (w->fetch != NULL) {
        sts_fetch_cancel(&w->fetch);
        give_slot_back(w->agent);
    }
    unclaim(w);
    timer_disarm(w->patience);
    timer_disarm(w->other);
    loop_defer(w->agent->services->loop, work_free, w);
}

static void good_for(struct sts_work *w, int64_t ms)
{
    mono_ms until = loop_now(w->agent->services->loop) + ms;

    if (until < w->good_until)
        w->good_until = until;
}

/* Everybody who waits hears the same.  A waiter may ask for another domain in its answer, or cancel one
 * that waits behind it. */
static void work_end(struct sts_work *w, const struct sts_step_taken *taken)
{
    wall_ms now = loop_wall();
    bool in_force = taken->step == STS_STEP_HELD || taken->step == STS_STEP_NEW;

    if (w->trouble != REASON_OK || taken->degraded)
        good_for(w, STS_TROUBLE_MS);
    sts_log(w, taken);
    if (in_force && w->waiters != NULL)
        policies_used(w->agent->services->policies, w->domain, now);
    while (w->waiters != NULL) {
        struct sts_query *q = w->waiters;
        struct sts_found found = {.why = taken->why,
                                  .trouble = w->trouble,
                                  .detail = w->detail,
                                  .good_until = w->good_until};

        w->waiters = q->next;
        if (q->next != NULL)
            q->next->link = &w->waiters;
        if (in_force && w->held != NULL)
            found.entry = policy_entry_hold(w->held);
        if (found.trouble == REASON_OK && taken->degraded && w->seen == STS_SEEN_RECORD) {
            found.trouble = REASON_STS_FETCH_FAILED; /* for a mail before this one, or just now */
            found.detail = taken->why;
        }
        q->done(q->owner, &found);
        free(q);
    }
    work_unlink(w);
}

/* ---- step by step ---- */

static void work_trouble(struct sts_work *w, enum reason why, const char *detail)
{
    w->trouble = why;
    (void)snprintf(w->detail, sizeof(w->detail), "%s", detail);
}

/* The second look takes the policy itself, when the one in the cache has some age. */
static bool looks_deeper(const struct sts_work *w)
{
    return w->again && w->fetched == STS_FETCH_NOT_TRIED && w->seen == STS_SEEN_RECORD &&
           w->held != NULL && w->held->held.fetched + STS_BACKOFF_MS < loop_wall() &&
           w->held->held.failed_at + STS_BACKOFF_MS < loop_wall();
}

/* A refresh fetches whatever the id is, unless the domain took its record away: then the policy ends with
 * its max_age. */
static bool refreshes(const struct sts_work *w)
{
    return w->refresh && w->fetched == STS_FETCH_NOT_TRIED &&
           (w->seen == STS_SEEN_RECORD || w->seen == STS_SEEN_FAILED);
}

static void ask_record(struct sts_work *w);
static void want_fetch(struct sts_work *w);

static void work_step(struct sts_work *w)
{
    struct sts_situation s = {
        .held = w->held != NULL ? &w->held->held : NULL,
        .seen = w->seen,
        .seen_id = w->seen_id,
        .fetched = w->fetched,
        .now = loop_wall(),
    };
    struct sts_step_taken taken = sts_plan(&s);

    if (w->seen == STS_SEEN_NOTHING)
        ask_record(w);
    else if (taken.step == STS_STEP_FETCH || refreshes(w) || looks_deeper(w))
        want_fetch(w);
    else
        work_end(w, &taken);
}

/* The cache has changed. */
static void look_again(struct sts_work *w)
{
    policy_entry_drop(&w->held);
    w->held = policies_find(w->agent->services->policies, w->domain);
    work_step(w);
}

/* In a refresh there may be no record. */
static const char *id_of(const struct sts_work *w)
{
    return w->seen_id[0] != '\0' ? w->seen_id : w->held != NULL ? w->held->held.id : "";
}

static void on_fetched(void *owner, const struct sts_fetched_text *text)
{
    struct sts_work *w = OBJ_CAST(sts_work, STS_WORK_MAGIC, owner);
    struct policies *p = w->agent->services->policies;
    const char *id = id_of(w);

    w->fetch = NULL;
    timer_disarm(w->patience);
    timer_disarm(w->other);
    give_slot_back(w->agent);
    w->untyped = text->untyped;
    w->took_ms = text->took_ms;
    if (text->reason == REASON_OK) {
        w->fetched = STS_FETCH_GOOD;
        w->changed = w->held == NULL || !w->held->held.policy ||
                     !slice_eq(w->held->body, text->body) || strcmp(w->held->held.id, id) != 0;
        policies_put(p, w->domain, id, text->body, loop_wall());
    } else {
        w->fetched = STS_FETCH_FAILED;
        work_trouble(w, text->reason, text->detail);
        policies_failed(p, w->domain, id, loop_wall());
    }
    unclaim(w);
    look_again(w);
}

static void fetch_or_wait(struct sts_work *w)
{
    struct sts_agent *a = w->agent;

    w->claimed = policies_claim(a->services->policies, w->domain);
    w->waits_for_other = !w->claimed;
    timer_arm(w->other, w->claimed ? STS_SLOW_MS : STS_OTHER_LOOK_MS);
    if (!w->claimed)
        return;
    a->fetching++;
    w->began = loop_now(a->services->loop);
    w->fetch = sts_fetch_start(a->services, w->snapshot, w->domain, on_fetched, w);
}

/* Claimed only with a place: who waits for one keeps no other thread from the domain. */
static void want_fetch(struct sts_work *w)
{
    struct sts_agent *a = w->agent;

    if (!w->waits_for_other)
        timer_arm(w->patience, snapshot_settings(w->snapshot)->mta_sts.timeout + STS_GRACE_MS);
    w->waits_for_other = false;
    if (a->fetching < a->fetches) {
        fetch_or_wait(w);
        return;
    }
    TAILQ_INSERT_TAIL(&a->queue, w, places);
    w->queued = true;
}

/* `fair`: it had its time, and is not tried again at once (C-STS-07). */
static void cut_fetch(struct sts_work *w, const char *why, bool fair)
{
    sts_fetch_cancel(&w->fetch);
    timer_disarm(w->patience);
    timer_disarm(w->other);
    w->took_ms = loop_now(w->agent->services->loop) - w->began;
    w->fetched = STS_FETCH_FAILED;
    work_trouble(w, REASON_STS_FETCH_FAILED, why);
    if (!fair)
        w->good_until = 0;
    else
        policies_failed(w->agent->services->policies, w->domain, id_of(w), loop_wall());
    give_slot_back(w->agent);
    work_step(w);
}

/* A few policy hosts that only keep us waiting must not keep the policies of all others away. */
static void on_other(void *owner)
{
    struct sts_work *w = OBJ_CAST(sts_work, STS_WORK_MAGIC, owner);

    if (w->fetch == NULL)
        look_again(w);
    else if (TAILQ_EMPTY(&w->agent->queue))
        timer_arm(w->other, STS_SLOW_LOOK_MS);
    else
        cut_fetch(w, "no answer so far, and other fetches wait: mta_sts.fetches is the bound",
                  true);
}

/* Nobody waits for ever, neither for a place among the fetches nor for a TXT record. */
static void on_patience(void *owner)
{
    struct sts_work *w = OBJ_CAST(sts_work, STS_WORK_MAGIC, owner);

    if (w->fetch != NULL) {
        int64_t had = loop_now(w->agent->services->loop) - w->began;
        bool fair = had >= snapshot_settings(w->snapshot)->mta_sts.timeout;

        cut_fetch(w, fair ? "no answer within mta_sts.timeout" : TOO_MANY, fair);
        return;
    }
    if (w->queued) {
        leave_queue(w);
        w->good_until = 0;
        w->fetched = STS_FETCH_FAILED;
        work_trouble(w, REASON_STS_FETCH_FAILED, TOO_MANY);
    } else if (w->waits_for_other) {
        timer_disarm(w->other);
        w->good_until = 0;
        w->fetched = STS_FETCH_FAILED;
        work_trouble(w, REASON_STS_FETCH_FAILED, "no answer within mta_sts.timeout");
    } else {
        dns_cancel(&w->txt);
        w->seen = STS_SEEN_FAILED;
        work_trouble(w, REASON_STS_DISCOVERY_FAILED,
                     "no answer so far to the question for the TXT record");
    }
    work_step(w);
}

static void take_records(struct sts_work *w, const struct dns_answer *answer)
{
    struct sts_record record;
    const char *why = "";

    w->seen = STS_SEEN_ABSENT;
    switch (sts_discover(answer->rdata, answer->count, &record, &why)) {
    case STS_TXT_RECORD:
        w->seen = STS_SEEN_RECORD;
        memcpy(w->seen_id, record.id, sizeof(w->seen_id));
        break;
    case STS_TXT_ABSENT:
        break;
    case STS_TXT_SEVERAL:
        work_trouble(w, REASON_STS_DISCOVERY_FAILED, "several TXT records begin with v=STSv1");
        break;
    case STS_TXT_BROKEN:
        work_trouble(w, REASON_STS_DISCOVERY_FAILED, why);
        break;
    }
}

static void on_record(void *owner, const struct dns_answer *answer)
{
    struct sts_work *w = OBJ_CAST(sts_work, STS_WORK_MAGIC, owner);
    char detail[256];

    w->txt = NULL;
    timer_disarm(w->patience);
    switch (answer->status) {
    case DNS_OK:
        good_for(w, answer->ttl * 1000LL);
        take_records(w, answer);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        good_for(w, answer->ttl * 1000LL);
        w->seen = STS_SEEN_ABSENT;
        break;
    case DNS_FAILED:
    case DNS_TIMED_OUT:
    case DNS_IS_BOGUS:
        w->seen = STS_SEEN_FAILED;
        (void)snprintf(detail, sizeof(detail), "TXT of %.100s: %s %.130s", answer->name,
                       dns_status_name(answer->status),
                       answer->detail != NULL ? answer->detail : "");
        work_trouble(w, REASON_STS_DISCOVERY_FAILED, detail);
        break;
    }
    work_step(w);
}

static void ask_record(struct sts_work *w)
{
    char name[sizeof(w->domain) + 16];

    (void)snprintf(name, sizeof(name), "_mta-sts.%s", w->domain);
    w->txt = dns_ask(resolver_of(w->resolver), name, DNS_TXT, on_record, w);
    if (!w->refresh)
        timer_arm(w->patience, STS_RECORD_PATIENCE_MS);
}

/* ---- calls of the owner ---- */

static struct sts_work *work_new(struct sts_agent *a, struct snapshot *snap, const char *domain)
{
    struct sts_work *w = mem_zalloc(sizeof(*w));
    unsigned at = bucket_of(domain);

    w->magic = STS_WORK_MAGIC;
    w->agent = a;
    w->good_until = INT64_MAX;
    w->snapshot = snapshot_hold(snap);
    w->resolver = resolver_share_hold(a->services->resolver);
    (void)snprintf(w->domain, sizeof(w->domain), "%s", domain);
    w->patience = timer_new(a->services->loop, on_patience, w);
    w->other = timer_new(a->services->loop, on_other, w);
    w->held = policies_find(a->services->policies, domain);
    w->next = a->works[at];
    w->link = &a->works[at];
    if (w->next != NULL)
        w->next->link = &w->next;
    a->works[at] = w;
    return w;
}

static struct sts_work *work_under_way(const struct sts_agent *a, const char *domain, bool again)
{
    struct sts_work *w = a->works[bucket_of(domain)];

    while (w != NULL && (w->refresh || w->again != again || strcmp(w->domain, domain) != 0))
        w = w->next;
    return w;
}

struct sts_query *sts_find(struct sts_agent *a, struct snapshot *snap, const char *domain,
                           bool again, sts_done_fn *done, void *owner)
{
    struct sts_work *w = work_under_way(a, domain, again);
    struct sts_query *q = mem_zalloc(sizeof(*q));
    bool fresh = w == NULL;

    if (fresh) {
        w = work_new(a, snap, domain);
        w->again = again;
    }
    q->done = done;
    q->owner = owner;
    q->next = w->waiters;
    q->link = &w->waiters;
    if (q->next != NULL)
        q->next->link = &q->next;
    w->waiters = q;
    if (fresh)
        work_step(w); /* asks for the record: no answer comes inside this call */
    return q;
}

void sts_cancel(struct sts_query **held)
{
    struct sts_query *q = *held;

    *held = NULL;
    if (q == NULL)
        return;
    *q->link = q->next; /* the look-up goes on: the next mail will want it */
    if (q->next != NULL)
        q->next->link = q->link;
    free(q);
}

void sts_refresh(struct sts_agent *a, struct snapshot *snap)
{
    char domains[STS_REFRESH_BATCH][DOMAIN_MAX + 3];
    const struct settings *set = snapshot_settings(snap);
    unsigned room = a->fetches > a->fetching ? a->fetches - a->fetching : 0;
    size_t count;

    if (!set->mta_sts.enabled || room == 0 || !TAILQ_EMPTY(&a->queue))
        return;
    count = policies_due(a->services->policies, loop_wall(), set->mta_sts.refresh, domains,
                         room < STS_REFRESH_BATCH ? room : STS_REFRESH_BATCH);
    for (size_t i = 0; i < count; i++) {
        struct sts_work *w = work_new(a, snap, domains[i]);

        w->refresh = true;
        work_step(w);
    }
}

struct sts_agent *sts_agent_new(struct services *sv, unsigned fetches)
{
    struct sts_agent *a = mem_zalloc(sizeof(*a));

    a->services = sv;
    a->fetches = fetches > 0 ? fetches : 1;
    TAILQ_INIT(&a->queue);
    return a;
}

void sts_agent_free(struct sts_agent **held)
{
    struct sts_agent *a = *held;

    *held = NULL;
    if (a == NULL)
        return;
    a->ending = true;
    for (unsigned i = 0; i < STS_BUCKETS; i++)
        while (a->works[i] != NULL) {
            struct sts_work *w = a->works[i];

            while (w->waiters != NULL) {
                struct sts_query *q = w->waiters;

                w->waiters = q->next;
                free(q);
            }
            work_unlink(w);
        }
    loop_defer(a->services->loop, free, a);
}
