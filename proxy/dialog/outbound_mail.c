/* SPDX-License-Identifier: Apache-2.0 */
/* outbound_mail - from MAIL to QUIT; see outbound.h for the contract. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/outbound_internal.h"

/* The reply in o->reply is the answer to the owner's command. */
static enum outbound_event answer(struct outbound *o, enum outbound_command command, bool yes,
                                  struct outbound_what *what)
{
    what->command = command;
    what->reply = &o->reply;
    what->reason = yes ? REASON_OK : REASON_MX_REPLIED;
    return OUTBOUND_REPLY;
}

/* RFC 5321 3.8: after a 421 the MX closes, whatever the command was. */
static bool says_goodbye(struct outbound *o)
{
    if (o->reply.code != 421)
        return false;
    outbound_enter(o, OUTBOUND_PHASE_GOODBYE);
    return true;
}

/* A line break in a path would be a command of its own (C-IN-06): smtp/mailbox lets none through.
 */
static void check_path(struct slice path)
{
    for (size_t i = 0; i < path.n; i++)
        INVARIANT(path.p[i] != '\r' && path.p[i] != '\n' && path.p[i] != '\0');
}

static enum outbound_event too_large(struct outbound *o, uint64_t size, struct outbound_what *what)
{
    free(o->detail);
    o->detail = mem_format("SIZE %" PRIu64 ", declared %" PRIu64, o->facts.ehlo.size_max, size);
    reason_reply(REASON_SIZE_EXCEEDED, SLICE_NONE, slice_str(o->detail), &o->reply);
    (void)answer(o, OUTBOUND_MAIL, false, what);
    what->reason = REASON_SIZE_EXCEEDED;
    what->detail = o->detail;
    return OUTBOUND_REPLY;
}

enum outbound_event outbound_mail(struct outbound *o, struct slice path,
                                  const struct mail_params *params, struct outbound_what *what)
{
    const struct ehlo *offers = &o->facts.ehlo;
    char size[32];
    bool eight_bit = params->body == BODY_8BITMIME;
    bool requiretls = (o->demand->needs & NEED_REQUIRETLS) != 0;

    INVARIANT(o->phase == OUTBOUND_PHASE_READY);
    check_path(path);
    *what = (struct outbound_what){
        .reply = &outbound_no_reply, .stage = STAGE_MAIL, .reason = REASON_OK, .detail = ""};
    if (o->unasked)
        return outbound_fail(o, REASON_UNASKED_REPLY, NULL, "in the middle of a reply", what);
    if (!demand_met(o->demand, &o->reached)) /* C-CERT-06 */
        return outbound_fail(o, REASON_DEMAND_UNMET, NULL, tls_level_name(o->demand->level), what);
    if (params->requiretls && !requiretls) /* RFC 8689 4.2.1: it would be dropped on the way */
        return outbound_fail(o, REASON_DEMAND_UNMET, NULL, "REQUIRETLS is not in the demand", what);
    /* RFC 1870 6.1, before data is moved (C-OUT-05); SIZE 0 or without a number sets no limit. */
    if (offers->size && offers->size_max > 0 && params->has_size && params->size > offers->size_max)
        return too_large(o, params->size, what);

    o->facts.body_undeclared = eight_bit && !offers->eightbitmime;
    o->facts.body_bytes = 0;
    outbound_put(o, SLICE("MAIL FROM:<"));
    outbound_put(o, path);
    outbound_put(o, SLICE(">"));
    if (offers->size && params->has_size) {
        (void)snprintf(size, sizeof(size), " SIZE=%" PRIu64, params->size);
        outbound_put(o, slice_str(size));
    }
    if (eight_bit && offers->eightbitmime)
        outbound_put(o, SLICE(" BODY=8BITMIME"));
    if (requiretls)
        outbound_put(o, SLICE(" REQUIRETLS"));
    outbound_put(o, SLICE("\r\n"));
    o->wanted = o->asked = 1;
    outbound_enter(o, OUTBOUND_PHASE_ENVELOPE);
    return OUTBOUND_NEED_INPUT;
}

/* The next queued line. */
static void ask_next(struct outbound *o)
{
    struct slice line, rest;

    INVARIANT(slice_cut(buf_slice(&o->waiting), '\n', &line, &rest));
    line.n++; /* with its '\n' */
    outbound_put(o, line);
    buf_consume(&o->waiting, line.n);
    o->asked++;
}

