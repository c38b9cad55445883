/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random MX and a random owner against the outbound machine.  Held:
 *   - how the MX's bytes are cut changes no event and no byte of output;
 *   - an event says what the wire says: the n-th reply stands for the n-th command that left, and
 *     each command is answered once (C-OUT-08, C-OUT-09);
 *   - a reply that no command on the wire asked for is the end (C-OUT-09), and so is a yes to DATA
 *     that has nobody to go to;
 *   - content and the final dot leave only behind a 354 that came for one recipient or more, and no
 *     command leaves between DATA and its answer;
 *   - no MAIL leaves in clear, or over TLS that is not enough, when the demand owes more (C-TLS-04,
 *     C-CERT-06);
 *   - MAIL carries REQUIRETLS where the demand needs it, and only there (RFC 8689);
 *   - a dead machine gives nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/dialog/outbound.h"

#define CHECK(x) ((x) ? (void)0 : abort())

static const char *const lines[] = {
    "220 mx.example ESMTP\r\n",
    "250 mx.example\r\n",
    "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 100\r\n250 STARTTLS\r\n",
    "250-mx.example\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
    "250 ok\r\n",
    "354 go\r\n",
    "421 bye\r\n",
    "451 4.3.0 later\r\n",
    "552 5.2.2 full\r\n",
    "500 what\r\n",
    "25",
    "0 ok\r\n",
    "2x0 ok\r\n",
    "250-mx.example\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n",
    "250 one\r\n250 two\r\n354 go\r\n",
    "550 no\r\n503 no\r\n",
    "250-mx.example\r\n250-PIPELINING\r\n250 REQUIRETLS\r\n",
};

/*
 * What the wire shows: commands that left, in order, and the replies that came for them.  It is read
 * without the machine, and its events must agree with it.
 */
#define COMMANDS 256

struct wire {
    char owed[COMMANDS]; /* first letters of commands without a reply, oldest first; '.' the dot */
    size_t owed_n;
    char line[8];        /* of the MX, its first bytes */
    size_t line_n, said; /* said: lines of this reply */
    bool due;            /* something was owed when the reply began */
    bool over;           /* what was heard must be the end of the machine */
    bool lost;           /* it was no reply by the grammar: nothing is known from there on */
    bool in_body;        /* lines of ours are content */
    unsigned mail, rcpt[COMMANDS], data, end; /* replies in the transaction on the wire; 0: none */
    unsigned rcpts, rcpts_answered, accepted;
};

struct side {
    struct outbound *o;
    struct buf trace;                  /* events, and all bytes of output */
    struct demand demands[2], *demand; /* in force */
    struct tls_reached reached;
    bool last_was_starttls;
    bool ahead;        /* DATA was given ahead and is not answered */
    unsigned accepted; /* RCPTs of this transaction */
    unsigned rcpts_told;
    bool mail_told, data_told, end_told;
    struct wire w;
};

static void note_reply(struct side *s, const struct outbound_what *what)
{
    unsigned code = (unsigned)what->reply->code;

    switch (what->command) {
    case OUTBOUND_MAIL:
        CHECK(!s->mail_told);
        CHECK(what->reason == REASON_SIZE_EXCEEDED || code == s->w.mail);
        s->mail_told = true;
        break;
    case OUTBOUND_RCPT:
        CHECK(s->mail_told && what->index == s->rcpts_told && what->index < s->w.rcpts_answered);
        CHECK(code == (s->w.rcpt[what->index] == 552 ? 452 : s->w.rcpt[what->index]));
        s->rcpts_told++;
        s->accepted += code / 100 == 2 ? 1 : 0;
        break;
    case OUTBOUND_DATA:
        CHECK(!s->data_told && s->rcpts_told == s->w.rcpts && code == s->w.data);
        CHECK(code != 354 || s->accepted > 0);
        s->data_told = true;
        s->ahead = false;
        if (code != 354)
            s->accepted = 0;
        break;
    case OUTBOUND_END:
        CHECK(!s->end_told && s->data_told && s->w.data == 354 && code == s->w.end);
        s->end_told = true;
        break;
    }
}

