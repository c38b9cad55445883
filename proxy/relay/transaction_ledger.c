/* SPDX-License-Identifier: Apache-2.0 */
/* See transaction.h: what the ledger says of a recipient, and what it is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/transaction_internal.h"

/* The store gives up on a disk long before; this is for one that hangs. */
#define DISK_PATIENCE_MS 10000
/* Messages without Received, Date and Message-ID are no MTA's: the same bytes may be another one. */
#define PLAIN_RETRY_MS (15 * 60 * 1000LL)

/* ---- when a recipient is named ---- */

/* Was another recipient of the entry's group named in this transaction, before this one? */
static bool group_named(const struct transaction *t, size_t index, const struct ledger_entry *e)
{
    for (size_t i = 0; i < index; i++) {
        const struct ledger_view *known = t->recipients[i].known;

        for (size_t k = 0; known != NULL && k < known->count; k++)
            if (strcmp(known->entries[k].transaction, e->transaction) == 0 &&
                strcmp(known->entries[k].recipient, e->recipient) != 0)
                return true;
    }
    return false;
}

/* The recorded refusal is the answer to RCPT. */
static void tell_before(struct transaction *t, struct recipient *r, const struct ledger_entry *e)
{
    struct reply reply;
    struct leg_answer a = {&reply, REASON_REFUSED_BEFORE, e->mx, e->address, "", "", REASON_OK};

    reply_init(&reply);
    reply_set(&reply, e->code, NULL, slice_str(e->reply));
    if (!e->reply_is_ours)
        reply.origin = REPLY_FROM_MX;
    transaction_keep_answer(t, r, &a);
    r->before = e;
    reply_clear(&reply);
}

/* Once: the next time it goes. */
static void stood_back(struct transaction *t, const struct recipient *r)
{
    for (size_t i = 0; i < r->known->count; i++)
        if (r->known->entries[i].outcome == LEDGER_DEFERRED_AGAIN)
            ledger_remove(t->services->ledger, &r->known->entries[i]);
}

enum retry_step transaction_recall(struct transaction *t, size_t index)
{
    struct recipient *r = &t->recipients[index];
    struct slice sender = slice_str(t->envelope.sender), path = slice_str(r->path);
    struct retry_candidate *candidates;
    wall_ms now = loop_wall();
    enum retry_step step;
    size_t which = 0;

    if (!ledger_knows(t->services->ledger, sender, path, now))
        return RETRY_SEND;
    r->known = ledger_find(t->services->ledger, sender, path, now);
    if (r->known == NULL)
        return RETRY_SEND;
    candidates = mem_array(r->known->count + 1, sizeof(*candidates));
    for (size_t i = 0; i < r->known->count; i++) {
        const struct ledger_entry *e = &r->known->entries[i];

        candidates[i].outcome = e->outcome;
        candidates[i].likeness = retry_compare(&e->signs, &t->signs, false);
        /* A look at all recipients before it: only where it may tell something. */
        if (candidates[i].likeness == RETRY_UNKNOWN && group_named(t, index, e))
            candidates[i].likeness = retry_compare(&e->signs, &t->signs, true);
    }
    step = retry_decide(candidates, r->known->count, t->settings->ledger.refusals,
                        transaction_hears_each(t), &which);
    free(candidates);
    if (step == RETRY_STAND_BACK)
        stood_back(t, r);
    if (step == RETRY_TELL)
        tell_before(t, r, &r->known->entries[which]);
    return step;
}

bool transaction_was_delivered(const struct recipient *r)
{
    for (size_t i = 0; r->known != NULL && i < r->known->count; i++)
        if (r->known->entries[i].outcome == LEDGER_DELIVERED)
            return true;
    return false;
}

/* Recipients share a held leg only where the same messages were delivered to them: then all of them
 * have this one, or none has.  The sum does not depend on the order. */
uint64_t transaction_held_for(const struct recipient *r)
{
    uint64_t sum = 0, part;

    for (size_t i = 0; r->known != NULL && i < r->known->count; i++) {
        if (r->known->entries[i].outcome != LEDGER_DELIVERED)
            continue;
        memcpy(&part, r->known->entries[i].digest, sizeof(part));
        sum += part;
    }
    return sum;
}

/* ---- the digest ---- */

static bool has_history(const struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->recipients[i].known != NULL)
            return true;
    return false;
}

static size_t results_due(const struct transaction *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->leg_count; i++)
        n += t->legs[i]->taken > 0 ? 1 : 0;
    return n;
}

void transaction_begin_digest(struct transaction *t)
{
    t->digest_left = UINT64_MAX;
    if (results_due(t) <= 1 && !has_history(t))
        t->digest_left = (uint64_t)t->settings->ledger.digest_single;
    if (t->digest_left > 0)
        t->digest = digest_new();
}

void transaction_feed_digest(struct transaction *t, struct slice content)
{
    if (t->digest == NULL)
        return;
    if (content.n > t->digest_left) {
        digest_free(&t->digest); /* of part of a message it says nothing */
        return;
    }
    t->digest_left -= t->digest_left != UINT64_MAX ? content.n : 0;
    digest_feed(t->digest, content);
}

