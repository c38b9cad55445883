/* SPDX-License-Identifier: Apache-2.0 */
/* policies - see policies.h for the contract.  What the disk's thread asks: policies_disk.c. */
#include "proxy/store/policies.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/policies_internal.h"

#define HOUR_MS (60 * 60 * 1000LL)
#define LOOKED_AT_MAX 1000 /* by one call of policies_due() */
#define CLOCK_SLACK_MS \
    (60 * 1000LL) /* a clock set back by less is not worth a look at everything */
#define FNV_START 2166136261u
#define FNV_PRIME 16777619u

/* What policies_find() gives: a picture of the entry.  The text is shared; it is parsed again, which
 * costs a mail some microseconds, because the patterns of a hundred thousand policies would take ten times
 * the room of their texts. */
struct found {
    struct policy_entry entry;
    atomic_uint holds;
    struct policy_text *text; /* NULL: only a failure is known */
};

struct policy_text *policy_text_new(struct slice body)
{
    struct sts_policy parsed;
    struct policy_text *t;
    const char *why;

    if (!sts_policy_parse(body, &parsed, &why, NULL, NULL))
        return NULL;
    t = mem_zalloc(sizeof(*t) + body.n);
    t->mode = parsed.mode;
    t->max_age = parsed.max_age;
    sts_policy_clear(&parsed);
    memcpy(t->bytes, body.p, body.n);
    t->body = slice_of(t->bytes, body.n);
    atomic_init(&t->holds, 1);
    return t;
}

struct policy_text *policy_text_hold(struct policy_text *t)
{
    if (t != NULL)
        atomic_fetch_add(&t->holds, 1);
    return t;
}

void policy_text_drop(struct policy_text **held)
{
    struct policy_text *t = *held;

    *held = NULL;
    if (t == NULL || atomic_fetch_sub(&t->holds, 1) != 1)
        return;
    free(t);
}

static size_t text_cost(const struct policy_text *t)
{
    return sizeof(*t) + t->body.n;
}

struct policy_slot *policy_slot_of(struct slot *s)
{
    return (struct policy_slot *)s; /* its first member */
}

/* Every domain has its own place on the ring of the day (FNV-1a). */
static uint32_t spread_of(const char *domain)
{
    uint32_t h = FNV_START;

    for (; *domain != '\0'; domain++)
        h = (h ^ (unsigned char)*domain) * FNV_PRIME;
    return h;
}

/* When the entry is to be refreshed; never twice in an hour.  One that a clock made which has been
 * set back since: now, for its age is unknown. */
static wall_ms refresh_at(const struct policies *p, const struct policy_slot *s)
{
    wall_ms at = s->held.fetched > p->clock + STS_BACKOFF_MS
                     ? p->clock
                     : sts_refresh_at(&s->held, p->span, spread_of(s->domain));
    wall_ms again = s->given + HOUR_MS;

    return s->given != 0 && at < again ? again : at;
}

static bool useless(const struct policy_slot *s, wall_ms now)
{
    if (!s->held.policy)
        return sts_unused(&s->held, now);
    return sts_unused(&s->held, now) || now > s->held.expires + POLICY_EXPIRED_MS ||
           (s->held.fetched > now && !sts_live(&s->held, now));
}

/* When it is worth a look again. */
static void set_time(struct policies *p, struct policy_slot *s, wall_ms not_before)
{
    wall_ms at;

    if (!p->timed)
        return; /* the first policies_due() does it for all */
    if (s->held.policy) {
        at = refresh_at(p, s);
        if (at > s->held.expires + POLICY_EXPIRED_MS)
            at = s->held.expires + POLICY_EXPIRED_MS;
        if (at > s->held.used + STS_UNUSED_MS)
            at = s->held.used + STS_UNUSED_MS;
    } else {
        at = s->held.failed_at + STS_BACKOFF_MS;
    }
    table_time(&p->table, &s->slot, at < not_before ? not_before : at);
}

static struct policy_slot *find(const struct policies *p, const char *domain)
{
    struct slot *s = table_find(&p->table, slice_str(domain));

    return s != NULL ? policy_slot_of(s) : NULL;
}

static struct policy_slot *find_live(const struct policies *p, const char *domain)
{
    struct policy_slot *s = find(p, domain);

    return s != NULL && !s->slot.gone ? s : NULL;
}

static struct slots_by_use *list_of(struct policies *p, const struct policy_slot *s)
{
    return s->held.policy ? &p->by_use : &p->failures;
}

/* Out of its list and its sums, before `held.policy` or the text changes. */
static void unlist(struct policies *p, struct policy_slot *s)
{
    TAILQ_REMOVE(list_of(p, s), s, uses);
    if (s->held.policy) {
        p->count--;
        p->bytes -= text_cost(s->text);
    } else {
        p->failure_count--;
    }
}

