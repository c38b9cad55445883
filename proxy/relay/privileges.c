/* SPDX-License-Identifier: Apache-2.0 */
/* See privileges.h. */
#include "proxy/relay/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FALLBACK_USER "nobody"
/* The administrator says so, and is told what it means. */
#define NOTE_ROOT "user: tlsmend stays root, which it has no need of: name a user without rights\n"

bool privileges_drop(const char *user, bool chosen, struct buf *note)
{
    const struct passwd *pw;

    if (geteuid() != 0)
        return true;
    if (user[0] == '\0') {
        (void)buf_addf(note, NOTE_ROOT);
        return true;
    }
    pw = getpwnam(user);
    if (pw == NULL && !chosen) {
        (void)buf_addf(note,
                       "user \"%s\" does not exist: running as \"" FALLBACK_USER
                       "\" (create it: useradd --system --no-create-home %s)\n",
                       user, user);
        user = FALLBACK_USER;
        pw = getpwnam(user);
    }
    if (pw == NULL) {
        (void)buf_addf(note,
                       "user = \"%s\": no such user (create it: useradd --system "
                       "--no-create-home %s, or set user)\n",
                       user, user);
        return false;
    }
    if (pw->pw_uid == 0) {
        (void)buf_addf(note, NOTE_ROOT);
        return true;
    }
    if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
        setuid(pw->pw_uid) != 0) {
        (void)buf_addf(note, "cannot become user \"%s\": %s\n", user, strerror(errno));
        return false;
    }
    if (setuid(0) == 0) {
        (void)buf_addf(note, "user \"%s\" could become root again: refusing to run\n", user);
        return false;
    }
    return true;
}

void privileges_raise_files(unsigned long wanted, struct buf *note)
{
    struct rlimit now, more;

    if (getrlimit(RLIMIT_NOFILE, &now) != 0)
        return;
    more.rlim_cur = more.rlim_max = now.rlim_max < wanted ? wanted : now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    /* Not root, or a container that forbids it: what the hard limit gives has to do. */
    now.rlim_cur = now.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &now);
    (void)buf_addf(note,
                   "limits.sessions would need %lu open files, the system allows %lu: raise "
                   "LimitNOFILE or lower limits.sessions\n",
                   wanted, (unsigned long)now.rlim_max);
}
