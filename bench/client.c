/* SPDX-License-Identifier: Apache-2.0 */
/* client - see client.h for the contract. */
#include "bench/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/message.h"
#include "proxy/base/mem.h"

enum { REPLY_MAX = 1024, ENVELOPE_MAX = 1024, AHEAD = 128 * 1024 };

enum stage {
    GREETING,
    HELLO,
    STARTTLS,
    MAIL,
    RCPT,
    DATA,
    FINAL,
    RESET,
    IDLE,
    PARKED,
    QUIT,
};

struct client {
    struct wire wire;
    struct load *load;
    enum stage stage;
    char line[REPLY_MAX];
    size_t have;
    unsigned done; /* messages on this connection */
    bool busy;     /* a message is taken, its fate is open */
    uint64_t id;
    int64_t intended;
    int refused; /* code of the first reply that refuses the message */
    char head[MESSAGE_HEAD_MAX];
    size_t head_size, sent; /* sent: bytes of header, body and dot */
    size_t place;           /* in load.standing */
    struct client *next;    /* in load.idle */
};

/* ---- which message ---- */

uint64_t load_refused(const struct load *l)
{
    uint64_t sum = 0;

    for (int i = 0; i < CODES; ++i)
        sum += l->refused[i];
    return sum;
}

uint64_t load_settled(const struct load *l)
{
    return l->delivered + load_refused(l) + l->broken + l->unknown;
}

bool load_due(const struct load *l, int64_t now)
{
    if (l->taken >= l->total)
        return false;
    return l->interval_ns == 0 || now >= l->begun + (int64_t)l->taken * l->interval_ns;
}

static bool take(struct client *c)
{
    struct load *l = c->load;
    int64_t now = wire_now();
    struct message_marks marks;

    if (!load_due(l, now))
        return false;
    c->intended = l->interval_ns == 0 ? now : l->begun + (int64_t)l->taken * l->interval_ns;
    c->id = l->first + l->taken++;
    marks = (struct message_marks){.id = c->id, .size = l->size};
    c->head_size = message_head(c->head, &marks);
    c->sent = 0;
    c->refused = 0;
    c->busy = true;
    return true;
}

/* ---- what is sent ---- */

static void put(struct client *c, const char *text, enum stage next)
{
    c->stage = next;
    wire_put(&c->wire, text, strlen(text));
}

static int recipient(const struct client *c, char *out, size_t room)
{
    const struct load *l = c->load;

    if (l->domains == 0)
        return snprintf(out, room, "RCPT TO:<m%" PRIu64 "@%s>\r\n", c->id, l->domain);
    return snprintf(out, room, "RCPT TO:<m%" PRIu64 "@d%" PRIu64 ".%s>\r\n", c->id,
                    c->id % l->domains, l->domain);
}

static void put_recipient(struct client *c)
{
    char line[ENVELOPE_MAX];

    recipient(c, line, sizeof(line));
    put(c, line, RCPT);
}

static void put_envelope(struct client *c)
{
    char text[ENVELOPE_MAX];
    int n = snprintf(text, sizeof(text), "MAIL FROM:<bench@client.lab.example>\r\n");

    if (c->load->pipelining) {
        n += recipient(c, text + n, sizeof(text) - (size_t)n);
        if (!c->load->park)
            (void)snprintf(text + n, sizeof(text) - (size_t)n, "DATA\r\n");
    }
    put(c, text, MAIL);
}

/* As much of header, body and dot as the wire should hold. */
static void put_message(struct client *c)
{
    const struct load *l = c->load;
    const char *parts[] = {c->head, l->body, ".\r\n"};
    size_t sizes[] = {c->head_size, l->size, 3};
    size_t whole = c->head_size + l->size + 3;

    while (!c->wire.closed && c->sent < whole && wire_waiting(&c->wire) < AHEAD) {
        size_t used = 0, at = c->sent;

        for (int i = 0; i < 3; ++i) {
            if (at < sizes[i] && used < WIRE_READ) {
                size_t n = sizes[i] - at < WIRE_READ - used ? sizes[i] - at : WIRE_READ - used;

                memcpy(l->page + used, parts[i] + at, n);
                used += n;
                at += n;
            }
            if (at < sizes[i])
                break;
            at -= sizes[i];
        }
        c->sent += used;
        wire_put(&c->wire, l->page, used);
    }
}

