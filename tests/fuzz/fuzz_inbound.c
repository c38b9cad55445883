/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_inbound - the client's side: any bytes, any segments, any owner
 *
 * The first byte chooses the settings, the second seeds segments and answers, the rest is what the
 * client sends.  Properties:
 *  - the client hears the same, and the owner sees the same, whether the bytes come whole and are
 *    answered at once, or come in segments and are answered late and out of order;
 *  - fed byte by byte, each line gets exactly one reply, at its CRLF (as long as neither a refused
 *    DATA nor a BDAT was seen: behind these at most one, in LMTP at most one per recipient);
 *  - the end of a message gets one reply; in LMTP one for each accepted recipient, and with PRDR
 *    where more than one was accepted two more: each recipient's at its place, 353 before them, and
 *    behind them one that undoes none of them (C-RCPT-02, C-RCPT-03);
 *  - while the machine is in a message the owner sees nothing but content, and the message ends at
 *    <CRLF>.<CRLF> and nowhere else (C-IN-04);
 *  - where inbound_data_follows() said so, DATA is what comes next (RFC 2920);
 *  - REQUIRETLS comes through only where it was offered (RFC 8689);
 *  - the events of transactions come in order, and each transaction ends once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/dialog/inbound.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

struct pending {
    unsigned slot;
    uint32_t key;
};

struct owner {
    struct inbound *in;
    bool requiretls; /* offered */
    bool lmtp, each; /* each: the owner gives a final reply for each recipient */
    bool late;       /* answer only when nothing else goes */
    bool backwards;  /* final replies: the last recipient's first */
    uint32_t seed;   /* of the answers: the same in all runs */
    uint32_t random; /* of the segments and of the order */
    unsigned events;
    struct pending waiting[INBOUND_RCPT_AHEAD];
    unsigned waiting_count;
    bool open, body, closed; /* what the events so far say */
    bool prdr;
    bool data_follows; /* inbound_data_follows() said so */
    unsigned accepted;
    uint32_t finals_key;
    bool finals; /* in `waiting_finals` are the recipients without a final reply */
    unsigned waiting_finals[1000], finals_left;
    size_t finals_from, finals_due; /* in `heard`; so many replies */
    struct buf seen, heard;
};

static uint32_t mix(uint32_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ (h >> 15);
}

static uint32_t next_random(struct owner *o)
{
    return o->random = mix(o->random, "r", 1);
}

static const int codes[] = {250, 250, 250, 250, 550, 421, 452, 354, 250, 250};

static void answer(struct owner *o, unsigned slot, uint32_t key, bool data)
{
    int code = codes[key % 10];
    struct reply r;

    if (data && code == 250)
        code = 354;
    reply_init(&r);
    reply_set(&r, code, NULL, key % 7 == 0 ? SLICE("two\nlines") : SLICE("text"));
    inbound_answer(o->in, slot, &r);
    reply_clear(&r);
}

static void answer_rcpt(struct owner *o, unsigned slot, uint32_t key)
{
    o->accepted += codes[key % 10] == 250;
    answer(o, slot, key, false);
}

static void drain(struct owner *o)
{
    struct buf *out = inbound_output(o->in);

    CHECK(buf_add(&o->heard, buf_slice(out)));
    buf_reset(out);
}

/* The number that answer_each() put last into the text. */
static unsigned place_in(struct slice line)
{
    unsigned long long place = UINT32_MAX;

    while (line.n > 0 && line.p[0] != '#')
        line = slice_from(line, 1);
    if (slice_iends(line, SLICE("\r")))
        line = slice_first(line, line.n - 1);
    (void)slice_u64(slice_from(line, 1), UINT32_MAX, &place);
    return (unsigned)place;
}

/* What the client heard of the end of a message. */
static void check_finals(const struct owner *o)
{
    struct slice line, rest = slice_from(buf_slice(&o->heard), o->finals_from);
    bool prdr = o->prdr && o->accepted > 1;
    size_t count = 0;
    bool good = false, not_for_ever = false;

    while (slice_cut(rest, '\n', &line, &rest)) {
        CHECK(line.n > 4);
        if (line.p[3] != ' ')
            continue;
        CHECK((line.p[0] == '3') == (prdr && count == 0));
        CHECK(slice_istarts(line, SLICE("421 ")) == false);
        if (prdr && count == o->finals_due - 1) {
            CHECK(line.p[0] == '2' || !good);
            CHECK(line.p[0] != '5' || !not_for_ever);
        } else if (prdr || o->lmtp) {
            CHECK(!o->each || (prdr && count == 0) || slice_istarts(line, SLICE("451 4.5.0")) ||
                  place_in(line) == count - prdr);
            good = good || line.p[0] == '2';
            not_for_ever = not_for_ever || line.p[0] == '4';
        }
        count++;
    }
    CHECK(count == o->finals_due);
}

