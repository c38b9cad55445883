/* SPDX-License-Identifier: Apache-2.0 */
/* store - see store.h for the contract.  Here: the thread, and what it says of the file. */
#include "proxy/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/store/clock_internal.h"
#include "proxy/store/db_internal.h"
#include "proxy/store/store_internal.h"

#define BATCH 256 /* of each table, in one transaction */
#define FIRST_RETRY_MS 1000
#define LAST_RETRY_MS (60 * 1000LL)
#define IDLE_MS (60 * 1000LL) /* to look whether the file is still there, and what expired */
#define EXPIRING_MS 1000      /* between two portions of what expired */
#define STOP_MS 2000
#define GRACE_MS 1000
#define ASIDE_AGAIN_MS \
    (60 * 60 * 1000LL) /* a disk that damages every file does not fill up with them */

struct store {
    char *path;      /* "": memory only */
    struct log *log; /* under bell.lock: store_close() may take it away */
    bool read_only;
    struct policies *policies;
    struct rungs *rungs;
    struct ledger *ledger;
    atomic_bool lasting;

    struct bell bell; /* its lock guards these too: */
    pthread_cond_t answered;
    uint64_t asked, done, failed; /* numbers of store_flush() */
    bool stopping, ended;         /* asked to, and done: nothing of the store is used any more */
    mono_ms stop_by;

    /* The thread's; before it starts, of store_open(). */
    struct db *db;
    bool was_open;            /* once, so memory may hold more than the file */
    enum db_trouble trouble;  /* the one that was told */
    struct db_loaded loaded;  /* of the last opening */
    bool untold;              /* ... which was not told yet */
    mono_ms again, retry_ms;  /* in trouble: the next try, and the span to the one behind it */
    mono_ms aside_at;         /* a damaged file was put aside; 0: never */
    bool expiring;            /* the ledger has more that expired */
    size_t tls_max;           /* so many TLS sessions are read when it opens, the rest goes */
    struct tls_rows tls_rows; /* of the last run; then what is left for the next one */
    struct policy_job policy_jobs[BATCH];
    struct rung_job rung_jobs[BATCH];
    struct ledger_job ledger_jobs[BATCH];

    pthread_t thread;
    bool started;
};

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, mono_ms until)
{
    struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

    (void)pthread_cond_timedwait(cond, lock, &t); /* the caller looks why it returned */
}

static void ring(struct bell *b, bool urgent)
{
    pthread_mutex_lock(&b->lock);
    if (!b->rung || (urgent && !b->urgent)) {
        b->rung = true;
        b->urgent = b->urgent || urgent;
        pthread_cond_signal(&b->cond);
    }
    pthread_mutex_unlock(&b->lock);
}

void bell_ring(struct bell *b)
{
    ring(b, false);
}

void bell_ring_now(struct bell *b)
{
    ring(b, true);
}

static struct record *own_record(const struct store *s, enum record_severity severity,
                                 const char *state)
{
    struct record *r = record_new("store", severity, clock_ms(CLOCK_REALTIME));

    record_cstr(r, "state", state);
    record_cstr(r, "path", s->path);
    return r;
}

static void tell(struct store *s, struct record *r)
{
    pthread_mutex_lock(&s->bell.lock);
    if (s->log != NULL)
        log_record(s->log, r);
    else
        record_free(r);
    pthread_mutex_unlock(&s->bell.lock);
}

/* Each trouble once, until it is over. */
static void tell_trouble(struct store *s, const struct db_error *e)
{
    struct record *r;

    if (s->trouble == e->trouble)
        return;
    s->trouble = e->trouble;
    r = own_record(s, RECORD_ERROR, s->was_open ? "failed" : "memory");
    record_cstr(r, "detail", e->detail);
    record_cstr(r, "hint", e->hint);
    tell(s, r);
}

/* Only when all that waited is written too: a disk that can be read and not written is no use. */
static void tell_open(struct store *s)
{
    const struct db_loaded *loaded = &s->loaded;
    struct record *r = own_record(s, loaded->dropped > 0 ? RECORD_WARNING : RECORD_INFO,
                                  s->trouble == DB_FINE ? "open" : "recovered");

    record_int(r, "policies", (int64_t)policies_count(s->policies));
    record_int(r, "rungs", (int64_t)rungs_count(s->rungs));
    record_int(r, "ledger", (int64_t)ledger_count(s->ledger));
    if (loaded->dropped > 0) {
        record_int(r, "dropped", (int64_t)loaded->dropped);
        record_strf(r, "detail", "rows could not be used, the first is of %s",
                    loaded->first_dropped);
        record_cstr(r, "hint",
                    "nothing: policies are fetched and rungs learned again; a mail whose entry in "
                    "the ledger is lost may come twice");
    }
    tell(s, r);
    s->trouble = DB_FINE;
    s->loaded = (struct db_loaded){0};
    s->untold = false;
}

