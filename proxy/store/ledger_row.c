/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: one row; see ledger_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/store/ledger_internal.h"

static const size_t text_max[LEDGER_TEXT_COUNT] = {
#define X(column, longest, member) [LEDGER_TEXT_##column] = (longest),
    LEDGER_TEXTS(X)
#undef X
};

static bool has_nul(struct slice s)
{
    return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

size_t ledger_path(struct slice path, char out[LEDGER_PATH_MAX])
{
    size_t at = path.n;

    if (path.n > LEDGER_PATH_MAX || has_nul(path))
        return SIZE_MAX;
    while (at > 0 && path.p[at - 1] != '@')
        at--;
    if (at > 0 && path.n > at && path.p[path.n - 1] == '.')
        path.n--;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];

        out[i] = at > 0 && i >= at && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return path.n;
}

/* A reply that was refused for good is 5yz, one that was accepted 2yz: an entry that says anything else
 * would make a lie of the retry. */
static bool code_ok(enum ledger_outcome outcome, int64_t code)
{
    switch (outcome) {
    case LEDGER_DELIVERED:
        return code >= 200 && code <= 299;
    case LEDGER_REFUSED:
        return code >= 500 && code <= 599;
    case LEDGER_DEFERRED:
    case LEDGER_DEFERRED_AGAIN:
        return code == 0 || (code >= 200 && code <= 599);
    }
    return false;
}

static bool usable(const struct ledger_facts *f, enum ledger_outcome *outcome)
{
    if (f->sender.n > LEDGER_PATH_MAX || f->recipient.n > LEDGER_PATH_MAX || f->recipient.n == 0 ||
        has_nul(f->sender) || has_nul(f->recipient) || f->digest.n != LEDGER_DIGEST_SIZE ||
        !ledger_outcome_parse(f->outcome, outcome) || !code_ok(*outcome, f->code))
        return false;
    if (f->at < 0 || f->at > LEDGER_TIME_MAX || f->until < f->at || f->size < -1 ||
        (f->ours != 0 && f->ours != 1) || (f->untold != 0 && f->untold != 1))
        return false;
    for (size_t i = 0; i < LEDGER_TEXT_COUNT; i++)
        if (f->texts[i].n > text_max[i] || has_nul(f->texts[i]))
            return false;
    return true;
}

static size_t put(char *to, size_t at, struct slice s)
{
    if (s.n > 0)
        memcpy(to + at, s.p, s.n);
    return at + s.n;
}

struct ledger_row *ledger_row_new(const struct ledger_facts *f)
{
    enum ledger_outcome outcome;
    struct ledger_row *r;
    size_t n, at;

    if (!usable(f, &outcome))
        return NULL;
    n = f->sender.n + 1 + f->recipient.n + 1 + LEDGER_DIGEST_SIZE;
    for (size_t i = 0; i < LEDGER_TEXT_COUNT; i++)
        n += f->texts[i].n + 1;
    r = mem_zalloc(sizeof(*r) + n); /* the NULs are there */
    atomic_init(&r->holds, 1);
    r->outcome = outcome;
    r->code = (uint16_t)f->code;
    r->ours = f->ours != 0;
    r->untold = f->untold != 0;
    r->size = f->size;
    r->at = f->at;
    r->until = f->until - f->at > LEDGER_SPAN_MAX ? f->at + LEDGER_SPAN_MAX : f->until;
    r->sender_n = (uint16_t)f->sender.n;
    r->recipient_n = (uint16_t)f->recipient.n;
    at = put(r->bytes, 0, f->sender) + 1;
    at = put(r->bytes, at, f->recipient) + 1;
    at = put(r->bytes, at, f->digest);
    for (size_t i = 0; i < LEDGER_TEXT_COUNT; i++) {
        r->at_text[i] = (uint16_t)at;
        at = put(r->bytes, at, f->texts[i]) + 1;
    }
    return r;
}

struct ledger_row *ledger_row_hold(struct ledger_row *r)
{
    atomic_fetch_add(&r->holds, 1);
    return r;
}

void ledger_row_drop(struct ledger_row **held)
{
    struct ledger_row *r = *held;

    *held = NULL;
    if (r != NULL && atomic_fetch_sub(&r->holds, 1) == 1)
        free(r);
}

struct slice ledger_row_pair(const struct ledger_row *r)
{
    return slice_of(r->bytes, (size_t)r->sender_n + 1 + r->recipient_n + 1);
}

struct slice ledger_row_key(const struct ledger_row *r)
{
    return slice_of(r->bytes, ledger_row_pair(r).n + LEDGER_DIGEST_SIZE);
}

void ledger_row_facts(const struct ledger_row *r, struct ledger_facts *out)
{
    size_t pair = ledger_row_pair(r).n;

    *out = (struct ledger_facts){
        .sender = slice_of(r->bytes, r->sender_n),
        .recipient = slice_of(r->bytes + r->sender_n + 1, r->recipient_n),
        .digest = slice_of(r->bytes + pair, LEDGER_DIGEST_SIZE),
        .outcome = slice_str(ledger_outcome_name(r->outcome)),
        .code = r->code,
        .ours = r->ours,
        .untold = r->untold,
        .size = r->size,
        .at = r->at,
        .until = r->until,
    };
    for (size_t i = 0; i < LEDGER_TEXT_COUNT; i++)
        out->texts[i] = slice_str(r->bytes + r->at_text[i]);
}

static void copy(char *to, const struct ledger_row *r, enum ledger_text which)
{
    const char *from = r->bytes + r->at_text[which];

    memcpy(to, from, strlen(from) + 1); /* it was measured when the row was made */
}

void ledger_row_entry(const struct ledger_row *r, struct ledger_entry *out)
{
    memset(out, 0, sizeof(*out));
    out->sender = r->bytes;
    out->recipient = r->bytes + r->sender_n + 1;
    memcpy(out->digest, r->bytes + ledger_row_pair(r).n, LEDGER_DIGEST_SIZE);
    out->outcome = r->outcome;
    out->code = r->code;
    out->reply = r->bytes + r->at_text[LEDGER_TEXT_reply];
    out->reply_is_ours = r->ours;
    out->mx = r->bytes + r->at_text[LEDGER_TEXT_mx];
    out->address = r->bytes + r->at_text[LEDGER_TEXT_address];
    copy(out->transaction, r, LEDGER_TEXT_transaction_id);
    copy(out->queue_id, r, LEDGER_TEXT_queue_id);
    copy(out->signs.client, r, LEDGER_TEXT_client);
    copy(out->signs.helo, r, LEDGER_TEXT_helo);
    copy(out->signs.ident, r, LEDGER_TEXT_ident);
    out->signs.has_size = r->size >= 0;
    out->signs.size = r->size >= 0 ? (uint64_t)r->size : 0;
    out->untold = r->untold;
    out->at = r->at;
    out->until = r->until;
}
