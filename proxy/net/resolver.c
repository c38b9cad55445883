/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver - see resolver.h for the contract.
 *
 * A question is what libunbound is asked; those who wait for it are its waiters, each with a time
 * limit of its own. A question whose waiters are all gone stays until libunbound has answered (its
 * cache profits, and a late answer meets no dead pointer).  Answers are handed out when the stack
 * is empty, never inside ub_process(), so a waiter may do anything, resolver_free() included.
 */
#include "proxy/net/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/loop_internal.h"
#include "proxy/net/resolver_internal.h"

#define RESOLVER_MAGIC 0x5245534fu
#define QUESTION_MAGIC 0x51554553u
#define QUERY_MAGIC 0x51555259u
#define BUCKETS 256
#define QUESTIONS_MAX 20000 /* libunbound gives every one up sooner or later */
#define CLASS_IN 1

struct question {
    uint32_t magic;
    struct resolver *resolver;
    struct question *next, **link; /* in a bucket, then among the answered */
    char *name;
    enum dns_type type;
    mono_ms asked;
    struct dns_query *waiters, **last;
    const struct dns_answer *answer;
};

struct dns_query {
    uint32_t magic;
    struct question *question; /* NULL: the resolver is gone */
    struct dns_query *next, **link;
    dns_done_fn *done;
    void *owner;
    struct timer *limit;
    mono_ms asked;
};

struct resolver {
    uint32_t magic;
    struct loop *loop;
    struct resolver_context *context;
    struct event *event;
    struct question *buckets[BUCKETS];
    size_t count; /* of questions under way */
    struct question *answered, **answered_last;
    bool queued; /* hand_out() is */
    bool dying;
};

/* ---- questions ---- */

static struct question **bucket(struct resolver *r, const char *name, enum dns_type type)
{
    uint32_t h = 2166136261u ^ (uint32_t)type; /* FNV-1a */

    for (const char *c = name; *c != '\0'; c++)
        h = (h ^ (unsigned char)*c) * 16777619u;
    return &r->buckets[h % BUCKETS];
}

static void question_link(struct question *q, struct question **at)
{
    q->next = *at;
    q->link = at;
    if (q->next != NULL)
        q->next->link = &q->next;
    *at = q;
}

static void question_unlink(struct question *q)
{
    *q->link = q->next;
    if (q->next != NULL)
        q->next->link = q->link;
    q->link = NULL;
}

static void question_free(struct question *q)
{
    struct dns_query *w;

    while ((w = q->waiters) != NULL) { /* only with the resolver itself: the handles outlive it */
        q->waiters = w->next;
        w->next = NULL;
        w->link = NULL;
        w->question = NULL;
        timer_free(&w->limit);
    }
    dns_answer_drop(&q->answer);
    free(q->name);
    q->magic = 0;
    free(q);
}

static void waiter_unlink(struct dns_query *w)
{
    if (w->question == NULL)
        return;
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    else
        w->question->last = w->link;
    w->question = NULL;
}

static void waiter_free(struct dns_query *w)
{
    waiter_unlink(w);
    timer_free(&w->limit);
    w->magic = 0;
    free(w);
}

/* ---- answers ---- */

static struct dns_query *waiter_pop(struct question *q)
{
    struct dns_query *w = q->waiters;

    q->waiters = w->next;
    if (w->next != NULL)
        w->next->link = &q->waiters;
    else
        q->last = &q->waiters;
    w->question = NULL;
    return w;
}

/* The handle ends here; nothing of `w` may be touched behind it. */
static void tell(struct dns_query *w, const struct dns_answer *a)
{
    dns_done_fn *done = w->done;
    void *owner = w->owner;

    waiter_free(w);
    done(owner, a);
}

static void hand_out(void *owner)
{
    struct resolver *r = OBJ_CAST(resolver, RESOLVER_MAGIC, owner);
    struct question *q;

    r->queued = false;
    while (!r->dying && (q = r->answered) != NULL) {
        const struct dns_answer *a = dns_answer_hold(q->answer);

        while (!r->dying && q->waiters != NULL)
            tell(waiter_pop(q), a);
        dns_answer_drop(&a);
        if (r->dying)
            return; /* the question went with the resolver */
        question_unlink(q);
        if (r->answered == NULL)
            r->answered_last = &r->answered;
        question_free(q);
    }
}

static void answer(struct question *q, struct dns_answer *a)
{
    struct resolver *r = q->resolver;

    a->took_ms = clock_mono() - q->asked;
    q->answer = a;
    question_unlink(q);
    r->count--;
    question_link(q, r->answered_last);
    r->answered_last = &q->next;
    if (!r->queued) {
        r->queued = true;
        loop_defer(r->loop, hand_out, r);
    }
}

static void on_result(void *arg, int error, struct ub_result *result)
{
    struct question *q = OBJ_CAST(question, QUESTION_MAGIC, arg);

    if (error != UB_NOERROR || result == NULL)
        answer(q, dns_answer_bare(q->name, q->type, DNS_FAILED, ub_strerror(error)));
    else
        answer(q, dns_answer_of(q->name, q->type, result));
    ub_resolve_free(result);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct resolver *r = OBJ_CAST(resolver, RESOLVER_MAGIC, arg);
    struct loop *l = r->loop;

    (void)fd;
    (void)what;
    loop_enter(l);
    /* An error here means a broken pipe to its thread; then every question ends by its time limit.
     */
    (void)ub_process(r->context->ub);
    loop_leave(l);
}