/* A new file in the place of a damaged one.  Not again and again: then it is the disk. */
static bool put_aside(struct store *s, struct db_error *e)
{
    struct db_error why = *e;
    struct record *r;
    struct buf kept_as;
    mono_ms now = now_ms();

    if (s->aside_at != 0 && now - s->aside_at < ASIDE_AGAIN_MS)
        return false;
    buf_init(&kept_as, 8192);
    if (!db_put_aside(s->path, clock_ms(CLOCK_REALTIME), &kept_as, e)) {
        buf_clear(&kept_as);
        return false;
    }
    s->aside_at = now;
    r = own_record(s, RECORD_ERROR, "damaged");
    record_cstr(r, "detail", why.detail);
    record_str(r, "kept_as", buf_slice(&kept_as));
    record_cstr(r, "hint", "nothing: a new file is made; look at the disk if it happens again");
    tell(s, r);
    buf_clear(&kept_as);
    return true;
}

static bool open_and_load(struct store *s, struct db_error *e)
{
    s->db = db_open(s->path, s->read_only, e);
    if (s->db != NULL && (!db_load(s->db, s->policies, s->rungs, s->ledger,
                                   clock_ms(CLOCK_REALTIME), &s->loaded, e) ||
                          !db_take_tls(s->db, s->tls_max, &s->tls_rows, e)))
        db_close(&s->db);
    return s->db != NULL;
}

static bool attach(struct store *s, struct db_error *e)
{
    bool anew = s->was_open;

    if (!open_and_load(s, e)) {
        if (e->trouble != DB_DAMAGED || s->read_only || !put_aside(s, e))
            return false;
        anew = true; /* also what was read before the damage showed */
        if (!open_and_load(s, e))
            return false;
    }
    s->was_open = true;
    policies_loaded(s->policies, anew);
    rungs_loaded(s->rungs, anew);
    ledger_loaded(s->ledger, anew);
    s->untold = true;
    return true;
}

static bool out_of_time(void *owner)
{
    struct store *s = owner;
    bool over;

    pthread_mutex_lock(&s->bell.lock);
    over = s->stopping && now_ms() >= s->stop_by;
    pthread_mutex_unlock(&s->bell.lock);
    return over;
}

static bool write_batch(struct store *s, bool *nothing, struct db_error *e)
{
    struct db_jobs jobs = {
        .policies = s->policy_jobs, .rungs = s->rung_jobs, .ledger = s->ledger_jobs};
    bool ok;

    jobs.policy_count = policies_take(s->policies, s->policy_jobs, BATCH);
    jobs.rung_count = rungs_take(s->rungs, s->rung_jobs, BATCH);
    jobs.ledger_count = ledger_take(s->ledger, s->ledger_jobs, BATCH);
    *nothing = jobs.policy_count + jobs.rung_count + jobs.ledger_count == 0;
    ok = *nothing || db_write(s->db, &jobs, e);
    policies_settle(s->policies, s->policy_jobs, jobs.policy_count, ok);
    rungs_settle(s->rungs, s->rung_jobs, jobs.rung_count, ok);
    ledger_settle(s->ledger, s->ledger_jobs, jobs.ledger_count, ok);
    ledger_tell(s->ledger); /* not behind further batches */
    return ok;
}

static bool write_batches(struct store *s, struct db_error *e)
{
    for (;;) {
        bool nothing;

        if (!write_batch(s, &nothing, e))
            return false;
        if (nothing)
            return true;
        if (out_of_time(s)) {
            *e = (struct db_error){.trouble = DB_BUSY,
                                   .detail = "the process ended before all was written",
                                   .hint = "the disk is slow: see what else writes to it"};
            return false;
        }
    }
}

