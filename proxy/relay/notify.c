/* SPDX-License-Identifier: Apache-2.0 */
/* See notify.h. */
#include "proxy/relay/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define NOTIFY_MAGIC 0x6e746679u
#define AGAIN_MS 100

struct notify {
    uint32_t magic;
    struct timer *timer; /* armed while a state is left */
    const char *left;    /* the manager had no room for it */
};

/* False: the manager's queue is full just now. */
static bool tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;
    bool told;
    int fd;

    if (n == 0 || n >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return true;
    memcpy(to.sun_path, path, n);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0'; /* Linux's abstract namespace */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno != EMFILE && errno != ENFILE;
    told = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) >= 0 ||
           errno != EAGAIN;
    (void)close(fd);
    return told;
}

static void try_again(void *owner)
{
    struct notify *n = OBJ_CAST(notify, NOTIFY_MAGIC, owner);

    if (tell(n->left))
        n->left = NULL;
    else
        timer_arm(n->timer, AGAIN_MS);
}

void notify_manager(struct notify *n, const char *state)
{
    timer_disarm(n->timer);
    n->left = state;
    try_again(n);
}

struct notify *notify_new(struct loop *l)
{
    struct notify *n = mem_zalloc(sizeof(*n));

    n->magic = NOTIFY_MAGIC;
    n->timer = timer_new(l, try_again, n);
    return n;
}

void notify_free(struct notify **held)
{
    struct notify *n = *held;

    *held = NULL;
    if (n == NULL)
        return;
    timer_free(&n->timer);
    n->magic = 0;
    free(n);
}
