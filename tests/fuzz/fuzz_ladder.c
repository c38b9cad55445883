/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ladder - a walk over one address: attempts that begin, fall, work or never tell, under a clock
 * that jumps.  After every step C-TLS-06 holds: clear text only where it is allowed, never above what
 * is known but for the one attempt that retests, exactly one rung higher and no second one while it is
 * under way; from the end on it begins at full; falling always ends.
 *
 * One step is four bytes: what happens, two bytes of time, the rung and the flags.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proxy/policy/ladder.h"

#define TTL (24 * 60 * 60 * 1000LL)
#define MUST(x) ((x) ? (void)0 : abort())

static void check_memory(const struct ladder_memory *m)
{
    MUST((unsigned)m->rung < RUNG_COUNT);
    if (m->until == 0) {
        MUST(m->rung == RUNG_FULL && m->learned == 0 && m->times == 0 && m->retest_since == 0);
        return;
    }
    MUST(m->rung != RUNG_FULL && m->until > m->learned);
    MUST(m->until - m->learned <= LADDER_SPAN_MAX * TTL);
}

static void check_begin(struct ladder_memory *m, bool may_clear, wall_ms now)
{
    struct ladder_memory before = *m;
    struct ladder_choice c = ladder_begin(m, may_clear, now), again;
    bool known = before.until != 0 && (now < before.until || before.learned > now);

    MUST((unsigned)c.rung < RUNG_COUNT);
    MUST(c.rung != RUNG_CLEAR || may_clear);
    if (!known || (before.rung == RUNG_CLEAR && !may_clear)) {
        MUST(c.rung == RUNG_FULL && !c.retest);
        return;
    }
    MUST(c.retest ? c.rung + 1 == before.rung : c.rung == before.rung);
    again = ladder_begin(m, may_clear, now);
    MUST(!again.retest || !c.retest);
    MUST(again.rung == before.rung);
}

static void check_fall(enum tls_rung from, bool may_clear, bool tls12_allowed)
{
    enum tls_rung next;

    while (ladder_next(from, may_clear, tls12_allowed, &next)) {
        MUST(next > from && next < RUNG_COUNT);
        MUST(next != RUNG_CLEAR || may_clear);
        MUST(next != RUNG_TLS12 || tls12_allowed);
        from = next;
    }
    MUST(!may_clear || from == RUNG_CLEAR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ladder_memory m = {.rung = RUNG_FULL};
    wall_ms now = 1795000000000LL;

    for (; size >= 4; data += 4, size -= 4) {
        enum tls_rung rung = (enum tls_rung)(data[3] % RUNG_COUNT);
        bool first = data[3] & 0x10, second = data[3] & 0x20;
        int64_t minutes = data[1] * 256 + data[2];

        now += (data[3] & 0x40 ? -minutes : minutes) * 60 * 1000;
        switch (data[0] % 5) {
        case 0:
            check_begin(&m, first, now);
            break;
        case 1:
            ladder_worked(&m, rung, first, second ? TTL : TTL / 2, now);
            MUST(rung != RUNG_FULL || m.until == 0);
            MUST(!first || rung == RUNG_FULL || m.rung == rung);
            break;
        case 2:
            ladder_retest_failed(&m, TTL, now);
            MUST(m.retest_since == 0);
            break;
        case 3:
            check_fall(rung, first, second);
            break;
        default:
            ladder_forget(&m);
            MUST(m.until == 0);
            break;
        }
        check_memory(&m);
    }
    return 0;
}