/* Everything that waits, to the disk. */
static bool write_round(struct store *s, struct db_error *e)
{
    if (s->db != NULL && db_moved(s->db)) {
        db_close(&s->db);
        *e = (struct db_error){.trouble = DB_FAILED,
                               .detail = "the file was moved or removed",
                               .hint = "stop tlsmend before; what is in memory is written anew"};
        tell_trouble(s, e);
    }
    if (s->db == NULL && !attach(s, e))
        return false;
    if (write_batches(s, e))
        return true;
    if (e->trouble == DB_DAMAGED) {
        db_close(&s->db);
        if (!put_aside(s, e) || !attach(s, e))
            return false;
        return write_batches(s, e);
    }
    /* With no room or no lock the connection is as good as before. */
    if (e->trouble == DB_FAILED)
        db_close(&s->db);
    return false;
}

static void in_trouble(struct store *s, const struct db_error *e)
{
    atomic_store(&s->lasting, false);
    tell_trouble(s, e);
    if (s->retry_ms != 0 && now_ms() < s->again)
        return; /* somebody asked for a try in between */
    s->retry_ms = s->retry_ms == 0 ? FIRST_RETRY_MS : s->retry_ms * 2;
    if (s->retry_ms > LAST_RETRY_MS)
        s->retry_ms = LAST_RETRY_MS;
    s->again = now_ms() + s->retry_ms;
}

static void no_trouble(struct store *s)
{
    if (s->untold || s->trouble != DB_FINE)
        tell_open(s);
    s->retry_ms = 0;
    atomic_store(&s->lasting, !s->read_only);
}

/* Until there is something to do; answers with the number of the flush to be answered then. */
static uint64_t wait_for_work(struct store *s, bool *stopping)
{
    struct bell *b = &s->bell;
    mono_ms until = s->retry_ms != 0 ? s->again : now_ms() + (s->expiring ? EXPIRING_MS : IDLE_MS);
    uint64_t asked;

    pthread_mutex_lock(&b->lock);
    while (!s->stopping && s->asked == s->done && !b->urgent && !(b->rung && s->retry_ms == 0) &&
           now_ms() < until)
        wait_until(&b->cond, &b->lock, until);
    b->rung = b->urgent = false;
    asked = s->asked;
    *stopping = s->stopping;
    pthread_mutex_unlock(&b->lock);
    return asked;
}

/* The last that is written: who has them has ended. */
static void leave_tls(struct store *s)
{
    struct db_error e = {.trouble = DB_FINE};

    if (s->db != NULL && s->tls_rows.count > 0 && !db_moved(s->db) &&
        !db_put_tls(s->db, &s->tls_rows, out_of_time, s, &e))
        tell_trouble(s, &e);
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    bool stopping = false;

    while (!stopping) {
        uint64_t asked = wait_for_work(s, &stopping);
        struct db_error e = {.trouble = DB_FINE};
        bool ok;

        s->expiring = ledger_begin(s->ledger, clock_ms(CLOCK_REALTIME));
        ok = write_round(s, &e);
        if (ok)
            no_trouble(s);
        else
            in_trouble(s, &e);
        ledger_end(s->ledger, ok);
        ledger_tell(s->ledger);
        pthread_mutex_lock(&s->bell.lock);
        s->done = asked;
        if (!ok)
            s->failed = asked;
        pthread_cond_broadcast(&s->answered);
        pthread_mutex_unlock(&s->bell.lock);
    }
    leave_tls(s);
    db_close(&s->db);
    pthread_mutex_lock(&s->bell.lock);
    s->ended = true;
    pthread_cond_broadcast(&s->answered);
    pthread_mutex_unlock(&s->bell.lock);
    return NULL;
}

static bool start(struct store *s)
{
    sigset_t all, before;

    /* Signals are main's. */
    INVARIANT(sigfillset(&all) == 0);
    INVARIANT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    s->started = pthread_create(&s->thread, NULL, writer_main, s) == 0;
    INVARIANT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return s->started;
}

