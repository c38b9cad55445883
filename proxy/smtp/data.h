/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      data - framing of the message: dots in, dots out, and line ends (RFC 5321 4.5.2, 2.3.8)
 *
 * DESCRIPTION
 *      Only <CRLF>.<CRLF> ends the data, at any read size (C-IN-04); the data also begins as if
 *      after a CRLF.  The decoder removes transparency dots and hands content on; the encoder
 *      puts them back.  What the decoder lets through has no bare CR, bare LF or NUL: with
 *      DATA_REJECT the first one turns the message bad (content stops, the end is still found);
 *      with DATA_NORMALISE bare CR and bare LF become CRLF and NUL is dropped.  A bare line end
 *      never makes an end of data, in either mode, and in DATA_NORMALISE a dot behind a
 *      normalised line end is content (and is stuffed again).  Pure; no copy of the message is
 *      kept.
 */
#ifndef TLSMEND_SMTP_DATA_H
#define TLSMEND_SMTP_DATA_H

#include <stdint.h>

#include "proxy/base/buf.h"

enum data_mode { DATA_REJECT, DATA_NORMALISE };

struct data_decoder {
    enum data_mode mode;
    unsigned char state;
    bool bad;         /* a bare CR, LF or NUL was seen (either mode) */
    bool eight_bit;   /* a byte above 0x7f was seen */
    uint64_t content; /* bytes of content handed out */
};

enum data_status {
    DATA_MORE,    /* all input used */
    DATA_CONTENT, /* *content holds bytes (in `in` or a constant); call again with the rest */
    DATA_BAD,     /* DATA_REJECT only, said once: the message is refused from here on; call again */
    DATA_END,     /* the end of data was consumed; *used is exactly behind it */
};

void data_decoder_start(struct data_decoder *d, enum data_mode mode);
enum data_status data_decode(struct data_decoder *d, const char *in, size_t n, size_t *used,
                             struct slice *content);

struct data_encoder {
    bool line_start; /* true at the start */
    unsigned char last;
};

void data_encoder_start(struct data_encoder *e);
/* Append the stuffed form of `content` to `out` (at most twice its size); false when out is full:
 * then nothing was added. */
bool data_encode(struct data_encoder *e, struct slice content, struct buf *out);
/* ".\r\n", with a CRLF before it when the content did not end in one. */
bool data_encode_end(struct data_encoder *e, struct buf *out);

#endif
