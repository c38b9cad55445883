/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ledger_report - one entry of the ledger, in words for people and as JSON
 *
 * DESCRIPTION
 *      What happened, what tlsmend does when the same message comes again, and what the
 *      administrator can do; docs/ledger.md tells the whole story.  Addresses are always whole:
 *      log.addresses is about the log, which others read and keep, while whoever may read the store
 *      has them anyway, and at night it is the recipient that one looks for.  Bytes of peers reach
 *      the terminal escaped.  tlsmend(8) documents the members of the JSON object.  Pure.
 */
#ifndef TLSMEND_CLI_LEDGER_REPORT_H
#define TLSMEND_CLI_LEDGER_REPORT_H

#include "proxy/base/buf.h"
#include "proxy/store/ledger.h"

struct ledger_report { /* lent */
    const struct ledger_entry *entry;
    enum retry_proof refusals; /* ledger.refusals */
    wall_ms now;
};

/* Is `word` the sender or the recipient of it ("<>": the null sender), the domain of one of them,
 * its transaction, or the queue id of the client?  Case does not matter. */
bool ledger_report_matches(const struct ledger_entry *e, struct slice word);

/* One line: when, outcome, sender -> recipient, the reply's first words, MX, ids, end. */
void ledger_report_line(const struct ledger_report *r, struct buf *out);
/* Some lines: plain sentences. */
void ledger_report_explain(const struct ledger_report *r, struct buf *out);
/* One object, in one line without its end. */
void ledger_report_json(const struct ledger_report *r, struct buf *out);

#endif
