/* SPDX-License-Identifier: Apache-2.0 */
/* outbound - see outbound.h for the contract.  Here: the machine's life, its input and its end. */
#include "proxy/dialog/outbound.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/outbound_internal.h"

/* Far over what the owner may let gather (OUTBOUND_OUTPUT_HIGH, a batch of RCPTs): passing it is a
 * bug. */
#define OUTPUT_CAP (4 * 1024 * 1024)

static const struct phase_info {
    const char *name;
    enum stage stage;
    enum outbound_patience patience;
} phase_info[] = {
#define X(id, stage, patience) [OUTBOUND_PHASE_##id] = {#id, STAGE_##stage, patience},
    OUTBOUND_PHASES(X)
#undef X
};

const struct reply outbound_no_reply = {.text = {.cap = REPLY_BYTES_MAX}};

struct outbound *outbound_new(const struct outbound_params *p)
{
    struct outbound *o = mem_zalloc(sizeof(*o));

    /* Clear text is a rung of the ladder only at `may` (C-TLS-06); `none` never asks anyway. */
    INVARIANT(!p->plaintext || p->demand->needs == 0);
    o->helo_name = mem_strdup(p->helo_name);
    o->demand = p->demand;
    o->plaintext = p->plaintext;
    reply_init(&o->reply);
    o->facts.greeting = o->facts.ehlo_reply = o->facts.starttls_reply = "";
    buf_init(&o->output, OUTPUT_CAP);
    buf_init(&o->waiting, OUTPUT_CAP);
    outbound_enter(o, OUTBOUND_PHASE_BANNER);
    return o;
}

static void free_text(const char *text)
{
    if (text[0] != '\0') /* one that was filled begins with a code */
        free((char *)text);
}

void outbound_free(struct outbound **o)
{
    if (*o == NULL)
        return;
    free((*o)->helo_name);
    free((*o)->detail);
    free_text((*o)->facts.greeting);
    free_text((*o)->facts.ehlo_reply);
    free_text((*o)->facts.starttls_reply);
    reply_clear(&(*o)->reply);
    buf_clear(&(*o)->output);
    buf_clear(&(*o)->waiting);
    free(*o);
    *o = NULL;
}

void outbound_trim(struct outbound *o)
{
    if (o->output.n == 0 && o->output.size > OUTBOUND_KEEP)
        buf_clear(&o->output);
    if (o->waiting.n == 0)
        buf_clear(&o->waiting);
    if (o->reply.text.size > OUTBOUND_KEEP)
        buf_clear(&o->reply.text);
}

static void say_hello(struct outbound *o, struct slice verb)
{
    outbound_put(o, verb);
    outbound_put(o, slice_str(o->helo_name));
    outbound_put(o, SLICE("\r\n"));
}

void outbound_enter(struct outbound *o, enum outbound_phase to)
{
    enum stage from = outbound_stage(o);

    o->phase = to;
    switch (to) {
    case OUTBOUND_PHASE_EHLO:
    case OUTBOUND_PHASE_EHLO_TLS:
        say_hello(o, SLICE("EHLO "));
        break;
    case OUTBOUND_PHASE_HELO:
        say_hello(o, SLICE("HELO "));
        break;
    case OUTBOUND_PHASE_STARTTLS:
        outbound_put(o, SLICE("STARTTLS\r\n"));
        break;
    case OUTBOUND_PHASE_READY:
        o->wanted = o->asked = o->answered = o->accepted = 0;
        o->data_ahead = false;
        buf_reset(&o->waiting);
        break;
    case OUTBOUND_PHASE_DATA:
        if (o->asked == o->wanted) /* else it went ahead */
            outbound_put(o, SLICE("DATA\r\n"));
        break;
    case OUTBOUND_PHASE_BODY:
        data_encoder_start(&o->encoder);
        break;
    case OUTBOUND_PHASE_QUIT:
        outbound_put(o, SLICE("QUIT\r\n"));
        break;
    case OUTBOUND_PHASE_GOODBYE:
    case OUTBOUND_PHASE_DEAD:
        o->died_at = from;
        buf_reset(&o->output);
        buf_reset(&o->waiting);
        break;
    case OUTBOUND_PHASE_BANNER:
    case OUTBOUND_PHASE_HANDSHAKE:
    case OUTBOUND_PHASE_ENVELOPE:
    case OUTBOUND_PHASE_REFUSED:
    case OUTBOUND_PHASE_RECIPIENTS:
    case OUTBOUND_PHASE_FINAL: /* outbound_end() wrote the dot */
    case OUTBOUND_PHASE_RESET: /* outbound_reset() wrote RSET, or the last reply to come will */
        break;
    }
}

bool outbound_owes_tls(const struct outbound *o)
{
    return (o->demand->needs & NEED_TLS) != 0;
}