/* ---- when the message is whole ---- */

static const struct ledger_entry *delivered_before(const struct transaction *t,
                                                   const struct recipient *r)
{
    for (size_t i = 0; r->known != NULL && i < r->known->count; i++) {
        const struct ledger_entry *e = &r->known->entries[i];

        if (e->outcome != LEDGER_DELIVERED || memcmp(e->digest, t->hash, sizeof(t->hash)) != 0)
            continue;
        /* A script that never reads its answers sends the same alarm each night, and no retry; one
         * that does retry comes back soon. */
        if (!e->untold || (t->header != NULL && t->header->unique) ||
            loop_wall() - e->at < PLAIN_RETRY_MS)
            return e;
    }
    return NULL;
}

static void settle_as_delivered(struct transaction *t, struct recipient *r,
                                const struct ledger_entry *e)
{
    struct reply reply;
    struct leg_answer a = {&reply,   REASON_ALREADY_DELIVERED, e->mx, e->address, r->tls, r->demand,
                           REASON_OK};

    reply_init(&reply);
    reply_set(&reply, e->code, NULL, slice_str(e->reply));
    if (!e->reply_is_ours)
        reply.origin = REPLY_FROM_MX;
    transaction_keep_answer(t, r, &a);
    reply_clear(&reply);
    r->before = e;
    r->delivered = e->at;
    r->refused_by_leg = false;
    r->done = true;
}

/* A refusal that was told at RCPT was another message's: nobody can take it back, but it is said. */
static void warn_of_mistake(struct transaction *t, const struct recipient *r)
{
    struct record *rec = record_new("ledger", RECORD_WARNING, loop_wall());

    record_cstr(rec, "state", "mistaken");
    record_cstr(rec, "session", t->envelope.session_id);
    record_cstr(rec, "transaction", t->envelope.transaction_id);
    if (t->envelope.queue_id[0] != '\0')
        record_cstr(rec, "queue_id", t->envelope.queue_id);
    record_cstr(rec, "recipient_domain", r->domain);
    record_strf(rec, "detail",
                "the refusal that was told belongs to another message, of transaction %s",
                r->before->transaction);
    record_cstr(
        rec, "hint",
        "Set ledger.refusals = \"queue-id\", or let the client say its queue ids (XFORWARD).");
    log_record(t->services->log, rec);
}

void transaction_compare(struct transaction *t)
{
    if (t->digest == NULL)
        return;
    digest_finish(t->digest, t->hash);
    t->hashed = true;
    for (size_t i = 0; i < t->count && !t->freed; i++) {
        struct recipient *r = &t->recipients[i];
        const struct ledger_entry *e;

        if (r->before != NULL && memcmp(r->before->digest, t->hash, sizeof(t->hash)) != 0)
            warn_of_mistake(t, r);
        if (!r->accepted || r->leg == NO_LEG || !t->legs[r->leg]->held)
            continue;
        e = delivered_before(t, r);
        if (e != NULL) {
            struct transaction_leg *tl = t->legs[r->leg];

            settle_as_delivered(t, r, e);
            leg_abandon(tl->leg, REASON_ALREADY_DELIVERED); /* no dot: the MX drops it */
            tl->carries = false;
        } else if (r->refused_by_leg) {
            r->done = true;
        }
    }
}

/* ---- writing ---- */

static enum ledger_outcome outcome_of(const struct recipient *r)
{
    if (r->reply.code >= 200 && r->reply.code < 300)
        return LEDGER_DELIVERED;
    return r->reply.code >= 500 ? LEDGER_REFUSED : LEDGER_DEFERRED;
}

/* The retry of this very message found the MX no better, or kept somebody waiting: the next time it is
 * the turn of the others. */
static bool must_stand_back(const struct transaction *t, const struct recipient *r)
{
    for (size_t i = 0; r->known != NULL && i < r->known->count; i++) {
        const struct ledger_entry *e = &r->known->entries[i];

        if (e->outcome != LEDGER_DELIVERED && e->outcome != LEDGER_REFUSED &&
            memcmp(e->digest, t->hash, sizeof(t->hash)) == 0)
            return true;
    }
    return t->others_waited;
}

static void fill_key(const struct transaction *t, const struct recipient *r, struct ledger_entry *e)
{
    *e = (struct ledger_entry){
        .sender = t->envelope.sender, .recipient = r->path, .reply = "", .mx = "", .address = ""};
    memcpy(e->digest, t->hash, sizeof(e->digest));
}

static void fill_entry(const struct transaction *t, struct recipient *r, bool untold,
                       struct ledger_entry *e)
{
    fill_key(t, r, e);
    e->outcome = outcome_of(r);
    if (e->outcome == LEDGER_DEFERRED && must_stand_back(t, r))
        e->outcome = LEDGER_DEFERRED_AGAIN;
    e->code = r->reply.code;
    e->reply = buf_cstr(&r->reply.text);
    e->reply_is_ours = r->reply.origin == REPLY_FROM_US;
    e->mx = r->mx;
    e->address = r->address;
    (void)snprintf(e->transaction, sizeof(e->transaction), "%s", t->envelope.transaction_id);
    (void)snprintf(e->queue_id, sizeof(e->queue_id), "%s", t->envelope.queue_id);
    e->signs = t->signs;
    e->untold = untold;
    e->at =
        r->delivered != 0 ? r->delivered : loop_wall(); /* what repeats does not live for ever */
}

