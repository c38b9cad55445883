/* SPDX-License-Identifier: Apache-2.0 */
/* See heap.h. */
#include "proxy/relay/heap.h"

#include <malloc.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define HEAP_MAGIC 0x68656170u
#define LOOK_MS 2000
#define CROWD_LEAST 256 /* fewer are not worth a look */

struct heap_watch {
    uint32_t magic;
    struct timer *timer; /* armed while a crowd is there */
    size_t (*crowd)(const void *owner);
    const void *owner;
    size_t peak; /* since memory was given back */
};

static void look(void *owner)
{
    struct heap_watch *w = OBJ_CAST(heap_watch, HEAP_MAGIC, owner);
    size_t now = w->crowd(w->owner);

    if (now > w->peak)
        w->peak = now;
    if (now <= w->peak / 4) {
        (void)malloc_trim(0);
        w->peak = now;
    }
    if (w->peak >= CROWD_LEAST)
        timer_arm(w->timer, LOOK_MS);
}

void heap_watch_grew(struct heap_watch *w)
{
    if (timer_armed(w->timer))
        return;
    w->peak = w->crowd(w->owner);
    if (w->peak >= CROWD_LEAST)
        timer_arm(w->timer, LOOK_MS);
}

struct heap_watch *heap_watch_new(struct loop *l, size_t (*crowd)(const void *owner),
                                  const void *owner)
{
    struct heap_watch *w = mem_zalloc(sizeof(*w));

    w->magic = HEAP_MAGIC;
    w->crowd = crowd;
    w->owner = owner;
    w->timer = timer_new(l, look, w);
    return w;
}

void heap_watch_free(struct heap_watch **held)
{
    struct heap_watch *w = *held;

    *held = NULL;
    if (w == NULL)
        return;
    timer_free(&w->timer);
    w->magic = 0;
    free(w);
}
