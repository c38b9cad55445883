/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      report_json - the JSON object of domain_report.h, piece by piece
 *
 * DESCRIPTION
 *      A member that has nothing to say is left out, as in the log.  Bytes that are no UTF-8 are written as
 *      \xXX inside the string.  When memory runs out the process ends (base/mem.h).
 */
#ifndef TLSMEND_CLI_REPORT_JSON_INTERNAL_H
#define TLSMEND_CLI_REPORT_JSON_INTERNAL_H

#include <jansson.h>

#include "proxy/cli/domain_report.h"

/* Takes `value` over. */
void report_json_put(json_t *o, const char *key, json_t *value);
void report_json_str(json_t *o, const char *key, const char *value); /* NULL, "": left out */
void report_json_int(json_t *o, const char *key, int64_t value);
void report_json_bool(json_t *o, const char *key, bool value);

json_t *report_json_object(void);
/* Writes it to *out and frees it; `flags` of jansson. */
void report_json_dump(json_t *o, size_t flags, struct buf *out);

/* The members that both subcommands begin with: domain, route, dnssec state. */
json_t *report_json_new(const struct domain_report *r);
json_t *report_json_policy(const struct domain_report *r, const struct policy_entry *e);
/* Hosts and verdict; writes the object to *out and frees it. */
void report_json_end(const struct domain_report *r, json_t *o, struct buf *out);

#endif
