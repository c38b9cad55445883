/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h and upstream_internal.h: the owner's calls for one mail, and what it is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/upstream_internal.h"

/* ---- telling the owner ---- */

void upstream_tell_failed(struct upstream *u, enum stage stage, enum reason reason,
                          const struct reply *reply, const char *detail)
{
    struct upstream_failure f = {stage, reason, reply, detail};

    u->dead = true;
    if (u->stream != NULL)
        stream_deadline(u->stream, -1);
    if (stage == STAGE_HANDSHAKE && u->attempt.t_tls < 0)
        u->attempt.t_tls = upstream_since(u, u->phase_since); /* what a stall has cost */
    u->attempt.stage = stage;
    u->attempt.reason = reason;
    u->attempt.outcome = "failed";
    if (detail != u->attempt.detail)
        (void)snprintf(u->attempt.detail, sizeof(u->attempt.detail), "%s", detail);
    if (reply != NULL && reply->code != 0)
        reply_copy(&u->attempt.reply, reply);
    f.reply = &u->attempt.reply;
    f.detail = u->attempt.detail;
    u->on.failed(u->owner, &f);
}

static void note_reply(struct upstream *u, enum outbound_command command, const struct reply *reply)
{
    if (command == OUTBOUND_MAIL)
        u->attempt.t_mail = upstream_since(u, u->mail_sent);
    else if (command == OUTBOUND_RCPT)
        u->accepted = u->accepted || reply->code / 100 == 2;
    else if (command == OUTBOUND_DATA)
        u->attempt.t_data = upstream_since(u, u->data_sent);
    else if (command == OUTBOUND_END)
        u->attempt.t_final = upstream_since(u, u->end_sent);
}

static void tell_late(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);
    enum upstream_late what = u->late;

    if (u->dead || u->state != UPSTREAM_USED)
        return;
    u->late = LATE_NOTHING;
    switch (what) {
    case LATE_NOTHING:
        break;
    case LATE_READY:
        u->on.ready(u->owner);
        break;
    case LATE_FULL:
        upstream_tell_failed(u, STAGE_CONNECT, REASON_POOL_FULL, NULL, u->attempt.detail);
        break;
    case LATE_EVENT:
        if (u->late_event == OUTBOUND_FAILED)
            upstream_tell_failed(u, u->late_stage, u->late_reason, &u->late_reply, u->late_detail);
        else
            u->on.replied(u->owner, u->late_command, 0, &u->late_reply);
        break;
    }
}

void upstream_tell_later(struct upstream *u, enum upstream_late what)
{
    u->late = what;
    loop_defer(u->services->loop, tell_late, u);
}

/* ---- bytes ---- */

void upstream_flush(struct upstream *u)
{
    struct buf *out = outbound_output(u->out);

    if (out->n > 0) {
        stream_write(u->stream, buf_slice(out));
        u->written += (int64_t)out->n;
        buf_reset(out);
    }
}

/* Between mails: DATA for nobody or RSET is answered, or the connection ends; whatever is said to QUIT, the
 * mail is done. */
static void take_own_event(struct upstream *u, enum outbound_event ev)
{
    if (ev == OUTBOUND_CLOSED || ev == OUTBOUND_FAILED)
        upstream_left(u);
    else if (ev == OUTBOUND_READY || ev == OUTBOUND_REPLY)
        upstream_rested(u);
}

void upstream_take_event(struct upstream *u, enum outbound_event ev,
                         const struct outbound_what *what)
{
    if (u->state != UPSTREAM_USED) {
        take_own_event(u, ev);
        return;
    }
    switch (ev) {
    case OUTBOUND_NEED_INPUT:
    case OUTBOUND_CLOSED:
        break;
    case OUTBOUND_START_TLS:
        upstream_flush(u);
        upstream_start_tls(u);
        break;
    case OUTBOUND_READY:
        u->on.ready(u->owner);
        break;
    case OUTBOUND_REPLY:
        u->heard = true;
        u->refusals += what->reply->code >= 400 ? 1 : 0;
        note_reply(u, what->command, what->reply);
        u->on.replied(u->owner, what->command, what->index, what->reply);
        break;
    case OUTBOUND_FAILED:
        upstream_tell_failed(u, what->stage, what->reason, what->reply, what->detail);
        break;
    }
}

