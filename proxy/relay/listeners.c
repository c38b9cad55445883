/* SPDX-License-Identifier: Apache-2.0 */
/* See listeners.h. */
#include "proxy/relay/listeners.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/net/acceptor.h"

static bool is_held(const struct settings *old, const struct addr *bind)
{
    for (size_t i = 0; old != NULL && i < old->listener_count; i++)
        if (addr_same(&old->listeners[i].bind, bind))
            return true;
    return false;
}

/* A port that our own workers serve at another address is not asked about: 0.0.0.0 takes the place
 * of 127.0.0.1 in a reload while both are bound. */
static bool is_free(const struct settings *old, const struct listener_settings *s,
                    struct buf *error)
{
    for (size_t i = 0; old != NULL && i < old->listener_count; i++)
        if (old->listeners[i].bind.port == s->bind.port)
            return true;
    return acceptor_is_free(&s->bind, s->transparent, error);
}

bool listeners_bind(struct listeners *l, const struct settings *set, unsigned workers,
                    const struct settings *old, struct buf *error)
{
    memset(l, 0, sizeof(*l));
    l->workers = workers;
    l->count = set->listener_count;
    l->fds = mem_array(l->count * workers + 1, sizeof(*l->fds));
    l->own = mem_array(l->count + 1, sizeof(*l->own));
    for (size_t i = 0; i < l->count * workers; i++)
        l->fds[i] = -1;
    for (size_t i = 0; i < l->count; i++) {
        const struct listener_settings *s = &set->listeners[i];

        l->own[i] = s->bind;
        for (unsigned w = 0; w < workers && !is_held(old, &s->bind); w++) {
            int fd = w > 0 || is_free(old, s, error)
                         ? acceptor_bind(&s->bind, s->transparent, error)
                         : -1;

            if (fd < 0) {
                listeners_clear(l);
                return false;
            }
            l->fds[w * l->count + i] = fd;
        }
    }
    return true;
}

void listeners_handed_over(struct listeners *l)
{
    for (size_t i = 0; i < l->count * l->workers; i++)
        l->fds[i] = -1;
}

void listeners_clear(struct listeners *l)
{
    for (size_t i = 0; l->fds != NULL && i < l->count * l->workers; i++)
        if (l->fds[i] >= 0)
            (void)close(l->fds[i]);
    free(l->fds);
    free(l->own);
    memset(l, 0, sizeof(*l));
}
