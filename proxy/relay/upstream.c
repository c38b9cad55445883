/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h. */
#include "proxy/relay/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/stream.h"

#define UPSTREAM_MAGIC 0x75707374u
#define REFERENCE_NAMES_MAX 32
#define READ_HIGH 16384
#define QUIT_WAIT_MS 5000

struct upstream {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot; /* held: timeouts and trust */
    const struct destination *dest;
    const struct destination_host *host;
    const struct envelope *envelope;
    struct stream *stream;
    struct outbound *out;
    struct upstream_events on;
    void *owner;
    struct attempt attempt;
    struct tls_facts tls; /* a shallow copy: the judgement stays with the stream */
    char tls_version[16];
    mono_ms deadline, opened, connected, phase_since, mail_sent, data_sent, end_sent;
    enum outbound_patience armed;
    struct demand demand; /* a copy: the machine outlives the destination while it says QUIT */
    size_t write_high;
    int64_t written, sent_when_armed;
    bool full; /* the owner waits for room */
    bool pumping, again;
    bool dead;      /* failed was told */
    bool finishing; /* QUIT in the background: no owner any more */
    struct upstream *next, **link; /* in services->leaving while finishing */

    /* An event that a call caused; told from the loop. */
    bool late;
    enum outbound_event late_event;
    enum outbound_command late_command;
    struct reply late_reply;
    enum stage late_stage;
    enum reason late_reason;
    char late_detail[320];
};

static void upstream_pump(struct upstream *u);

static const struct settings *settings_of(const struct upstream *u)
{
    return snapshot_settings(u->snapshot);
}

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

/* ---- deadlines ---- */

static int64_t patience_ms(const struct upstream *u, enum outbound_patience p)
{
    const struct settings *set = settings_of(u);

    switch (p) {
    case PATIENCE_GREETING:
        return set->timeouts.greeting;
    case PATIENCE_EHLO:
        return set->timeouts.ehlo;
    case PATIENCE_STARTTLS:
        return set->timeouts.starttls;
    case PATIENCE_HANDSHAKE:
        return set->timeouts.handshake;
    case PATIENCE_BUDGET:
        return set->timeouts.recipient_budget;
    case PATIENCE_DATA:
        return set->timeouts.data;
    case PATIENCE_BLOCK:
        return stream_unsent(u->stream) > 0 ? set->timeouts.block : -1;
    case PATIENCE_FINAL:
        return set->timeouts.final;
    case PATIENCE_QUIT:
        return set->timeouts.quit;
    case PATIENCE_NONE:
        break;
    }
    return -1;
}

/* The opening and the envelope share the recipient's budget; DATA and what follows have their own. */
static bool within_budget(enum outbound_patience p)
{
    return p >= PATIENCE_GREETING && p <= PATIENCE_BUDGET;
}

/* How far the MX has taken what we gave it (TLS framing makes it inexact, which does no harm here). */
static int64_t sent(const struct upstream *u)
{
    return u->written - (int64_t)stream_unsent(u->stream);
}

/* Arm the deadline of the phase we are in, counted from when it was entered: no traffic of the peer
 * moves it (C-OUT-10), only our own progress while we send does. */
static void arm(struct upstream *u, bool fresh)
{
    enum outbound_patience p = outbound_patience(u->out);
    mono_ms now = loop_now(u->services->loop);
    int64_t ms;

    if (p != u->armed || fresh) {
        u->armed = p;
        u->phase_since = now;
        u->sent_when_armed = sent(u);
    }
    ms = patience_ms(u, p);
    if (ms >= 0) {
        ms -= now - u->phase_since;
        if (within_budget(p) && u->deadline - now < ms)
            ms = u->deadline - now;
        if (ms < 0)
            ms = 0;
    }
    stream_deadline(u->stream, ms);
}

/* ---- telling the owner ---- */

