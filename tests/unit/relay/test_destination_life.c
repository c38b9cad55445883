/* SPDX-License-Identifier: Apache-2.0 */
/* test_destination_life - how long a destination may serve, and what it costs to keep (C-STS-06). */
#include "tests/unit/relay/destinations_rig.h"

/* C-STS-06: not one mail longer than max_age; a row of the configuration that ends, the same. */
static void dates(void **state)
{
    struct rig *r = *state;
    struct mailbox recipient = {.domain = SLICE("example.org")};
    struct override rows[] = {
        {.expires = 0}, {.expires = 5000}, {.expires = 3000}, {.expires = 900}};
    struct destination *d = destination_new(&r->snap, &recipient);

    d->good_until = 100;
    assert_int_equal(destination_dates(d, 1000), 0);
    assert_true(destination_good(d, 99, INT64_MAX));
    assert_false(destination_good(d, 100, 0));
    r->snap.demand.overrides = rows;
    r->snap.demand.override_count = 4;
    assert_int_equal(d->dates_until = destination_dates(d, 1000), 3000);
    assert_true(destination_good(d, 0, 2999));
    assert_false(destination_good(d, 0, 3000));
    assert_int_equal(destination_dates(d, 3000), 5000);
    assert_int_equal(destination_dates(d, 5000), 0);

    assert_true(policies_put(r->sv.policies, "example.org", "1", SLICE(BODY), 1000));
    policy_of(r, d);
    d->dates_until = destination_dates(d, 5000);
    assert_int_equal(d->dates_until, 1000 + 604800000);
    assert_true(destination_good(d, 0, d->dates_until - 1));
    assert_false(destination_good(d, 0, d->dates_until));
    assert_true(destination_good(d, 0, 1000 - 604800000));
    assert_false(destination_good(d, 0, 999 - 604800000)); /* the clock was set back */
    destination_lives(d, 200);                             /* never longer */
    assert_int_equal(d->good_until, 100);
    destination_lives(d, 50);
    assert_int_equal(d->good_until, 50);
    destination_free(&d);
}

static void texts_cost_what_they_hold(void **state)
{
    struct rig *r = *state;
    struct mailbox recipient = {.domain = SLICE("example.org")};
    struct mailbox literal = {.domain = SLICE("[IPv6:2001:db8::1]"), .is_literal = true};
    struct destination *d = destination_new(&r->snap, &recipient);
    const char *text = destination_text("");
    const struct destination *shared = d, *again;

    assert_string_equal(text, "");
    destination_text_drop(&text);
    d->holds = 1;
    again = destination_hold(shared);
    destination_drop(&shared);
    assert_null(shared);
    assert_string_equal(again->nexthop, "example.org");
    assert_in_range(destination_memory(again), sizeof(*d) + 24, sizeof(*d) + 64);
    destination_drop(&again);
    destination_drop(&again);
    d = destination_new(&r->snap, &literal);
    assert_string_equal(d->domain, "[IPv6:2001:db8::1]");
    destination_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(dates),
        CASE(texts_cost_what_they_hold),
    };

    return cmocka_run_group_tests_name("destination_life", tests, NULL, NULL);
}
