/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger_report.h. */
#include "proxy/cli/ledger_report.h"

#include <string.h>

#include "proxy/cli/report_json_internal.h"

#define TEXT_MAX ((size_t)64 << 10)
#define FIRST_WORDS 48 /* of a reply in the list */

static struct slice domain_of(struct slice path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '@')
            return slice_from(path, i);
    return SLICE_NONE;
}

bool ledger_report_matches(const struct ledger_entry *e, struct slice word)
{
    struct slice sender = slice_str(e->sender), recipient = slice_str(e->recipient);

    if (word.n == 0)
        return false;
    if (word.n >= 2 && word.p[0] == '<' && word.p[word.n - 1] == '>') {
        word = slice_first(slice_from(word, 1), word.n - 2);
        return slice_ieq(word, sender) || slice_ieq(word, recipient);
    }
    return slice_ieq(word, recipient) || slice_ieq(word, sender) ||
           slice_ieq(word, domain_of(recipient)) || slice_ieq(word, domain_of(sender)) ||
           slice_ieq(word, slice_str(e->transaction)) || slice_ieq(word, slice_str(e->queue_id));
}

/* ---- pieces ---- */

static const char *sender_of(const struct ledger_entry *e)
{
    return e->sender[0] != '\0' ? e->sender : "<>";
}

/* "550 5.1.1 no such user / ask the postmaster", as in the log. */
static void add_reply(const struct ledger_entry *e, struct buf *out)
{
    struct slice rest = slice_str(e->reply), line;
    const char *between = " ";
    bool more = rest.n > 0;

    if (e->code == 0)
        between = ""; /* nobody answered: only our own words, if there are any */
    else
        (void)buf_addf(out, "%d", e->code);
    while (more) {
        more = slice_cut(rest, '\n', &line, &rest);
        (void)buf_addf(out, "%s%.*s", between, SLICE_ARG(line));
        between = " / ";
    }
}

/* As much of the reply as has room in a list, whole words if there are any. */
static void add_first_words(const struct ledger_entry *e, struct buf *out)
{
    struct buf whole;
    struct slice all, part;

    buf_init(&whole, TEXT_MAX);
    add_reply(e, &whole);
    all = buf_slice(&whole);
    part = slice_first(all, FIRST_WORDS);
    if (part.n < all.n) {
        while (part.n > FIRST_WORDS / 2 && all.p[part.n] != ' ')
            part.n--;
        if (all.p[part.n] != ' ')
            part.n = FIRST_WORDS;
    }
    (void)buf_addf(out, "%.*s%s", SLICE_ARG(part), part.n < all.n ? "..." : "");
    buf_clear(&whole);
}

static void add_who(const struct ledger_entry *e, struct buf *out)
{
    if (e->reply_is_ours)
        (void)buf_addf(out, "tlsmend itself");
    else
        (void)buf_addf(out, "%s", e->mx[0] != '\0' ? e->mx : "the MX");
    if (e->reply_is_ours && e->mx[0] != '\0')
        (void)buf_addf(out, " (at %s)", e->mx);
    else if (e->address[0] != '\0')
        (void)buf_addf(out, " (%s)", e->address);
}

/* ---- sentences ---- */

static void add_happened(const struct ledger_report *r, struct buf *out)
{
    static const char *const did[] = {
        [LEDGER_DELIVERED] = "took the message",
        [LEDGER_REFUSED] = "refused the message for good",
        [LEDGER_DEFERRED] = "did not take the message, for the time being",
        [LEDGER_DEFERRED_AGAIN] =
            "did not take the message, for the time being, and not at the retry",
    };
    const struct ledger_entry *e = r->entry;

    add_who(e, out);
    (void)buf_addf(out, " %s%s", did[e->outcome], e->code > 0 || e->reply[0] != '\0' ? ": " : "");
    add_reply(e, out);
}

