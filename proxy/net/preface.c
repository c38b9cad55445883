/* SPDX-License-Identifier: Apache-2.0 */
/* preface - see preface.h for the contract. */
#include "proxy/net/preface.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/loop_internal.h"

#define PREFACE_MAGIC 0x50524546u
#define CHUNK 512

struct preface {
    uint32_t magic;
    struct loop *loop;
    int fd; /* -1: handed on, or closed */
    const struct preface_events *on;
    void *owner;
    struct event *event;
    struct timer *deadline;
};

/* Nothing is watched any more; the descriptor is the caller's. */
static int take_fd(struct preface *p)
{
    int fd = p->fd;

    (void)event_del(p->event);
    timer_disarm(p->deadline);
    p->fd = -1;
    return fd;
}

static void fail(struct preface *p, enum preface_end how)
{
    (void)close(take_fd(p));
    p->on->failed(p->owner, how);
}

/* The event is level-triggered and each turn reads at least a byte or ends it, so a peer that drips
 * costs a turn for each of its bytes and no more. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct preface *p = OBJ_CAST(preface, PREFACE_MAGIC, arg);
    struct loop *l = p->loop;
    char chunk[CHUNK];
    size_t wanted;

    (void)what;
    loop_enter(l);
    while (p->fd >= 0 && (wanted = p->on->wanted(p->owner)) > 0) {
        ssize_t n = recv(fd, chunk, wanted < CHUNK ? wanted : CHUNK, 0);

        if (n > 0)
            p->on->bytes(p->owner, chunk, (size_t)n);
        else if (n == 0)
            fail(p, PREFACE_CLOSED);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
            fail(p, PREFACE_ERROR);
    }
    if (p->fd >= 0 && p->on->wanted(p->owner) == 0)
        p->on->whole(p->owner, take_fd(p));
    loop_leave(l);
}

static void on_deadline(void *owner)
{
    fail(OBJ_CAST(preface, PREFACE_MAGIC, owner), PREFACE_LATE);
}

struct preface *preface_new(struct loop *l, int fd, int64_t ms, const struct preface_events *on,
                            void *owner)
{
    struct preface *p = mem_zalloc(sizeof(*p));

    *p = (struct preface){.magic = PREFACE_MAGIC, .loop = l, .fd = fd, .on = on, .owner = owner};
    p->deadline = timer_new(l, on_deadline, p);
    timer_arm(p->deadline, ms);
    p->event = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_readable, p);
    INVARIANT(p->event != NULL);
    /* No memory or epoll slot for it: the deadline ends it. */
    (void)event_add(p->event, NULL);
    return p;
}

static void destroy(void *owner)
{
    struct preface *p = OBJ_CAST(preface, PREFACE_MAGIC, owner);

    p->magic = 0;
    free(p);
}

void preface_free(struct preface **preface)
{
    struct preface *p = *preface;

    *preface = NULL;
    if (p == NULL)
        return;
    if (p->fd >= 0)
        (void)close(take_fd(p));
    event_free(p->event);
    timer_free(&p->deadline);
    loop_defer(p->loop, destroy, p);
}