static void note(struct side *s, enum outbound_event ev, const struct outbound_what *what)
{
    if (ev == OUTBOUND_NEED_INPUT)
        return;
    /* Cut right behind the 220, the injection is seen one call later: one event, not two. */
    if (s->last_was_starttls &&
        !(ev == OUTBOUND_FAILED && what->reason == REASON_STARTTLS_INJECTION))
        CHECK(buf_add(&s->trace, SLICE("starttls\n")));
    s->last_was_starttls = ev == OUTBOUND_START_TLS;
    if (s->last_was_starttls)
        return;
    CHECK(buf_addf(&s->trace, "%d %d %u %d %d %d\n", ev, what->command, what->index,
                   what->reply->code, what->stage, what->reason));
    if (ev == OUTBOUND_REPLY)
        note_reply(s, what);
}

/* A whole reply stands for the oldest command that left. */
static void wire_reply(struct wire *w, unsigned code)
{
    char command = w->owed[0];

    w->said = 0;
    if (!w->due) {
        w->over = true;
        return;
    }
    memmove(w->owed, w->owed + 1, --w->owed_n);
    if (command == 'M') {
        w->mail = code;
    } else if (command == 'R') {
        w->rcpt[w->rcpts_answered++] = code;
        w->accepted += code / 100 == 2 ? 1 : 0;
    } else if (command == 'D') {
        w->data = code;
        w->in_body = code == 354;
        w->over = code < 400 && !(code == 354 && w->mail / 100 == 2 && w->accepted > 0);
    } else if (command == '.') {
        w->end = code;
    }
}

