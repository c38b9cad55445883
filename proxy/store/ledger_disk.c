/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: to the disk and from it; see store_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/ledger_internal.h"

static void free_slot(struct slot *slot)
{
    struct ledger_slot *s = ledger_slot_of(slot);

    ledger_row_drop(&s->row);
    free(s);
}

static void free_pair(struct slot *slot)
{
    free(slot); /* the first member of the pair */
}

struct ledger *ledger_new(size_t max, int64_t keep, bool lasting, struct bell *bell)
{
    struct ledger *l = mem_zalloc(sizeof(*l));

    l->max = max;
    l->bell = bell;
    l->writer = lasting;
    l->read = !lasting;
    atomic_init(&l->count, 0);
    table_init(&l->entries, lasting, free_slot);
    table_init(&l->pairs, false, free_pair);
    INVARIANT(pthread_mutex_init(&l->lock, NULL) == 0);
    ledger_watches_init(l);
    ledger_set_keep(l, keep);
    return l;
}

void ledger_free(struct ledger **held)
{
    struct ledger *l = *held;

    *held = NULL;
    ledger_watches_clear(l);
    table_clear(&l->pairs);
    table_clear(&l->entries);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

void ledger_abandon(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    l->writer = false;
    l->settled = l->issued;
    pthread_mutex_unlock(&l->lock);
}

size_t ledger_take(struct ledger *l, struct ledger_job *jobs, size_t max)
{
    struct slot *s;
    bool was_on_disk;
    size_t n = 0;

    pthread_mutex_lock(&l->lock);
    while (n < max && (s = table_take(&l->entries, &was_on_disk)) != NULL)
        jobs[n++] = (struct ledger_job){.row = ledger_row_hold(ledger_slot_of(s)->row),
                                        .gone = s->gone,
                                        .was_on_disk = was_on_disk};
    s = TAILQ_FIRST(&l->entries.marks);
    l->emptied = s == NULL;
    l->taken = s == NULL ? l->issued : ledger_slot_of(s)->waiting - 1;
    l->seen = l->issued;
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* While something is owed, marks are out of their order, and only the end of all says how far it
 * is. */
static void written(struct ledger *l)
{
    if (l->owed && !l->emptied)
        return;
    l->owed = false;
    if (l->taken > l->durable)
        l->durable = l->taken;
    if (l->durable > l->settled)
        l->settled = l->durable;
}

void ledger_settle(struct ledger *l, struct ledger_job *jobs, size_t count, bool ok)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < count; i++)
        table_settle(&l->entries, ledger_row_key(jobs[i].row), jobs[i].gone, jobs[i].was_on_disk,
                     ok);
    if (ok)
        written(l);
    else
        l->owed = true;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++)
        ledger_row_drop(&jobs[i].row);
}

bool ledger_begin(struct ledger *l, wall_ms now)
{
    bool more;

    pthread_mutex_lock(&l->lock);
    l->seen = l->issued;
    more = ledger_purge(l, now);
    pthread_mutex_unlock(&l->lock);
    return more;
}

void ledger_end(struct ledger *l, bool ok)
{
    pthread_mutex_lock(&l->lock);
    l->good = ok;
    if (!ok) {
        l->owed = true;
        if (l->seen > l->settled)
            l->settled = l->seen;
    }
    pthread_mutex_unlock(&l->lock);
}

static bool is_normal(struct slice path)
{
    char normal[LEDGER_PATH_MAX];
    size_t n = ledger_path(path, normal);

    return n != SIZE_MAX && slice_eq(path, slice_of(normal, n));
}

bool ledger_load(struct ledger *l, const struct ledger_facts *f, wall_ms now)
{
    struct ledger_facts late = *f;
    struct ledger_row *row;
    struct slot *there;

    if (!is_normal(f->sender) || !is_normal(f->recipient))
        return false;
    row = ledger_row_new(f);
    if (row == NULL)
        return false;
    if (row->at > now + LEDGER_SPAN_MAX) { /* made by a clock that was set back since */
        late.at = now;
        late.until = now + (row->until - row->at);
        ledger_row_drop(&row);
        row = ledger_row_new(&late);
    }
    pthread_mutex_lock(&l->lock);
    there = table_find(&l->entries, ledger_row_key(row));
    if (there != NULL) {
        there->on_disk = true; /* what memory holds wins */
        ledger_row_drop(&row);
    } else {
        size_t max = l->max;

        /* All that lives is kept: the settings may have got smaller since. */
        l->max = SIZE_MAX;
        ledger_keep_row(l, row)->slot.on_disk = true;
        l->max = max;
    }
    pthread_mutex_unlock(&l->lock);
    return true;
}

static void mark(struct slot *slot, void *ctx)
{
    struct ledger *l = ctx;

    ledger_mark(l, ledger_slot_of(slot), l->issued + 1);
}

void ledger_loaded(struct ledger *l, bool write_all)
{
    pthread_mutex_lock(&l->lock);
    l->read = true;
    if (write_all)
        table_each(&l->entries, mark, l);
    pthread_mutex_unlock(&l->lock);
}