bool outbound_is_over(const struct outbound *o)
{
    return o->phase == OUTBOUND_PHASE_GOODBYE || o->phase == OUTBOUND_PHASE_DEAD;
}

void outbound_put(struct outbound *o, struct slice command)
{
    if (o->unasked)
        return;
    INVARIANT(buf_add(&o->output, command));
}

static void escape_char(struct buf *out, unsigned char c)
{
    if (c >= 0x20 && c < 0x7f)
        (void)buf_addc(out, (char)c); /* a full buf cuts the text, which is what its cap is for */
    else
        (void)buf_addf(out, "\\x%02x", c);
}

/* No larger than it must be: it stays as long as the connection. */
static char *take_text(struct buf *from)
{
    char *text = mem_strdup(buf_cstr(from));

    buf_clear(from);
    return text;
}

char *outbound_words(const struct reply *r, size_t max)
{
    struct slice text = buf_slice(&r->text);
    struct buf words;

    buf_init(&words, max);
    (void)buf_addf(&words, "%d ", r->code);
    for (size_t i = 0; i < text.n && words.n < words.cap; i++) {
        if (text.p[i] == '\n')
            (void)buf_add(&words, SLICE(" / "));
        else
            escape_char(&words, (unsigned char)text.p[i]);
    }
    return take_text(&words);
}

enum outbound_event outbound_fail_text(struct outbound *o, enum reason reason,
                                       const struct reply *reply, char *detail,
                                       struct outbound_what *what)
{
    what->stage = outbound_stage(o);
    what->reason = reason;
    what->reply = reply != NULL ? reply : &outbound_no_reply;
    free(o->detail);
    what->detail = o->detail = detail;
    outbound_enter(o, OUTBOUND_PHASE_DEAD);
    return OUTBOUND_FAILED;
}

enum outbound_event outbound_fail(struct outbound *o, enum reason reason, const struct reply *reply,
                                  const char *detail, struct outbound_what *what)
{
    return outbound_fail_text(o, reason, reply, mem_format("%.*s", OUTBOUND_DETAIL_MAX, detail),
                              what);
}

enum outbound_event outbound_fail_words(struct outbound *o, enum reason reason,
                                        struct outbound_what *what)
{
    return outbound_fail_text(o, reason, &o->reply, outbound_words(&o->reply, OUTBOUND_DETAIL_MAX),
                              what);
}

enum outbound_event outbound_fail_injection(struct outbound *o, struct outbound_what *what)
{
    (void)outbound_fail(o, REASON_STARTTLS_INJECTION, NULL, "clear text behind the 220", what);
    what->stage = STAGE_STARTTLS; /* whether it came along with the 220 or a moment later */
    return OUTBOUND_FAILED;
}

/* Has the oldest unanswered command of the envelope left?  In output are the last ones, one a line. */
static bool oldest_has_left(const struct outbound *o)
{
    struct slice line, rest = buf_slice(&o->output);
    unsigned here = 0;

    while (slice_cut(rest, '\n', &line, &rest))
        here++;
    return here < o->asked - o->answered;
}

/* Does the MX owe a reply, to a command that it can have read? (C-OUT-09) */
static bool reply_is_due(const struct outbound *o)
{
    switch (o->phase) {
    case OUTBOUND_PHASE_BANNER:
    case OUTBOUND_PHASE_QUIT: /* nothing depends on it any more */
        return true;
    case OUTBOUND_PHASE_EHLO:
    case OUTBOUND_PHASE_HELO:
    case OUTBOUND_PHASE_STARTTLS:
    case OUTBOUND_PHASE_EHLO_TLS:
    case OUTBOUND_PHASE_DATA:
        return o->output.n == 0;
    case OUTBOUND_PHASE_ENVELOPE:
    case OUTBOUND_PHASE_REFUSED:
    case OUTBOUND_PHASE_RESET:
        return oldest_has_left(o);
    case OUTBOUND_PHASE_FINAL: /* behind the dot nothing is sent: with it, everything has left */
        return o->output.n == 0 && !o->unsent;
    case OUTBOUND_PHASE_HANDSHAKE:
    case OUTBOUND_PHASE_READY:
    case OUTBOUND_PHASE_RECIPIENTS:
    case OUTBOUND_PHASE_BODY:
    case OUTBOUND_PHASE_GOODBYE:
    case OUTBOUND_PHASE_DEAD:
        return false;
    }
    return false;
}

/* RFC 5321 3.8: an MX that waited too long for the next command says 421, and one may lie in output by
 * then. */
static enum outbound_event on_unasked(struct outbound *o, struct outbound_what *what)
{
    bool waiting = o->phase == OUTBOUND_PHASE_READY || o->phase == OUTBOUND_PHASE_ENVELOPE ||
                   o->phase == OUTBOUND_PHASE_REFUSED || o->phase == OUTBOUND_PHASE_RECIPIENTS ||
                   o->phase == OUTBOUND_PHASE_DATA || o->phase == OUTBOUND_PHASE_RESET;