static void log_full(const struct transaction *t, size_t wanted)
{
    struct record *r = record_new("ledger", RECORD_ERROR, loop_wall());

    record_cstr(r, "state", "full");
    record_cstr(r, "session", t->envelope.session_id);
    record_cstr(r, "transaction", t->envelope.transaction_id);
    record_int(r, "entries", (int64_t)wanted);
    record_cstr(r, "hint", "Raise ledger.entries: mail of this transaction may go out twice.");
    log_record(t->services->log, r);
}

bool transaction_record(struct transaction *t, bool all, bool untold)
{
    struct ledger_entry *entries;
    uint64_t ticket = 0;
    size_t n = 0;

    if (!t->hashed)
        return false;
    entries = mem_array(t->count + 1, sizeof(*entries));
    for (size_t i = 0; i < t->count; i++) {
        struct recipient *r = &t->recipients[i];

        if (!r->accepted || !r->done || (!all && outcome_of(r) != LEDGER_DELIVERED) ||
            (!all && (r->kept || r->before != NULL)))
            continue;
        fill_entry(t, r, untold, &entries[n++]);
        r->kept = true;
    }
    if (n > 0 && !ledger_put(t->services->ledger, entries, n, &ticket))
        log_full(t, n);
    free(entries);
    if (all)
        t->written = ticket;
    return ticket != 0;
}

/* ---- waiting for the disk ---- */

static void log_kept(const struct transaction *t, bool durable)
{
    struct record *r = record_new("ledger", durable ? RECORD_INFO : RECORD_ERROR, loop_wall());
    int64_t entries = 0;

    for (size_t i = 0; i < t->count; i++)
        entries += t->recipients[i].kept ? 1 : 0;
    record_cstr(r, "state", durable ? "kept" : "failed");
    record_cstr(r, "session", t->envelope.session_id);
    record_cstr(r, "transaction", t->envelope.transaction_id);
    if (t->envelope.queue_id[0] != '\0')
        record_cstr(r, "queue_id", t->envelope.queue_id);
    record_int(r, "entries", entries);
    record_int(r, "took", loop_now(t->services->loop) - t->put_at);
    if (!durable)
        record_cstr(r, "hint",
                    "See the last record \"store\": the entries are in memory only, and "
                    "mail may go out twice if tlsmend ends before the disk is mended.");
    log_record(t->services->log, r);
}

static void disk_answered(struct transaction *t, bool durable)
{
    LIST_REMOVE(t, waits);
    t->ticket = 0;
    timer_disarm(t->patience);
    log_kept(t, durable);
    transaction_answer_final(t, &t->verdict);
}

void transactions_settle(struct services *sv)
{
    struct transaction *t, *next;

    /* An answer may free its own transaction and no other. */
    for (t = LIST_FIRST(&sv->ledger_waits); t != NULL; t = next) {
        enum ledger_state state = ledger_settled(sv->ledger, t->ticket);

        next = LIST_NEXT(t, waits);
        if (state != LEDGER_WAITING)
            disk_answered(t, state == LEDGER_DURABLE);
    }
}

static void settle_soon(void *owner)
{
    transactions_settle(owner);
}

void transaction_wait_for_disk(struct transaction *t)
{
    t->ticket = t->written;
    t->put_at = loop_now(t->services->loop);
    LIST_INSERT_HEAD(&t->services->ledger_waits, t, waits);
    transaction_arm(t, &t->patience, transaction_patience_over, DISK_PATIENCE_MS);
    /* What has no disk is settled at once, and no watch is told. */
    if (ledger_settled(t->services->ledger, t->ticket) != LEDGER_WAITING)
        loop_defer(t->services->loop, settle_soon, t->services);
}

void transaction_patience_over(void *owner)
{
    struct transaction *t = OBJ_CAST(transaction, TRANSACTION_MAGIC, owner);

    if (!t->freed && t->ticket != 0)
        disk_answered(t, false);
}

/* ---- what is done with ---- */

void transaction_forget(struct transaction *t)
{
    for (size_t i = 0; i < t->count && t->hashed; i++) {
        struct recipient *r = &t->recipients[i];
        struct ledger_entry key;

        if (!r->accepted || (!r->kept && r->known == NULL))
            continue;
        if (outcome_of(r) == LEDGER_DEFERRED)
            continue; /* it comes again, and its group is a sign */
        fill_key(t, r, &key);
        ledger_remove(t->services->ledger, &key);
        r->kept = false;
        r->before = NULL; /* its result stands in `reply` */
    }
}

void transaction_forget_told_refusals(struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct recipient *r = &t->recipients[i];

        if (r->accepted || r->before == NULL ||
            (t->hashed && memcmp(r->before->digest, t->hash, sizeof(t->hash)) != 0))
            continue;
        ledger_remove(t->services->ledger, r->before);
    }
}