static void add_heard(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;

    (void)buf_addf(
        out, "%s",
        e->untold
            ? "nothing: it was gone, or other MX hosts have not answered yet"
            : "451 (Sendmail: 452) for the whole message, since its other recipients had other "
              "results: the client keeps it and tries again");
}

/* "127.0.0.1 (mail.example.org)" */
static void add_client(const struct ledger_entry *e, struct buf *out)
{
    (void)buf_addf(out, "%s", e->signs.client);
    if (e->signs.helo[0] != '\0')
        (void)buf_addf(out, " (%s)", e->signs.helo);
}

/* The signs by which the message is known before it is there: policy/retry. */
static void add_next_of_refused(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;
    bool ident = e->signs.ident[0] != '\0', group = r->refusals == PROOF_ENVELOPE;

    if (ident || group) {
        (void)buf_addf(out, "it hears this refusal at RCPT, if the client is again ");
        add_client(e, out);
        if (e->signs.has_size)
            (void)buf_addf(out, ", with SIZE=%llu,", (unsigned long long)e->signs.size);
        if (ident)
            (void)buf_addf(out, " and says queue id %s by XFORWARD", e->signs.ident);
        if (group)
            (void)buf_addf(out, " %s names another recipient of the same message first",
                           ident ? "or" : "and");
        (void)buf_addf(out, "; where nothing shows that it is the same message, the recipient is "
                            "asked in a transaction without others, where the MX itself answers");
    } else {
        (void)buf_addf(out, "the recipient is asked in a transaction without others, where the MX "
                            "itself answers: the client said no queue id by XFORWARD, and "
                            "ledger.refusals lets nothing else show that it is the same message");
    }
}

static void add_next(const struct ledger_report *r, struct buf *out)
{
    switch (r->entry->outcome) {
    case LEDGER_DELIVERED:
        (void)buf_addf(out, "the recipient is accepted, and when the message is there its SHA-256 "
                            "is compared: the same message is not delivered a second time, the "
                            "client hears what the MX said then; any other goes out as always");
        break;
    case LEDGER_REFUSED:
        add_next_of_refused(r, out);
        break;
    case LEDGER_DEFERRED:
        (void)buf_addf(out, "it goes out to this recipient as if nothing had been tried");
        break;
    case LEDGER_DEFERRED_AGAIN:
        (void)buf_addf(out,
                       "the recipient is deferred once (451, others-first), so that the client "
                       "hears what became of the others; then it goes out as if nothing had "
                       "been tried");
        break;
    }
}

static void add_advice(const struct ledger_report *r, struct buf *out)
{
    switch (r->entry->outcome) {
    case LEDGER_DELIVERED:
        (void)buf_addf(out,
                       "nothing: the recipient has it, whatever the client's queue or a bounce "
                       "says; to send it once more, send it as a new message");
        break;
    case LEDGER_REFUSED:
        (void)buf_addf(out,
                       "%s, then send a new message; the sender gets a bounce from the client "
                       "once it has heard the refusal",
                       r->entry->reply_is_ours ? "see the hint in the result record of the log"
                                               : "mend what the MX complains of");
        break;
    case LEDGER_DEFERRED:
    case LEDGER_DEFERRED_AGAIN:
        (void)buf_addf(out,
                       "see the result record of the log for the reason and a hint; the client "
                       "tries again by itself");
        break;
    }
}

/* ---- the forms ---- */

void ledger_report_line(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;
    char at[INSTANT_TEXT_MAX], until[INSTANT_TEXT_MAX];
    struct buf label, reply;

    buf_init(&label, 128);
    buf_init(&reply, TEXT_MAX);
    (void)buf_addf(&label, "%s %-9s", instant_text(e->at, at), ledger_outcome_name(e->outcome));
    add_first_words(e, &reply);
    report_line(out, 0, buf_cstr(&label),
                "%s -> %s  %s  mx=%s transaction=%s queue_id=%s%s until=%s", sender_of(e),
                e->recipient, buf_cstr(&reply), e->mx[0] != '\0' ? e->mx : "-", e->transaction,
                e->queue_id[0] != '\0' ? e->queue_id : "-", e->untold ? " untold" : "",
                instant_text(e->until, until));
    buf_clear(&label);
    buf_clear(&reply);
}