/* RFC 2920 3.1: no command before the reply to the last one where PIPELINING is not offered. */
static bool may_ask(const struct outbound *o)
{
    return o->facts.ehlo.pipelining || o->asked == o->answered;
}

void outbound_rcpt(struct outbound *o, struct slice path)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(o->phase == OUTBOUND_PHASE_ENVELOPE || o->phase == OUTBOUND_PHASE_RECIPIENTS);
    INVARIANT(!o->data_ahead);
    check_path(path);
    o->wanted++;
    if (may_ask(o)) {
        outbound_put(o, SLICE("RCPT TO:<"));
        outbound_put(o, path);
        outbound_put(o, SLICE(">\r\n"));
        o->asked++;
    } else {
        INVARIANT(buf_add(&o->waiting, SLICE("RCPT TO:<")) && buf_add(&o->waiting, path) &&
                  buf_add(&o->waiting, SLICE(">\r\n")));
    }
    outbound_enter(o, OUTBOUND_PHASE_ENVELOPE);
}

void outbound_data_ahead(struct outbound *o)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(o->phase == OUTBOUND_PHASE_ENVELOPE && o->wanted > 1 && !o->data_ahead);
    o->data_ahead = true;
    if (!o->facts.ehlo.pipelining)
        return;
    outbound_put(o, SLICE("DATA\r\n"));
    o->asked++;
}

static enum outbound_event on_mail(struct outbound *o, struct outbound_what *what)
{
    bool yes = o->reply.code / 100 == 2;

    if (says_goodbye(o))
        return answer(o, OUTBOUND_MAIL, false, what);
    o->answered++;
    if (!yes)
        outbound_enter(o, o->answered < o->asked ? OUTBOUND_PHASE_REFUSED : OUTBOUND_PHASE_READY);
    return answer(o, OUTBOUND_MAIL, yes, what);
}

static enum outbound_event on_rcpt(struct outbound *o, struct outbound_what *what)
{
    bool yes = o->reply.code / 100 == 2;

    what->index = o->answered - 1;
    if (says_goodbye(o))
        return answer(o, OUTBOUND_RCPT, false, what);
    o->answered++;
    o->accepted += yes ? 1 : 0;
    if (o->reply.code == 552) /* RFC 5321 4.5.3.1.10: meant is 452 (C-OUT-04) */
        reply_recode(&o->reply, 452);
    return answer(o, OUTBOUND_RCPT, yes, what);
}

/* All RCPTs are answered. */
static void envelope_done(struct outbound *o)
{
    bool data = o->asked > o->wanted || (o->data_ahead && o->accepted > 0);

    o->data_ahead = data;
    outbound_enter(o, data ? OUTBOUND_PHASE_DATA : OUTBOUND_PHASE_RECIPIENTS);
}

enum outbound_event outbound_on_envelope(struct outbound *o, struct outbound_what *what)
{
    enum outbound_event event;

    if (o->reply.code / 100 == 3)
        return outbound_fail_words(o, REASON_PROTOCOL_ERROR, what);
    event = o->answered == 0 ? on_mail(o, what) : on_rcpt(o, what);
    if (o->phase == OUTBOUND_PHASE_ENVELOPE) {
        if (o->answered == o->wanted)
            envelope_done(o);
        else if (o->answered == o->asked)
            ask_next(o);
    }
    return event;
}

enum outbound_event outbound_on_refused(struct outbound *o, struct outbound_what *what)
{
    bool data = o->data_ahead && o->answered == o->wanted;

    if (o->reply.code == 421)
        return outbound_fail_words(o, REASON_LOST, what);
    /* An MX that waits for a message must never read the next transaction as one. */
    if (o->reply.code / 100 == 3 || (data && o->reply.code < 400))
        return outbound_fail_words(o, REASON_PROTOCOL_ERROR, what);
    o->answered++;
    if (o->answered == o->asked)
        outbound_enter(o, OUTBOUND_PHASE_READY);
    return OUTBOUND_NEED_INPUT;
}

void outbound_data(struct outbound *o)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(o->phase == OUTBOUND_PHASE_RECIPIENTS && o->accepted > 0);
    outbound_enter(o, OUTBOUND_PHASE_DATA);
}

enum outbound_event outbound_on_data(struct outbound *o, struct outbound_what *what)
{
    int code = o->reply.code;

