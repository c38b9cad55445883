/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the text before libconfig sees it.  libconfig's scanner ends quietly inside a comment
 * that is never closed, cuts strings at a NUL, and opens the files that @include names; here each
 * of these is an error with its line.  The four states follow libconfig's scanner.l exactly.
 */
#include <string.h>

#include "config/settings_internal.h"

#define DIGITS_MAX 9 /* more may not fit 32 bits, and no setting needs more */

enum scan_state { SCAN_PLAIN, SCAN_LINE_COMMENT, SCAN_COMMENT, SCAN_STRING };

struct scan {
    enum scan_state state;
    unsigned line, began; /* where the string or comment began */
    unsigned digits;      /* in a row, outside of strings and comments */
    struct slice text;
    size_t at;
};

static bool scan_sees(const struct scan *s, const char *what)
{
    size_t n = strlen(what);

    return s->text.n - s->at >= n && memcmp(s->text.p + s->at, what, n) == 0;
}

/* libconfig opens a file where a line begins with @include; such a line is refused everywhere. */
static bool scan_is_include(const struct scan *s)
{
    size_t at = s->at;

    if (!scan_sees(s, "@include"))
        return false;
    while (at > 0 && (s->text.p[at - 1] == ' ' || s->text.p[at - 1] == '\t'))
        at--;
    return at == 0 || s->text.p[at - 1] == '\n';
}

/* Takes one token of the present state. */
static void scan_step(struct scan *s)
{
    bool digit = s->text.p[s->at] >= '0' && s->text.p[s->at] <= '9';

    s->digits = digit && s->state == SCAN_PLAIN ? s->digits + 1 : 0;
    switch (s->state) {
    case SCAN_PLAIN:
        if (scan_sees(s, "/*")) {
            s->state = SCAN_COMMENT;
            s->began = s->line;
            s->at++;
        } else if (scan_sees(s, "#") || scan_sees(s, "//")) {
            s->state = SCAN_LINE_COMMENT;
        } else if (scan_sees(s, "\"")) {
            s->state = SCAN_STRING;
            s->began = s->line;
        }
        break;
    case SCAN_LINE_COMMENT:
        if (scan_sees(s, "\n"))
            s->state = SCAN_PLAIN;
        break;
    case SCAN_COMMENT:
        if (scan_sees(s, "*/")) {
            s->state = SCAN_PLAIN;
            s->at++;
        }
        break;
    case SCAN_STRING:
        if (scan_sees(s, "\\\\") || scan_sees(s, "\\\""))
            s->at++;
        else if (scan_sees(s, "\""))
            s->state = SCAN_PLAIN;
        break;
    }
    if (s->text.p[s->at] == '\n')
        s->line++;
    s->at++;
}

static bool fail(struct loader *l, unsigned line, const char *what)
{
    loader_line_error(l, line, "%s", what);
    return false;
}

bool loader_scan(struct loader *l, struct slice text)
{
    struct scan s = {.line = 1, .text = text};

    while (s.at < text.n) {
        if (text.p[s.at] == '\0')
            return fail(l, s.line, "a NUL byte: write the file as plain text");
        if (scan_is_include(&s))
            return fail(l, s.line, "@include is not supported: write all settings into this file");
        if (s.state == SCAN_STRING && text.p[s.at] == '\n')
            return fail(l, s.began, "a string is not closed on its line: add the second \"");
        if (s.state == SCAN_STRING && (scan_sees(&s, "\\x00") || scan_sees(&s, "\\X00")))
            return fail(l, s.line, "\\x00 in a string: no setting can hold a NUL byte");
        scan_step(&s);
        if (s.digits > DIGITS_MAX)
            return fail(l, s.line, "a number of more than 9 digits: no setting takes one");
    }
    if (s.state == SCAN_COMMENT)
        return fail(l, s.began, "a comment is not closed: add */ where it ends");
    if (s.state == SCAN_STRING)
        return fail(l, s.began, "a string is not closed: add the second \"");
    return true;
}
