/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend version: what an answer to "which build is that?" must hold.
 */
#include <jansson.h>
#include <stdio.h>

#include "certs/version.h"
#include "config/version.h"
#include "proxy/base/buf.h"
#include "proxy/cli/cli.h"
#include "proxy/net/version.h"
#include "proxy/policy/provider.h"
#include "proxy/store/version.h"

int version_command(int argc, char **argv)
{
    struct buf net;

    if (argc > 1) {
        (void)fprintf(stderr, "tlsmend version: unknown option \"%s\"\n", argv[1]);
        return CLI_USAGE;
    }
    buf_init(&net, 1024);
    net_library_versions(&net);
    (void)printf("tlsmend %s\n%s\n%s%s\nlibpsl %s\nSQLite %s\nJansson %s\n", TLSMEND_VERSION,
                 certs_library_version(), buf_cstr(&net), config_library_version(),
                 provider_library_version(), store_library_version(), jansson_version_str());
    buf_clear(&net);
    return CLI_OK;
}
