/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: who waits for tickets; see ledger.h. */
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/ledger_internal.h"

void ledger_watches_init(struct ledger *l)
{
    LIST_INIT(&l->watches);
    INVARIANT(pthread_mutex_init(&l->watch_lock, NULL) == 0);
    INVARIANT(pthread_cond_init(&l->watch_idle, NULL) == 0);
}

void ledger_watches_clear(struct ledger *l)
{
    INVARIANT(LIST_EMPTY(&l->watches)); /* whoever holds one would use it later */
    (void)pthread_cond_destroy(&l->watch_idle);
    (void)pthread_mutex_destroy(&l->watch_lock);
}

struct ledger_watch *ledger_watch(struct ledger *l, void (*fn)(void *ctx), void *ctx)
{
    struct ledger_watch *w = mem_zalloc(sizeof(*w));

    w->fn = fn;
    w->ctx = ctx;
    pthread_mutex_lock(&l->watch_lock);
    LIST_INSERT_HEAD(&l->watches, w, watches);
    pthread_mutex_unlock(&l->watch_lock);
    return w;
}

static void wait_while_called(struct ledger *l, const struct ledger_watch *w)
{
    while (l->calling != NULL && (w == NULL || l->calling == w))
        (void)pthread_cond_wait(&l->watch_idle, &l->watch_lock);
}

void ledger_unwatch(struct ledger *l, struct ledger_watch **held)
{
    struct ledger_watch *w = *held;

    *held = NULL;
    if (w == NULL)
        return;
    pthread_mutex_lock(&l->watch_lock);
    LIST_REMOVE(w, watches);
    wait_while_called(l, w);
    pthread_mutex_unlock(&l->watch_lock);
    free(w);
}

/* The list may change while a watch is called, so it is looked through from the start again. */
static struct ledger_watch *next_to_call(struct ledger *l, uint64_t call)
{
    struct ledger_watch *w;

    LIST_FOREACH(w, &l->watches, watches)
    if (w->called < call)
        return w;
    return NULL;
}

void ledger_tell(struct ledger *l)
{
    struct ledger_watch *w;
    uint64_t call;
    bool news;

    pthread_mutex_lock(&l->lock);
    news = l->noticed != l->settled;
    l->noticed = l->settled;
    pthread_mutex_unlock(&l->lock);
    if (!news)
        return;
    pthread_mutex_lock(&l->watch_lock);
    call = ++l->calls;
    while (!l->silent && (w = next_to_call(l, call)) != NULL) {
        w->called = call;
        l->calling = w;
        pthread_mutex_unlock(&l->watch_lock);
        w->fn(w->ctx);
        pthread_mutex_lock(&l->watch_lock);
        l->calling = NULL;
        (void)pthread_cond_broadcast(&l->watch_idle);
    }
    pthread_mutex_unlock(&l->watch_lock);
}

void ledger_silence(struct ledger *l)
{
    pthread_mutex_lock(&l->watch_lock);
    l->silent = true;
    wait_while_called(l, NULL);
    pthread_mutex_unlock(&l->watch_lock);
}
