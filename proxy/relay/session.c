/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "proxy/relay/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound.h"
#include "proxy/net/stream.h"
#include "proxy/relay/transaction.h"

#define SESSION_MAGIC 0x73657373u
#define READ_HIGH 32768
#define WRITE_HIGH (64 * 1024)
#define FAREWELL_MS 5000
#define HOLD_MS 10
#define HOLD_BYTES 1024

struct session {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot; /* of the accept: listener and limits */
    const struct listener_settings *listener;
    struct session_events on;
    void *owner;
    struct session_list *list;
    struct session *next, **link;
    pace_mark paced;
    struct stream *stream; /* NULL: the client is gone */
    struct inbound *in;
    struct transaction *transaction;
    struct transaction
        *told; /* the one before: answered, and nothing was heard from the client since */
    char id[SESSION_ID_MAX], client[ADDR_TEXT_MAX];
    struct addr peer, original;
    unsigned transactions;
    mono_ms started;
    bool pumping, again;
    bool admitted; /* has a place among limits.sessions */
    bool ended;    /* the client closed its side */
    bool shutting_down, closing, dying;
    const char *end; /* for the record */
};

static void session_pump(struct session *s);

/* ---- the end of a session ---- */

static void session_destroy(void *owner)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    inbound_free(&s->in);
    snapshot_drop(&s->snapshot);
    s->magic = 0;
    free(s);
}

static void session_log(const struct session *s)
{
    struct record *r = record_new("session", RECORD_INFO, loop_wall());

    record_cstr(r, "session", s->id);
    record_cstr(r, "client", s->client);
    record_cstr(r, "listener", s->listener->name);
    if (inbound_helo(s->in)[0] != '\0')
        record_cstr(r, "helo", inbound_helo(s->in));
    record_int(r, "transactions", s->transactions);
    record_cstr(r, "end", s->end);
    record_int(r, "duration", loop_now(s->services->loop) - s->started);
    log_record(s->services->log, r);
}

/* Closing cuts all wires at once; the memory goes when the stack is empty. */
static void session_close(struct session *s, const char *end, enum reason why)
{
    if (s->dying)
        return;
    s->dying = true;
    s->end = end;
    transaction_free(&s->transaction, why);
    transaction_drop(&s->told, true);
    if (s->closing && s->stream != NULL)
        stream_finish(&s->stream, FAREWELL_MS);
    else
        stream_close(&s->stream);
    session_log(s);
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    s->list->count--;
    pace_leave(&s->services->pace, &s->paced, loop_now(s->services->loop));
    s->on.closed(s->owner, s->admitted);
    loop_defer(s->services->loop, session_destroy, s);
}

/* ---- writing ---- */

static void flush(struct session *s)
{
    struct buf *out = inbound_output(s->in);

    if (s->stream != NULL && out->n > 0)
        stream_write(s->stream, buf_slice(out));
    buf_reset(out);
}

/* RFC 2920 3.2: the replies to a group of commands leave as a unit.  While the MX is asked about one of a group,
 * those before it wait for its answer, but not for long: a warm MX answers at once, another one may have to be
 * found first. */
static bool may_hold(const struct session *s)
{
    size_t n = inbound_output(s->in)->n;

    return n > 0 && n <= HOLD_BYTES && inbound_owes_answer(s->in) && s->stream != NULL &&
           !s->ended && !s->shutting_down;
}

static void answer_reason(struct session *s, unsigned slot, enum reason why)
{
    struct reply reply;

    reply_init(&reply);
    reason_reply(why, SLICE_NONE, SLICE_NONE, &reply);
    inbound_answer(s->in, slot, &reply);
    reply_clear(&reply);
}

/* It gets on: see pace.h. */
static void take_step(struct session *s)
{
    pace_step(&s->services->pace, &s->paced, loop_now(s->services->loop));
}

/* ---- events of the transaction ---- */

static void on_answer(void *owner, unsigned slot, const struct reply *reply)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    take_step(s);
    inbound_answer(s->in, slot, reply);
    flush(s);
    /* The final answer: its end of the connection may be closed, and we have not read so far. */
    if (s->stream != NULL && s->transaction != NULL && !inbound_in_transaction(s->in) &&
        !stream_is_heard(s->stream))
        transaction_client_gone(s->transaction);
    session_pump(s);
}