static void leave_idle(struct client *c)
{
    for (struct client **at = &c->load->idle; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            return;
        }
    }
}

/* The next message on this connection, if there is one; else the end of it. */
static void next_message(struct client *c)
{
    struct load *l = c->load;

    if (c->busy || (c->done < l->each && take(c))) {
        put_envelope(c);
    } else if (l->interval_ns > 0 && c->done < l->each && l->taken < l->total) {
        c->stage = IDLE;
        c->next = l->idle;
        l->idle = c;
    } else {
        put(c, "QUIT\r\n", QUIT);
    }
}

/* ---- what came of it ---- */

static void settle(struct client *c, uint64_t *count)
{
    ++*count;
    ++c->done;
    c->busy = false;
    c->load->last = wire_now();
}

static void delivered(struct client *c)
{
    struct load *l = c->load;
    bool known;

    settle(c, &l->delivered);
    l->latency[l->delivered - 1] = l->last - c->intended;
    (void)ids_mark(&l->ids, c->id, &known);
}

static void refused(struct client *c)
{
    settle(c, &c->load->refused[c->refused]);
}

static void note_refusal(struct client *c, int code)
{
    struct load *l = c->load;

    if (c->refused == 0)
        c->refused = code;
    if (l->refusal[0] == '\0') {
        size_t n = c->have < REFUSAL_MAX - 1 ? c->have : REFUSAL_MAX - 1;

        for (size_t i = 0; i < n; ++i) {
            char b = c->line[i];

            l->refusal[i] = b >= ' ' && b < 127 && b != '"' && b != '\\' ? b : ' ';
        }
    }
}

/* ---- replies ---- */

static void stand(struct client *c)
{
    struct load *l = c->load;

    c->stage = PARKED;
    c->place = l->parked;
    l->standing[l->parked++] = c;
    wire_shrink(&c->wire);
    if (l->released)
        put(c, "DATA\r\n", DATA);
}

static void envelope_refused(struct client *c)
{
    refused(c);
    if (c->load->park)
        put(c, "QUIT\r\n", QUIT);
    else
        put(c, "RSET\r\n", RESET);
}

static void envelope_reply(struct client *c, int code)
{
    const struct load *l = c->load;
    int wanted = c->stage == DATA ? 354 : 250;

    if (code != wanted)
        note_refusal(c, code);
    if (c->stage == MAIL && l->pipelining) {
        c->stage = RCPT;
    } else if (c->stage == MAIL && c->refused == 0) {
        put_recipient(c);
    } else if (c->stage == RCPT && l->park && c->refused == 0) {
        stand(c);
    } else if (c->stage == RCPT && l->pipelining && !l->park) {
        c->stage = DATA;
    } else if (c->stage == RCPT && c->refused == 0) {
        put(c, "DATA\r\n", DATA);
    } else if (c->stage == DATA && code == 354) {
        c->stage = FINAL;
        if (c->refused == 0)
            put_message(c);
        else /* nobody takes it, and yet it is asked for */
            wire_put(&c->wire, ".\r\n", 3);
    } else {
        envelope_refused(c);
    }
}

static void final_reply(struct client *c, int code)
{
    if (code == 250 && c->refused == 0) {
        delivered(c);
    } else {
        note_refusal(c, code);
        refused(c);
    }
    next_message(c);
}

static void lost(struct client *c)
{
    if (c->busy)
        settle(c, c->stage == FINAL ? &c->load->unknown : &c->load->broken);
}

