/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and users that the configuration names must be there, before anything is bound to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings_internal.h"

/* NULL: it is a file that can be read; else why not. */
static const char *unreadable(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *why = NULL;

    if (fd < 0)
        return strerror(errno);
    if (fstat(fd, &st) != 0)
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "not a file";
    (void)close(fd);
    return why;
}

static void check_readable(struct loader *l, enum setting_group_id group, const char *key,
                           const void *base, const char *path, const char *mend)
{
    const char *why = path != NULL ? unreadable(path) : NULL;

    if (why != NULL)
        loader_rule_error(l, group, key, base, "%s: %s: %s", path, why, mend);
}

/* The default anchor may be missing, that is only a warning (C-DANE-01). */
static void check_anchor(struct loader *l)
{
    struct settings *s = &l->loaded->shown;
    struct setting_source *from = loaded_source(l->loaded, GROUP_RESOLVER, "trust_anchor", s);

    if (s->resolver.trust_anchor[0] == '\0')
        return;
    if (from->line != 0) {
        check_readable(l, GROUP_RESOLVER, "trust_anchor", s, s->resolver.trust_anchor,
                       "install dns-root-data, or write \"\" to do without DNSSEC");
    } else if (unreadable(s->resolver.trust_anchor) != NULL) {
        s->resolver.trust_anchor[0] = '\0';
        from->note = "default, because " PRESET_TRUST_ANCHOR " cannot be read";
        if (s->resolver.require_dnssec)
            loader_rule_error(l, GROUP_RESOLVER, "require_dnssec", s,
                              PRESET_TRUST_ANCHOR " cannot be read: install dns-root-data, name "
                                                  "another file in trust_anchor, or write false");
    }
}

/* The file itself may still have to be made. */
static void check_written(struct loader *l, enum setting_group_id group, const void *base,
                          const char *path)
{
    size_t n = (size_t)(strrchr(path, '/') - path); /* a path begins with "/" */
    char *folder = slice_dup(slice_of(path, n > 0 ? n : 1));
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        loader_rule_error(l, group, "path", base, "a directory: name a file in it");
    else if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
        loader_rule_error(l, group, "path", base,
                          "its directory is not there: make it, or name another");
    free(folder);
}

/* store.path is not among them: without a store mail goes on, and the daemon and `check` say so loudly. */
void loader_check_paths(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    check_readable(l, GROUP_TLS, "trust_store", s, s->tls.trust_store,
                   "install ca-certificates, or name your own bundle");
    for (size_t i = 0; i < s->tls.crl_files.count; i++)
        check_readable(l, GROUP_TLS, "crl_files", s, s->tls.crl_files.items[i],
                       "name a file that can be read");
    for (size_t i = 0; i < s->destination_count; i++)
        check_readable(l, GROUP_DESTINATION, "ca_file", &s->destinations[i],
                       s->destinations[i].ca_file, "name a file that can be read");
    check_anchor(l);
    for (size_t i = 0; i < s->log.sink_count; i++)
        if (s->log.sinks[i].kind == LOG_FILE && s->log.sinks[i].path != NULL)
            check_written(l, GROUP_SINK, &s->log.sinks[i], s->log.sinks[i].path);
    if (s->user_set && s->user[0] != '\0' && getpwnam(s->user) == NULL)
        loader_rule_error(l, GROUP_TOP, "user", s,
                          "no such user: create it (adduser --system --group %s), or write \"\"",
                          s->user);
}
