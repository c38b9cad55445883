/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger and its disk: when a ticket is settled, who hears of it, and that nobody waits long in any
 * trouble (C-OPS-03). */
#include "tests/unit/store/ledger_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define NOBODY 65534
#define SOON 3000 /* ms: a ticket never waits longer; two busy timeouts, and a slow machine */

static atomic_uint syncs;
static atomic_bool sync_fails;

/* In the place of the system's, for SQLite too. */
int fdatasync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    if (atomic_load(&sync_fails)) {
        errno = EIO;
        return -1;
    }
    return fsync(fd);
}

/* Until the next call. */
static const char *name(uint32_t i)
{
    static _Thread_local char text[64];

    (void)snprintf(text, sizeof(text), "user%u@example.com", i);
    return text;
}

static bool put(struct store *s, uint32_t i, uint64_t *ticket)
{
    struct ledger_entry e = led_entry("a@example.org", name(i), i);

    return led_put(store_ledger(s), &e, ticket);
}

static bool has(struct store *s, uint32_t i)
{
    return led_knows(store_ledger(s), "a@example.org", name(i), NOW);
}

static void take_away(struct store *s, uint32_t i)
{
    struct ledger_entry e = led_entry("a@example.org", name(i), i);

    ledger_remove(store_ledger(s), &e);
}

static enum ledger_state put_and_wait(struct store *s, uint32_t i)
{
    uint64_t ticket;

    assert_true(put(s, i, &ticket));
    return led_wait(store_ledger(s), ticket, SOON);
}

static struct store *open_quietly(void)
{
    return store_open(&(struct store_params){.path = rig_path,
                                             .policies_max = 10,
                                             .rungs_max = 10,
                                             .ledger_max = 10000,
                                             .ledger_keep = WEEK},
                      NULL);
}

/* C-OPS-01: the medium has an entry before its ticket is settled; nothing else pays for that. */
static void c_ops_01_medium(void **state)
{
    struct store *s = rig_open();
    unsigned before;

    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        before = atomic_load(&syncs);
        assert_int_equal(put_and_wait(s, i), LEDGER_DURABLE);
        assert_true(atomic_load(&syncs) > before);
        before = atomic_load(&syncs);
        assert_true(rig_put(s, "a.example", NOW + i));
        assert_true(store_flush(s, 20000));
        if (i % 3 == 0)
            take_away(s, i);
        assert_true(store_flush(s, 20000));
        assert_int_equal(atomic_load(&syncs), before);
    }
    rig_close(&s);
}

/* C-OPS-03: a medium that answers with an error: it is not durable, it is said, and it is mended. */
static void c_ops_03_medium_fails(void **state)
{
    struct store *s = rig_open();
    uint64_t ticket;

    (void)state;
    atomic_store(&sync_fails, true);
    assert_true(put(s, 1, &ticket));
    assert_int_equal(led_wait(store_ledger(s), ticket, SOON), LEDGER_FAILED);
    assert_true(has(s, 1));
    assert_false(ledger_ready(store_ledger(s), 0, NOW));
    atomic_store(&sync_fails, false);
    assert_true(store_flush(s, 20000));
    assert_int_equal(ledger_settled(store_ledger(s), ticket), LEDGER_DURABLE); /* after all */
    assert_true(ledger_ready(store_ledger(s), 1, NOW));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "1");
    assert_int_equal(rig_said("\"state\":\"failed\"", "tlsmend.db"), 1);
    assert_int_equal(rig_said("\"state\":\"recovered\"", "\"ledger\":1"), 1);
}

static sqlite3 *lock_file(const char *how)
{
    sqlite3 *other;

    assert_int_equal(sqlite3_open(rig_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, how, NULL, NULL, NULL), SQLITE_OK);
    return other;
}

/* C-OPS-03: locked by another process. */
static void c_ops_03_locked(void **state)
{
    struct store *s = rig_open();
    uint64_t tickets[6];
    sqlite3 *other;

    (void)state;
    assert_int_equal(put_and_wait(s, 0), LEDGER_DURABLE);
    assert_int_equal(put_and_wait(s, 1), LEDGER_DURABLE);
    other = lock_file("BEGIN IMMEDIATE");
    for (uint32_t i = 0; i < COUNT(tickets); i++) { /* each at once, however long the timer is */
        assert_true(put(s, 10 + i, &tickets[i]));
        assert_int_equal(led_wait(store_ledger(s), tickets[i], SOON), LEDGER_FAILED);
        assert_false(ledger_ready(store_ledger(s), 0, NOW));
    }
    take_away(s, 1);
    take_away(s, 10);
    assert_false(has(s, 1));
    assert_false(has(s, 10));
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    /* The next one, too, finds out at once, and takes the others along. */
    assert_int_equal(put_and_wait(s, 2), LEDGER_DURABLE);
    for (uint32_t i = 0; i < COUNT(tickets); i++)
        assert_int_equal(ledger_settled(store_ledger(s), tickets[i]), LEDGER_DURABLE);
    for (int i = 0; i < SOON && !ledger_ready(store_ledger(s), 1, NOW); i++)
        (void)poll(NULL, 0, 1);
    assert_true(ledger_ready(store_ledger(s), 1, NOW));
    rig_close(&s);
    /* 0, 2, and six less one */
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "7");

    /* Locked when it is opened: what the file has is not known yet. */
    other = lock_file("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    s = rig_open_as(rig_path, false, 1000, NULL);
    assert_false(ledger_ready(store_ledger(s), 0, NOW));
    assert_false(has(s, 0));
    assert_int_equal(put_and_wait(s, 3), LEDGER_FAILED);
    assert_int_equal(put_and_wait(s, 2), LEDGER_FAILED); /* removed again: the file's goes too */
    take_away(s, 2);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_true(store_flush(s, 20000));
    assert_true(has(s, 0));
    assert_false(has(s, 2));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "7");
}

