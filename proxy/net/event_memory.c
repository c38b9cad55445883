/* SPDX-License-Identifier: Apache-2.0 */
/* See event_memory_internal.h. */
#include "proxy/net/event_memory_internal.h"

#include <event2/event.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 16
#define CLASSES (EVENT_MEMORY_SMALL / UNIT)
#define SLAB_BYTES (64 * 1024)

/* In front of each piece. */
struct head {
    _Alignas(max_align_t) size_t class; /* 0: from malloc() */
};

struct piece { /* one that is free */
    struct head head;
    struct piece *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct piece *unused[CLASSES + 1]; /* by class, which is the size in units */
static char *slab;                        /* the rest of the newest one */
static size_t slab_left;

/* Under the lock.  What is left of the old slab is less than one piece: it is given up. */
static struct head *cut(size_t class)
{
    size_t n = sizeof(struct head) + class * UNIT;
    struct head *h;

    if (slab_left < n) {
        slab = malloc(SLAB_BYTES);
        slab_left = slab != NULL ? SLAB_BYTES : 0;
    }
    if (slab == NULL)
        return NULL;
    h = (struct head *)(void *)slab;
    slab += n;
    slab_left -= n;
    return h;
}

static struct head *get_small(size_t class)
{
    struct head *h;

    (void)pthread_mutex_lock(&lock);
    if (unused[class] != NULL) {
        h = &unused[class]->head;
        unused[class] = unused[class]->next;
    } else {
        h = cut(class);
    }
    (void)pthread_mutex_unlock(&lock);
    return h;
}

void *event_memory_get(size_t n)
{
    size_t class = n == 0 ? 1 : (n + UNIT - 1) / UNIT;
    struct head *h;

    if (n > EVENT_MEMORY_SMALL)
        class = 0;
    h = class > 0 ? get_small(class) : malloc(sizeof(*h) + n);
    if (h == NULL)
        return NULL;
    h->class = class;
    return h + 1;
}

void event_memory_put(void *p)
{
    struct head *h = p;

    if (p == NULL)
        return;
    h--;
    if (h->class == 0) {
        free(h);
        return;
    }
    (void)pthread_mutex_lock(&lock);
    ((struct piece *)(void *)h)->next = unused[h->class];
    unused[h->class] = (struct piece *)(void *)h;
    (void)pthread_mutex_unlock(&lock);
}

void *event_memory_resize(void *p, size_t n)
{
    struct head *h = p;
    size_t had;
    void *fresh;

    if (p == NULL)
        return event_memory_get(n);
    h--;
    if (h->class == 0 && n > EVENT_MEMORY_SMALL) {
        h = realloc(h, sizeof(*h) + n);
        return h != NULL ? h + 1 : NULL;
    }
    fresh = event_memory_get(n);
    if (fresh == NULL)
        return NULL;
    had = h->class > 0 ? h->class * UNIT : n; /* a large one shrinks to n */
    memcpy(fresh, p, had < n ? had : n);
    event_memory_put(p);
    return fresh;
}

static void install(void)
{
    event_set_mem_functions(event_memory_get, event_memory_resize, event_memory_put);
}

void event_memory_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, install);
}
