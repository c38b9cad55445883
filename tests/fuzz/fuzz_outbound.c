/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random MX and a random owner against the outbound machine.  Held:
 *   - how the MX's bytes are cut changes no event and no byte of output;
 *   - a 2xx to the end of data is told only if the dot had left and all of that reply came after it
 *     (C-OUT-09);
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
};

struct side {
    struct outbound *o;
    struct buf trace; /* events, and all bytes of output */
    struct tls_reached reached;
    bool last_was_starttls;
    unsigned accepted; /* RCPTs of this transaction */
    bool dot, dot_left;
    char since_dot[3]; /* of the MX, after the dot had left */
    size_t since_dot_n;
};

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
    if (ev == OUTBOUND_REPLY && what->command == OUTBOUND_RCPT && what->reply->code / 100 == 2)
        s->accepted++;
    if (ev == OUTBOUND_REPLY && what->command == OUTBOUND_DATA)
        s->accepted = 0;
    if (ev == OUTBOUND_REPLY && what->command == OUTBOUND_END && what->reply->code / 100 == 2) {
        CHECK(s->dot_left && s->since_dot_n == 3);
        CHECK(atoi((char[]){s->since_dot[0], s->since_dot[1], s->since_dot[2], '\0'}) ==
              what->reply->code);
        s->dot = s->dot_left = false;
    }
}

static void feed(struct side *s, struct slice in)
{
    while (in.n > 0) {
        bool dead = outbound_phase(s->o) == OUTBOUND_PHASE_DEAD;
        struct outbound_what what;
        size_t used = 0;
        enum outbound_event ev;

        for (size_t i = 0; s->dot_left && s->since_dot_n < 3 && i < in.n; i++)
            s->since_dot[s->since_dot_n++] = in.p[i];
        ev = outbound_feed(s->o, in.p, in.n, &used, &what);
        CHECK(used <= in.n && (used > 0 || ev != OUTBOUND_NEED_INPUT));
        CHECK(!dead || (ev == OUTBOUND_NEED_INPUT && outbound_output(s->o)->n == 0));
        note(s, ev, &what);
        in = slice_from(in, used);
    }
}

/* What gathered leaves for the MX. */
static void leave(struct side *s, const struct demand *d)
{
    struct buf *out = outbound_output(s->o);

    if (slice_ihas(buf_slice(out), SLICE("MAIL FROM"))) {
        s->reached.requiretls = s->reached.tls && outbound_facts(s->o)->ehlo.requiretls;
        CHECK(demand_met(d, &s->reached));
        CHECK(slice_ihas(buf_slice(out), SLICE(" REQUIRETLS\r\n")) ==
              ((d->needs & NEED_REQUIRETLS) != 0));
    }
    CHECK(buf_add(&s->trace, buf_slice(out)));
    buf_reset(out);
    if (s->dot && !s->dot_left) {
        s->dot_left = true;
        s->since_dot_n = 0;
    }
}

/* Some act that is in order in this phase. */
static void act(struct side *s, unsigned char choice)
{
    struct mail_params params = {
        .has_size = choice & 1, .size = 150, .body = choice % 3, .requiretls = choice % 7 == 0};
    struct outbound_what what = {0};

    if (choice > 250) {
        note(s, choice & 1 ? outbound_lost(s->o, "", &what) : outbound_timeout(s->o, &what), &what);
        return;
    }
    switch (outbound_phase(s->o)) {
    case OUTBOUND_PHASE_HANDSHAKE:
        s->reached = (struct tls_reached){.tls = true,
                                          .chain = (choice & 1) != 0,
                                          .name = (choice & 4) != 0,
                                          .host = (choice & 8) != 0,
                                          .pinned = (choice & 2) != 0,
                                          .tlsa = (choice & 16) != 0,
                                          .requiretls = (choice & 32) != 0};
        outbound_tls_up(s->o, &s->reached);
        break;
    case OUTBOUND_PHASE_READY:
        s->dot = s->dot_left = false;
        s->accepted = 0;
        if (choice < 200)
            note(s, outbound_mail(s->o, SLICE("a@b.example"), &params, &what), &what);
        else
            outbound_quit(s->o);
        break;
    case OUTBOUND_PHASE_ENVELOPE:
        outbound_rcpt(s->o, SLICE("c@d.example"));
        break;
    case OUTBOUND_PHASE_RECIPIENTS:
        if (choice < 100 || s->accepted == 0)
            outbound_rcpt(s->o, SLICE("c@d.example"));
        else
            outbound_data(s->o);
        break;
    case OUTBOUND_PHASE_BODY:
        outbound_body(s->o, SLICE(".hello\r\n"));
        if (choice < 100) {
            outbound_end(s->o);
            s->dot = true;
        }
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct demand demand = {.level = size > 0 ? data[0] % LEVEL_COUNT : 0};

    demand.needs = tls_level_needs(demand.level);
    if (size > 0 && (data[0] & 0x20))
        demand.needs |= NEED_TLS;
    if (size > 0 && (data[0] & 0x40))
        demand.needs |= NEED_TLS | NEED_REQUIRETLS;
    struct outbound_params params = {
        .helo_name = "relay.example",
        .demand = &demand,
        .plaintext = size > 0 && data[0] >= 128 && demand.level == LEVEL_MAY && demand.needs == 0,
    };
    struct side whole = {.o = outbound_new(&params)}, parts = {.o = outbound_new(&params)};

    buf_init(&whole.trace, SIZE_MAX);
    buf_init(&parts.trace, SIZE_MAX);
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
            leave(&whole, &demand);
            leave(&parts, &demand);
        } else {
            act(&whole, arg);
            act(&parts, arg);
        }
        CHECK(outbound_phase(whole.o) == outbound_phase(parts.o));
    }
    note(&whole, OUTBOUND_CLOSED, &(struct outbound_what){.reply = &(struct reply){0}});
    note(&parts, OUTBOUND_CLOSED, &(struct outbound_what){.reply = &(struct reply){0}});
    CHECK(slice_eq(buf_slice(&whole.trace), buf_slice(&parts.trace)));
    buf_clear(&whole.trace);
    buf_clear(&parts.trace);
    outbound_free(&whole.o);
    outbound_free(&parts.o);
    return 0;
}