static void tell_failed(struct upstream *u, enum stage stage, enum reason reason,
                        const struct reply *reply, const char *detail)
{
    struct upstream_failure f = {stage, reason, reply, detail};

    u->dead = true;
    stream_deadline(u->stream, -1);
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

static int64_t since(const struct upstream *u, mono_ms then)
{
    return loop_now(u->services->loop) - then;
}

static void note_reply(struct upstream *u, enum outbound_command command)
{
    if (command == OUTBOUND_MAIL)
        u->attempt.t_mail = since(u, u->mail_sent);
    else if (command == OUTBOUND_DATA)
        u->attempt.t_data = since(u, u->data_sent);
    else if (command == OUTBOUND_END)
        u->attempt.t_final = since(u, u->end_sent);
}

/* ---- the handshake ---- */

static void start_tls(struct upstream *u)
{
    const struct demand *d = &u->host->demand;
    struct slice names[REFERENCE_NAMES_MAX];
    struct buf scratch;
    struct tls_request req = {
        .sni = u->dest->is_literal ? NULL : u->host->name,
        .min_version = d->min_version,
        .trust = snapshot_trust(u->snapshot, d->override),
        .names = names,
        .level = d->level,
        .min_rsa_bits = settings_of(u)->tls.min_rsa_bits,
    };
    struct addr ignored;

    if (addr_parse(slice_str(u->host->name), &ignored))
        req.sni = NULL; /* C-TLS-07: a route to an address has no name to send */
    buf_init(&scratch, 16384);
    req.name_count = demand_names(d, slice_str(u->host->name), slice_str(u->dest->nexthop),
                                  &scratch, names, REFERENCE_NAMES_MAX);
    if (d->override != NULL) {
        req.fingerprints = d->override->fingerprints;
        req.fingerprint_count = d->override->fingerprint_count;
    }
    u->attempt.handshake = true;
    stream_start_tls(u->stream, snapshot_tls(u->snapshot), &req);
    buf_clear(&scratch);
}

static void on_tls_done(void *owner, const struct tls_facts *facts)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->finishing)
        return;
    u->tls = *facts;
    u->attempt.t_tls = since(u, u->phase_since);
    if (facts->reason != REASON_OK) {
        enum stage stage = reason_is_certificate(facts->reason) ? STAGE_CERT : STAGE_HANDSHAKE;

        tell_failed(u, stage, facts->reason, NULL, facts->detail);
        return;
    }
    outbound_tls_up(u->out, &facts->reached);
    upstream_pump(u);
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

static void finish_now(struct upstream *u)
{
    unlink_leaving(u);
    stream_finish(&u->stream, QUIT_WAIT_MS);
    loop_defer(u->services->loop, upstream_free, u);
}

static void take_event(struct upstream *u, enum outbound_event ev, const struct outbound_what *what)
{
    if (u->finishing) {
        /* Whatever it says to QUIT, the mail is done. */
        if (ev == OUTBOUND_CLOSED || ev == OUTBOUND_FAILED)
            finish_now(u);
        return;
    }
    switch (ev) {
    case OUTBOUND_NEED_INPUT:
    case OUTBOUND_CLOSED:
        break;
    case OUTBOUND_START_TLS:
        flush(u);
        start_tls(u);
        break;
    case OUTBOUND_READY:
        u->on.ready(u->owner);
        break;
    case OUTBOUND_REPLY:
        note_reply(u, what->command);
        u->on.replied(u->owner, what->command, what->index, what->reply);
        break;
    case OUTBOUND_FAILED:
        tell_failed(u, what->stage, what->reason, what->reply, what->detail);
        break;
    }
}

/* After every event: feed what is there, send what came of it, arm the right deadline.  The owner may
 * call us from its handlers; then the running pump goes round once more. */
static void upstream_pump(struct upstream *u)
{
    if (u->pumping) {
        u->again = true;
        return;
    }
    u->pumping = true;
    do {
        u->again = false;
        while (!u->dead && u->stream != NULL && outbound_phase(u->out) != OUTBOUND_PHASE_HANDSHAKE) {
            struct slice in = stream_peek(u->stream);
            struct outbound_what what = {0};
            enum outbound_event ev;
            size_t used = 0;

            if (in.n == 0)
                break;
            if (u->attempt.t_greeting < 0)
                u->attempt.t_greeting = since(u, u->connected);
            ev = outbound_feed(u->out, in.p, in.n, &used, &what);
            stream_consume(u->stream, used);
            take_event(u, ev, &what);
            if (ev == OUTBOUND_NEED_INPUT && used == 0)
                break;
        }
    } while (u->again && !u->dead);
    u->pumping = false;
    if (u->dead || u->stream == NULL)
        return;
    flush(u);
    arm(u, false);
}

static void tell_late(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (!u->late || u->dead || u->finishing)
        return;
    u->late = false;
    if (u->late_event == OUTBOUND_FAILED)
        tell_failed(u, u->late_stage, u->late_reason, &u->late_reply, u->late_detail);
    else
        u->on.replied(u->owner, u->late_command, 0, &u->late_reply);
}

/* ---- stream events ---- */

static void on_connected(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    u->connected = loop_now(u->services->loop);
    u->attempt.t_connect = u->connected - u->opened;
    u->attempt.smtp = outbound_facts(u->out);
    if (u->attempt.addr.family == ADDR_IP6)
        services_ip6_worked(u->services);
    arm(u, true);
}

