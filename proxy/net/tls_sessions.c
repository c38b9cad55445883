/* SPDX-License-Identifier: Apache-2.0 */
/* tls_sessions - see tls_sessions.h and tls_sessions_internal.h for the contract. */
#include "proxy/net/tls_sessions.h"

#include <openssl/err.h>
#include <openssl/mem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/tls_sessions_internal.h"

#define BUCKETS_MIN 64
#define STACK_MIN 2
#define LEAVE_AT_ONCE 64

/* An SSL_SESSION without what its peer made long: secrets, times, pointers. */
#define SESSION_BYTES 640
/* A verdict with the facts of three certificates; the sessions of a key mostly share one. */
#define VERDICT_BYTES 3072

struct entry {
    unsigned char key[TLS_SESSION_KEY_LENGTH];
    struct tls_kept *stack; /* the newest last */
    size_t count, room;
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* by use */
};

struct tls_sessions {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t bucket_count, entries;
    struct entry *newest, *oldest;
    size_t count, max; /* sessions */
    size_t bytes;      /* of the sessions and their stacks */
};

static size_t session_bytes(const SSL_SESSION *session)
{
    const uint8_t *ignored;
    size_t ticket, staple, scts;

    SSL_SESSION_get0_ticket(session, &ignored, &ticket);
    SSL_SESSION_get0_ocsp_response(session, &ignored, &staple);
    SSL_SESSION_get0_signed_cert_timestamp_list(session, &ignored, &scts);
    return SESSION_BYTES + ticket + staple + scts; /* the chain is shared by all */
}

/* ---- the table ---- */

static struct entry **bucket(const struct tls_sessions *s, const unsigned char *key)
{
    size_t h;

    memcpy(&h, key, sizeof(h)); /* of a SHA-256: as good as any hash */
    return &s->buckets[h & (s->bucket_count - 1)];
}

static struct entry *find(const struct tls_sessions *s, const unsigned char *key)
{
    struct entry *e = *bucket(s, key);

    while (e != NULL && memcmp(e->key, key, sizeof(e->key)) != 0)
        e = e->next;
    return e;
}

static void grow(struct tls_sessions *s)
{
    struct entry **old = s->buckets;
    size_t count = s->bucket_count;

    s->bucket_count = count > 0 ? count * 2 : BUCKETS_MIN;
    s->buckets = mem_array(s->bucket_count, sizeof(struct entry *));
    for (size_t i = 0; i < count; i++)
        for (struct entry *e = old[i], *next; e != NULL; e = next) {
            struct entry **b = bucket(s, e->key);

            next = e->next;
            e->next = *b;
            *b = e;
        }
    free((void *)old);
}

static void unlink_use(struct tls_sessions *s, struct entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &s->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_use(struct tls_sessions *s, struct entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static void used(struct tls_sessions *s, struct entry *e)
{
    unlink_use(s, e);
    link_use(s, e);
}

static struct entry *add(struct tls_sessions *s, const unsigned char *key)
{
    struct entry *e = mem_zalloc(sizeof(*e)), **b;

    if (s->entries >= s->bucket_count)
        grow(s);
    memcpy(e->key, key, sizeof(e->key));
    b = bucket(s, key);
    e->next = *b;
    *b = e;
    link_use(s, e);
    s->entries++;
    return e;
}

void tls_kept_clear(struct tls_kept *k)
{
    SSL_SESSION_free(k->session);
    k->session = NULL;
    tls_verdict_drop(&k->verdict);
}

/* Out of the stack; it is the caller's now. */
static struct tls_kept pull(struct tls_sessions *s, struct entry *e, size_t at)
{
    struct tls_kept kept = e->stack[at];

    e->count--;
    memmove(&e->stack[at], &e->stack[at + 1], (e->count - at) * sizeof(e->stack[0]));
    s->count--;
    s->bytes -= session_bytes(kept.session);
    return kept;
}

static void remove_at(struct tls_sessions *s, struct entry *e, size_t at)
{
    struct tls_kept kept = pull(s, e, at);

    tls_kept_clear(&kept);
}

static void push(struct tls_sessions *s, struct entry *e, const struct tls_kept *kept)
{
    if (e->count == e->room) {
        size_t room = e->room > 0 ? e->room * 2 : STACK_MIN;

        e->stack = mem_resize(e->stack, room, sizeof(e->stack[0]));
        s->bytes += (room - e->room) * sizeof(e->stack[0]);
        e->room = room;
    }
    e->stack[e->count++] = *kept;
    s->count++;
    s->bytes += session_bytes(kept->session);
}

static void take_out(struct tls_sessions *s, struct entry *e)
{
    struct entry **link = bucket(s, e->key);

    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    unlink_use(s, e);
    s->entries--;
    s->count -= e->count;
    s->bytes -= e->room * sizeof(e->stack[0]);
    for (size_t i = 0; i < e->count; i++)
        s->bytes -= session_bytes(e->stack[i].session);
}

static void entry_free(struct entry *e)
{
    for (size_t i = 0; i < e->count; i++)
        tls_kept_clear(&e->stack[i]);
    free(e->stack);
    free(e);
}

static void drop(struct tls_sessions *s, struct entry *e)
{
    take_out(s, e);
    entry_free(e);
}

/* What leaves, for free_all() without the lock: all workers may wait for that, so much is not done in one go. */
static struct entry *make_fit(struct tls_sessions *s)
{
    struct entry *out = NULL;

    for (unsigned i = 0; s->count > s->max && i < LEAVE_AT_ONCE; i++) {
        struct entry *e = s->oldest;

        INVARIANT(e != NULL && e->count > 0);
        if (e->newer != NULL || s->max == 0) {
            take_out(s, e);
            e->next = out;
            out = e;
        } else {
            remove_at(s, e, 0);
        }
    }
    return out;
}

static void free_all(struct entry *e)
{
    struct entry *next;

    for (; e != NULL; e = next) {
        next = e->next;
        entry_free(e);
    }
}

/* ---- the calls ---- */

static bool is_good(const SSL_SESSION *session, wall_ms now)
{
    uint64_t begin = SSL_SESSION_get_time(session), at = now > 0 ? (uint64_t)now / 1000 : 0;

    return at >= begin && at - begin < SSL_SESSION_get_timeout(session);
}

/* From the top of the stack. */
static bool take_good(struct tls_sessions *s, struct entry *e, wall_ms now, struct tls_kept *out)
{
    while (e->count > 0) {
        const struct tls_kept *top = &e->stack[e->count - 1];

        if (!is_good(top->session, now)) {
            remove_at(s, e, e->count - 1);
        } else if (e->count > 1 && SSL_SESSION_should_be_single_use(top->session)) {
            *out = pull(s, e, e->count - 1);
            return true;
        } else {
            (void)SSL_SESSION_up_ref(top->session);
            *out = (struct tls_kept){top->session,
                                     top->verdict != NULL ? tls_verdict_hold(top->verdict) : NULL};
            return true;
        }
    }
    return false;
}

bool tls_sessions_take(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH],
                       wall_ms now, struct tls_kept *out)
{
    bool taken = false;
    struct entry *e;

    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    e = find(s, key);
    if (e != NULL) {
        used(s, e);
        taken = take_good(s, e, now, out);
        if (e->count == 0)
            drop(s, e);
    }
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
    return taken;
}

void tls_sessions_put(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH],
                      struct tls_kept kept)
{
    struct entry *e, *out = NULL;

    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    if (s->max == 0 || SSL_SESSION_is_resumable(kept.session) != 1) {
        tls_kept_clear(&kept);
    } else {
        e = find(s, key);
        if (e == NULL)
            e = add(s, key);
        used(s, e);
        /* One that may be used again stands for all before it. */
        while (e->count == TLS_SESSIONS_PER_KEY ||
               (e->count > 0 && !SSL_SESSION_should_be_single_use(kept.session)))
            remove_at(s, e, 0);
        push(s, e, &kept);
        out = make_fit(s);
    }
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
    free_all(out);
}

