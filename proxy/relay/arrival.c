/* SPDX-License-Identifier: Apache-2.0 */
/* See arrival.h. */
#include "proxy/relay/arrival.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/local.h"
#include "proxy/net/original.h"
#include "proxy/net/preface.h"
#include "proxy/net/stream.h"
#include "proxy/relay/envelope.h"
#include "proxy/smtp/proxy_header.h"

#define ARRIVAL_MAGIC 0x61727276u
#define HEADER_MS 10000
#define STRANGER_FAREWELL_MS 2000

#define HINT_ALLOW "Add the address to allow_clients of this listener if it may relay."
#define HINT_ALLOW_CHECK                                                                     \
    "The PROXY header names no client: it is the load balancer's own connection, such as a " \
    "health check.  Add the load balancer to allow_clients too if it may see the greeting."
#define HINT_HEADER                                                                          \
    "proxy_clients of this listener has this address: let it send a PROXY header (HAProxy: " \
    "send-proxy-v2; nginx: proxy_protocol on), or take it out of proxy_clients."

struct arrival {
    uint32_t magic;
    struct services *services;
    struct arrival_list *list;
    struct arrival *next, **link;
    struct session_list *sessions;
    struct snapshot *snapshot;
    const struct listener_settings *listener;
    struct addr peer;
    char id[SESSION_ID_MAX];
    struct session_events on;
    void *owner;
    struct preface *preface;
    struct proxy_header header;
};

/* ---- who may come ---- */

static bool in_nets(const struct addr *a, const struct addr_net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (addr_in_net(a, &nets[i]))
            return true;
    return false;
}

static bool is_let_in(const struct listener_settings *l, const struct addr *client)
{
    if (l->allow_count == 0)
        return addr_class(client) == ADDR_LOOPBACK;
    return in_nets(client, l->allow, l->allow_count);
}

static bool is_of_this_host(const struct addr *a)
{
    struct addr *own;
    size_t count;
    bool found = false;

    if (!local_addresses(&own, &count))
        return false;
    for (size_t i = 0; i < count && !found; i++)
        found = addr_same_ip(a, &own[i]);
    free(own);
    return found;
}

/* REDIRECT turns the destination into loopback and leaves the source, which was chosen for the
 * destination that was meant: a client of this host comes from the host's own outer address.  At a
 * loopback address nobody else does. */
static bool is_caught_here(const struct arrival_params *p, const struct addr *client)
{
    struct addr at, loopback;

    if (p->listener->protocol != LISTENER_REDIRECT || !acceptor_address(p->fd, &at) ||
        addr_class(&at) != ADDR_LOOPBACK)
        return false;
    (void)addr_parse(client->family == ADDR_IP4 ? SLICE("127.0.0.1") : SLICE("::1"), &loopback);
    return is_let_in(p->listener, &loopback) && is_of_this_host(client);
}

/* ---- the ends ---- */

static void log_refused(const struct arrival_params *p, const struct addr *client,
                        const char *detail, const char *hint)
{
    struct record *r = record_new("client-refused", RECORD_WARNING, loop_wall());
    char text[ADDR_TEXT_MAX], proxy[ADDR_TEXT_MAX];

    record_cstr(r, "client", addr_port_text(client, text));
    record_cstr(r, "listener", p->listener->name);
    if (!addr_same(client, p->peer))
        record_cstr(r, "proxy", addr_port_text(p->peer, proxy));
    record_cstr(r, "detail", detail);
    record_cstr(r, "hint", hint);
    log_record(p->services->log, r);
}

static const struct stream_events no_events;

/* C-IN-08: never an open relay, and the stranger is told why. */
static void turn_away(const struct arrival_params *p, const struct addr *client, const char *hint)
{
    struct stream_params sp = {.read_high = 4096};
    struct stream *s = stream_adopt(p->services->loop, p->fd, p->peer, &sp, &no_events, NULL);

    stream_write(s, SLICE("554 5.7.1 tlsmend: this relay is not for you\r\n"));
    stream_finish(&s, STRANGER_FAREWELL_MS);
    log_refused(p, client, "not in allow_clients", hint);
}

/* The client is known.  `header` is NULL where none was due. */
static bool settle(const struct arrival_params *p, const struct proxy_header *header,
                   const struct session_events *on, void *owner)
{
    bool named = header != NULL && header->has_addresses;
    struct session_params sp = {
        .services = p->services,
        .list = p->sessions,
        .snapshot = p->snapshot,
        .listener = p->listener,
        .fd = p->fd,
        .peer = named ? header->source : *p->peer,
        .id = p->id,
    };

    if (!is_let_in(p->listener, &sp.peer) && (named || !is_caught_here(p, &sp.peer))) {
        turn_away(p, &sp.peer, header != NULL && !named ? HINT_ALLOW_CHECK : HINT_ALLOW);
        return false;
    }
    /* Who catches connections before a proxy knows better than our socket where they were going. */
    if (p->listener->protocol == LISTENER_REDIRECT && named)
        sp.original = header->destination;
    else if (p->listener->protocol == LISTENER_REDIRECT)
        (void)original_destination(p->fd, &p->listener->bind, &sp.original);
    (void)session_new(&sp, on, owner);
    return true;
}