static void on_connect_failed(void *owner, enum reason why, const char *detail)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->finishing)
        return;
    if (u->attempt.addr.family == ADDR_IP6 && why == REASON_CONNECT_UNREACHABLE)
        services_ip6_failed(u->services);
    tell_failed(u, STAGE_CONNECT, why, NULL, detail);
}

static void on_readable(void *owner)
{
    upstream_pump(OBJ_CAST(upstream, UPSTREAM_MAGIC, owner));
}

static void on_drained(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->finishing)
        return;
    arm(u, true);
    if (u->full && upstream_has_room(u)) {
        u->full = false;
        u->on.room(u->owner);
    }
}

static void on_ended(void *owner, enum stream_end how, const char *detail)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);
    struct outbound_what what = {0};

    (void)how;
    if (u->finishing) {
        finish_now(u);
        return;
    }
    upstream_pump(u);
    if (u->dead || u->finishing)
        return;
    take_event(u, outbound_lost(u->out, detail, &what), &what);
}

static void on_deadline(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);
    struct outbound_what what = {0};

    if (u->finishing) {
        finish_now(u);
        return;
    }
    if (u->dead)
        return;
    if (u->connected == 0) {
        if (u->attempt.addr.family == ADDR_IP6)
            services_ip6_failed(u->services);
        tell_failed(u, STAGE_CONNECT, REASON_CONNECT_TIMEOUT, NULL, "no answer to the connection");
        return;
    }
    if (u->armed == PATIENCE_BLOCK && sent(u) > u->sent_when_armed) {
        arm(u, true); /* slow, but it takes bytes */
        return;
    }
    if (outbound_phase(u->out) == OUTBOUND_PHASE_HANDSHAKE) {
        tell_failed(u, STAGE_HANDSHAKE, REASON_TLS_STALLED, NULL,
                    "no progress within the time for a handshake");
        return;
    }
    take_event(u, outbound_timeout(u->out, &what), &what);
}

static const struct stream_events stream_events = {
    .connected = on_connected,
    .connect_failed = on_connect_failed,
    .readable = on_readable,
    .drained = on_drained,
    .tls_done = on_tls_done,
    .ended = on_ended,
    .deadline = on_deadline,
};

/* ---- calls of the owner ---- */

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
    set = settings_of(u);
    u->dest = p->dest;
    u->host = &p->dest->hosts[p->target->host];
    u->demand = u->host->demand;
    u->envelope = p->envelope;
    u->on = *on;
    u->owner = owner;
    u->deadline = p->deadline;
    u->opened = now;
    /* What a transfer may hold is spread over our buffer, its encrypted form, and the client's side. */
    u->write_high = (size_t)set->limits.memory_per_transfer / 4;
    sp.write_low = u->write_high / 2;
    reply_init(&u->late_reply);
    attempt_init(&u->attempt);
    u->attempt.envelope = p->envelope;
    u->attempt.dest = p->dest;
    u->attempt.host = u->host;
    u->attempt.addr = p->target->addr;
    u->attempt.tls = &u->tls;
    u->attempt.downgraded = p->plaintext;
    (void)snprintf(u->attempt.leg_id, sizeof(u->attempt.leg_id), "%s", p->leg_id);
    (void)snprintf(u->attempt.id, sizeof(u->attempt.id), "%s-%u", p->leg_id, p->number);
    u->out = outbound_new(&(struct outbound_params){
        .helo_name = set->helo_name, .demand = &u->demand, .plaintext = p->plaintext});
    u->stream = stream_connect(p->services->loop, &p->target->addr, &sp, &stream_events, u);
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
    upstream_pump(u);
}

void upstream_rcpt(struct upstream *u, struct slice path)
{
    outbound_rcpt(u->out, path);
    upstream_pump(u);
}

void upstream_data(struct upstream *u)
{
    u->data_sent = loop_now(u->services->loop);
    outbound_data(u->out);
    upstream_pump(u);
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
    if (u->dead)
        return;
    arm(u, idle); /* nothing waited: the patience for this block begins now */
    if (!upstream_has_room(u))
        u->full = true;
}

void upstream_end(struct upstream *u)
{
    u->end_sent = loop_now(u->services->loop);
    outbound_end(u->out);
    upstream_pump(u);
}

bool upstream_has_room(const struct upstream *u)
{
    return stream_unsent(u->stream) < u->write_high;
}

void upstream_budget(struct upstream *u, mono_ms deadline)
{
    u->deadline = deadline;
    if (u->connected != 0 && !u->dead)
        arm(u, false);
}

struct attempt *upstream_attempt(struct upstream *u)
{
    return &u->attempt;
}

const char *upstream_tls_name(const struct upstream *u)
{
    return stream_is_tls(u->stream) && u->tls.version != NULL ? u->tls.version : "clear";
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
    arm(u, true);
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
