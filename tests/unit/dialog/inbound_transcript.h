/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      inbound_transcript - transcripts of the client's side, for tests
 *
 * DESCRIPTION
 *      A script is a text of lines:
 *          C: text    the client sends the text and CRLF
 *          C. text    ... without CRLF
 *          S: line    we say that line
 *          O: event   the owner sees that event (consecutive BODY events are one)
 *      In texts \r \n \\ and \xHH stand for bytes.  All C parts form one stream, which is fed
 *      whole, byte by byte, and cut in two at every place, with a fresh machine each time, and with
 *      each order of final replies: what the owner sees and what the client hears must be the same
 *      every time.  inbound_script.h tells how the owner answers.
 */
#ifndef TLSMEND_TESTS_INBOUND_TRANSCRIPT_H
#define TLSMEND_TESTS_INBOUND_TRANSCRIPT_H

#include <stdlib.h>

#include "tests/unit/dialog/inbound_script.h"

static void unescape(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned byte = 0;
        char hex[3] = "";

        if (text.p[i] != '\\') {
            assert_true(buf_addc(out, text.p[i]));
            continue;
        }
        switch (text.p[++i]) {
        case 'r':
            byte = '\r';
            break;
        case 'n':
            byte = '\n';
            break;
        case 'x':
            memcpy(hex, text.p + i + 1, 2);
            byte = (unsigned)strtoul(hex, NULL, 16);
            i += 2;
            break;
        default:
            byte = '\\';
        }
        assert_true(buf_addc(out, (char)byte));
    }
}

struct script_parts {
    struct buf client, says, events;
};

static void script_split(const struct script *s, struct script_parts *p)
{
    struct slice line, rest = slice_str(s->text);

    buf_init(&p->client, TEXT_CAP);
    buf_init(&p->says, TEXT_CAP);
    buf_init(&p->events, TEXT_CAP);
    while (rest.n > 0) {
        (void)slice_cut(rest, '\n', &line, &rest);
        assert_true(line.n >= 2);
        switch (line.p[0]) {
        case 'C':
            unescape(&p->client, slice_from(line, 3));
            if (line.p[1] == ':')
                assert_true(buf_add(&p->client, SLICE("\r\n")));
            break;
        case 'S':
            assert_true(buf_addf(&p->says, "%.*s\r\n", SLICE_ARG(slice_from(line, 3))));
            break;
        case 'O':
            assert_true(buf_addf(&p->events, "%.*s\n", SLICE_ARG(slice_from(line, 3))));
            break;
        default:
            fail_msg("%s: a line of no kind: %.*s", s->name, SLICE_ARG(line));
        }
    }
}

static void parts_clear(struct script_parts *p)
{
    buf_clear(&p->client);
    buf_clear(&p->says);
    buf_clear(&p->events);
}

static void script_compare(const struct script *s, struct owner *o, struct script_parts *p,
                           size_t cut)
{
    if (slice_eq(buf_slice(&o->seen), buf_slice(&p->events)) &&
        slice_eq(buf_slice(&o->heard), buf_slice(&p->says)))
        return;
    print_error("%s (cut at %zu)\n--- the owner should see\n%s--- and saw\n%s"
                "--- the client should hear\n%s--- and heard\n%s",
                s->name, cut, buf_cstr(&p->events), buf_cstr(&o->seen), buf_cstr(&p->says),
                buf_cstr(&o->heard));
    fail();
}

static void run_cut(const struct script *s, struct script_parts *p, size_t cut,
                    enum each_order order)
{
    struct owner o;

    owner_start(&o, s);
    o.order = order;
    if (cut <= p->client.n) {
        if (feed(&o, p->client.p, cut))
            (void)feed(&o, p->client.p + cut, p->client.n - cut);
    } else { /* byte by byte */
        bool open = true;

        for (size_t i = 0; open && i < p->client.n; i++)
            open = feed(&o, p->client.p + i, 1);
    }
    while (answer_late(&o))
        (void)feed(&o, "", 0);
    script_compare(s, &o, p, cut);
    owner_end(&o);
}

static void run_script(const struct script *s)
{
    struct script_parts p;

    script_split(s, &p);
    for (size_t cut = 0; cut <= p.client.n + 1; cut++) {
        if (s->one_for_all)
            run_cut(s, &p, cut, EACH_NONE);
        for (enum each_order order = EACH_IN_ORDER; !s->one_for_all && order <= EACH_LATE; order++)
            run_cut(s, &p, cut, order);
    }
    parts_clear(&p);
}

#define RUN_SCRIPTS(table)                                                         \
    for (size_t script = 0; script < sizeof(table) / sizeof((table)[0]); script++) \
    run_script(&(table)[script])

#define HELO "C: HELO client.example\nS: 250 relay.example\n"
#define FROM "C: MAIL FROM:<s@a.example>\nO: MAIL <s@a.example>\nS: 250 2.0.0 ok\n"
#define TO "C: RCPT TO:<ok@b.example>\nO: RCPT ok@b.example\nS: 250 2.1.5 ok\n"
#define NOBODY "C: RCPT TO:<no@b.example>\nO: RCPT no@b.example\nS: 550 5.1.1 no such user\n"
#define DATA "C: DATA\nO: DATA\nS: 354 go on\n"
#define TAKEN "O: END\nS: 250 2.0.0 taken\n"
#define QUIT "C: QUIT\nS: 221 2.0.0 Bye\nO: CLOSE\n"
#define QUIT_IN_MAIL "C: QUIT\nS: 221 2.0.0 Bye\nO: RESET\nO: CLOSE\n"
#define OFFERS                                                                               \
    "S: 250-relay.example\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250-ENHANCEDSTATUSCODES\n" \
    "S: 250-SIZE\nS: 250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\nS: 250-PRDR\n"     \
    "S: 250 LIMITS RCPTDOMAINMAX=1\n"

#endif
