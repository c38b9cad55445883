/* SPDX-License-Identifier: Apache-2.0 */
/* acceptor - see acceptor.h for the contract. */
#include "proxy/net/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/loop_internal.h"
#include "proxy/net/sockaddr_internal.h"

#define ACCEPTOR_MAGIC 0x41434350u
#define BURST_MAX 64 /* per turn of the loop, so that sessions get their share */
#define BURST_TRIES 4
#define EXHAUSTED_PAUSE_MS 1000
/* Only EPERM comes of it, so the mend is part of the words. */
#define TRANSPARENT_STEP                                                                         \
    "transparent needs CAP_NET_ADMIN while it binds (start as root, or AmbientCapabilities= in " \
    "the "                                                                                       \
    "unit)"

struct acceptor {
    uint32_t magic;
    struct loop *loop;
    int fd;
    const struct acceptor_events *on;
    void *owner;
    struct event *event;
    struct timer *resume;
    /* Looking once more after each connection would double the calls; so only as many are accepted in a turn as
     * came lately, and the event tells of the rest in the next turn.  The burst grows when it was used up. */
    unsigned burst, used_up;
    bool paused;    /* by the owner */
    bool exhausted; /* until `resume` fires */
    bool dying;
};

static int bind_failed(int fd, const struct addr *at, const char *step, struct buf *error)
{
    char text[ADDR_TEXT_MAX];
    int why = errno;

    (void)buf_addf(error, "cannot listen on %s: %s: %s", addr_port_text(at, text), step,
                   strerror(why));
    if (fd >= 0)
        (void)close(fd);
    errno = why;
    return -1;
}

/* Packets to foreign addresses are this socket's too, where a TPROXY rule brings them. */
static bool make_transparent(int fd, enum addr_family family)
{
    int on = 1;

    return family == ADDR_IP4
               ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0
               : setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) == 0;
}

/* A socket bound to the address, or -1 with one line in *error. */
static int bound(const struct addr *at, bool transparent, bool shared, struct buf *error)
{
    struct sockaddr_storage to;
    socklen_t n = sockaddr_from(at, &to);
    int on = 1, fd;

    fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return bind_failed(fd, at, "socket", error);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0))
        return bind_failed(fd, at, "socket options", error);
    /* "::" means IPv6 only: an IPv4 listener beside it is configured for itself. */
    if (at->family == ADDR_IP6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return bind_failed(fd, at, "IPV6_V6ONLY", error);
    if (transparent && !make_transparent(fd, at->family))
        return bind_failed(fd, at, TRANSPARENT_STEP, error);
    if (bind(fd, (const struct sockaddr *)&to, n) != 0)
        return bind_failed(fd, at, "bind", error);
    return fd;
}

bool acceptor_is_free(const struct addr *at, bool transparent, struct buf *error)
{
    int fd = bound(at, transparent, false, error);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

int acceptor_bind(const struct addr *at, bool transparent, struct buf *error)
{
    int fd = bound(at, transparent, true, error);

    if (fd < 0)
        return -1;
    sockaddr_options(fd); /* once, for all that is accepted */
    if (listen(fd, SOMAXCONN) != 0)
        return bind_failed(fd, at, "listen", error);
    return fd;
}

bool acceptor_address(int fd, struct addr *out)
{
    return sockaddr_local(fd, out);
}

static void listen_or_not(struct acceptor *a)
{
    if (a->paused || a->exhausted || a->dying) {
        (void)event_del(a->event);
        return;
    }
    /* No memory or epoll slot for it: the same pause as for descriptors. */
    if (event_add(a->event, NULL) != 0) {
        a->exhausted = true;
        timer_arm(a->resume, EXHAUSTED_PAUSE_MS);
    }
}

static void on_resume(void *owner)
{
    struct acceptor *a = OBJ_CAST(acceptor, ACCEPTOR_MAGIC, owner);

    a->exhausted = false;
    listen_or_not(a);
}

static bool is_passing(int error)
{
    /* accept(2): errors of the one connection that went away before it was accepted */
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void accept_one(struct acceptor *a, bool *more)
{
    struct sockaddr_storage from;
    socklen_t n = sizeof(from);
    struct addr peer;
    int fd, why;

    memset(&from, 0, sizeof(from));
    fd = accept4(a->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)sockaddr_to(&from, &peer);
        a->on->accepted(a->owner, fd, &peer);
        return;
    }
    why = errno;
    if (is_passing(why))
        return;
    *more = false;
    if (why == EAGAIN || why == EWOULDBLOCK)
        return;
    /* EMFILE, ENFILE, ENOMEM, ENOBUFS and whatever else: the kernel would wake us at once again. */
    a->exhausted = true;
    timer_arm(a->resume, EXHAUSTED_PAUSE_MS);
    listen_or_not(a);
    if (a->on->exhausted != NULL)
        a->on->exhausted(a->owner, why);
}

static void learn_burst(struct acceptor *a, unsigned came)
{
    if (came < a->burst) {
        a->burst = came > 0 ? came : 1;
        a->used_up = 0;
    } else if (++a->used_up >= BURST_TRIES && a->burst < BURST_MAX) {
        a->burst *= 2;
        a->used_up = 0;
    }
}

static void on_incoming(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = OBJ_CAST(acceptor, ACCEPTOR_MAGIC, arg);
    struct loop *l = a->loop;
    unsigned came = 0;
    bool more = true;

    (void)fd;
    (void)what;
    loop_enter(l);
    while (more && came < a->burst && !a->paused && !a->dying) {
        accept_one(a, &more);
        came += more;
    }
    if (!a->paused && !a->dying)
        learn_burst(a, came);
    loop_leave(l);
}

struct acceptor *acceptor_new(struct loop *l, int fd, const struct acceptor_events *on, void *owner)
{
    struct acceptor *a = mem_zalloc(sizeof(*a));

    *a = (struct acceptor){
        .magic = ACCEPTOR_MAGIC, .loop = l, .fd = fd, .on = on, .owner = owner, .burst = 1};
    a->resume = timer_new(l, on_resume, a);
    a->event = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_incoming, a);
    INVARIANT(a->event != NULL);
    listen_or_not(a);
    return a;
}

void acceptor_pause(struct acceptor *a, bool pause)
{
    a->paused = pause;
    listen_or_not(a);
}

static void destroy(void *owner)
{
    struct acceptor *a = OBJ_CAST(acceptor, ACCEPTOR_MAGIC, owner);

    a->magic = 0;
    free(a);
}

void acceptor_free(struct acceptor **acceptor)
{
    struct acceptor *a = *acceptor;

    *acceptor = NULL;
    if (a == NULL)
        return;
    a->dying = true;
    event_free(a->event);
    timer_free(&a->resume);
    (void)close(a->fd);
    loop_defer(a->loop, destroy, a);
}
