/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      fuzz_tlsa_plan - any answers of DNS to the look-ups of DANE
 *
 * DESCRIPTION
 *      Input: one byte per answer: status, secure, which name, which record.  The plan ends soon; one
 *      failed look-up makes the host unusable; records count only when they were signed; and the
 *      expanded name is asked only when the whole way to it was signed, which is kept here by a
 *      second, simpler account.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/policy/tlsa_plan.h"

#define ASKS_MAX (1 + TLSA_CNAMES_MAX + 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static const char *const names[] = {"mx.test", "a.test", "B.test.", "evil.example",
                                    "no name", NULL,     "",        "c.test"};

struct account {
    bool addr_secure, way_secure, failed, records, usable;
    char expanded[DOMAIN_MAX + 1], at[DOMAIN_MAX + 1];
    unsigned asks;
};

static void check_ask(const struct account *w, struct tlsa_ask ask)
{
    must(!w->failed && !w->records);
    if (ask.type == TLSA_ASK_ADDRESS)
        must(w->asks == 0 && strcmp(ask.name, "mx.test") == 0);
    else if (ask.type == TLSA_ASK_CNAME)
        must(!w->addr_secure && w->way_secure && strcmp(ask.name, w->at) == 0);
    else if (strcmp(ask.name, "_25._tcp.mx.test") != 0)
        must((w->addr_secure || (w->way_secure && strcmp(w->at, w->expanded) == 0)) &&
             strncmp(ask.name, "_25._tcp.", 9) == 0 && strcmp(ask.name + 9, w->expanded) == 0);
}

static void note(struct account *w, enum tlsa_ask_type type, const struct tlsa_answer *a)
{
    bool records = a->status == TLSA_ANSWER_RECORDS;

    w->failed = a->status == TLSA_ANSWER_FAILED;
    if (type == TLSA_ASK_ADDRESS) {
        w->addr_secure = a->secure;
        w->way_secure = true; /* so far: no step was made */
        if (!domain_normalise(slice_str(a->canonical), w->expanded))
            w->expanded[0] = '\0';
    } else if (type == TLSA_ASK_CNAME) {
        w->way_secure = w->way_secure && records && a->secure;
        if (!domain_normalise(slice_str(a->canonical), w->at))
            w->at[0] = '\0';
    } else {
        w->records = records && a->secure && a->count > 0;
    }
}

static void check_end(const struct account *w, const struct tlsa_plan *p)
{
    must((p->state == DANE_FAILED) == w->failed);
    must((p->state == DANE_USABLE || p->state == DANE_UNUSABLE) == w->records);
    must((p->records != NULL) == w->records && (p->usable_count > 0) == (p->state == DANE_USABLE));
    must(strcmp(p->base, "mx.test") == 0 || (w->records && strcmp(p->base, w->expanded) == 0));
    must(p->state != DANE_OFF && p->detail[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const rdata[] = {"\3\1\1"
                                        "0123456789abcdef0123456789abcdef",
                                        "\4\1\1"
                                        "0123456789abcdef0123456789abcdef"};
    struct account w = {.at = "mx.test"};
    struct tlsa_plan p;
    struct tlsa_ask ask;

    tlsa_plan_init(&p, "mx.test", 25, true, true);
    for (; (ask = tlsa_plan_next(&p)).type != TLSA_ASK_DONE; w.asks++) {
        unsigned byte = w.asks < size ? data[w.asks] : 2;
        struct slice record = slice_of(rdata[byte >> 6 & 1], 35);
        struct tlsa_answer a = {.status = (enum tlsa_answer_status)((byte & 3) % 3),
                                .secure = (byte & 4) != 0,
                                .canonical = names[byte >> 3 & 7],
                                .rdata = &record,
                                .count = byte >> 7 ? 0 : 1};

        must(w.asks < ASKS_MAX);
        check_ask(&w, ask);
        note(&w, ask.type, &a);
        tlsa_plan_answer(&p, &a);
    }
    check_end(&w, &p);
    tlsa_plan_clear(&p);
    return 0;
}
