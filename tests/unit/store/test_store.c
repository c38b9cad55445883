/* SPDX-License-Identifier: Apache-2.0 */
/* What lasts (C-STS-09, C-OPS-01), and what happens where it cannot (C-OPS-03). */
#include "tests/unit/store/store_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define PUTS 1000
#define MANY 100000
#define NOBODY 65534

static const struct addr mx = {.family = ADDR_IP4, .ip = {192, 0, 2, 1}, .port = 25};

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *name(unsigned i)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "d%u.example", i);
    return text;
}

/* It works from memory, and *warning says `why`. */
static struct store *open_in_trouble(const char *path, const char *why)
{
    struct buf warning;
    struct store *s;

    buf_init(&warning, 4096);
    s = rig_open_as(path, false, 1000, &warning);
    if (strstr(buf_cstr(&warning), why) == NULL || strstr(buf_cstr(&warning), path) == NULL)
        fail_msg("\"%s\" is not in the warning: %s", why, buf_cstr(&warning));
    assert_int_equal(buf_slice(&warning).p[warning.n - 1], '\n');
    buf_clear(&warning);
    assert_false(store_lasting(s));
    assert_true(rig_put(s, "memory.example", NOW));
    assert_true(rig_has(s, "memory.example"));
    return s;
}

/* The same, for good; it was said once, however often it is tried. */
static void memory_only(const char *path, const char *why)
{
    struct store *s;

    (void)unlink(rig_log_path);
    s = open_in_trouble(path, why);
    assert_false(store_flush(s, 2000));
    assert_false(store_flush(s, 2000));
    assert_true(rig_has(s, "memory.example"));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"memory\"", why), 1);
    assert_int_equal(rig_said("\"event\":\"store\"", "\"hint\":\""), 1);
}

/* C-STS-09: what was put is there after a restart, with its times. */
static void c_sts_09_restart(void **state)
{
    struct store *s = rig_open();
    const struct policy_entry *e;
    struct ladder_memory m;

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(rig_put(s, "b.example", NOW));
    policies_used(store_policies(s), "a.example", NOW + 2 * DAY);
    policies_failed(store_policies(s), "c.example", "id9", NOW);
    policies_remove(store_policies(s), "b.example");
    rungs_worked(store_rungs(s), &mx, RUNG_TLS12, true, DAY, NOW);
    rig_close(&s);
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    e = policies_find(store_policies(s), "a.example");
    assert_int_equal(e->held.fetched, NOW);
    assert_int_equal(e->held.used, NOW + 2 * DAY);
    assert_int_equal(e->held.mode, STS_ENFORCE);
    policy_entry_drop(&e);
    assert_false(rig_has(s, "b.example"));
    assert_null(policies_find(store_policies(s), "c.example")); /* failures are of this day */
    assert_true(rungs_look(store_rungs(s), &mx, &m));
    assert_int_equal(m.rung, RUNG_TLS12);
    assert_int_equal(m.learned, NOW);
    rungs_forget(store_rungs(s), &mx);
    rig_close(&s);
    s = rig_open();
    assert_false(rungs_look(store_rungs(s), &mx, &m));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"open\"", "\"policies\":1"), 2);
    assert_int_equal(rig_said("\"state\":\"open\"", "\"rungs\":1"), 1);
    assert_string_equal(rig_sql(rig_path, "PRAGMA journal_mode"), "wal");
}

/* A use is written once a day. */
static void uses_are_written_daily(void **state)
{
    struct store *s = rig_open();
    const char *sql = "SELECT used FROM policies";
    char want[32];

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    policies_used(store_policies(s), "a.example", NOW + DAY - 1);
    assert_true(store_flush(s, 2000));
    (void)snprintf(want, sizeof(want), "%lld", NOW);
    /* The put may have been written before the use or behind it. */
    if (strcmp(rig_sql(rig_path, sql), want) != 0) {
        (void)snprintf(want, sizeof(want), "%lld", NOW + DAY - 1);
        assert_string_equal(rig_sql(rig_path, sql), want);
    }
    policies_used(store_policies(s), "a.example", NOW + 2 * DAY);
    policies_used(store_policies(s), "a.example", NOW + 2 * DAY + 5);
    assert_true(store_flush(s, 2000));
    policies_used(store_policies(s), "a.example", NOW + 3 * DAY - 1);
    assert_true(store_flush(s, 2000));
    assert_in_range(strtoll(rig_sql(rig_path, sql), NULL, 10), NOW + 2 * DAY, NOW + 2 * DAY + 5);
    rig_close(&s);
}

