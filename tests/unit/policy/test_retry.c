/* SPDX-License-Identifier: Apache-2.0 */
/* Is it the message of before, and what follows from that (C-RCPT-01 to 06). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/retry.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_outcome_names(void **state)
{
    static const struct {
        enum ledger_outcome outcome;
        const char *name;
    } rows[] = {{LEDGER_DELIVERED, "delivered"},
                {LEDGER_REFUSED, "refused"},
                {LEDGER_DEFERRED, "deferred"},
                {LEDGER_DEFERRED_AGAIN, "deferred-again"}};
    enum ledger_outcome got = LEDGER_REFUSED;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(ledger_outcome_name(rows[i].outcome), rows[i].name);
        assert_true(ledger_outcome_parse(slice_str(rows[i].name), &got));
        assert_int_equal(got, rows[i].outcome);
    }
    got = LEDGER_REFUSED;
    assert_false(ledger_outcome_parse(SLICE("Delivered"), &got));
    assert_false(ledger_outcome_parse(SLICE("deliver"), &got));
    assert_false(ledger_outcome_parse(SLICE(""), &got));
    assert_int_equal(got, LEDGER_REFUSED);
}

#define NO_SIZE (-1)

struct signs_row {
    const char *client, *helo, *ident;
    int size;
};

static struct retry_signs signs_of(const struct signs_row *row)
{
    struct retry_signs s = {.has_size = row->size != NO_SIZE};

    if (s.has_size)
        s.size = (uint64_t)row->size;
    (void)snprintf(s.client, sizeof(s.client), "%s", row->client);
    (void)snprintf(s.helo, sizeof(s.helo), "%s", row->helo);
    (void)snprintf(s.ident, sizeof(s.ident), "%s", row->ident);
    return s;
}

static const struct compare_case {
    const char *name;
    struct signs_row then, now;
    enum retry_likeness alone, named; /* without and with a member of its group named before */
} compare_cases[] = {
    {"nothing but the client",
     {"192.0.2.1", "a.example", "", NO_SIZE},
     {"192.0.2.1", "a.example", "", NO_SIZE},
     RETRY_UNKNOWN,
     RETRY_UNKNOWN},
    {"the same size",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"the same queue id and size",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "a.example", "4F1aB", 700},
     RETRY_SURE,
     RETRY_SURE},
    {"the same queue id, no size",
     {"192.0.2.1", "a.example", "4F1aB", NO_SIZE},
     {"192.0.2.1", "a.example", "4F1aB", NO_SIZE},
     RETRY_SURE,
     RETRY_SURE},
    {"another queue id, all else the same",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "a.example", "4F1aC", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"queue ids are not words",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "a.example", "4F1ab", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"the queue id is known only now",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.1", "a.example", "4F1aB", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"the queue id was known only then",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"another size",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.1", "a.example", "", 701},
     RETRY_NOT,
     RETRY_NOT},
    {"another size under the same queue id",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "a.example", "4F1aB", 701},
     RETRY_NOT,
     RETRY_NOT},
    {"Sendmail: at once, and from its queue",
     {"127.0.0.1", "client.lab.example", "", 160},
     {"127.0.0.1", "client.lab.example", "", 324},
     RETRY_NOT,
     RETRY_NOT},
    {"Sendmail: from its queue twice",
     {"127.0.0.1", "client.lab.example", "", 324},
     {"127.0.0.1", "client.lab.example", "", 324},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"size declared only now",
     {"192.0.2.1", "a.example", "", NO_SIZE},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"size declared only then",
     {"192.0.2.1", "a.example", "", 0},
     {"192.0.2.1", "a.example", "", NO_SIZE},
     RETRY_NOT,
     RETRY_NOT},
    {"another address",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.2", "a.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"another address, the same queue id",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.2", "a.example", "4F1aB", 700},
     RETRY_UNKNOWN,
     RETRY_UNKNOWN},
    {"another name",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.1", "b.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"another name, the same queue id",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.1", "b.example", "4F1aB", 700},
     RETRY_UNKNOWN,
     RETRY_UNKNOWN},
    {"another address and name, the same queue id",
     {"192.0.2.1", "a.example", "4F1aB", 700},
     {"192.0.2.2", "b.example", "4F1aB", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"another address, queue id only now",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.2", "a.example", "4F1aB", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"the name in capitals, with a dot",
     {"192.0.2.1", "a.example", "", 700},
     {"192.0.2.1", "A.Example.", "", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"a name only now",
     {"192.0.2.1", "", "", 700},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"loopback by IPv4 and by IPv6",
     {"127.0.0.1", "a.example", "", 700},
     {"::1", "a.example", "", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"loopback, and an address",
     {"127.0.0.1", "a.example", "", 700},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
    {"an IPv4 address in IPv6 clothes",
     {"192.0.2.1", "a.example", "Q", 700},
     {"::ffff:192.0.2.1", "a.example", "Q", 700},
     RETRY_SURE,
     RETRY_SURE},
    {"IPv6 in two spellings",
     {"2001:db8::1", "a.example", "Q", 700},
     {"2001:DB8:0::1", "a.example", "Q", 700},
     RETRY_SURE,
     RETRY_SURE},
    {"a client without an address",
     {"", "a.example", "", 700},
     {"", "a.example", "", 700},
     RETRY_UNKNOWN,
     RETRY_LIKELY},
    {"an address only now",
     {"", "a.example", "", 700},
     {"192.0.2.1", "a.example", "", 700},
     RETRY_NOT,
     RETRY_NOT},
};

/* C-RCPT-06: what differs is another message; then and now have equal rights. */
static void c_rcpt_06_likeness(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(compare_cases); i++) {
        const struct compare_case *c = &compare_cases[i];
        struct retry_signs then = signs_of(&c->then), now = signs_of(&c->now);

        if (retry_compare(&then, &now, false) != c->alone ||
            retry_compare(&now, &then, false) != c->alone)
            fail_msg("%s: %d", c->name, (int)retry_compare(&then, &now, false));
        if (retry_compare(&then, &now, true) != c->named)
            fail_msg("%s, with its group: %d", c->name, (int)retry_compare(&then, &now, true));
    }
}

/* What a candidate is, as two letters: Delivered, reFused, deferred (-); Not, Unknown, Likely, Sure. */
static size_t candidates_of(const char *text, struct retry_candidate out[8])
{
    static const char outcomes[] = "DF-=", likenesses[] = "NULS";
    size_t n = 0;

    for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2, n++) {
        out[n].outcome = (enum ledger_outcome)(strchr(outcomes, text[0]) - outcomes);
        out[n].likeness = (enum retry_likeness)(strchr(likenesses, text[1]) - likenesses);
    }
    return n;
}

enum {
    SEND = RETRY_SEND,
    HOLD = RETRY_HOLD,
    TELL = RETRY_TELL,
    ALONE = RETRY_ALONE,
    BACK = RETRY_STAND_BACK
};

static const struct decide_case {
    const char *candidates;                /* newest first */
    int envelope, queue_id, each, each_id; /* by proof; and for a client with a reply for each */
    size_t which;                          /* where one of the four is TELL */
} decide_cases[] = {
    {"", SEND, SEND, SEND, SEND, 0},
    /* C-RCPT-04: delivered, whatever the signs say: the digest decides. */
    {"DN", HOLD, HOLD, HOLD, HOLD, 0},
    {"DU", HOLD, HOLD, HOLD, HOLD, 0},
    {"DL", HOLD, HOLD, HOLD, HOLD, 0},
    {"DS", HOLD, HOLD, HOLD, HOLD, 0},
    {"DN DS", HOLD, HOLD, HOLD, HOLD, 0},
    /* deferred: as if it was never sent */
    {"-N", SEND, SEND, SEND, SEND, 0},
    {"-U", SEND, SEND, SEND, SEND, 0},
    {"-L", SEND, SEND, SEND, SEND, 0},
    {"-S", SEND, SEND, SEND, SEND, 0},
    {"-S DN", HOLD, HOLD, HOLD, HOLD, 0},
    /* C-RCPT-04: deferred again: behind those that are decided, once */
    {"=N", SEND, SEND, SEND, SEND, 0},
    {"=U", BACK, BACK, SEND, SEND, 0},
    {"=L", BACK, BACK, SEND, SEND, 0},
    {"=S", BACK, BACK, SEND, SEND, 0},
    {"=S DN", BACK, BACK, HOLD, HOLD, 0},
    {"=N DN", HOLD, HOLD, HOLD, HOLD, 0},
    {"=S FU", BACK, BACK, SEND, SEND, 0},
    {"=S FL", TELL, BACK, SEND, SEND, 1},
    {"FN DU =S", BACK, BACK, HOLD, HOLD, 0},
    /* C-RCPT-05: refused */
    {"FN", SEND, SEND, SEND, SEND, 0},
    {"FU", ALONE, ALONE, SEND, SEND, 0},
    {"FL", TELL, ALONE, SEND, SEND, 0},
    {"FS", TELL, TELL, TELL, TELL, 0},
    {"-S FU", ALONE, ALONE, SEND, SEND, 0},
    {"-S FL", TELL, ALONE, SEND, SEND, 1},
    /* several of them: the most alike is told, of those the newest */
    {"FU FS", TELL, TELL, TELL, TELL, 1},
    {"FL FS", TELL, TELL, TELL, TELL, 1},
    {"FS FL", TELL, TELL, TELL, TELL, 0},
    {"FN FN FS FS", TELL, TELL, TELL, TELL, 2},
    {"FU FL FL", TELL, ALONE, SEND, SEND, 1},
    {"FN FU", ALONE, ALONE, SEND, SEND, 0},
    /* beside a delivered one: told only where it is more alike */
    {"FS DN", TELL, TELL, TELL, TELL, 0},
    {"DL FS", TELL, TELL, TELL, TELL, 1},
    {"DU FL", TELL, ALONE, HOLD, HOLD, 1},
    {"DN FL", TELL, ALONE, HOLD, HOLD, 1},
    {"DL FL", ALONE, ALONE, HOLD, HOLD, 0},
    {"FL DS", ALONE, ALONE, HOLD, HOLD, 0},
    {"DS FS", ALONE, ALONE, HOLD, HOLD, 0},
    {"FS DS", ALONE, ALONE, HOLD, HOLD, 0},
    {"FU DS", ALONE, ALONE, HOLD, HOLD, 0},
    {"FU DN", ALONE, ALONE, HOLD, HOLD, 0},
    {"FN DN", HOLD, HOLD, HOLD, HOLD, 0},
    {"FN DU -S", HOLD, HOLD, HOLD, HOLD, 0},
};

static void check_step(const struct decide_case *c, enum retry_proof proof, bool each, int want)
{
    struct retry_candidate candidates[8] = {{LEDGER_DELIVERED, RETRY_NOT}};
    size_t n = candidates_of(c->candidates, candidates), which = 99;
    enum retry_step got = retry_decide(candidates, n, proof, each, &which);

    if ((int)got != want)
        fail_msg("\"%s\" proof %d each %d: step %d", c->candidates, (int)proof, each, (int)got);
    assert_int_equal(which, got == RETRY_TELL ? c->which : 99);
}

static void c_rcpt_04_and_05_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(decide_cases); i++) {
        const struct decide_case *c = &decide_cases[i];

        check_step(c, PROOF_ENVELOPE, false, c->envelope);
        check_step(c, PROOF_QUEUE_ID, false, c->queue_id);
        check_step(c, PROOF_ENVELOPE, true, c->each);
        check_step(c, PROOF_QUEUE_ID, true, c->each_id);
    }
}