    return outbound_fail_words(
        o, o->reply.code == 421 && waiting ? REASON_LOST : REASON_UNASKED_REPLY, what);
}

static enum outbound_event on_reply(struct outbound *o, bool more, struct outbound_what *what)
{
    if (o->unasked && o->phase != OUTBOUND_PHASE_QUIT)
        return on_unasked(o, what);
    switch (o->phase) {
    case OUTBOUND_PHASE_BANNER:
    case OUTBOUND_PHASE_EHLO:
    case OUTBOUND_PHASE_HELO:
    case OUTBOUND_PHASE_STARTTLS:
    case OUTBOUND_PHASE_EHLO_TLS:
        return outbound_on_opening(o, more, what);
    case OUTBOUND_PHASE_ENVELOPE:
        return outbound_on_envelope(o, what);
    case OUTBOUND_PHASE_REFUSED:
        return outbound_on_refused(o, what);
    case OUTBOUND_PHASE_DATA:
        return outbound_on_data(o, what);
    case OUTBOUND_PHASE_FINAL:
        return outbound_on_final(o, what);
    case OUTBOUND_PHASE_RESET:
        return outbound_on_reset(o, what);
    case OUTBOUND_PHASE_QUIT:
        return outbound_on_quit(o);
    case OUTBOUND_PHASE_HANDSHAKE:
    case OUTBOUND_PHASE_READY:
    case OUTBOUND_PHASE_RECIPIENTS:
    case OUTBOUND_PHASE_BODY:
    case OUTBOUND_PHASE_GOODBYE:
    case OUTBOUND_PHASE_DEAD:
        break;
    }
    INVARIANT(false); /* nothing is due there: such a reply is unasked */
    return OUTBOUND_NEED_INPUT;
}

static void hear(struct outbound *o, struct slice s)
{
    s = slice_first(s, sizeof(o->heard) - o->heard_n);
    if (s.n > 0)
        memcpy(o->heard + o->heard_n, s.p, s.n);
    o->heard_n += s.n;
}

/* What was heard of an unfinished or broken reply, behind `prefix`. */
static char *quote_heard(const struct outbound *o, const char *prefix)
{
    struct buf text;

    buf_init(&text, OUTBOUND_DETAIL_MAX);
    (void)buf_add(&text, slice_str(prefix));
    for (size_t i = 0; i < o->heard_n && o->heard[i] != '\r' && o->heard[i] != '\n'; i++)
        escape_char(&text, (unsigned char)o->heard[i]);
    return take_text(&text);
}

static enum outbound_event on_garbage(struct outbound *o, struct outbound_what *what)
{
    enum reason reason = REASON_PROTOCOL_ERROR;

    if (o->phase == OUTBOUND_PHASE_QUIT) {
        outbound_enter(o, OUTBOUND_PHASE_DEAD);
        return OUTBOUND_CLOSED;
    }
    if (o->unasked)
        reason = REASON_UNASKED_REPLY;
    else if (o->phase == OUTBOUND_PHASE_FINAL)
        reason =
            REASON_MAYBE_DELIVERED; /* it read the dot; who knows what it did then (RFC 1047) */
    return outbound_fail_text(o, reason, NULL, quote_heard(o, "no SMTP reply: "), what);
}

static void say_nothing(const struct outbound *o, struct outbound_what *what)
{
    *what = (struct outbound_what){
        .reply = &outbound_no_reply, .stage = outbound_stage(o), .reason = REASON_OK, .detail = ""};
}

/* Up to the end of one reply, or all of `in`; *used grows. */
static enum outbound_event feed_once(struct outbound *o, struct slice in, size_t *used,
                                     struct outbound_what *what)
{
    size_t step = 0;

    if (o->phase == OUTBOUND_PHASE_HANDSHAKE)
        return outbound_fail_injection(o, what);
    if (o->phase == OUTBOUND_PHASE_GOODBYE)
        return outbound_fail_words(o, REASON_LOST, what);
    if (!o->hearing) {
        o->hearing = true;
        o->unasked = !reply_is_due(o);
        o->heard_n = 0;
        outbound_trim(o);
        reply_parser_start(&o->parser, &o->reply);
    }
    switch (reply_feed(&o->parser, in.p, in.n, &step)) {
    case REPLY_MORE:
        hear(o, slice_first(in, step));
        *used += step;
        return OUTBOUND_NEED_INPUT;
    case REPLY_DONE:
        o->hearing = false;
        *used += step;
        return on_reply(o, step < in.n, what);
    case REPLY_BAD:
        break;
    }
    hear(o, in);
    return on_garbage(o, what);
}

