/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the command line that several subcommands know.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "proxy/base/mem.h"
#include "proxy/cli/cli.h"

const char *cli_nearest(const char *word, const char *const *known)
{
    const char *nearest = known[0];

    for (; *known != NULL; known++)
        if (settings_distance(*known, word) < settings_distance(nearest, word))
            nearest = *known;
    return nearest;
}

bool cli_config_path(int argc, char **argv, const char **path)
{
    *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") != 0) {
            (void)fprintf(stderr, "tlsmend %s: unknown option \"%s\": see tlsmend %s --help\n",
                          argv[0], argv[i], argv[0]);
            return false;
        }
        if (i + 1 == argc || *path != NULL) {
            (void)fprintf(stderr, "tlsmend %s: -c takes the path of one file\n", argv[0]);
            return false;
        }
        *path = argv[++i];
    }
    if (*path != NULL)
        return true;
    /* a file that is there but cannot be read must be an error, not a reason for the defaults */
    if (access(CLI_CONFIG_PATH, F_OK) == 0 || errno != ENOENT)
        *path = CLI_CONFIG_PATH;
    else
        (void)fprintf(stderr, "tlsmend %s: no -c and no %s: all settings have their defaults\n",
                      argv[0], CLI_CONFIG_PATH);
    return true;
}

/* What is neither the word nor --json is for cli_config_path(). */
bool cli_report_words(int argc, char **argv, const char *noun, struct cli_words *w)
{
    char **rest = mem_array((size_t)argc + 1, sizeof(*rest));
    int count = 0;
    bool good = true;

    *w = (struct cli_words){.path = NULL};
    rest[count++] = argv[0];
    for (int i = 1; good && i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            w->json = true;
        } else if (argv[i][0] == '-') {
            rest[count++] = argv[i];
            if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
                rest[count++] = argv[++i];
        } else if (w->word == NULL) {
            w->word = argv[i];
        } else {
            (void)fprintf(stderr, "tlsmend %s: one %s at a time: \"%s\" is the second\n", argv[0],
                          noun, argv[i]);
            good = false;
        }
    }
    good = good && cli_config_path(count, rest, &w->path);
    free((void *)rest);
    return good;
}

struct store *cli_open_store(const struct settings *s, struct buf *trouble)
{
    struct store_params p = {
        .path = s->store.path,
        .policies_max = (size_t)s->mta_sts.policies,
        .rungs_max = (size_t)s->tls.ladder_addresses,
        .ledger_max = (size_t)s->ledger.entries,
        .ledger_keep = s->ledger.keep,
        .read_only = true,
    };

    return store_open(&p, trouble);
}
