/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      listeners - the sockets of all listeners, for all workers
 *
 * DESCRIPTION
 *      Binds one socket per listener and worker; on a reload only those whose address is new.
 *      Main thread.
 */
#ifndef TLSMEND_RELAY_LISTENERS_H
#define TLSMEND_RELAY_LISTENERS_H

#include "config/settings.h"

struct listeners {
    unsigned workers;
    size_t count;
    int *fds;         /* [worker * count + listener]; -1: the worker has it already */
    struct addr *own; /* what each is bound to */
};

/* `old` (NULL: none) are the settings whose sockets the workers hold.  False with a line in *error;
 * nothing stays bound then. */
bool listeners_bind(struct listeners *l, const struct settings *set, unsigned workers,
                    const struct settings *old, struct buf *error);
/* The sockets belong to the workers now. */
void listeners_handed_over(struct listeners *l);
void listeners_clear(struct listeners *l); /* closes those that were not handed over */

#endif
