/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend run: the daemon, in the foreground.
 */
#include <stdio.h>

#include "config/settings.h"
#include "proxy/cli/cli.h"
#include "proxy/relay/daemon.h"

#define ERRORS_MAX 65536

int run_command(int argc, char **argv)
{
    const char *path;
    struct settings *settings;
    struct buf errors;

    if (!cli_config_path(argc, argv, &path))
        return CLI_USAGE;
    buf_init(&errors, ERRORS_MAX);
    settings = settings_load(path, &errors);
    if (settings == NULL)
        (void)fputs(buf_cstr(&errors), stderr);
    buf_clear(&errors);
    if (settings == NULL)
        return CLI_CONFIG;
    switch (daemon_run(settings)) {
    case DAEMON_OK:
        return CLI_OK;
    case DAEMON_BAD_CONFIG:
        return CLI_CONFIG;
    case DAEMON_SYSTEM:
        break;
    }
    return CLI_SYSTEM;
}
