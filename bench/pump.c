/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump - what it costs to do nothing but TLS: bytes in clear on one side, TLS to the MX on the other
 *
 * Usage: pump --listen-port N --to ADDRESS --port N --ca FILE --host NAME
 *
 * Each client gets a connection of its own to the MX, with STARTTLS, verified, resumed.  Of SMTP it knows what
 * STARTTLS needs: greeting, EHLO, STARTTLS; the greeting is then shown to the client.  A yardstick, no relay.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/secure.h"
#include "bench/wire.h"
#include "proxy/base/mem.h"

enum { TEXT_MAX = 2048, HIGH = 256 * 1024 };

enum stage { GREETING, HELLO, STARTTLS, PUMPING };

/* One side of a pair; the client's side pumps from the first day. */
struct side {
    struct wire wire;
    struct side *other;
    enum stage stage;
    bool last; /* closed as soon as it is drained */
    char text[TEXT_MAX];
    size_t have, greeting;
};

static struct {
    struct watch listener;
    struct wire_loop loop;
    struct secure *tls;
    struct sockaddr_storage to;
    socklen_t to_size;
} pump;

static void put(struct side *s, const char *p, size_t n)
{
    wire_put(&s->wire, p, n);
    wire_flush(&s->wire);
}

/* A whole reply of the MX before TLS. */
static void on_reply(struct side *mx)
{
    static const char hello[] = "EHLO client.lab.example\r\n", starttls[] = "STARTTLS\r\n";

    switch (mx->stage) {
    case GREETING:
        mx->stage = HELLO;
        mx->greeting = mx->have;
        put(mx, hello, sizeof(hello) - 1);
        break;
    case HELLO:
        mx->stage = STARTTLS;
        put(mx, starttls, sizeof(starttls) - 1);
        break;
    case STARTTLS:
        mx->stage = PUMPING;
        wire_secure(&mx->wire, secure_new(pump.tls));
        break;
    case PUMPING:
        break;
    }
}

/* The text ends with the last line of a reply. */
static bool complete(const char *text, size_t n)
{
    const char *line = text;

    if (n < 5 || text[n - 1] != '\n')
        return false;
    for (size_t i = 0; i + 1 < n; ++i) {
        if (text[i] == '\n')
            line = text + i + 1;
    }
    return line[3] == ' ';
}

static void on_bytes(struct wire *w, const char *p, size_t n)
{
    struct side *s = (struct side *)w;

    if (s->stage == PUMPING) {
        put(s->other, p, n);
        if (wire_waiting(&s->other->wire) > HIGH)
            wire_pause(w);
        return;
    }
    if (s->have + n > TEXT_MAX) {
        wire_close(w);
        return;
    }
    memcpy(s->text + s->have, p, n);
    s->have += n;
    if (complete(s->text + s->greeting, s->have - s->greeting)) {
        on_reply(s);
        s->have = s->greeting;
    }
}

static void on_connected(struct wire *w)
{
    (void)w; /* the MX speaks first */
}

static void on_secured(struct wire *w)
{
    struct side *mx = (struct side *)w;

    put(mx->other, mx->text, mx->greeting);
    wire_resume(&mx->other->wire);
}

static void on_drained(struct wire *w)
{
    struct side *s = (struct side *)w;

    if (s->last)
        wire_close(w);
    else if (s->other != NULL && s->other->wire.paused && s->stage == PUMPING)
        wire_resume(&s->other->wire);
}

static void on_closed(struct wire *w)
{
    struct side *s = (struct side *)w, *other = s->other;

    if (other == NULL)
        return;
    s->other = NULL;
    other->other = NULL;
    other->last = true;
    if (wire_waiting(&other->wire) == 0)
        wire_close(&other->wire);
}

static const struct wire_events events = {.connected = on_connected,
                                          .secured = on_secured,
                                          .bytes = on_bytes,
                                          .drained = on_drained,
                                          .closed = on_closed};

static void welcome(int fd)
{
    struct side *client = mem_zalloc(sizeof(*client)), *mx = mem_zalloc(sizeof(*mx));

    *client = (struct side){.wire.events = &events, .other = mx, .stage = PUMPING};
    *mx = (struct side){.wire.events = &events, .other = client, .stage = GREETING};
    wire_adopt(&pump.loop, &client->wire, fd);
    wire_pause(&client->wire);
    wire_connect(&pump.loop, &mx->wire, (const struct sockaddr *)&pump.to, pump.to_size);
}

static void on_listener(struct watch *w, uint32_t unused)
{
    (void)unused;
    for (int i = 0; i < 64; ++i) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        if (fd < 0)
            wire_die("pump: accept: %s", strerror(errno));
        welcome(fd);
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"listen-port", required_argument, NULL, 'l'}, {"to", required_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},        {"ca", required_argument, NULL, 'a'},
        {"host", required_argument, NULL, 'o'},        {NULL, 0, NULL, 0}};
    const char *values['z'] = {0};
    struct sockaddr_storage at;
    socklen_t size;
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == '?')
            return 64;
        values[c] = optarg;
    }
    for (size_t i = 0; known[i].name != NULL; ++i) {
        if (values[known[i].val] == NULL)
            wire_die("pump: --%s is due", known[i].name);
    }
    wire_raise_limit();
    pump.tls = secure_client(values['a'], values['o'], true);
    pump.to_size = wire_address(values['t'], (int)strtol(values['p'], NULL, 10), &pump.to);
    size = wire_address("127.0.0.1", (int)strtol(values['l'], NULL, 10), &at);
    wire_loop_init(&pump.loop);
    pump.listener = (struct watch){.fd = wire_listen(&at, size), .on = on_listener};
    wire_watch(&pump.loop, &pump.listener, EPOLLIN);
    for (;;)
        wire_loop_once(&pump.loop, -1);
}