/* What must hold for any two candidates: C-RCPT-06 above all. */
static void check_pair(const struct retry_candidate *two, enum retry_proof proof, bool each)
{
    size_t which = 99;
    enum retry_step got = retry_decide(two, 2, proof, each, &which);
    bool delivered = two[0].outcome == LEDGER_DELIVERED || two[1].outcome == LEDGER_DELIVERED;

    if (got == RETRY_TELL) {
        assert_in_range(which, 0, 1);
        assert_int_equal(two[which].outcome, LEDGER_REFUSED);
        assert_true(two[which].likeness >= RETRY_LIKELY);
        if (two[1 - which].outcome == LEDGER_DELIVERED)
            assert_true(two[1 - which].likeness < two[which].likeness);
        if (each || proof == PROOF_QUEUE_ID)
            assert_int_equal(two[which].likeness, RETRY_SURE);
    }
    /* Delivered before and sent without a look at the digest would be sent twice. */
    if (delivered)
        assert_int_not_equal(got, RETRY_SEND);
    if (each)
        assert_int_not_equal(got, RETRY_ALONE);
}

static void c_rcpt_06_every_pair(void **state)
{
    struct retry_candidate two[2];

    (void)state;
    for (unsigned i = 0; i < 12 * 12 * 4; i++) {
        unsigned a = i % 12, b = i / 12 % 12, how = i / 144;

        two[0] =
            (struct retry_candidate){(enum ledger_outcome)(a % 3), (enum retry_likeness)(a / 3)};
        two[1] =
            (struct retry_candidate){(enum ledger_outcome)(b % 3), (enum retry_likeness)(b / 3)};
        check_pair(two, (enum retry_proof)(how % 2), how / 2 != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcome_names),
        cmocka_unit_test(c_rcpt_06_likeness),
        cmocka_unit_test(c_rcpt_04_and_05_steps),
        cmocka_unit_test(c_rcpt_06_every_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
