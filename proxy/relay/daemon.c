/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "proxy/relay/daemon_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls_sessions.h"
#include "proxy/relay/kept_sessions.h"
#include "proxy/relay/listeners.h"
#include "proxy/relay/privileges.h"
#include "proxy/relay/resolvers.h"
#include "proxy/relay/sinks.h"
#include "proxy/relay/status.h"

#define PROBE_START_MS 700  /* a restart serves within a second (C-OPS-01) */
#define FILES_PER_SESSION 2 /* the client and one upstream; those that wait come on top */
#define FILES_ELSE 256      /* listeners, loops, resolver sockets, logs */
#define DAY_MS (24 * 60 * 60 * 1000LL)

/* ---- records ---- */

void daemon_log_lines(struct log *log, const char *event, enum record_severity severity,
                      struct slice lines)
{
    struct slice line;

    while (lines.n > 0) {
        struct record *r;

        (void)slice_cut(lines, '\n', &line, &lines);
        if (line.n == 0)
            continue;
        r = record_new(event, severity, loop_wall());
        record_str(r, "detail", line);
        log_record(log, r);
    }
}

static void log_trust(const struct daemon *d, const char *what)
{
    const struct trust_store *t = snapshot_trust(d->snapshot, NULL);
    struct record *r = record_new("trust-store", RECORD_INFO, loop_wall());
    char when[INSTANT_TEXT_MAX];

    record_cstr(r, "what", what);
    record_cstr(r, "path", d->settings->tls.trust_store);
    record_int(r, "roots", (int64_t)trust_roots(t));
    record_int(r, "skipped", (int64_t)trust_skipped(t));
    record_cstr(r, "changed", instant_text(trust_file_time(t), when));
    record_int(r, "age_days", (loop_wall() - trust_file_time(t)) / DAY_MS);
    log_record(d->log, r);
}

static void log_start_record(const struct daemon *d)
{
    struct record *r = record_new("start", RECORD_INFO, loop_wall());

    record_cstr(r, "version", TLSMEND_VERSION);
    record_cstr(r, "config", d->settings->path[0] != '\0' ? d->settings->path : "(defaults)");
    record_cstr(r, "helo_name", d->settings->helo_name);
    record_cstr(r, "demand", tls_level_name(d->settings->tls.level));
    record_int(r, "workers", d->worker_count);
    record_int(r, "pid", getpid());
    log_record(d->log, r);
    for (size_t i = 0; i < d->settings->listener_count; i++) {
        const struct listener_settings *l = &d->settings->listeners[i];
        char at[ADDR_TEXT_MAX];

        r = record_new("listen", RECORD_INFO, loop_wall());
        record_cstr(r, "listener", l->name);
        record_cstr(r, "address", addr_port_text(&l->bind, at));
        log_record(d->log, r);
    }
}

/* ---- the parts ---- */

static void open_store(struct daemon *d)
{
    struct store_params p = {
        .path = d->settings->store.path,
        .log = d->log,
        .policies_max = (size_t)d->settings->mta_sts.policies,
        .rungs_max = (size_t)d->settings->tls.ladder_addresses,
        .ledger_max = (size_t)d->settings->ledger.entries,
        .ledger_keep = d->settings->ledger.keep,
        .tls_sessions_max = kept_sessions_max(d->settings),
    };

    d->store = store_open(&p, NULL); /* trouble is in the log, loudly, and mail goes on */
    d->shared.store = d->store;
}

static bool start_refresher(struct daemon *d, struct buf *error)
{
    struct resolver_context *c =
        resolver_prepare_from(d->settings, dnssec_watch_validates(d->dnssec), error);

    if (c == NULL)
        return false;
    d->refresher = refresher_new(d->loop, d->log, d->store);
    refresher_use(d->refresher, d->snapshot, &c, daemon_fetches(d));
    return true;
}

static bool start_workers(struct daemon *d, struct listeners *l, struct buf *error)
{
    d->workers = mem_array(d->worker_count, sizeof(struct worker *));
    for (unsigned i = 0; i < d->worker_count; i++) {
        struct worker_params p = {&d->shared,
                                  i,
                                  d->snapshot,
                                  &l->fds[i * l->count],
                                  dnssec_watch_validates(d->dnssec),
                                  daemon_fetches(d)};

        d->workers[i] = worker_start(&p, error);
        for (size_t k = 0; k < l->count; k++)
            l->fds[i * l->count + k] = -1; /* taken over, also by one that failed */
        if (d->workers[i] == NULL)
            return false;
    }
    return true;
}

/* ---- reload ---- */

