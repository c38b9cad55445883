/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      cli - the subcommands of tlsmend and what they share
 *
 * DESCRIPTION
 *      main.c has the table of subcommands; each is one file with one function, which gets the
 *      words from its own name on (argv[0] is "run") and answers with an exit code.  --help is
 *      answered before a subcommand is called.  Runs in the main thread, before there are others.
 */
#ifndef TLSMEND_CLI_CLI_H
#define TLSMEND_CLI_CLI_H

#include <stdbool.h>

#include "config/settings.h"
#include "proxy/store/store.h"

#define CLI_CONFIG_PATH "/etc/tlsmend/tlsmend.conf"

/* sysexits.h has these numbers too; tlsmend(8) lists them. */
enum cli_exit {
    CLI_OK = 0,
    CLI_USAGE = 64,    /* wrong words on the command line */
    CLI_NO_HOST = 68,  /* of a domain: there is no host that mail could go to */
    CLI_INTERNAL = 70, /* a bug of tlsmend */
    CLI_SYSTEM =
        71, /* the system refused: a port that cannot be bound, a user that cannot be taken */
    CLI_TEMPFAIL = 75,  /* of a domain: the DNS could not answer */
    CLI_FORBIDDEN = 77, /* of a domain: policy lets no MX host be used */
    CLI_CONFIG = 78     /* the configuration is wrong */
};

int run_command(int argc, char **argv);
int check_command(int argc, char **argv);
int mta_sts_command(int argc, char **argv);
int dane_command(int argc, char **argv);
int ledger_command(int argc, char **argv);
int version_command(int argc, char **argv);

/* Reads [-c FILE].  *path is FILE, or CLI_CONFIG_PATH where there is that file, or NULL: all
 * defaults, which is said on stderr.  False after a word on stderr: answer CLI_USAGE. */
bool cli_config_path(int argc, char **argv, const char **path);

/* Reads [-c FILE] [--json] [WORD]; `noun` is what the word names, for messages. */
struct cli_words {
    const char *path; /* as of cli_config_path() */
    const char *word; /* NULL: none */
    bool json;
};
bool cli_report_words(int argc, char **argv, const char *noun, struct cli_words *w);

/* The store as it is on disk, beside a running daemon: nothing is written.  *trouble as store_open() has it. */
struct store *cli_open_store(const struct settings *s, struct buf *trouble);

/* "unknown ...: did you mean ...": the nearest of `known` (ends with NULL). */
const char *cli_nearest(const char *word, const char *const *known);

#endif