static void answer_final(struct owner *o)
{
    answer(o, 0, o->finals_key, false);
    drain(o);
    check_finals(o);
    o->finals = o->body = o->open = false;
}

static void answer_each(struct owner *o, unsigned place)
{
    uint32_t key = mix(o->finals_key, &place, sizeof(place));
    struct buf text;
    struct reply r;

    buf_init(&text, 100);
    CHECK(buf_addf(&text, "%s#%u", key % 7 == 0 ? "two\n" : "", place));
    reply_init(&r);
    reply_set(&r, codes[key % 10], NULL, buf_slice(&text));
    inbound_answer_each(o->in, place, &r);
    reply_clear(&r);
    buf_clear(&text);
}

/* One final reply of those that wait, then the one for all.  False: none is due. */
static bool answer_finals(struct owner *o)
{
    unsigned i;

    if (!o->finals)
        return false;
    if (o->finals_left == 0) {
        answer_final(o);
        return true;
    }
    i = o->late ? next_random(o) % o->finals_left : 0;
    answer_each(o, o->waiting_finals[i]);
    o->waiting_finals[i] = o->waiting_finals[--o->finals_left];
    return true;
}

static void begin_finals(struct owner *o, uint32_t key)
{
    bool each = o->lmtp || (o->prdr && o->accepted > 1);

    CHECK(inbound_answers_each(o->in) == each);
    drain(o);
    o->finals_key = key;
    o->finals_from = o->heard.n;
    o->finals_due = !each ? 1 : o->lmtp ? o->accepted : o->accepted + 2;
    if (!each || !o->each) {
        answer_final(o);
        return;
    }
    o->finals = true;
    o->finals_left = o->accepted;
    for (unsigned i = 0; i < o->accepted; i++)
        o->waiting_finals[i] = o->backwards ? o->accepted - 1 - i : i;
    while (!o->late && answer_finals(o))
        ;
}

static bool answer_pending(struct owner *o)
{
    if (o->waiting_count == 0)
        return false;
    while (o->waiting_count > 0) {
        unsigned i = next_random(o) % o->waiting_count;
        struct pending p = o->waiting[i];

        o->waiting[i] = o->waiting[--o->waiting_count];
        answer_rcpt(o, p.slot, p.key);
    }
    return true;
}

static void see(struct owner *o, enum inbound_event ev, const struct inbound_what *what)
{
    uint32_t key = mix(o->seed + ++o->events, &ev, sizeof(ev));

    CHECK(!o->closed);
    CHECK(!o->body || ev == INBOUND_BODY_BAD || ev == INBOUND_BODY_END);
    CHECK(!o->finals);
    CHECK(!o->data_follows || ev == INBOUND_DATA || (ev == INBOUND_RESET && o->accepted == 0));
    o->data_follows = false;
    CHECK(buf_addf(&o->seen, "\n%d %.*s", (int)ev, SLICE_ARG(what->mailbox.path)));
    switch (ev) {
    case INBOUND_MAIL:
        CHECK(!o->open);
        CHECK(!what->params.requiretls || (o->requiretls && inbound_esmtp(o->in)));
        CHECK(!what->params.prdr || !o->lmtp);
        o->prdr = what->params.prdr;
        o->accepted = 0;
        answer(o, what->slot, key, false);
        o->open = inbound_in_transaction(o->in);
        break;
    case INBOUND_RCPT:
        CHECK(o->open);
        if (o->late) {
            CHECK(o->waiting_count < INBOUND_RCPT_AHEAD);
            o->waiting[o->waiting_count++] = (struct pending){what->slot, key};
        } else {
            answer_rcpt(o, what->slot, key);
        }
        break;
    case INBOUND_DATA:
        CHECK(o->open && o->waiting_count == 0 && o->accepted > 0);
        answer(o, what->slot, key, true);
        o->body = o->open = inbound_in_body(o->in);
        break;
    case INBOUND_BODY_END:
        CHECK(o->open && o->body);
        begin_finals(o, key);
        break;
    case INBOUND_RESET:
        CHECK(o->open && o->waiting_count == 0);
        o->open = false;
        break;
    case INBOUND_CLOSE:
        CHECK(!o->open);
        o->closed = true;
        break;
    case INBOUND_BODY_BAD:
        CHECK(o->body);
        break;
    case INBOUND_BODY:
    case INBOUND_NEED_INPUT:
    case INBOUND_WAIT:
        abort();
    }
    CHECK(inbound_in_transaction(o->in) == o->open);
}

