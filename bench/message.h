/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      message - the numbered messages of the bench
 *
 * DESCRIPTION
 *      Each has a header field with its number and the size of its body, so that the sink finds what
 *      was lost, came twice or changed on its way; relays may add fields of their own before it.
 */
#ifndef TLSMEND_BENCH_MESSAGE_H
#define TLSMEND_BENCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_HEAD_MAX = 512, MESSAGE_LINE = 72 };

struct message_marks {
    uint64_t id;
    size_t size; /* of the body, on the wire */
};

/* The header with its empty line; its length. */
size_t message_head(char out[MESSAGE_HEAD_MAX], const struct message_marks *m);
/* A body of that many bytes, in lines; free() it. */
char *message_body(size_t size);
/* Reads the marks back from a header. */
bool message_marks(const char *head, size_t n, struct message_marks *out);

#endif
