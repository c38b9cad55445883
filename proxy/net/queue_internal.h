/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      queue_internal - bytes that wait, in one piece
 *
 * DESCRIPTION
 *      Bytes are added behind and dropped in front.  An empty queue holds no memory, so that thousands of
 *      idle connections hold none.  There is no cap here: the stream's marks (read_high, the writer's own) are it.
 */
#ifndef TLSMEND_NET_QUEUE_INTERNAL_H
#define TLSMEND_NET_QUEUE_INTERNAL_H

#include "proxy/base/slice.h"

struct queue {
    char *p;
    size_t from, n, size; /* n bytes wait at p + from */
    char *lent;           /* memory of somebody else; p is it until it is too small */
};

/* Room for at least `n` more bytes behind the last one; say with queue_filled() how many it became. */
char *queue_room(struct queue *q, size_t n);
void queue_filled(struct queue *q, size_t n);
void queue_add(struct queue *q, struct slice bytes);
void queue_drop(struct queue *q, size_t n);
void queue_clear(struct queue *q);
/* The bytes move into memory of somebody else, who has room for `size` and has not lent any yet. */
void queue_lend(struct queue *q, char *memory, size_t size);
/* What is left moves back into the queue's own.  What was lent, to be given back; NULL: nothing. */
char *queue_own(struct queue *q);
struct slice queue_slice(const struct queue *q);
size_t queue_memory(const struct queue *q); /* of its own */

#endif
