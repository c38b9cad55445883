/* SPDX-License-Identifier: Apache-2.0 */
/* test_destinations - what is kept, for whom and how long; who shares a look-up (C-MX-01, C-STS-07, C-STS-09). */
#include "tests/unit/relay/destinations_rig.h"

/* ---- kept, and for whom ---- */

static void a_warm_domain_is_not_looked_for(void **state)
{
    struct rig *r = *state;

    warm(r, "Example.ORG.");
    assert_int_equal(r->told, 1);
    for (unsigned i = 0; i < 50; i++) {
        (void)ask(r, i % 2 == 0 ? "example.org" : "EXAMPLE.org");
        assert_int_equal(r->told, 1 + i); /* never inside the call */
        turn(r);
        assert_int_equal(r->told, 2 + i);
        assert_int_equal(r->waited, 0);
        assert_string_equal(r->last->domain, "example.org");
    }
    assert_int_equal(lookup_count, 1);
    assert_int_equal(destinations_count(r->ds), 1);
    (void)ask(r, "b.example.org");
    assert_int_equal(lookup_count, 2);
    found(1);
    turn(r);
    assert_true(destinations_memory(r->ds) > 2 * sizeof(struct destination));
}

static void who_asks_meanwhile_waits_for_the_same(void **state)
{
    struct rig *r = *state;
    struct destinations_query *gone;

    (void)ask(r, "example.org");
    (void)ask(r, "example.org");
    gone = ask(r, "example.org");
    (void)ask_as(r, &r->snap, "example.org", true); /* another wish, another answer */
    assert_int_equal(lookup_count, 2);
    destinations_cancel(&gone);
    found(0);
    assert_int_equal(r->told, 0);
    turn(r);
    assert_int_equal(r->told, 2);
    found(1);
    turn(r);
    assert_int_equal(r->told, 3);
    assert_int_equal(destinations_count(r->ds), 2);
}

/* It goes on for the next mail; the one who was told later may cancel until then. */
static void cancelled(void **state)
{
    struct rig *r = *state;
    struct destinations_query *q = ask(r, "example.org");

    destinations_cancel(&q);
    assert_null(q);
    destinations_cancel(&q);
    found(0);
    turn(r);
    q = ask(r, "example.org");
    assert_int_equal(lookup_count, 1);
    destinations_cancel(&q);
    turn(r);
    assert_int_equal(r->told, 0);
    assert_int_equal(lookups_cancelled, 0);
    (void)ask(r, "one.example");
    (void)ask(r, "example.org"); /* nobody is told when the worker ends */
}

/* ---- what is not kept ---- */

static void a_failure_is_looked_for_anew(void **state)
{
    struct rig *r = *state;

    for (unsigned i = 0; i < 3; i++) {
        (void)ask(r, "example.org");
        assert_int_equal(lookup_count, i + 1);
        if (i == 0)
            lookups[i].d->reason = REASON_DNS_FAILED;
        else if (i == 1)
            lookups[i].d->target_count = 0;
        else
            lookups[i].d->good_until =
                loop_now(r->sv.loop); /* RFC 1035 3.2.1: for this mail only */
        found(i);
        turn(r);
        assert_int_equal(r->told, i + 1);
        assert_int_equal(destinations_count(r->ds), 0);
    }
}

static void ends_with_its_answers(void **state)
{
    struct rig *r = *state;

    (void)ask(r, "example.org");
    lookups[0].d->good_until = loop_now(r->sv.loop) + 30;
    found(0);
    turn(r);
    (void)ask(r, "example.org");
    assert_int_equal(lookup_count, 1);
    for (unsigned i = 0; i < 40; i++)
        turn(r);
    (void)ask(r, "example.org");
    assert_int_equal(lookup_count, 2);
}

static void nothing_is_kept_where_the_setting_is_0(void **state)
{
    struct rig *r = *state;

    r->snap.settings.resolver.destinations = 0;
    (void)ask(r, "example.org");
    (void)ask(r, "example.org");
    assert_int_equal(lookup_count, 1);
    found(0);
    turn(r);
    assert_int_equal(r->told, 2);
    assert_int_equal(destinations_count(r->ds), 0);
    (void)ask(r, "example.org");
    assert_int_equal(lookup_count, 2);
}

/* ---- the bound ---- */

static void the_longest_unused_goes_first(void **state)
{
    struct rig *r = *state;

    r->snap.settings.resolver.destinations = 3;
    warm(r, "a.example");
    warm(r, "b.example");
    warm(r, "c.example");
    warm(r, "d.example");
    assert_int_equal(destinations_count(r->ds), 3);
    (void)ask(r, "b.example"); /* used: c is the oldest now */
    turn(r);
    warm(r, "e.example");
    assert_int_equal(lookup_count, 5);
    (void)ask(r, "b.example");
    (void)ask(r, "d.example");
    (void)ask(r, "e.example");
    assert_int_equal(lookup_count, 5);
    (void)ask(r, "c.example");
    (void)ask(r, "a.example");
    assert_int_equal(lookup_count, 7);
    turn(r);
}

static void many(void **state)
{
    struct rig *r = *state;
    char name[32];
    size_t one;

    r->snap.settings.resolver.destinations = 2000;
    one = destinations_memory(r->ds);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 3000; i++) {
            lookup_count = 0;
            (void)snprintf(name, sizeof(name), "d%u.example", i);
            warm(r, name);
        }
    assert_int_equal(destinations_count(r->ds), 2000);
    assert_true(destinations_memory(r->ds) - one < (size_t)2000 * 1024);
    lookup_count = 0;
    for (unsigned i = 1000; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "d%u.example", i);
        (void)ask(r, name);
    }
    assert_int_equal(lookup_count, 0);
    turn(r);
}

