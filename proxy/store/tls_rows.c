/* SPDX-License-Identifier: Apache-2.0 */
/* tls_rows - see tls_rows_internal.h for the contract. */
#include "proxy/store/tls_rows_internal.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"

#define ROOM_MIN 64

static struct slice copy_to(char *to, struct slice from)
{
    if (from.n > 0)
        memcpy(to, from.p, from.n);
    return slice_of(to, from.n);
}

void tls_rows_add(struct tls_rows *r, struct slice key, struct slice bytes)
{
    char *block = mem_zalloc(key.n + bytes.n + 1);

    if (r->count == r->room) {
        r->room = r->room > 0 ? r->room * 2 : ROOM_MIN;
        r->rows = mem_resize(r->rows, r->room, sizeof(r->rows[0]));
    }
    r->rows[r->count++] = (struct tls_row){copy_to(block, key), copy_to(block + key.n, bytes)};
}

void tls_rows_clear(struct tls_rows *r)
{
    for (size_t i = 0; i < r->count; i++) {
        char *block = (char *)r->rows[i].key.p;

        explicit_bzero(block, r->rows[i].key.n + r->rows[i].bytes.n);
        free(block);
    }
    free(r->rows);
    *r = (struct tls_rows){0};
}
