/* SPDX-License-Identifier: Apache-2.0 */
/* An entry of the ledger in words: what it says for each outcome, what names it, hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/cli/ledger_report.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define NOW INT64_C(1795340000000)
#define HOUR INT64_C(3600000)

static struct ledger_entry entry(enum ledger_outcome outcome)
{
    return (struct ledger_entry){
        .sender = "a@Client.example",
        .recipient = "B.C@d.example",
        .digest = {0x0f, 0xa5, [31] = 0x01},
        .outcome = outcome,
        .code = outcome == LEDGER_DELIVERED ? 250
                : outcome == LEDGER_REFUSED ? 550
                                            : 451,
        .reply = outcome == LEDGER_DELIVERED ? "2.0.0 Ok: queued as 4Q1"
                 : outcome == LEDGER_REFUSED ? "5.1.1 no such user\nsee https://d.example/"
                                             : "4.3.0 later",
        .mx = "mx.d.example",
        .address = "192.0.2.7",
        .transaction = "k3f9-2",
        .queue_id = "9F31C0",
        .signs = {.client = "127.0.0.1", .helo = "old.example", .has_size = true, .size = 4711},
        .at = NOW - 3 * HOUR,
        .until = NOW + 165 * HOUR,
    };
}

static void render(const struct ledger_entry *e, enum retry_proof refusals,
                   void (*print)(const struct ledger_report *r, struct buf *out), struct buf *out)
{
    struct ledger_report r = {.entry = e, .refusals = refusals, .now = NOW};

    buf_reset(out);
    print(&r, out);
}

static void test_words(void **state)
{
    struct ledger_entry e = entry(LEDGER_DELIVERED), bounce = e;
    static const struct {
        const char *word;
        bool matches, matches_bounce;
    } cases[] = {
        {"B.C@d.example", true, true},
        {"b.c@D.EXAMPLE", true, true},
        {"<B.C@d.example>", true, true},
        {"a@client.example", true, false},
        {"d.example", true, true},
        {"client.example", true, false},
        {"k3f9-2", true, true},
        {"9F31C0", true, true},
        {"<>", false, true},
        {"", false, false},
        {"example", false, false},
        {"c@d.example", false, false},
        {"x.d.example", false, false},
        {"k3f9", false, false},
        {"<d.example>", false, false},
        {"mx.d.example", false, false},
    };

    (void)state;
    bounce.sender = "";
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (ledger_report_matches(&e, slice_str(cases[i].word)) != cases[i].matches ||
            ledger_report_matches(&bounce, slice_str(cases[i].word)) != cases[i].matches_bounce)
            fail_msg("%s", cases[i].word);
    }
    /* what is not known is not named by nothing */
    e.queue_id[0] = '\0';
    assert_false(ledger_report_matches(&e, SLICE("")));
    /* the last @ is the one (RFC 5321 4.1.2: a quoted local part may have others) */
    e.recipient = "\"x@y.example\"@d.example";
    assert_true(ledger_report_matches(&e, SLICE("d.example")));
    assert_false(ledger_report_matches(&e, SLICE("y.example")));
}

static void test_lines(void **state)
{
    struct ledger_entry e = entry(LEDGER_DELIVERED);
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    render(&e, PROOF_ENVELOPE, ledger_report_line, &out);
    assert_string_equal(buf_cstr(&out),
                        "2026-11-22T06:33:20.000Z delivered  a@Client.example -> B.C@d.example  "
                        "250 2.0.0 Ok: queued "
                        "as 4Q1  mx=mx.d.example transaction=k3f9-2 queue_id=9F31C0 "
                        "until=2026-11-29T06:33:20.000Z\n");
    e = entry(LEDGER_REFUSED);
    e.sender = e.mx = "";
    e.queue_id[0] = '\0';
    e.untold = true;
    e.reply = "5.7.1 a reply that is longer than its place in a list, by far";
    render(&e, PROOF_ENVELOPE, ledger_report_line, &out);
    assert_string_equal(
        buf_cstr(&out),
        "2026-11-22T06:33:20.000Z refused    <> -> B.C@d.example  550 5.7.1 a reply that is longer "
        "than its place...  mx=- transaction=k3f9-2 queue_id=- untold "
        "until=2026-11-29T06:33:20.000Z\n");
    /* no blank to cut at, a reply without text, and one that just fits */
    e.reply = "0123456789012345678901234567890123456789012345678901234567890";
    render(&e, PROOF_ENVELOPE, ledger_report_line, &out);
    assert_non_null(
        strstr(buf_cstr(&out), "  550 01234567890123456789012345678901234567890123...  "));
    e.reply = "";
    render(&e, PROOF_ENVELOPE, ledger_report_line, &out);
    assert_non_null(strstr(buf_cstr(&out), " B.C@d.example  550  mx=- "));
    e.reply = "01234567890123456789012345678901234567890123";
    render(&e, PROOF_ENVELOPE, ledger_report_line, &out);
    assert_non_null(strstr(buf_cstr(&out), "  550 01234567890123456789012345678901234567890123  "));
    buf_clear(&out);
}

