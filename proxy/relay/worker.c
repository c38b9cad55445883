/* SPDX-License-Identifier: Apache-2.0 */
/* See worker.h. */
#include "proxy/relay/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/acceptor.h"
#include "proxy/relay/arrival.h"
#include "proxy/relay/destinations.h"
#include "proxy/relay/envelope.h"
#include "proxy/relay/heap.h"
#include "proxy/relay/pool.h"
#include "proxy/relay/resolvers.h"
#include "proxy/relay/status.h"
#include "proxy/relay/sts.h"
#include "proxy/relay/transaction.h"
#include "proxy/relay/upstream.h"

#define WORKER_MAGIC 0x776f726bu
#define RESUME_MS 1000
#define ONE_MORE_MS 10
#define SHUT_AT_ONCE 256
#define WHY_MAX 1024

struct gate { /* one listener of this worker */
    struct worker *worker;
    struct acceptor *acceptor;
    const struct listener_settings *listener; /* of worker->snapshot */
};

struct worker {
    uint32_t magic;
    struct worker_shared *shared;
    unsigned index, counter;
    pthread_t thread;
    struct services services;
    struct snapshot *snapshot;
    struct gate **gates;
    size_t gate_count;
    struct arrival_list arrivals;
    struct session_list sessions;
    atomic_llong grace_ms; /* main's word about the end */
    struct timer *grace, *resume, *shut;
    struct ledger_watch *ledger_watch;
    struct heap_watch *heap;
    bool paused, ending;
};

/* ---- connections to MX hosts ---- */

/* The limits are for all workers together; one that asks for any connection at all gets it. */
static size_t share(const struct worker *w, int all)
{
    size_t part = (size_t)all / w->shared->workers;

    return all > 0 && part == 0 ? 1 : part;
}

static void set_pool_limits(struct worker *w)
{
    const struct settings *set = snapshot_settings(w->snapshot);
    struct pool_limits limits = {.idle_per_host = share(w, set->pool.idle_per_host),
                                 .idle = share(w, set->pool.idle),
                                 .per_host = share(w, set->pool.per_host),
                                 .connections = share(w, set->pool.connections),
                                 .idle_time = set->pool.idle_time};

    pool_set_limits(w->services.pool, &limits);
}

static size_t crowd(const void *owner)
{
    const struct worker *w = owner;
    struct pool_usage u;

    pool_usage(w->services.pool, &u);
    return w->sessions.count + u.open;
}

/* ---- sessions ---- */

static struct snapshot *present_snapshot(void *owner)
{
    return OBJ_CAST(worker, WORKER_MAGIC, owner)->snapshot;
}

static unsigned session_limit(const struct worker *w)
{
    return (unsigned)snapshot_settings(w->snapshot)->limits.sessions;
}

static bool admit(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);
    unsigned now = atomic_load(&w->shared->admitted);

    while (now < session_limit(w))
        if (atomic_compare_exchange_weak(&w->shared->admitted, &now, now + 1))
            return true;
    return false;
}

/* Beyond the limit clients are still greeted and told 451 at MAIL; this far beyond it they must
 * wait. */
static bool too_many_to_greet(struct worker *w)
{
    unsigned limit = session_limit(w);

    return atomic_load(&w->shared->sessions) >= limit + limit / 10 + 16;
}

static bool must_wait(struct worker *w)
{
    return too_many_to_greet(w) ||
           pace_is_full(&w->services.pace, w->paused, loop_now(w->services.loop));
}

static void pause_gates(struct worker *w, bool pause)
{
    /* The sessions that must end may be another worker's: look again by the clock. */
    if (pause)
        timer_arm(w->resume, too_many_to_greet(w) ? RESUME_MS : ONE_MORE_MS);
    if (w->paused == pause)
        return;
    w->paused = pause;
    for (size_t i = 0; i < w->gate_count; i++)
        acceptor_pause(w->gates[i]->acceptor, pause);
}

