/* SPDX-License-Identifier: Apache-2.0 */
/* receive - see receive.h for the contract. */
#include "bench/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bench/message.h"
#include "proxy/base/mem.h"

enum { TEXT_MAX = 2048, QUEUE_FIRST = 256 };

enum stage { COMMANDS, SENDER, RECIPIENTS, BODY, DEAF };

/* What is done behind a reply. */
enum after { STAY, SECURE, CLOSE };

struct receiver;

struct guest {
    struct wire wire;
    struct receiver *receiver;
    enum stage stage;
    char text[TEXT_MAX]; /* a command that is not complete; in BODY the header */
    size_t have;
    uint64_t chunk, mail_chunk; /* reads so far; that of the last MAIL */
    char tail[4];               /* the last bytes of the body so far */
    size_t body, head;          /* bytes; head: up to the empty line, 0: not seen yet */
};

struct late {
    struct guest *guest; /* NULL: gone */
    const char *text;
    enum after after;
    int64_t due;
};

struct receiver {
    struct watch listener;
    struct wire_loop loop;
    struct sink *sink;
    struct late *queue; /* replies that wait: a ring, oldest first */
    size_t first, used, room;
};

static const char greeting[] = "220 sink.bench.example ESMTP\r\n";
static const char hello_clear[] =
    "250-sink.bench.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n"
    "250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n";
static const char hello[] = "250-sink.bench.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n"
                            "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";

/* ---- replies ---- */

static void say(struct guest *g, const char *text, enum after after)
{
    wire_put(&g->wire, text, strlen(text));
    if (after == SECURE) {
        wire_secure(&g->wire, secure_new(g->receiver->sink->tls));
    } else if (after == CLOSE) {
        wire_flush(&g->wire);
        wire_close(&g->wire);
    }
}

static void queue(struct receiver *r, struct late late)
{
    if (r->used == r->room) { /* a bigger ring, unrolled */
        size_t room = r->room > 0 ? 2 * r->room : QUEUE_FIRST;
        struct late *bigger = mem_array(room, sizeof(*bigger));

        for (size_t i = 0; i < r->used; ++i)
            bigger[i] = r->queue[(r->first + i) % r->room];
        free(r->queue);
        r->queue = bigger;
        r->room = room;
        r->first = 0;
    }
    r->queue[(r->first + r->used++) % r->room] = late;
}

static void reply_then(struct guest *g, const char *text, enum after after)
{
    struct receiver *r = g->receiver;

    if (after != STAY)
        g->stage = DEAF; /* nothing is expected before the reply was read */
    if (r->sink->delay_ns == 0)
        say(g, text, after);
    else
        queue(r, (struct late){g, text, after, wire_now() + r->sink->delay_ns});
}

static void reply(struct guest *g, const char *text)
{
    reply_then(g, text, STAY);
}

/* Sends what is due; how long until the next is, -1 when none waits. */
static int64_t send_late(struct receiver *r)
{
    int64_t now = wire_now();

    while (r->used > 0) {
        struct late *late = &r->queue[r->first];

        if (late->due > now)
            return late->due - now;
        r->first = (r->first + 1) % r->room;
        --r->used;
        if (late->guest != NULL && !late->guest->wire.closed) {
            say(late->guest, late->text, late->after);
            if (r->used == 0 || r->queue[r->first].guest != late->guest)
                wire_flush(&late->guest->wire);
        }
    }
    return -1;
}

static void forget_late(struct guest *g)
{
    struct receiver *r = g->receiver;

    for (size_t i = 0; i < r->used; ++i) {
        struct late *late = &r->queue[(r->first + i) % r->room];

        if (late->guest == g)
            late->guest = NULL;
    }
}

/* ---- a message ---- */

static void begin_body(struct guest *g)
{
    g->stage = BODY;
    g->have = g->body = g->head = 0;
    memcpy(g->tail, "\0\0\r\n", 4); /* the CRLF of DATA counts: a lone dot may come first */
    reply(g, "354 go ahead\r\n");
}

