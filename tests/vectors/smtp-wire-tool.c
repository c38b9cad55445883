/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      smtp-wire-tool - drives proxy/smtp with vectors, one JSON object a line in, one out
 *
 * DESCRIPTION
 *      Reads requests on stdin and answers each with one line on stdout, at once.  Raw bytes are
 * JSON strings whose code points are the bytes (U+0000 to U+00FF, "\u00ff" is the byte 0xff), in
 *      requests and in answers; an answer is pure ASCII.
 *
 *      {"op":"reply", "raw":BYTES}
 *          -> {"status":"reply", "code":550, "dsn":"5.7.0" or null, "text":BYTES, "lines":1,
 * "used":N}
 *             {"status":"protocol-error"}
 *             {"status":"more"}           the bytes end inside a reply
 *      {"op":"data-in", "raw":BYTES, "mode":"reject" or "normalise"}
 *          -> {"status":"message", "content":BYTES, "rest":BYTES}     rest: behind the end of data
 *             {"status":"reject", "rest":BYTES}
 *             {"status":"incomplete"}     no end of data
 *      {"op":"data-out", "message":BYTES, "mode":"reject" or "normalise"}
 *          -> {"status":"wire", "wire":BYTES}
 *             {"status":"reject"}         bare line ends, NUL, or no CRLF at the end
 *      {"op":"limits", "args":BYTES}
 *          -> {"limits":{NAME:VALUE, ...} or null, "mailmax":N, "rcptmax":N, "rcptdomainmax":N}
 *
 *      "split":N feeds reads of N bytes (reply, data-in, data-out).  Whatever N is, the input is
 * fed whole and byte by byte too; answers that differ become {"status":"SPLIT-DIFFERS"}. A request
 * that is none is answered with {"status":"bad-request", "why":TEXT}.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/smtp/data.h"
#include "proxy/smtp/ehlo.h"

/* Bytes of a JSON string: NULL if a code point is no byte; yours to free(). */
static char *bytes_of(const json_t *string, size_t *n)
{
    const unsigned char *p = (const unsigned char *)json_string_value(string);
    size_t size = json_string_length(string);
    char *out = mem_zalloc(size + 1);

    for (*n = 0; size > 0; ++*n) {
        if (p[0] < 0x80) {
            out[*n] = (char)p[0];
            p++;
            size--;
        } else if (p[0] == 0xc2 || p[0] == 0xc3) { /* U+0080 to U+00FF; JSON text is valid UTF-8 */
            out[*n] = (char)((p[0] & 3) << 6 | (p[1] & 0x3f));
            p += 2;
            size -= 2;
        } else {
            free(out);
            return NULL;
        }
    }
    return out;
}

static json_t *json_of(struct slice bytes)
{
    char *utf8 = mem_zalloc(bytes.n * 2 + 1);
    size_t n = 0;
    json_t *string;

    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];

        if (c >= 0x80)
            utf8[n++] = (char)(0xc0 | c >> 6);
        utf8[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    string = json_stringn(utf8, n);
    free(utf8);
    return string;
}

static json_t *status(const char *name)
{
    return json_pack("{s:s}", "status", name);
}

typedef json_t *answer_fn(struct slice raw, enum data_mode mode, size_t split);

static json_t *answer_reply(struct slice raw, enum data_mode mode, size_t split)
{
    enum reply_status got = REPLY_MORE;
    struct reply_parser parser;
    struct reply r;
    json_t *answer;
    size_t at = 0, used;
    char dsn[16];

    (void)mode;
    reply_init(&r);
    reply_parser_start(&parser, &r);
    while (at < raw.n && got == REPLY_MORE) {
        struct slice part = slice_first(slice_from(raw, at), split);

        got = reply_feed(&parser, part.p, part.n, &used);
        at += used;
    }
    if (got != REPLY_DONE) {
        answer = status(got == REPLY_BAD ? "protocol-error" : "more");
    } else {
        (void)snprintf(dsn, sizeof(dsn), "%d.%d.%d", r.enh.class, r.enh.subject, r.enh.detail);
        answer = json_pack("{s:s,s:i,s:s?,s:o,s:I,s:I}", "status", "reply", "code", r.code, "dsn",
                           r.enh.class != 0 ? dsn : NULL, "text", json_of(buf_slice(&r.text)),
                           "lines", (json_int_t)r.line_count, "used", (json_int_t)at);
    }
    reply_clear(&r);
    return answer;
}

/* Decodes `raw` in reads of `split` bytes; *end is where the data ended, or raw.n + 1. */
static void decode(struct slice raw, size_t split, struct data_decoder *d, struct buf *content,
                   size_t *end)
{
    size_t at = 0, used;

    *end = raw.n + 1;
    while (at < raw.n) {
        struct slice part = slice_first(slice_from(raw, at), split), got;
        enum data_status step = DATA_CONTENT;

        at += part.n;
        while (step != DATA_MORE) {
            step = data_decode(d, part.p, part.n, &used, &got);
            part = slice_from(part, used);
            if (step == DATA_CONTENT)
                (void)buf_add(content, got);
            if (step == DATA_END) {
                *end = at - part.n;
                return;
            }
        }
    }
}

