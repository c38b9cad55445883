/* SPDX-License-Identifier: Apache-2.0 */
/* queue - see queue_internal.h for the contract. */
#include "proxy/net/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define SIZE_LEAST 256
#define SIZE_STEP 4096 /* beyond that much it is doubled no more: bulk knows its size */

/* What was lent stays, and so its use: only the place in it is forgotten. */
static void give_up_memory(struct queue *q)
{
    q->from = q->n = 0;
    if (q->p == q->lent)
        return;
    free(q->p);
    q->p = NULL;
    q->size = 0;
}

/* Into memory of its own, with room for `size`. */
static void move_out(struct queue *q, size_t size)
{
    char *own = mem_resize(NULL, size, 1);

    memcpy(own, q->p + q->from, q->n);
    q->p = own;
    q->from = 0;
    q->size = size;
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
        size_t size = grown(q->p == q->lent ? 0 : q->size, q->n + n);

        if (q->p != NULL && q->p == q->lent) {
            move_out(q, size);
        } else {
            q->p = mem_resize(q->p, size, 1);
            q->size = size;
        }
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
    size_t n = q->n;

    INVARIANT(n <= size && q->lent == NULL);
    if (n > 0)
        memcpy(memory, q->p + q->from, n);
    give_up_memory(q);
    *q = (struct queue){.p = memory, .n = n, .size = size, .lent = memory};
}

char *queue_own(struct queue *q)
{
    char *lent = q->lent;

    if (lent != NULL && q->p == lent) {
        if (q->n > 0)
            move_out(q, grown(0, q->n));
        else
            *q = (struct queue){.p = NULL};
    }
    q->lent = NULL;
    return lent;
}

struct slice queue_slice(const struct queue *q)
{
    return q->n > 0 ? slice_of(q->p + q->from, q->n) : SLICE("");
}

size_t queue_memory(const struct queue *q)
{
    return q->p == q->lent ? 0 : q->size;
}
