/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the command line that several subcommands know.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
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