static void list(struct policies *p, struct policy_slot *s)
{
    TAILQ_INSERT_TAIL(list_of(p, s), s, uses);
    if (s->held.policy) {
        p->count++;
        p->bytes += text_cost(s->text);
    } else {
        p->failure_count++;
    }
}

static void forget(struct policies *p, struct policy_slot *s)
{
    unlist(p, s);
    policy_text_drop(&s->text);
    table_remove(&p->table, &s->slot);
}

/* A slot for the domain that is in no list. */
struct policy_slot *policies_slot(struct policies *p, const char *domain)
{
    struct policy_slot *s = find(p, domain);

    if (s != NULL && !s->slot.gone) {
        unlist(p, s);
        return s;
    }
    if (s == NULL) {
        size_t n = strlen(domain);

        s = mem_zalloc(sizeof(*s) + n + 1);
        memcpy(s->domain, domain, n + 1);
        s->slot.key = slice_of(s->domain, n);
        table_add(&p->table, &s->slot);
    }
    s->slot.gone = false;
    s->given = 0;
    memset(&s->held, 0, sizeof(s->held));
    return s;
}

/* The one unused for the longest time goes first; the newest stays, however big. */
static void make_room(struct policies *p)
{
    while (p->count > 1 && (p->count > p->max || p->bytes > policies_bytes_max(p)))
        forget(p, TAILQ_FIRST(&p->by_use));
    while (p->failure_count > p->max)
        forget(p, TAILQ_FIRST(&p->failures));
}

void policies_enlist(struct policies *p, struct policy_slot *s)
{
    list(p, s);
    set_time(p, s, 0);
    make_room(p);
}

static void told(struct policies *p, struct policy_slot *s)
{
    table_mark(&p->table, &s->slot);
    if (p->table.lasting)
        bell_ring(p->bell);
}

const struct policy_entry *policies_find(struct policies *p, const char *domain)
{
    struct found *f = NULL;
    struct policy_slot *s;
    const char *why;

    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    if (s != NULL) {
        f = mem_zalloc(sizeof(*f));
        f->entry.held = s->held;
        f->text = policy_text_hold(s->text);
        memcpy(f->entry.domain, s->domain, s->slot.key.n + 1);
    }
    pthread_mutex_unlock(&p->lock);
    if (f == NULL)
        return NULL;
    atomic_init(&f->holds, 1);
    if (f->text != NULL) {
        INVARIANT(sts_policy_parse(f->text->body, &f->entry.policy, &why, NULL, NULL));
        f->entry.body = f->text->body;
    }
    return &f->entry;
}

/* The entry is the first member of what policies_find() made. */
static struct found *found_of(const struct policy_entry *e)
{
    return (struct found *)(uintptr_t)e;
}

const struct policy_entry *policy_entry_hold(const struct policy_entry *e)
{
    if (e != NULL)
        atomic_fetch_add(&found_of(e)->holds, 1);
    return e;
}

void policy_entry_drop(const struct policy_entry **e)
{
    struct found *f = found_of(*e);

    *e = NULL;
    if (f == NULL || atomic_fetch_sub(&f->holds, 1) != 1)
        return;
    sts_policy_clear(&f->entry.policy);
    policy_text_drop(&f->text);
    free(f);
}

static bool domain_ok(const char *domain)
{
    return domain[0] != '\0' && strlen(domain) <= POLICY_DOMAIN_MAX;
}

static void copy_id(char to[STS_ID_MAX + 1], const char *id)
{
    size_t n = strlen(id);

    n = n > STS_ID_MAX ? STS_ID_MAX : n;
    memcpy(to, id, n);
    to[n] = '\0';
}

bool policies_put(struct policies *p, const char *domain, const char *id, struct slice body,
                  wall_ms now)
{
    struct policy_text *text, *old;
    struct policy_slot *s;
    wall_ms used = now;
    bool there;

    if (!domain_ok(domain) || (text = policy_text_new(body)) == NULL)
        return false;
    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    there = s != NULL && s->held.policy;
    if (there) {
        /* A refresh is no use: 180 days without mail pass all the same (C-STS-09). */
        used = s->held.used;
        p->bytes -= text_cost(s->text);
    } else {
        s = policies_slot(p, domain);
    }
    old = s->text;
    s->text = text;
    s->held = (struct sts_held){.policy = true,
                                .mode = text->mode,
                                .fetched = now,
                                .expires = now + text->max_age * 1000,
                                .used = used};
    copy_id(s->held.id, id);
    if (there)
        p->bytes += text_cost(text);
    else
        list(p, s);
    set_time(p, s, 0);
    told(p, s);
    make_room(p);
    pthread_mutex_unlock(&p->lock);
    policy_text_drop(&old);
    return true;
}

