/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results of legs, made from the input: per part a byte that chooses the code, a byte for the length
 * of the domain, one (times 16) for that of the text.  Properties: the answer is one well-formed reply
 * that fits the buffer of a client; the class is that of the parts, or 4yz where they differ; nothing
 * that was not delivered is called delivered; a part alone keeps its words.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/policy/final_answer.h"

#define PARTS_MAX 64
#define WIRE_MAX 3900 /* Exim's buffer has 4096 bytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parts {
    struct final_part part[PARTS_MAX];
    struct reply reply[PARTS_MAX];
    char *domain[PARTS_MAX];
    size_t count, of_class[6];
};

static struct slice take(struct slice *in, size_t n)
{
    struct slice s = slice_first(*in, n);

    *in = slice_from(*in, n);
    return s;
}

static bool take_part(struct parts *p, struct slice *in)
{
    static const int codes[] = {250, 251, 421, 450, 451, 452, 550, 552, 554, 521, 259, 459, 0, 354};
    struct reply *r = &p->reply[p->count];
    struct slice head = take(in, 3), domain;
    int code, class;

    if (head.n < 3)
        return false;
    code = codes[(uint8_t)head.p[0] % (sizeof(codes) / sizeof(codes[0]))];
    class = code / 100 == 2 || code / 100 == 5 ? code / 100 : 4;
    domain = take(in, (uint8_t)head.p[1]);
    p->domain[p->count] = slice_dup(domain);
    reply_init(r);
    reply_set(r, code, NULL, take(in, (size_t)(uint8_t)head.p[2] * 16));
    r->enh = enhanced_parse(buf_slice(&r->text), code);
    p->part[p->count] = (struct final_part){p->domain[p->count], r};
    p->of_class[class]++;
    p->count++;
    return true;
}

/* As a client reads it. */
static void check_wire(const struct reply *r, size_t limit)
{
    struct reply_parser parser;
    struct reply again;
    struct buf wire;
    size_t used;

    buf_init(&wire, SIZE_MAX);
    reply_init(&again);
    INVARIANT(reply_write(r, &wire));
    INVARIANT(wire.n <= limit);
    reply_parser_start(&parser, &again);
    INVARIANT(reply_feed(&parser, wire.p, wire.n, &used) == REPLY_DONE && used == wire.n);
    INVARIANT(again.code == r->code && again.line_count == r->line_count);
    INVARIANT(again.enh.class == r->enh.class);
    buf_clear(&wire);
    reply_clear(&again);
}

static void check_made(const struct parts *p)
{
    const struct reply *one = &p->reply[0];
    struct reply out;
    bool agree, same;

    reply_init(&out);
    agree = final_answer_make(p->part, p->count, &out);
    same = p->of_class[2] == p->count || p->of_class[4] == p->count || p->of_class[5] == p->count;
    INVARIANT(agree == same);
    INVARIANT(out.code != 421 &&
              p->of_class[agree ? out.code / 100 : 4] == (agree ? p->count : p->of_class[4]));
    INVARIANT(agree || out.code == 451);
    if (p->count == 1) {
        INVARIANT(out.text.n == one->text.n && out.origin == one->origin);
        INVARIANT(out.code != one->code || slice_eq(buf_slice(&out.text), buf_slice(&one->text)));
    } else {
        INVARIANT(out.line_count <= FINAL_ANSWER_LINES && out.enh.class == out.code / 100);
        for (size_t i = 0; i < out.text.n; i++)
            INVARIANT(out.text.p[i] == '\n' || (out.text.p[i] >= 0x20 && out.text.p[i] <= 0x7e));
    }
    check_wire(&out, p->count == 1 ? SIZE_MAX : WIRE_MAX);
    reply_clear(&out);
}

static void check_prdr(const struct parts *p)
{
    struct reply out;

    reply_init(&out);
    final_answer_prdr(p->part, p->count, &out);
    if (p->of_class[2] > 0)
        INVARIANT(out.code == 250);
    else if (p->of_class[5] == p->count)
        INVARIANT(out.code / 100 == 5);
    else
        INVARIANT(out.code == 451);
    INVARIANT(out.enh.class == out.code / 100 && out.line_count == 1);
    check_wire(&out, 512);
    reply_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct parts p = {.count = 0};

    while (p.count < PARTS_MAX && take_part(&p, &in))
        continue;
    if (p.count > 0) {
        check_made(&p);
        check_prdr(&p);
    }
    while (p.count > 0) {
        p.count--;
        reply_clear(&p.reply[p.count]);
        free(p.domain[p.count]);
    }
    return 0;
}