/* ---- the PROXY header ---- */

static struct arrival_params params_of(const struct arrival *a, int fd)
{
    return (struct arrival_params){
        .services = a->services,
        .list = a->list,
        .sessions = a->sessions,
        .snapshot = a->snapshot,
        .listener = a->listener,
        .fd = fd,
        .peer = &a->peer,
        .id = a->id,
    };
}

static void destroy(void *owner)
{
    struct arrival *a = OBJ_CAST(arrival, ARRIVAL_MAGIC, owner);

    snapshot_drop(&a->snapshot);
    a->magic = 0;
    free(a);
}

/* It leaves the list; what it had is still there until the stack is empty. */
static void leave(struct arrival *a)
{
    preface_free(&a->preface);
    *a->link = a->next;
    if (a->next != NULL)
        a->next->link = a->link;
    a->list->count--;
    loop_defer(a->services->loop, destroy, a);
}

static void refuse(struct arrival *a, const char *detail)
{
    struct arrival_params p = params_of(a, -1);

    log_refused(&p, p.peer, detail, HINT_HEADER);
    leave(a);
    a->on.closed(a->owner, false);
}

static size_t on_wanted(void *owner)
{
    return proxy_header_wanted(&OBJ_CAST(arrival, ARRIVAL_MAGIC, owner)->header);
}

static void on_bytes(void *owner, const char *bytes, size_t n)
{
    (void)proxy_header_feed(&OBJ_CAST(arrival, ARRIVAL_MAGIC, owner)->header, bytes, n);
}

static void on_whole(void *owner, int fd)
{
    struct arrival *a = OBJ_CAST(arrival, ARRIVAL_MAGIC, owner);
    struct arrival_params p = params_of(a, fd);

    if (a->header.status == PROXY_BAD) {
        (void)close(fd);
        refuse(a, a->header.why);
        return;
    }
    leave(a);
    if (!settle(&p, &a->header, &a->on, a->owner))
        a->on.closed(a->owner, false);
}

static void on_failed(void *owner, enum preface_end how)
{
    struct arrival *a = OBJ_CAST(arrival, ARRIVAL_MAGIC, owner);

    switch (how) {
    case PREFACE_LATE:
        refuse(a, a->header.n == 0 ? "no PROXY header within 10 s"
                                   : "no whole PROXY header within 10 s");
        break;
    case PREFACE_CLOSED:
        refuse(a, a->header.n == 0 ? "closed before the PROXY header"
                                   : "closed inside the PROXY header");
        break;
    case PREFACE_ERROR:
        refuse(a, "connection lost before the PROXY header was whole");
        break;
    }
}

static const struct preface_events preface_events = {
    .wanted = on_wanted,
    .bytes = on_bytes,
    .whole = on_whole,
    .failed = on_failed,
};

static void await_header(const struct arrival_params *p, const struct session_events *on,
                         void *owner)
{
    struct arrival *a = mem_zalloc(sizeof(*a));

    a->magic = ARRIVAL_MAGIC;
    a->services = p->services;
    a->list = p->list;
    a->sessions = p->sessions;
    a->snapshot = snapshot_hold(p->snapshot);
    a->listener = p->listener;
    a->peer = *p->peer;
    (void)snprintf(a->id, sizeof(a->id), "%s", p->id);
    a->on = *on;
    a->owner = owner;
    a->next = p->list->first;
    a->link = &p->list->first;
    if (a->next != NULL)
        a->next->link = &a->next;
    p->list->first = a;
    p->list->count++;
    proxy_header_start(&a->header);
    a->preface = preface_new(p->services->loop, p->fd, HEADER_MS, &preface_events, a);
}

bool arrival_begin(const struct arrival_params *p, const struct session_events *on, void *owner)
{
    /* From anybody else what looks like a header is an SMTP command that nobody knows. */
    if (!in_nets(p->peer, p->listener->proxies, p->listener->proxy_count))
        return settle(p, NULL, on, owner);
    await_header(p, on, owner);
    return true;
}

void arrival_list_cut(struct arrival_list *list)
{
    while (list->first != NULL) {
        struct arrival *a = list->first;

        leave(a);
        a->on.closed(a->owner, false);
    }
}
