/* SPDX-License-Identifier: Apache-2.0 */
/* loop - see loop.h for the contract. */
#include "proxy/net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/event_memory_internal.h"
#include "proxy/net/loop_internal.h"
#include "proxy/net/watchdog_internal.h"

#define LOOP_MAGIC 0x4c4f4f50u
#define TIMER_MAGIC 0x54494d45u
#define SIGNAL_MAGIC 0x5349474eu

struct call {
    loop_fn *fn;
    void *owner;
};

struct posted {
    struct posted *next;
    struct call call;
};

struct signal_watch {
    uint32_t magic;
    struct signal_watch *next;
    struct loop *loop;
    struct event *event;
    struct call call;
};

struct loop {
    uint32_t magic;
    struct event_base *base;
    unsigned depth; /* > 0: inside a callback, loop_leave() will run what is deferred */
    mono_ms now;    /* of this turn; valid while depth > 0 */

    struct call *deferred;
    size_t deferred_count, deferred_size;
    struct event *kick; /* runs what was deferred outside any callback */

    int wake_fd;
    struct event *wake;
    pthread_mutex_t lock; /* guards posted, posted_last, closed */
    struct posted *posted, **posted_last;
    bool closed;
    atomic_bool stopping;

    struct signal_watch *signals;
    struct loop_hook *hooks;
    char *scratch[LOOP_SCRATCHES]; /* those that lie here; made when first borrowed */
    unsigned scratch_here, scratch_lent;
    struct watchdog *watchdog; /* NULL but in test builds */
};