static void add_ids(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;

    (void)buf_addf(out, "%s, of client ", e->transaction);
    add_client(e, out);
    if (e->queue_id[0] != '\0')
        (void)buf_addf(out, ", its queue id %s", e->queue_id);
}

static void say(const struct ledger_report *r, const char *label,
                void (*add)(const struct ledger_report *r, struct buf *out), struct buf *out)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    add(r, &text);
    report_line(out, 2, label, "%s", buf_cstr(&text));
    buf_clear(&text);
}

void ledger_report_explain(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;
    char when[INSTANT_TEXT_MAX], span[INSTANT_TEXT_MAX];

    report_line(out, 0, ledger_outcome_name(e->outcome), "%s -> %s", sender_of(e), e->recipient);
    report_line(out, 2, "when", "%s (%s ago)", instant_text(e->at, when),
                report_about(r->now - e->at, span));
    say(r, "transaction", add_ids, out);
    say(r, "happened", add_happened, out);
    say(r, "client heard", add_heard, out);
    say(r, "next time", add_next, out);
    report_line(out, 2, "until", "%s (for %s)", instant_text(e->until, when),
                report_about(e->until - r->now, span));
    say(r, "you can do", add_advice, out);
}

static void sentence_of(json_t *o, const char *key, const struct ledger_report *r,
                        void (*add)(const struct ledger_report *r, struct buf *out))
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    add(r, &text);
    report_json_str(o, key, buf_cstr(&text));
    buf_clear(&text);
}

static void put_digest(json_t *o, const uint8_t digest[LEDGER_DIGEST_SIZE])
{
    struct buf text;

    buf_init(&text, (size_t)2 * LEDGER_DIGEST_SIZE);
    for (size_t i = 0; i < LEDGER_DIGEST_SIZE; i++)
        (void)buf_addf(&text, "%02x", digest[i]);
    report_json_str(o, "digest", buf_cstr(&text));
    buf_clear(&text);
}

static void put_signs(json_t *o, const struct retry_signs *s)
{
    report_json_str(o, "client", s->client);
    report_json_str(o, "helo", s->helo);
    report_json_str(o, "ident", s->ident);
    if (s->has_size)
        report_json_int(o, "size", (int64_t)s->size);
}

void ledger_report_json(const struct ledger_report *r, struct buf *out)
{
    const struct ledger_entry *e = r->entry;
    json_t *o = report_json_object();
    char when[INSTANT_TEXT_MAX];
    struct buf reply;

    buf_init(&reply, TEXT_MAX);
    add_reply(e, &reply);
    report_json_str(o, "outcome", ledger_outcome_name(e->outcome));
    report_json_str(o, "at", instant_text(e->at, when));
    report_json_str(o, "expires", instant_text(e->until, when));
    report_json_str(o, "sender", sender_of(e));
    report_json_str(o, "recipient", e->recipient);
    if (e->code > 0)
        report_json_int(o, "code", e->code);
    report_json_str(o, "reply", buf_cstr(&reply));
    report_json_bool(o, "reply_is_ours", e->reply_is_ours);
    report_json_str(o, "mx", e->mx);
    report_json_str(o, "address", e->address);
    report_json_str(o, "transaction", e->transaction);
    report_json_str(o, "queue_id", e->queue_id);
    put_signs(o, &e->signs);
    put_digest(o, e->digest);
    report_json_bool(o, "untold", e->untold);
    sentence_of(o, "happened", r, add_happened);
    sentence_of(o, "client_heard", r, add_heard);
    sentence_of(o, "next", r, add_next);
    sentence_of(o, "advice", r, add_advice);
    report_json_dump(o, JSON_COMPACT, out);
    buf_clear(&reply);
}
