/* SPDX-License-Identifier: Apache-2.0 */
/* When validation goes off, and when it stays on though answers fail (C-DANE-01). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proxy/policy/dnssec_trust.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Steps: W the probe works, S the answer fails, N nobody answers; R other settings of the resolver.
 * Behind each the state as a letter: u unknown, + on, s suspected, - off, w waits. */
static const struct {
    const char *name;
    bool required;
    const char *steps, *states;
} rows[] = {
    {"at the start one failure is enough", false, "S", "-"},
    {"... also when nobody answered at first", false, "NNS", "uu-"},
    {"it works", false, "WNW", "+++"},
    {"off, and on as soon as it works", false, "SSW", "--+"},
    {"worked once: one failure switches nothing off", false, "WSW", "+s+"},
    {"worked once: three more failures are wanted", false, "WSSSSS", "+sss--"},
    {"one that works between them begins anew", false, "WSSSWSSSS", "+sss+sss-"},
    {"no answer counts neither way", false, "WSNSNNSNS", "+sssssss-"},
    {"off after that, on again, suspicion again", false, "WSSSSWS", "+sss-+s"},
    {"other settings: what worked before says nothing", false, "WRS", "++-"},
    {"other settings in the middle of a suspicion", false, "WSSRS", "+sss-"},
    {"other settings while off: off until it works", false, "SRNW", "---+"},
    {"required: never off, at the start", true, "SSSSSS", "wwwwww"},
    {"required: never off, later", true, "WSSSSSSW", "+wwwwww+"},
    {"required: nobody answers", true, "NWN", "u++"},
};

static char letter(enum dnssec_trust_state s)
{
    static const char letters[] = {
        [DNSSEC_TRUST_UNKNOWN] = 'u', [DNSSEC_TRUST_ON] = '+',    [DNSSEC_TRUST_SUSPECTED] = 's',
        [DNSSEC_TRUST_OFF] = '-',     [DNSSEC_TRUST_WAITS] = 'w', [DNSSEC_TRUST_NO_ANCHOR] = '0',
    };

    return letters[s];
}

static void c_dane_01_when_validation_goes_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dnssec_trust t;
        char before;

        dnssec_trust_start(&t, true, rows[i].required);
        before = letter(t.state);
        assert_int_equal(before, 'u');
        for (size_t k = 0; rows[i].steps[k] != '\0'; k++) {
            char step = rows[i].steps[k];
            bool told = step == 'R'   ? dnssec_trust_restart(&t, true, rows[i].required)
                        : step == 'W' ? dnssec_trust_probed(&t, DNSSEC_WORKS)
                        : step == 'S' ? dnssec_trust_probed(&t, DNSSEC_STRIPPED)
                                      : dnssec_trust_probed(&t, DNSSEC_UNKNOWN);

            if (letter(t.state) != rows[i].states[k])
                fail_msg("%s: step %zu: %c", rows[i].name, k, letter(t.state));
            if (told != (letter(t.state) != before))
                fail_msg("%s: step %zu: told", rows[i].name, k);
            before = letter(t.state);
            assert_int_equal(dnssec_trust_validates(&t), before != '-');
        }
    }
}

static void c_dane_01_no_anchor(void **state)
{
    struct dnssec_trust t;

    (void)state;
    dnssec_trust_start(&t, false, false);
    assert_int_equal(letter(t.state), '0');
    assert_false(dnssec_trust_validates(&t));
    assert_false(dnssec_trust_probed(&t, DNSSEC_OFF));
    assert_false(dnssec_trust_probed(&t, DNSSEC_WORKS)); /* a late answer */
    assert_int_equal(letter(t.state), '0');
    assert_int_equal(dnssec_trust_next(&t, DNSSEC_OFF), 0);
    assert_true(dnssec_trust_restart(&t, true, false)); /* an anchor now */
    assert_int_equal(letter(t.state), 'u');
    assert_true(dnssec_trust_validates(&t));
    assert_true(dnssec_trust_restart(&t, false, false)); /* and none again */
    assert_false(dnssec_trust_restart(&t, false, false));
    assert_int_equal(letter(t.state), '0');
}