static void wire_hears(struct wire *w, char c)
{
    const char *p = w->line;

    if (w->lost || w->over)
        return;
    if (w->line_n == 0 && w->said == 0)
        w->due = w->owed_n > 0;
    if (w->line_n < sizeof(w->line))
        w->line[w->line_n] = c;
    w->line_n++;
    if (c != '\n')
        return;
    if (w->line_n < 5 || p[0] < '2' || p[0] > '5' || p[1] < '0' || p[1] > '5' || p[2] < '0' ||
        p[2] > '9')
        w->lost = true;
    w->line_n = 0;
    w->said++;
    if (!w->lost && p[3] != '-')
        wire_reply(w, (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 +
                          (unsigned)(p[2] - '0'));
}

static void feed(struct side *s, struct slice in)
{
    for (size_t i = 0; i < in.n; i++)
        wire_hears(&s->w, in.p[i]);
    while (in.n > 0) {
        bool dead = outbound_phase(s->o) == OUTBOUND_PHASE_DEAD;
        struct outbound_what what;
        size_t used = 0;
        enum outbound_event ev;

        ev = outbound_feed(s->o, in.p, in.n, &used, &what);
        CHECK(used <= in.n && (used > 0 || ev != OUTBOUND_NEED_INPUT));
        CHECK(!dead || (ev == OUTBOUND_NEED_INPUT && outbound_output(s->o)->n == 0));
        note(s, ev, &what);
        in = slice_from(in, used);
    }
    CHECK(!s->w.over || outbound_phase(s->o) == OUTBOUND_PHASE_DEAD ||
          outbound_phase(s->o) == OUTBOUND_PHASE_QUIT); /* nothing depends on it there */
}

static bool owes(const struct wire *w, char command)
{
    return memchr(w->owed, command, w->owed_n) != NULL;
}

static void wire_transaction(struct side *s, struct slice line)
{
    s->w.mail = s->w.data = s->w.end = s->w.rcpts = s->w.rcpts_answered = s->w.accepted = 0;
    s->reached.requiretls = s->reached.tls && outbound_facts(s->o)->ehlo.requiretls;
    CHECK(s->w.owed_n == 0);
    CHECK(demand_met(s->demand, &s->reached));
    CHECK(slice_ihas(line, SLICE(" REQUIRETLS\r")) == ((s->demand->needs & NEED_REQUIRETLS) != 0));
}

/* A line of ours leaves, without its LF. */
static void wire_leaves(struct side *s, struct slice line)
{
    struct wire *w = &s->w;
    char command = line.p[0];

    CHECK(slice_iends(line, SLICE("\r")));
    if (w->lost)
        return;
    if (w->in_body && slice_eq(line, SLICE("..hello\r")))
        return;
    if (w->in_body) { /* the dot: only behind a 354 that came for a recipient */
        CHECK(slice_eq(line, SLICE(".\r")) && w->owed_n == 0);
        CHECK(w->data == 354 && w->mail / 100 == 2 && w->accepted > 0);
        w->in_body = false;
    } else {
        CHECK(command != '.');
    }
    CHECK(!owes(w, 'D') && !owes(w, '.')); /* nothing follows DATA before its answer */
    if (command == 'M')
        wire_transaction(s, line);
    else if (command == 'R' && line.p[1] == 'C')
        w->rcpts++;
    else if (command == 'D')
        w->data = 0;
    if (slice_eq(line, SLICE("RSET\r")))
        command = 'S';
    CHECK(outbound_facts(s->o)->ehlo.pipelining || w->owed_n == 0 || command == 'Q');
    CHECK(w->owed_n < COMMANDS && w->rcpts < COMMANDS);
    w->owed[w->owed_n++] = command;
}

/* What gathered leaves for the MX: all, or the first line of it. */
static void leave(struct side *s, bool all)
{
    struct buf *out = outbound_output(s->o);

    while (out->n > 0) {
        struct slice line, rest;

        CHECK(slice_cut(buf_slice(out), '\n', &line, &rest));
        wire_leaves(s, line);
        CHECK(buf_add(&s->trace, line));
        buf_consume(out, line.n + 1);
        if (!all)
            break;
    }
}

static struct tls_reached reached_by(unsigned char choice)
{
    return (struct tls_reached){.tls = true,
                                .chain = (choice & 1) != 0,
                                .name = (choice & 4) != 0,
                                .host = (choice & 8) != 0,
                                .pinned = (choice & 2) != 0,
                                .tlsa = (choice & 16) != 0,
                                .requiretls = (choice & 32) != 0};
}

static struct demand demand_by(unsigned char choice)
{
    struct demand d = {.level = choice % LEVEL_COUNT};

    d.needs = tls_level_needs(d.level);
    if (choice & 0x20)
        d.needs |= NEED_TLS;
    if (choice & 0x40)
        d.needs |= NEED_TLS | NEED_REQUIRETLS;
    return d;
}

static void renew(struct side *s, unsigned char choice)
{
    bool tls = s->reached.tls, met;

    s->demand = s->demand == &s->demands[0] ? &s->demands[1] : &s->demands[0];
    *s->demand = demand_by((unsigned char)(choice * 37));
    s->reached = reached_by((unsigned char)(choice * 11));
    met = outbound_renew(s->o, s->demand, &s->reached);
    s->reached.tls = tls;
    s->reached.requiretls = tls && outbound_facts(s->o)->ehlo.requiretls;
    CHECK(met == demand_met(s->demand, &s->reached));
}

static void act_ready(struct side *s, unsigned char choice)
{
    struct mail_params params = {
        .has_size = choice & 1, .size = 150, .body = choice % 3, .requiretls = choice % 7 == 0};
    struct outbound_what what = {0};

    s->accepted = s->rcpts_told = 0;
    s->mail_told = s->data_told = s->end_told = s->ahead = false;
    if (choice < 200)
        note(s, outbound_mail(s->o, SLICE("a@b.example"), &params, &what), &what);
    else if (choice < 220)
        outbound_quit(s->o);
    else if (choice < 230)
        outbound_reset(s->o);
    else
        renew(s, choice);
}

static void act_envelope(struct side *s, unsigned char choice)
{
    if (s->ahead)
        return;
    if (choice < 150) {
        outbound_rcpt(s->o, SLICE("c@d.example"));
    } else if (choice < 210) {
        outbound_rcpt(s->o, SLICE("c@d.example"));
        outbound_data_ahead(s->o);
        s->ahead = true;
        s->data_told = false;
    } else if (choice < 230) {
        outbound_reset(s->o);
    } else {
        outbound_quit(s->o);
    }
}

static void act_recipients(struct side *s, unsigned char choice)
{
    s->ahead = false; /* without PIPELINING it may have come to nothing */
    if (choice >= 200) {
        outbound_reset(s->o);
    } else if (choice < 100 || s->accepted == 0) {
        act_envelope(s, (unsigned char)(choice + 100));
    } else {
        outbound_data(s->o);
        s->data_told = false;
    }
}

/* Some act that is in order in this phase. */
static void act(struct side *s, unsigned char choice)
{
    struct outbound_what what = {0};

    if (choice > 250) {
        note(s, choice & 1 ? outbound_lost(s->o, "", &what) : outbound_timeout(s->o, &what), &what);
        return;
    }
    switch (outbound_phase(s->o)) {
    case OUTBOUND_PHASE_HANDSHAKE:
        s->reached = reached_by(choice);
        outbound_tls_up(s->o, &s->reached);
        break;
    case OUTBOUND_PHASE_READY:
        act_ready(s, choice);
        break;
    case OUTBOUND_PHASE_ENVELOPE:
        act_envelope(s, choice);
        break;
    case OUTBOUND_PHASE_RECIPIENTS:
        act_recipients(s, choice);
        break;
    case OUTBOUND_PHASE_REFUSED:
        if (choice >= 200 && !s->ahead)
            outbound_reset(s->o);
        break;
    case OUTBOUND_PHASE_RESET:
        if (choice >= 200)
            outbound_quit(s->o);
        break;
    case OUTBOUND_PHASE_BODY:
        outbound_body(s->o, SLICE(".hello\r\n"));
        if (choice < 100)
            outbound_end(s->o);
        break;
    default:
        break;
    }
}

static void side_start(struct side *s, unsigned char choice)
{
    *s = (struct side){.demands[0] = demand_by(choice & 0x7f), .demand = &s->demands[0]};
    struct outbound_params params = {
        .helo_name = "relay.example",
        .demand = s->demand,
        .plaintext = choice >= 128 && s->demand->level == LEVEL_MAY && s->demand->needs == 0,
    };

    s->o = outbound_new(&params);
    s->w.owed[s->w.owed_n++] = 'B'; /* the greeting */
    buf_init(&s->trace, SIZE_MAX);
}

static void side_end(struct side *s)
{
    buf_clear(&s->trace);
    outbound_free(&s->o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct side whole, parts;

    side_start(&whole, size > 0 ? data[0] : 0);
    side_start(&parts, size > 0 ? data[0] : 0);
    for (size_t i = 1; i + 1 < size; i += 2) {
        unsigned char op = data[i], arg = data[i + 1];
        struct slice in;

        if (op < 100) { /* the MX: a known line, raw bytes, or a known line and a raw byte */
            in = slice_str(lines[arg % (sizeof(lines) / sizeof(lines[0]))]);
            if (op < 10)
                in = slice_first(slice_of(data + i + 2, size - i - 2), arg);
            feed(&whole, in);
            for (size_t j = 0; j < in.n; j++)
                feed(&parts, slice_of(in.p + j, 1));
            i += op < 10 ? in.n : 0;
        } else if (op < 200) {
            leave(&whole, arg < 200);
            leave(&parts, arg < 200);
        } else {
            act(&whole, arg);
            act(&parts, arg);
        }
        CHECK(outbound_phase(whole.o) == outbound_phase(parts.o));
    }
    note(&whole, OUTBOUND_CLOSED, &(struct outbound_what){.reply = &(struct reply){0}});
    note(&parts, OUTBOUND_CLOSED, &(struct outbound_what){.reply = &(struct reply){0}});
    CHECK(slice_eq(buf_slice(&whole.trace), buf_slice(&parts.trace)));
    side_end(&whole);
    side_end(&parts);
    return 0;
}