mono_ms clock_mono(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (mono_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

wall_ms loop_wall(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (wall_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

mono_ms loop_now(struct loop *l)
{
    return l->depth > 0 ? l->now : clock_mono();
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

/* ---- deferred calls ---- */

static void run_deferred(struct loop *l)
{
    /* The list may grow, and move, while its calls run. */
    for (size_t i = 0; i < l->deferred_count; i++) {
        struct call c = l->deferred[i];

        watchdog_next(l->watchdog, "deferred", (uintptr_t)c.fn);
        c.fn(c.owner);
    }
    l->deferred_count = 0;
}

void loop_enter(struct loop *l)
{
    if (l->depth++ == 0) {
        l->now = clock_mono();
        watchdog_turn(l->watchdog, (uintptr_t)__builtin_return_address(0));
    }
}

void loop_leave(struct loop *l)
{
    INVARIANT(l->depth > 0);
    if (l->depth == 1) {
        run_deferred(l);
        watchdog_turned(l->watchdog);
    }
    l->depth--;
    INVARIANT(l->depth > 0 || l->scratch_lent == 0);
}

char *loop_borrow(struct loop *l)
{
    if (l->depth == 0 || l->scratch_lent == LOOP_SCRATCHES)
        return NULL;
    l->scratch_lent++;
    return l->scratch_here > 0 ? l->scratch[--l->scratch_here] : mem_resize(NULL, LOOP_SCRATCH, 1);
}

void loop_give_back(struct loop *l, char *memory)
{
    l->scratch_lent--;
    l->scratch[l->scratch_here++] = memory;
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = OBJ_CAST(loop, LOOP_MAGIC, arg);

    (void)fd;
    (void)what;
    loop_enter(l);
    loop_leave(l);
}

void loop_defer(struct loop *l, loop_fn *fn, void *owner)
{
    if (l->deferred_count == l->deferred_size) {
        l->deferred_size = l->deferred_size > 0 ? l->deferred_size * 2 : 16;
        l->deferred = mem_resize(l->deferred, l->deferred_size, sizeof(*l->deferred));
    }
    l->deferred[l->deferred_count++] = (struct call){fn, owner};
    if (l->depth == 0)
        event_active(l->kick, EV_TIMEOUT, 0);
}

void loop_hook_add(struct loop *l, struct loop_hook *h)
{
    h->next = l->hooks;
    h->link = &l->hooks;
    if (h->next != NULL)
        h->next->link = &h->next;
    l->hooks = h;
}

void loop_hook_remove(struct loop_hook *h)
{
    if (h->link == NULL)
        return;
    *h->link = h->next;
    if (h->next != NULL)
        h->next->link = h->link;
    h->link = NULL;
}

/* ---- calls from other threads ---- */

static void wake(struct loop *l)
{
    uint64_t one = 1;

    /* EAGAIN means that the counter is full: the loop is woken already. */
    while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static struct posted *take_posted(struct loop *l)
{
    struct posted *all;

    (void)pthread_mutex_lock(&l->lock);
    all = l->posted;
    l->posted = NULL;
    l->posted_last = &l->posted;
    (void)pthread_mutex_unlock(&l->lock);
    return all;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = OBJ_CAST(loop, LOOP_MAGIC, arg);
    struct posted *p, *next;
    uint64_t count;

    (void)what;
    loop_enter(l);
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    for (p = take_posted(l); p != NULL; p = next) {
        next = p->next;
        watchdog_next(l->watchdog, "posted", (uintptr_t)p->call.fn);
        p->call.fn(p->call.owner);
        free(p);
    }
    loop_leave(l);
}

bool loop_post(struct loop *l, loop_fn *fn, void *owner)
{
    struct posted *p = mem_zalloc(sizeof(*p));
    bool open;

    p->call = (struct call){fn, owner};
    (void)pthread_mutex_lock(&l->lock);
    open = !l->closed;
    if (open) {
        *l->posted_last = p;
        l->posted_last = &p->next;
        wake(l); /* under the lock: loop_free() cannot close the descriptor meanwhile */
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (!open)
        free(p);
    return open;
}

/* ---- the loop ---- */

#define FILES_SPARE 24 /* epoll, timer, signals, and the pipes of libunbound's thread */

bool loop_files_spare(void)
{
    int fds[FILES_SPARE], why;
    size_t n = 0;

    while (n < FILES_SPARE && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
        n++;
    why = errno;
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
    errno = why;
    return n == FILES_SPARE;
}

static bool open_base(struct loop *l)
{
    struct event_config *config;

    if (!loop_files_spare())
        return false;
    config = event_config_new();
    if (config == NULL)
        return false;
    /* A long callback must not make the timers that it arms fire early. */
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    l->base = event_base_new_with_config(config);
    event_config_free(config);
    return l->base != NULL;
}

struct loop *loop_new(void)
{
    struct loop *l = mem_zalloc(sizeof(*l));

    l->magic = LOOP_MAGIC;
    l->posted_last = &l->posted;
    l->watchdog = watchdog_new();
    (void)pthread_mutex_init(&l->lock, NULL);
    atomic_init(&l->stopping, false);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    event_memory_install();
    /* Objects hold their events inside: the library that runs must be of the kind that we were built with. */
    INVARIANT(event_get_struct_event_size() <= sizeof(struct event));
    if (l->wake_fd < 0 || !open_base(l))
        goto failed;
    l->kick = event_new(l->base, -1, 0, on_kick, l);
    l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
    if (l->kick == NULL || l->wake == NULL || event_add(l->wake, NULL) != 0)
        goto failed;
    return l;
failed:
    loop_free(&l);
    return NULL;
}

void loop_run(struct loop *l)
{
    watchdog_attach(l->watchdog);
    while (!atomic_exchange(&l->stopping, false))
        if (event_base_loop(l->base, EVLOOP_ONCE) < 0)
            break;
    watchdog_detach(l->watchdog);
}

void loop_unwatched(struct loop *l)
{
    watchdog_silence(l->watchdog);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    wake(l);
}

static void free_signals(struct loop *l)
{
    struct signal_watch *w;

    while ((w = l->signals) != NULL) {
        l->signals = w->next;
        event_free(w->event);
        free(w);
    }
}

void loop_free(struct loop **loop)
{
    struct loop *l = *loop;
    struct posted *p, *next;
    struct loop_hook *h;

    *loop = NULL;
    if (l == NULL)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->closed = true;
    (void)pthread_mutex_unlock(&l->lock);
    for (p = take_posted(l); p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    while ((h = l->hooks) != NULL) {
        loop_hook_remove(h);
        h->fn(h->owner);
    }
    loop_enter(l);
    loop_leave(l);
    free_signals(l);
    if (l->kick != NULL)
        event_free(l->kick);
    if (l->wake != NULL)
        event_free(l->wake);
    if (l->base != NULL)
        event_base_free(l->base);
    if (l->wake_fd >= 0)
        (void)close(l->wake_fd);
    (void)pthread_mutex_destroy(&l->lock);
    watchdog_free(&l->watchdog);
    while (l->scratch_here > 0)
        free(l->scratch[--l->scratch_here]);
    free(l->deferred);
    free(l);
}

/* ---- timers ---- */

static void start_event(struct timer *t, int64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    t->fires = t->due;
    t->added = true;
    /* Fails only without memory for the heap of timers: a lost deadline is not to be lived with. */
    INVARIANT(evtimer_add(&t->event, &tv) == 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = OBJ_CAST(timer, TIMER_MAGIC, arg);
    struct loop *l = t->loop;
    mono_ms now;

    (void)fd;
    (void)what;
    t->added = false;
    if (!t->armed)
        return;
    now = clock_mono();
    if (now < t->due) { /* put off meanwhile; and libevent reads a coarser clock than ours */
        start_event(t, t->due - now);
        return;
    }
    loop_enter(l);
    t->armed = false;
    watchdog_next(l->watchdog, "timer", (uintptr_t)t->fn);
    t->fn(t->owner); /* may free the timer */
    loop_leave(l);
}

void timer_init(struct timer *t, struct loop *l, loop_fn *fn, void *owner)
{
    *t = (struct timer){.magic = TIMER_MAGIC, .loop = l, .fn = fn, .owner = owner};
    INVARIANT(evtimer_assign(&t->event, l->base, on_timer, t) == 0);
}

void timer_end(struct timer *t)
{
    if (t->added)
        (void)evtimer_del(&t->event);
    t->added = t->armed = false;
    t->magic = 0;
}

struct timer *timer_new(struct loop *l, loop_fn *fn, void *owner)
{
    struct timer *t = mem_zalloc(sizeof(*t));

    timer_init(t, l, fn, owner);
    return t;
}

void timer_arm(struct timer *t, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    t->due = clock_mono() + ms;
    t->armed = true;
    if (!t->added || t->fires > t->due)
        start_event(t, ms);
}

void timer_disarm(struct timer *t)
{
    if (t != NULL)
        t->armed = false; /* the event may fire for nothing, once */
}

bool timer_armed(const struct timer *t)
{
    return t != NULL && t->armed;
}

void timer_free(struct timer **timer)
{
    struct timer *t = *timer;

    *timer = NULL;
    if (t == NULL)
        return;
    timer_end(t);
    free(t);
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct signal_watch *w = OBJ_CAST(signal_watch, SIGNAL_MAGIC, arg);
    struct loop *l = w->loop;

    (void)signo;
    (void)what;
    loop_enter(l);
    watchdog_next(l->watchdog, "signal", (uintptr_t)w->call.fn);
    w->call.fn(w->call.owner);
    loop_leave(l);
}

bool loop_signal(struct loop *l, int signo, loop_fn *fn, void *owner)
{
    struct signal_watch *w = mem_zalloc(sizeof(*w));

    w->magic = SIGNAL_MAGIC;
    w->loop = l;
    w->call = (struct call){fn, owner};
    w->event = evsignal_new(l->base, signo, on_signal, w);
    if (w->event == NULL || evsignal_add(w->event, NULL) != 0) {
        if (w->event != NULL)
            event_free(w->event);
        free(w);
        return false;
    }
    w->next = l->signals;
    l->signals = w;
    return true;
}