static void on_hup(void *owner)
{
    struct daemon *d = owner;
    struct buf error;

    if (d->ending)
        return;
    notify_manager(d->notify, "RELOADING=1");
    buf_init(&error, NOTE_MAX);
    if (daemon_reload(d, &error)) {
        struct record *r = record_new("reload", RECORD_INFO, loop_wall());

        record_cstr(r, "config", d->settings->path);
        log_record(d->log, r);
        log_trust(d, "loaded");
        dnssec_watch_reload(d->dnssec, d->settings);
    } else {
        daemon_log_lines(d->log, "reload-failed", RECORD_ERROR, buf_slice(&error));
    }
    buf_clear(&error);
    notify_manager(d->notify, "READY=1");
}

static void on_usr1(void *owner)
{
    struct daemon *d = owner;

    log_reopen(d->log);
}

static void on_usr2(void *owner)
{
    const struct daemon *d = owner;
    struct services sv = {.log = d->log, .tls_sessions = d->shared.tls_sessions};
    struct status_process p = {d->worker_count, atomic_load(&d->shared.sessions), d->started};

    status_log_process(&sv, &p);
    for (unsigned i = 0; i < d->worker_count; i++)
        worker_status(d->workers[i]);
}

/* Overrides that ended since we last looked. */
static void tell_expired(struct daemon *d)
{
    wall_ms now = loop_wall();

    for (size_t i = 0; i < d->settings->destination_count; i++) {
        const struct override *o = &d->settings->destinations[i];
        struct record *r;
        char when[INSTANT_TEXT_MAX];

        if (o->expires == 0 || o->expires > now || o->expires <= d->looked)
            continue;
        r = record_new("override-expired", RECORD_WARNING, now);
        record_cstr(r, "match", o->match);
        record_cstr(r, "origin", o->origin);
        record_cstr(r, "expires", instant_text(o->expires, when));
        if (o->reason != NULL)
            record_cstr(r, "policy_note", o->reason);
        record_cstr(r, "hint", "Renew `expires` of this destination, or take the row out.");
        log_record(d->log, r);
    }
    d->looked = now;
}

/* The bundle of a legacy host is often the very problem: notice when it is mended. */
static void on_watch(void *owner)
{
    struct daemon *d = owner;
    struct buf error;
    struct snapshot *fresh;
    int *keep;

    timer_arm(d->watch, d->settings->tls.trust_check);
    tell_expired(d);
    if (d->resolvers_due)
        daemon_validation(d, dnssec_watch_validates(d->dnssec));
    if (d->ending || !snapshot_trust_changed(d->snapshot))
        return;
    buf_init(&error, NOTE_MAX);
    fresh = snapshot_refresh(d->snapshot, &error);
    if (fresh == NULL) {
        /* Said once, not with every look, until something about it changes. */
        if (strncmp(d->watch_error, buf_cstr(&error), sizeof(d->watch_error) - 1) != 0)
            daemon_log_lines(d->log, "trust-store-failed", RECORD_ERROR, buf_slice(&error));
        (void)snprintf(d->watch_error, sizeof(d->watch_error), "%s", buf_cstr(&error));
        buf_clear(&error);
        return;
    }
    d->watch_error[0] = '\0';
    keep = mem_array(d->settings->listener_count + 1, sizeof(*keep));
    for (size_t i = 0; i < d->settings->listener_count; i++)
        keep[i] = -1;
    for (unsigned i = 0; i < d->worker_count; i++)
        worker_reload(d->workers[i], fresh, keep, NULL, false);
    free(keep);
    daemon_use_snapshot(d, fresh);
    refresher_use(d->refresher, fresh, NULL, daemon_fetches(d));
    log_trust(d, "changed");
    buf_clear(&error);
}

/* ---- the end ---- */

static void on_term(void *owner)
{
    struct daemon *d = owner;
    bool again = d->ending;

    d->ending = true;
    if (!again) {
        struct record *r = record_new("stopping", RECORD_INFO, loop_wall());

        record_int(r, "sessions", atomic_load(&d->shared.sessions));
        log_record(d->log, r);
        notify_manager(d->notify, "STOPPING=1");
    }
    for (unsigned i = 0; i < d->worker_count; i++)
        worker_shutdown(d->workers[i], again ? 0 : d->settings->timeouts.shutdown_grace);
}

/* Until the last worker has ended signals are heard: a second SIGTERM cuts, SIGUSR1 reopens. */
static void on_worker_ended(void *owner)
{
    struct daemon *d = owner;

    if (++d->workers_ended == d->worker_count)
        loop_stop(d->loop);
}

static void worker_ended(void *owner)
{
    struct daemon *d = owner;

    (void)loop_post(d->loop, on_worker_ended, d); /* refused only where nobody listens any more */
}

static void finish(struct daemon *d, bool was_started)
{
    if (d->workers != NULL)
        for (unsigned i = 0; i < d->worker_count; i++)
            worker_join(&d->workers[i]);
    free(d->workers);
    kept_sessions_write(d->shared.tls_sessions, d->store, d->settings);
    tls_sessions_free(&d->shared.tls_sessions);
    if (was_started) {
        struct record *r = record_new("stop", RECORD_INFO, loop_wall());

        log_record(d->log, r);
    }
    dnssec_watch_free(&d->dnssec);
    refresher_free(&d->refresher);
    store_close(&d->store);
    timer_free(&d->watch);
    timer_free(&d->retire);
    notify_free(&d->notify);
    daemon_drop_snapshots(d);
    settings_drop(&d->settings);
    log_stop(&d->log);
    loop_free(&d->loop);
}

