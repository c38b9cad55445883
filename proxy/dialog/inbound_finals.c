/* SPDX-License-Identifier: Apache-2.0 */
/* inbound_finals - a final reply for each recipient (LMTP, PRDR); see inbound.h for the contract. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound_internal.h"

bool inbound_answers_each(const struct inbound *in)
{
    return in->params.lmtp || (in->prdr && in->accepted > 1);
}

void inbound_finals_reset(struct inbound *in)
{
    free(in->finals.waiting);
    buf_clear(&in->finals.text);
    in->finals = (struct inbound_finals){.text = in->finals.text};
}

/* The first reply of all takes "353" before it: only then is it known that there is one. */
static void write_head(struct inbound *in)
{
    if (in->finals.next == 0 && !in->params.lmtp)
        INVARIANT(buf_add(&in->output, SLICE("353 One reply for each recipient follows\r\n")));
}

static bool same_as_last(const struct buf *text, const struct inbound_final *last, uint32_t at)
{
    return last->n > 0 && text->n - at == last->n &&
           memcmp(text->p + last->at, text->p + at, last->n) == 0;
}

static void keep(struct inbound *in, unsigned index, const struct reply *r)
{
    struct inbound_finals *f = &in->finals;
    uint32_t at = (uint32_t)f->text.n;

    if (f->waiting == NULL)
        f->waiting = mem_array(in->accepted, sizeof(*f->waiting));
    INVARIANT(f->waiting[index].n == 0); /* once each */
    inbound_add_reply(in, r, &f->text);
    if (same_as_last(&f->text, &f->last, at))
        f->text.n = at;
    else
        f->last = (struct inbound_final){.at = at, .n = (uint32_t)(f->text.n - at)};
    f->waiting[index] = f->last;
    in->held += f->last.n;
}

/* All that stand behind the one that has just left, as far as there is no gap. */
static void flush_finals(struct inbound *in)
{
    struct inbound_finals *f = &in->finals;

    while (f->waiting != NULL && f->next < in->accepted && f->waiting[f->next].n > 0) {
        struct inbound_final *w = &f->waiting[f->next++];

        INVARIANT(buf_add(&in->output, slice_of(f->text.p + w->at, w->n)));
        in->held -= w->n;
    }
    if (f->next == f->given) { /* none waits */
        buf_reset(&f->text);
        f->last.n = 0;
    }
}

static void give(struct inbound *in, unsigned index, const struct reply *said)
{
    struct inbound_finals *f = &in->finals;

    f->given++;
    f->heard |= 1u << (said->code / 100);
    if (index != f->next) {
        keep(in, index, said);
        return;
    }
    write_head(in);
    inbound_add_reply(in, said, &in->output);
    f->next++;
    flush_finals(in);
}

void inbound_answer_each(struct inbound *in, unsigned index, const struct reply *r)
{
    struct reply said;

    INVARIANT(in->phase == IN_FINAL && inbound_answers_each(in));
    INVARIANT(index >= in->finals.next && index < in->accepted);
    inbound_reply_said(in, r, &said);
    give(in, index, &said);
    reply_clear(&said);
}

/*
 * Exim (smtp_deliver()) takes an overall 4yz for those too who heard 2yz, and sends them the mail
 * again; and an overall 5yz for all, also for those who heard 4yz.  2yz leaves to each its own.
 */
static bool harms_nobody(const struct inbound *in, const struct reply *r)
{
    unsigned milder = r->code / 100 == 5 ? 1u << 2 | 1u << 4 : r->code / 100 == 4 ? 1u << 2 : 0;

    return (in->finals.heard & milder) == 0;
}

void inbound_finals_end(struct inbound *in, const struct reply *r)
{
    if (in->finals.given == 0)
        while (in->finals.next < in->accepted)
            give(in, in->finals.next, r);
    /* A client that waits for more replies than come takes the next ones for them. */
    INVARIANT(in->finals.given == in->accepted && in->finals.next == in->accepted);
    if (in->finals.heard & 1u << 2)
        in->errors = 0;
    if (in->params.lmtp)
        return;
    if (harms_nobody(in, r))
        inbound_add_reply(in, r, &in->output);
    else
        inbound_say(in, 250, "2.0.0", "The reply to each recipient counts");
}
