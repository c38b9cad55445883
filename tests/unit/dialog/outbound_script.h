/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      outbound_script - transcripts of conversations with an MX, played against the machine
 *
 * DESCRIPTION
 *      A script is text, one step per line:
 *        M: text      the MX sends a line; M and m lines in a row are one segment
 *        m: text      ... without the line end
 *        T: text      tlsmend sends exactly these lines, and they leave for the MX ("T: -": nothing)
 *        > act        the owner: mail, mail size=N, mail 8bit, mail requiretls, rcpt, data, ahead,
 *                     reset, body TEXT, end, quit, tls trusted, tls untrusted, lost, timeout,
 *                     unsent, "renew LEVEL trusted" ("... untrusted", "... requiretls": what the
 *                     owner says was reached)
 *        ! event      the next event: ready, starttls, closed, "reply mail 250", "reply rcpt 0
 *                     550", "reply data 354", "reply end 250", "failed STAGE TOKEN CODE"; and what
 *                     renew gave: met, unmet
 *        ~ text       the detail of the last event has this text in it
 *        = PHASE      the machine is in that phase
 *      In `body`, "|" stands for CRLF.  Every script is played with whole segments, with every
 *      segment cut in two at every place, and byte by byte: the answers must be the same.
 */
#ifndef TLSMEND_TESTS_OUTBOUND_SCRIPT_H
#define TLSMEND_TESTS_OUTBOUND_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"
#include "proxy/dialog/outbound.h"

#define SCRIPT_EVENTS 64
#define CUT_NOT SIZE_MAX       /* whole segments */
#define CUT_ALL (SIZE_MAX - 1) /* byte by byte */

struct script {
    const char *name;
    enum tls_level level;
    bool plaintext;
    const char *text;
};

struct player {
    const struct script *script;
    struct outbound *o;
    struct demand renewed; /* lent to the machine by the last renew */
    size_t cut;
    size_t longest; /* segment seen */
    struct buf segment;
    char events[SCRIPT_EVENTS][160];
    size_t event_count, event_read;
    char detail[1024];
};

static inline void script_fail(const struct player *p, struct slice line, const char *what,
                               const char *got)
{
    char cut[32] = "whole";

    if (p->cut == CUT_ALL)
        (void)snprintf(cut, sizeof(cut), "byte by byte");
    else if (p->cut != CUT_NOT)
        (void)snprintf(cut, sizeof(cut), "cut at %zu", p->cut);
    fail_msg("%s (%s): at \"%.*s\": %s: \"%s\"", p->script->name, cut, SLICE_ARG(line), what, got);
}

static inline void script_note(struct player *p, enum outbound_event ev,
                               const struct outbound_what *what)
{
    static const char *const commands[] = {"mail", "rcpt", "data", "end"};
    char *to = p->events[p->event_count];
    size_t size = sizeof(p->events[0]);

    if (ev == OUTBOUND_NEED_INPUT)
        return;
    assert_true(p->event_count + 1 < SCRIPT_EVENTS);
    assert_non_null(what->reply);
    (void)snprintf(p->detail, sizeof(p->detail), "%s", what->detail);
    switch (ev) {
    case OUTBOUND_NEED_INPUT:
        break;
    case OUTBOUND_START_TLS:
        (void)snprintf(to, size, "starttls");
        break;
    case OUTBOUND_READY:
        (void)snprintf(to, size, "ready");
        break;
    case OUTBOUND_REPLY:
        if (what->command == OUTBOUND_RCPT)
            (void)snprintf(to, size, "reply rcpt %u %d", what->index, what->reply->code);
        else
            (void)snprintf(to, size, "reply %s %d%s", commands[what->command], what->reply->code,
                           what->reply->origin == REPLY_FROM_US ? " ours" : "");
        break;
    case OUTBOUND_FAILED:
        (void)snprintf(to, size, "failed %s %s %d", stage_name(what->stage),
                       reason_info(what->reason)->token, what->reply->code);
        /* Cut right behind the 220, the injection is seen one call later. */
        if (what->reason == REASON_STARTTLS_INJECTION && p->event_count > p->event_read &&
            strcmp(p->events[p->event_count - 1], "starttls") == 0) {
            memcpy(p->events[p->event_count - 1], to, size);
            return;
        }
        break;
    case OUTBOUND_CLOSED:
        (void)snprintf(to, size, "closed");
        break;
    }
    p->event_count++;
}