static void resume(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    /* Behind those who only get on fast one more is let in each time: nobody can keep the others out for long. */
    if (w->paused)
        pause_gates(w, too_many_to_greet(w));
}

static void maybe_done(struct worker *w)
{
    if (w->ending && w->arrivals.count == 0 && w->sessions.count == 0)
        loop_stop(w->services.loop);
}

static void session_closed(void *owner, bool admitted)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    atomic_fetch_sub(&w->shared->sessions, 1);
    if (admitted)
        atomic_fetch_sub(&w->shared->admitted, 1);
    if (w->paused && !must_wait(w))
        pause_gates(w, false);
    maybe_done(w);
}

static const struct session_events session_events = {
    .snapshot = present_snapshot,
    .admit = admit,
    .closed = session_closed,
};

static void on_accepted(void *owner, int fd, const struct addr *peer)
{
    struct gate *g = owner;
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, g->worker);
    char id[SESSION_ID_MAX];
    struct arrival_params p = {
        .services = &w->services,
        .list = &w->arrivals,
        .sessions = &w->sessions,
        .snapshot = w->snapshot,
        .listener = g->listener,
        .fd = fd,
        .peer = peer,
        .id = id,
    };

    (void)snprintf(id, sizeof(id), "%08llx-%x-%x",
                   (unsigned long long)(loop_wall() / 1000) & 0xffffffffu, w->index, ++w->counter);
    atomic_fetch_add(&w->shared->sessions, 1);
    heap_watch_grew(w->heap);
    if (!arrival_begin(&p, &session_events, w))
        atomic_fetch_sub(&w->shared->sessions, 1);
    else if (must_wait(w))
        pause_gates(w, true);
}

static void on_exhausted(void *owner, int error)
{
    struct gate *g = owner;
    struct record *r = record_new("warning", RECORD_WARNING, loop_wall());

    record_cstr(r, "subject", "accept");
    record_cstr(r, "listener", g->listener->name);
    record_cstr(r, "detail", strerror(error));
    record_cstr(r, "hint", "Raise the limit of open files (LimitNOFILE) or lower limits.sessions.");
    log_record(g->worker->services.log, r);
}

static const struct acceptor_events acceptor_events = {
    .accepted = on_accepted,
    .exhausted = on_exhausted,
};

/* ---- listeners ---- */

static void gate_free(struct gate *g)
{
    acceptor_free(&g->acceptor);
    free(g);
}

static void close_gates(struct worker *w)
{
    for (size_t i = 0; i < w->gate_count; i++)
        gate_free(w->gates[i]);
    free(w->gates);
    w->gates = NULL;
    w->gate_count = 0;
}

/* The gates of the present snapshot: a socket given is new, -1 means an old one serves on. */
static void set_gates(struct worker *w, struct snapshot *s, const int *fds)
{
    const struct settings *set = snapshot_settings(s);
    struct gate **gates = mem_array(set->listener_count + 1, sizeof(struct gate *));

    for (size_t i = 0; i < set->listener_count; i++) {
        const struct listener_settings *l = &set->listeners[i];

        if (fds[i] >= 0) {
            gates[i] = mem_zalloc(sizeof(*gates[i]));
            gates[i]->worker = w;
            gates[i]->acceptor = acceptor_new(w->services.loop, fds[i], &acceptor_events, gates[i]);
            acceptor_pause(gates[i]->acceptor, w->paused);
        }
        for (size_t k = 0; fds[i] < 0 && k < w->gate_count; k++) {
            if (w->gates[k] == NULL || !addr_same(&w->gates[k]->listener->bind, &l->bind))
                continue;
            gates[i] = w->gates[k];
            w->gates[k] = NULL;
            break;
        }
        INVARIANT(gates[i] != NULL);
        gates[i]->listener = l;
    }
    for (size_t k = 0; k < w->gate_count; k++)
        if (w->gates[k] != NULL)
            gate_free(w->gates[k]);
    free(w->gates);
    w->gates = gates;
    w->gate_count = set->listener_count;
}