static void on_room(void *owner)
{
    session_pump(OBJ_CAST(session, SESSION_MAGIC, owner));
}

/* The answer to the whole follows, and pumps. */
static void on_answer_each(void *owner, unsigned index, const struct reply *reply)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    inbound_answer_each(s->in, index, reply);
    flush(s);
}

static const struct transaction_events transaction_events = {
    .answer = on_answer,
    .answer_each = on_answer_each,
    .room = on_room,
};

/* ---- events of the dialog ---- */

/* Exim sends QUIT along with the end of its last message, closes its sending side, and reads the
 * replies then.  Any other client that closes while it is owed one is gone. */
static bool has_said_all(struct session *s)
{
    struct slice last = SLICE("QUIT\r\n"), in = SLICE_NONE;

    if (s->stream != NULL && stream_unread(s->stream) >= last.n)
        in = stream_peek(s->stream);
    if (in.n < last.n || in.n < stream_unread(s->stream))
        return false;
    return slice_ieq(slice_of(in.p + in.n - last.n, last.n), last);
}

static void begin_transaction(struct session *s, const struct inbound_what *what)
{
    struct transaction_params p = {
        .services = s->services,
        .snapshot = s->on.snapshot(s->owner),
        .listener = s->listener,
        .session_id = s->id,
        .peer = &s->peer,
        .original = &s->original,
        .helo = inbound_helo(s->in),
        .xforward = inbound_xforward(s->in),
        .esmtp = inbound_esmtp(s->in),
        .sender = &what->mailbox,
        .params = &what->params,
    };
    struct reply ok;

    if (s->shutting_down) {
        answer_reason(s, what->slot, REASON_SHUTTING_DOWN);
        return;
    }
    s->admitted = s->admitted || s->on.admit(s->owner);
    if (!s->admitted) {
        answer_reason(s, what->slot, REASON_OVERLOADED);
        return;
    }
    p.number = ++s->transactions;
    s->transaction = transaction_new(&p, &transaction_events, s);
    if (s->ended && !has_said_all(s))
        transaction_client_gone(s->transaction);
    reply_init(&ok);
    reply_set(&ok, 250, "2.1.0", SLICE("Ok"));
    inbound_answer(s->in, what->slot, &ok);
    reply_clear(&ok);
}

/* The machine says that no transaction is open any more, but ours is: the end was answered. */
static void settle_transaction(struct session *s)
{
    if (s->transaction == NULL || inbound_in_transaction(s->in))
        return;
    transaction_finish(s->transaction, REASON_CLIENT_RESET);
    transaction_drop(&s->told, true);
    s->told = s->transaction;
    s->transaction = NULL;
}

/* False: the session is over. */
static bool take_event(struct session *s, enum inbound_event ev, const struct inbound_what *what)
{
    switch (ev) {
    case INBOUND_NEED_INPUT:
    case INBOUND_WAIT:
        break;
    case INBOUND_MAIL:
        begin_transaction(s, what);
        break;
    case INBOUND_RCPT:
        transaction_recipient(s->transaction, what->slot, &what->mailbox);
        break;
    case INBOUND_DATA:
        transaction_data(s->transaction, what->slot, inbound_answers_each(s->in));
        break;
    case INBOUND_BODY:
        transaction_body(s->transaction, what->content);
        break;
    case INBOUND_BODY_BAD:
        transaction_body_refused(s->transaction,
                                 what->too_big ? REASON_MESSAGE_TOO_BIG : REASON_BARE_NEWLINE);
        break;
    case INBOUND_BODY_END:
        transaction_end(s->transaction, what->slot, inbound_client_kind(s->in));
        break;
    case INBOUND_RESET:
        transaction_free(&s->transaction, REASON_CLIENT_RESET);
        break;
    case INBOUND_CLOSE:
        flush(s);
        s->closing = true;
        session_close(s, "quit", REASON_CLIENT_RESET);
        return false;
    }
    return true;
}

