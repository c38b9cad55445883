/* SPDX-License-Identifier: Apache-2.0 */
/* ehlo - see ehlo.h for the contract. */
#include "proxy/smtp/ehlo.h"

#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Longer than any reply line may be (RFC 5321 4.5.3.1.5). */
#define LIMITS_ARGS_MAX 1024

/* One row per keyword that is a plain yes; SIZE and LIMITS carry more and are below. */
#define KEYWORD(word, member)                                   \
    {                                                           \
        {word, sizeof(word) - 1}, offsetof(struct ehlo, member) \
    }
static const struct keyword {
    struct slice name;
    size_t at;
} keywords[] = {
    KEYWORD("STARTTLS", starttls),
    KEYWORD("PIPELINING", pipelining),
    KEYWORD("8BITMIME", eightbitmime),
    KEYWORD("ENHANCEDSTATUSCODES", enhancedstatuscodes),
    KEYWORD("SIZE", size),
    KEYWORD("SMTPUTF8", smtputf8),
    KEYWORD("CHUNKING", chunking),
    KEYWORD("DSN", dsn),
    KEYWORD("REQUIRETLS", requiretls),
    KEYWORD("PRDR", prdr),
    KEYWORD("LIMITS", has_limits),
};

/* Cisco's inspection writes X over each letter of a keyword and A, B, ... over the last one. */
static bool is_masked(struct slice word)
{
    size_t n = 0;

    while (n < word.n && word.p[n] == 'X')
        n++;
    return word.n >= 4 &&
           (n == word.n || (n + 1 == word.n && word.p[n] >= 'A' && word.p[n] <= 'Z'));
}

static void keyword_line(struct slice line, struct ehlo *out)
{
    unsigned long long size;
    struct slice word;

    if (!slice_word(&line, &word))
        return;
    line = slice_trim(line);
    out->masked = out->masked || is_masked(word);
    for (size_t i = 0; i < COUNT(keywords); i++)
        if (slice_ieq(word, keywords[i].name))
            *(bool *)((char *)out + keywords[i].at) = true;
    /* RFC 1870 3: no number, or 0, is no fixed limit. */
    if (slice_ieq(word, SLICE("SIZE")) && slice_u64(line, UINT64_MAX, &size))
        out->size_max = size;
    if (slice_ieq(word, SLICE("LIMITS")))
        (void)limits_parse(line, &out->limits, NULL, NULL);
}

void ehlo_parse(const struct reply *r, struct ehlo *out)
{
    struct slice line, word, rest = buf_slice(&r->text);
    bool more = slice_cut(rest, '\n', &line, &rest);

    *out = (struct ehlo){.starttls = false};
    if (slice_word(&line, &word)) {
        word = slice_first(word, sizeof(out->host) - 1);
        memcpy(out->host, word.p, word.n);
    }
    while (more) {
        more = slice_cut(rest, '\n', &line, &rest);
        keyword_line(line, out);
    }
}

static char upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = upper(s.p[i]);

        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return s.n > 0;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ';')
            return false;
    return s.n > 0;
}

/* RFC 9422 4: limits-param = limit-name-value 0*[SP limit-name-value], name "=" value.  Takes the
 * next pair off *rest, with the blank behind it (*more: there was one); false where it is broken.
 */
static bool next_limit(struct slice *rest, bool *more, struct slice *name, struct slice *value)
{
    struct slice word;

    *more = slice_cut(*rest, ' ', &word, rest);
    return slice_cut(word, '=', name, value) && is_name(*name) && is_value(*value);
}

static bool is_repeated(struct slice args, struct slice name)
{
    struct slice earlier, value, rest = args;
    bool more;

    while (next_limit(&rest, &more, &earlier, &value) && earlier.p != name.p)
        if (slice_ieq(earlier, name))
            return true;
    return false;
}

/* RFC 9422 4.1: %x31-39 0*5DIGIT. */
static uint32_t limit_number(struct slice value)
{
    unsigned long long number;

    if (value.p[0] == '0' || !slice_u64(value, 999999, &number))
        return 0;
    return (uint32_t)number;
}

static void set_limit(struct limits *out, struct slice name, struct slice value)
{
    if (slice_ieq(name, SLICE("MAILMAX")))
        out->mailmax = limit_number(value);
    else if (slice_ieq(name, SLICE("RCPTMAX")))
        out->rcptmax = limit_number(value);
    else if (slice_ieq(name, SLICE("RCPTDOMAINMAX")))
        out->rcptdomainmax = limit_number(value);
}

bool limits_parse(struct slice args, struct limits *out,
                  void (*each)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    char large[LIMITS_ARGS_MAX];
    struct slice name, value, rest;
    bool more = true;

    *out = (struct limits){0, 0, 0};
    if (args.n > 0 && args.p[0] == ' ')
        args = slice_from(args, 1);
    if (args.n > LIMITS_ARGS_MAX)
        return false;
    for (rest = args; more;)
        if (!next_limit(&rest, &more, &name, &value) || is_repeated(args, name))
            return false;
    for (rest = args, more = true; more;) {
        (void)next_limit(&rest, &more, &name, &value);
        set_limit(out, name, value);
        for (size_t i = 0; i < name.n; i++)
            large[i] = upper(name.p[i]);
        if (each != NULL)
            each(ctx, slice_of(large, name.n), value);
    }
    return true;
}

bool greeting_masked(const struct reply *r)
{
    struct slice line, rest;
    size_t stars = 0;

    (void)slice_cut(buf_slice(&r->text), '\n', &line, &rest);
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];

        /* The fixup leaves digits of "220", "2000" and the like standing. */
        if (c != '*' && c != ' ' && !(c >= '0' && c <= '9'))
            return false;
        stars += c == '*';
    }
    return stars >= 5;
}
