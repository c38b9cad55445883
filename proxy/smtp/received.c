/* SPDX-License-Identifier: Apache-2.0 */
/* received - see received.h for the contract. */
#include "proxy/smtp/received.h"

#include <string.h>

enum state {
    NAME,     /* the name of a field, so far like "Received:"; n bytes of it */
    OTHER,    /* inside another field, or a line that is none */
    FIELD,    /* inside the first Received field */
    FIELD_END /* at the start of the line behind it: it may be folded */
};

static const struct slice field_name = {"Received:", 9};

void received_scan_start(struct received_scan *s)
{
    *s = (struct received_scan){.state = NAME};
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
static void find_id(struct received_scan *s)
{
    static const char *const clauses[] = {"from", "by", "via", "with", "id", "for"};
    struct slice word, value, rest = {s->field, s->n};

    while (next_word(&rest, &word))
        for (size_t i = 0; i < sizeof(clauses) / sizeof(clauses[0]); i++) {
            if (!slice_ieq(word, slice_str(clauses[i])))
                continue;
            if (!next_word(&rest, &value))
                return;
            if (slice_ieq(word, SLICE("id"))) {
                if (is_queue_id(value, s->field + sizeof(s->field)))
                    memcpy(s->queue_id, value.p, value.n); /* the rest is zero already */
                return;
            }
            break;
        }
}

static void feed_byte(struct received_scan *s, char c)
{
    switch ((enum state)s->state) {
    case NAME:
        if (s->n == 0 && (c == '\r' || c == '\n')) {
            s->done = true; /* the empty line behind the header section */
        } else if (!slice_ieq(slice_of(&c, 1), slice_first(slice_from(field_name, s->n), 1))) {
            /* RFC 5322 4.5: old writers put blanks before the colon. */
            if (!(is_blank(c) && s->n == field_name.n - 1)) {
                s->n = 0;
                s->state = c == '\n' ? NAME : OTHER;
            }
        } else if (++s->n == field_name.n) {
            s->n = 0;
            s->state = FIELD;
        }
        break;
    case OTHER:
        if (c == '\n')
            s->state = NAME;
        break;
    case FIELD_END:
        if (!is_blank(c)) {
            find_id(s);
            s->done = true;
            break;
        }
        s->state = FIELD;
        /* fall through */
    case FIELD:
        if (c == '\n')
            s->state = FIELD_END;
        else if (c != '\r' && s->n < sizeof(s->field))
            s->field[s->n++] = c;
        break;
    }
}

void received_scan_feed(struct received_scan *s, struct slice content)
{
    for (size_t i = 0; i < content.n && !s->done; i++) {
        feed_byte(s, content.p[i]);
        if (++s->seen == RECEIVED_SCAN_MAX)
            s->done = true;
    }
}