static void keep_head(struct guest *g, const char *p, size_t n)
{
    size_t room = TEXT_MAX - g->have;
    const char *end;

    memcpy(g->text + g->have, p, n < room ? n : room);
    g->have += n < room ? n : room;
    end = memmem(g->text, g->have, "\r\n\r\n", 4);
    if (end != NULL)
        g->head = (size_t)(end - g->text) + 4;
}

/* How many of these bytes belong to the body, its end included; *ended says whether it came. */
static size_t body_part(struct guest *g, const char *p, size_t n, bool *ended)
{
    static const char end[] = "\r\n.\r\n";
    char edge[8];
    size_t few = n < 4 ? n : 4;
    const char *at;

    memcpy(edge, g->tail, 4);
    memcpy(edge + 4, p, few);
    at = memmem(edge, 4 + few, end, 5);
    if (at != NULL) {
        *ended = true;
        return (size_t)(at - edge) + 5 - 4;
    }
    memcpy(g->tail, edge + few, 4);
    if (n > 4)
        memcpy(g->tail, p + n - 4, 4);
    at = memmem(p, n, end, 5);
    *ended = at != NULL;
    return at != NULL ? (size_t)(at - p) + 5 : n;
}

static void count_message(struct guest *g)
{
    struct sink *s = g->receiver->sink;
    size_t size = g->body - 3; /* without the dot */
    struct message_marks marks;
    bool known;

    ++s->counts.messages;
    s->counts.bytes += size;
    s->counts.last_ns = (uint64_t)wire_now();
    if (g->wire.ssl == NULL)
        ++s->counts.clear;
    if (g->head == 0 || !message_marks(g->text, g->head, &marks)) {
        ++s->counts.strange;
        return;
    }
    if (size - g->head != marks.size)
        ++s->counts.damaged;
    (void)pthread_mutex_lock(&s->lock);
    if (ids_mark(&s->ids, marks.id, &known) > 0)
        ++s->counts.twice;
    (void)pthread_mutex_unlock(&s->lock);
    if (!known)
        ++s->counts.strange;
}

static size_t take_body(struct guest *g, const char *p, size_t n)
{
    bool ended;
    size_t used = body_part(g, p, n, &ended);

    if (g->head == 0 && g->have < TEXT_MAX)
        keep_head(g, p, used);
    g->body += used;
    if (ended) {
        count_message(g);
        g->stage = COMMANDS;
        g->have = 0;
        reply(g, "250 2.0.0 taken\r\n");
    }
    return used;
}

/* ---- commands ---- */

static bool is(const char *line, size_t n, const char *verb)
{
    return n >= strlen(verb) && strncasecmp(line, verb, strlen(verb)) == 0;
}

static void wrong(struct guest *g, const char *text)
{
    ++g->receiver->sink->counts.wrong;
    reply(g, text);
}

static void greet(struct guest *g)
{
    bool offer = g->wire.ssl == NULL && g->receiver->sink->tls != NULL;

    g->stage = COMMANDS;
    reply(g, offer ? hello_clear : hello);
}

static void data(struct guest *g)
{
    if (g->stage != RECIPIENTS) {
        wrong(g, "503 5.5.1 RCPT first\r\n");
        return;
    }
    if (g->chunk == g->mail_chunk)
        ++g->receiver->sink->counts.one_flight;
    begin_body(g);
}

