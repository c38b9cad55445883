/* SPDX-License-Identifier: Apache-2.0 */
/* ledger - see ledger.h for the contract.  What the disk's thread asks: ledger_disk.c. */
#include "proxy/store/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/ledger_internal.h"

struct ledger_slot *ledger_slot_of(struct slot *s)
{
    return (struct ledger_slot *)s; /* its first member */
}

static struct ledger_pair *pair_of(struct slot *s)
{
    return (struct ledger_pair *)s; /* its first member */
}

/* The first entry lends the pair its key. */
static void pair_lend(struct ledger_pair *p)
{
    p->slot.key = ledger_row_pair(TAILQ_FIRST(&p->entries)->row);
}

static void pair_join(struct ledger *l, struct ledger_slot *s)
{
    struct slot *there = table_find(&l->pairs, ledger_row_pair(s->row));
    struct ledger_pair *p;

    if (there == NULL) {
        p = mem_zalloc(sizeof(*p));
        TAILQ_INIT(&p->entries);
        p->slot.key = ledger_row_pair(s->row);
        table_add(&l->pairs, &p->slot);
    } else {
        p = pair_of(there);
    }
    TAILQ_INSERT_HEAD(&p->entries, s, siblings);
    p->count++;
    s->pair = p;
    pair_lend(p);
}

static void pair_leave(struct ledger *l, struct ledger_slot *s)
{
    struct ledger_pair *p = s->pair;

    TAILQ_REMOVE(&p->entries, s, siblings);
    p->count--;
    s->pair = NULL;
    if (p->count == 0) {
        p->slot.key = ledger_row_pair(s->row);
        table_remove(&l->pairs, &p->slot);
    } else {
        pair_lend(p);
    }
}

void ledger_mark(struct ledger *l, struct ledger_slot *s, uint64_t ticket)
{
    if (!s->slot.marked)
        s->waiting = ticket;
    table_mark(&l->entries, &s->slot);
}

void ledger_forget(struct ledger *l, struct ledger_slot *s)
{
    pair_leave(l, s);
    atomic_fetch_sub(&l->count, 1);
    if (!s->slot.marked)
        s->waiting = l->issued + 1; /* nobody waits for it */
    table_remove(&l->entries, &s->slot);
}

bool ledger_purge(struct ledger *l, wall_ms now)
{
    for (unsigned i = 0; i < LEDGER_PURGE_MAX; i++) {
        struct slot *first = table_first(&l->entries);

        if (first == NULL || first->when > now)
            return false;
        ledger_forget(l, ledger_slot_of(first));
    }
    return true;
}

struct ledger_slot *ledger_keep_row(struct ledger *l, struct ledger_row *row)
{
    struct slot *there = table_find(&l->entries, ledger_row_key(row));
    struct ledger_slot *s = there != NULL ? ledger_slot_of(there) : NULL;
    struct ledger_row *old = NULL;

    if ((s == NULL || there->gone) && atomic_load(&l->count) >= l->max)
        return NULL;
    if (s == NULL) {
        s = mem_zalloc(sizeof(*s));
        s->slot.key = ledger_row_key(row);
        table_add(&l->entries, &s->slot);
    } else {
        old = s->row;
        s->slot.key = ledger_row_key(row);
    }
    s->slot.gone = false;
    s->row = row;
    if (s->pair == NULL) {
        pair_join(l, s);
        atomic_fetch_add(&l->count, 1);
    } else {
        pair_lend(s->pair);
    }
    ledger_row_drop(&old);
    table_time(&l->entries, &s->slot, row->until);
    return s;
}

/* Sender NUL recipient NUL; 0: there can be no entry. */
static size_t pair_key(struct slice sender, struct slice recipient, char out[LEDGER_PAIR_MAX])
{
    size_t n = ledger_path(sender, out), more;

    if (n == SIZE_MAX)
        return 0;
    out[n++] = '\0';
    more = ledger_path(recipient, out + n);
    if (more == SIZE_MAX)
        return 0;
    n += more;
    out[n++] = '\0';
    return n;
}

static struct ledger_pair *find_pair(const struct ledger *l, struct slice key)
{
    struct slot *s = key.n > 0 ? table_find(&l->pairs, key) : NULL;

    return s != NULL ? pair_of(s) : NULL;
}

