/* SPDX-License-Identifier: Apache-2.0 */
/* inbound - lines and content of the client; see inbound.h for the contract. */
#include "proxy/dialog/inbound.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound_internal.h"

#define WAITING (IN_MAIL_ASKED | IN_DATA_ASKED | IN_FINAL)
#define IN_TRANSACTION (IN_MAIL_ASKED | IN_MAIL | IN_DATA_ASKED | IN_BODY | IN_FINAL)

struct inbound *inbound_new(const struct inbound_params *p)
{
    struct inbound *in = mem_zalloc(sizeof(*in));
    size_t line = p->line_max > p->auth_line_max ? p->line_max : p->auth_line_max;

    INVARIANT(p->line_max >= 512 && p->recipients_max > 0);
    in->params = *p;
    in->params.helo_name = mem_strdup(p->helo_name);
    in->phase = IN_START;
    buf_init(&in->line, line);
    buf_init(&in->output, INBOUND_OUTPUT_CAP(p->recipients_max));
    buf_init(&in->finals.text, INBOUND_OUTPUT_CAP(p->recipients_max));
    return in;
}

void inbound_free(struct inbound **in)
{
    if (*in == NULL)
        return;
    inbound_slots_free(*in);
    inbound_finals_reset(*in);
    buf_clear(&(*in)->line);
    buf_clear(&(*in)->output);
    free((*in)->helo);
    free((*in)->xforward);
    free((char *)(*in)->params.helo_name);
    free(*in);
    *in = NULL;
}

/* The longest line, counted with its CRLF (RFC 5321 4.5.3.1.4; RFC 4954 4 for AUTH). */
static size_t line_limit(const struct inbound *in)
{
    return slice_istarts(buf_slice(&in->line), SLICE("AUTH ")) ? in->params.auth_line_max
                                                               : in->params.line_max;
}

static void give_back(struct buf *b)
{
    if (b->size > INBOUND_KEEP)
        buf_clear(b);
    buf_reset(b);
}

/* More of the line, but the LF that ends it. */
static void keep(struct inbound *in, struct slice part)
{
    if (part.n == 0)
        return;
    in->line_last = part.p[part.n - 1];
    if (in->line_too_long)
        return;
    in->line_too_long = !buf_add(&in->line, part) || in->line.n >= line_limit(in);
    if (in->line_too_long)
        buf_reset(&in->line);
}

/* RFC 5321 2.3.8: a line ends at CRLF and nowhere else.  A bare CR or LF stays in the line, where
 * it is a control byte like any other (C-IN-06).  True: the line is whole; *used bytes were taken.
 */
static bool take_line(struct inbound *in, const char *bytes, size_t n, size_t *used)
{
    size_t from = 0;

    if (in->line_state == LINE_DONE) {
        give_back(&in->line);
        in->line_state = LINE_GROWS;
        in->line_too_long = false;
        in->line_last = '\0';
    }
    while (from < n) {
        const char *lf = memchr(bytes + from, '\n', n - from);
        size_t end = lf != NULL ? (size_t)(lf - bytes) : n;

        keep(in, slice_of(bytes + from, end - from));
        if (end == n)
            break;
        *used = from = end + 1;
        if (in->line_last == '\r') {
            if (!in->line_too_long)
                in->line.n--; /* the CR */
            in->line_state = LINE_WHOLE;
            return true;
        }
        keep(in, SLICE("\n"));
    }
    *used = n;
    return false;
}

static bool is_data(struct slice line)
{
    struct command c = command_parse(line);

    return c.verb == COMMAND_DATA && c.args.n == 0;
}

bool inbound_data_follows(const struct inbound *in, struct slice unread)
{
    struct slice line, rest;

    if (in->phase != IN_MAIL || in->chunk > 0)
        return false;
    if (in->line_state == LINE_WHOLE) /* read already, it waits for the answers before it */
        return !in->line_too_long && is_data(buf_slice(&in->line));
    if (in->line_state == LINE_GROWS && in->line_last != '\0')
        return false; /* `unread` is in the middle of a line */
    if (!slice_cut(unread, '\n', &line, &rest) || line.n == 0 || line.p[line.n - 1] != '\r')
        return false;
    return line.n < in->params.line_max && is_data(slice_first(line, line.n - 1));
}

static enum inbound_event body_bad(struct inbound *in, bool too_big, struct inbound_what *what)
{
    in->body_bad = true;
    what->too_big = too_big;
    return INBOUND_BODY_BAD;
}

/* Content bytes over the limit so far. */
static size_t excess(const struct inbound *in)
{
    uint64_t limit = in->params.message_size;

    return limit != 0 && in->decoder.content > limit ? (size_t)(in->decoder.content - limit) : 0;
}

static enum inbound_event feed_body(struct inbound *in, const char *bytes, size_t n, size_t *used,
                                    struct inbound_what *what)
{
    if (excess(in) > 0 && !in->body_bad)
        return body_bad(in, true, what);
    while (*used < n) {
        struct slice content;
        size_t taken = 0;
        enum data_status status =
            data_decode(&in->decoder, bytes + *used, n - *used, &taken, &content);

        *used += taken;
        switch (status) {
        case DATA_MORE:
            break;
        case DATA_CONTENT:
            if (in->body_bad)
                break;
            if (excess(in) >= content.n)
                return body_bad(in, true, what);
            what->content = slice_first(content, content.n - excess(in));
            return INBOUND_BODY;
        case DATA_BAD:
            if (!in->body_bad)
                return body_bad(in, false, what);
            break;
        case DATA_END:
            in->phase = IN_FINAL;
            return INBOUND_BODY_END;
        }
    }
    return INBOUND_NEED_INPUT;
}

