/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's MTA-STS policy over time: mail comes, look-ups and fetches go well or fail, the clock
 * runs and is turned.  The cache is kept as the plan says.  Properties: a live policy is never lost
 * by a failure; nothing that is not live is used; an id is not fetched again within five minutes of
 * its failure while the clock runs forward; each mail ends after one look-up and one fetch.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/policy/sts_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    const uint8_t *data;
    size_t size;
    struct sts_held held;
    wall_ms now;
    int64_t ticks; /* as `now`, but the clock is never set back */
    int64_t failed_ticks[4];
    bool failed[4], turned;
};

static uint8_t next(struct world *w)
{
    if (w->size == 0)
        return 0;
    w->size--;
    return *w->data++;
}

static void pass_time(struct world *w)
{
    static const int64_t spans[] = {
        0, 1000, 60000, 299999, 300000, 3600000, 86400000, 604800000, 31557600000, INT64_C(1) << 50,
    };
    uint8_t choice = next(w);
    int64_t span = spans[choice % 10];

    if (choice >= 200) { /* set back */
        w->now -= span;
        w->turned = w->turned || span > 0;
    } else {
        w->now += span;
        w->ticks += span;
    }
}

static void fetch(struct world *w, struct sts_situation *s, unsigned id)
{
    uint8_t choice = next(w);
    struct sts_held *h = &w->held;

    INVARIANT(w->turned || !w->failed[id] || w->ticks - w->failed_ticks[id] >= STS_BACKOFF_MS);
    if (choice % 2 == 0) {
        /* the cache remembers one failed id: another failure takes its place */
        memset(w->failed, 0, sizeof(w->failed));
        w->failed[id] = true;
        w->failed_ticks[id] = w->ticks;
        (void)snprintf(h->failed_id, sizeof(h->failed_id), "%u", id);
        h->failed_at = w->now;
        s->fetched = STS_FETCH_FAILED;
        return;
    }
    memset(w->failed, 0, sizeof(w->failed));
    *h = (struct sts_held){.policy = true, .fetched = w->now, .used = w->now};
    (void)snprintf(h->id, sizeof(h->id), "%u", id);
    h->mode = (enum sts_mode)(choice / 2 % 3);
    h->expires = w->now + (int64_t)(choice / 8) * choice * 1000000;
    s->fetched = STS_FETCH_GOOD;
}

static void check_end(const struct world *w, const struct sts_situation *s,
                      const struct sts_step_taken *t, bool was_live)
{
    INVARIANT(t->why != NULL);
    INVARIANT((t->step == STS_STEP_NEW) == (s->fetched == STS_FETCH_GOOD));
    if (t->step == STS_STEP_NEW)
        return;
    INVARIANT(t->step == (was_live ? STS_STEP_HELD : STS_STEP_NONE));
    INVARIANT(was_live == sts_live(&w->held, w->now));
    if (s->seen == STS_SEEN_FAILED || s->fetched == STS_FETCH_FAILED)
        INVARIANT(t->degraded || (was_live && w->held.mode == STS_NONE));
    else if (!was_live && s->seen == STS_SEEN_ABSENT)
        INVARIANT(!t->degraded);
}

static void mail(struct world *w)
{
    struct sts_situation s = {.held = &w->held, .now = w->now};
    bool was_live = sts_live(&w->held, w->now);
    struct sts_step_taken t = sts_plan(&s);
    uint8_t choice = next(w);
    unsigned id = choice / 4 % 4;
    char seen_id[STS_ID_MAX + 1];

    INVARIANT(t.step == STS_STEP_ASK);
    (void)snprintf(seen_id, sizeof(seen_id), "%u", id);
    s.seen = choice % 4 == 0   ? STS_SEEN_ABSENT
             : choice % 4 == 1 ? STS_SEEN_FAILED
                               : STS_SEEN_RECORD;
    s.seen_id = seen_id;
    t = sts_plan(&s);
    if (t.step == STS_STEP_FETCH) {
        INVARIANT(s.seen == STS_SEEN_RECORD && !t.degraded);
        fetch(w, &s, id);
        t = sts_plan(&s);
    }
    check_end(w, &s, &t, was_live);
    INVARIANT(sts_refresh_at(&w->held, 86400000, choice * 16777216u) >=
              w->held.fetched + STS_BACKOFF_MS * 9 / 10);
    (void)sts_unused(&w->held, w->now);
}

/* Times as a broken file may have them: no overflow, and the promise about a live policy. */
static void check_any_times(const uint8_t *data)
{
    struct sts_held h = {.policy = true, .mode = STS_ENFORCE};
    struct sts_situation s = {.held = &h, .seen = STS_SEEN_FAILED, .seen_id = ""};

    memcpy(&h.fetched, data, 8);
    memcpy(&h.expires, data + 8, 8);
    memcpy(&h.used, data + 16, 8);
    memcpy(&h.failed_at, data + 24, 8);
    memcpy(&s.now, data + 32, 8);
    INVARIANT(sts_plan(&s).step == (sts_live(&h, s.now) ? STS_STEP_HELD : STS_STEP_NONE));
    INVARIANT(!sts_live(&h, s.now) || h.expires > h.fetched);
    s.seen = STS_SEEN_RECORD;
    (void)sts_plan(&s);
    (void)sts_refresh_at(&h, s.now, (uint32_t)h.used);
    (void)sts_unused(&h, s.now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.data = data, .size = size, .now = INT64_C(1) << 53};

    if (size > 400)
        return 0;
    if (size >= 40)
        check_any_times(data);
    while (w.size > 0) {
        pass_time(&w);
        mail(&w);
    }
    return 0;
}
