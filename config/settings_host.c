/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own full name, without asking DNS: a dead resolver must not hold up start or reload.
 */
#include <stdio.h>
#include <unistd.h>

#include "config/settings_internal.h"
#include "proxy/base/mem.h"

#define HOST_MAX 256
#define FALLBACK "localhost.localdomain"

/* In a line of hosts(5) that has the short name: the first name with a dot, as an owned string. */
static char *line_full_name(struct slice line, struct slice host)
{
    struct slice word, before, rest, full = SLICE_NONE;
    bool found = false;

    (void)slice_cut(line, '#', &before, &rest);
    line = before;
    if (!slice_word(&line, &word))
        return NULL; /* the address is passed over */
    while (slice_word(&line, &word)) {
        found = found || slice_ieq(word, host);
        if (full.p == NULL && slice_cut(word, '.', &before, &rest) &&
            settings_is_host_name(word, false) && !slice_istarts(word, SLICE("localhost")))
            full = word;
    }
    return found && full.p != NULL ? slice_dup(full) : NULL;
}

static char *hosts_file_name(struct slice host)
{
    FILE *f = fopen("/etc/hosts", "re");
    char line[1024], *name = NULL;

    if (f == NULL)
        return NULL;
    while (name == NULL && fgets(line, sizeof(line), f) != NULL) {
        struct slice text, rest;

        (void)slice_cut(slice_str(line), '\n', &text, &rest);
        name = line_full_name(text, host);
    }
    (void)fclose(f);
    return name;
}

char *settings_host_name(bool look, const char **note)
{
    char host[HOST_MAX + 1] = "";
    struct slice label, rest;
    char *name;

    if (look && gethostname(host, HOST_MAX) == 0 && settings_is_host_name(slice_str(host), false)) {
        if (slice_cut(slice_str(host), '.', &label, &rest)) {
            *note = "default, the host's name";
            return mem_strdup(host);
        }
        name = hosts_file_name(slice_str(host));
        if (name != NULL) {
            *note = "default, the host's name in /etc/hosts";
            return name;
        }
    }
    *note = "default, because the host has no full name";
    return mem_strdup(FALLBACK);
}