static bool may_read(const struct session *s)
{
    if (s->stream == NULL || s->dying)
        return false;
    if (stream_unsent(s->stream) > WRITE_HIGH)
        return false; /* a client that never reads its replies */
    return s->transaction == NULL || !inbound_in_body(s->in) ||
           transaction_has_room(s->transaction);
}

/* The client's silence is only timed while we wait for the client. */
static void arm(struct session *s, bool waiting_for_client)
{
    if (s->stream == NULL)
        return;
    if (waiting_for_client || stream_unsent(s->stream) > WRITE_HIGH)
        stream_deadline(s->stream, snapshot_settings(s->snapshot)->timeouts.client_idle);
    else
        stream_deadline(s->stream, may_hold(s) ? HOLD_MS : -1);
}

/* One turn: feed what is there until the machine or a back-pressure says stop. */
static enum inbound_event feed(struct session *s)
{
    enum inbound_event ev = INBOUND_NEED_INPUT;

    while (may_read(s)) {
        struct slice in = stream_peek(s->stream);
        struct inbound_what what = {0};
        size_t used = 0;

        settle_transaction(s); /* the next one may be here already */
        ev = inbound_feed(s->in, in.p, in.n, &used, &what);
        if (!take_event(s, ev, &what)) /* what.content points into the stream's bytes */
            return INBOUND_CLOSE;
        stream_consume(s->stream, used);
        if (ev == INBOUND_RCPT && inbound_data_follows(s->in, stream_peek(s->stream)))
            transaction_data_follows(s->transaction);
        if (used > 0)
            transaction_drop(&s->told, true); /* it goes on, so it has heard */
        if (inbound_output(s->in)->n > HOLD_BYTES || !inbound_in_transaction(s->in))
            flush(s);
        settle_transaction(s);
        /* A full output is no reason to wait: it has just been emptied. */
        if (ev == INBOUND_WAIT && inbound_owes_answer(s->in))
            break;
        if (ev == INBOUND_NEED_INPUT && stream_unread(s->stream) == 0)
            break;
    }
    return ev;
}

static void after_feed(struct session *s, enum inbound_event ev)
{
    bool blocked =
        s->transaction != NULL && inbound_in_body(s->in) && !transaction_has_room(s->transaction);

    if (!may_hold(s))
        flush(s);
    if (s->shutting_down && s->transaction == NULL && inbound_shutdown(s->in)) {
        flush(s);
        s->closing = true;
        session_close(s, "shutdown", REASON_SHUTTING_DOWN);
        return;
    }
    if (s->ended && ev != INBOUND_WAIT && !blocked &&
        (s->transaction == NULL || !transaction_awaits_final(s->transaction))) {
        s->closing = true; /* it may still read: what was asked is answered to the end */
        session_close(s, s->transaction != NULL ? "lost" : "closed", REASON_CLIENT_LOST);
        return;
    }
    arm(s, ev == INBOUND_NEED_INPUT && !blocked && !inbound_owes_answer(s->in));
    if (inbound_owes_answer(s->in)) /* of the MX */
        pace_wait(&s->services->pace, &s->paced, loop_now(s->services->loop));
}

static void session_pump(struct session *s)
{
    enum inbound_event ev;

    if (s->pumping) {
        s->again = true;
        return;
    }
    s->pumping = true;
    do {
        s->again = false;
        ev = feed(s);
    } while (s->again && !s->dying);
    s->pumping = false;
    if (s->dying)
        return;
    settle_transaction(s); /* also when there is no client any more to feed from */
    after_feed(s, ev);
}

/* ---- events of the stream ---- */

static void on_readable(void *owner)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    if (!inbound_in_body(s->in))
        take_step(s);
    session_pump(s);
}

static void on_drained(void *owner)
{
    session_pump(OBJ_CAST(session, SESSION_MAGIC, owner));
}

static void on_ended(void *owner, enum stream_end how, const char *detail)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    (void)detail;
    s->ended = true;
    if (how != STREAM_CLOSED)
        transaction_drop(&s->told, false); /* its socket was closed with our answer unread */
    if (s->transaction != NULL && (how != STREAM_CLOSED || !has_said_all(s)))
        transaction_client_gone(s->transaction);
    session_pump(s);
    if (s->dying || how == STREAM_CLOSED)
        return; /* it may have closed its sending side only: what was asked is still answered */
    if (s->transaction != NULL && transaction_awaits_final(s->transaction))
        stream_close(
            &s->stream); /* nobody hears it, but the record tells what became of the mail */
    else
        session_close(s, "lost", REASON_CLIENT_LOST);
}

