/* SPDX-License-Identifier: Apache-2.0 */
/* sts_plan - see sts_plan.h for the contract. */
#include "proxy/policy/sts_plan.h"

#include <string.h>

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define LIFETIME_MAX_MS (STS_MAX_AGE_LIMIT * 1000LL)

/* The times come from a file that outlives clocks and versions: no arithmetic on them may overflow. */
static int64_t difference(wall_ms later, wall_ms earlier)
{
    int64_t d;

    if (__builtin_sub_overflow(later, earlier, &d))
        return later > earlier ? INT64_MAX : INT64_MIN;
    return d;
}

static wall_ms plus(wall_ms t, int64_t span)
{
    wall_ms sum;

    if (__builtin_add_overflow(t, span, &sum))
        return span > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static int64_t lifetime(const struct sts_held *h)
{
    int64_t life = difference(h->expires, h->fetched);

    return life < LIFETIME_MAX_MS ? life : LIFETIME_MAX_MS;
}

bool sts_live(const struct sts_held *h, wall_ms now)
{
    int64_t life = lifetime(h), age = difference(now, h->fetched);

    if (!h->policy || life <= 0)
        return false;
    if (age >= 0)
        return age < life;
    /* Set back: how long ago it was fetched is unknown, but the turn itself has a bound. */
    return age >= -(life > DAY_MS ? life : DAY_MS);
}

/* Fetched under a clock that has been set back since; workers that differ by seconds do not count. */
static bool is_ahead(const struct sts_held *h, wall_ms now)
{
    return difference(h->fetched, now) > STS_BACKOFF_MS;
}

/* A failure ahead of the clock counts while it is near: the clock may have been set back by a little,
 * and a long turn must not stop fetches for as long. */
static bool failed_lately(const struct sts_held *h, wall_ms now)
{
    int64_t age = difference(now, h->failed_at);

    return h->failed_at != 0 && age < STS_BACKOFF_MS && age > -STS_BACKOFF_MS;
}

static struct sts_step_taken step(enum sts_step what, const char *why)
{
    return (struct sts_step_taken){.step = what, .why = why};
}

/* Something is not as it should be: a live policy stays (C-STS-06), without one there is none
 * (C-STS-08).  RFC 8461 3.3: alert, "unless the cached policy mode is none". */
static struct sts_step_taken without_news(const struct sts_situation *s, bool live,
                                          const char *why_held, const char *why_none)
{
    struct sts_step_taken t = live ? step(STS_STEP_HELD, why_held) : step(STS_STEP_NONE, why_none);

    t.degraded = !live || s->held->mode != STS_NONE;
    return t;
}

static struct sts_step_taken plan_record(const struct sts_situation *s, bool live)
{
    bool same = live && strcmp(s->held->id, s->seen_id) == 0;

    if (same && !is_ahead(s->held, s->now))
        return step(STS_STEP_HELD, "the same id is cached");
    /* C-STS-07; RFC 8461 3.3: "five minutes or longer per version ID". */
    if (s->held != NULL && failed_lately(s->held, s->now) &&
        strcmp(s->held->failed_id, s->seen_id) == 0)
        return without_news(s, live,
                            "the fetch for this id failed just now: the cached policy stays",
                            "the fetch for this id failed just now: as if there were no policy");
    if (same)
        return step(STS_STEP_FETCH, "the cached policy is from a clock that was ahead");
    if (live)
        return step(STS_STEP_FETCH, "a new id");
    return step(STS_STEP_FETCH, s->held != NULL && s->held->policy ? "the cached policy has expired"
                                                                   : "no policy is cached");
}

static struct sts_step_taken plan_absent(const struct sts_situation *s, bool live)
{
    if (live) /* a gap in the DNS must not switch enforcement off (RFC 8461 3.1, 10.2) */
        return without_news(s, live, "no usable TXT record: the cached policy stays", NULL);
    return step(STS_STEP_NONE, "no usable TXT record");
}

struct sts_step_taken sts_plan(const struct sts_situation *s)
{
    bool live = s->held != NULL && sts_live(s->held, s->now);

    switch (s->fetched) {
    case STS_FETCH_GOOD:
        return step(STS_STEP_NEW, "fetched");
    case STS_FETCH_FAILED:
        return without_news(s, live, "the fetch failed: the cached policy stays",
                            "the fetch failed: as if there were no policy");
    case STS_FETCH_NOT_TRIED:
        break;
    }
    switch (s->seen) {
    case STS_SEEN_RECORD:
        return plan_record(s, live);
    case STS_SEEN_ABSENT:
        return plan_absent(s, live);
    case STS_SEEN_FAILED:
        return without_news(s, live, "the TXT record cannot be looked up: the cached policy stays",
                            "the TXT record cannot be looked up: as if there were no policy");
    case STS_SEEN_NOTHING:
        break;
    }
    return step(STS_STEP_ASK, "the TXT record is not known yet");
}

wall_ms sts_refresh_at(const struct sts_held *h, int64_t span, uint32_t spread)
{
    int64_t half = lifetime(h) / 2, wait = span < half ? span : half, pause;
    wall_ms at;

    if (wait < STS_BACKOFF_MS)
        wait = STS_BACKOFF_MS;
    /* `wait` is at most half a year of milliseconds: the product has room. */
    at = plus(h->fetched, wait - (int64_t)((uint64_t)(wait / 10) * spread >> 32));
    if (h->failed_at == 0)
        return at;
    pause = wait / 24 > STS_BACKOFF_MS ? wait / 24 : STS_BACKOFF_MS;
    return at > plus(h->failed_at, pause) ? at : plus(h->failed_at, pause);
}

bool sts_unused(const struct sts_held *h, wall_ms now)
{
    if (h->policy)
        return difference(now, h->used) > STS_UNUSED_MS;
    return !failed_lately(h, now);
}
