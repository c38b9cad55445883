/* SPDX-License-Identifier: Apache-2.0 */
/* Which look-ups DANE makes and what comes of their answers (C-DANE-02, C-DANE-03, C-DANE-08). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/tlsa_plan.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define GOOD       \
    "\x03\x01\x01" \
    "0123456789abcdef0123456789abcdef"
#define UNUSABLE   \
    "\x04\x01\x01" \
    "0123456789abcdef0123456789abcdef"

/*
 * A case is a small world.  Each answer is a line "ask -> answer": the ask is "A", "CNAME name" or
 * "TLSA name" (without its _25._tcp.); the answer is "fail", "none", "empty", "unusable" or
 * "records", with "+" behind it where it is secure, and the canonical name or target behind that.
 * The asks must come in the order of the lines, all of them, and no other.
 */
struct world {
    const char *name, *asks[14];
    enum dane_state want;
    const char *base;
};

static const struct world worlds[] = {
    {"C-DANE-02 all secure", {"A -> records+", "TLSA mx.test -> records+"}, DANE_USABLE, "mx.test"},
    {"the canonical name is the host's own",
     {"A -> records+ MX.test.", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"C-DANE-02 insecure addresses: TLSA is not asked", {"A -> records"}, DANE_INSECURE, "mx.test"},
    {"C-DANE-02 addresses failed", {"A -> fail"}, DANE_FAILED, "mx.test"},
    {"C-DANE-02 addresses failed, said to be secure", {"A -> fail+"}, DANE_FAILED, "mx.test"},
    {"no address, signed", {"A -> none+"}, DANE_ABSENT, "mx.test"},
    {"no address, not signed", {"A -> none"}, DANE_INSECURE, "mx.test"},
    {"C-DANE-02 TLSA failed", {"A -> records+", "TLSA mx.test -> fail"}, DANE_FAILED, "mx.test"},
    {"C-DANE-02 TLSA failed, secure",
     {"A -> records+", "TLSA mx.test -> fail+"},
     DANE_FAILED,
     "mx.test"},
    {"TLSA absent", {"A -> records+", "TLSA mx.test -> none+"}, DANE_ABSENT, "mx.test"},
    {"TLSA absent, denial not signed",
     {"A -> records+", "TLSA mx.test -> none"},
     DANE_ABSENT,
     "mx.test"},
    {"TLSA not signed counts as absent",
     {"A -> records+", "TLSA mx.test -> records"},
     DANE_ABSENT,
     "mx.test"},
    {"TLSA without a record", {"A -> records+", "TLSA mx.test -> empty+"}, DANE_ABSENT, "mx.test"},
    {"C-DANE-04 none usable",
     {"A -> records+", "TLSA mx.test -> unusable+"},
     DANE_UNUSABLE,
     "mx.test"},

    /* alias, all secure */
    {"C-DANE-03 expanded name first",
     {"A -> records+ real.test", "TLSA real.test -> records+"},
     DANE_USABLE,
     "real.test"},
    {"C-DANE-03 then the original",
     {"A -> records+ real.test", "TLSA real.test -> none+", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"C-DANE-03 an insecure set at the expanded name is absent",
     {"A -> records+ real.test", "TLSA real.test -> records", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"C-DANE-03 failed at the expanded name: the original is not asked",
     {"A -> records+ real.test", "TLSA real.test -> fail"},
     DANE_FAILED,
     "mx.test"},
    {"C-DANE-03 unusable at the expanded name: they are the host's records",
     {"A -> records+ real.test", "TLSA real.test -> unusable+"},
     DANE_UNUSABLE,
     "real.test"},
    {"C-DANE-03 absent at both",
     {"A -> records+ real.test", "TLSA real.test -> none+", "TLSA mx.test -> none+"},
     DANE_ABSENT,
     "mx.test"},
    {"C-DANE-03 failed at the original",
     {"A -> records+ real.test", "TLSA real.test -> none+", "TLSA mx.test -> fail"},
     DANE_FAILED,
     "mx.test"},
    {"an expanded name that is no host name",
     {"A -> records+ re!al.test", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},

    /* alias, insecure addresses: how far is the way secure? */
    {"insecure CNAME: no DANE, though the target's zone is signed",
     {"A -> records real.test", "CNAME mx.test -> records real.test"},
     DANE_INSECURE,
     "mx.test"},
    {"C-DANE-03 secure CNAME to insecure addresses",
     {"A -> records real.test", "CNAME mx.test -> records+ real.test",
      "TLSA real.test -> records+"},
     DANE_USABLE,
     "real.test"},
    {"the same, records at the original only",
     {"A -> records real.test", "CNAME mx.test -> records+ Real.test.", "TLSA real.test -> none",
      "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"the same, none at all",
     {"A -> records real.test", "CNAME mx.test -> records+ real.test", "TLSA real.test -> none",
      "TLSA mx.test -> none+"},
     DANE_ABSENT,
     "mx.test"},
    {"two secure CNAMEs",
     {"A -> records real.test", "CNAME mx.test -> records+ mid.test",
      "CNAME mid.test -> records+ real.test", "TLSA real.test -> records+"},
     DANE_USABLE,
     "real.test"},
    {"the second CNAME is insecure: an attacker's signed zone is not asked",
     {"A -> records evil.test", "CNAME mx.test -> records+ mid.test",
      "CNAME mid.test -> records evil.test", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"the second CNAME is not there",
     {"A -> records real.test", "CNAME mx.test -> records+ mid.test", "CNAME mid.test -> none+",
      "TLSA mx.test -> none+"},
     DANE_ABSENT,
     "mx.test"},
    {"the first CNAME is insecure, the second secure: nothing holds",
     {"A -> records real.test", "CNAME mx.test -> records mid.test"},
     DANE_INSECURE,
     "mx.test"},
    {"the CNAME is not there",
     {"A -> records real.test", "CNAME mx.test -> none+"},
     DANE_INSECURE,
     "mx.test"},
    {"a failed CNAME is no absence",
     {"A -> records real.test", "CNAME mx.test -> fail"},
     DANE_FAILED,
     "mx.test"},
    {"a later failed CNAME neither",
     {"A -> records real.test", "CNAME mx.test -> records+ mid.test", "CNAME mid.test -> fail"},
     DANE_FAILED,
     "mx.test"},
    {"a target that is no host name",
     {"A -> records real.test", "CNAME mx.test -> records+ mi!d.test", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"too many CNAMEs: the original alone",
     {"A -> records real.test", "CNAME mx.test -> records+ 1.test",
      "CNAME 1.test -> records+ 2.test", "CNAME 2.test -> records+ 3.test",
      "CNAME 3.test -> records+ 4.test", "CNAME 4.test -> records+ 5.test",
      "CNAME 5.test -> records+ 6.test", "CNAME 6.test -> records+ 7.test",
      "CNAME 7.test -> records+ 8.test", "TLSA mx.test -> records+"},
     DANE_USABLE,
     "mx.test"},
    {"a CNAME loop ends",
     {"A -> records real.test", "CNAME mx.test -> records+ 1.test",
      "CNAME 1.test -> records+ mx.test", "CNAME mx.test -> records+ 1.test",
      "CNAME 1.test -> records+ mx.test", "CNAME mx.test -> records+ 1.test",
      "CNAME 1.test -> records+ mx.test", "CNAME mx.test -> records+ 1.test",
      "CNAME 1.test -> records+ mx.test", "TLSA mx.test -> none"},
     DANE_ABSENT,
     "mx.test"},
};

static void check_ask(const struct world *w, const char *line, struct tlsa_ask ask)
{
    char got[TLSA_NAME_MAX + 20], want[TLSA_NAME_MAX + 20];
    const char *end = strstr(line, " -> ");

    assert_non_null(end);
    (void)snprintf(got, sizeof(got), "%s",
                   ask.type == TLSA_ASK_ADDRESS ? "A"
                   : ask.type == TLSA_ASK_CNAME ? "CNAME "
                   : ask.type == TLSA_ASK_TLSA  ? "TLSA "
                                                : "nothing");
    if (ask.type == TLSA_ASK_TLSA) {
        assert_true(strncmp(ask.name, "_25._tcp.", 9) == 0);
        ask.name += 9;
    }
    if (ask.type == TLSA_ASK_ADDRESS)
        assert_string_equal(ask.name, "mx.test");
    else
        (void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s", ask.name);
    (void)snprintf(want, sizeof(want), "%.*s", (int)(end - line), line);
    if (strcmp(got, want) != 0)
        fail_msg("%s: asked %s instead of %s", w->name, got, want);
}

static void answer(struct tlsa_plan *p, const char *line)
{
    struct slice rest = slice_str(strstr(line, " -> ") + 4), word, name, rdata;
    struct tlsa_answer a = {.status = TLSA_ANSWER_RECORDS};
    char *canonical = NULL;

    assert_true(slice_word(&rest, &word));
    if (slice_word(&rest, &name))
        a.canonical = canonical = slice_dup(name);
    a.secure = word.p[word.n - 1] == '+';
    if (slice_istarts(word, SLICE("fail")))
        a.status = TLSA_ANSWER_FAILED;
    else if (slice_istarts(word, SLICE("none")))
        a.status = TLSA_ANSWER_NONE;
    rdata = slice_istarts(word, SLICE("unusable")) ? SLICE(UNUSABLE) : SLICE(GOOD);
    a.rdata = &rdata;
    a.count = slice_istarts(word, SLICE("empty")) ? 0 : 1;
    tlsa_plan_answer(p, &a);
    free(canonical);
}

static void c_dane_02_03_the_way_of_the_look_ups(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(worlds); i++) {
        const struct world *w = &worlds[i];
        struct tlsa_plan p;

        tlsa_plan_init(&p, "MX.Test.", 25, true, true);
        for (size_t k = 0; w->asks[k] != NULL; k++) {
            check_ask(w, w->asks[k], tlsa_plan_next(&p));
            check_ask(w, w->asks[k], tlsa_plan_next(&p)); /* asking twice changes nothing */
            answer(&p, w->asks[k]);
        }
        if (tlsa_plan_next(&p).type != TLSA_ASK_DONE)
            fail_msg("%s: one more question, %s", w->name, tlsa_plan_next(&p).name);
        if (p.state != w->want || strcmp(p.base, w->base) != 0)
            fail_msg("%s: %s at %s (%s)", w->name, dane_state_name(p.state), p.base, p.detail);
        assert_true(p.detail[0] != '\0');
        if (w->want == DANE_USABLE || w->want == DANE_UNUSABLE) {
            assert_int_equal(p.record_count, 1);
            assert_int_equal(p.usable_count, w->want == DANE_USABLE ? 1 : 0);
            assert_true(slice_eq(p.records[0].data, SLICE("0123456789abcdef0123456789abcdef")));
        } else {
            assert_null(p.records);
        }
        tlsa_plan_clear(&p);
        assert_int_equal(tlsa_plan_next(&p).type, TLSA_ASK_DONE);
    }
}

/* Without validation, and for an MX that is not signed, nothing is asked. */
static void c_dane_01_08_nothing_is_asked(void **state)
{
    static const struct {
        bool mx_secure, validating;
        enum dane_state want;
    } cases[] = {
        {true, false, DANE_OFF},
        {false, false, DANE_OFF},
        {false, true, DANE_INSECURE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tlsa_plan p;

        tlsa_plan_init(&p, "MX.Test.", 25, cases[i].mx_secure, cases[i].validating);
        assert_int_equal(tlsa_plan_next(&p).type, TLSA_ASK_DONE);
        assert_int_equal(p.state, cases[i].want);
        assert_string_equal(p.base, "mx.test");
        tlsa_plan_clear(&p);
    }
}

/* The records are the plan's own copy, and at most TLSA_RECORDS_MAX of them are read. */
static void records_are_copied_and_bounded(void **state)
{
    struct slice rdata[TLSA_RECORDS_MAX + 5];
    struct tlsa_answer a = {.status = TLSA_ANSWER_RECORDS, .secure = true};
    struct tlsa_plan p;
    char bytes[35];

    (void)state;
    memcpy(bytes, GOOD, sizeof(bytes));
    tlsa_plan_init(&p, "mx.test", 2525, true, true);
    tlsa_plan_answer(&p, &a);
    assert_string_equal(tlsa_plan_next(&p).name, "_2525._tcp.mx.test");
    for (size_t i = 0; i < COUNT(rdata); i++)
        rdata[i] = i % 3 == 0 ? SLICE_NONE : slice_of(bytes, sizeof(bytes));
    a.rdata = rdata;
    a.count = COUNT(rdata);
    tlsa_plan_answer(&p, &a);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(p.state, DANE_USABLE);
    assert_int_equal(p.record_count, TLSA_RECORDS_MAX);
    for (size_t i = 0; i < p.record_count; i++) {
        assert_int_equal(p.records[i].usability, i % 3 == 0 ? TLSA_TRUNCATED : TLSA_USABLE);
        assert_int_equal(p.records[i].usage, i % 3 == 0 ? 0 : 3);
    }
    tlsa_plan_answer(&p, &a); /* after the end nothing changes */
    assert_int_equal(p.record_count, TLSA_RECORDS_MAX);
    tlsa_plan_clear(&p);
}

/* A name below which "_25._tcp." does not fit has no TLSA records, and nobody is asked for them. */
static void the_longest_names(void **state)
{
    char host[DOMAIN_MAX + 1];
    struct tlsa_answer a = {.status = TLSA_ANSWER_RECORDS, .secure = true};

    (void)state;
    for (size_t n = DOMAIN_MAX - 15; n <= DOMAIN_MAX; n++) {
        struct tlsa_plan p;
        bool fits = n + strlen("_25._tcp.") <= DOMAIN_MAX;

        memset(host, 'a', n);
        host[n] = '\0';
        for (size_t i = 50; i + 1 < n; i += 50)
            host[i] = '.';
        tlsa_plan_init(&p, host, 25, true, true);
        tlsa_plan_answer(&p, &a);
        assert_int_equal(tlsa_plan_next(&p).type, fits ? TLSA_ASK_TLSA : TLSA_ASK_DONE);
        if (!fits)
            assert_int_equal(p.state, DANE_ABSENT);
        tlsa_plan_clear(&p);

        tlsa_plan_init(&p, "mx.test", 25, true, true); /* the same as the expanded name */
        a.canonical = host;
        tlsa_plan_answer(&p, &a);
        assert_int_equal(strcmp(tlsa_plan_next(&p).name, "_25._tcp.mx.test") == 0, !fits);
        tlsa_plan_clear(&p);
        a.canonical = NULL;
    }
}

static void a_host_without_a_name(void **state)
{
    static const char *const hosts[] = {"", ".", "a..b", "mx test", NULL};
    struct tlsa_plan p;

    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        tlsa_plan_init(&p, hosts[i], 25, true, true);
        assert_int_equal(tlsa_plan_next(&p).type, TLSA_ASK_DONE);
        assert_int_equal(p.state, DANE_INSECURE);
        tlsa_plan_clear(&p);
    }
}

static void names_of_the_states(void **state)
{
    (void)state;
    for (int a = 0; a < DANE_STATE_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(dane_state_name((enum dane_state)a),
                                    dane_state_name((enum dane_state)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_dane_02_03_the_way_of_the_look_ups),
        cmocka_unit_test(c_dane_01_08_nothing_is_asked),
        cmocka_unit_test(records_are_copied_and_bounded),
        cmocka_unit_test(the_longest_names),
        cmocka_unit_test(a_host_without_a_name),
        cmocka_unit_test(names_of_the_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
