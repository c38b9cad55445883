/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      inbound_script - an owner of the inbound machine, for tests
 *
 * DESCRIPTION
 *      The owner answers by names: the local part of the sender or recipient up to the first digit
 *      says how (see answers[]); "late" recipients are answered only when the machine cannot go
 *      on, the last first.  Where each recipient has a final reply it goes by the recipient's name
 *      ("each..."), and they are given in one of several orders.
 */
#ifndef TLSMEND_TESTS_INBOUND_SCRIPT_H
#define TLSMEND_TESTS_INBOUND_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/dialog/inbound.h"

#define TEXT_CAP ((size_t)8 << 20)
#define ACCEPTED_MAX 8

struct script {
    const char *name, *text;
    size_t line_max;                     /* 0: 4096; the one for AUTH is three times as long */
    unsigned recipients_max, errors_max; /* 0: 1000, 20 */
    uint64_t message_size;
    enum data_mode mode;
    bool requiretls;
    bool lmtp;
    bool one_for_all; /* the owner never gives a reply for each */
};

/* How the owner gives the final replies of LMTP and PRDR. */
enum each_order {
    EACH_NONE,     /* only the one for all */
    EACH_IN_ORDER, /* at once */
    EACH_REVERSED, /* at once */
    EACH_LATE,     /* when the machine cannot go on, one a time: the odd ones, then the even ones */
};

static const struct answer {
    const char *name; /* of the recipient, or of the sender for MAIL, DATA and the end */
    int code;
    const char *enh, *text;
} answers[] = {
    {"no", 550, "5.1.1", "no such user"},
    {"later", 451, "4.2.0", "not now"},
    {"dead", 421, "4.3.2", "going down"},
    {"many", 250, "2.1.5", "one\ntwo"},
    {"odd", 354, NULL, "what?"},
    {"ctl", 550, "5.0.0", "a\rb\x01"},
    {"mailno", 550, "5.7.1", "not you"},
    {"maildead", 421, "4.3.0", "closing"},
    {"datano", 452, "4.3.1", "disk full"},
    {"dataodd", 250, "2.0.0", "what?"},
    {"endno", 554, "5.7.1", "spam"},
    {"enddead", 421, "4.3.0", "closing"},
    {"eachno", 554, "5.7.1", "not here"},
    {"eachdead", 421, "4.3.2", "going down"},
    {"eachlater", 451, "4.2.0", "not now"},
    {"eachodd", 354, NULL, "what?"},
    {"eachmany", 250, "2.6.0", "one\ntwo"},
};

struct owner {
    struct inbound *in;
    char sender[64];
    unsigned late[INBOUND_RCPT_AHEAD];
    unsigned late_count;
    enum each_order order;
    char accepted[ACCEPTED_MAX][64]; /* names, in the order of RCPT */
    unsigned accepted_count, given;
    bool finals;     /* each accepted recipient waits for its final reply */
    bool bodies;     /* the last event was BODY */
    struct buf seen; /* the events, a line each */
    struct buf heard;
};

/* `when`: "mail", "data" or "end" for a sender, whose name then begins so; "" for a recipient, and
 * "each" for its final reply. */
static void set_answer(struct reply *r, const char *path, const char *when)
{
    struct slice name = slice_of(path, strcspn(path, "0123456789@"));

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (slice_eq(name, slice_str(answers[i].name)) && slice_istarts(name, slice_str(when)) &&
            (when[0] != '\0' || !slice_istarts(name, SLICE("each")))) {
            reply_set(r, answers[i].code, answers[i].enh, slice_str(answers[i].text));
            return;
        }
    if (strcmp(when, "data") == 0)
        reply_set(r, 354, NULL, SLICE("go on"));
    else if (when[0] == '\0' || strcmp(when, "each") == 0)
        reply_set(r, 250, "2.1.5", slice_of(path, strcspn(path, "@")));
    else
        reply_set(r, 250, "2.0.0", strcmp(when, "end") == 0 ? SLICE("taken") : SLICE("ok"));
}

static void answer(struct owner *o, unsigned slot, const char *name, const char *when)
{
    struct reply r;

    reply_init(&r);
    set_answer(&r, name, when);
    inbound_answer(o->in, slot, &r);
    reply_clear(&r);
}

/* The place of the next final reply to give. */
static unsigned next_place(const struct owner *o)
{
    unsigned odd = o->accepted_count / 2;

    if (o->order == EACH_IN_ORDER)
        return o->given;
    if (o->order == EACH_REVERSED)
        return o->accepted_count - 1 - o->given;
    return o->given < odd ? 2 * o->given + 1 : 2 * (o->given - odd);
}

/* One more final reply; the last is for all.  False: none is due. */
static bool answer_each(struct owner *o)
{
    struct reply r;
    unsigned place;

    if (!o->finals)
        return false;
    if (o->given == o->accepted_count) {
        o->finals = false;
        o->given = o->accepted_count = 0;
        answer(o, 0, o->sender, "end");
        return true;
    }
    place = next_place(o);
    reply_init(&r);
    set_answer(&r, o->accepted[place], "each");
    inbound_answer_each(o->in, place, &r);
    reply_clear(&r);
    o->given++;
    return true;
}

static void on_end(struct owner *o, const struct inbound_what *what)
{
    if (o->order == EACH_NONE || !inbound_answers_each(o->in)) {
        answer(o, what->slot, o->sender, "end");
        return;
    }
    o->finals = true;
    if (o->order != EACH_LATE)
        while (answer_each(o))
            ;
}