/* Is DANE possible at all (C-DANE-01)? */
static bool validating(const struct snapshot *s, bool validate)
{
    return validate && snapshot_settings(s)->resolver.trust_anchor[0] != '\0';
}

/* ---- the ledger ---- */

static void settle_transactions(void *owner)
{
    transactions_settle(&OBJ_CAST(worker, WORKER_MAGIC, owner)->services);
}

/* The store's thread: the disk has answered. */
static void on_ledger_settled(void *ctx)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, ctx);

    (void)loop_post(w->services.loop, settle_transactions, w); /* unwatched before the loop goes */
}

/* ---- the thread ---- */

static void *worker_main(void *arg)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, arg);

    loop_run(w->services.loop);
    /* Nobody is served any more.  What was posted to main before is run before `ended` is, which may stop its loop. */
    w->services.main_loop = NULL;
    close_gates(w);
    arrival_list_cut(&w->arrivals);
    session_list_cut(&w->sessions);
    ledger_unwatch(w->services.ledger, &w->ledger_watch);
    pool_flush(w->services.pool, true);
    upstream_cut_leaving(&w->services);
    pool_free(&w->services.pool);
    destinations_free(&w->services.destinations);
    sts_agent_free(&w->services.sts);
    heap_watch_free(&w->heap);
    timer_free(&w->grace);
    timer_free(&w->resume);
    timer_free(&w->shut);
    resolver_share_drop(&w->services.resolver);
    w->shared->ended(w->shared->owner);
    return NULL;
}

/* After the thread has ended: main may have posted to the loop until then. */
static void worker_free(struct worker *w)
{
    loop_free(&w->services.loop);
    snapshot_drop(&w->snapshot);
    free(w);
}

static void grace_over(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    session_list_cut(&w->sessions);
    maybe_done(w);
}

/* To tell thousands in one turn would hold up those that still send mail. */
static void shut_sessions(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    if (session_list_shutdown(&w->sessions, SHUT_AT_ONCE))
        timer_arm(w->shut, 0);
    maybe_done(w);
}

struct worker *worker_start(const struct worker_params *p, struct buf *error)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    struct resolver_context *context;
    int failed;

    w->magic = WORKER_MAGIC;
    w->shared = p->shared;
    w->index = p->index;
    atomic_init(&w->grace_ms, 0);
    w->services.validating = validating(p->snapshot, p->validate);
    w->services.policies = store_policies(p->shared->store);
    w->services.rungs = store_rungs(p->shared->store);
    w->services.ledger = store_ledger(p->shared->store);
    LIST_INIT(&w->services.ledger_waits);
    LIST_INIT(&w->services.upstreams);
    w->snapshot = snapshot_hold(p->snapshot);
    w->services.log = p->shared->log;
    w->services.seed = (uint64_t)loop_wall() * 1000003u + p->index;
    w->services.loop = loop_new();
    if (w->services.loop == NULL) {
        (void)buf_addf(error, "no event loop: %s\n", strerror(errno));
        snapshot_drop(&w->snapshot);
        free(w);
        return NULL;
    }
    w->services.main_loop = p->shared->main_loop;
    w->services.tls_sessions = p->shared->tls_sessions;
    w->services.pool = pool_new(w->services.loop, w->services.seed, upstream_leave_pool);
    set_pool_limits(w);
    w->heap = heap_watch_new(w->services.loop, crowd, w);
    set_gates(w, w->snapshot, p->listen_fds);
    w->services.sts = sts_agent_new(&w->services, p->fetches);
    w->services.destinations = destinations_new(&w->services, w->snapshot);
    w->ledger_watch = ledger_watch(w->services.ledger, on_ledger_settled, w);
    w->grace = timer_new(w->services.loop, grace_over, w);
    w->resume = timer_new(w->services.loop, resume, w);
    w->shut = timer_new(w->services.loop, shut_sessions, w);
    context = resolver_prepare_from(snapshot_settings(w->snapshot), p->validate, error);
    if (context != NULL)
        w->services.resolver = resolver_share_open(&w->services, &context, error);
    failed = w->services.resolver == NULL ? -1 : pthread_create(&w->thread, NULL, worker_main, w);
    if (failed == 0)
        return w;
    if (failed > 0)
        (void)buf_addf(error, "no thread for a worker: %s\n", strerror(failed));
    loop_stop(w->services.loop);
    (void)worker_main(w); /* closes what there is */
    worker_free(w);
    return NULL;
}

