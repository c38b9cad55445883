/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h and upstream_internal.h: what the connection does to us, and the time. */
#include <stdio.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/relay/host_request.h"
#include "proxy/relay/upstream_internal.h"

/* A warm connection that is silent has died unnoticed, more likely than not: a fresh one is tried sooner. */
#define STALE_MS (10 * 1000)

static const struct settings *settings_of(const struct upstream *u)
{
    return snapshot_settings(u->snapshot);
}

int64_t upstream_since(const struct upstream *u, mono_ms then)
{
    return loop_now(u->services->loop) - then;
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
    case PATIENCE_HANDSHAKE: /* C-TLS-06: a stall is a failure, and the lower rungs want their time */
        return u->lower_left && set->timeouts.rung < set->timeouts.handshake
                   ? set->timeouts.rung
                   : set->timeouts.handshake;
    case PATIENCE_DATA:
        return set->timeouts.data;
    case PATIENCE_BLOCK:
        return stream_unsent(u->stream) > 0 ? set->timeouts.block : -1;
    case PATIENCE_FINAL:
        return set->timeouts.final;
    case PATIENCE_QUIT:
        return set->timeouts.quit;
    case PATIENCE_BUDGET: /* u->deadline */
    case PATIENCE_NONE:
        break;
    }
    return -1;
}

/* The opening and the envelope share the recipient's budget; DATA and what follows have their own.
 */
static bool within_budget(enum outbound_patience p)
{
    return p >= PATIENCE_GREETING && p <= PATIENCE_BUDGET;
}

/* How far the MX has taken what we gave it (TLS framing makes it inexact, which does no harm here).
 */
static int64_t sent(const struct upstream *u)
{
    return u->written - (int64_t)stream_unsent(u->stream);
}

static int64_t stale_after(const struct upstream *u)
{
    int64_t greeting = settings_of(u)->timeouts.greeting;

    return greeting < STALE_MS ? greeting : STALE_MS;
}

void upstream_arm(struct upstream *u, bool fresh)
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
    if (p == PATIENCE_BUDGET) { /* that of the recipient who waits longest, and of nobody else */
        ms = u->deadline > now ? u->deadline - now : 0;
        if (upstream_is_stale(u) && ms > stale_after(u))
            ms = u->mail_sent + stale_after(u) > now ? u->mail_sent + stale_after(u) - now : 0;
    } else if (ms >= 0) {
        ms -= now - u->phase_since;
        if (within_budget(p) && u->deadline - now < ms)
            ms = u->deadline - now;
        if (ms < 0)
            ms = 0;
    }
    stream_deadline(u->stream, ms);
}

/* ---- the handshake ---- */

void upstream_start_tls(struct upstream *u)
{
    struct host_request r;

    host_request_make(&r, u->dest, u->host);
    r.tls.rung = u->rung;
    r.tls.sessions = u->services->tls_sessions;
    r.tls.place = u->attempt.addr;
    u->attempt.handshake = true;
    stream_start_tls(u->stream, snapshot_tls(u->snapshot), &r.tls);
    host_request_clear(&r);
}

static void on_tls_done(void *owner, const struct tls_facts *facts)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->state != UPSTREAM_USED)
        return;
    u->tls = u->attempt.tls = facts;
    u->attempt.t_tls = upstream_since(u, u->phase_since);
    u->shaken = loop_wall();
    if (facts->reason != REASON_OK) {
        enum stage stage = reason_is_certificate(facts->reason) ? STAGE_CERT : STAGE_HANDSHAKE;

        upstream_tell_failed(u, stage, facts->reason, NULL, facts->detail);
        return;
    }
    outbound_tls_up(u->out, &facts->reached);
    upstream_pump(u);
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
    upstream_arm(u, true);
}

static void on_connect_failed(void *owner, enum reason why, const char *detail)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->state != UPSTREAM_USED)
        return;
    if (u->attempt.addr.family == ADDR_IP6 && why == REASON_CONNECT_UNREACHABLE)
        services_ip6_failed(u->services);
    upstream_tell_failed(u, STAGE_CONNECT, why, NULL, detail);
}

static void on_readable(void *owner)
{
    upstream_pump(OBJ_CAST(upstream, UPSTREAM_MAGIC, owner));
}

static void on_drained(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    if (u->dead || u->state != UPSTREAM_USED)
        return;
    upstream_arm(u, true);
    if (upstream_has_room(u))
        u->on.room(u->owner);
}

static void on_ended(void *owner, enum stream_end how, const char *detail)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);
    struct outbound_what what = {0};

    if (u->state != UPSTREAM_USED) {
        upstream_left(u);
        return;
    }
    upstream_pump(u);
    if (u->dead || u->state != UPSTREAM_USED)
        return;
    if (how == STREAM_TLS_ERROR && outbound_phase(u->out) == OUTBOUND_PHASE_EHLO_TLS) {
        /* TLS 1.3: the MX judges our side of the handshake only after we think it done. */
        upstream_tell_failed(u, STAGE_HANDSHAKE, stream_end_reason(u->stream), NULL, detail);
        return;
    }
    upstream_take_event(u, outbound_lost(u->out, detail, &what), &what);
}

static void on_deadline(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);
    struct outbound_what what = {0};

    if (u->state != UPSTREAM_USED) {
        upstream_left(u);
        return;
    }
    if (u->dead)
        return;
    if (u->connected == 0) {
        if (u->attempt.addr.family == ADDR_IP6)
            services_ip6_failed(u->services);
        upstream_tell_failed(u, STAGE_CONNECT, REASON_CONNECT_TIMEOUT, NULL,
                             "no answer to the connection");
        return;
    }
    if (u->armed == PATIENCE_BLOCK && sent(u) > u->sent_when_armed) {
        upstream_arm(u, true); /* slow, but it takes bytes */
        return;
    }
    if (outbound_phase(u->out) == OUTBOUND_PHASE_HANDSHAKE) {
        upstream_tell_failed(u, STAGE_HANDSHAKE, REASON_TLS_STALLED, NULL,
                             "no progress within the time for a handshake");
        return;
    }
    upstream_take_event(u, outbound_timeout(u->out, &what), &what);
}

const struct stream_events upstream_stream_events = {
    .connected = on_connected,
    .connect_failed = on_connect_failed,
    .readable = on_readable,
    .drained = on_drained,
    .tls_done = on_tls_done,
    .ended = on_ended,
    .deadline = on_deadline,
};
