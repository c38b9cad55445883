/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend check: judge a configuration without starting anything.
 */
#include <stdio.h>
#include <string.h>

#include "config/settings.h"
#include "proxy/cli/check_internal.h"
#include "proxy/cli/cli.h"
#include "proxy/net/loop.h"
#include "proxy/relay/resolvers.h"
#include "proxy/relay/snapshot.h"

#define TEXT_MAX ((size_t)64 << 20) /* thousands of destinations are many lines */

static void print_row(void *ctx, const struct setting_doc *row)
{
    (void)ctx;
    (void)printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row->group, row->key, row->type, row->bounds,
                 row->preset, row->required ? "required" : "optional", row->help);
}

/* Loads what run would load, and says how much is in it. */
static bool check_store(const struct settings *s, const struct override *o, struct buf *error)
{
    struct trust_store *store = snapshot_load_trust(s, o, error);

    if (store == NULL)
        return false;
    (void)printf("# %s: %zu roots", o != NULL ? o->ca_file : s->tls.trust_store,
                 trust_roots(store));
    if (o != NULL)
        (void)printf(" together with %s, for %s", s->tls.trust_store, o->match);
    else if (s->tls.crl_files.count > 0)
        (void)printf(", %zu CRL files", s->tls.crl_files.count);
    if (trust_skipped(store) > 0)
        (void)printf(", %zu unreadable entries passed over", trust_skipped(store));
    (void)printf("\n");
    trust_drop(&store);
    return true;
}

/* What run would refuse to start with, although every value is well written. */
static bool check_use(const struct settings *s, struct buf *error)
{
    bool good = check_store(s, NULL, error);

    for (size_t i = 0; good && i < s->destination_count; i++)
        if (s->destinations[i].ca_file != NULL)
            good = check_store(s, &s->destinations[i], error);
    return resolvers_check(s, error) && good;
}

static int check(const char *path)
{
    struct buf text;
    struct settings *s;
    int code = CLI_CONFIG;

    buf_init(&text, TEXT_MAX);
    s = settings_load(path, &text);
    (void)fprintf(stderr, "%s", buf_cstr(&text));
    if (s != NULL) {
        buf_reset(&text);
        settings_print(s, &text);
        (void)printf("%s", buf_cstr(&text));
        (void)fflush(stdout);
        buf_reset(&text);
        settings_warnings(s, loop_wall(), &text);
        (void)fprintf(stderr, "%s", buf_cstr(&text));
        buf_reset(&text);
        if (check_use(s, &text)) {
            code = CLI_OK;
            check_lasting(s, &text);
            check_dane(s, &text);
        }
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s", buf_cstr(&text));
    }
    (void)fprintf(stderr, "%s: the configuration is %s\n", path != NULL ? path : "defaults",
                  code == CLI_OK ? "good" : "wrong");
    settings_drop(&s);
    buf_clear(&text);
    return code;
}

int check_command(int argc, char **argv)
{
    const char *path;

    if (argc == 2 && strcmp(argv[1], "--rows") == 0) {
        settings_each(print_row, NULL);
        return CLI_OK;
    }
    if (!cli_config_path(argc, argv, &path))
        return CLI_USAGE;
    return check(path);
}