bool ledger_knows(struct ledger *l, struct slice sender, struct slice recipient, wall_ms now)
{
    char key[LEDGER_PAIR_MAX];
    const struct ledger_pair *p;
    const struct ledger_slot *s;
    bool known = false;
    size_t n;

    if (atomic_load_explicit(&l->count, memory_order_acquire) == 0)
        return false;
    n = pair_key(sender, recipient, key);
    pthread_mutex_lock(&l->lock);
    p = find_pair(l, slice_of(key, n));
    if (p != NULL)
        TAILQ_FOREACH(s, &p->entries, siblings)
    known = known || s->row->until > now;
    pthread_mutex_unlock(&l->lock);
    return known;
}

/* The view that is lent, and the rows that carry its texts. */
struct picture {
    struct ledger_view view;
    struct ledger_row *rows[];
};

struct collecting {
    struct picture *picture;
    wall_ms now;
};

static void collect(struct slot *slot, void *ctx)
{
    struct collecting *c = ctx;
    struct ledger_row *row = ledger_slot_of(slot)->row;

    if (!slot->gone && row->until > c->now)
        c->picture->rows[c->picture->view.count++] = ledger_row_hold(row);
}

static int by_time(const void *a, const void *b)
{
    const struct ledger_row *x = *(struct ledger_row *const *)a;
    const struct ledger_row *y = *(struct ledger_row *const *)b;
    struct slice kx, ky;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    kx = ledger_row_key(x); /* so that nothing depends on the hash */
    ky = ledger_row_key(y);
    if (kx.n != ky.n)
        return kx.n < ky.n ? -1 : 1;
    return memcmp(kx.p, ky.p, kx.n);
}

static int by_time_newest(const void *a, const void *b)
{
    return by_time(b, a);
}

static struct picture *picture_new(size_t room)
{
    return mem_zalloc(sizeof(struct picture) + room * sizeof(struct ledger_row *));
}

static struct ledger_view *picture_done(struct picture *p, int (*order)(const void *, const void *))
{
    if (p->view.count > 0)
        qsort(p->rows, p->view.count, sizeof(struct ledger_row *), order);
    p->view.entries = mem_array(p->view.count + 1, sizeof(struct ledger_entry));
    for (size_t i = 0; i < p->view.count; i++)
        ledger_row_entry(p->rows[i], &p->view.entries[i]);
    return &p->view;
}

struct ledger_view *ledger_find(struct ledger *l, struct slice sender, struct slice recipient,
                                wall_ms now)
{
    struct collecting c = {.now = now};
    char key[LEDGER_PAIR_MAX];
    const struct ledger_pair *p;
    struct ledger_slot *s;
    size_t n;

    if (atomic_load_explicit(&l->count, memory_order_acquire) == 0)
        return NULL;
    n = pair_key(sender, recipient, key);
    pthread_mutex_lock(&l->lock);
    p = find_pair(l, slice_of(key, n));
    if (p != NULL) {
        c.picture = picture_new(p->count);
        TAILQ_FOREACH(s, &p->entries, siblings)
        collect(&s->slot, &c);
    }
    pthread_mutex_unlock(&l->lock);
    if (c.picture != NULL && c.picture->view.count > 0)
        return picture_done(c.picture, by_time_newest);
    free(c.picture);
    return NULL;
}

struct ledger_view *ledger_all(struct ledger *l, wall_ms now)
{
    struct collecting c = {.now = now};

    pthread_mutex_lock(&l->lock);
    c.picture = picture_new(atomic_load(&l->count));
    table_each(&l->entries, collect, &c);
    pthread_mutex_unlock(&l->lock);
    return picture_done(c.picture, by_time);
}

void ledger_view_free(struct ledger_view **held)
{
    struct picture *p = (struct picture *)*held; /* its first member */

    *held = NULL;
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->view.count; i++)
        ledger_row_drop(&p->rows[i]);
    free(p->view.entries);
    free(p);
}

static bool room_for(struct ledger *l, size_t more, wall_ms now)
{
    size_t count = atomic_load(&l->count);

    if (count + more > l->max) {
        (void)ledger_purge(l, now);
        count = atomic_load(&l->count);
    }
    return count <= l->max && more <= l->max - count;
}

bool ledger_ready(struct ledger *l, size_t more, wall_ms now)
{
    bool ready;

    pthread_mutex_lock(&l->lock);
    ready = l->writer && l->good && room_for(l, more, now);
    pthread_mutex_unlock(&l->lock);
    return ready;
}