void policies_failed(struct policies *p, const char *domain, const char *id, wall_ms now)
{
    struct policy_slot *s;

    if (!domain_ok(domain))
        return;
    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    if (s == NULL || !s->held.policy) {
        s = policies_slot(p, domain);
        s->held.failed_at = now;
        policies_enlist(p, s);
    }
    s->held.failed_at = now;
    copy_id(s->held.failed_id, id);
    pthread_mutex_unlock(&p->lock);
}

static void used(struct policies *p, struct policy_slot *s, wall_ms now)
{
    s->held.used = now;
    TAILQ_REMOVE(&p->by_use, s, uses);
    TAILQ_INSERT_TAIL(&p->by_use, s, uses);
    if (now - s->used_told >= POLICY_USED_MS || s->used_told - now >= POLICY_USED_MS) {
        s->used_told = now; /* once, also while the disk is gone */
        told(p, s);
    }
}

void policies_used(struct policies *p, const char *domain, wall_ms now)
{
    struct policy_slot *s;

    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    if (s != NULL && s->held.policy)
        used(p, s, now);
    pthread_mutex_unlock(&p->lock);
}

bool policies_still(struct policies *p, const char *domain, const struct policy_entry *e,
                    wall_ms now)
{
    struct policy_slot *s;
    bool same;

    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    if (s != NULL && !s->held.policy)
        s = NULL;
    /* Each fetch makes a text of its own, and the entry keeps this one from being freed. */
    same = s == NULL ? e == NULL : e != NULL && found_of(e)->text == s->text;
    if (same && s != NULL)
        used(p, s, now);
    pthread_mutex_unlock(&p->lock);
    return same;
}

void policies_remove(struct policies *p, const char *domain)
{
    struct policy_slot *s;

    if (!domain_ok(domain))
        return;
    pthread_mutex_lock(&p->lock);
    s = find_live(p, domain);
    /* While the disk was not read, the row may be there all the same. */
    if (s == NULL && p->table.lasting && !p->read && p->table.count < p->max * 3) {
        s = policies_slot(p, domain);
        list(p, s);
    }
    if (s != NULL) {
        s->slot.on_disk = s->slot.on_disk || !p->read;
        forget(p, s);
        if (p->table.lasting)
            bell_ring(p->bell);
    }
    pthread_mutex_unlock(&p->lock);
}

static void earlier(wall_ms *t, wall_ms now)
{
    if (*t > now)
        *t = now;
}

/* After the clock was set back, times to come would keep an entry from being unused for ever. */
static void set_time_anew(struct slot *slot, void *ctx)
{
    struct policies *p = ctx;
    struct policy_slot *s = policy_slot_of(slot);

    if (slot->gone)
        return;
    earlier(&s->held.used, p->clock);
    earlier(&s->held.failed_at, p->clock);
    earlier(&s->given, p->clock);
    set_time(p, s, 0);
}

/* True: the domain is to be refreshed now. */
static bool look(struct policies *p, struct policy_slot *s, wall_ms now)
{
    bool due;

    if (useless(s, now)) {
        forget(p, s);
        bell_ring(p->bell);
        return false;
    }
    due = s->held.policy && refresh_at(p, s) <= now;
    if (due)
        s->given = now;
    set_time(p, s, now + 1000);
    return due;
}

size_t policies_due(struct policies *p, wall_ms now, int64_t refresh_span,
                    char (*out)[DOMAIN_MAX + 3], size_t max)
{
    size_t count = 0;

    pthread_mutex_lock(&p->lock);
    if (!p->timed || p->span != refresh_span || now < p->clock - CLOCK_SLACK_MS) {
        p->timed = true;
        p->span = refresh_span;
        p->clock = now;
        table_each(&p->table, set_time_anew, p);
    }
    if (now > p->clock)
        p->clock = now;
    for (unsigned i = 0; i < LOOKED_AT_MAX && count < max; i++) {
        struct slot *first = table_first(&p->table);

        if (first == NULL || first->when > now)
            break;
        /* Copied before: a domain that is dropped takes its name along. */
        memcpy(out[count], policy_slot_of(first)->domain, first->key.n + 1);
        if (look(p, policy_slot_of(first), now))
            count++;
    }
    pthread_mutex_unlock(&p->lock);
    return count;
}

size_t policies_count(struct policies *p)
{
    size_t n;

    pthread_mutex_lock(&p->lock);
    n = p->count;
    pthread_mutex_unlock(&p->lock);
    return n;
}