/* After every event of the stream: feed what is there, send what came of it, arm the right deadline. */
void upstream_pump(struct upstream *u)
{
    u->pumping = true;
    while (!u->dead && u->stream != NULL && outbound_phase(u->out) != OUTBOUND_PHASE_HANDSHAKE) {
        struct slice in = stream_peek(u->stream);
        struct outbound_what what = {0};
        enum outbound_event ev;
        size_t used = 0;

        if (in.n == 0)
            break;
        if (u->attempt.t_greeting < 0 && !u->attempt.reused)
            u->attempt.t_greeting = upstream_since(u, u->connected);
        outbound_unsent(u->out, stream_heard_early(u->stream));
        ev = outbound_feed(u->out, in.p, in.n, &used, &what);
        stream_consume(u->stream, used);
        upstream_take_event(u, ev, &what);
        if (ev == OUTBOUND_NEED_INPUT && used == 0)
            break;
    }
    u->pumping = false;
    if (u->dead || u->stream == NULL)
        return;
    upstream_rested(u); /* behind a refused MAIL the last reply is no event */
    upstream_flush(u);
    upstream_arm(u, false);
}

/* Send what a call of the owner made.  Nothing is read here, so no event comes inside a call; and while
 * the pump runs nothing is sent, so that what the MX said before is never taken for the answer. */
static void push(struct upstream *u)
{
    if (u->pumping || u->dead)
        return;
    upstream_flush(u);
    upstream_arm(u, false);
}

/* ---- calls of the owner ---- */

static void keep_late_event(struct upstream *u, enum outbound_event ev,
                            const struct outbound_what *what)
{
    u->late_event = ev;
    u->late_command = what->command;
    u->late_stage = what->stage;
    u->late_reason = what->reason;
    free(u->late_detail);
    u->late_detail = mem_strdup(what->detail != NULL ? what->detail : "");
    if (what->reply != NULL)
        reply_copy(&u->late_reply, what->reply);
    upstream_tell_later(u, LATE_EVENT);
}

void upstream_mail(struct upstream *u)
{
    struct outbound_what what = {0};
    enum outbound_event ev =
        outbound_mail(u->out, slice_str(u->envelope->sender), &u->envelope->params, &what);

    u->mails++;
    u->mail_sent = loop_now(u->services->loop);
    if (ev != OUTBOUND_NEED_INPUT)
        keep_late_event(u, ev, &what);
    else
        push(u);
}

void upstream_rcpt(struct upstream *u, struct slice path)
{
    if (u->late == LATE_EVENT)
        return; /* MAIL was not sent (too large, demand not met): its answer is about them all */
    outbound_rcpt(u->out, path);
    push(u);
}

void upstream_data_ahead(struct upstream *u)
{
    if (u->late == LATE_EVENT)
        return;
    u->data_sent = loop_now(u->services->loop);
    outbound_data_ahead(u->out);
    push(u);
}

void upstream_data(struct upstream *u)
{
    u->data_sent = loop_now(u->services->loop);
    outbound_data(u->out);
    push(u);
}

void upstream_body(struct upstream *u, struct slice content)
{
    bool idle = stream_unsent(u->stream) == 0;

    while (content.n > 0 && !u->dead) {
        struct slice piece = slice_first(content, OUTBOUND_BODY_MAX);

        outbound_body(u->out, piece);
        upstream_flush(u);
        content = slice_from(content, piece.n);
    }
    if (!u->dead)
        upstream_arm(u, idle); /* nothing waited: the patience for this block begins now */
}

void upstream_end(struct upstream *u)
{
    u->end_sent = loop_now(u->services->loop);
    outbound_end(u->out);
    push(u);
}

bool upstream_has_room(const struct upstream *u)
{
    return stream_unsent(u->stream) < u->write_high;
}

void upstream_budget(struct upstream *u, mono_ms deadline)
{
    u->deadline = deadline;
    if (u->connected != 0 && !u->dead)
        upstream_arm(u, false);
}

struct attempt *upstream_attempt(struct upstream *u)
{
    return &u->attempt;
}

enum stage upstream_stage(const struct upstream *u)
{
    return u->connected == 0 ? STAGE_CONNECT : outbound_stage(u->out);
}

bool upstream_is_stale(const struct upstream *u)
{
    return u->attempt.reused && !u->heard;
}

bool upstream_reused(const struct upstream *u)
{
    return u->attempt.reused;
}
