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

static inline bool two_digits(const char **at, int *out)
{
    const char *p = *at;

    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    *at += 2;
    return true;
}

/* ".5", ".123456": what is below a millisecond is cut off.  Without a fraction 0. */
static inline bool read_fraction(const char **at, int *ms)
{
    int worth = 100;

    *ms = 0;
    if (**at != '.' && **at != ',')
        return true;
    if (*++*at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; ++*at, worth /= 10)
        *ms += (**at - '0') * worth;
    return true;
}

/* How far ahead of UTC: "Z" and nothing are 0, "+05:30", "-0800", "+01". */
static inline bool read_offset(const char *at, int *minutes)
{
    int sign = *at == '-' ? -1 : 1, hours = 0, rest = 0;

    *minutes = 0;
    if (strcmp(at, "") == 0 || strcmp(at, "Z") == 0 || strcmp(at, "z") == 0)
        return true;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!two_digits(&at, &hours))
        return false;
    if (*at != '\0') {
        at += *at == ':';
        if (!two_digits(&at, &rest))
            return false;
    }
    *minutes = sign * (hours * 60 + rest);
    return *at == '\0' && hours <= 23 && rest <= 59;
}

/* "2026-01-31T12:00:00Z" and what other programs make of it: a blank for the T, no seconds, fractions of
 * seconds, any offset; without one it is UTC. */
static inline bool read_iso_time(const char *text, wall_ms *out)
{
    char plain[] = "0000-00-00T00:00:00Z";
    const char *at = text + 10;
    int hour, minute, second = 0, ms, ahead;

    if (strlen(text) < 10)
        return false;
    memcpy(plain, text, 10);
    if (*at == '\0')
        return instant_parse(slice_str(plain), out);
    if (*at != 'T' && *at != 't' && *at != ' ')
        return false;
    at++;
    if (!two_digits(&at, &hour) || *at++ != ':' || !two_digits(&at, &minute))
        return false;
    if (*at == ':' && (at++, !two_digits(&at, &second)))
        return false;
    if (!read_fraction(&at, &ms) || !read_offset(at, &ahead))
        return false;
    (void)snprintf(plain + 10, sizeof(plain) - 10, "T%02d:%02d:%02dZ", hour, minute, second);
    if (!instant_parse(slice_str(plain), out))
        return false;
    *out += ms - (wall_ms)ahead * 60 * 1000;
    return true;
}

/* ISO 8601 as above, or seconds since 1970. */
static inline bool read_time(const json_t *t, wall_ms *out)
{
    if (json_is_number(t)) {
        *out = (wall_ms)(json_number_value(t) * 1000);
        return true;
    }
    return json_is_string(t) && strlen(json_string_value(t)) == json_string_length(t) &&
           read_iso_time(json_string_value(t), out);
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