/* Moved away, or damaged: it is made anew, with everything. */
static void made_anew(void **state)
{
    char other[128];
    struct store *s = rig_open();

    (void)state;
    for (uint32_t i = 0; i < 600; i++) /* more than one batch */
        assert_true(put(s, i, NULL));
    assert_int_equal(put_and_wait(s, 600), LEDGER_DURABLE);
    (void)snprintf(other, sizeof(other), "%s/other", rig_folder);
    assert_int_equal(rename(rig_path, other), 0);
    assert_int_equal(put_and_wait(s, 601), LEDGER_DURABLE);
    assert_true(store_flush(s, 20000));
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "602");
    (void)rig_sql(rig_path, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(truncate(rig_path, 5000), 0);
    for (uint32_t i = 0; i < 602; i++) /* sooner or later it reads a bad page */
        assert_true(put(s, i, NULL));
    (void)store_flush(s, 5000);
    assert_int_equal(put_and_wait(s, 602), LEDGER_DURABLE);
    assert_true(ledger_ready(store_ledger(s), 1, NOW) || store_flush(s, 20000));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "603");
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    s = rig_open();
    for (uint32_t i = 0; i < 603; i++)
        assert_true(has(s, i));
    rig_close(&s);
}

static void as_nobody(void (*act)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 &&
            (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(2);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void cannot_write(void)
{
    struct store *s = open_quietly();
    uint64_t ticket;

    for (uint32_t i = 0; i < 3; i++)
        if (ledger_ready(store_ledger(s), 0, NOW) || !put(s, i, &ticket) ||
            led_wait(store_ledger(s), ticket, SOON) != LEDGER_FAILED || !has(s, i))
            _exit(3);
    store_close(&s);
}

/* C-OPS-03: a folder where nothing may be written. */
static void c_ops_03_forbidden(void **state)
{
    (void)state;
    assert_int_equal(chmod(rig_folder, 0555), 0);
    as_nobody(cannot_write);
    assert_int_equal(chmod(rig_folder, 0755), 0);
}

static void fill(const char *path)
{
    static char block[65536];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    while (write(fd, block, sizeof(block)) > 0)
        ;
    while (write(fd, block, 1) > 0)
        ;
    (void)close(fd);
}

/* In a mount namespace of its own: a disk of 512 KiB over the folder. */
static _Noreturn void with_a_small_disk(void)
{
    enum ledger_state state = LEDGER_DURABLE;
    char filler[128];
    struct store *s;
    uint64_t ticket = 0;
    uint32_t i = 0;

    if ((geteuid() == 0 ? unshare(CLONE_NEWNS) : unshare(CLONE_NEWUSER | CLONE_NEWNS)) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", rig_folder, "tmpfs", 0, "size=512k") != 0)
        _exit(2);
    s = open_quietly();
    if (!ledger_ready(store_ledger(s), 1, NOW))
        _exit(3);
    (void)snprintf(filler, sizeof(filler), "%s/filler", rig_folder);
    fill(filler);
    while (state == LEDGER_DURABLE && i < 5000) {
        if (!put(s, i++, &ticket))
            _exit(4);
        state = led_wait(store_ledger(s), ticket, SOON);
    }
    if (state != LEDGER_FAILED || !has(s, i - 1))
        _exit(5);
    for (int k = 0; k < SOON && ledger_ready(store_ledger(s), 0, NOW); k++)
        (void)poll(NULL, 0, 1);
    if (ledger_ready(store_ledger(s), 0, NOW))
        _exit(6);
    if (unlink(filler) != 0 || !store_flush(s, 20000) ||
        ledger_settled(store_ledger(s), ticket) != LEDGER_DURABLE)
        _exit(7);
    store_close(&s);
    s = open_quietly();
    for (uint32_t k = 0; k < i; k++)
        if (!has(s, k))
            _exit(8);
    store_close(&s);
    _exit(0);
}

/* C-OPS-03: the disk is full. */
static void c_ops_03_disk_full(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        with_a_small_disk();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

struct watcher {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned calls;
    pthread_t by;
};

static void heard(void *ctx)
{
    struct watcher *w = ctx;

    pthread_mutex_lock(&w->lock);
    w->calls++;
    w->by = pthread_self();
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

/* As a session does it: sleeps until it hears, and asks then. */
static enum ledger_state sleep_until_settled(struct ledger *l, struct watcher *w, uint64_t ticket)
{
    struct timespec until;
    enum ledger_state state;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&w->lock);
    while ((state = ledger_settled(l, ticket)) == LEDGER_WAITING)
        if (pthread_cond_timedwait(&w->cond, &w->lock, &until) != 0)
            break;
    pthread_mutex_unlock(&w->lock);
    return state;
}

static void watcher_init(struct watcher *w)
{
    *w = (struct watcher){.calls = 0};
    assert_int_equal(pthread_mutex_init(&w->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&w->cond, NULL), 0);
}

static void watches(void **state)
{
    struct store *s = rig_open();
    struct ledger *l = store_ledger(s);
    struct ledger_watch *handle[2];
    struct watcher w[2];
    uint64_t ticket;
    sqlite3 *other;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        watcher_init(&w[i]);
        handle[i] = ledger_watch(l, heard, &w[i]);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(put(s, i, &ticket));
        assert_int_equal(sleep_until_settled(l, &w[0], ticket), LEDGER_DURABLE);
    }
    other = lock_file("BEGIN IMMEDIATE"); /* failures are told too */
    assert_true(put(s, 100, &ticket));
    assert_int_equal(sleep_until_settled(l, &w[1], ticket), LEDGER_FAILED);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_true(store_flush(s, 20000));
    assert_in_range(w[1].calls, 2, 40);
    assert_false(pthread_equal(w[1].by, pthread_self()));
    /* Nothing of the ledger changed: nobody is called. */
    ledger_unwatch(l, &handle[0]);
    w[0].calls = w[1].calls = 0;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 20000));
    assert_int_equal(w[1].calls, 0);
    assert_int_equal(put_and_wait(s, 101), LEDGER_DURABLE);
    assert_true(store_flush(s, 20000));
    assert_int_equal(w[0].calls, 0); /* it had gone */
    assert_int_equal(w[1].calls, 1);
    ledger_unwatch(l, &handle[1]);
    rig_close(&s);
}

struct crowd {
    struct store *store;
    uint32_t first;
    unsigned bad;
};

/* Watches that come and go while others wait.  What a watch is given ends with it, so a call that came
 * too late would be seen by the sanitizers. */
static void *come_and_go(void *arg)
{
    struct crowd *c = arg;

    for (uint32_t i = 0; i < 60; i++) {
        struct watcher *w = malloc(sizeof(*w));
        struct ledger_watch *handle;
        uint64_t ticket;

        watcher_init(w);
        handle = ledger_watch(store_ledger(c->store), heard, w);
        if (!put(c->store, c->first + i, &ticket) ||
            (i % 3 != 0 &&
             sleep_until_settled(store_ledger(c->store), w, ticket) != LEDGER_DURABLE))
            c->bad++;
        ledger_unwatch(store_ledger(c->store), &handle);
        (void)pthread_mutex_destroy(&w->lock);
        (void)pthread_cond_destroy(&w->cond);
        free(w);
    }
    return NULL;
}

static void watches_come_and_go(void **state)
{
    struct store *s = open_quietly();
    struct crowd crowd[4];
    pthread_t ids[COUNT(crowd)];

    (void)state;
    for (uint32_t i = 0; i < COUNT(crowd); i++) {
        crowd[i] = (struct crowd){s, i * 100, 0};
        assert_int_equal(pthread_create(&ids[i], NULL, come_and_go, &crowd[i]), 0);
    }
    for (size_t i = 0; i < COUNT(crowd); i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(crowd[i].bad, 0);
    }
    store_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "240");
}

static void slow(void *ctx)
{
    atomic_int *running = ctx;

    atomic_store(running, 1);
    (void)poll(NULL, 0, 300);
    atomic_store(running, 2);
}

/* Unwatching waits for a call that is under way. */
static void unwatch_waits(void **state)
{
    struct store *s = rig_open();
    atomic_int running = 0;
    struct ledger_watch *w = ledger_watch(store_ledger(s), slow, &running);

    (void)state;
    assert_true(put(s, 1, NULL));
    for (int i = 0; i < SOON && atomic_load(&running) == 0; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&running), 1);
    ledger_unwatch(store_ledger(s), &w);
    assert_int_equal(atomic_load(&running), 2);
    rig_close(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(c_ops_01_medium), TEST(c_ops_03_medium_fails), TEST(c_ops_03_locked),
        TEST(made_anew),       TEST(c_ops_03_forbidden),    TEST(c_ops_03_disk_full),
        TEST(watches),         TEST(watches_come_and_go),   TEST(unwatch_waits),
    };

    return cmocka_run_group_tests_name("ledger_trouble", tests, NULL, NULL);
}
