/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_reload - new settings, and another state of DNSSEC, for a daemon that runs; see daemon_internal.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/net/tls_sessions.h"
#include "proxy/relay/daemon_internal.h"
#include "proxy/relay/listeners.h"
#include "proxy/relay/resolvers.h"
#include "proxy/relay/sinks.h"

#define WORKERS_MAX 4
#define RETIRE_MS 1000

/* ---- numbers ---- */

unsigned daemon_workers(const struct settings *set)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (set->workers > 0)
        return (unsigned)set->workers;
    if (cores < 1)
        return 1;
    return cores > WORKERS_MAX ? WORKERS_MAX : (unsigned)cores;
}

/* mta_sts.fetches is one number for the workers and the refresher together. */
unsigned daemon_fetches(const struct daemon *d)
{
    unsigned share = (unsigned)d->settings->mta_sts.fetches / (d->worker_count + 1);

    return share > 0 ? share : 1;
}

/* Each worker's, and the refresher's last. */
static unsigned resolver_count(const struct daemon *d)
{
    return d->worker_count + 1;
}

/* ---- snapshots ---- */

void daemon_retire(void *owner)
{
    struct daemon *d = owner;
    struct old_snapshot *o, *next;

    for (o = SLIST_FIRST(&d->old_snapshots); o != NULL; o = next) {
        next = SLIST_NEXT(o, next);
        if (!snapshot_is_last(o->snapshot))
            continue;
        SLIST_REMOVE(&d->old_snapshots, o, old_snapshot, next);
        snapshot_drop(&o->snapshot);
        free(o);
    }
    if (!SLIST_EMPTY(&d->old_snapshots))
        timer_arm(d->retire, RETIRE_MS);
}

void daemon_use_snapshot(struct daemon *d, struct snapshot *fresh)
{
    struct old_snapshot *o = mem_zalloc(sizeof(*o));

    o->snapshot = d->snapshot;
    SLIST_INSERT_HEAD(&d->old_snapshots, o, next);
    d->snapshot = fresh;
    timer_arm(d->retire, RETIRE_MS);
}

void daemon_drop_snapshots(struct daemon *d)
{
    struct old_snapshot *o;

    while ((o = SLIST_FIRST(&d->old_snapshots)) != NULL) {
        SLIST_REMOVE_HEAD(&d->old_snapshots, next);
        snapshot_drop(&o->snapshot);
        free(o);
    }
    snapshot_drop(&d->snapshot);
}

/* ---- DNSSEC ---- */

void daemon_validation(void *owner, bool on)
{
    struct daemon *d = owner;
    struct resolver_context **fresh;
    struct buf why;

    if (d->ending)
        return;
    buf_init(&why, NOTE_MAX);
    fresh = resolvers_prepare(d->settings, on, resolver_count(d), &why);
    d->resolvers_due = fresh == NULL; /* what works is kept */
    if (fresh == NULL) {
        resolvers_tell(d->log, buf_slice(&why));
    } else {
        for (unsigned i = 0; i < d->worker_count; i++)
            worker_set_validation(d->workers[i], &fresh[i], on);
        refresher_use(d->refresher, d->snapshot, &fresh[d->worker_count], daemon_fetches(d));
    }
    resolvers_free(&fresh, resolver_count(d));
    buf_clear(&why);
}

/* ---- settings ---- */

/* The socket is made one way or the other before privileges are dropped, and serves on. */
static void warn_transparent(const struct settings *old, const struct settings *fresh,
                             struct buf *note)
{
    for (size_t i = 0; i < fresh->listener_count; i++) {
        const struct listener_settings *l = &fresh->listeners[i];

        for (size_t k = 0; k < old->listener_count; k++)
            if (addr_same(&l->bind, &old->listeners[k].bind) &&
                l->transparent != old->listeners[k].transparent)
                (void)buf_addf(note,
                               "listeners: transparent of \"%s\" takes effect at the next start\n",
                               l->name);
    }
}