/* C-RCPT-04: what each entry means for the next time */
static void test_c_rcpt_04_sentences(void **state)
{
    static const char ident[] = "queue id 9F31C0 by XFORWARD";
    static const char group[] = "names another recipient of the same message first";
    static const char alone[] = "asked in a transaction without others";
    static const struct {
        enum ledger_outcome outcome;
        enum retry_proof refusals;
        bool ident, ours, untold;
        const char *said[4], *unsaid[3];
    } cases[] = {
        {LEDGER_DELIVERED,
         PROOF_ENVELOPE,
         true,
         false,
         false,
         {"mx.d.example (192.0.2.7) took the message: 250 2.0.0 Ok: queued as 4Q1\n",
          "client heard    451 (Sendmail: 452) for the whole message",
          "is not delivered a second time", "you can do      nothing: "},
         {ident, group, alone}},
        {LEDGER_DELIVERED,
         PROOF_QUEUE_ID,
         false,
         false,
         true,
         {"client heard    nothing: it was gone"},
         {"451"}},
        {LEDGER_REFUSED,
         PROOF_ENVELOPE,
         true,
         false,
         false,
         {"mx.d.example (192.0.2.7) refused the message for good: 550 5.1.1 no such user / see "
          "https://d.example/\n",
          "if the client is again 127.0.0.1 (old.example), with SIZE=4711, and says queue id "
          "9F31C0 "
          "by XFORWARD or names another recipient of the same message first; where",
          alone, "mend what the MX complains of"},
         {"nothing: "}},
        {LEDGER_REFUSED,
         PROOF_ENVELOPE,
         false,
         false,
         false,
         {"(old.example), with SIZE=4711, and names another recipient of the same message first;",
          alone},
         {"XFORWARD"}},
        {LEDGER_REFUSED, PROOF_QUEUE_ID, true, false, false, {ident, alone}, {group}},
        {LEDGER_REFUSED,
         PROOF_QUEUE_ID,
         false,
         false,
         false,
         {alone, "the client said no queue id by XFORWARD"},
         {"hears this refusal", group}},
        {LEDGER_REFUSED,
         PROOF_ENVELOPE,
         true,
         true,
         false,
         {"tlsmend itself (at mx.d.example) refused", "the hint in the result record"},
         {"complains"}},
        {LEDGER_DEFERRED_AGAIN,
         PROOF_ENVELOPE,
         true,
         false,
         false,
         {"did not take the message, for the time being, and not at the retry: 451 4.3.0 later\n",
          "deferred once (451, others-first)", "tries again by itself"},
         {ident, group, alone}},
        {LEDGER_DEFERRED,
         PROOF_ENVELOPE,
         true,
         false,
         false,
         {"did not take the message, for the time being: 451 4.3.0 later\n",
          "goes out to this recipient as if nothing had been tried", "tries again by itself"},
         {ident, group, alone}},
    };
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ledger_entry e = entry(cases[i].outcome);

        e.reply_is_ours = cases[i].ours;
        e.untold = cases[i].untold;
        if (cases[i].ident)
            memcpy(e.signs.ident, "9F31C0", sizeof("9F31C0"));
        render(&e, cases[i].refusals, ledger_report_explain, &out);
        for (size_t k = 0; k < COUNT(cases[i].said) && cases[i].said[k] != NULL; k++)
            if (strstr(buf_cstr(&out), cases[i].said[k]) == NULL)
                fail_msg("case %zu does not say \"%s\":\n%s", i, cases[i].said[k], buf_cstr(&out));
        for (size_t k = 0; k < COUNT(cases[i].unsaid) && cases[i].unsaid[k] != NULL; k++)
            if (strstr(buf_cstr(&out), cases[i].unsaid[k]) != NULL)
                fail_msg("case %zu says \"%s\":\n%s", i, cases[i].unsaid[k], buf_cstr(&out));
        assert_non_null(
            strstr(buf_cstr(&out), "until           2026-11-29T06:33:20.000Z (for 6 d)\n"));
        assert_non_null(
            strstr(buf_cstr(&out), "when            2026-11-22T06:33:20.000Z (3 h ago)\n"));
        assert_non_null(strstr(buf_cstr(&out),
                               "k3f9-2, of client 127.0.0.1 (old.example), its queue "
                               "id 9F31C0\n"));
    }
    buf_clear(&out);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));

    return value != NULL ? value : "(none)";
}