static void init_locks(struct store *s)
{
    pthread_condattr_t monotonic;

    INVARIANT(pthread_condattr_init(&monotonic) == 0);
    INVARIANT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_mutex_init(&s->bell.lock, NULL) == 0);
    INVARIANT(pthread_cond_init(&s->bell.cond, &monotonic) == 0);
    INVARIANT(pthread_cond_init(&s->answered, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
}

static void open_first(struct store *s, struct buf *warning)
{
    struct db_error e = {.trouble = DB_FINE};
    bool ok = attach(s, &e);

    s->tls_max = 0; /* nobody asks again: of a file that opens later they just go */
    if (ok)
        no_trouble(s);
    else
        in_trouble(s, &e);
    ledger_end(s->ledger, ok);
    if (s->read_only)
        db_close(&s->db);
    else if (!start(s)) {
        ok = false;
        e = (struct db_error){.detail = "no thread can be started",
                              .hint = "raise the limit of threads (ulimit -u, TasksMax)"};
        in_trouble(s, &e);
        ledger_abandon(s->ledger);
        db_close(&s->db);
    }
    if (!ok && warning != NULL)
        (void)buf_addf(warning, "store %s: %s: %s%s\n", s->path, e.detail, e.hint,
                       s->read_only ? "" : "; meanwhile it works from memory");
}

struct store *store_open(const struct store_params *p, struct buf *warning)
{
    struct store *s = mem_zalloc(sizeof(*s));
    bool lasting = p->path[0] != '\0' && !p->read_only;

    s->path = mem_strdup(p->path);
    s->log = p->log;
    s->read_only = p->read_only;
    s->tls_max = p->tls_sessions_max;
    s->expiring = true; /* of what the file has, nobody knows yet */
    init_locks(s);
    s->policies = policies_new(p->policies_max, lasting, &s->bell);
    s->rungs = rungs_new(p->rungs_max, lasting, &s->bell);
    s->ledger = ledger_new(p->ledger_max, p->ledger_keep, lasting, &s->bell);
    if (s->path[0] != '\0')
        open_first(s, warning);
    return s;
}

bool store_flush(struct store *s, int64_t ms)
{
    mono_ms until = now_ms() + ms;
    uint64_t mine;
    bool ok;

    if (!s->started)
        return s->path[0] == '\0' || s->read_only; /* nothing is to be written */
    pthread_mutex_lock(&s->bell.lock);
    mine = ++s->asked;
    pthread_cond_signal(&s->bell.cond);
    while (s->done < mine && now_ms() < until)
        wait_until(&s->answered, &s->bell.lock, until);
    ok = s->done >= mine && s->failed < mine;
    pthread_mutex_unlock(&s->bell.lock);
    return ok;
}

/* A disk that hangs is left behind, with the thread and all that it uses; the process is about to
 * end. */
static bool thread_ended(struct store *s)
{
    int64_t until = now_ms() + STOP_MS + GRACE_MS;
    bool ended;

    pthread_mutex_lock(&s->bell.lock);
    while (!s->ended && now_ms() < until)
        wait_until(&s->answered, &s->bell.lock, until);
    ended = s->ended;
    if (!ended)
        s->log = NULL; /* it goes before the thread does */
    pthread_mutex_unlock(&s->bell.lock);
    if (ended)
        (void)pthread_join(s->thread, NULL);
    else
        (void)pthread_detach(s->thread);
    return ended;
}

void store_close(struct store **held)
{
    struct store *s = *held;

    *held = NULL;
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->bell.lock);
    s->stopping = true;
    s->stop_by = now_ms() + STOP_MS;
    pthread_cond_signal(&s->bell.cond);
    pthread_mutex_unlock(&s->bell.lock);
    if (s->started && !thread_ended(s)) {
        ledger_silence(s->ledger);
        return;
    }
    tls_rows_clear(&s->tls_rows);
    policies_free(&s->policies);
    rungs_free(&s->rungs);
    ledger_free(&s->ledger);
    (void)pthread_cond_destroy(&s->answered);
    (void)pthread_cond_destroy(&s->bell.cond);
    (void)pthread_mutex_destroy(&s->bell.lock);
    free(s->path);
    free(s);
}

void store_take_tls(struct store *s,
                    void (*each)(void *owner, struct slice key, struct slice bytes), void *owner)
{
    for (size_t i = s->tls_rows.count; i > 0; i--)
        each(owner, s->tls_rows.rows[i - 1].key, s->tls_rows.rows[i - 1].bytes);
    tls_rows_clear(&s->tls_rows);
}

void store_leave_tls(struct store *s, struct slice key, struct slice bytes)
{
    if (s->started)
        tls_rows_add(&s->tls_rows, key, bytes);
}

bool store_lasting(const struct store *s)
{
    return atomic_load(&s->lasting);
}

struct policies *store_policies(struct store *s)
{
    return s->policies;
}

struct rungs *store_rungs(struct store *s)
{
    return s->rungs;
}

struct ledger *store_ledger(struct store *s)
{
    return s->ledger;
}
