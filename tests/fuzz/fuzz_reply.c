/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of an MX.  Properties: the segmentation does not change the answer; a reply is of the grammar;
 * what is written from it is harmless and reads back as the same reply.
 */
#include <stdint.h>

#include "proxy/base/invariant.h"
#include "proxy/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum reply_status feed(struct slice in, size_t part, struct reply *r, size_t *used)
{
    enum reply_status got = REPLY_MORE;
    struct reply_parser p;
    size_t one;

    reply_parser_start(&p, r);
    for (*used = 0; *used < in.n && got == REPLY_MORE; *used += one)
        got = reply_feed(&p, in.p + *used, part < in.n - *used ? part : in.n - *used, &one);
    return got;
}

static void check_wire(const struct reply *r)
{
    struct reply again;
    struct buf wire;
    size_t used;

    reply_init(&again);
    buf_init(&wire, SIZE_MAX);
    INVARIANT(reply_write(r, &wire));
    for (size_t i = 0; i < wire.n; i++) {
        unsigned char c = (unsigned char)wire.p[i];

        INVARIANT(c == '\t' || c == '\r' || c == '\n' || (c >= 0x20 && c <= 0x7e));
    }
    INVARIANT(feed(buf_slice(&wire), wire.n, &again, &used) == REPLY_DONE && used == wire.n);
    INVARIANT(again.code == r->code && again.line_count == r->line_count);
    INVARIANT(again.enh.class == r->enh.class && again.enh.subject == r->enh.subject &&
              again.enh.detail == r->enh.detail);
    buf_clear(&wire);
    reply_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in;
    struct reply whole, parts;
    size_t used_whole, used_parts;
    enum reply_status a, b;

    if (size < 1)
        return 0;
    in = slice_of(data + 1, size - 1);
    reply_init(&whole);
    reply_init(&parts);
    a = feed(in, in.n, &whole, &used_whole);
    b = feed(in, 1 + data[0] % 8, &parts, &used_parts);
    INVARIANT(a == b);
    if (a == REPLY_DONE) {
        INVARIANT(used_whole == used_parts && whole.code == parts.code);
        INVARIANT(slice_eq(buf_slice(&whole.text), buf_slice(&parts.text)));
        INVARIANT(whole.code >= 200 && whole.code <= 559);
        INVARIANT(whole.line_count >= 1 && whole.line_count <= REPLY_LINES_MAX);
        INVARIANT(whole.enh.class == 0 || whole.enh.class == whole.code / 100);
        check_wire(&whole);
        reply_recode(&whole, 451);
        INVARIANT(whole.enh.class == 0 || whole.enh.class == 4);
        check_wire(&whole);
    }
    reply_clear(&whole);
    reply_clear(&parts);
    return 0;
}