static struct slice cut(const char *text, size_t max)
{
    return slice_first(text != NULL ? slice_str(text) : SLICE(""), max);
}

/* NULL: it cannot be kept. */
static struct ledger_row *row_of(const struct ledger_entry *e, int64_t keep)
{
    char sender[LEDGER_PATH_MAX], recipient[LEDGER_PATH_MAX];
    size_t sender_n = ledger_path(slice_str(e->sender), sender);
    size_t recipient_n = ledger_path(slice_str(e->recipient), recipient);
    struct ledger_facts f = {
        .sender = slice_of(sender, sender_n),
        .recipient = slice_of(recipient, recipient_n),
        .digest = slice_of(e->digest, LEDGER_DIGEST_SIZE),
        .outcome = slice_str(ledger_outcome_name(e->outcome)),
        .code = e->code,
        .ours = e->reply_is_ours,
        .untold = e->untold,
        .size = -1,
        .at = e->at,
    };

    if (sender_n == SIZE_MAX || recipient_n == SIZE_MAX || e->at < 0 || e->at > LEDGER_TIME_MAX)
        return NULL;
    f.until = e->at + keep;
    if (e->signs.has_size)
        f.size = e->signs.size > INT64_MAX ? INT64_MAX : (int64_t)e->signs.size;
#define X(column, longest, member) f.texts[LEDGER_TEXT_##column] = cut(e->member, (longest));
    LEDGER_TEXTS(X)
#undef X
    return ledger_row_new(&f);
}

bool ledger_put(struct ledger *l, const struct ledger_entry *entries, size_t count,
                uint64_t *ticket)
{
    struct ledger_row **rows = mem_array(count + 1, sizeof(struct ledger_row *));
    size_t taken = 0;
    int64_t keep;

    pthread_mutex_lock(&l->lock);
    keep = l->keep;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_of(&entries[i], keep);
    pthread_mutex_lock(&l->lock);
    *ticket = ++l->issued;
    if (count > 0)
        (void)room_for(l, count, entries[0].at);
    for (size_t i = 0; i < count; i++) {
        struct ledger_slot *s = rows[i] != NULL ? ledger_keep_row(l, rows[i]) : NULL;

        if (s == NULL) {
            ledger_row_drop(&rows[i]);
            continue;
        }
        taken++;
        ledger_mark(l, s, *ticket);
    }
    if (l->writer)
        bell_ring_now(l->bell);
    else
        l->settled = *ticket;
    pthread_mutex_unlock(&l->lock);
    free(rows);
    return taken == count;
}

void ledger_remove(struct ledger *l, const struct ledger_entry *key)
{
    char bytes[LEDGER_PAIR_MAX + LEDGER_DIGEST_SIZE];
    size_t n = pair_key(slice_str(key->sender), slice_str(key->recipient), bytes);
    struct slot *s;

    if (n == 0)
        return;
    memcpy(bytes + n, key->digest, LEDGER_DIGEST_SIZE);
    pthread_mutex_lock(&l->lock);
    s = table_find(&l->entries, slice_of(bytes, n + LEDGER_DIGEST_SIZE));
    if (s != NULL && !s->gone) {
        /* While the disk was not read, an older row may be there all the same. */
        s->on_disk = s->on_disk || !l->read;
        ledger_forget(l, ledger_slot_of(s));
        if (l->writer)
            bell_ring(l->bell);
    }
    pthread_mutex_unlock(&l->lock);
}

enum ledger_state ledger_settled(struct ledger *l, uint64_t ticket)
{
    enum ledger_state state = LEDGER_WAITING;

    pthread_mutex_lock(&l->lock);
    if (ticket <= l->durable)
        state = LEDGER_DURABLE;
    else if (ticket <= l->settled)
        state = LEDGER_FAILED;
    pthread_mutex_unlock(&l->lock);
    return state;
}

void ledger_set_keep(struct ledger *l, int64_t keep_ms)
{
    pthread_mutex_lock(&l->lock);
    l->keep = keep_ms > 0 && keep_ms <= LEDGER_SPAN_MAX ? keep_ms : LEDGER_KEEP;
    pthread_mutex_unlock(&l->lock);
}

size_t ledger_count(struct ledger *l)
{
    return atomic_load(&l->count);
}
