/* SPDX-License-Identifier: Apache-2.0 */
/* db: the rows of the ledger; see db_file_internal.h. */
#include "proxy/store/db_file_internal.h"
#include "proxy/store/ledger_internal.h"

/* Columns of DB_LEDGER_COLUMNS, from 0; parameters count from 1. */
enum column {
    RECIPIENT,
    SENDER,
    DIGEST,
    OUTCOME,
    CODE,
    OURS,
    UNTOLD,
    SIZE,
    AT,
    UNTIL,
    TEXTS, /* the first of them, in the order of LEDGER_TEXTS */
};

static int bind_text(sqlite3_stmt *s, int column, struct slice text)
{
    return sqlite3_bind_text(s, column + 1, text.p, (int)text.n, SQLITE_STATIC);
}

int db_bind_ledger(sqlite3_stmt *s, const struct ledger_job *j)
{
    struct ledger_facts f;
    int bad;

    ledger_row_facts(j->row, &f);
    bad = bind_text(s, RECIPIENT, f.recipient);
    bad |= bind_text(s, SENDER, f.sender);
    bad |= sqlite3_bind_blob(s, DIGEST + 1, f.digest.p, (int)f.digest.n, SQLITE_STATIC);
    if (j->gone)
        return bad;
    bad |= bind_text(s, OUTCOME, f.outcome);
    bad |= sqlite3_bind_int64(s, CODE + 1, f.code);
    bad |= sqlite3_bind_int64(s, OURS + 1, f.ours);
    bad |= sqlite3_bind_int64(s, UNTOLD + 1, f.untold);
    bad |= sqlite3_bind_int64(s, SIZE + 1, f.size);
    bad |= sqlite3_bind_int64(s, AT + 1, f.at);
    bad |= sqlite3_bind_int64(s, UNTIL + 1, f.until);
    for (int i = 0; i < LEDGER_TEXT_COUNT; i++)
        bad |= bind_text(s, TEXTS + i, f.texts[i]);
    return bad;
}

bool db_ledger_row(struct ledger *l, sqlite3_stmt *s, wall_ms now)
{
    struct ledger_facts f = {
        .sender = db_text_at(s, SENDER),
        .recipient = db_text_at(s, RECIPIENT),
        .digest = db_text_at(s, DIGEST),
        .outcome = db_text_at(s, OUTCOME),
        .code = sqlite3_column_int64(s, CODE),
        .ours = sqlite3_column_int64(s, OURS),
        .untold = sqlite3_column_int64(s, UNTOLD),
        .size = sqlite3_column_int64(s, SIZE),
        .at = sqlite3_column_int64(s, AT),
        .until = sqlite3_column_int64(s, UNTIL),
    };

    for (int i = 0; i < LEDGER_TEXT_COUNT; i++)
        f.texts[i] = db_text_at(s, TEXTS + i);
    return ledger_load(l, &f, now);
}