    /* A 2xx to DATA is no leave to send, and never a delivery. */
    if (code < 400 && code != 354)
        return outbound_fail_words(o, REASON_PROTOCOL_ERROR, what);
    /* Asked ahead, and it would take a message for nobody.  RFC 2920 3.1 would have a lone dot sent; we
     * send none, for only a connection that ends without it leaves nothing behind. */
    if (code == 354 && o->accepted == 0)
        return outbound_fail_words(o, REASON_PROTOCOL_ERROR, what);
    if (says_goodbye(o))
        return answer(o, OUTBOUND_DATA, false, what);
    o->data_ahead = false;
    o->asked = o->wanted;
    if (code == 354) {
        outbound_enter(o, OUTBOUND_PHASE_BODY);
    } else {
        o->accepted = 0; /* the transaction stays open at the MX, but nothing can come of it */
        outbound_enter(o, OUTBOUND_PHASE_RECIPIENTS);
    }
    return answer(o, OUTBOUND_DATA, code == 354, what);
}

void outbound_body(struct outbound *o, struct slice content)
{
    if (outbound_is_over(o) || o->unasked)
        return;
    INVARIANT(o->phase == OUTBOUND_PHASE_BODY && content.n <= OUTBOUND_BODY_MAX);
    INVARIANT(data_encode(&o->encoder, content, &o->output));
    o->facts.body_bytes += content.n;
}

void outbound_end(struct outbound *o)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(o->phase == OUTBOUND_PHASE_BODY);
    /* In the middle of an unasked reply there is no dot: its end could pass for the answer to it.
     */
    if (!o->unasked)
        INVARIANT(data_encode_end(&o->encoder, &o->output));
    outbound_enter(o, OUTBOUND_PHASE_FINAL);
}

enum outbound_event outbound_on_final(struct outbound *o, struct outbound_what *what)
{
    int code = o->reply.code;

    if (code / 100 == 3) /* neither yes nor no */
        return outbound_fail_words(o, REASON_MAYBE_DELIVERED, what);
    if (!says_goodbye(o))
        outbound_enter(o, OUTBOUND_PHASE_READY);
    return answer(o, OUTBOUND_END, code / 100 == 2, what);
}

/* Behind an unanswered DATA a command could be read as a line of the message. */
static bool takes_commands(const struct outbound *o)
{
    return (o->phase == OUTBOUND_PHASE_READY || o->phase == OUTBOUND_PHASE_ENVELOPE ||
            o->phase == OUTBOUND_PHASE_REFUSED || o->phase == OUTBOUND_PHASE_RECIPIENTS) &&
           !o->data_ahead;
}

void outbound_reset(struct outbound *o)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(takes_commands(o));
    buf_reset(&o->waiting);
    INVARIANT(buf_add(&o->waiting, SLICE("RSET\r\n")));
    o->wanted = o->asked + 1;
    if (may_ask(o))
        ask_next(o);
    outbound_enter(o, OUTBOUND_PHASE_RESET);
}

enum outbound_event outbound_on_reset(struct outbound *o, struct outbound_what *what)
{
    bool last = o->answered + 1 == o->wanted; /* else to a MAIL or RCPT before RSET */

    if (o->reply.code == 421)
        return outbound_fail_words(o, REASON_LOST, what);
    if (o->reply.code / 100 == 3 || (last && o->reply.code != 250))
        return outbound_fail_words(o, REASON_PROTOCOL_ERROR, what);
    o->answered++;
    if (last) {
        outbound_enter(o, OUTBOUND_PHASE_READY);
        return OUTBOUND_READY;
    }
    if (o->answered == o->asked)
        ask_next(o);
    return OUTBOUND_NEED_INPUT;
}

void outbound_quit(struct outbound *o)
{
    if (outbound_is_over(o))
        return;
    INVARIANT(takes_commands(o) || o->phase == OUTBOUND_PHASE_RESET);
    outbound_enter(o, OUTBOUND_PHASE_QUIT);
}

enum outbound_event outbound_on_quit(struct outbound *o)
{
    if (o->answered < o->asked && o->reply.code != 421) { /* to a MAIL or RCPT before QUIT */
        o->answered++;
        return OUTBOUND_NEED_INPUT;
    }
    outbound_enter(o, OUTBOUND_PHASE_DEAD);
    return OUTBOUND_CLOSED;
}
