/* SPDX-License-Identifier: Apache-2.0 */
/* header - see header.h for the contract. */
#include "proxy/smtp/header.h"

#include <string.h>

enum state {
    NAME,  /* the name of a field, so far like that of `field`; `matched` bytes of it */
    OTHER, /* inside another field, or a line that is none */
    VALUE, /* inside one of ours */
    FOLD   /* at the start of the line behind it: it may go on */
};

enum field { RECEIVED, TLS_REQUIRED, DATE, MESSAGE_ID };

/* Told apart by their first letters. */
static const struct slice names[] = {
    [RECEIVED] = {"Received:", 9},
    [TLS_REQUIRED] = {"TLS-Required:", 13},
    [DATE] = {"Date:", 5},
    [MESSAGE_ID] = {"Message-ID:", 11},
};

static unsigned char field_of(char first)
{
    switch (first | 0x20) {
    case 't':
        return TLS_REQUIRED;
    case 'd':
        return DATE;
    case 'm':
        return MESSAGE_ID;
    default:
        return RECEIVED;
    }
}

/* RFC 8689 3: [FWS] "No" and no more; blanks behind it are let pass. */
enum value { BEFORE, AFTER_N, AFTER_NO, BEHIND, NOT_NO };

void header_scan_start(struct header_scan *s)
{
    *s = (struct header_scan){.state = NAME};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 5322 3.2.2: comments nest, and a backslash takes the meaning from the next byte. */
static size_t comment_size(struct slice s)
{
    size_t depth = 0, i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')' && --depth == 0)
            return i + 1;
    }
    return s.n;
}

/* The next word outside of comments; false at the ";" before the date, or at the end. */
static bool next_word(struct slice *rest, struct slice *word)
{
    size_t n = 0;

    while (rest->n > 0 && (is_blank(rest->p[0]) || rest->p[0] == '('))
        *rest = slice_from(*rest, rest->p[0] == '(' ? comment_size(*rest) : 1);
    while (n < rest->n && !is_blank(rest->p[n]) && rest->p[n] != '(' && rest->p[n] != ';')
        n++;
    *word = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return n > 0;
}

static bool is_queue_id(struct slice s, const char *cut)
{
    if (s.p + s.n == cut)
        return false; /* the field was cut here, perhaps within the word */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("-._+=", c) != NULL)))
            return false;
    }
    return s.n > 0 && s.n < QUEUE_ID_MAX;
}

/* RFC 5321 4.4: From-domain By-domain Opt-info; each clause is a word and its value, and some
 * writers put more words between.  The value of a clause is never a clause: a host may be called
 * "id". */
static void find_id(struct header_scan *s)
{
    static const char *const clauses[] = {"from", "by", "via", "with", "id", "for"};
    struct slice word, value, rest = {s->text, s->n};

    while (next_word(&rest, &word))
        for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++) {
            if (!slice_ieq(word, slice_str(clauses[i])))
                continue;
            if (!next_word(&rest, &value))
                return;
            if (slice_ieq(word, SLICE("id"))) {
                if (is_queue_id(value, s->text + sizeof(s->text)))
                    memcpy(s->queue_id, value.p, value.n); /* the rest is zero already */
                return;
            }
            break;
        }
}

static void value_begins(struct header_scan *s)
{
    unsigned char *count = s->field == RECEIVED ? &s->received : &s->tls;

    s->unique = s->unique || s->field != TLS_REQUIRED;
    if (s->field == DATE || s->field == MESSAGE_ID) {
        s->state = OTHER;
        return;
    }
    if (*count < 2)
        (*count)++;
    s->tls_required_no = s->tls_required_no && s->tls < 2;
    s->value = BEFORE;
    /* Of Received fields only the first counts. */
    s->state = s->field == RECEIVED && *count > 1 ? OTHER : VALUE;
}

static void value_byte(struct header_scan *s, char c)
{
    bool blank = is_blank(c) || c == '\r' || c == '\n';

    if (s->field == RECEIVED) {
        if (c != '\r' && c != '\n' && s->n < sizeof(s->text))
            s->text[s->n++] = c;
        return;
    }
    switch ((enum value)s->value) {
    case BEFORE:
        if (!blank)
            s->value = c == 'N' || c == 'n' ? AFTER_N : NOT_NO;
        break;
    case AFTER_N:
        s->value = c == 'O' || c == 'o' ? AFTER_NO : NOT_NO;
        break;
    case AFTER_NO:
    case BEHIND:
        s->value = blank ? BEHIND : NOT_NO;
        break;
    case NOT_NO:
        break;
    }
    s->tls_required_no = s->tls == 1 && (s->value == AFTER_NO || s->value == BEHIND);
}

static void name_byte(struct header_scan *s, char c)
{
    struct slice name;

    if (s->matched == 0) {
        if (c == '\r' || c == '\n') {
            s->done = true; /* the empty line behind the header section */
            return;
        }
        s->field = field_of(c);
    }
    name = names[s->field];
    if (slice_ieq(slice_of(&c, 1), slice_first(slice_from(name, s->matched), 1))) {
        if (++s->matched == name.n) {
            s->matched = 0;
            value_begins(s);
        }
    } else if (!(is_blank(c) && s->matched == name.n - 1)) {
        /* RFC 5322 4.5: old writers put blanks before the colon; anything else is another name. */
        s->matched = 0;
        s->state = c == '\n' ? NAME : OTHER;
    }
}

static void feed_byte(struct header_scan *s, char c)
{
    if (s->state == FOLD && !is_blank(c)) {
        if (s->field == RECEIVED)
            find_id(s);
        s->state = NAME;
    }
    switch ((enum state)s->state) {
    case NAME:
        name_byte(s, c);
        break;
    case OTHER:
        if (c == '\n')
            s->state = NAME;
        break;
    case VALUE:
    case FOLD:
        value_byte(s, c);
        s->state = c == '\n' ? FOLD : VALUE;
        break;
    }
}

/* The rest of a line that says nothing, or of the first Received field, its end left out: most of a
 * header section.  0: the next byte has to be looked at. */
static size_t dull_run(struct header_scan *s, struct slice rest)
{
    bool kept = s->state == VALUE && s->field == RECEIVED;
    struct slice line, behind, text;

    if (s->state != OTHER && !kept)
        return 0;
    (void)slice_cut(rest, '\n', &line, &behind);
    if (!kept)
        return line.n;
    (void)slice_cut(line, '\r', &line, &behind);
    text = slice_first(line, sizeof(s->text) - s->n);
    if (text.n > 0)
        memcpy(s->text + s->n, text.p, text.n);
    s->n += text.n;
    return line.n;
}

void header_scan_feed(struct header_scan *s, struct slice content)
{
    struct slice rest = slice_first(content, HEADER_SCAN_MAX - s->seen);

    while (rest.n > 0 && !s->done) {
        size_t n = dull_run(s, rest);

        if (n == 0) {
            feed_byte(s, rest.p[0]);
            n = 1;
        }
        s->seen += n;
        rest = slice_from(rest, n);
    }
    if (s->seen == HEADER_SCAN_MAX)
        s->done = true;
}
