/* SPDX-License-Identifier: Apache-2.0 */
/* inbound_answers - replies in the order of the commands; see inbound.h for the contract. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound_internal.h"

void inbound_say(struct inbound *in, int code, const char *enh, const char *text)
{
    struct reply r;

    reply_init(&r);
    reply_set(&r, code, enh, slice_str(text));
    INVARIANT(reply_write(&r, &in->output));
    reply_clear(&r);
}

void inbound_greet(struct inbound *in)
{
    INVARIANT(buf_addf(&in->output, "220 %s %s tlsmend\r\n", in->params.helo_name,
                       in->params.lmtp ? "LMTP" : "ESMTP"));
}

/* The reply, or where much waits only its first line.  It borrows: not to be cleared. */
static struct reply as_it_fits(const struct inbound *in, const struct reply *r)
{
    size_t wait = in->held > in->finals.text.n ? in->held : in->finals.text.n;
    struct reply fit = *r;
    const char *end;

    if (r->text.n == 0 || in->output.n + wait + r->text.n <= INBOUND_ANSWERS_WHOLE)
        return fit;
    fit.text.n = r->text.n < INBOUND_LINE_CAP ? r->text.n : INBOUND_LINE_CAP; /* no more is sent */
    end = memchr(r->text.p, '\n', fit.text.n);
    if (end != NULL)
        fit.text.n = (size_t)(end - r->text.p);
    fit.line_count = 1;
    return fit;
}

void inbound_add_reply(struct inbound *in, const struct reply *r, struct buf *out)
{
    struct reply fit = as_it_fits(in, r);

    INVARIANT(reply_write(&fit, out));
}

/* Mostly one waits or a few; a hundred are the exception. */
static void slots_grow(struct inbound *in)
{
    unsigned room = in->slot_room > 0 ? 4 * in->slot_room : INBOUND_SLOTS_KEPT;

    if (room > INBOUND_RCPT_AHEAD)
        room = INBOUND_RCPT_AHEAD;
    in->slots = mem_resize(in->slots, room, sizeof(*in->slots));
    in->slot_room = room;
}

unsigned inbound_slot_take(struct inbound *in)
{
    unsigned place = in->slot_count;

    INVARIANT(place < INBOUND_RCPT_AHEAD);
    if (place == in->slot_room)
        slots_grow(in);
    in->slots[place].answered = false;
    buf_init(&in->slots[place].wire, INBOUND_SLOT_CAP);
    in->slot_count++;
    return (in->slot_first + place) % INBOUND_RCPT_AHEAD;
}

void inbound_slots_free(struct inbound *in)
{
    for (unsigned i = 0; i < in->slot_count; i++)
        buf_clear(&in->slots[i].wire);
    free(in->slots);
    in->slots = NULL;
    in->slot_count = in->slot_room = 0;
}

/* Replies leave from the front, as far as they are there without a gap (RFC 2920 3.2).  That of
 * slots[0] has left already. */
static void flush_slots(struct inbound *in)
{
    unsigned n = 1;

    for (; n < in->slot_count && in->slots[n].answered; n++) {
        struct inbound_slot *s = &in->slots[n];

        INVARIANT(buf_add(&in->output, buf_slice(&s->wire)));
        in->held -= s->wire.n;
        buf_clear(&s->wire);
    }
    in->slot_first = (in->slot_first + n) % INBOUND_RCPT_AHEAD;
    in->slot_count -= n;
    memmove(in->slots, in->slots + n, in->slot_count * sizeof(*in->slots));
    if (in->slot_count == 0 && in->slot_room > INBOUND_SLOTS_KEPT)
        inbound_slots_free(in);
}

static void answer_rcpt(struct inbound *in, unsigned slot, const struct reply *r)
{
    unsigned place = (slot + INBOUND_RCPT_AHEAD - in->slot_first) % INBOUND_RCPT_AHEAD;

    INVARIANT(slot < INBOUND_RCPT_AHEAD && place < in->slot_count && !in->slots[place].answered);
    in->slots[place].answered = true;
    if (r->code / 100 == 2) {
        in->accepted++;
    } else {
        in->recipients--;
        in->refused++;
    }
    if (place == 0) {
        inbound_add_reply(in, r, &in->output);
        flush_slots(in);
    } else {
        inbound_add_reply(in, r, &in->slots[place].wire);
        in->held += in->slots[place].wire.n;
    }
}

static void answer_mail(struct inbound *in, const struct reply *r)
{
    inbound_add_reply(in, r, &in->output);
    if (r->code / 100 == 2)
        in->phase = IN_MAIL;
    else
        inbound_end_transaction(in);
}

static void answer_data(struct inbound *in, const struct reply *r)
{
    inbound_add_reply(in, r, &in->output);
    if (r->code == 354) {
        in->phase = IN_BODY;
        in->body_bad = false;
        data_decoder_start(&in->decoder, in->params.data_mode);
    } else {
        inbound_data_refused(in);
        inbound_end_transaction(in);
    }
}

static void answer_final(struct inbound *in, const struct reply *r)
{
    if (inbound_answers_each(in)) {
        inbound_finals_end(in, r);
    } else {
        inbound_add_reply(in, r, &in->output);
        if (r->code / 100 == 2)
            in->errors = 0;
    }
    inbound_end_transaction(in);
}

/* What the client may hear at this place: 2yz, 4yz, 5yz, and 354 to DATA only. */
static bool is_answer(const struct inbound *in, int code)
{
    if (in->phase == IN_DATA_ASKED)
        return code == 354 || code / 100 == 4 || code / 100 == 5;
    return code / 100 == 2 || code / 100 == 4 || code / 100 == 5;
}

void inbound_reply_said(const struct inbound *in, const struct reply *r, struct reply *said)
{
    struct reply fit = as_it_fits(in, r);

    reply_init(said);
    reply_lend(said, &fit);
    if (said->code == 421) /* design section 7: to a client 421 is the death of the relayhost */
        reply_recode(said, 451);
    if (!is_answer(in, said->code))
        reply_set(said, 451, "4.5.0", SLICE("tlsmend: the MX gave an answer that fits nothing"));
}

void inbound_answer(struct inbound *in, unsigned slot, const struct reply *r)
{
    struct reply said;

    inbound_reply_said(in, r, &said);
    switch (in->phase) {
    case IN_MAIL_ASKED:
        answer_mail(in, &said);
        break;
    case IN_MAIL:
        answer_rcpt(in, slot, &said);
        break;
    case IN_DATA_ASKED:
        answer_data(in, &said);
        break;
    case IN_FINAL:
        answer_final(in, &said);
        break;
    case IN_START:
    case IN_IDLE:
    case IN_BODY:
    case IN_SWALLOW:
    case IN_CLOSED:
    case IN_ANY:
        invariant_failed(__FILE__, __LINE__, "an answer that nobody waits for");
    }
    reply_clear(&said);
}
