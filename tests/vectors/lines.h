/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      lines - what the tools that answer JSON lines share: base64, hex, times, the loop over the lines
 *
 * DESCRIPTION
 *      A header alone: each tool is a program of one file.
 */
#ifndef TLSMEND_TESTS_VECTORS_LINES_H
#define TLSMEND_TESTS_VECTORS_LINES_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/base64.h>

#include "proxy/base/instant.h"
#include "proxy/base/mem.h"
#include "proxy/base/slice.h"

#define LINES_LIST_MAX 4096

/* Byte strings of our own. */
struct blobs {
    struct slice *items;
    size_t count;
};

static inline void blobs_clear(struct blobs *b)
{
    for (size_t i = 0; i < b->count; i++)
        free((char *)b->items[i].p);
    free(b->items);
    *b = (struct blobs){NULL, 0};
}

typedef bool decode_fn(const json_t *text, struct slice *out);

/* The string as it is, in UTF-8; it may hold NULs. */
static inline struct slice json_text(const json_t *text)
{
    return json_is_string(text) ? slice_of(json_string_value(text), json_string_length(text))
                                : SLICE_NONE;
}

static inline bool decode_base64(const json_t *text, struct slice *out)
{
    size_t room, n, len = json_string_length(text);
    uint8_t *bytes;

    if (!json_is_string(text) || !EVP_DecodedLength(&room, len))
        return false;
    bytes = mem_zalloc(room + 1);
    if (!EVP_DecodeBase64(bytes, &n, room, (const uint8_t *)json_string_value(text), len)) {
        free(bytes);
        return false;
    }
    *out = slice_of(bytes, n);
    return true;
}

static inline int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at;

    if (c >= 'A' && c <= 'F')
        c = (char)(c - 'A' + 'a');
    at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static inline bool decode_hex(const json_t *text, struct slice *out)
{
    struct slice hex = json_text(text);
    char *bytes;

    if (!json_is_string(text) || hex.n % 2 != 0)
        return false;
    bytes = mem_zalloc(hex.n / 2 + 1);
    for (size_t i = 0; i < hex.n; i += 2) {
        int high = hex_digit(hex.p[i]), low = hex_digit(hex.p[i + 1]);

        if (high < 0 || low < 0) {
            free(bytes);
            return false;
        }
        bytes[i / 2] = (char)(high * 16 + low);
    }
    *out = slice_of(bytes, hex.n / 2);
    return true;
}

static inline bool decode_list(const json_t *list, decode_fn *decode, struct blobs *out)
{
    size_t n = json_array_size(list);

    if (!json_is_array(list) || n > LINES_LIST_MAX)
        return false;
    out->items = mem_array(n + 1, sizeof(*out->items));
    for (size_t i = 0; i < n; i++) {
        if (!decode(json_array_get(list, i), &out->items[i]))
            return false;
        out->count++;
    }
    return true;
}

/* ISO 8601, UTC, also as other programs write it ("2026-01-31 12:00:00+00:00"), or seconds since 1970. */
static inline bool read_time(const json_t *t, wall_ms *out)
{
    char text[64];
    size_t n = json_string_length(t);

    if (json_is_number(t)) {
        *out = (wall_ms)(json_number_value(t) * 1000);
        return true;
    }
    if (!json_is_string(t) || n + 2 > sizeof(text))
        return false;
    (void)snprintf(text, sizeof(text), "%s", json_string_value(t));
    if (n > 10 && text[10] == ' ')
        text[10] = 'T';
    if (n > 16 && strcmp(text + n - 6, "+00:00") == 0)
        n -= 6;
    if (n > 10 && text[n - 1] != 'Z')
        (void)snprintf(text + n, sizeof(text) - n, "Z");
    return instant_parse(slice_str(text), out);
}

static inline json_t *failed(const char *why)
{
    return json_pack("{s:s, s:s}", "verdict", "ERROR", "detail", why);
}

/* Answers each object on standard input; the exit code: 1 if one answer was an ERROR. */
static inline int lines_run(json_t *run(const json_t *line))
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int status = 0;

    while ((n = getline(&text, &room, stdin)) > 0) {
        json_error_t why;
        json_t *line, *out;

        if (strspn(text, " \t\r\n") == (size_t)n)
            continue;
        line = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
        out = json_is_object(line) ? run(line) : failed("the line is no JSON object");
        if (strcmp(json_string_value(json_object_get(out, "verdict")), "ERROR") == 0)
            status = 1;
        if (json_object_get(line, "id") != NULL)
            (void)json_object_set(out, "id", json_object_get(line, "id"));
        (void)json_dumpf(out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        json_decref(out);
        json_decref(line);
    }
    free(text);
    return status;
}

#endif