/* ---- what main brings ---- */

struct reload {
    struct worker *worker;
    struct snapshot *snapshot;         /* NULL: as it is */
    struct resolver_context *resolver; /* NULL: as it is */
    bool validate;
    int fds[];
};

/* Look-ups under way end with the resolver that they began with. */
static void use_resolver(struct worker *w, struct resolver_context **context, bool validate)
{
    struct resolver_share *fresh;
    struct buf error;

    buf_init(&error, WHY_MAX);
    fresh = resolver_share_open(&w->services, context, &error);
    if (fresh == NULL) {
        resolvers_tell(w->services.log, buf_slice(&error));
    } else {
        resolver_share_drop(&w->services.resolver);
        w->services.resolver = fresh;
        w->services.validating = validating(w->snapshot, validate);
    }
    buf_clear(&error);
}

static void take_reload(void *owner)
{
    struct reload *r = owner;
    struct worker *w = r->worker;

    if (r->snapshot != NULL) {
        set_gates(w, r->snapshot, r->fds);
        snapshot_drop(&w->snapshot);
        w->snapshot = r->snapshot;
        set_pool_limits(w);
    }
    if (r->resolver != NULL)
        use_resolver(w, &r->resolver, r->validate);
    destinations_renew(w->services.destinations, w->snapshot);
    free(r);
}

static struct reload *reload_new(struct worker *w, struct resolver_context **resolver,
                                 bool validate, size_t fd_count)
{
    struct reload *r = mem_zalloc(sizeof(*r) + fd_count * sizeof(int));

    r->worker = w;
    r->validate = validate;
    if (resolver != NULL) {
        r->resolver = *resolver;
        *resolver = NULL;
    }
    return r;
}

void worker_set_validation(struct worker *w, struct resolver_context **resolver, bool validate)
{
    (void)loop_post(w->services.loop, take_reload, reload_new(w, resolver, validate, 0));
}

void worker_reload(struct worker *w, struct snapshot *s, const int *listen_fds,
                   struct resolver_context **resolver, bool validate)
{
    size_t count = snapshot_settings(s)->listener_count;
    struct reload *r = reload_new(w, resolver, validate, count);

    r->snapshot = snapshot_hold(s);
    memcpy(r->fds, listen_fds, count * sizeof(int));
    (void)loop_post(w->services.loop, take_reload, r); /* false only after worker_join() */
}

static void take_status(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    status_log_worker(&w->services, &w->sessions, w->index);
}

void worker_status(struct worker *w)
{
    (void)loop_post(w->services.loop, take_status, w);
}

static void take_shutdown(void *owner)
{
    struct worker *w = OBJ_CAST(worker, WORKER_MAGIC, owner);

    w->ending = true;
    close_gates(w);
    timer_arm(w->grace, atomic_load(&w->grace_ms));
    arrival_list_cut(&w->arrivals);
    pool_flush(w->services.pool, true);
    shut_sessions(w);
}

/* Nothing is allocated for it: a worker that has ended meanwhile runs no posted call any more. */
void worker_shutdown(struct worker *w, int64_t grace_ms)
{
    atomic_store(&w->grace_ms, grace_ms);
    (void)loop_post(w->services.loop, take_shutdown, w);
}

void worker_join(struct worker **held)
{
    struct worker *w = *held;

    *held = NULL;
    if (w == NULL)
        return;
    (void)pthread_join(w->thread, NULL);
    worker_free(w);
}
