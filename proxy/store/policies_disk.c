/* SPDX-License-Identifier: Apache-2.0 */
/* policies: to the disk and from it; see store_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/policies_internal.h"

#define TIME_MAX 253402300799999LL /* the year 9999: sums with spans do not overflow */

static void free_slot(struct slot *slot)
{
    struct policy_slot *s = policy_slot_of(slot);

    policy_text_drop(&s->text);
    free(s);
}

struct policies *policies_new(size_t max, bool lasting, struct bell *bell)
{
    struct policies *p = mem_zalloc(sizeof(*p));

    p->max = max > 0 ? max : 1;
    p->bell = bell;
    p->read = !lasting;
    table_init(&p->table, lasting, free_slot);
    TAILQ_INIT(&p->by_use);
    TAILQ_INIT(&p->failures);
    SLIST_INIT(&p->claims);
    INVARIANT(pthread_mutex_init(&p->lock, NULL) == 0);
    return p;
}

void policies_free(struct policies **held)
{
    struct policies *p = *held;

    *held = NULL;
    policies_claims_clear(p);
    table_clear(&p->table);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

static void make_job(struct policy_job *job, struct policy_slot *s)
{
    memcpy(job->domain, s->domain, s->slot.key.n + 1);
    if (s->text == NULL) /* gone, or only a failure is known */
        return;
    memcpy(job->id, s->held.id, sizeof(job->id));
    job->fetched = s->held.fetched;
    job->used = s->held.used;
    job->text = policy_text_hold(s->text);
    job->body = s->text->body;
    s->used_told = s->held.used;
}

size_t policies_take(struct policies *p, struct policy_job *jobs, size_t max)
{
    size_t n = 0;
    struct slot *s;
    bool was_on_disk;

    pthread_mutex_lock(&p->lock);
    while (n < max && (s = table_take(&p->table, &was_on_disk)) != NULL) {
        jobs[n] = (struct policy_job){.was_on_disk = was_on_disk};
        make_job(&jobs[n++], policy_slot_of(s));
    }
    pthread_mutex_unlock(&p->lock);
    return n;
}

void policies_settle(struct policies *p, struct policy_job *jobs, size_t count, bool ok)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < count; i++)
        table_settle(&p->table, slice_str(jobs[i].domain), jobs[i].text == NULL,
                     jobs[i].was_on_disk, ok);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < count; i++)
        policy_text_drop(&jobs[i].text);
}

static bool time_ok(wall_ms t)
{
    return t >= 0 && t <= TIME_MAX;
}

static void load_locked(struct policies *p, const char *domain, const char *id, wall_ms fetched,
                        wall_ms used, struct policy_text **text)
{
    struct slot *there = table_find(&p->table, slice_str(domain));
    struct policy_slot *s;

    if (there != NULL && (there->gone || policy_slot_of(there)->held.policy)) {
        there->on_disk = true;
        return;
    }
    /* Only when rows come to a memory that is full already: what is there was used of late. */
    if (p->count >= p->max || p->bytes > policies_bytes_max(p)) {
        p->left_behind = true;
        return;
    }
    s = policies_slot(p, domain);
    s->held.policy = true;
    s->held.mode = (*text)->mode;
    s->held.fetched = fetched;
    s->held.expires = fetched + (*text)->max_age * 1000;
    s->held.used = s->used_told = used;
    memcpy(s->held.id, id, strlen(id) + 1);
    s->text = *text;
    *text = NULL;
    s->slot.on_disk = true;
    policies_enlist(p, s);
}

bool policies_load(struct policies *p, struct slice domain, struct slice id, wall_ms fetched,
                   wall_ms used, struct slice body)
{
    char domain_text[POLICY_DOMAIN_MAX + 1] = "", id_text[STS_ID_MAX + 1] = "";
    struct policy_text *text;

    if (domain.n == 0 || domain.n > POLICY_DOMAIN_MAX || id.n > STS_ID_MAX ||
        memchr(domain.p, '\0', domain.n) != NULL || !time_ok(fetched) || !time_ok(used) ||
        (text = policy_text_new(body)) == NULL)
        return false;
    memcpy(domain_text, domain.p, domain.n);
    if (id.n > 0)
        memcpy(id_text, id.p, id.n);
    pthread_mutex_lock(&p->lock);
    load_locked(p, domain_text, id_text, fetched, used, &text);
    pthread_mutex_unlock(&p->lock);
    policy_text_drop(&text);
    return true;
}

static int by_use(const void *a, const void *b)
{
    const struct policy_slot *x = *(struct policy_slot *const *)a;
    const struct policy_slot *y = *(struct policy_slot *const *)b;

    return (x->held.used > y->held.used) - (x->held.used < y->held.used);
}

/* Rows come in the order of the file. */
static void sort_by_use(struct policies *p)
{
    struct policy_slot **all = mem_array(p->count + 1, sizeof(struct policy_slot *)), *s;
    size_t n = 0;

    TAILQ_FOREACH(s, &p->by_use, uses)
    all[n++] = s;
    qsort(all, n, sizeof(struct policy_slot *), by_use);
    TAILQ_INIT(&p->by_use);
    for (size_t i = 0; i < n; i++)
        TAILQ_INSERT_TAIL(&p->by_use, all[i], uses);
    free(all);
}

static void mark(struct slot *slot, void *ctx)
{
    if (slot->gone || policy_slot_of(slot)->held.policy)
        table_mark(ctx, slot);
}

void policies_loaded(struct policies *p, bool write_all)
{
    pthread_mutex_lock(&p->lock);
    p->read = !p->left_behind;
    p->left_behind = false;
    sort_by_use(p);
    if (write_all)
        table_each(&p->table, mark, &p->table);
    pthread_mutex_unlock(&p->lock);
}

size_t policies_room(const struct policies *p)
{
    return p->max;
}