/* ---- the start ---- */

static bool catch_signals(struct daemon *d)
{
    return loop_signal(d->loop, SIGHUP, on_hup, d) && loop_signal(d->loop, SIGUSR1, on_usr1, d) &&
           loop_signal(d->loop, SIGUSR2, on_usr2, d) && loop_signal(d->loop, SIGTERM, on_term, d) &&
           loop_signal(d->loop, SIGINT, on_term, d);
}

/* Signals are main's: threads made while they are blocked inherit that. */
static void block_signals(bool block)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void watch_dnssec(struct daemon *d)
{
    struct dnssec_watch_params p = {
        .loop = d->loop,
        .log = d->log,
        .settings = d->settings,
        .patience = PROBE_START_MS,
        .validate = daemon_validation,
        .owner = d,
    };

    d->dnssec = dnssec_watch_new(&p);
}

static enum daemon_end start(struct daemon *d, struct listeners *l, struct buf *note,
                             struct buf *error)
{
    unsigned long files = (unsigned long)d->settings->limits.sessions * FILES_PER_SESSION +
                          (unsigned long)d->settings->pool.idle;

    settings_warnings(d->settings, loop_wall(), note);
    privileges_raise_files(files + FILES_ELSE, note);
    if (!listeners_bind(l, d->settings, d->worker_count, NULL, error))
        return DAEMON_SYSTEM;
    if (!privileges_drop(d->settings->user, d->settings->user_set, note)) {
        (void)buf_add(error, buf_slice(note));
        return DAEMON_SYSTEM;
    }
    d->log = sinks_open(d->settings, error);
    if (d->log == NULL)
        return DAEMON_BAD_CONFIG;
    d->shared.log = d->log;
    d->snapshot = snapshot_new(settings_hold(d->settings), l->own, l->count, error);
    if (d->snapshot == NULL || !resolvers_check(d->settings, error))
        return DAEMON_BAD_CONFIG;
    d->loop = loop_new();
    if (d->loop == NULL || !catch_signals(d) || !log_start(d->log)) {
        (void)buf_addf(error, "the system refused an event loop, a signal handler or a thread\n");
        return DAEMON_SYSTEM;
    }
    loop_unwatched(d->loop);
    d->shared.main_loop = d->loop;
    log_start_record(d);
    d->looked = loop_wall();
    d->started = clock_mono();
    d->watch = timer_new(d->loop, on_watch, d);
    d->retire = timer_new(d->loop, daemon_retire, d);
    d->notify = notify_new(d->loop);
    timer_arm(d->watch, d->settings->tls.trust_check);
    watch_dnssec(d);
    open_store(d);
    d->shared.tls_sessions = tls_sessions_new((size_t)d->settings->tls.sessions);
    kept_sessions_read(d->shared.tls_sessions, d->store, snapshot_tls(d->snapshot), d->log);
    return start_refresher(d, error) && start_workers(d, l, error) ? DAEMON_OK : DAEMON_SYSTEM;
}

enum daemon_end daemon_run(struct settings *settings)
{
    struct daemon d = {.settings = settings, .worker_count = daemon_workers(settings)};
    struct listeners l = {0};
    struct buf note, error;
    enum daemon_end end;

    buf_init(&note, NOTE_MAX);
    buf_init(&error, NOTE_MAX);
    atomic_init(&d.shared.sessions, 0);
    atomic_init(&d.shared.admitted, 0);
    d.shared.workers = d.worker_count;
    d.shared.ended = worker_ended;
    d.shared.owner = &d;
    (void)signal(SIGPIPE, SIG_IGN);
    block_signals(true);
    end = start(&d, &l, &note, &error);
    listeners_clear(&l);
    block_signals(false);
    if (end == DAEMON_OK) {
        log_trust(&d, "loaded");
        dnssec_watch_tell(d.dnssec);
        daemon_log_lines(d.log, "warning", RECORD_WARNING, buf_slice(&note));
        notify_manager(d.notify, "READY=1");
        loop_run(d.loop);
    } else {
        if (error.n == 0 || buf_cstr(&error)[error.n - 1] != '\n')
            (void)buf_addc(&error, '\n');
        (void)fputs(buf_cstr(&error), stderr);
        for (unsigned i = 0; d.workers != NULL && i < d.worker_count; i++)
            if (d.workers[i] != NULL)
                worker_shutdown(d.workers[i], 0);
    }
    finish(&d, end == DAEMON_OK);
    buf_clear(&note);
    buf_clear(&error);
    return end;
}