static void test_json(void **state)
{
    struct ledger_entry e = entry(LEDGER_REFUSED);
    struct buf out;
    json_t *o;

    (void)state;
    buf_init(&out, 65536);
    render(&e, PROOF_ENVELOPE, ledger_report_json, &out);
    o = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_null(memchr(out.p, '\n', out.n));
    assert_string_equal(text_of(o, "outcome"), "refused");
    assert_string_equal(text_of(o, "at"), "2026-11-22T06:33:20.000Z");
    assert_string_equal(text_of(o, "expires"), "2026-11-29T06:33:20.000Z");
    assert_string_equal(text_of(o, "sender"), "a@Client.example");
    assert_string_equal(text_of(o, "recipient"), "B.C@d.example");
    assert_int_equal(json_integer_value(json_object_get(o, "code")), 550);
    assert_string_equal(text_of(o, "reply"), "550 5.1.1 no such user / see https://d.example/");
    assert_true(json_is_false(json_object_get(o, "reply_is_ours")));
    assert_string_equal(text_of(o, "mx"), "mx.d.example");
    assert_string_equal(text_of(o, "address"), "192.0.2.7");
    assert_string_equal(text_of(o, "transaction"), "k3f9-2");
    assert_string_equal(text_of(o, "queue_id"), "9F31C0");
    assert_string_equal(text_of(o, "client"), "127.0.0.1");
    assert_string_equal(text_of(o, "helo"), "old.example");
    assert_null(json_object_get(o, "ident"));
    assert_int_equal(json_integer_value(json_object_get(o, "size")), 4711);
    assert_string_equal(text_of(o, "digest"),
                        "0fa5000000000000000000000000000000000000000000000000000000000001");
    assert_true(json_is_false(json_object_get(o, "untold")));
    assert_non_null(strstr(text_of(o, "happened"), "refused the message for good"));
    assert_non_null(strstr(text_of(o, "client_heard"), "451 ("));
    assert_non_null(strstr(text_of(o, "next"), "hears this refusal"));
    assert_non_null(strstr(text_of(o, "advice"), "complains"));
    json_decref(o);
    e.sender = "";
    e.untold = e.reply_is_ours = true;
    e.signs.has_size = false;
    render(&e, PROOF_ENVELOPE, ledger_report_json, &out);
    o = json_loadb(out.p, out.n, 0, NULL);
    assert_string_equal(text_of(o, "sender"), "<>");
    assert_true(json_is_true(json_object_get(o, "untold")));
    assert_true(json_is_true(json_object_get(o, "reply_is_ours")));
    assert_null(json_object_get(o, "size"));
    json_decref(o);
    buf_clear(&out);
}

/* C-OPS-04: what came from the network does not move the cursor */
static void test_c_ops_04_hostile_bytes(void **state)
{
    static void (*const forms[])(const struct ledger_report *r, struct buf *out) = {
        ledger_report_line, ledger_report_explain, ledger_report_json};
    struct ledger_entry e = entry(LEDGER_REFUSED);
    struct buf out;

    (void)state;
    buf_init(&out, 65536);
    e.sender = "\"\x1b[2J\"@client.example";
    e.recipient = "b\r\n\xe2\x80\xae@d.example"; /* valid UTF-8: turns the reading direction */
    e.reply = "5.0.0 \x1b]0;x\x07\n\xff\xc3\xbc\xe2\x80\xae end";
    e.mx = "mx\x7f.example";
    memcpy(e.signs.helo, "h\x1b", sizeof("h\x1b"));
    memcpy(e.transaction, "t\x1b", sizeof("t\x1b"));
    for (size_t f = 0; f < COUNT(forms); f++) {
        size_t lines = 0;

        render(&e, PROOF_ENVELOPE, forms[f], &out);
        for (size_t i = 0; i < out.n; i++) {
            unsigned char c = (unsigned char)out.p[i];

            lines += c == '\n';
            if (c != '\n' && (c < 0x20 || c >= 0x7f) &&
                !(forms[f] == ledger_report_json && c == 0x7f))
                fail_msg("form %zu: byte %02x in %s", f, c, buf_cstr(&out));
        }
        assert_int_equal(lines, f == 0 ? 1 : f == 1 ? 8 : 0);
    }
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_c_rcpt_04_sentences),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_c_ops_04_hostile_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