static void on_limit(void *owner)
{
    struct dns_query *w = OBJ_CAST(dns_query, QUERY_MAGIC, owner);
    struct dns_answer *a =
        dns_answer_bare(w->question->name, w->question->type, DNS_TIMED_OUT, "no answer in time");
    const struct dns_answer *told = a;

    a->took_ms = clock_mono() - w->asked;
    tell(w, told);
    dns_answer_drop(&told);
}

/* ---- the resolver ---- */

struct resolver *resolver_open(struct loop *l, struct resolver_context **prepared)
{
    struct resolver *r = mem_zalloc(sizeof(*r));

    r->magic = RESOLVER_MAGIC;
    r->loop = l;
    r->answered_last = &r->answered;
    r->event = event_new(loop_base(l), ub_fd((*prepared)->ub), EV_READ | EV_PERSIST, on_ready, r);
    INVARIANT(r->event != NULL);
    if (event_add(r->event, NULL) != 0) {
        event_free(r->event);
        free(r);
        return NULL;
    }
    r->context = *prepared;
    *prepared = NULL;
    return r;
}

struct resolver *resolver_new(struct loop *l, const struct resolver_params *p, struct buf *error)
{
    struct resolver_context *c = resolver_prepare(p, error);
    struct resolver *r = c != NULL ? resolver_open(l, &c) : NULL;

    if (c != NULL) {
        (void)buf_addf(error, "resolver: the event loop takes no more descriptors");
        resolver_context_free(&c);
    }
    return r;
}

static void destroy(void *owner)
{
    struct resolver *r = OBJ_CAST(resolver, RESOLVER_MAGIC, owner);

    r->magic = 0;
    free(r);
}

static void free_questions(struct question *q)
{
    struct question *next;

    for (; q != NULL; q = next) {
        next = q->next;
        question_free(q);
    }
}

struct resolver_context *resolver_close(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    struct resolver_context *c = r->context;

    *resolver = NULL;
    r->dying = true;
    r->context = NULL;
    event_free(r->event); /* calls come from ub_process() alone: none comes any more */
    for (size_t i = 0; i < BUCKETS; i++)
        free_questions(r->buckets[i]);
    free_questions(r->answered);
    loop_defer(r->loop, destroy, r);
    return c;
}

void resolver_free(struct resolver **resolver)
{
    struct resolver_context *c;

    if (*resolver == NULL)
        return;
    c = resolver_close(resolver);
    resolver_context_free(&c);
}

/* ---- asking ---- */

static struct question *under_way(struct resolver *r, const char *name, enum dns_type type)
{
    mono_ms now = clock_mono();

    for (struct question *q = *bucket(r, name, type); q != NULL; q = q->next)
        /* An older one that libunbound still works at may be stuck: ask anew. */
        if (q->type == type && strcmp(q->name, name) == 0 && now - q->asked < r->context->timeout)
            return q;
    return NULL;
}

static struct question *ask_anew(struct resolver *r, const char *name, enum dns_type type)
{
    struct question *q = mem_zalloc(sizeof(*q));
    int error;

    q->magic = QUESTION_MAGIC;
    q->resolver = r;
    q->name = mem_strdup(name);
    q->type = type;
    q->asked = clock_mono();
    q->last = &q->waiters;
    question_link(q, bucket(r, name, type));
    if (r->count++ >= QUESTIONS_MAX) {
        answer(q, dns_answer_bare(name, type, DNS_FAILED, "too many questions under way"));
        return q;
    }
    error = ub_resolve_async(r->context->ub, name[0] != '\0' ? name : ".", (int)type, CLASS_IN, q,
                             on_result, NULL);
    if (error != UB_NOERROR)
        answer(q, dns_answer_bare(name, type, DNS_FAILED, ub_strerror(error)));
    return q;
}

struct dns_query *dns_ask(struct resolver *r, const char *name, enum dns_type type,
                          dns_done_fn *done, void *owner)
{
    struct dns_query *w = mem_zalloc(sizeof(*w));
    char *normal = dns_name_normalised(name);
    struct question *q = under_way(r, normal, type);

    if (q == NULL)
        q = ask_anew(r, normal, type);
    free(normal);
    w->magic = QUERY_MAGIC;
    w->done = done;
    w->owner = owner;
    w->asked = clock_mono();
    w->question = q;
    w->link = q->last;
    *q->last = w;
    q->last = &w->next;
    w->limit = timer_new(r->loop, on_limit, w);
    timer_arm(w->limit, r->context->timeout);
    return w;
}

void dns_cancel(struct dns_query **query)
{
    struct dns_query *w = *query;

    *query = NULL;
    if (w != NULL)
        waiter_free(OBJ_CAST(dns_query, QUERY_MAGIC, w));
}
