/* SPDX-License-Identifier: Apache-2.0 */
/* See pace.h. */
#include "proxy/relay/pace.h"

static int64_t turn(struct pace *p, mono_ms now)
{
    int64_t span = now / PACE_MS + 2; /* neither it nor the one before is 0 */

    if (span > p->span) {
        p->before = p->span == span - 1 ? p->now : 0;
        p->now = 0;
        p->span = span;
    }
    return p->span; /* also where two calls of one turn bring different times */
}

void pace_leave(struct pace *p, pace_mark *mark, mono_ms now)
{
    int64_t span = turn(p, now);

    if (*mark == span)
        p->now--;
    else if (*mark == span - 1)
        p->before--;
    *mark = 0;
}

void pace_step(struct pace *p, pace_mark *mark, mono_ms now)
{
    int64_t span = turn(p, now);

    if (*mark == span)
        return;
    pace_leave(p, mark, now);
    *mark = span;
    p->now++;
}

void pace_wait(struct pace *p, pace_mark *mark, mono_ms now)
{
    /* As if its step had been a span ago: it is forgotten so much earlier. */
    if (*mark == turn(p, now)) {
        p->now--;
        p->before++;
        *mark -= 1;
    }
}

bool pace_is_full(struct pace *p, bool held, mono_ms now)
{
    (void)turn(p, now);
    return p->now + p->before >= (held ? PACE_MOST - PACE_MOST / 8 : PACE_MOST);
}
