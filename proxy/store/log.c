/* SPDX-License-Identifier: Apache-2.0 */
/* log - see log.h for the contract.  Here: the queues, the thread, the changes of sinks. */
#include "proxy/store/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/clock_internal.h"
#include "proxy/store/log_internal.h"

#define LOG_MAGIC 0x6c6f6721u
#define STOP_MS 5000  /* for what is queued when the log, or a set of sinks, ends */
#define RETRY_MS 250  /* between two tries of a sink that failed */
#define GRACE_MS 1000 /* for the thread to see that its time is over */

/* The sinks of one configuration.  After a reload the old set is emptied before the new one is
 * written to: both may name the same file. */
struct set {
    struct sink *sinks;
    size_t count;
    struct set *newer; /* NULL: records go here */
    mono_ms give_up;   /* when `newer` came, plus STOP_MS */
};

struct log {
    uint32_t magic;
    pthread_mutex_t lock;
    struct set *oldest, *newest;
    pthread_t thread;
    bool started;
    bool stopping;
    mono_ms stop_by;
    bool ended; /* the thread is about to return */
    pthread_cond_t has_ended;
    int wake;
    bool woken;   /* the eventfd was written and the thread has not looked yet */
    bool asleep;  /* the thread waits for more than the next LOG_GATHER_MS */
    size_t fresh; /* bytes queued since the thread has looked */
    atomic_ullong dropped;
};

static void set_free(struct set *set)
{
    for (size_t i = 0; i < set->count; i++)
        sink_clear(&set->sinks[i]);
    free(set->sinks);
    free(set);
}

/* All or none of them. */
static struct set *set_open(const struct log_sink *sinks, size_t count, struct buf *errors)
{
    struct set *set = mem_zalloc(sizeof(*set));
    size_t failed = 0;

    set->sinks = mem_array(count, sizeof(*set->sinks));
    for (size_t i = 0; i < count; i++) {
        if (sink_open(&set->sinks[set->count], &sinks[i], errors))
            set->count++;
        else
            failed++;
    }
    if (failed == 0)
        return set;
    set_free(set);
    return NULL;
}

static void wake(struct log *l) /* locked */
{
    if (l->woken)
        return;
    l->woken = true;
    (void)eventfd_write(l->wake, 1); /* fails only when the counter is at its top: woken then too */
}

static void drop(struct log *l, struct sink *s) /* locked */
{
    s->untold++;
    atomic_fetch_add(&l->dropped, 1);
}

static void queue_record(struct log *l, struct sink *s, const struct record *r) /* locked */
{
    size_t before = s->queue.n;

    if (!l->started && s->kind == LOG_TO_STDERR) {
        if (sink_render(s, r))
            sink_write_now(s, slice_from(buf_slice(&s->queue), before));
        s->queue.n = before;
        return;
    }
    if (!sink_render(s, r) || s->queue.n + s->in_flight > LOG_QUEUE_MAX) {
        s->queue.n = before;
        drop(l, s);
    }
    l->fresh += s->queue.n - before;
}

/* A thread that gathers looks by itself: waking it for each record would cost more than the record. */
static void queue_all(struct log *l, const struct record *r) /* locked */
{
    struct set *set = l->newest;

    for (size_t i = 0; i < set->count; i++)
        queue_record(l, &set->sinks[i], r);
    if (l->fresh > 0 && (l->asleep || l->fresh >= LOG_GATHER_MAX))
        wake(l);
}

void log_record(struct log *l, struct record *r)
{
    pthread_mutex_lock(&l->lock);
    queue_all(l, r);
    pthread_mutex_unlock(&l->lock);
    record_free(r);
}

static struct record *own_record(const char *event, enum record_severity severity,
                                 const struct sink *s)
{
    struct record *r = record_new(event, severity, clock_ms(CLOCK_REALTIME));

    record_cstr(r, "sink", sink_name(s));
    return r;
}

/* Once per trouble, to all sinks: the one that failed shows it when it works again. */
static void tell_trouble(struct log *l, const char *event, const struct sink *s) /* locked */
{
    struct record *r = own_record(event, RECORD_ERROR, s);

    record_cstr(r, "detail", strerror(s->error));
    queue_all(l, r);
    record_free(r);
}

/* The sink takes lines again: say first how many are missing. */
static void tell_dropped(struct sink *s) /* locked */
{
    struct record *r = own_record("log-dropped", RECORD_ERROR, s);

    record_int(r, "count", (int64_t)s->untold);
    (void)sink_render(s, r);
    record_free(r);
    s->untold = 0;
}

