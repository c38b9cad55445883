/* SPDX-License-Identifier: Apache-2.0 */
/* queue - see queue_internal.h for the contract. */
#include "proxy/net/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define SIZE_LEAST 256
#define SIZE_STEP 4096 /* beyond that much it is doubled no more: bulk knows its size */

static void give_up_memory(struct queue *q)
{
    if (!q->lent)
        free(q->p);
    *q = (struct queue){.p = NULL};
}

static size_t grown(size_t size, size_t need)
{
    if (need > SIZE_STEP)
        return (need + SIZE_STEP - 1) / SIZE_STEP * SIZE_STEP;
    for (size = size > 0 ? size : SIZE_LEAST; size < need; size *= 2)
        continue;
    return size;
}

char *queue_room(struct queue *q, size_t n)
{
    if (q->from > 0 && q->size - q->from - q->n < n) {
        memmove(q->p, q->p + q->from, q->n);
        q->from = 0;
    }
    if (q->size - q->from - q->n < n) {
        queue_own(q);
        q->size = grown(q->size, q->n + n);
        q->p = mem_resize(q->p, q->size, 1);
    }
    return q->p + q->from + q->n;
}

void queue_filled(struct queue *q, size_t n)
{
    INVARIANT(n <= q->size - q->from - q->n);
    q->n += n;
    if (q->n == 0)
        give_up_memory(q);
}

void queue_add(struct queue *q, struct slice bytes)
{
    if (bytes.n == 0)
        return;
    memcpy(queue_room(q, bytes.n), bytes.p, bytes.n);
    q->n += bytes.n;
}

void queue_drop(struct queue *q, size_t n)
{
    INVARIANT(n <= q->n);
    q->from += n;
    q->n -= n;
    if (q->n == 0)
        give_up_memory(q);
}

void queue_clear(struct queue *q)
{
    give_up_memory(q);
}

void queue_lend(struct queue *q, char *memory, size_t size)
{
    struct queue lent = {.p = memory, .n = q->n, .size = size, .lent = true};

    INVARIANT(q->n <= size);
    if (q->n > 0)
        memcpy(memory, q->p + q->from, q->n);
    give_up_memory(q);
    *q = lent;
}

void queue_own(struct queue *q)
{
    struct queue own = {.p = NULL};

    if (!q->lent)
        return;
    queue_add(&own, queue_slice(q));
    *q = own;
}

struct slice queue_slice(const struct queue *q)
{
    return q->n > 0 ? slice_of(q->p + q->from, q->n) : SLICE("");
}

size_t queue_memory(const struct queue *q)
{
    return q->lent ? 0 : q->size;
}
