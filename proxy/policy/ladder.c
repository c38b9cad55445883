/* SPDX-License-Identifier: Apache-2.0 */
/* ladder - see ladder.h for the contract. */
#include "proxy/policy/ladder.h"

#include "proxy/base/invariant.h"

/* Longer than any setting gives: what a damaged file says. */
#define SPAN_LIMIT_MS (3650 * 24 * 60 * 60 * 1000LL)

static const char *const rung_names[RUNG_COUNT] = {
    [RUNG_FULL] = "full",
    [RUNG_COMPACT] = "compact",
    [RUNG_TLS12] = "tls1.2",
    [RUNG_CLEAR] = "clear",
};

const char *tls_rung_name(enum tls_rung r)
{
    INVARIANT((unsigned)r < RUNG_COUNT);
    return rung_names[r];
}

void ladder_forget(struct ladder_memory *m)
{
    *m = (struct ladder_memory){.rung = RUNG_FULL};
}

static bool remembers(const struct ladder_memory *m)
{
    return m->until != 0;
}

/* 0 means "none": the very first moment of 1970 is told as the one before. */
static wall_ms mark(wall_ms now)
{
    return now != 0 ? now : -1;
}

/* Whatever the clock did, and whatever came from a disk: afterwards learned <= now < until, or
 * nothing is remembered. */
static void settle(struct ladder_memory *m, wall_ms now)
{
    int64_t span;

    if (m->rung <= RUNG_FULL || m->rung >= RUNG_COUNT || m->until <= m->learned ||
        __builtin_sub_overflow(m->until, m->learned, &span) || span > SPAN_LIMIT_MS) {
        ladder_forget(m);
        return;
    }
    if (m->learned > now) { /* the clock went back */
        m->until = now + span;
        m->learned = now;
    }
    if (now >= m->until)
        ladder_forget(m);
    else if (m->retest_since > now)
        m->retest_since = mark(now);
    else if (m->retest_since != 0 && now - m->retest_since >= LADDER_RETEST_MS)
        m->retest_since = 0;
}

static void remember(struct ladder_memory *m, enum tls_rung rung, unsigned times, int64_t ttl,
                     wall_ms now)
{
    int64_t span = ttl;

    if (ttl <= 0) {
        ladder_forget(m);
        return;
    }
    for (unsigned i = 0; i < times && span < ttl * LADDER_SPAN_MAX; i++)
        span *= 2;
    *m = (struct ladder_memory){.rung = rung, .learned = now, .until = now + span, .times = times};
}

struct ladder_choice ladder_begin(struct ladder_memory *m, bool may_clear, wall_ms now)
{
    settle(m, now);
    if (!remembers(m) || (m->rung == RUNG_CLEAR && !may_clear))
        return (struct ladder_choice){RUNG_FULL, false};
    if (m->retest_since != 0 || now - m->learned < (m->until - m->learned) / 2)
        return (struct ladder_choice){m->rung, false};
    m->retest_since = mark(now);
    return (struct ladder_choice){m->rung - 1, true};
}

bool ladder_next(enum tls_rung from, bool may_clear, bool tls12_allowed, enum tls_rung *out)
{
    enum tls_rung next = from;

    do {
        if (next >= RUNG_CLEAR)
            return false;
        next++;
    } while (next == RUNG_TLS12 && !tls12_allowed);
    if (next == RUNG_CLEAR && !may_clear)
        return false;
    *out = next;
    return true;
}

void ladder_worked(struct ladder_memory *m, enum tls_rung rung, bool fell, int64_t ttl, wall_ms now)
{
    INVARIANT((unsigned)rung < RUNG_COUNT);
    settle(m, now);
    if (rung == RUNG_FULL)
        ladder_forget(m);
    else if (remembers(m) ? rung < m->rung || (fell && rung > m->rung) : fell)
        remember(m, rung, 0, ttl, now);
}

void ladder_retest_failed(struct ladder_memory *m, int64_t ttl, wall_ms now)
{
    settle(m, now);
    if (remembers(m))
        remember(m, m->rung, m->times < LADDER_SPAN_MAX ? m->times + 1 : m->times, ttl, now);
}
