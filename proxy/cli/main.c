/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: finds the subcommand and calls it.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/cli/cli.h"

#define CONFIG_OPTION                                                 \
    "  -c FILE   the configuration; without it " CLI_CONFIG_PATH "\n" \
    "            where there is one, else all settings have their defaults\n"

#define REPORT_HELP                                                                               \
    "  --json    one JSON object instead of text: tlsmend(8) has its members\n"                   \
    "  DOMAIN    the recipient's domain as in the DNS (A-labels); user@domain means its domain\n" \
    "\n"                                                                                          \
    "Asks what a mail would ask, by the same settings, cache and rules, and decides the same,\n"  \
    "for a listener without settings of its own.  No MX host is connected to: whether its\n"      \
    "certificate holds shows when mail goes (the record `attempt`).  The cache is read, not\n"    \
    "written; reading it may take root or the user of the daemon.  Exit codes: 0: mail could\n"   \
    "go; 68: no host takes mail; 75: the DNS could not answer; 77: policy lets no MX host be\n"   \
    "used; 64: wrong words; 78: the configuration is wrong.\n"

static const struct subcommand {
    const char *name, *words, *summary, *help;
    int (*call)(int argc, char **argv);
} subcommands[] = {
    {"run", "[-c FILE]", "take mail from legacy MTAs and deliver it over TLS",
     CONFIG_OPTION
     "\n"
     "tlsmend stays in the foreground.  SIGHUP reads the configuration again, "
     "SIGTERM and SIGINT end\n"
     "after the running transactions, SIGUSR1 opens log files again, SIGUSR2 logs what is\n"
     "held just now.\n",
     run_command},
    {"check", "[-c FILE | --rows]", "judge a configuration and print what is in effect",
     CONFIG_OPTION
     "  --rows    print the table of settings instead, one a line, fields separated by tabs:\n"
     "            group, key, type, bounds, default, required or optional, help\n"
     "\n"
     "Every setting is printed with its value and where that comes from; warnings and errors go "
     "to\n"
     "stderr.  Exit code 78: the configuration is wrong.\n",
     check_command},
    {"mta-sts", "[-c FILE] [--json] DOMAIN", "show the MTA-STS policy of a domain and what follows",
     CONFIG_OPTION REPORT_HELP, mta_sts_command},
    {"dane", "[-c FILE] [--json] DOMAIN", "show the TLSA records of a domain's MX and what follows",
     CONFIG_OPTION REPORT_HELP, dane_command},
    {"ledger", "[-c FILE] [--json] [WORD]", "show what was delivered and the client not told",
     CONFIG_OPTION
     "  --json    one JSON object instead of text: tlsmend(8) has its members\n"
     "  WORD      a mail address, a domain, or the id of a transaction or of the client's queue:\n"
     "            explains the entries that it names; without it all are listed, the newest first\n"
     "\n"
     "The file of the store is read, not written; this may take root or the user of the daemon.\n"
     "Exit codes: 0: it was read, be there entries or not; 64: wrong words; 71: it cannot be "
     "read;\n"
     "78: the configuration is wrong.\n",
     ledger_command},
    {"version", "", "print the versions of tlsmend and of its libraries", "", version_command},
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static void print_help(FILE *out)
{
    (void)fputs("tlsmend: a smarthost that delivers the mail of legacy MTAs over verified TLS\n\n"
                "usage: tlsmend SUBCOMMAND [OPTIONS]\n\n",
                out);
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        (void)fprintf(out, "  %-8s %-26s %s\n", subcommands[i].name, subcommands[i].words,
                      subcommands[i].summary);
    (void)fputs("\n`tlsmend SUBCOMMAND --help` tells more; so do tlsmend(8) and tlsmend.conf(5).\n",
                out);
}

static void print_subcommand_help(const struct subcommand *s)
{
    (void)printf("usage: tlsmend %s%s%s\n\n%s.\n", s->name, s->words[0] != '\0' ? " " : "",
                 s->words, s->summary);
    if (s->help[0] != '\0')
        (void)printf("\n%s", s->help);
}

static int unknown(const char *word)
{
    const char *names[SUBCOMMANDS + 1] = {NULL};

    for (size_t i = 0; i < SUBCOMMANDS; i++)
        names[i] = subcommands[i].name;
    (void)fprintf(stderr, "tlsmend: unknown subcommand \"%s\" (did you mean \"%s\"?)\n", word,
                  cli_nearest(word, names));
    print_help(stderr);
    return CLI_USAGE;
}

static int call(const struct subcommand *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (is_help(argv[i])) {
            print_subcommand_help(s);
            return CLI_OK;
        }
    }
    return s->call(argc, argv);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version_command(argc - 1, argv + 1);
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return call(&subcommands[i], argc - 1, argv + 1);
    return unknown(argv[1]);
}
