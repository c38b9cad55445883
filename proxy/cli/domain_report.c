/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_report.h: the command line, the inquiry, the exit code. */
#include "proxy/cli/domain_report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/cli/cli.h"
#include "proxy/net/loop.h"
#include "proxy/relay/inquiry.h"

#define ERRORS_MAX 65536
#define REPORT_MAX ((size_t)16 << 20)

/* ---- the domain ---- */

bool report_domain(const char *word, char out[DOMAIN_MAX + 1], struct buf *error)
{
    const char *at = strrchr(word, '@');
    struct slice domain = slice_str(at != NULL ? at + 1 : word);
    struct addr ignored;

    if (domain.n == 0) {
        (void)buf_addf(error, "the domain is empty");
        return false;
    }
    if (domain.p[0] == '[' || addr_parse(domain, &ignored)) {
        (void)buf_addf(error,
                       "\"%s\" is an address: it has no MX records, no MTA-STS policy and no TLSA "
                       "records; tls.literal_level and destinations alone say what is owed to it",
                       domain.p);
        return false;
    }
    for (size_t i = 0; i < domain.n; i++)
        if ((unsigned char)domain.p[i] >= 0x80) {
            (void)buf_addf(error,
                           "\"%s\" is not written in A-labels: give it as it stands in the DNS "
                           "(xn--...), as idn2 prints it",
                           domain.p);
            return false;
        }
    if (domain_normalise(domain, out))
        return true;
    (void)buf_addf(error,
                   "\"%s\" is no domain: labels of 1 to 63 letters, digits and hyphens, joined by "
                   "dots",
                   domain.p);
    return false;
}

bool report_policy_domain(const struct settings *s, const char *domain, wall_ms now,
                          char out[DOMAIN_MAX + 1])
{
    struct demand_config c = {
        .overrides = s->destinations,
        .override_count = s->destination_count,
    };
    const struct override *o = override_for_domain(&c, slice_str(domain), now);
    const char *from = o != NULL && o->route_host != NULL ? o->route_host : domain;
    struct addr ignored;

    return s->mta_sts.enabled && !addr_parse(slice_str(from), &ignored) &&
           domain_normalise(slice_str(from), out);
}

/* ---- the answer ---- */

int report_exit_code(const struct destination *d)
{
    if (d->target_count > 0)
        return CLI_OK;
    switch (d->reason) {
    case REASON_DNS_FAILED:
    case REASON_DNS_TIMEOUT:
    case REASON_DNS_BOGUS:
    case REASON_TLSA_LOOKUP_FAILED:
        return CLI_TEMPFAIL;
    default:
        return reason_info(d->reason)->stage == STAGE_POLICY ? CLI_FORBIDDEN : CLI_NO_HOST;
    }
}

static int print_report(const struct domain_report *r, report_fn *print)
{
    struct buf out;
    bool written;

    buf_init(&out, REPORT_MAX);
    print(r, &out);
    written = fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
    buf_clear(&out);
    return written ? report_exit_code(r->dest) : CLI_SYSTEM;
}

static int ask(struct settings *set, const char *domain, report_fn *print)
{
    struct domain_report r = {.settings = set, .now = loop_wall()};
    struct dnssec_trust trust;
    struct buf note, error;
    struct inquiry *q;
    char policy_domain[DOMAIN_MAX + 1];
    int code = CLI_CONFIG;

    buf_init(&note, ERRORS_MAX);
    buf_init(&error, ERRORS_MAX);
    q = inquiry_new(settings_hold(set), &note, &error);
    if (note.n > 0)
        (void)fprintf(stderr, "%s%s", buf_cstr(&note), note.p[note.n - 1] == '\n' ? "" : "\n");
    if (q == NULL) {
        (void)fprintf(stderr, "%s", buf_cstr(&error));
    } else {
        dnssec_trust_start(&trust, set->resolver.trust_anchor[0] != '\0',
                           set->resolver.require_dnssec);
        (void)dnssec_trust_probed(&trust, inquiry_dnssec(q, &r.dnssec_detail));
        r.dnssec = trust.state;
        if (report_policy_domain(set, domain, r.now, policy_domain))
            r.held = inquiry_held(q, policy_domain);
        r.dest = inquiry_ask(q, domain);
        code = print_report(&r, print);
    }
    inquiry_free(&q);
    buf_clear(&note);
    buf_clear(&error);
    return code;
}

/* ---- the command line ---- */

static bool take_domain(const char *command, const char *word, char out[DOMAIN_MAX + 1])
{
    struct buf error;
    bool good;

    if (word == NULL) {
        (void)fprintf(stderr, "tlsmend %s: which domain? see tlsmend %s --help\n", command,
                      command);
        return false;
    }
    buf_init(&error, ERRORS_MAX);
    good = report_domain(word, out, &error);
    if (!good)
        (void)fprintf(stderr, "tlsmend %s: %s\n", command, buf_cstr(&error));
    buf_clear(&error);
    return good;
}

int report_command(int argc, char **argv, report_fn *text, report_fn *json)
{
    char domain[DOMAIN_MAX + 1];
    struct cli_words w;
    struct settings *set;
    struct buf errors;
    int code;

    if (!cli_report_words(argc, argv, "domain", &w) || !take_domain(argv[0], w.word, domain))
        return CLI_USAGE;
    (void)signal(SIGPIPE, SIG_IGN); /* a policy host that hangs up */
    buf_init(&errors, ERRORS_MAX);
    set = settings_load(w.path, &errors);
    (void)fputs(buf_cstr(&errors), stderr);
    buf_clear(&errors);
    code = set != NULL ? ask(set, domain, w.json ? json : text) : CLI_CONFIG;
    settings_drop(&set);
    return code;
}