/* The settings got smaller: those used last stay, and the file gets smaller too. */
static void fewer_than_there_are(void **state)
{
    struct store *s = rig_open();

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        assert_true(rig_put(s, name(i), NOW + i));
    rig_close(&s);
    s = rig_open_as(rig_path, false, 5, NULL);
    assert_int_equal(policies_count(store_policies(s)), 5);
    assert_true(rig_has(s, "d15.example"));
    assert_true(rig_has(s, "d19.example"));
    assert_true(rig_put(s, "new.example", NOW + 100));
    assert_false(rig_has(s, "d15.example"));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM policies"), "5");
}

/* What cannot be used of a file is dropped, said, and no longer in the file. */
static void rows_of_no_use(void **state)
{
    static const char *const rows[] = {
        "INSERT INTO policies VALUES ('bad1.example', 'id1', 1, 1, x'00')",
        "INSERT INTO policies VALUES ('bad2.example', 'id1', -5, 1, (SELECT body FROM policies))",
        "INSERT INTO policies VALUES ('', 'id1', 1, 1, (SELECT body FROM policies))",
        "INSERT INTO policies VALUES ('bad3.example',"
        " '123456789012345678901234567890123', 1, 1, (SELECT body FROM policies))",
        "INSERT INTO policies VALUES ('bad4.example', 'id1', 9223372036854775807, 1,"
        " (SELECT body FROM policies))",
        "INSERT INTO policies VALUES (printf('%300d', 1), 'id1', 1, 1,"
        " (SELECT body FROM policies))",
        "INSERT INTO rungs VALUES ('192.0.2.9', 25, 'upstairs', 1, 2000000000000, 0)",
        "INSERT INTO rungs VALUES ('192.0.2', 25, 'compact', 1, 2000000000000, 0)",
        "INSERT INTO rungs VALUES ('192.0.2.9', 70000, 'compact', 1, 2000000000000, 0)",
        "INSERT INTO rungs VALUES ('192.0.2.8', 25, 'compact', 1, 2000000000000, -1)",
    };
    struct store *s = rig_open();

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    rig_close(&s);
    for (size_t i = 0; i < COUNT(rows); i++)
        (void)rig_sql(rig_path, rows[i]);
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    assert_int_equal(policies_count(store_policies(s)), 1);
    assert_int_equal(rungs_count(store_rungs(s)), 0);
    rig_close(&s);
    assert_int_equal(rig_said("\"dropped\":10", "bad1.example"), 1);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM policies"), "1");
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM rungs"), "0");
}

/* Puts and says so through `out`, until it is killed. */
static _Noreturn void put_until_killed(int out)
{
    struct store *s = store_open(
        &(struct store_params){.path = rig_path, .policies_max = PUTS, .rungs_max = 10}, NULL);

    for (unsigned i = 0; i < PUTS; i++) {
        if (!rig_put(s, name(i), NOW + i))
            _exit(1);
        if (i % 10 == 9 && (!store_flush(s, 5000) || write(out, &i, sizeof(i)) != sizeof(i)))
            _exit(1);
    }
    (void)pause();
    _exit(1);
}

