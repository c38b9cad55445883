/* SPDX-License-Identifier: Apache-2.0 */
/* See upstream.h and upstream_internal.h: how a connection is made, taken from the pool, and left. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/upstream_internal.h"

#define READ_HIGH 16384
#define WRITE_HIGH_LEAST 4096
#define QUIT_WAIT_MS 5000
/* An MX counts what it refused on a connection, slows down and hangs up (Postfix: 10 and 20): the next mail is
 * another sender's, who has nothing to do with it. */
#define REFUSALS_MAX 5

static const struct tls_facts no_tls = {.version = "", .cipher = "", .group = "", .signature = ""};

static const struct settings *settings_of(const struct upstream *u)
{
    return snapshot_settings(u->snapshot);
}

/* ---- the end ---- */

static void upstream_free(void *owner)
{
    struct upstream *u = OBJ_CAST(upstream, UPSTREAM_MAGIC, owner);

    LIST_REMOVE(u, all);
    outbound_free(&u->out);
    attempt_clear(&u->attempt);
    reply_clear(&u->late_reply);
    free(u->late_detail);
    snapshot_drop(&u->snapshot);
    u->magic = 0;
    free(u);
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

static void link_leaving(struct upstream *u)
{
    unlink_leaving(u);
    u->next = u->services->leaving;
    u->link = &u->services->leaving;
    if (u->next != NULL)
        u->next->link = &u->next;
    u->services->leaving = u;
}

static void end(struct upstream *u)
{
    unlink_leaving(u);
    pool_left(u->services->pool, &u->place);
    u->state = UPSTREAM_GONE;
    u->dead = true;
    loop_defer(u->services->loop, upstream_free, u);
}

void upstream_left(struct upstream *u)
{
    stream_finish(&u->stream, QUIT_WAIT_MS);
    end(u);
}

static void cut(struct upstream *u)
{
    stream_close(&u->stream);
    end(u);
}

static void say_quit(struct upstream *u)
{
    pool_left(u->services->pool,
              &u->place); /* the MX gets QUIT before any other connection's SYN */
    u->state = UPSTREAM_LEAVING;
    link_leaving(u);
    outbound_quit(u->out);
    upstream_flush(u);
    upstream_arm(u, true);
}

/* ---- from mail to mail (C-OUT-08) ---- */

static struct upstream *upstream_of(struct pool_entry *e)
{
    return OBJ_CAST(upstream, UPSTREAM_MAGIC, (char *)e - offsetof(struct upstream, place));
}

void upstream_leave_pool(struct pool_entry *e)
{
    struct upstream *u = upstream_of(e);
    enum outbound_phase phase = outbound_phase(u->out);

    if (phase == OUTBOUND_PHASE_READY || phase == OUTBOUND_PHASE_RESET)
        say_quit(u);
    else
        upstream_left(
            u); /* behind an unanswered DATA a QUIT could be read as a line of a message */
}

/* The MX still owes replies: it is nobody's yet, but no mail has to wait where it would make room. */
static void wait_for_replies(struct upstream *u)
{
    struct pool_key key = u->key;

    key.kind = POOL_RESETTING;
    (void)pool_put(u->services->pool, &u->place, &key, u->connected + settings_of(u)->pool.max_age);
}

static void wait_for_mail(struct upstream *u)
{
    unlink_leaving(u);
    u->state = UPSTREAM_WAITING;
    stream_deadline(u->stream, -1); /* the pool has the clock */
    pool_take(u->services->pool, &u->place);
    if (!pool_put(u->services->pool, &u->place, &u->key,
                  u->connected + settings_of(u)->pool.max_age))
        say_quit(u);
}

static void say_reset(struct upstream *u)
{
    u->state = UPSTREAM_RESETTING;
    link_leaving(u);
    outbound_reset(u->out);
    upstream_flush(u);
    upstream_arm(u, true);
    pool_take(u->services->pool, &u->place);
    wait_for_replies(u);
}

/* Could the next mail use it?  One that was left with a doubt about TLS could not. */
static bool is_reusable(const struct upstream *u)
{
    const struct settings *set = settings_of(u);
    mono_ms now = loop_now(u->services->loop);

    return set->pool.idle_time > 0 && u->refusals < REFUSALS_MAX &&
           u->mails < (unsigned)set->pool.messages && u->connected + set->pool.max_age > now &&
           u->attempt.reason != REASON_TLS_REQUIRED_BY_MX && stream_unsent(u->stream) == 0 &&
           stream_unread(u->stream) == 0;
}

void upstream_rested(struct upstream *u)
{
    enum outbound_phase phase = outbound_phase(u->out);

    if (u->state != UPSTREAM_RESETTING ||
        (phase != OUTBOUND_PHASE_READY && phase != OUTBOUND_PHASE_RECIPIENTS))
        return;
    if (!is_reusable(u))
        say_quit(u);
    else if (phase == OUTBOUND_PHASE_RECIPIENTS)
        say_reset(u);
    else
        wait_for_mail(u);
}

/* The key under which it waits; level none never asked for STARTTLS, and whoever owes it must not find it. */
static enum pool_kind kind_of(const struct upstream *u)
{
    if (u->tls->reached.tls)
        return POOL_TLS;
    if (u->rung == RUNG_CLEAR)
        return POOL_DOWNGRADED;
    return u->demand.level == LEVEL_MAY ? POOL_NO_STARTTLS : POOL_NO_TLS;
}

/* The record is made while everything it lends is still there. */
static void end_mail(struct upstream *u)
{
    attempt_log(u->services->log, &u->attempt);
    u->envelope = NULL;
    u->dest = NULL;
    u->host = NULL;
    u->owner = NULL;
}

/* Replies are under way that are about nothing any more: MAIL was refused with the recipients behind it, or
 * all of these with DATA behind them. */
static bool is_settling(const struct upstream *u, enum outbound_phase phase)
{
    return phase == OUTBOUND_PHASE_REFUSED || (phase == OUTBOUND_PHASE_DATA && !u->accepted);
}

void upstream_finish(struct upstream **held)
{
    struct upstream *u = *held;
    enum outbound_phase phase;

    if (u == NULL)
        return;
    phase = outbound_phase(u->out);
    if (u->dead || (phase != OUTBOUND_PHASE_READY && phase != OUTBOUND_PHASE_RECIPIENTS &&
                    !is_settling(u, phase))) {
        upstream_close(held);
        return;
    }
    *held = NULL;
    end_mail(u);
    u->key.kind = kind_of(u);
    u->state = UPSTREAM_RESETTING;
    if (is_settling(u, phase)) {
        link_leaving(u);
        upstream_arm(u, true);
        wait_for_replies(u);
    } else {
        upstream_rested(u);
    }
}

void upstream_close(struct upstream **held)
{
    struct upstream *u = *held;

    *held = NULL;
    if (u == NULL)
        return;
    end_mail(u);
    cut(u);
}

void upstream_discard(struct upstream **held)
{
    struct upstream *u = *held;

    *held = NULL;
    pool_died(u->services->pool, &u->place, u->attempt.reason == REASON_TIMEOUT);
    u->owner = NULL;
    cut(u);
}

size_t upstreams_memory(const struct services *sv)
{
    const struct upstream *u;
    size_t n = 0;

    LIST_FOREACH(u, &sv->upstreams, all)
    {
        n += sizeof(*u) + outbound_memory(u->out) + u->attempt.reply.text.size;
        if (u->stream != NULL)
            n += stream_footprint(u->stream);
    }
    return n;
}

void upstream_cut_leaving(struct services *sv)
{
    while (sv->leaving != NULL)
        cut(sv->leaving);
}

/* ---- the begin ---- */

/* What a transfer may hold is spread over our buffer, its encrypted form, and the client's side; and
 * over the destinations of the message. */
static size_t write_high(const struct settings *set, size_t parts)
{
    size_t high = (size_t)set->limits.memory_per_transfer / 4 / parts;

    return high > WRITE_HIGH_LEAST ? high : WRITE_HIGH_LEAST;
}

void upstream_share(struct upstream *u, size_t parts)
{
    size_t high = write_high(settings_of(u), parts);

    if (high == u->write_high)
        return;
    u->write_high = high;
    stream_write_low(u->stream, high / 2);
}

static void begin_mail(struct upstream *u, const struct upstream_params *p,
                       const struct upstream_events *on, void *owner)
{
    struct attempt *a = &u->attempt;

    u->state = UPSTREAM_USED;
    u->dest = p->dest;
    u->host = &p->dest->hosts[p->target->host];
    u->demand = u->host->demand;
    u->envelope = p->envelope;
    u->on = *on;
    u->owner = owner;
    u->deadline = p->deadline;
    u->lower_left = p->lower_left;
    u->heard = u->accepted = false;
    attempt_init(a);
    a->envelope = p->envelope;
    a->dest = p->dest;
    a->host = u->host;
    a->addr = p->target->addr;
    a->tls = u->tls;
    a->rung = u->rung;
    a->retest = p->retest;
    a->downgraded = u->rung == RUNG_CLEAR;
    a->why_clear = p->why_clear;
    a->t_dns = p->dns_ms;
    (void)snprintf(a->leg_id, sizeof(a->leg_id), "%s", p->leg_id);
    (void)snprintf(a->id, sizeof(a->id), "%s-%u", p->leg_id, p->number);
}

static void connect_to(struct upstream *u, const struct upstream_params *p)
{
    struct stream_params sp = {.read_high = READ_HIGH, .write_low = u->write_high / 2};
    int64_t wait = settings_of(u)->timeouts.connect, left = u->deadline - u->opened;

    u->stream =
        stream_connect(p->services->loop, &p->target->addr, &sp, &upstream_stream_events, u);
    if (left < wait)
        wait = left > 0 ? left : 0;
    stream_deadline(u->stream, wait);
}

struct upstream *upstream_open(const struct upstream_params *p, const struct upstream_events *on,
                               void *owner)
{
    struct upstream *u = mem_zalloc(sizeof(*u));
    const char *which = "";

    u->magic = UPSTREAM_MAGIC;
    u->services = p->services;
    u->snapshot = snapshot_hold(p->dest->snapshot);
    u->opened = loop_now(p->services->loop);
    u->write_high = write_high(settings_of(u), 1);
    u->rung = p->rung;
    u->tls = &no_tls;
    LIST_INSERT_HEAD(&u->services->upstreams, u, all);
    reply_init(&u->late_reply);
    begin_mail(u, p, on, owner);
    (void)snprintf(u->opener, sizeof(u->opener), "%s", u->attempt.id);
    u->key.addr = p->target->addr;
    memcpy(u->key.digest, u->host->digest, sizeof(u->key.digest));
    u->out = outbound_new(&(struct outbound_params){.helo_name = settings_of(u)->helo_name,
                                                    .demand = &u->demand,
                                                    .plaintext = p->rung == RUNG_CLEAR});
    if (pool_admit(p->services->pool, &u->place, &p->target->addr, &which)) {
        connect_to(u, p);
    } else {
        (void)snprintf(u->attempt.detail, sizeof(u->attempt.detail), "%s", which);
        upstream_tell_later(u, LATE_FULL);
    }
    return u;
}

/* What this demand may find waiting. */
static enum pool_kind kind_wanted(const struct upstream_params *p, const struct demand *d)
{
    if (p->rung == RUNG_CLEAR)
        return POOL_DOWNGRADED;
    return d->level == LEVEL_NONE && (d->needs & NEED_TLS) == 0 ? POOL_NO_TLS : POOL_TLS;
}

static struct upstream *find_waiting(const struct upstream_params *p,
                                     const struct destination_host *h)
{
    struct pool_key key = {.addr = p->target->addr, .kind = kind_wanted(p, &h->demand)};
    struct pool_entry *e;

    memcpy(key.digest, h->digest, sizeof(key.digest));
    e = pool_find(p->services->pool, &key);
    if (e == NULL && key.kind == POOL_TLS && h->demand.level == LEVEL_MAY) {
        key.kind = POOL_NO_STARTTLS;
        e = pool_find(p->services->pool, &key);
    }
    return e != NULL ? upstream_of(e) : NULL;
}

/* One of the certificates shown has ended since: a new handshake tells what is to be thought of the host now,
 * as for a resumption (C-TLS-08). */
static bool has_expired(const struct upstream *u)
{
    const struct judgement *j = &u->tls->judgement;
    wall_ms now = loop_wall();

    for (size_t i = 0; i < j->fact_count; i++) {
        wall_ms end = j->facts[i].not_after + 1000; /* whole seconds: the last one is inside */

        if (u->shaken < end && end <= now)
            return true;
    }
    return false;
}

/* As outbound_mail() will judge: what the handshake and the EHLO inside it gave, by this demand's measure. */
static bool is_enough(struct upstream *u, const struct demand *d)
{
    struct tls_reached got = u->tls->reached;

    if (has_expired(u))
        return false;
    got.requiretls = got.tls && outbound_facts(u->out)->ehlo.requiretls;
    return demand_met(d, &got);
}

struct upstream *upstream_take(const struct upstream_params *p, const struct upstream_events *on,
                               void *owner)
{
    struct upstream *u = find_waiting(p, &p->dest->hosts[p->target->host]);

    /* The half-open try of policy/ladder is about the handshake. */
    if (u == NULL || p->retest || !is_enough(u, &p->dest->hosts[p->target->host].demand))
        return NULL;
    pool_take(p->services->pool, &u->place);
    pool_count_reuse(p->services->pool);
    if (u->snapshot != p->dest->snapshot) {
        snapshot_drop(&u->snapshot);
        u->snapshot = snapshot_hold(p->dest->snapshot);
    }
    attempt_clear(&u->attempt);
    begin_mail(u, p, on, owner);
    upstream_share(u, 1);
    u->attempt.reused = true;
    u->attempt.opener = u->opener;
    u->attempt.mail = u->mails + 1;
    u->attempt.handshake = u->tls->reached.tls;
    u->attempt.smtp = outbound_facts(u->out);
    INVARIANT(outbound_renew(u->out, &u->demand, &u->tls->reached));
    upstream_tell_later(u, LATE_READY);
    return u;
}
