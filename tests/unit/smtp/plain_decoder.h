/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      plain_decoder - RFC 5321 4.5.2 one byte after the other, for comparison
 *
 * DESCRIPTION
 *      Says of a whole input what data_decode() must say of it in any pieces.  It looks at one byte
 *      at a time and knows nothing of blocks; used by the unit test and the fuzz target.
 */
#ifndef TLSMEND_TESTS_PLAIN_DECODER_H
#define TLSMEND_TESTS_PLAIN_DECODER_H

#include "proxy/smtp/data.h"

struct plain_outcome {
    size_t end; /* behind the end of data; 0: none */
    bool bad, eight_bit;
};

/* Appends what is handed out to `content`. */
static inline struct plain_outcome plain_decode(enum data_mode mode, struct slice in,
                                                struct buf *content)
{
    struct plain_outcome o = {0, false, false};
    bool line_start = true, dropped = false,
         cr = false; /* dropped: the dot of this line, just now */

    for (size_t i = 0; i < in.n && o.end == 0; i++) {
        char c = in.p[i];
        bool stray = false;

        if ((unsigned char)c >= 0x80)
            o.eight_bit = true;
        if (cr && c == '\n') {
            cr = false;
            if (dropped)
                o.end = i + 1;
            else if (mode == DATA_NORMALISE || !o.bad)
                (void)buf_add(content, SLICE("\r\n"));
            line_start = true;
            dropped = false;
            continue;
        }
        if (cr) { /* it was bare: a line ends, but none begins */
            o.bad = true;
            if (mode == DATA_NORMALISE)
                (void)buf_add(content, SLICE("\r\n"));
            cr = line_start = dropped = false;
        }
        if (line_start && c == '.') {
            line_start = false;
            dropped = true;
            continue;
        }
        line_start = false;
        if (c == '\r') {
            cr = true;
            continue;
        }
        dropped = false;
        stray = c == '\n' || c == '\0';
        o.bad = o.bad || stray;
        if (mode == DATA_REJECT && o.bad)
            continue;
        if (c == '\n')
            (void)buf_add(content, SLICE("\r\n"));
        else if (c != '\0')
            (void)buf_addc(content, c);
    }
    return o;
}

#endif