static void on_deadline(void *owner)
{
    struct session *s = OBJ_CAST(session, SESSION_MAGIC, owner);

    if (inbound_output(s->in)->n > 0) { /* it has been held back */
        flush(s);
        arm(s, false);
        return;
    }
    if (inbound_in_body(s->in)) {
        session_close(s, "timeout", REASON_CLIENT_TIMEOUT);
        return;
    }
    inbound_idle(s->in);
    flush(s);
    s->closing = true;
    session_close(s, "timeout", REASON_CLIENT_TIMEOUT);
}

static const struct stream_events stream_events = {
    .readable = on_readable,
    .drained = on_drained,
    .ended = on_ended,
    .deadline = on_deadline,
};

/* ---- calls of the worker ---- */

struct session *session_new(const struct session_params *p, const struct session_events *on,
                            void *owner)
{
    struct session *s = mem_zalloc(sizeof(*s));
    const struct settings *set = snapshot_settings(p->snapshot);
    struct stream_params sp = {.read_high = READ_HIGH, .write_low = WRITE_HIGH / 2};
    struct inbound_params ip = {
        .line_max = (size_t)set->limits.line,
        .auth_line_max = (size_t)set->limits.auth_line,
        .recipients_max = (unsigned)set->limits.recipients,
        .errors_max = (unsigned)set->limits.errors,
        .message_size = (uint64_t)set->limits.message_size,
        .data_mode =
            p->listener->bare_newlines == BARE_NEWLINES_REJECT ? DATA_REJECT : DATA_NORMALISE,
    };

    char *name;

    s->magic = SESSION_MAGIC;
    s->services = p->services;
    s->snapshot = snapshot_hold(p->snapshot);
    s->listener = p->listener;
    s->on = *on;
    s->owner = owner;
    s->started = loop_now(p->services->loop);
    s->admitted = on->admit(owner);
    (void)snprintf(s->id, sizeof(s->id), "%s", p->id);
    s->peer = p->peer;
    s->original = p->original;
    (void)addr_port_text(&p->peer, s->client);
    s->list = p->list;
    s->next = p->list->first;
    s->link = &p->list->first;
    if (s->next != NULL)
        s->next->link = &s->next;
    p->list->first = s;
    p->list->count++;
    if (set->helo_name[0] != '[') /* an address literal takes no prefix */
        name = mem_format(INBOUND_NAME_PREFIX "%s", set->helo_name);
    else
        name = mem_strdup(set->helo_name);
    ip.helo_name = name;
    ip.requiretls = p->listener->requiretls;
    ip.lmtp = p->listener->protocol == LISTENER_LMTP;
    s->in = inbound_new(&ip);
    free(name);
    s->stream = stream_adopt(p->services->loop, p->fd, &p->peer, &sp, &stream_events, s);
    inbound_greet(s->in);
    flush(s);
    arm(s, true);
    take_step(s);
    return s;
}

void session_list_memory(const struct session_list *list, size_t *sessions, size_t *transactions)
{
    *sessions = *transactions = 0;
    for (const struct session *s = list->first; s != NULL; s = s->next) {
        *sessions += sizeof(*s) + inbound_memory(s->in);
        if (s->stream != NULL)
            *sessions += stream_footprint(s->stream);
        if (s->transaction != NULL)
            *transactions += transaction_memory(s->transaction);
        if (s->told != NULL)
            *transactions += transaction_memory(s->told);
    }
}

bool session_list_shutdown(struct session_list *list, size_t most)
{
    struct session *s, *next;

    for (s = list->first; s != NULL && most > 0; s = next) {
        next = s->next;
        if (s->shutting_down)
            continue;
        most--;
        s->shutting_down = true;
        session_pump(s);
    }
    return s != NULL;
}

void session_list_cut(struct session_list *list)
{
    while (list->first != NULL)
        session_close(list->first, "cut", REASON_SHUTTING_DOWN);
}