static inline void script_feed(struct player *p, struct slice in)
{
    while (in.n > 0) {
        /* A copy of just these bytes: reading past them is seen by ASan. */
        char *copy = slice_dup(in);
        struct outbound_what what;
        size_t used = 0;
        enum outbound_event ev = outbound_feed(p->o, copy, in.n, &used, &what);

        script_note(p, ev, &what);
        free(copy);
        assert_true(used <= in.n);
        assert_true(used > 0 || ev != OUTBOUND_NEED_INPUT);
        in = slice_from(in, used);
    }
}

/* The segment of the M lines read so far goes to the machine, cut as this run wants it. */
static inline void script_flush(struct player *p)
{
    struct slice all = buf_slice(&p->segment);

    if (all.n > p->longest)
        p->longest = all.n;
    if (p->cut == CUT_ALL) {
        for (size_t i = 0; i < all.n; i++)
            script_feed(p, slice_of(all.p + i, 1));
    } else {
        struct slice first = slice_first(all, p->cut);

        script_feed(p, first);
        script_feed(p, slice_from(all, first.n));
    }
    buf_reset(&p->segment);
}

static inline void script_body(struct player *p, struct slice text)
{
    struct buf wire;
    struct slice line, rest = text;

    buf_init(&wire, 4096);
    while (slice_cut(rest, '|', &line, &rest)) {
        assert_true(buf_add(&wire, line) && buf_add(&wire, SLICE("\r\n")));
    }
    assert_true(buf_add(&wire, line));
    outbound_body(p->o, buf_slice(&wire));
    buf_clear(&wire);
}

/* "LEVEL REACHED": the machine must do the rest. */
static inline void script_renew(struct player *p, struct slice arg)
{
    struct slice level = SLICE_NONE, got = SLICE_NONE, rest = arg;
    struct tls_reached reached = {.tls = true};

    assert_true(slice_word(&rest, &level) && slice_word(&rest, &got));
    p->renewed = (struct demand){.policy_id = ""};
    if (slice_eq(level, SLICE("requiretls"))) {
        p->renewed.level = LEVEL_MAY;
        p->renewed.needs = NEED_TLS | NEED_REQUIRETLS;
    } else {
        assert_true(tls_level_find(level, &p->renewed.level));
        p->renewed.needs = tls_level_needs(p->renewed.level);
    }
    reached.chain = reached.name = slice_eq(got, SLICE("trusted"));
    reached.requiretls = slice_eq(got, SLICE("requiretls")); /* never believed: EHLO said */
    (void)snprintf(p->events[p->event_count++], sizeof(p->events[0]), "%s",
                   outbound_renew(p->o, &p->renewed, &reached) ? "met" : "unmet");
    reached = (struct tls_reached){0}; /* it was copied */
}

static inline void script_act(struct player *p, struct slice line)
{
    struct slice rest = line, word, arg;
    struct outbound_what what = {0};
    struct mail_params params = {0};
    unsigned long long size;

    assert_true(slice_word(&rest, &word));
    arg = slice_trim(rest);
    if (slice_eq(word, SLICE("mail"))) {
        if (slice_istarts(arg, SLICE("size="))) {
            assert_true(slice_u64(slice_from(arg, 5), UINT64_MAX, &size));
            params.has_size = true;
            params.size = size;
        } else if (slice_eq(arg, SLICE("8bit"))) {
            params.body = BODY_8BITMIME;
        } else if (slice_eq(arg, SLICE("requiretls"))) {
            params.requiretls = true;
        }
        script_note(p, outbound_mail(p->o, SLICE("s@client.example"), &params, &what), &what);
    } else if (slice_eq(word, SLICE("rcpt"))) {
        outbound_rcpt(p->o, SLICE("r@mx.example"));
    } else if (slice_eq(word, SLICE("data"))) {
        outbound_data(p->o);
    } else if (slice_eq(word, SLICE("ahead"))) {
        outbound_data_ahead(p->o);
    } else if (slice_eq(word, SLICE("reset"))) {
        outbound_reset(p->o);
    } else if (slice_eq(word, SLICE("renew"))) {
        script_renew(p, arg);
    } else if (slice_eq(word, SLICE("body"))) {
        script_body(p, arg);
    } else if (slice_eq(word, SLICE("end"))) {
        outbound_end(p->o);
    } else if (slice_eq(word,
                        SLICE("unsent"))) { /* what left the machine still waits at the owner */
        outbound_unsent(p->o, true);
    } else if (slice_eq(word, SLICE("quit"))) {
        outbound_quit(p->o);
    } else if (slice_eq(word, SLICE("tls"))) {
        struct tls_reached got = {.tls = true,
                                  .chain = slice_eq(arg, SLICE("trusted")),
                                  .name = slice_eq(arg, SLICE("trusted")),
                                  .requiretls = true}; /* never believed: EHLO says */

        outbound_tls_up(p->o, &got);
    } else if (slice_eq(word, SLICE("lost"))) {
        script_note(p, outbound_lost(p->o, "reset", &what), &what);
    } else if (slice_eq(word, SLICE("timeout"))) {
        script_note(p, outbound_timeout(p->o, &what), &what);
    } else {
        script_fail(p, line, "no such act", "");
    }
}