enum outbound_event outbound_feed(struct outbound *o, const char *bytes, size_t n, size_t *used,
                                  struct outbound_what *what)
{
    enum outbound_event event = OUTBOUND_NEED_INPUT;

    say_nothing(o, what);
    *used = 0;
    while (event == OUTBOUND_NEED_INPUT && *used < n && o->phase != OUTBOUND_PHASE_DEAD)
        event = feed_once(o, slice_of(bytes + *used, n - *used), used, what);
    if (o->phase == OUTBOUND_PHASE_DEAD)
        *used = n;
    return event;
}

/* The MX will say no more: what that means for what is open. */
static enum outbound_event cut_off(struct outbound *o, enum reason reason, const char *how,
                                   struct outbound_what *what)
{
    char *prefix, *detail;

    say_nothing(o, what);
    if (o->phase == OUTBOUND_PHASE_DEAD)
        return OUTBOUND_NEED_INPUT;
    if (o->phase == OUTBOUND_PHASE_QUIT) {
        outbound_enter(o, OUTBOUND_PHASE_DEAD);
        return OUTBOUND_CLOSED;
    }
    if (o->phase == OUTBOUND_PHASE_GOODBYE)
        return outbound_fail_words(o, REASON_LOST, what);
    if (o->hearing && o->unasked)
        return outbound_fail_text(o, REASON_UNASKED_REPLY, NULL, quote_heard(o, "unfinished: "),
                                  what);
    if (o->phase == OUTBOUND_PHASE_FINAL) /* RFC 1047; C-OUT-07 */
        reason = REASON_MAYBE_DELIVERED;
    if (!o->hearing)
        return outbound_fail(o, reason, NULL, how, what);
    prefix = mem_format("%s%sin the middle of a reply: ", how, how[0] != '\0' ? ", " : "");
    detail = quote_heard(o, prefix);
    free(prefix);
    return outbound_fail_text(o, reason, NULL, detail, what);
}

enum outbound_event outbound_lost(struct outbound *o, const char *detail,
                                  struct outbound_what *what)
{
    return cut_off(o, REASON_LOST, detail != NULL ? detail : "", what);
}

enum outbound_event outbound_timeout(struct outbound *o, struct outbound_what *what)
{
    return cut_off(o, REASON_TIMEOUT, "", what);
}

void outbound_tls_up(struct outbound *o, const struct tls_reached *got)
{
    INVARIANT(o->phase == OUTBOUND_PHASE_HANDSHAKE);
    o->reached = *got;
    o->reached.requiretls = false; /* the EHLO inside TLS says */
    /* RFC 3207 4.2: what was offered before TLS is forgotten (C-TLS-03). */
    o->facts.ehlo = (struct ehlo){0};
    outbound_enter(o, OUTBOUND_PHASE_EHLO_TLS);
}

bool outbound_renew(struct outbound *o, const struct demand *demand, const struct tls_reached *got)
{
    bool tls = o->reached.tls, requiretls = o->reached.requiretls;

    if (outbound_is_over(o))
        return false;
    INVARIANT(o->phase == OUTBOUND_PHASE_READY);
    o->demand = demand;
    o->reached = *got;
    o->reached.tls = tls && got->tls;
    o->reached.requiretls = requiretls;
    o->facts.body_undeclared = false;
    o->facts.body_bytes = 0;
    return demand_met(demand, &o->reached);
}

struct buf *outbound_output(struct outbound *o)
{
    return &o->output;
}

void outbound_unsent(struct outbound *o, bool some)
{
    o->unsent = some;
}

enum outbound_phase outbound_phase(const struct outbound *o)
{
    return o->phase;
}

const char *outbound_phase_name(enum outbound_phase p)
{
    return phase_info[p].name;
}

enum stage outbound_stage(const struct outbound *o)
{
    if (outbound_is_over(o))
        return o->died_at;
    if (o->phase == OUTBOUND_PHASE_ENVELOPE && o->answered == 0)
        return STAGE_MAIL;
    return phase_info[o->phase].stage;
}

enum outbound_patience outbound_patience(const struct outbound *o)
{
    /* The message is given up already; only the rest of the MX's words is still listened for. */
    if (o->unasked && o->phase == OUTBOUND_PHASE_FINAL)
        return PATIENCE_QUIT;
    return phase_info[o->phase].patience;
}

const struct outbound_facts *outbound_facts(const struct outbound *o)
{
    return &o->facts;
}

size_t outbound_memory(const struct outbound *o)
{
    const struct outbound_facts *f = &o->facts;
    size_t n = sizeof(*o) + o->output.size + o->waiting.size + o->reply.text.size;

    n += strlen(o->helo_name) + strlen(f->greeting) + strlen(f->ehlo_reply) +
         strlen(f->starttls_reply);
    return o->detail != NULL ? n + strlen(o->detail) : n;
}