static void command(struct guest *g, const char *line, size_t n)
{
    if (is(line, n, "MAIL FROM:")) {
        if (g->stage != COMMANDS) {
            wrong(g, "503 5.5.1 MAIL inside a transaction\r\n");
            return;
        }
        g->stage = SENDER;
        g->mail_chunk = g->chunk;
        reply(g, "250 2.1.0 ok\r\n");
    } else if (is(line, n, "RCPT TO:")) {
        if (g->stage != SENDER && g->stage != RECIPIENTS) {
            wrong(g, "503 5.5.1 MAIL first\r\n");
            return;
        }
        g->stage = RECIPIENTS;
        reply(g, "250 2.1.5 ok\r\n");
    } else if (is(line, n, "DATA")) {
        data(g);
    } else if (is(line, n, "EHLO ") || is(line, n, "HELO ")) {
        greet(g);
    } else if (is(line, n, "STARTTLS") && g->wire.ssl == NULL && g->receiver->sink->tls != NULL) {
        reply_then(g, "220 2.0.0 go ahead\r\n", SECURE);
    } else if (is(line, n, "RSET")) {
        g->stage = COMMANDS;
        reply(g, "250 2.0.0 ok\r\n");
    } else if (is(line, n, "NOOP")) {
        reply(g, "250 2.0.0 ok\r\n");
    } else if (is(line, n, "QUIT")) {
        reply_then(g, "221 2.0.0 bye\r\n", CLOSE);
    } else {
        wrong(g, "500 5.5.1 unknown\r\n");
    }
}

/* The next line of what came, or of what is kept and what came; how many bytes were used. */
static size_t take_line(struct guest *g, const char *p, size_t n)
{
    const char *end = memchr(p, '\n', n);
    size_t used = end != NULL ? (size_t)(end - p) + 1 : n;

    if (end != NULL && g->have == 0) {
        command(g, p, used);
        return used;
    }
    if (g->have + used > TEXT_MAX) {
        g->have = 0;
        wrong(g, "500 5.5.2 line too long\r\n");
        return used;
    }
    memcpy(g->text + g->have, p, used);
    g->have += used;
    if (end != NULL) {
        size_t line = g->have;

        g->have = 0;
        command(g, g->text, line);
    }
    return used;
}

/* ---- events ---- */

static void on_bytes(struct wire *w, const char *p, size_t n)
{
    struct guest *g = (struct guest *)w;

    ++g->chunk;
    while (n > 0 && !w->closed) {
        size_t used;

        if (g->stage == DEAF) {
            ++g->receiver->sink->counts.wrong;
            return;
        }
        used = g->stage == BODY ? take_body(g, p, n) : take_line(g, p, n);
        p += used;
        n -= used;
    }
}

static void on_closed(struct wire *w)
{
    struct guest *g = (struct guest *)w;
    struct sink *s = g->receiver->sink;

    if (g->stage == BODY)
        ++s->counts.cut;
    if (g->wire.handshaking)
        ++s->counts.tls_failures;
    --s->counts.open;
    forget_late(g);
}

static void on_secured(struct wire *w)
{
    struct guest *g = (struct guest *)w;

    if (SSL_session_reused(w->ssl))
        ++g->receiver->sink->counts.resumed;
    else
        ++g->receiver->sink->counts.full;
    g->stage = COMMANDS;
}

static const struct wire_events events = {
    .secured = on_secured, .bytes = on_bytes, .closed = on_closed};

static void welcome(struct receiver *r, int fd)
{
    struct guest *g = mem_zalloc(sizeof(*g));
    struct sink_counts *c = &r->sink->counts;
    uint64_t open = ++c->open;

    ++c->connections;
    if (open > c->most_open)
        c->most_open = open;
    g->receiver = r;
    g->wire.events = &events;
    wire_adopt(&r->loop, &g->wire, fd);
    reply(g, greeting);
    wire_flush(&g->wire);
}

static void on_listener(struct watch *w, uint32_t unused)
{
    (void)unused;
    for (int i = 0; i < 64; ++i) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        if (fd < 0)
            wire_die("accept: %s", strerror(errno));
        welcome((struct receiver *)w, fd);
    }
}

void receive(struct sink *sink, int listener)
{
    struct receiver r = {.sink = sink};

    wire_loop_init(&r.loop);
    r.listener = (struct watch){.fd = listener, .on = on_listener};
    wire_watch(&r.loop, &r.listener, EPOLLIN);
    for (;;)
        wire_loop_once(&r.loop, send_late(&r));
}
