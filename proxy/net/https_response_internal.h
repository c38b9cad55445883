/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      https_response_internal - reading one answer of HTTP/1.x, from bytes in pieces of any size
 *
 * DESCRIPTION
 *      Sans-I/O, around libhttp-parser.  Bounded: HTTPS_HEADER_MAX for everything before the body,
 *      informational answers included, `body_max` for the body, and a share of what came for the framing
 *      of chunks.  Stricter than the library where it is lenient: HTTP/1.0 and 1.1 only, "chunked" is the only
 *      transfer coding, no content coding, no header twice with two values.  What stands behind the
 *      answer is not looked at (the connection ends).
 */
#ifndef TLSMEND_NET_HTTPS_RESPONSE_INTERNAL_H
#define TLSMEND_NET_HTTPS_RESPONSE_INTERNAL_H

#include <http_parser.h>

#include "proxy/base/buf.h"

#define HTTPS_HEADER_MAX (16 * 1024)
#define HTTPS_INFORMATIONAL_MAX 8
#define HTTPS_CONTENT_TYPE_MAX 256

enum response_status { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_BAD, RESPONSE_TOO_LARGE };

struct https_response {
    int code; /* status; 0 as long as it is not known */
    bool has_content_type;
    char content_type[HTTPS_CONTENT_TYPE_MAX]; /* as sent, no control byte but HT; cut */
    struct buf body;
    char detail[256]; /* with BAD and TOO_LARGE: what is wrong, escaped */

    /* inside */
    http_parser parser;
    enum response_status status;
    size_t total, header_size; /* bytes fed; of them before the body */
    bool header_done;
    unsigned informational;
    struct buf name, value; /* of the header line that is being read */
    bool in_value;
    bool has_coding; /* Transfer-Encoding was seen */
};

void https_response_init(struct https_response *r, size_t body_max);
void https_response_clear(struct https_response *r);
/* Once it is not MORE it stays what it is. */
enum response_status https_response_feed(struct https_response *r, struct slice bytes);
/* The peer has ended the connection in order: the end of an answer without length (RFC 9112 6.3, 9.8).
 * MORE is never the answer. */
enum response_status https_response_end(struct https_response *r);

#endif
