/* SPDX-License-Identifier: Apache-2.0 */
/* The file cannot be used: mail goes on from memory, it is said, and what can be saved is
 * (C-OPS-03). */
#include "tests/unit/store/store_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
    assert_true(store_flush(s, 20000));
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
    struct stat st = {0};
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
    assert_true(store_flush(s, 20000));
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
    assert_true(store_flush(s, 20000));
    (void)rig_sql(rig_path, "PRAGMA wal_checkpoint(TRUNCATE)");
    damage(0);
    for (unsigned i = 0; i < 500; i++) /* sooner or later it reads a bad page */
        assert_true(rig_put(s, name(i), NOW + 1));
    (void)store_flush(s, 5000);
    assert_true(store_flush(s, 20000));
    assert_true(store_lasting(s));
    rig_close(&s);
    assert_int_equal(damaged_files(kept, sizeof(kept)), 1);
    assert_string_equal(rig_sql(rig_path, "PRAGMA integrity_check"), "ok");
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM policies"), "500");
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void copy(const char *from, const char *to, size_t length, uint32_t *seed)
{
    static unsigned char bytes[1 << 18];
    FILE *f = fopen(from, "r");
    size_t n;

    assert_non_null(f);
    n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    for (unsigned i = 0; i < 1 + *seed % 16; i++)
        bytes[next_random(seed) % (i % 4 == 0 ? 128 : n)] = (unsigned char)next_random(seed);
    f = fopen(to, "w");
    assert_non_null(f);
    n = length == 0 || length > n ? n : length;
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Whatever is in the file: it ends in a database that works, or is left alone, and mail goes on. */
static void damaged_anyhow(void **state)
{
    char good[128], command[256];
    struct store *s = rig_open();
    uint32_t seed = 1;
    unsigned lasting = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_true(rig_put(s, name(i), NOW));
    rig_close(&s);
    (void)snprintf(good, sizeof(good), "%s/good", rig_folder);
    assert_int_equal(rename(rig_path, good), 0);
    (void)snprintf(command, sizeof(command), "rm -f %s*", rig_path);
    for (unsigned i = 0; i < 300; i++) {
        bool ok;

        copy(good, rig_path, i % 3 == 0 ? next_random(&seed) % 30000 : 0, &seed);
        s = store_open(
            &(struct store_params){.path = rig_path, .policies_max = 1000, .rungs_max = 1000},
            NULL);
        for (unsigned k = 0; k < 100; k++)
            assert_true(rig_put(s, name(k), NOW + 1));
        /* The first write may be what finds the damage. */
        ok = store_flush(s, 5000);
        if (!ok)
            ok = store_flush(s, 5000);
        assert_true(rig_has(s, name(99)));
        assert_int_equal(store_lasting(s), ok);
        store_close(&s);
        if (ok) {
            lasting++;
            s = rig_open();
            for (unsigned k = 0; k < 100; k++)
                assert_true(rig_has(s, name(k)));
            rig_close(&s);
        }
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): names of our own */
    }
    assert_in_range(lasting, 200, 300); /* else: a version or a program that is not ours */
}

/* Not ours to touch: byte for byte the same afterwards. */
static void not_ours(void **state)
{
    static const struct {
        const char *sql, *why;
    } files[] = {
        {"CREATE TABLE policies (a); PRAGMA user_version = 4; PRAGMA application_id = 1953264493",
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
    assert_true(store_flush(s, 20000));
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
    for (unsigned i = 0; i < 200 && !store_lasting(s); i++)
        (void)poll(NULL, 0, 100); /* by itself: it is tried again after some seconds */
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
    assert_true(store_flush(s, 20000));
    (void)snprintf(other, sizeof(other), "%s/other", rig_folder);
    assert_int_equal(rename(rig_path, other), 0);
    assert_true(store_flush(s, 20000));
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
    if (unlink(filler) != 0 || !store_flush(s, 20000) || !store_lasting(s))
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_folder),     TEST(a_folder),
        TEST(no_database),   TEST(damaged_at_the_start),
        TEST(damaged_later), TEST(damaged_anyhow),
        TEST(not_ours),      TEST(c_ops_03_locked),
        TEST(moved),         TEST(c_ops_03_disk_full),
    };

    return cmocka_run_group_tests_name("store_trouble", tests, NULL, NULL);
}
