/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data framing.  The first four bytes choose the mode and the read sizes, the rest is what a client sends.
 * Properties (C-IN-04, C-IN-05): any split gives the answer of a decoder that goes byte by byte; content has no line end but CRLF and no
 * NUL; only CRLF.CRLF ends the data; encoded again it has exactly one end and decodes to itself.
 */
#include <stdint.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/smtp/data.h"
#include "tests/unit/smtp/plain_decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct plain_outcome decode(enum data_mode mode, struct slice in, const uint8_t *parts,
                                   size_t count, struct buf *content)
{
    struct plain_outcome o = {0, false, false};
    struct data_decoder d;
    size_t turn = 0;

    data_decoder_start(&d, mode);
    for (size_t at = 0; at < in.n && o.end == 0; turn++) {
        struct slice got, part = slice_from(in, at);
        enum data_status status = DATA_BAD;
        size_t used;

        if (count > 0)
            part = slice_first(part, 1 + parts[turn % count]);
        at += part.n;
        while (status != DATA_MORE && status != DATA_END) {
            status = data_decode(&d, part.p, part.n, &used, &got);
            part = slice_from(part, used);
            if (status == DATA_CONTENT)
                INVARIANT(got.n > 0 && buf_add(content, got));
        }
        if (status == DATA_END)
            o.end = at - part.n;
    }
    o.bad = d.bad;
    o.eight_bit = d.eight_bit;
    INVARIANT(d.content == content->n);
    return o;
}

static void check_content(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        INVARIANT(s.p[i] != '\0');
        INVARIANT(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
        INVARIANT(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
    }
}

/* Where RFC 5321 4.5.2 has the data end: the data also begin as if behind a CRLF. */
static size_t true_end(struct slice in)
{
    const char *at;

    if (in.n >= 3 && memcmp(in.p, ".\r\n", 3) == 0)
        return 3;
    at = in.n > 0 ? memmem(in.p, in.n, "\r\n.\r\n", 5) : NULL;
    return at != NULL ? (size_t)(at - in.p) + 5 : 0;
}

static void check_again(struct slice content, const uint8_t *parts, size_t count)
{
    struct data_encoder e;
    struct buf wire, again;
    struct plain_outcome o;
    size_t turn = 0;

    buf_init(&wire, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    data_encoder_start(&e);
    for (size_t at = 0; at < content.n; turn++) {
        struct slice part = slice_first(slice_from(content, at), 1U + parts[turn % count]);

        INVARIANT(data_encode(&e, part, &wire));
        at += part.n;
    }
    INVARIANT(data_encode_end(&e, &wire));
    INVARIANT(true_end(buf_slice(&wire)) == wire.n);
    o = decode(DATA_REJECT, buf_slice(&wire), parts, count, &again);
    INVARIANT(!o.bad && o.end == wire.n && slice_eq(buf_slice(&again), content));
    buf_clear(&wire);
    buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plain_outcome whole, split, plain;
    struct buf a, b, c;
    enum data_mode mode;
    struct slice in;

    if (size < 4)
        return 0;
    mode = (data[0] & 1) != 0 ? DATA_NORMALISE : DATA_REJECT;
    in = slice_of(data + 4, size - 4);
    buf_init(&a, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    buf_init(&c, SIZE_MAX);
    plain = plain_decode(mode, in, &c);
    whole = decode(mode, in, NULL, 0, &a);
    split = decode(mode, in, data + 1, 3, &b);
    INVARIANT(whole.end == plain.end && whole.bad == plain.bad);
    INVARIANT(split.end == plain.end && split.bad == plain.bad);
    INVARIANT(whole.eight_bit == plain.eight_bit && split.eight_bit == plain.eight_bit);
    INVARIANT(plain.end == true_end(in));
    INVARIANT(slice_eq(buf_slice(&a), buf_slice(&c)) && slice_eq(buf_slice(&b), buf_slice(&c)));
    if (whole.end > 0 && (mode == DATA_NORMALISE || !whole.bad)) {
        check_content(buf_slice(&a));
        check_again(buf_slice(&a), data + 1, 3);
    }
    buf_clear(&a);
    buf_clear(&b);
    buf_clear(&c);
    return 0;
}