/* C-OPS-01, C-STS-09: kill -9 in the midst of writing.  All that was acknowledged is there. */
static void c_ops_01_kill(void **state)
{
    static const unsigned when[] = {9, 199, 509, 999};

    (void)state;
    for (size_t k = 0; k < COUNT(when); k++) {
        unsigned last = 0, next;
        int pipes[2], status;
        struct store *s;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
            put_until_killed(pipes[1]);
        (void)close(pipes[1]);
        while (last < when[k]) {
            assert_int_equal(read(pipes[0], &next, sizeof(next)), sizeof(next));
            last = next;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &next, sizeof(next)) == sizeof(next))
            last = next; /* acknowledged before it died */
        (void)close(pipes[0]);
        s = rig_open();
        for (unsigned i = 0; i <= last; i++)
            assert_true(rig_has(s, name(i)));
        rig_close(&s);
        assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    }
}

/* Without a flush too: the thread wakes at once. */
static void written_within_milliseconds(void **state)
{
    int pipes[2], status;
    struct store *s;
    char byte;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        s = store_open(
            &(struct store_params){.path = rig_path, .policies_max = 10, .rungs_max = 10}, NULL);
        if (!rig_put(s, "a.example", NOW) || write(pipes[1], "x", 1) != 1)
            _exit(1);
        (void)pause();
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    (void)poll(NULL, 0, 500);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    rig_close(&s);
}

/* C-OPS-01: a restart serves within a second, also with a full cache. */
static void c_ops_01_restart_in_time(void **state)
{
    struct store *s = rig_open_as(rig_path, false, MANY, NULL);
    double t = seconds(), opened;

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        assert_true(rig_put(s, name(i), NOW + i));
    assert_true(store_flush(s, 60000));
    print_message("100,000 policies: written in %.2f s\n", seconds() - t);
    rig_close(&s);
    t = seconds();
    s = rig_open_as(rig_path, false, MANY, NULL);
    opened = seconds() - t;
    print_message("100,000 policies: opened in %.2f s\n", opened);
    assert_int_equal(policies_count(store_policies(s)), MANY);
    assert_true(rig_has(s, "d77777.example"));
    rig_close(&s);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(opened < 1.0);
#endif
}

static void no_folder(void **state)
{
    char path[160], folder[128];
    struct store *s;

    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s/later", rig_folder);
    (void)snprintf(path, sizeof(path), "%s/tlsmend.db", folder);
    memory_only(path, "make the directory");
    /* It comes: what was in memory is written. */
    s = open_in_trouble(path, "make the directory");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_true(store_flush(s, 2000));
    assert_true(store_lasting(s));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"recovered\"", path), 1);
    assert_string_equal(rig_sql(path, "SELECT domain FROM policies"), "memory.example");
}

static void a_folder(void **state)
{
    (void)state;
    assert_int_equal(mkdir(rig_path, 0755), 0);
    memory_only(rig_path, "it is a directory");
    assert_int_equal(rmdir(rig_path), 0);
    assert_int_equal(mkfifo(rig_path, 0600), 0);
    memory_only(rig_path, "it is no file");
    memory_only("/dev/null", "it is no file");
}

/* In a child that is not root, for whom permissions count. */
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
        _exit(0); /* an assertion that fails ends with another code */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a child sees: no cmocka, no log. */
static void child_memory(const char *why)
{
    struct buf warning;
    struct store *s;

    buf_init(&warning, 4096);
    s = store_open(&(struct store_params){.path = rig_path, .policies_max = 10, .rungs_max = 10},
                   &warning);
    if (store_lasting(s) || strstr(buf_cstr(&warning), why) == NULL ||
        !rig_put(s, "a.example", NOW) || store_flush(s, 2000)) {
        (void)fprintf(stderr, "not \"%s\": %s\n", why, buf_cstr(&warning));
        _exit(3);
    }
    store_close(&s);
    buf_clear(&warning);
}

static void folder_forbidden(void)
{
    child_memory("must be able to write to the directory");
}

static void file_forbidden(void)
{
    child_memory("must be able to read and write the file");
}

static void read_beside(void)
{
    struct buf warning;
    struct store *s;

    buf_init(&warning, 4096);
    s = store_open(
        &(struct store_params){
            .path = rig_path, .policies_max = 10, .rungs_max = 10, .read_only = true},
        &warning);
    if (warning.n > 0 || !rig_has(s, "a.example")) {
        (void)fprintf(stderr, "read only: %s\n", buf_cstr(&warning));
        _exit(3);
    }
    store_close(&s);
    buf_clear(&warning);
}