static void on_reply(struct client *c, int code)
{
    struct load *l = c->load;
    int wanted = c->stage == GREETING || c->stage == STARTTLS ? 220 : 250;

    if (c->stage <= STARTTLS && code != wanted) {
        note_refusal(c, code);
        if (c->busy)
            refused(c);
        put(c, "QUIT\r\n", QUIT);
        return;
    }
    switch (c->stage) {
    case GREETING:
        put(c, "EHLO client.lab.example\r\n", HELLO);
        break;
    case HELLO:
        if (l->tls != NULL && c->wire.ssl == NULL)
            put(c, "STARTTLS\r\n", STARTTLS);
        else
            next_message(c);
        break;
    case STARTTLS:
        wire_flush(&c->wire);
        wire_secure(&c->wire, secure_new(l->tls));
        break;
    case MAIL:
    case RCPT:
    case DATA:
        envelope_reply(c, code);
        break;
    case FINAL:
        final_reply(c, code);
        break;
    case RESET:
        next_message(c);
        break;
    case IDLE:
    case PARKED: /* 421: the end comes behind it */
        break;
    case QUIT:
        wire_close(&c->wire);
        break;
    }
}

/* A whole line in c->line. */
static void on_line(struct client *c)
{
    int code = 0;

    for (size_t i = 0; i < 3; ++i)
        code = code * 10 + (i < c->have ? c->line[i] - '0' : 0);
    if (c->have < 4 || code < 200 || code >= CODES) {
        lost(c);
        wire_close(&c->wire);
    } else if (c->line[3] != '-') {
        on_reply(c, code);
    }
}

static void on_bytes(struct wire *w, const char *p, size_t n)
{
    struct client *c = (struct client *)w;

    while (n > 0 && !w->closed) {
        const char *end = memchr(p, '\n', n);
        size_t used = end != NULL ? (size_t)(end - p) + 1 : n;

        if (c->have + used <= REPLY_MAX) {
            memcpy(c->line + c->have, p, used);
            c->have += used;
        }
        if (end != NULL) {
            on_line(c);
            c->have = 0;
        }
        p += used;
        n -= used;
    }
}

static void on_secured(struct wire *w)
{
    struct client *c = (struct client *)w;

    if (SSL_session_reused(w->ssl))
        ++c->load->resumed;
    else
        ++c->load->full;
    put(c, "EHLO client.lab.example\r\n", HELLO);
}

static void on_drained(struct wire *w)
{
    struct client *c = (struct client *)w;

    if (c->stage == FINAL && c->refused == 0)
        put_message(c);
}

static void on_connected(struct wire *w)
{
    (void)w; /* the MX speaks first */
}

static void on_ended(struct wire *w, bool failed)
{
    struct client *c = (struct client *)w;

    if (failed && c->stage == GREETING)
        ++c->load->failed_connections;
    lost(c);
}

/* A closed loop goes on with a new connection. */
static void on_closed(struct wire *w)
{
    struct client *c = (struct client *)w;
    struct load *l = c->load;

    --l->open;
    if (c->stage == IDLE)
        leave_idle(c);
    if (c->stage == PARKED)
        l->standing[c->place] = NULL;
}

static const struct wire_events events = {.connected = on_connected,
                                          .secured = on_secured,
                                          .bytes = on_bytes,
                                          .drained = on_drained,
                                          .ended = on_ended,
                                          .closed = on_closed};

/* ---- from outside ---- */

void client_open(struct load *l)
{
    struct client *c = mem_zalloc(sizeof(*c));

    c->load = l;
    c->wire.events = &events;
    ++l->open;
    ++l->connections;
    (void)take(c);
    wire_connect(&l->loop, &c->wire, (const struct sockaddr *)&l->to, l->to_size);
}

void client_wake(struct load *l)
{
    int64_t now = wire_now();

    while (l->idle != NULL && (load_due(l, now) || l->taken >= l->total)) {
        struct client *c = l->idle;

        l->idle = c->next;
        next_message(c);
        wire_flush(&c->wire);
    }
}

void client_release(struct load *l)
{
    l->released = true;
    for (size_t i = 0; i < l->parked; ++i) {
        if (l->standing[i] != NULL) {
            put(l->standing[i], "DATA\r\n", DATA);
            wire_flush(&l->standing[i]->wire);
        }
    }
}
