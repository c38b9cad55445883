/* SPDX-License-Identifier: Apache-2.0 */
/* The store as `tlsmend check` sees it, see check_internal.h: nothing is made and nothing is written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include "proxy/base/mem.h"
#include "proxy/cli/check_internal.h"
#include "proxy/cli/cli.h"
#include "proxy/relay/privileges.h"
#include "proxy/store/store.h"

enum access { ACCESS_FINE, ACCESS_NO_FOLDER, ACCESS_FOLDER, ACCESS_FILE, ACCESS_UNKNOWN };

/* By this process as it is. */
static enum access access_here(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash == NULL ? mem_strdup(".") : slice_dup(slice_of(path, (size_t)(slash - path) + 1));
    enum access got = ACCESS_FINE;

    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
        got = errno == ENOENT || errno == ENOTDIR ? ACCESS_NO_FOLDER : ACCESS_FOLDER;
    else if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0 && errno != ENOENT)
        got = ACCESS_FILE;
    free(folder);
    return got;
}

/* By the user that `run` becomes: root may do everything and learns nothing from asking. */
static enum access access_as_user(const struct settings *s)
{
    int status = 0;
    pid_t child;

    if (geteuid() != 0)
        return access_here(s->store.path);
    child = fork();
    if (child == 0) {
        struct buf ignored;

        buf_init(&ignored, 1024);
        _exit(privileges_drop(s->user, s->user_set, &ignored) ? (int)access_here(s->store.path)
                                                              : (int)ACCESS_UNKNOWN);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return ACCESS_UNKNOWN;
    return (enum access)WEXITSTATUS(status);
}

static const char *access_words(enum access a)
{
    switch (a) {
    case ACCESS_FINE:
        break;
    case ACCESS_NO_FOLDER:
        return "its directory does not exist: make it, owned by the user that tlsmend runs as";
    case ACCESS_FOLDER:
        return "the user that tlsmend runs as cannot write to its directory";
    case ACCESS_FILE:
        return "the user that tlsmend runs as cannot read and write the file";
    case ACCESS_UNKNOWN:
        return "that user cannot be taken, so nobody knows whether the file can be written";
    }
    return "";
}

static void look_at_counts(const struct settings *s, struct store *store, struct buf *trouble)
{
    size_t entries = ledger_count(store_ledger(store));

    (void)printf("# %s: %zu MTA-STS policies kept, %zu entries in the ledger\n", s->store.path,
                 policies_count(store_policies(store)), entries);
    if (entries < (size_t)s->ledger.entries)
        return;
    settings_cite(s, "ledger.entries", trouble);
    (void)buf_addf(trouble,
                   "the ledger is FULL, and a transaction has one destination only: allow more; "
                   "tlsmend ledger shows them\n");
}

/* What is in the file; a damaged, foreign or newer one says so. */
static void look_inside(const struct settings *s, struct buf *trouble)
{
    struct store *store = cli_open_store(s, trouble);

    if (trouble->n == 0)
        look_at_counts(s, store, trouble);
    store_close(&store);
}

void check_lasting(const struct settings *s, struct buf *warnings)
{
    const char *path = s->store.path;
    enum access a;

    if (path[0] == '\0')
        return; /* settings_warnings() has said so */
    a = access_as_user(s);
    if (a != ACCESS_FINE) {
        settings_cite(s, "store.path", warnings);
        (void)buf_addf(warnings,
                       "%s; until then MTA-STS policies live in MEMORY ONLY and a restart forgets "
                       "them, and without a ledger a transaction has one destination only\n",
                       access_words(a));
    } else if (access(path, F_OK) == 0) {
        look_inside(s, warnings);
    } else {
        (void)printf("# %s: will be made\n", path);
    }
}