void inbound_data_refused(struct inbound *in)
{
    in->doubt = true;
    in->owed = in->params.lmtp ? in->accepted : 1;
}

/* Drop the bytes of a message that nobody asked for.  Its end is answered: whoever sends a message
 * blindly waits for that reply, or in LMTP for one per accepted recipient (RFC 2033 4.2), and would
 * take one too many for the reply to its next command. */
static void swallow(struct inbound *in, const char *bytes, size_t n, size_t *used)
{
    enum data_status status = DATA_MORE;
    struct slice content;

    while (*used < n && status != DATA_END) {
        size_t taken = 0;

        status = data_decode(&in->decoder, bytes + *used, n - *used, &taken, &content);
        *used += taken;
    }
    if (status == DATA_END) {
        in->phase = in->resume;
        for (; in->owed > 0; in->owed--)
            inbound_say(in, 554, "5.5.1", "No valid recipients: the message was dropped");
    }
}

void inbound_swallow_line(struct inbound *in)
{
    size_t used = 0;

    in->doubt = false;
    in->resume = in->phase;
    in->phase = IN_SWALLOW;
    data_decoder_start(&in->decoder, DATA_REJECT);
    if (in->line_too_long)
        return; /* its end was seen, so the decoder stands at the start of the next line */
    swallow(in, in->line.p, in->line.n, &used);
    used = 0;
    swallow(in, "\r\n", 2, &used);
}

static void skip_chunk(struct inbound *in, size_t n, size_t *used)
{
    size_t left = n - *used;
    size_t skipped = in->chunk < left ? (size_t)in->chunk : left;

    in->chunk -= skipped;
    *used += skipped;
}

enum inbound_event inbound_feed(struct inbound *in, const char *bytes, size_t n, size_t *used,
                                struct inbound_what *what)
{
    *used = 0;
    if (in->output.n == 0)
        give_back(&in->output);
    for (;;) {
        enum inbound_event ev = INBOUND_NEED_INPUT;
        size_t taken = 0;

        *what = (struct inbound_what){.slot = 0}; /* nothing stays of a refused command */
        if (in->phase == IN_CLOSED) {
            *used = n;
            return INBOUND_CLOSE;
        }
        if ((in->phase & WAITING) || in->output.n >= INBOUND_OUTPUT_HIGH)
            return INBOUND_WAIT;
        if (in->phase == IN_BODY) {
            ev = feed_body(in, bytes, n, used, what);
        } else if (in->phase == IN_SWALLOW) {
            swallow(in, bytes, n, used);
        } else if (in->chunk > 0) {
            skip_chunk(in, n, used);
        } else {
            bool whole = in->line_state == LINE_WHOLE;

            if (!whole) {
                whole = take_line(in, bytes + *used, n - *used, &taken);
                *used += taken;
            }
            if (whole) {
                ev = inbound_run_line(in, what);
                if (ev != INBOUND_WAIT)
                    in->line_state = LINE_DONE;
                if (ev == INBOUND_NEED_INPUT)
                    continue; /* the phase may be another now */
            }
        }
        if (ev != INBOUND_NEED_INPUT || *used == n)
            return ev;
    }
}

void inbound_end_transaction(struct inbound *in)
{
    INVARIANT(in->slot_count == 0);
    inbound_finals_reset(in);
    in->phase = IN_IDLE;
    in->prdr = false;
    in->recipients = in->refused = in->accepted = 0;
    in->xforward_stale = true;
}

bool inbound_shutdown(struct inbound *in)
{
    if (in->phase & IN_TRANSACTION)
        return false;
    if (in->phase != IN_CLOSED)
        inbound_say(in, 421, "4.3.2", "tlsmend is shutting down");
    in->phase = IN_CLOSED;
    return true;
}

void inbound_idle(struct inbound *in)
{
    if (in->phase != IN_CLOSED)
        inbound_say(in, 421, "4.4.2", "Nothing was heard for too long");
    in->phase = IN_CLOSED;
}

struct buf *inbound_output(struct inbound *in)
{
    return &in->output;
}

bool inbound_in_transaction(const struct inbound *in)
{
    return (in->phase & IN_TRANSACTION) != 0;
}

bool inbound_owes_answer(const struct inbound *in)
{
    return (in->phase & WAITING) != 0 || in->slot_count > 0;
}

bool inbound_in_body(const struct inbound *in)
{
    return in->phase == IN_BODY;
}

bool inbound_esmtp(const struct inbound *in)
{
    return in->esmtp;
}

const char *inbound_helo(const struct inbound *in)
{
    return in->helo != NULL ? in->helo : "";
}

enum client_kind inbound_client_kind(const struct inbound *in)
{
    return client_signs_kind(&in->signs);
}

const struct xforward *inbound_xforward(const struct inbound *in)
{
    static const struct xforward none;

    return in->xforward != NULL ? in->xforward : &none;
}

size_t inbound_memory(const struct inbound *in)
{
    size_t n = sizeof(*in) + in->line.size + in->output.size + in->finals.text.size +
               in->slot_room * sizeof(*in->slots) + strlen(in->params.helo_name);

    for (unsigned i = 0; i < in->slot_count; i++)
        n += in->slots[i].wire.size;
    if (in->finals.waiting != NULL)
        n += in->accepted * sizeof(*in->finals.waiting);
    if (in->helo != NULL)
        n += strlen(in->helo) + 1;
    return in->xforward != NULL ? n + sizeof(*in->xforward) : n;
}