void tls_sessions_forget(struct tls_sessions *s, const unsigned char key[TLS_SESSION_KEY_LENGTH])
{
    struct entry *e;

    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    e = find(s, key);
    if (e != NULL)
        drop(s, e);
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
}

struct tls_sessions *tls_sessions_new(size_t max)
{
    struct tls_sessions *s = mem_zalloc(sizeof(*s));

    INVARIANT(pthread_mutex_init(&s->lock, NULL) == 0);
    s->max = max;
    grow(s);
    return s;
}

void tls_sessions_free(struct tls_sessions **sessions)
{
    struct tls_sessions *s = *sessions;

    *sessions = NULL;
    if (s == NULL)
        return;
    while (s->oldest != NULL)
        drop(s, s->oldest);
    free((void *)s->buckets);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

void tls_sessions_limit(struct tls_sessions *s, size_t max)
{
    struct entry *out;
    bool fits;

    do {
        INVARIANT(pthread_mutex_lock(&s->lock) == 0);
        s->max = max;
        out = make_fit(s);
        fits = s->count <= s->max;
        INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
        free_all(out);
    } while (!fits);
}

/* ---- as bytes ---- */

static void give(const unsigned char *key, const SSL_SESSION *session,
                 void (*each)(void *owner, struct slice key, struct slice bytes), void *owner)
{
    uint8_t *bytes;
    size_t n;

    if (SSL_SESSION_to_bytes(session, &bytes, &n) != 1) {
        ERR_clear_error(); /* one handshake more, that is all */
        return;
    }
    each(owner, slice_of(key, TLS_SESSION_KEY_LENGTH), slice_of(bytes, n));
    OPENSSL_free(bytes); /* wipes it */
}

void tls_sessions_each(struct tls_sessions *s, wall_ms now,
                       void (*each)(void *owner, struct slice key, struct slice bytes), void *owner)
{
    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    for (const struct entry *e = s->oldest; e != NULL; e = e->newer)
        for (size_t i = 0; i < e->count; i++)
            if (is_good(e->stack[i].session, now))
                give(e->key, e->stack[i].session, each, owner);
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
}

bool tls_sessions_add(struct tls_sessions *s, const struct tls_context *c, wall_ms now,
                      struct slice key, struct slice bytes)
{
    struct tls_kept kept = {0};

    if (key.n == TLS_SESSION_KEY_LENGTH)
        kept.session = SSL_SESSION_from_bytes((const uint8_t *)bytes.p, bytes.n, c->ssl);
    ERR_clear_error();
    if (kept.session == NULL)
        return false;
    if (is_good(kept.session, now))
        tls_sessions_put(s, (const unsigned char *)key.p, kept);
    else
        tls_kept_clear(&kept);
    return true;
}

/* ---- how many ---- */

size_t tls_sessions_count(struct tls_sessions *s)
{
    size_t n;

    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    n = s->count;
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
    return n;
}

size_t tls_sessions_memory(struct tls_sessions *s)
{
    size_t n;

    INVARIANT(pthread_mutex_lock(&s->lock) == 0);
    n = sizeof(*s) + s->bucket_count * sizeof(struct entry *) +
        s->entries * (sizeof(struct entry) + VERDICT_BYTES) + s->bytes;
    INVARIANT(pthread_mutex_unlock(&s->lock) == 0);
    return n;
}