/* Hand queued lines to the writer.  True when the sink has something to write. */
static bool take(struct log *l, struct sink *s) /* locked */
{
    if (s->reopen) {
        s->reopen = false;
        if (!sink_reopen(s))
            tell_trouble(l, "log-reopen-failed", s);
    }
    for (; s->lost > 0; s->lost--)
        drop(l, s);
    if (s->at < s->writing.n)
        return true;
    s->in_flight = 0;
    buf_reset(&s->writing);
    s->at = 0;
    if (s->untold > 0 && s->queue.n == 0)
        tell_dropped(s);
    if (s->queue.n > 0) {
        struct buf empty = s->writing;

        s->writing = s->queue;
        s->queue = empty;
        s->in_flight = s->writing.n;
        if (s->untold > 0) /* behind what was queued before them */
            tell_dropped(s);
    }
    return s->writing.n > 0;
}

/* True when there is something to write; in the end nobody waits for a sink that is broken. */
static bool take_all(struct log *l, struct set *set) /* locked */
{
    bool any = false;

    for (size_t i = 0; i < set->count; i++)
        if (take(l, &set->sinks[i]) && !(l->stopping && set->sinks[i].broken))
            any = true;
    return any;
}

static void count_unwritten(struct log *l, struct set *set) /* locked */
{
    for (size_t i = 0; i < set->count; i++) {
        struct sink *s = &set->sinks[i];
        struct slice left[] = {slice_from(buf_slice(&s->writing), s->at), buf_slice(&s->queue)};

        for (size_t j = 0; j < 2; j++)
            for (size_t k = 0; k < left[j].n; k++)
                if (left[j].p[k] == '\n')
                    atomic_fetch_add(&l->dropped, 1);
    }
}

/* What became of a round of writing. */
struct written {
    struct pollfd *wait; /* what to wait for */
    nfds_t wait_n;
    bool done;  /* a sink took all that there was: it can take more */
    bool retry; /* a sink failed */
};

static void write_all(struct log *l, struct set *set, struct written *w)
{
    for (size_t i = 0; i < set->count; i++) {
        struct sink *s = &set->sinks[i];
        enum sink_result result = SINK_BROKEN;

        if (s->at >= s->writing.n)
            continue;
        if (s->broken && now_ms() < s->again) {
            w->retry = true;
            continue;
        }
        result = sink_write(s);
        if (result == SINK_BLOCKED)
            w->wait[w->wait_n++] = (struct pollfd){.fd = s->fd, .events = POLLOUT};
        if (result == SINK_BROKEN) {
            w->retry = true;
            s->again = now_ms() + RETRY_MS;
            if (!s->broken) {
                pthread_mutex_lock(&l->lock);
                tell_trouble(l, "log-failed", s);
                pthread_mutex_unlock(&l->lock);
            }
        }
        s->broken = result == SINK_BROKEN;
        w->done = w->done || result == SINK_DONE;
    }
}

/* A set that a reload replaced ends when it is empty or out of time; then its successor's turn is. */
static bool set_ended(struct log *l, bool busy) /* locked */
{
    struct set *set = l->oldest;

    if (set->newer == NULL || (busy && now_ms() < set->give_up))
        return false;
    count_unwritten(l, set);
    l->oldest = set->newer;
    set_free(set);
    return true;
}

/* How long to wait for more, at most until `until`.  After a sink has taken all, or when records came
 * meanwhile, the next round comes by itself; else log_record() is told to wake the thread. */
static int time_to_wait(struct log *l, const struct written *w, mono_ms until)
{
    mono_ms left = until != INT64_MAX ? until - now_ms() : INT64_MAX;
    mono_ms wait = w->retry ? RETRY_MS : INT64_MAX;

    pthread_mutex_lock(&l->lock);
    l->asleep = !w->done && l->fresh == 0;
    if (l->stopping || l->oldest->newer != NULL)
        wait = w->done ? 0 : wait; /* whoever ends is in a hurry */
    else if (!l->asleep)
        wait = LOG_GATHER_MS;
    for (size_t i = 0; l->asleep && i < l->oldest->count; i++)
        sink_shrink(&l->oldest->sinks[i]);
    pthread_mutex_unlock(&l->lock);
    if (wait > left)
        wait = left > 0 ? left : 0;
    return wait == INT64_MAX ? -1 : (int)wait;
}