/* A T line is the next line of the output; "-" that there is none. */
static inline void script_sent(struct player *p, struct slice line, struct slice want)
{
    struct buf *out = outbound_output(p->o);
    struct slice got, rest;

    if (slice_eq(want, SLICE("-"))) {
        if (out->n > 0)
            script_fail(p, line, "something was sent", buf_cstr(out));
        return;
    }
    if (!slice_cut(buf_slice(out), '\n', &got, &rest) || got.n == 0 || got.p[got.n - 1] != '\r' ||
        !slice_eq(slice_first(got, got.n - 1), want))
        script_fail(p, line, "sent was", buf_cstr(out));
    buf_consume(out, got.n + 1);
}

static inline void script_check(struct player *p, struct slice line, char kind, struct slice want)
{
    if (kind == '!') {
        if (p->event_read == p->event_count)
            script_fail(p, line, "no event", "");
        if (!slice_eq(slice_str(p->events[p->event_read]), want))
            script_fail(p, line, "event was", p->events[p->event_read]);
        p->event_read++;
    } else if (kind == '~') {
        if (!slice_ihas(slice_str(p->detail), want))
            script_fail(p, line, "detail was", p->detail);
    } else if (!slice_eq(slice_str(outbound_phase_name(outbound_phase(p->o))), want)) {
        script_fail(p, line, "phase was", outbound_phase_name(outbound_phase(p->o)));
    }
}

static inline void script_step(struct player *p, struct slice line)
{
    struct slice arg;
    char kind;

    if (line.n == 0)
        return;
    kind = line.p[0];
    arg = slice_from(line, kind == 'M' || kind == 'm' || kind == 'T' ? 2 : 1);
    if (arg.n > 0 && arg.p[0] == ' ')
        arg = slice_from(arg, 1);
    if (kind == 'M' || kind == 'm') {
        assert_true(buf_add(&p->segment, arg));
        assert_true(kind == 'm' || buf_add(&p->segment, SLICE("\r\n")));
        return;
    }
    script_flush(p);
    if (kind == 'T')
        script_sent(p, line, arg);
    else if (kind == '>')
        script_act(p, arg);
    else
        script_check(p, line, kind, arg);
}

/* Plays the script once; returns the length of the longest segment. */
static inline size_t script_play(const struct script *s, unsigned needs, size_t cut)
{
    struct demand demand = {.level = s->level, .needs = needs, .policy_id = ""};
    struct outbound_params params = {
        .helo_name = "relay.example", .demand = &demand, .plaintext = s->plaintext};
    struct player p = {.script = s, .o = outbound_new(&params), .cut = cut};
    struct slice line, rest = slice_str(s->text);

    buf_init(&p.segment, 262144);
    while (slice_cut(rest, '\n', &line, &rest))
        script_step(&p, line);
    script_step(&p, line);
    script_flush(&p);
    if (p.event_read < p.event_count)
        script_fail(&p, SLICE("end"), "one event more", p.events[p.event_read]);
    if (outbound_output(p.o)->n > 0)
        script_fail(&p, SLICE("end"), "sent besides", buf_cstr(outbound_output(p.o)));
    buf_clear(&p.segment);
    outbound_free(&p.o);
    assert_null(p.o);
    return p.longest;
}

/* `more`: needs beside those that the level means by itself. */
static inline void script_play_all_ways_needing(const struct script *s, unsigned more)
{
    unsigned needs = tls_level_needs(s->level) | more;
    size_t longest = script_play(s, needs, CUT_NOT);

    script_play(s, needs, CUT_ALL);
    for (size_t cut = 1; cut < longest; cut++)
        script_play(s, needs, cut);
}

static inline void script_play_all_ways(const struct script *s)
{
    script_play_all_ways_needing(s, 0);
}

#endif