static json_t *answer_data_in(struct slice raw, enum data_mode mode, size_t split)
{
    struct data_decoder d;
    struct buf content;
    json_t *answer;
    size_t end;

    buf_init(&content, SIZE_MAX);
    data_decoder_start(&d, mode);
    decode(raw, split, &d, &content, &end);
    if (end > raw.n)
        answer = status("incomplete");
    else if (mode == DATA_REJECT && d.bad)
        answer = json_pack("{s:s,s:o}", "status", "reject", "rest", json_of(slice_from(raw, end)));
    else
        answer = json_pack("{s:s,s:o,s:o}", "status", "message", "content",
                           json_of(buf_slice(&content)), "rest", json_of(slice_from(raw, end)));
    buf_clear(&content);
    return answer;
}

static void encode(struct slice content, size_t split, struct buf *wire)
{
    struct data_encoder e;

    data_encoder_start(&e);
    for (size_t at = 0; at < content.n; at += split)
        (void)data_encode(&e, slice_first(slice_from(content, at), split), wire);
    (void)data_encode_end(&e, wire);
}

/* The way of a message through the proxy: what a client would send for it, decoded, encoded again.
 */
static json_t *answer_data_out(struct slice message, enum data_mode mode, size_t split)
{
    bool ended = message.n == 0 || slice_iends(message, SLICE("\r\n"));
    struct buf sent, content, wire;
    struct data_decoder d;
    json_t *answer;
    size_t end;

    buf_init(&sent, SIZE_MAX);
    buf_init(&content, SIZE_MAX);
    buf_init(&wire, SIZE_MAX);
    encode(message, split, &sent);
    data_decoder_start(&d, mode);
    decode(buf_slice(&sent), split, &d, &content, &end);
    encode(buf_slice(&content), split, &wire);
    if (end != sent.n)
        answer = status("END-MISSED"); /* never: the encoder's end is the decoder's end */
    else if (mode == DATA_REJECT && (d.bad || !ended))
        answer = status("reject");
    else
        answer = json_pack("{s:s,s:o}", "status", "wire", "wire", json_of(buf_slice(&wire)));
    buf_clear(&sent);
    buf_clear(&content);
    buf_clear(&wire);
    return answer;
}

static void keep_limit(void *ctx, struct slice name, struct slice value)
{
    char *key = slice_dup(name);

    (void)json_object_set_new(ctx, key, json_of(value));
    free(key);
}

static json_t *answer_limits(struct slice args, enum data_mode mode, size_t split)
{
    json_t *named = json_object();
    struct limits l;

    (void)mode;
    (void)split;
    if (!limits_parse(args, &l, keep_limit, named)) {
        json_decref(named);
        named = json_null();
    }
    return json_pack("{s:o,s:I,s:I,s:I}", "limits", named, "mailmax", (json_int_t)l.mailmax,
                     "rcptmax", (json_int_t)l.rcptmax, "rcptdomainmax",
                     (json_int_t)l.rcptdomainmax);
}

static const struct operation {
    const char *op, *field;
    answer_fn *answer;
} operations[] = {
    {"reply", "raw", answer_reply},
    {"data-in", "raw", answer_data_in},
    {"data-out", "message", answer_data_out},
    {"limits", "args", answer_limits},
};

static json_t *bad_request(const char *why)
{
    return json_pack("{s:s,s:s}", "status", "bad-request", "why", why);
}

/* The same answer at every read size, or none. */
static json_t *run(const struct operation *o, struct slice raw, enum data_mode mode, size_t split)
{
    json_t *answer = o->answer(raw, mode, split > 0 ? split : SIZE_MAX);
    json_t *whole = o->answer(raw, mode, SIZE_MAX), *bytes = o->answer(raw, mode, 1);

    if (!json_equal(answer, whole) || !json_equal(answer, bytes)) {
        json_decref(answer);
        answer = status("SPLIT-DIFFERS");
    }
    json_decref(whole);
    json_decref(bytes);
    return answer;
}

static json_t *answer_request(const json_t *request)
{
    const char *op = json_string_value(json_object_get(request, "op"));
    const char *mode = json_string_value(json_object_get(request, "mode"));
    json_int_t split = json_integer_value(json_object_get(request, "split"));
    const struct operation *o = NULL;
    json_t *answer;
    size_t n;
    char *raw;

    for (size_t i = 0; op != NULL && i < sizeof(operations) / sizeof(operations[0]); i++)
        if (strcmp(op, operations[i].op) == 0)
            o = &operations[i];
    if (o == NULL)
        return bad_request("op is none of reply, data-in, data-out, limits");
    if (!json_is_string(json_object_get(request, o->field)))
        return bad_request("the bytes (raw, message or args) are missing");
    if (mode != NULL && strcmp(mode, "reject") != 0 && strcmp(mode, "normalise") != 0)
        return bad_request("mode is neither reject nor normalise");
    raw = bytes_of(json_object_get(request, o->field), &n);
    if (raw == NULL)
        return bad_request("a code point over U+00FF is no byte");
    answer = run(o, slice_of(raw, n),
                 mode != NULL && strcmp(mode, "normalise") == 0 ? DATA_NORMALISE : DATA_REJECT,
                 split > 0 ? (size_t)split : 0);
    free(raw);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;

    while ((n = getline(&line, &size, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *answer =
            request != NULL ? answer_request(request) : bad_request("the line is no JSON object");

        (void)json_dumpf(answer, stdout, JSON_ENSURE_ASCII | JSON_COMPACT);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        json_decref(answer);
        json_decref(request);
    }
    free(line);
    return 0;
}