/* One round: true when the log has ended. */
static bool write_round(struct log *l)
{
    struct written w = {.wait_n = 1};
    struct set *set;
    eventfd_t count;
    mono_ms until;
    bool busy;

    pthread_mutex_lock(&l->lock);
    if (l->woken)
        (void)eventfd_read(l->wake, &count);
    l->woken = l->asleep = false;
    l->fresh = 0;
    do
        busy = take_all(l, l->oldest);
    while (set_ended(l, busy));
    set = l->oldest;
    until = set->newer != NULL ? set->give_up : INT64_MAX;
    if (l->stopping && (!busy || now_ms() >= l->stop_by)) {
        pthread_mutex_unlock(&l->lock);
        return true;
    }
    if (l->stopping && l->stop_by < until)
        until = l->stop_by;
    pthread_mutex_unlock(&l->lock);

    w.wait = mem_array(set->count + 1, sizeof(*w.wait));
    w.wait[0] = (struct pollfd){.fd = l->wake, .events = POLLIN};
    write_all(l, set, &w);
    (void)poll(w.wait, w.wait_n, time_to_wait(l, &w, until));
    free(w.wait);
    return false;
}

static void *writer_main(void *arg)
{
    struct log *l = OBJ_CAST(log, LOG_MAGIC, arg);

    while (!write_round(l))
        ;
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    pthread_cond_broadcast(&l->has_ended);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

struct log *log_new(const struct log_sink *sinks, size_t count, struct buf *errors)
{
    struct set *set = set_open(sinks, count, errors);
    pthread_condattr_t monotonic;
    struct log *l;

    if (set == NULL)
        return NULL;
    l = mem_zalloc(sizeof(*l));
    l->magic = LOG_MAGIC;
    l->oldest = l->newest = set;
    l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake < 0) {
        (void)buf_addf(errors, "log: eventfd: %s\n", strerror(errno));
        set_free(set);
        free(l);
        return NULL;
    }
    INVARIANT(pthread_mutex_init(&l->lock, NULL) == 0);
    INVARIANT(pthread_condattr_init(&monotonic) == 0);
    INVARIANT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&l->has_ended, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    return l;
}

bool log_start(struct log *l)
{
    sigset_t all, before;
    bool ok;

    /* Signals are main's; a reader that went away is EPIPE here, not the end of the process. */
    INVARIANT(sigfillset(&all) == 0);
    INVARIANT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    pthread_mutex_lock(&l->lock);
    INVARIANT(!l->started);
    ok = l->started = pthread_create(&l->thread, NULL, writer_main, l) == 0;
    pthread_mutex_unlock(&l->lock);
    INVARIANT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return ok;
}

bool log_configure(struct log *l, const struct log_sink *sinks, size_t count, struct buf *errors)
{
    struct set *set = set_open(sinks, count, errors);

    if (set == NULL)
        return false;
    pthread_mutex_lock(&l->lock);
    l->newest->give_up = now_ms() + STOP_MS;
    l->newest->newer = set;
    l->newest = set;
    wake(l);
    pthread_mutex_unlock(&l->lock);
    return true;
}

void log_reopen(struct log *l)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->newest->count; i++)
        l->newest->sinks[i].reopen = true;
    wake(l);
    pthread_mutex_unlock(&l->lock);
}

/* The thread may hang in a write that the system does not end (a terminal held with ^S): it is left
 * behind then, with all that it uses; the process is about to end. */
static bool thread_ended(struct log *l)
{
    mono_ms until = now_ms() + STOP_MS + GRACE_MS;
    struct timespec by = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    bool ended;

    pthread_mutex_lock(&l->lock);
    while (!l->ended && now_ms() < until) /* not by the wall clock, which may be set meanwhile */
        (void)pthread_cond_timedwait(&l->has_ended, &l->lock, &by);
    ended = l->ended;
    pthread_mutex_unlock(&l->lock);
    if (ended)
        (void)pthread_join(l->thread, NULL);
    else
        (void)pthread_detach(l->thread);
    return ended;
}

void log_stop(struct log **held)
{
    struct log *l = *held;

    *held = NULL;
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    l->stop_by = now_ms() + STOP_MS;
    wake(l);
    pthread_mutex_unlock(&l->lock);
    if (l->started) {
        if (!thread_ended(l))
            return;
    } else {
        (void)writer_main(l);
    }
    while (l->oldest != NULL) {
        struct set *set = l->oldest;

        l->oldest = set->newer;
        set_free(set);
    }
    close(l->wake);
    (void)pthread_cond_destroy(&l->has_ended);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

unsigned long long log_dropped(const struct log *l)
{
    return atomic_load(&l->dropped);
}