/* What a reload cannot change is said, not silently ignored. */
static void warn_unchangeable(struct daemon *d, const struct settings *fresh)
{
    struct buf note;

    buf_init(&note, NOTE_MAX);
    if (daemon_workers(fresh) != d->worker_count)
        (void)buf_addf(&note, "workers: the new number takes effect at the next start\n");
    if (strcmp(fresh->user, d->settings->user) != 0)
        (void)buf_addf(&note, "user: the new user takes effect at the next start\n");
    if (strcmp(fresh->store.path, d->settings->store.path) != 0)
        (void)buf_addf(&note, "store.path: the new path takes effect at the next start\n");
    if (fresh->mta_sts.fetches != d->settings->mta_sts.fetches ||
        fresh->mta_sts.policies != d->settings->mta_sts.policies)
        (void)buf_addf(&note, "mta_sts: fetches and policies take effect at the next start\n");
    if (fresh->tls.ladder_addresses != d->settings->tls.ladder_addresses)
        (void)buf_addf(&note, "tls.ladder_addresses: takes effect at the next start\n");
    if (fresh->ledger.entries != d->settings->ledger.entries)
        (void)buf_addf(&note, "ledger.entries: takes effect at the next start\n");
    warn_transparent(d->settings, fresh, &note);
    settings_warnings(fresh, loop_wall(), &note);
    daemon_log_lines(d->log, "warning", RECORD_WARNING, buf_slice(&note));
    buf_clear(&note);
}

struct change { /* what a reload brings */
    struct settings *settings;
    struct snapshot *snapshot;
    struct listeners listeners;
    struct resolver_context **resolvers;
};

static void clear_change(struct daemon *d, struct change *c)
{
    snapshot_drop(&c->snapshot);
    listeners_clear(&c->listeners);
    resolvers_free(&c->resolvers, resolver_count(d));
    settings_drop(&c->settings);
}

/* Everything that can fail, before anything changes. */
static bool make_change(struct daemon *d, struct change *c, struct buf *error)
{
    bool validate = dnssec_watch_validates(d->dnssec);

    c->settings = settings_load(d->settings->path[0] != '\0' ? d->settings->path : NULL, error);
    if (c->settings == NULL || (!validate && !resolvers_check(c->settings, error)))
        return false;
    c->resolvers = resolvers_prepare(c->settings, validate, resolver_count(d), error);
    if (c->resolvers == NULL ||
        !listeners_bind(&c->listeners, c->settings, d->worker_count, d->settings, error))
        return false;
    c->snapshot =
        snapshot_new(settings_hold(c->settings), c->listeners.own, c->listeners.count, error);
    return c->snapshot != NULL && sinks_configure(d->log, c->settings, error);
}

static void take_change(struct daemon *d, struct change *c)
{
    bool validate = dnssec_watch_validates(d->dnssec);

    warn_unchangeable(d, c->settings);
    for (unsigned i = 0; i < d->worker_count; i++)
        worker_reload(d->workers[i], c->snapshot, &c->listeners.fds[i * c->listeners.count],
                      &c->resolvers[i], validate);
    listeners_handed_over(&c->listeners);
    ledger_set_keep(store_ledger(d->store), c->settings->ledger.keep);
    tls_sessions_limit(d->shared.tls_sessions, (size_t)c->settings->tls.sessions);
    daemon_use_snapshot(d, snapshot_hold(c->snapshot));
    settings_drop(&d->settings);
    d->settings = settings_hold(c->settings);
    refresher_use(d->refresher, d->snapshot, &c->resolvers[d->worker_count], daemon_fetches(d));
    d->resolvers_due = false;
}

bool daemon_reload(struct daemon *d, struct buf *error)
{
    struct change c = {0};
    bool ok = make_change(d, &c, error);

    if (ok)
        take_change(d, &c);
    clear_change(d, &c);
    return ok;
}
