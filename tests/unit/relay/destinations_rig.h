/* SPDX-License-Identifier: Apache-2.0 */
/* Kept destinations with a snapshot that needs no file, and look-ups that the test plays: destination_find() and
 * snapshot_*() are defined here. */
#ifndef TLSMEND_TESTS_DESTINATIONS_RIG_H
#define TLSMEND_TESTS_DESTINATIONS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"
#include "proxy/relay/destinations.h"
#include "proxy/store/store.h"

#define LIFE 60000
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BODY "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n"

/* ---- a snapshot without files ---- */

struct snapshot {
    struct settings settings;
    struct demand_config demand;
    unsigned holds;
};

struct snapshot *snapshot_hold(struct snapshot *s)
{
    s->holds++;
    return s;
}

void snapshot_drop(struct snapshot **s)
{
    if (*s != NULL)
        (*s)->holds--;
    *s = NULL;
}

const struct settings *snapshot_settings(const struct snapshot *s)
{
    return &s->settings;
}

const struct demand_config *snapshot_demand(const struct snapshot *s)
{
    return &s->demand;
}

/* ---- played look-ups ---- */

struct destination_query {
    struct destination *d;
    destination_done_fn *done;
    void *owner;
    bool open;
};

static struct destination_query lookups[64];
static size_t lookup_count, lookups_cancelled;

struct destination_query *destination_find(struct services *sv, struct snapshot *snap,
                                           const struct mailbox *recipient,
                                           const struct destination_wish *wish,
                                           destination_done_fn *done, void *owner)
{
    struct destination_query *q = &lookups[lookup_count++];

    (void)wish;
    assert_true(lookup_count <= sizeof(lookups) / sizeof(lookups[0]));
    *q = (struct destination_query){destination_new(snap, recipient), done, owner, true};
    q->d->good_until = loop_now(sv->loop) + LIFE;
    q->d->targets = mem_array(1, sizeof(struct mx_target));
    q->d->target_count = 1;
    q->d->holds = 1;
    return q;
}

void destination_cancel(struct destination_query **q)
{
    if (*q != NULL && (*q)->open) {
        (*q)->open = false;
        lookups_cancelled++;
        destination_free(&(*q)->d);
    }
    *q = NULL;
}

/* ---- the rig ---- */

struct rig {
    struct services sv;
    struct snapshot snap;
    struct store *store;
    struct destinations *ds;
    unsigned told;
    const struct destination *last; /* not held */
    int64_t waited;
};

static int setup(void **state)
{
    struct rig *r = mem_zalloc(sizeof(*r));

    lookup_count = lookups_cancelled = 0;
    r->snap.settings.resolver.destinations = 100;
    r->sv.loop = loop_new();
    r->store = store_open(&(struct store_params){.path = "", .policies_max = 10}, NULL);
    r->sv.policies = store_policies(r->store);
    r->ds = destinations_new(&r->sv, &r->snap);
    *state = r;
    return r->sv.loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    destinations_free(&r->ds);
    loop_free(&r->sv.loop);
    store_close(&r->store);
    assert_int_equal(r->snap.holds, 0);
    free(r);
    return 0;
}

static void on_told(void *owner, const struct destination *d, int64_t waited)
{
    struct rig *r = owner;

    r->told++;
    r->last = d;
    r->waited = waited;
    destination_drop(&d);
}

static void stop(void *owner)
{
    loop_stop(owner);
}

/* A turn of the loop in which all that is due is told. */
static void turn(struct rig *r)
{
    struct timer *t = timer_new(r->sv.loop, stop, r->sv.loop);

    timer_arm(t, 1);
    loop_run(r->sv.loop);
    timer_free(&t);
}

static struct destinations_query *ask_as(struct rig *r, struct snapshot *snap, const char *domain,
                                         bool requiretls)
{
    struct mailbox recipient = {.domain = slice_str(domain)};
    struct destination_wish wish = {.requiretls = requiretls};

    return destinations_find(r->ds, snap, &recipient, &wish, on_told, r);
}

static struct destinations_query *ask(struct rig *r, const char *domain)
{
    return ask_as(r, &r->snap, domain, false);
}

static void found(size_t i)
{
    struct destination_query *q = &lookups[i];

    assert_true(i < lookup_count && q->open);
    q->open = false;
    q->done(q->owner, q->d);
}

/* One that was looked for and is kept, if anything is. */
__attribute__((unused)) static void warm(struct rig *r, const char *domain)
{
    (void)ask(r, domain);
    found(lookup_count - 1);
    turn(r);
}

__attribute__((unused)) static void policy_of(struct rig *r, struct destination *d)
{
    d->policy_domain = destination_text("example.org");
    d->sts.entry = policies_find(r->sv.policies, "example.org");
}

#endif
