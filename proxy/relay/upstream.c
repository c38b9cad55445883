/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h: the owner's calls, and what is told to the owner. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/upstream_internal.h"

#define READ_HIGH 16384
#define WRITE_HIGH_LEAST 4096
#define QUIT_WAIT_MS 5000

static void upstream_free(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    outbound_free(&u->out);
    attempt_clear(&u->attempt);
    reply_clear(&u->late_reply);
    snapshot_drop(&u->snapshot);
    u->magic = 0;
    free(u);
}

/* ---- telling the owner ---- */

void upstream_tell_failed(struct upstream *u, enum stage stage, enum reason reason,
                          const struct reply *reply, const char *detail)
{
    struct upstream_failure f = {stage, reason, reply, detail};

    u->dead = true;
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

static void note_reply(struct upstream *u, enum outbound_command command)
{
    if (command == OUTBOUND_MAIL)
        u->attempt.t_mail = upstream_since(u, u->mail_sent);
    else if (command == OUTBOUND_DATA)
        u->attempt.t_data = upstream_since(u, u->data_sent);
    else if (command == OUTBOUND_END)
        u->attempt.t_final = upstream_since(u, u->end_sent);
}

/* ---- bytes ---- */

static void flush(struct upstream *u)
{
    struct buf *out = outbound_output(u->out);

    if (out->n > 0) {
        stream_write(u->stream, buf_slice(out));
        u->written += (int64_t)out->n;
        buf_reset(out);
    }
}

static void unlink_leaving(struct upstream *u)
{
    if (u->link == NULL)
        return;
    *u->link = u->next;
    if (u->next != NULL)
        u->next->link = u->link;
    u->link = NULL;
}

void upstream_left(struct upstream *u)
{
    unlink_leaving(u);
    stream_finish(&u->stream, QUIT_WAIT_MS);
    loop_defer(u->services->loop, upstream_free, u);
}

void upstream_take_event(struct upstream *u, enum outbound_event ev,
                         const struct outbound_what *what)
{
    if (u->finishing) {
        /* Whatever it says to QUIT, the mail is done. */
        if (ev == OUTBOUND_CLOSED || ev == OUTBOUND_FAILED)
            upstream_left(u);
        return;
    }
    switch (ev) {
    case OUTBOUND_NEED_INPUT:
    case OUTBOUND_CLOSED:
        break;
    case OUTBOUND_START_TLS:
        flush(u);
        upstream_start_tls(u);
        break;
    case OUTBOUND_READY:
        u->on.ready(u->owner);
        break;
    case OUTBOUND_REPLY:
        note_reply(u, what->command);
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
        if (u->attempt.t_greeting < 0)
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
    flush(u);
    upstream_arm(u, false);
}

/* Send what a call of the owner made.  Nothing is read here, so no event comes inside a call; and while
 * the pump runs nothing is sent, so that what the MX said before is never taken for the answer. */
static void push(struct upstream *u)
{
    if (u->pumping || u->dead)
        return;
    flush(u);
    upstream_arm(u, false);
}

static void tell_late(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (!u->late || u->dead || u->finishing)
        return;
    u->late = false;
    if (u->late_event == OUTBOUND_FAILED)
        upstream_tell_failed(u, u->late_stage, u->late_reason, &u->late_reply, u->late_detail);
    else
        u->on.replied(u->owner, u->late_command, 0, &u->late_reply);
}

/* ---- calls of the owner ---- */

/* What a transfer may hold is spread over our buffer, its encrypted form, and the client's side; and
 * over the destinations of the message. */
static size_t write_high(const struct settings *set, size_t parts)
{
    size_t high = (size_t)set->limits.memory_per_transfer / 4 / parts;

    return high > WRITE_HIGH_LEAST ? high : WRITE_HIGH_LEAST;
}

struct upstream *upstream_open(const struct upstream_params *p, const struct upstream_events *on,
                               void *owner)
{
    struct upstream *u = mem_zalloc(sizeof(*u));
    struct stream_params sp = {.read_high = READ_HIGH};
    const struct settings *set;
    mono_ms now = loop_now(p->services->loop);
    int64_t wait;

    u->magic = UPSTREAM_MAGIC;
    u->services = p->services;
    u->snapshot = snapshot_hold(p->dest->snapshot);
    set = snapshot_settings(u->snapshot);
    u->dest = p->dest;
    u->host = &p->dest->hosts[p->target->host];
    u->demand = u->host->demand;
    u->envelope = p->envelope;
    u->on = *on;
    u->owner = owner;
    u->deadline = p->deadline;
    u->opened = now;
    u->write_high = write_high(set, 1);
    sp.write_low = u->write_high / 2;
    reply_init(&u->late_reply);
    attempt_init(&u->attempt);
    u->attempt.envelope = p->envelope;
    u->attempt.dest = p->dest;
    u->attempt.host = u->host;
    u->attempt.addr = p->target->addr;
    u->attempt.tls = &u->tls;
    u->attempt.rung = u->rung = p->rung;
    u->attempt.retest = p->retest;
    u->attempt.downgraded = p->rung == RUNG_CLEAR;
    u->attempt.why_clear = p->why_clear;
    u->attempt.t_dns = p->dns_ms;
    u->lower_left = p->lower_left;
    (void)snprintf(u->attempt.leg_id, sizeof(u->attempt.leg_id), "%s", p->leg_id);
    (void)snprintf(u->attempt.id, sizeof(u->attempt.id), "%s-%u", p->leg_id, p->number);
    u->out = outbound_new(&(struct outbound_params){
        .helo_name = set->helo_name, .demand = &u->demand, .plaintext = p->rung == RUNG_CLEAR});
    u->stream =
        stream_connect(p->services->loop, &p->target->addr, &sp, &upstream_stream_events, u);
    wait = set->timeouts.connect;
    if (u->deadline - now < wait)
        wait = u->deadline > now ? u->deadline - now : 0;
    stream_deadline(u->stream, wait);
    return u;
}

void upstream_mail(struct upstream *u)
{
    struct outbound_what what = {0};
    enum outbound_event ev =
        outbound_mail(u->out, slice_str(u->envelope->sender), &u->envelope->params, &what);

    u->mail_sent = loop_now(u->services->loop);
    if (ev != OUTBOUND_NEED_INPUT) {
        u->late = true;
        u->late_event = ev;
        u->late_command = what.command;
        u->late_stage = what.stage;
        u->late_reason = what.reason;
        (void)snprintf(u->late_detail, sizeof(u->late_detail), "%s",
                       what.detail != NULL ? what.detail : "");
        if (what.reply != NULL)
            reply_copy(&u->late_reply, what.reply);
        loop_defer(u->services->loop, tell_late, u);
        return;
    }
    push(u);
}

void upstream_rcpt(struct upstream *u, struct slice path)
{
    if (u->late)
        return; /* MAIL was not sent (too large, demand not met): its answer is about them all */
    outbound_rcpt(u->out, path);
    push(u);
}

void upstream_share(struct upstream *u, size_t parts)
{
    u->write_high = write_high(snapshot_settings(u->snapshot), parts);
    stream_write_low(u->stream, u->write_high / 2);
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
        flush(u);
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

/* The record is made while everything it lends is still there. */
static void leave(struct upstream *u)
{
    attempt_log(u->services->log, &u->attempt);
    u->envelope = NULL;
    u->dest = NULL;
    u->host = NULL;
}

void upstream_finish(struct upstream **held)
{
    struct upstream *u = *held;
    enum outbound_phase phase;

    if (u == NULL)
        return;
    phase = outbound_phase(u->out);
    if (u->dead || (phase != OUTBOUND_PHASE_READY && phase != OUTBOUND_PHASE_RECIPIENTS)) {
        upstream_close(held);
        return;
    }
    *held = NULL;
    leave(u);
    u->finishing = true;
    u->next = u->services->leaving;
    u->link = &u->services->leaving;
    if (u->next != NULL)
        u->next->link = &u->next;
    u->services->leaving = u;
    outbound_quit(u->out);
    flush(u);
    upstream_arm(u, true);
}

void upstream_close(struct upstream **held)
{
    struct upstream *u = *held;

    *held = NULL;
    if (u == NULL)
        return;
    leave(u);
    u->dead = true;
    u->finishing = true;
    stream_close(&u->stream);
    loop_defer(u->services->loop, upstream_free, u);
}

void upstream_cut_leaving(struct services *sv)
{
    while (sv->leaving != NULL) {
        struct upstream *u = sv->leaving;

        unlink_leaving(u);
        u->dead = true;
        stream_close(&u->stream);
        loop_defer(sv->loop, upstream_free, u);
    }
}
