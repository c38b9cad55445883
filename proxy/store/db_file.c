/* SPDX-License-Identifier: Apache-2.0 */
/* db: the file, and what is wrong with it; see db_internal.h and db_file_internal.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/store/db_file_internal.h"

#define NAMES_MAX 100 /* damaged files of one second */

bool db_error(struct db_error *e, enum db_trouble trouble, const char *detail, const char *hint)
{
    e->trouble = trouble;
    (void)snprintf(e->detail, sizeof(e->detail), "%s", detail);
    (void)snprintf(e->hint, sizeof(e->hint), "%s", hint);
    return false;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : slice_dup(slice_of(path, (size_t)(slash - path)));
}

/* What SQLite calls "unable to open" or "readonly" has one of these causes, most of the time. */
static bool fail_access(struct db_error *e, const char *path, const char *detail, bool read_only)
{
    char *folder = folder_of(path);
    char hint[sizeof(e->hint)];
    int need = read_only ? R_OK : R_OK | W_OK;
    struct stat st;

    if (stat(path, &st) != 0 && errno == EACCES)
        (void)snprintf(hint, sizeof(hint),
                       "the user that tlsmend runs as must be able to enter the directory %s",
                       folder);
    else if (stat(folder, &st) != 0 && errno == ENOENT)
        (void)snprintf(hint, sizeof(hint),
                       "make the directory %s, owned by the user that tlsmend runs as (or change "
                       "store.path)",
                       folder);
    else if (access(path, F_OK) == 0 && faccessat(AT_FDCWD, path, need, AT_EACCESS) != 0)
        (void)snprintf(hint, sizeof(hint),
                       "the user that tlsmend runs as must be able to read%s the file",
                       read_only ? "" : " and write");
    else if (!read_only && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        (void)snprintf(hint, sizeof(hint),
                       "the user that tlsmend runs as must be able to write to the directory %s",
                       folder);
    else
        (void)snprintf(hint, sizeof(hint),
                       "see that %s can be read and written and that its disk is sound", path);
    free(folder);
    return db_error(e, DB_FAILED, detail, hint);
}

bool db_fail(const struct db *db, int rc, struct db_error *e)
{
    char detail[sizeof(e->detail)];
    const char *words = db->sql != NULL ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc);
    int system = db->sql != NULL ? sqlite3_system_errno(db->sql) : 0;

    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return db_error(e, DB_DAMAGED, words, DB_DAMAGED_HINT);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return db_error(e, DB_BUSY, "another process has locked it",
                        "end that process (fuser shows it); it is tried again every minute");
    case SQLITE_FULL:
        return db_error(e, DB_FULL, "the disk is full",
                        "make room; what is in memory is written then");
    default:
        if (system != 0)
            (void)snprintf(detail, sizeof(detail), "%s (%s)", words, strerror(system));
        else
            (void)snprintf(detail, sizeof(detail), "%s", words);
        return fail_access(e, db->path, detail, db->read_only);
    }
}

bool db_look(const char *path, bool read_only, struct db_error *e)
{
    struct stat st;
    int fd;

    if (stat(path, &st) == 0) {
        if (S_ISREG(st.st_mode))
            return true;
        return db_error(e, DB_FAILED, S_ISDIR(st.st_mode) ? "it is a directory" : "it is no file",
                        "store.path must be the name of a file");
    }
    if (errno != ENOENT)
        return fail_access(e, path, strerror(errno), read_only);
    if (read_only)
        return db_error(e, DB_FAILED, strerror(errno),
                        "nothing was kept so far, or store.path is not the daemon's");
    /* Domains that one writes to are nobody else's business. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0 && errno != EEXIST) {
        if (errno == ENOSPC || errno == EDQUOT)
            return db_error(e, DB_FULL, strerror(errno),
                            "make room; what is in memory is written then");
        return fail_access(e, path, strerror(errno), false);
    }
    if (fd >= 0)
        (void)close(fd);
    return true;
}

bool db_make_private(const struct db *db, struct db_error *e)
{
    static const char *const tails[] = {"", "-wal", "-shm"};

    /* By name: to open and close the file would end SQLite's locks on it. */
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        char *name = mem_format("%s%s", db->path, tails[i]);
        bool ok = chmod(name, S_IRUSR | S_IWUSR) == 0 || (errno == ENOENT && i > 0);

        free(name);
        if (!ok)
            return db_error(e, DB_FAILED, strerror(errno),
                            "for tls.keep_sessions the file must belong to the user that tlsmend "
                            "runs as");
    }
    return true;
}

char *db_frozen_name(const char *path)
{
    char *log = mem_format("%s-wal", path), *name;
    struct stat st;
    bool more = stat(log, &st) == 0 && st.st_size > 0;
    struct buf b;

    free(log);
    if (more)
        return NULL;
    buf_init(&b, strlen(path) * 3 + 64);
    (void)buf_addf(&b, "file:");
    for (; *path != '\0'; path++)
        if (isalnum((unsigned char)*path) || strchr("/._-", *path) != NULL)
            (void)buf_addc(&b, *path);
        else
            (void)buf_addf(&b, "%%%02X", (unsigned char)*path);
    (void)buf_addf(&b, "?immutable=1");
    name = slice_dup(buf_slice(&b));
    buf_clear(&b);
    return name;
}

static char *damaged_name(const char *path, wall_ms now)
{
    time_t seconds = (time_t)(now / 1000);
    char stamp[32];
    struct tm tm;
    char *name;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    name = mem_format("%s.damaged-%s", path, stamp);
    for (unsigned i = 2; i < NAMES_MAX && access(name, F_OK) == 0; i++) {
        free(name);
        name = mem_format("%s.damaged-%s-%u", path, stamp, i);
    }
    return name;
}

bool db_put_aside(const char *path, wall_ms now, struct buf *kept_as, struct db_error *e)
{
    static const char *const tails[] = {"-wal", "-shm"};
    char *to = damaged_name(path, now);
    bool ok = rename(path, to) == 0;

    if (ok)
        (void)buf_add(kept_as, slice_str(to));
    else
        (void)fail_access(e, path, strerror(errno), false);
    for (size_t i = 0; ok && i < sizeof(tails) / sizeof(tails[0]); i++) {
        char *from_tail = mem_format("%s%s", path, tails[i]);
        char *to_tail = mem_format("%s%s", to, tails[i]);

        (void)rename(from_tail, to_tail); /* it need not be there */
        free(from_tail);
        free(to_tail);
    }
    free(to);
    return ok;
}
