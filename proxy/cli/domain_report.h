/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      domain_report - what tlsmend holds and would decide about a domain, as text and as JSON
 *
 * DESCRIPTION
 *      What the subcommands mta-sts and dane share: the words of the command line, the inquiry, the part of
 *      the report about MX hosts, the verdict and the exit code.  tlsmend(8) documents the JSON object; its
 *      names are those of docs/log.md where the thing is the same.  Nothing that came from DNS or from a
 *      policy host reaches the terminal raw.
 */
#ifndef TLSMEND_CLI_DOMAIN_REPORT_H
#define TLSMEND_CLI_DOMAIN_REPORT_H

#include "config/settings.h"
#include "proxy/policy/dnssec_trust.h"
#include "proxy/relay/destination.h"

/* All of it lent. */
struct domain_report {
    const struct settings *settings;
    const struct destination *dest;
    const struct policy_entry
        *held; /* what the cache held before anything was asked; NULL: nothing */
    enum dnssec_trust_state dnssec;
    const char *dnssec_detail; /* what the resolver said of the root, "" if nothing */
    wall_ms now;
};

typedef void report_fn(const struct domain_report *r, struct buf *out);

/* A subcommand: reads [-c FILE] [--json] DOMAIN, asks, prints one of the two; the exit code. */
int report_command(int argc, char **argv, report_fn *text, report_fn *json);

/* "Example.ORG", "user@example.org" to "example.org"; false with why and the mend in *error. */
bool report_domain(const char *word, char out[DOMAIN_MAX + 1], struct buf *error);
/* C-STS-05, for a look into the cache before anything is asked; false: none. */
bool report_policy_domain(const struct settings *s, const char *domain, wall_ms now,
                          char out[DOMAIN_MAX + 1]);
int report_exit_code(const struct destination *d);

void mta_sts_text(const struct domain_report *r, struct buf *out);
void mta_sts_json(const struct domain_report *r, struct buf *out);
void dane_text(const struct domain_report *r, struct buf *out);
void dane_json(const struct domain_report *r, struct buf *out);

/* ---- parts that both have ---- */

/* "deliverable", "deferred", "rejected". */
const char *report_status(const struct destination *d);
/* "mail to example.org would be ...", without the end of the line. */
void report_verdict(const struct domain_report *r, struct buf *out);
/* Why DNSSEC is as it is, and the mend, "" if nothing is wrong. */
const char *report_dnssec_hint(enum dnssec_trust_state s);

/* "3 h", "12 min": the largest unit that fits. */
const char *report_about(int64_t ms, char out[INSTANT_TEXT_MAX]);
/* "label      value" with the indent; the value is made harmless. */
void report_line(struct buf *out, unsigned indent, const char *label, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "id 2024, mode enforce, fetched ..." and the mx patterns. */
void report_policy_lines(const struct domain_report *r, const struct policy_entry *e,
                         const char *label, struct buf *out);
void report_dnssec_lines(const struct domain_report *r, struct buf *out);
/* Host by host: name and addresses, then what `each` has to say, then the demand. */
void report_host_lines(const struct domain_report *r,
                       void (*each)(const struct domain_report *r, const struct destination_host *h,
                                    struct buf *out),
                       struct buf *out);
void report_verdict_lines(const struct domain_report *r, struct buf *out);

#endif