static void forbidden(void **state)
{
    struct store *s;

    (void)state;
    assert_int_equal(chmod(rig_folder, 0555), 0);
    as_nobody(folder_forbidden);
    assert_int_equal(chmod(rig_folder, 0755), 0);
    s = rig_open();
    assert_true(rig_put(s, "a.example", NOW));
    rig_close(&s);
    assert_int_equal(chmod(rig_path, 0400), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(rig_path, 1, 1), 0);
    as_nobody(file_forbidden);
    assert_int_equal(chmod(rig_path, 0644), 0);
    assert_int_equal(chmod(rig_folder, 0555), 0);
    /* ... and a WAL that cannot be made beside a file that can be written */
    if (geteuid() == 0)
        assert_int_equal(chown(rig_path, NOBODY, NOBODY), 0);
    as_nobody(folder_forbidden);
    /* A tool that may only read: with nobody writing, and after. */
    as_nobody(read_beside);
    assert_int_equal(chmod(rig_folder, 0755), 0);
}

static int readable_by_all(void)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "chmod 0644 %s*", rig_path);
    return system(command); /* NOLINT(cert-env33-c): a name of our own */
}

/* For tools: nothing is made, changed or written. */
static void read_only(void **state)
{
    struct buf warning;
    struct store *s, *reader;

    (void)state;
    buf_init(&warning, 4096);
    reader = rig_open_as(rig_path, true, 10, &warning);
    assert_non_null(strstr(buf_cstr(&warning), "nothing was kept so far"));
    assert_int_equal(access(rig_path, F_OK), -1);
    rig_close(&reader);
    /* Beside a daemon that writes. */
    s = rig_open();
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 2000));
    buf_reset(&warning);
    reader = store_open(
        &(struct store_params){
            .path = rig_path, .policies_max = 10, .rungs_max = 10, .read_only = true},
        &warning);
    assert_string_equal(buf_cstr(&warning), "");
    assert_true(rig_has(reader, "a.example"));
    assert_false(store_lasting(reader));
    assert_true(rig_put(reader, "b.example", NOW));
    assert_true(store_flush(reader, 1000)); /* nothing is to be written */
    store_close(&reader);
    assert_int_equal(chmod(rig_folder, 0755), 0);
    assert_int_equal(readable_by_all(), 0);
    as_nobody(read_beside); /* may read the files, and nothing else */
    assert_true(rig_put(s, "c.example", NOW));
    assert_true(store_flush(s, 2000));
    rig_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM policies"), "2");
    /* A damaged one is left alone. */
    assert_int_equal(truncate(rig_path, 5000), 0);
    buf_reset(&warning);
    reader = rig_open_as(rig_path, true, 10, &warning);
    assert_true(warning.n > 0);
    rig_close(&reader);
    assert_int_equal(rig_said("damaged", "kept_as"), 0);
    buf_clear(&warning);
}

static unsigned damaged_files(char *first, size_t size)
{
    DIR *d = opendir(rig_folder);
    struct dirent *entry;
    unsigned n = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        if (strncmp(entry->d_name, "tlsmend.db.damaged-", 19) == 0 &&
            strstr(entry->d_name, "-wal") == NULL && strstr(entry->d_name, "-shm") == NULL) {
            n++;
            (void)snprintf(first, size, "%s/%s", rig_folder, entry->d_name);
        }
    (void)closedir(d);
    return n;
}

static void no_database(void **state)
{
    char kept[512], text[64] = "";
    struct store *s;
    FILE *f = fopen(rig_path, "w");

    (void)state;
    assert_non_null(f);
    for (unsigned i = 0; i < 1000; i++)
        (void)fputs("this is my diary\n", f);
    (void)fclose(f);
    s = rig_open(); /* works at once, on a new file */
    assert_true(rig_put(s, "a.example", NOW));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"damaged\"", "\"kept_as\":\""), 1);
    assert_int_equal(damaged_files(kept, sizeof(kept)), 1);
    f = fopen(kept, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    (void)fclose(f);
    assert_string_equal(text, "this is my diary\n");
    s = rig_open();
    assert_true(rig_has(s, "a.example"));
    rig_close(&s);
}