/* ---- a reload ---- */

static void a_reload_ends_them_all(void **state)
{
    struct rig *r = *state;
    struct snapshot next = {.settings.resolver.destinations = 100};
    struct snapshot *old = &r->snap;

    warm(r, "example.org");
    (void)ask(r, "slow.example"); /* under way while the reload comes */
    destinations_renew(r->ds, &next);
    (void)ask_as(r, &next, "example.org", false);
    (void)ask_as(r, &next, "slow.example", false);
    assert_int_equal(lookup_count, 4);
    for (size_t i = 1; i < 4; i++)
        found(i);
    turn(r);
    assert_int_equal(r->told, 4);
    assert_int_equal(destinations_count(r->ds), 2); /* the old ones were swept away */
    assert_int_equal(old->holds, 0);

    /* A transaction that began before it: by its own configuration, and in nobody's way. */
    (void)ask_as(r, old, "example.org", false);
    (void)ask_as(r, old, "example.org", false);
    assert_int_equal(lookup_count, 5);
    found(4);
    (void)ask_as(r, &next, "example.org", false);
    turn(r);
    assert_int_equal(r->told, 7);
    assert_int_equal(lookup_count, 5);
    destinations_renew(r->ds, old);
    turn(r);
    assert_int_equal(next.holds, 0);
}

/* The DNSSEC state or the resolver alone. */
static void the_same_snapshot_with_another_resolver(void **state)
{
    struct rig *r = *state;

    warm(r, "example.org");
    destinations_renew(r->ds, &r->snap);
    warm(r, "example.org");
    assert_int_equal(lookup_count, 2);
    (void)ask(r, "example.org");
    turn(r);
    assert_int_equal(lookup_count, 2);
    assert_int_equal(destinations_count(r->ds), 1);
}

static void forgotten(void **state)
{
    struct rig *r = *state;

    warm(r, "example.org");
    warm(r, "other.example");
    (void)ask(r, "slow.example");
    destinations_forget(r->ds, "example.org");
    destinations_forget(r->ds, "slow.example");
    destinations_forget(r->ds, "unknown.example");
    (void)ask(r, "other.example");
    assert_int_equal(lookup_count, 3);
    (void)ask(r, "example.org");
    (void)ask(r, "slow.example"); /* what is under way may be the old answer */
    assert_int_equal(lookup_count, 5);
    found(2);
    turn(r);
    assert_int_equal(destinations_count(r->ds), 1);
    found(4);
    turn(r);
    (void)ask(r, "slow.example");
    assert_int_equal(lookup_count, 5);
    turn(r);
}

/* ---- the policy behind it ---- */

/* C-STS-07: another policy of the domain, whoever fetched it, decides the very next mail. */
static void c_sts_07_another_policy(void **state)
{
    struct rig *r = *state;

    assert_true(policies_put(r->sv.policies, "example.org", "1", SLICE(BODY), loop_wall()));
    for (unsigned i = 0; i < 4; i++) {
        (void)ask(r, "example.org");
        assert_int_equal(lookup_count, i + 1);
        policy_of(r, lookups[i].d);
        found(i);
        (void)ask(r, "example.org");
        assert_int_equal(lookup_count, i + 1);
        turn(r);
        if (i == 0) /* a failed fetch is not another policy */
            policies_failed(r->sv.policies, "example.org", "2", loop_wall());
        (void)ask(r, "example.org");
        assert_int_equal(lookup_count, i + 1);
        turn(r);
        if (i == 1)
            policies_remove(r->sv.policies, "example.org");
        else
            policies_put(r->sv.policies, "example.org", "2", SLICE(BODY), loop_wall());
    }
}

/* C-STS-09: who is served from here uses the policy all the same. */
static void c_sts_09_a_use_is_told(void **state)
{
    struct rig *r = *state;
    wall_ms now = loop_wall(), long_ago = now - STS_UNUSED_MS + 1000;
    const struct policy_entry *e;

    assert_true(policies_put(r->sv.policies, "example.org", "1",
                             SLICE("version: STSv1\nmode: enforce\nmx: mx.example.com\n"
                                   "max_age: 31557600\n"),
                             long_ago));
    (void)ask(r, "example.org");
    policy_of(r, lookups[0].d);
    found(0);
    turn(r);
    (void)ask(r, "example.org");
    turn(r);
    assert_int_equal(lookup_count, 1);
    e = policies_find(r->sv.policies, "example.org");
    assert_true(e->held.used >= now);
    policy_entry_drop(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_warm_domain_is_not_looked_for),
        CASE(who_asks_meanwhile_waits_for_the_same),
        CASE(cancelled),
        CASE(a_failure_is_looked_for_anew),
        CASE(ends_with_its_answers),
        CASE(nothing_is_kept_where_the_setting_is_0),
        CASE(the_longest_unused_goes_first),
        CASE(many),
        CASE(a_reload_ends_them_all),
        CASE(the_same_snapshot_with_another_resolver),
        CASE(forgotten),
        CASE(c_sts_07_another_policy),
        CASE(c_sts_09_a_use_is_told),
    };

    return cmocka_run_group_tests_name("destinations", tests, NULL, NULL);
}
