/* SPDX-License-Identifier: Apache-2.0 */
/* https_response - see https_response_internal.h for the contract. */
#include "proxy/net/https_response_internal.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/escape_internal.h"

#define NAME_MAX_KEPT 64 /* longer names are none that we know */
#define GO_ON 0
#define NO_BODY 1 /* on_headers() only */
#define STOP (-1)

/* The first complaint stands. */
static int complain(struct https_response *r, enum response_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int complain(struct https_response *r, enum response_status status, const char *format, ...)
{
    char code[32] = "";
    va_list args;
    char *text;

    if (r->status != RESPONSE_MORE)
        return STOP;
    r->status = status;
    va_start(args, format);
    text = mem_vformat(format, args);
    va_end(args);
    if (r->code != 0)
        (void)snprintf(code, sizeof(code), " (status %d)", r->code);
    (void)snprintf(r->detail, sizeof(r->detail), "%s%s", text, code);
    free(text);
    return STOP;
}

/* The same with bytes of the peer behind it. */
static int complain_of(struct https_response *r, const char *what, struct slice bytes)
{
    struct buf text;

    buf_init(&text, 120);
    escape_add(slice_first(bytes, 40), &text);
    (void)complain(r, RESPONSE_BAD, "%s \"%s\"", what, buf_cstr(&text));
    buf_clear(&text);
    return STOP;
}

/* ---- header lines ---- */

/* The library lets one stand at the begin of a value. */
static bool has_control_byte(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

static int take_content_type(struct https_response *r, struct slice value)
{
    struct slice kept = slice_first(value, sizeof(r->content_type) - 1);

    if (has_control_byte(value))
        return complain_of(r, "a control byte in the Content-Type", value);
    if (r->has_content_type && !slice_eq(slice_str(r->content_type), kept))
        return complain_of(r, "a second Content-Type", value);
    r->has_content_type = true;
    if (kept.n > 0)
        memcpy(r->content_type, kept.p, kept.n);
    r->content_type[kept.n] = '\0';
    return GO_ON;
}

/* One header line is complete.  Content-Length is the library's: a second one is an error there. */
static int header_line(struct https_response *r)
{
    struct slice name = buf_slice(&r->name), value = slice_trim(buf_slice(&r->value));
    int result = GO_ON;

    if (slice_ieq(name, SLICE("content-type"))) {
        result = take_content_type(r, value);
    } else if (slice_ieq(name, SLICE("content-encoding"))) {
        if (value.n > 0 && !slice_ieq(value, SLICE("identity")))
            result = complain_of(r, "a Content-Encoding that was not asked for,", value);
    } else if (slice_ieq(name, SLICE("transfer-encoding"))) {
        if (r->has_coding || !slice_ieq(value, SLICE("chunked")))
            result = complain_of(r, "a Transfer-Encoding other than chunked,", value);
        r->has_coding = true;
    }
    buf_reset(&r->name);
    buf_reset(&r->value);
    r->in_value = false;
    return result;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
    struct https_response *r = p->data;

    if (r->header_done) /* trailers say nothing that counts */
        return GO_ON;
    r->code = p->status_code;
    if (r->in_value && header_line(r) != GO_ON)
        return STOP;
    if (!buf_add(&r->name, slice_of(at, n)))
        (void)buf_addc(&r->name, ' '); /* too long: no name that we know */
    return GO_ON;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct https_response *r = p->data;

    if (r->header_done)
        return GO_ON;
    r->in_value = true;
    /* Never too small: the whole header has a limit. */
    return buf_add(&r->value, slice_of(at, n)) ? GO_ON : STOP;
}

/* ---- the answer ---- */

static int informational(struct https_response *r)
{
    int code = r->code;

    r->code = 0;
    if (code == 101)
        return complain(r, RESPONSE_BAD, "101 Switching Protocols, which nobody asked for");
    if (++r->informational > HTTPS_INFORMATIONAL_MAX)
        return complain(r, RESPONSE_BAD, "more than %d informational answers",
                        HTTPS_INFORMATIONAL_MAX);
    r->has_content_type = false;
    r->has_coding = false;
    return NO_BODY;
}

static int on_headers(http_parser *p)
{
    struct https_response *r = p->data;

    r->code = p->status_code;
    if (r->in_value && header_line(r) != GO_ON)
        return STOP;
    if (p->http_major != 1 || p->http_minor > 1)
        return complain(r, RESPONSE_BAD, "an answer of HTTP/%u.%u", p->http_major, p->http_minor);
    if (r->code < 100 || r->code > 599)
        return complain(r, RESPONSE_BAD, "no status that HTTP knows");
    if (r->has_coding && p->http_minor == 0) /* RFC 9112 6.1: faulty framing */
        return complain(r, RESPONSE_BAD, "chunks in an answer of HTTP/1.0");
    if (r->code < 200)
        return informational(r);
    r->header_done = true;
    if (p->content_length != UINT64_MAX && p->content_length > r->body.cap)
        return complain(r, RESPONSE_TOO_LARGE, "a body of %llu bytes, %zu are allowed",
                        (unsigned long long)p->content_length, r->body.cap);
    return GO_ON;
}

static int too_large(struct https_response *r)
{
    return complain(r, RESPONSE_TOO_LARGE, "the body has more than %zu bytes", r->body.cap);
}

static int on_chunk(http_parser *p)
{
    struct https_response *r = p->data;

    return p->content_length > r->body.cap - r->body.n ? too_large(r) : GO_ON;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct https_response *r = p->data;

    return buf_add(&r->body, slice_of(at, n)) ? GO_ON : too_large(r);
}

static int on_complete(http_parser *p)
{
    struct https_response *r = p->data;

    if (!r->header_done) /* an informational one: the next begins */
        return GO_ON;
    if (r->status == RESPONSE_MORE)
        r->status = RESPONSE_DONE;
    http_parser_pause(p, 1);
    return GO_ON;
}

static const http_parser_settings settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
    .on_chunk_header = on_chunk,
};

/* ---- calls ---- */

void https_response_init(struct https_response *r, size_t body_max)
{
    *r = (struct https_response){.status = RESPONSE_MORE};
    http_parser_init(&r->parser, HTTP_RESPONSE);
    r->parser.data = r;
    buf_init(&r->body, body_max);
    buf_init(&r->name, NAME_MAX_KEPT);
    buf_init(&r->value, HTTPS_HEADER_MAX);
}

void https_response_clear(struct https_response *r)
{
    buf_clear(&r->body);
    buf_clear(&r->name);
    buf_clear(&r->value);
}

static void explain(struct https_response *r, struct slice bytes)
{
    enum http_errno error = HTTP_PARSER_ERRNO(&r->parser);
    const char *text = http_errno_description(error);

    if (r->header_size == r->total && r->parser.http_major == 0)
        (void)complain_of(r, "no answer of HTTP:", bytes);
    else
        (void)complain(r, RESPONSE_BAD, "%s", text);
}

/* How many bytes may be fed at once, so that no limit is passed unseen. */
static size_t allowance(const struct https_response *r, size_t n)
{
    size_t left = HTTPS_HEADER_MAX - r->header_size;

    return r->header_done || n < left ? n : left;
}

enum response_status https_response_feed(struct https_response *r, struct slice bytes)
{
    while (r->status == RESPONSE_MORE && bytes.n > 0) {
        size_t n = allowance(r, bytes.n);

        if (n == 0) {
            (void)complain(r, RESPONSE_TOO_LARGE, "the header has more than %d bytes",
                           HTTPS_HEADER_MAX);
            break;
        }
        r->total += n;
        if (!r->header_done)
            r->header_size += n;
        if (http_parser_execute(&r->parser, &settings, bytes.p, n) != n &&
            r->status == RESPONSE_MORE)
            explain(r, bytes);
        bytes = slice_from(bytes, n);
        /* RFC 9112 7.1: names and extensions of chunks, trailers */
        if (r->status == RESPONSE_MORE && r->header_done &&
            r->total - r->header_size > HTTPS_HEADER_MAX + 8 * r->body.n)
            (void)complain(r, RESPONSE_TOO_LARGE, "more framing than body");
    }
    return r->status;
}

enum response_status https_response_end(struct https_response *r)
{
    if (r->status != RESPONSE_MORE)
        return r->status;
    if (r->header_done)
        (void)http_parser_execute(&r->parser, &settings, NULL, 0);
    if (r->status == RESPONSE_MORE)
        (void)complain(r, RESPONSE_BAD, "closed in the middle of the %s",
                       r->header_done ? "body" : "header");
    return r->status;
}