/* Overwrites pages of the file with rubbish, its header (the first page) apart. */
static void damage(off_t from)
{
    char rubbish[4096];
    struct stat st;
    int fd = open(rig_path, O_RDWR);

    memset(rubbish, 0x5a, sizeof(rubbish));
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t at = from; at < st.st_size; at += (off_t)sizeof(rubbish))
        assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), at), sizeof(rubbish));
    (void)close(fd);
}

static void damaged_at_the_start(void **state)
{
    char kept[512];
    struct store *s = rig_open();

    (void)state;
    for (unsigned i = 0; i < 500; i++)
        assert_true(rig_put(s, name(i), NOW));
    rig_close(&s);
    damage(4096);
    s = rig_open();
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 2000));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"damaged\"", "\"detail\":\""), 1);
    assert_int_equal(damaged_files(kept, sizeof(kept)), 1);
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    assert_string_equal(rig_sql(rig_path, "SELECT domain FROM policies"), "a.example");
}

/* While it runs: memory has everything, and the new file gets it. */
static void damaged_later(void **state)
{
    char kept[512];
    struct store *s = rig_open();

    (void)state;
    for (unsigned i = 0; i < 500; i++)
        assert_true(rig_put(s, name(i), NOW));
    assert_true(store_flush(s, 5000));
    (void)rig_sql(rig_path, "PRAGMA wal_checkpoint(TRUNCATE)");
    damage(0);
    for (unsigned i = 0; i < 500; i++) /* sooner or later it reads a bad page */
        assert_true(rig_put(s, name(i), NOW + 1));
    (void)store_flush(s, 5000);
    assert_true(store_flush(s, 5000));
    assert_true(store_lasting(s));
    rig_close(&s);
    assert_int_equal(damaged_files(kept, sizeof(kept)), 1);
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM policies"), "500");
}

/* Not ours to touch: byte for byte the same afterwards. */
static void not_ours(void **state)
{
    static const struct {
        const char *sql, *why;
    } files[] = {
        {"CREATE TABLE policies (a); PRAGMA user_version = 2; PRAGMA application_id = 1953264493",
         "newer tlsmend"},
        {"CREATE TABLE addresses (a)", "another program"},
        {"PRAGMA application_id = 42", "another program"},
        {"PRAGMA user_version = 1", "another program"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        char command[512];

        (void)rig_sql(rig_path, files[i].sql);
        (void)snprintf(command, sizeof(command), "cp %s %s.before", rig_path, rig_path);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): names of our own */
        memory_only(rig_path, files[i].why);
        (void)snprintf(command, sizeof(command), "cmp %s %s.before && rm %s %s", rig_path, rig_path,
                       rig_path, rig_log_path);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): names of our own */
    }
}

/* C-OPS-03: locked.  Mail goes on from memory; in the end everything is there. */
static void c_ops_03_locked(void **state)
{
    struct store *s = rig_open();
    sqlite3 *other;

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(rig_put(s, "stale.example", NOW));
    rig_close(&s);
    assert_int_equal(sqlite3_open(rig_path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL),
        SQLITE_OK);
    s = open_in_trouble(rig_path, "another process has locked it");
    assert_false(rig_has(s, "a.example"));
    policies_remove(store_policies(s), "stale.example"); /* not known here, but it may be there */
    assert_false(store_flush(s, 2000));
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_true(store_flush(s, 2000));
    assert_true(store_lasting(s));
    assert_true(rig_has(s, "a.example")); /* read late, but read */
    assert_false(rig_has(s, "stale.example"));

    /* And while it runs. */
    assert_int_equal(sqlite3_open(rig_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_true(rig_put(s, "b.example", NOW));
    assert_false(store_flush(s, 2000));
    assert_false(store_lasting(s));
    assert_true(rig_has(s, "b.example"));
    policies_remove(store_policies(s), "a.example");
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    (void)poll(NULL, 0, 2500); /* by itself: tried again after a second */
    assert_true(store_lasting(s));
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"memory\"", "locked"), 1);
    assert_int_equal(rig_said("\"state\":\"failed\"", "locked"), 1);
    assert_int_equal(rig_said("\"state\":\"recovered\"", ""), 2);
    assert_string_equal(rig_sql(rig_path,
                                "SELECT group_concat(domain) FROM (SELECT domain FROM policies "
                                "ORDER BY domain)"),
                        "b.example,memory.example");
}

