/* SPDX-License-Identifier: Apache-2.0 */
/* ids - see ids.h for the contract. */
#include "bench/ids.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"

int ids_mark(struct ids *ids, uint64_t id, bool *known)
{
    int before;

    *known = id < IDS_MAX;
    if (!*known)
        return 0;
    if (id >= ids->room) {
        size_t room = ids->room > 0 ? ids->room : 4096;

        while (room <= id)
            room *= 2;
        ids->count = mem_resize(ids->count, room, 1);
        memset(ids->count + ids->room, 0, room - ids->room);
        ids->room = room;
    }
    before = ids->count[id];
    if (before < UINT8_MAX)
        ++ids->count[id];
    return before;
}

void ids_print(const struct ids *ids, int times, FILE *to)
{
    const char *between = "";

    (void)fputc('[', to);
    for (size_t i = 0; i < ids->room; ++i) {
        size_t first = i;

        while (i < ids->room && ids->count[i] >= times)
            ++i;
        if (i > first) {
            (void)fprintf(to, "%s[%zu, %zu]", between, first, i - 1);
            between = ", ";
        }
    }
    (void)fputc(']', to);
}

void ids_free(struct ids *ids)
{
    free(ids->count);
    ids->count = NULL;
    ids->room = 0;
}