/* resolver.require_dnssec given or taken away by a reload. */
static void c_dane_01_required_by_a_reload(void **state)
{
    struct dnssec_trust t;

    (void)state;
    dnssec_trust_start(&t, true, false);
    assert_true(dnssec_trust_probed(&t, DNSSEC_STRIPPED));
    assert_false(dnssec_trust_validates(&t));
    assert_true(dnssec_trust_restart(&t, true, true)); /* at once, before any probe */
    assert_true(dnssec_trust_validates(&t));
    assert_int_equal(letter(t.state), 'w');
    assert_false(dnssec_trust_restart(&t, true, false));
    assert_true(dnssec_trust_validates(&t)); /* until a probe says more */
    assert_true(dnssec_trust_probed(&t, DNSSEC_STRIPPED));
    assert_false(dnssec_trust_validates(&t));
}

static void the_next_probe(void **state)
{
    static const struct {
        const char *steps;
        bool required;
        int64_t next;
    } cases[] = {
        {"W", false, DNSSEC_PROBE_MS},       {"N", false, DNSSEC_PROBE_SOON_MS},
        {"WN", false, DNSSEC_PROBE_SOON_MS}, {"S", false, DNSSEC_PROBE_MS},
        {"WS", false, DNSSEC_PROBE_SOON_MS}, {"WSSS", false, DNSSEC_PROBE_SOON_MS},
        {"WSW", false, DNSSEC_PROBE_MS},     {"WSSSS", false, DNSSEC_PROBE_SOON_MS},
        {"S", true, DNSSEC_PROBE_SOON_MS},   {"SW", true, DNSSEC_PROBE_MS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum dnssec_state last = DNSSEC_OFF;
        struct dnssec_trust t;

        dnssec_trust_start(&t, true, cases[i].required);
        for (const char *s = cases[i].steps; *s != '\0'; s++) {
            last = *s == 'W' ? DNSSEC_WORKS : *s == 'S' ? DNSSEC_STRIPPED : DNSSEC_UNKNOWN;
            (void)dnssec_trust_probed(&t, last);
        }
        if (dnssec_trust_next(&t, last) != cases[i].next)
            fail_msg("%s: %lld", cases[i].steps, (long long)dnssec_trust_next(&t, last));
    }
}

static void stripped_or_forged(void **state)
{
    static const struct {
        const char *words;
        bool forged;
    } cases[] = {
        {"validation failure <. A IN>: no signatures from 192.0.2.1", false},
        {"validation failure <. A IN>: No DNSKEY record from 192.0.2.1 for key . while building "
         "chain "
         "of trust",
         false},
        {"", false},
        {"validation failure <. A IN>: signature crypto failed from 192.0.2.1 for key . while "
         "building "
         "chain of trust",
         true},
        {"validation failure <. A IN>: signature missing from 192.0.2.1 for trust anchor .", true},
        {"validation failure <. A IN>: signature expired from 192.0.2.1", true},
        {"validation failure <. A IN>: signature before inception date from 192.0.2.1", true},
        {"validation failure <. A IN>: signatures from unknown keys from 192.0.2.1", true},
        {"validation failure <. A IN>: no keys have a DS with algorithm ECDSAP256SHA256", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (dnssec_looks_forged(slice_str(cases[i].words)) != cases[i].forged)
            fail_msg("%s", cases[i].words);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_UNKNOWN), "unknown");
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_ON), "on");
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_SUSPECTED), "suspected");
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_OFF), "off-stripped");
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_WAITS), "waiting");
    assert_string_equal(dnssec_trust_name(DNSSEC_TRUST_NO_ANCHOR), "off-no-anchor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c_dane_01_when_validation_goes_off),
        cmocka_unit_test(c_dane_01_no_anchor),
        cmocka_unit_test(c_dane_01_required_by_a_reload),
        cmocka_unit_test(the_next_probe),
        cmocka_unit_test(stripped_or_forged),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