/* Somebody moves the file away: it is made anew from memory. */
static void moved(void **state)
{
    char other[128];
    struct store *s = rig_open();

    (void)state;
    assert_true(rig_put(s, "a.example", NOW));
    assert_true(store_flush(s, 2000));
    (void)snprintf(other, sizeof(other), "%s/other", rig_folder);
    assert_int_equal(rename(rig_path, other), 0);
    assert_true(store_flush(s, 2000));
    assert_true(store_lasting(s));
    assert_string_equal(rig_sql(rig_path, "SELECT domain FROM policies"), "a.example");
    rig_close(&s);
    assert_int_equal(rig_said("\"state\":\"failed\"", "moved or removed"), 1);
    assert_int_equal(rig_said("\"state\":\"recovered\"", ""), 1);
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
    char filler[128];
    struct store *s;
    unsigned i = 0;

    if ((geteuid() == 0 ? unshare(CLONE_NEWNS) : unshare(CLONE_NEWUSER | CLONE_NEWNS)) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", rig_folder, "tmpfs", 0, "size=512k") != 0)
        _exit(2);
    s = store_open(&(struct store_params){.path = rig_path, .policies_max = 10000, .rungs_max = 10},
                   NULL);
    if (!store_lasting(s))
        _exit(3);
    (void)snprintf(filler, sizeof(filler), "%s/filler", rig_folder);
    fill(filler);
    while (store_lasting(s) && i < 5000) {
        if (!rig_put(s, name(i++), NOW))
            _exit(4);
        (void)store_flush(s, 5000);
    }
    if (i >= 5000 || store_flush(s, 2000) || !rig_has(s, name(i - 1)))
        _exit(5);
    if (unlink(filler) != 0 || !store_flush(s, 2000) || !store_lasting(s))
        _exit(6);
    store_close(&s);
    s = store_open(&(struct store_params){.path = rig_path, .policies_max = 10000, .rungs_max = 10},
                   NULL);
    for (unsigned k = 0; k < i; k++)
        if (!rig_has(s, name(k)))
            _exit(7);
    store_close(&s);
    _exit(0);
}

/* C-OPS-03: the disk is full.  What could not be written is written when there is room. */
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

static void memory_by_choice(void **state)
{
    struct buf warning;
    struct store *s;

    (void)state;
    buf_init(&warning, 4096);
    s = rig_open_as("", false, 10, &warning);
    assert_int_equal(warning.n, 0);
    assert_true(rig_put(s, "a.example", NOW));
    policies_remove(store_policies(s), "a.example");
    assert_true(store_flush(s, 10));
    assert_false(store_lasting(s));
    rig_close(&s);
    assert_int_equal(rig_said("store", ""), 0);
    store_close(&s); /* NULL is fine */
    buf_clear(&warning);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(c_sts_09_restart),
        TEST(uses_are_written_daily),
        TEST(fewer_than_there_are),
        TEST(rows_of_no_use),
        TEST(c_ops_01_kill),
        TEST(written_within_milliseconds),
        TEST(c_ops_01_restart_in_time),
        TEST(no_folder),
        TEST(a_folder),
        TEST(forbidden),
        TEST(read_only),
        TEST(no_database),
        TEST(damaged_at_the_start),
        TEST(damaged_later),
        TEST(not_ours),
        TEST(c_ops_03_locked),
        TEST(moved),
        TEST(c_ops_03_disk_full),
        TEST(memory_by_choice),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