static void feed(struct owner *o, const char *bytes, size_t n)
{
    while (!o->closed) {
        struct inbound_what what;
        size_t used;
        enum inbound_event ev = inbound_feed(o->in, bytes, n, &used, &what);

        CHECK(used <= n);
        bytes += used;
        n -= used;
        if (ev == INBOUND_NEED_INPUT || ev == INBOUND_WAIT) {
            drain(o);
            if (ev == INBOUND_NEED_INPUT)
                break;
            CHECK(!o->finals || used == 0);
            if (!answer_finals(o))
                (void)answer_pending(o);
        } else if (ev == INBOUND_BODY) {
            CHECK(o->body && what.content.n > 0);
            CHECK(buf_add(&o->seen, what.content));
        } else {
            see(o, ev, &what);
            if (ev == INBOUND_RCPT)
                o->data_follows = inbound_data_follows(o->in, slice_of(bytes, n));
        }
    }
    drain(o);
}

static void owner_start(struct owner *o, uint8_t settings, uint8_t seed)
{
    struct inbound_params p = {
        .helo_name = "h",
        .line_max = 512,
        .auth_line_max = 600,
        .recipients_max = settings & 1 ? 3 : 1000,
        .errors_max = settings & 2 ? 2 : 1000000,
        .message_size = settings & 4 ? 20 : 0,
        .data_mode = settings & 8 ? DATA_NORMALISE : DATA_REJECT,
        .requiretls = (settings & 16) != 0,
        .lmtp = (settings & 32) != 0,
    };

    *o = (struct owner){.in = inbound_new(&p),
                        .requiretls = p.requiretls,
                        .lmtp = p.lmtp,
                        .each = (settings & 64) == 0,
                        .seed = seed,
                        .random = seed};
    buf_init(&o->seen, (size_t)64 << 20);
    buf_init(&o->heard, (size_t)64 << 20);
}

static void owner_end(struct owner *o)
{
    buf_clear(&o->seen);
    buf_clear(&o->heard);
    inbound_free(&o->in);
}

static size_t replies(const struct buf *heard, size_t from)
{
    size_t count = 0;

    for (size_t i = from; i + 3 < heard->n; i++)
        count += (i == 0 || heard->p[i - 1] == '\n') && heard->p[i + 3] == ' ';
    return count;
}

/* The model: what the end of data is, and how many replies a line gets. */
static void byte_by_byte(struct owner *o, const char *bytes, size_t n)
{
    size_t body_from = 0, line_from = 0;
    bool unsure = false;

    for (size_t i = 0; i < n && !o->closed; i++) {
        bool in_body = o->body;
        size_t before = o->heard.n, said;
        bool line_end = i > 0 && bytes[i - 1] == '\r' && bytes[i] == '\n';
        bool data_end =
            in_body && ((i - body_from == 2 && memcmp(bytes + i - 2, ".\r\n", 3) == 0) ||
                        (i - body_from >= 4 && memcmp(bytes + i - 4, "\r\n.\r\n", 5) == 0));

        feed(o, bytes + i, 1);
        said = replies(&o->heard, before);
        if (o->body && !in_body)
            body_from = i + 1;
        if (in_body)
            CHECK(o->body == !data_end && said == (data_end ? o->finals_due : 0));
        else if (!line_end)
            CHECK(said == 0);
        else
            CHECK(said == 1 || (unsure && (said == 0 || (o->lmtp && said <= o->accepted))));
        if (line_end && !o->body) {
            struct slice line = slice_of(bytes + line_from, i - line_from);

            unsure =
                unsure || slice_istarts(line, SLICE("DATA")) || slice_istarts(line, SLICE("BDAT"));
        }
        if (line_end)
            line_from = i + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data + 2;
    struct owner whole, parts, single;

    if (size < 2)
        return 0;
    size -= 2;
    owner_start(&whole, data[0], data[1]);
    feed(&whole, bytes, size);

    owner_start(&parts, data[0], data[1]);
    parts.late = true;
    for (size_t at = 0, step; at < size; at += step) {
        step = 1 + next_random(&parts) % 40;
        step = step < size - at ? step : size - at;
        feed(&parts, bytes + at, step);
    }
    while (answer_pending(&parts))
        feed(&parts, bytes, 0);
    CHECK(slice_eq(buf_slice(&whole.heard), buf_slice(&parts.heard)));
    CHECK(slice_eq(buf_slice(&whole.seen), buf_slice(&parts.seen)));

    owner_start(&single, data[0], data[1]);
    single.backwards = true;
    byte_by_byte(&single, bytes, size);
    CHECK(slice_eq(buf_slice(&whole.heard), buf_slice(&single.heard)));
    CHECK(slice_eq(buf_slice(&whole.seen), buf_slice(&single.seen)));

    CHECK(inbound_client_kind(whole.in) == inbound_client_kind(parts.in));
    CHECK(inbound_client_kind(whole.in) == inbound_client_kind(single.in));

    owner_end(&whole);
    owner_end(&parts);
    owner_end(&single);
    return 0;
}