static void note(struct owner *o, const char *word, struct slice text)
{
    static const char hex[] = "0123456789abcdef";

    if (o->bodies)
        o->seen.n--; /* the line goes on */
    else
        assert_true(buf_addf(&o->seen, "%s%s", word, text.n > 0 ? " " : ""));
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c == '\r' || c == '\n')
            assert_true(buf_addf(&o->seen, "\\%c", c == '\r' ? 'r' : 'n'));
        else if (c < 0x20 || c > 0x7e || c == '\\')
            assert_true(buf_addf(&o->seen, "\\x%c%c", hex[c >> 4], hex[c & 15]));
        else
            assert_true(buf_addc(&o->seen, (char)c));
    }
    assert_true(buf_addc(&o->seen, '\n'));
}

static void on_mail(struct owner *o, const struct inbound_what *what)
{
    struct buf line;

    o->accepted_count = o->given = 0;
    (void)snprintf(o->sender, sizeof(o->sender), "%.*s", SLICE_ARG(what->mailbox.path));
    buf_init(&line, 4096);
    assert_true(buf_addf(&line, "<%.*s>%s%s%s", SLICE_ARG(what->mailbox.path),
                         what->params.prdr ? " PRDR" : "",
                         what->params.body == BODY_8BITMIME ? " 8BITMIME" : "",
                         what->params.requiretls ? " REQUIRETLS" : ""));
    note(o, "MAIL", buf_slice(&line));
    buf_clear(&line);
    answer(o, what->slot, o->sender, "mail");
}

static void remember(struct owner *o, const char *path)
{
    struct reply r;

    reply_init(&r);
    set_answer(&r, path, "");
    if (r.code / 100 == 2 && o->accepted_count < ACCEPTED_MAX)
        (void)snprintf(o->accepted[o->accepted_count++], sizeof(o->accepted[0]), "%s", path);
    reply_clear(&r);
}

static void on_rcpt(struct owner *o, const struct inbound_what *what)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%.*s", SLICE_ARG(what->mailbox.path));
    note(o, "RCPT", what->mailbox.path);
    remember(o, path);
    if (strncmp(path, "late", 4) == 0 && strncmp(path, "later", 5) != 0)
        o->late[o->late_count++] = what->slot;
    else
        answer(o, what->slot, path, "");
}

/* The last of the late ones first.  False: none was waiting. */
static bool answer_late(struct owner *o)
{
    if (o->late_count == 0)
        return false;
    while (o->late_count > 0)
        answer(o, o->late[--o->late_count], "late@", "");
    return true;
}

static void drain(struct owner *o)
{
    struct buf *out = inbound_output(o->in);

    assert_true(buf_add(&o->heard, buf_slice(out)));
    buf_reset(out);
}

/* Feed until the machine cannot go on.  False: it closed. */
static bool feed(struct owner *o, const char *bytes, size_t n)
{
    for (;;) {
        struct inbound_what what;
        size_t used;
        enum inbound_event ev = inbound_feed(o->in, bytes, n, &used, &what);
        bool body = ev == INBOUND_BODY;

        assert_true(used <= n);
        bytes += used;
        n -= used;
        switch (ev) {
        case INBOUND_NEED_INPUT:
            assert_int_equal(n, 0);
            drain(o);
            return true;
        case INBOUND_WAIT:
            if (!answer_late(o) && !answer_each(o))
                assert_true(inbound_output(o->in)->n >= INBOUND_OUTPUT_HIGH);
            drain(o);
            continue;
        case INBOUND_CLOSE:
            o->bodies = false;
            note(o, "CLOSE", SLICE_NONE);
            drain(o);
            return false;
        case INBOUND_BODY:
            assert_true(what.content.n > 0);
            note(o, "BODY", what.content);
            break;
        case INBOUND_MAIL:
        case INBOUND_RCPT:
        case INBOUND_DATA:
        case INBOUND_BODY_BAD:
        case INBOUND_BODY_END:
        case INBOUND_RESET:
            o->bodies = false;
            break;
        }
        if (ev == INBOUND_MAIL)
            on_mail(o, &what);
        if (ev == INBOUND_RCPT)
            on_rcpt(o, &what);
        if (ev == INBOUND_BODY_BAD)
            note(o, what.too_big ? "BIG" : "BAD", SLICE_NONE);
        if (ev == INBOUND_RESET)
            note(o, "RESET", SLICE_NONE);
        if (ev == INBOUND_DATA) {
            note(o, "DATA", SLICE_NONE);
            answer(o, what.slot, o->sender, "data");
        }
        if (ev == INBOUND_BODY_END) {
            note(o, "END", SLICE_NONE);
            on_end(o, &what);
        }
        if (ev != INBOUND_NEED_INPUT && ev != INBOUND_WAIT)
            o->bodies = body;
    }
}

static struct inbound *script_machine(const struct script *s)
{
    size_t line = s->line_max != 0 ? s->line_max : 4096;
    struct inbound_params p = {
        .helo_name = "relay.example",
        .line_max = line,
        .auth_line_max = 3 * line,
        .recipients_max = s->recipients_max != 0 ? s->recipients_max : 1000,
        .errors_max = s->errors_max != 0 ? s->errors_max : 20,
        .message_size = s->message_size,
        .data_mode = s->mode,
        .requiretls = s->requiretls,
        .lmtp = s->lmtp,
    };

    return inbound_new(&p);
}

static void owner_start(struct owner *o, const struct script *s)
{
    *o = (struct owner){.in = script_machine(s)};
    buf_init(&o->seen, TEXT_CAP);
    buf_init(&o->heard, TEXT_CAP);
}

static void owner_end(struct owner *o)
{
    buf_clear(&o->seen);
    buf_clear(&o->heard);
    inbound_free(&o->in);
}

#endif
