/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      client_kind - see client_kind.h for the contract
 *
 * DESCRIPTION
 *      The habits, as they stand in the sources of these MTAs.
 *
 *      Of the commands, with what our EHLO offers (SIZE, 8BITMIME, XFORWARD, PRDR; no DSN):
 *      - Postfix: "MAIL FROM:<x> SIZE=n BODY=8BITMIME", "RCPT TO:<y>".  XFORWARD where it is set up
 *        so; none of the others has it.
 *      - Exim: "MAIL FROM:<x> SIZE=n PRDR", never BODY=.  PRDR, from two recipients on, is only its.
 *      - Sendmail: "MAIL From:<x> SIZE=n", "RCPT To:<y>", in all of version 8, and only it.
 *      - OpenSMTPD: EHLO and "MAIL FROM:<x>" without SIZE; so are dma and nullmailer.
 *      - qmail: HELO and "MAIL FROM:<x>"; so are many scripts.
 *      - Exchange and IIS: "MAIL FROM:<x> SIZE=n"; so are Postfix and Exim.
 *      The last three say nothing.
 *
 *      Of the Received field:
 *      - Postfix: from HELO (NAME [IP]) by HOST (Postfix) with ESMTP id ID for <y>; DATE
 *                 by HOST (Postfix, from userid 0) id ID; DATE
 *      - Exim: from [IP] (helo=HELO) by HOST with esmtp (Exim 4.96) (envelope-from <x>) id ID for y; DATE
 *      - Sendmail: from HELO (NAME [IP]) by HOST (8.17.1.9/8.17.1.9/Debian-2) with ESMTP id ID; DATE
 *                  (from USER@localhost) by HOST (8.14.4/8.14.4/Submit) id ID; DATE
 *      - OpenSMTPD: from HELO (NAME [IP]) by HOST (OpenSMTPD) with ESMTP id ID for <y>; DATE
 *      - qmail: (qmail 6338 invoked by uid 399); DATE
 *      - Exchange: from NAME (IP) by HOST (IP) with Microsoft SMTP Server (TLS) id 15.0.1; DATE
 *                  from NAME ([IP]) by HOST ([IP]) with mapi id 14.03.0123.003; DATE
 *      - IIS: from NAME ([IP]) by HOST over TLS secured channel with Microsoft SMTPSVC(7.5.7601); DATE
 */
#include "proxy/smtp/client_kind.h"

#include <stdint.h>

static const char *const kind_names[] = {
    [CLIENT_UNKNOWN] = "unknown",   [CLIENT_POSTFIX] = "postfix",     [CLIENT_EXIM] = "exim",
    [CLIENT_SENDMAIL] = "sendmail", [CLIENT_OPENSMTPD] = "opensmtpd", [CLIENT_QMAIL] = "qmail",
    [CLIENT_EXCHANGE] = "exchange",
};

const char *client_kind_name(enum client_kind k)
{
    return kind_names[k];
}

/* What was seen of one session. */
enum sign {
    SIGN_XFORWARD = 1 << 0,
    SIGN_PRDR = 1 << 1,
    SIGN_MIXED_CASE = 1 << 2, /* "MAIL From:", "RCPT To:" */
    SIGN_UPPER_CASE = 1 << 3, /* "MAIL FROM:", "RCPT TO:" */
    SIGN_BODY = 1 << 4,
    SIGN_OTHER = 1 << 5, /* "mail from:", "MAIL FROM: <x>": none of those we know */
};

/* Who has which signs: all of `needs` and none of `never`.  No session fits two rows. */
static const struct habit {
    enum client_kind kind;
    unsigned needs, never;
} habits[] = {
    {CLIENT_POSTFIX, SIGN_XFORWARD, SIGN_PRDR | SIGN_MIXED_CASE | SIGN_OTHER},
    {CLIENT_EXIM, SIGN_PRDR, SIGN_XFORWARD | SIGN_BODY | SIGN_MIXED_CASE | SIGN_OTHER},
    {CLIENT_SENDMAIL, SIGN_MIXED_CASE, SIGN_XFORWARD | SIGN_PRDR | SIGN_UPPER_CASE | SIGN_OTHER},
};

static bool starts(struct slice s, struct slice prefix)
{
    return slice_eq(slice_first(s, prefix.n), prefix);
}

/* What stands behind "<x>": a quoted local part may hold blanks and brackets.  Empty where it does
 * not end. */
static struct slice behind_path(struct slice path)
{
    bool quoted = false;

    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '\\')
            i++;
        else if (path.p[i] == '"')
            quoted = !quoted;
        else if (path.p[i] == '>' && !quoted)
            return slice_from(path, i + 1);
    }
    return SLICE_NONE;
}

static unsigned signs_of_params(struct slice line)
{
    struct slice word, rest = behind_path(line);
    unsigned seen = 0;

    while (slice_word(&rest, &word)) {
        if (slice_ieq(word, SLICE("PRDR")))
            seen |= SIGN_PRDR;
        else if (slice_istarts(word, SLICE("BODY=")))
            seen |= SIGN_BODY;
    }
    return seen;
}

static unsigned signs_of_command(struct slice line)
{
    if (slice_istarts(line, SLICE("XFORWARD ")))
        return SIGN_XFORWARD;
    if (slice_istarts(line, SLICE("MAIL "))) {
        if (starts(line, SLICE("MAIL From:<")))
            return SIGN_MIXED_CASE | signs_of_params(line);
        if (starts(line, SLICE("MAIL FROM:<")))
            return SIGN_UPPER_CASE | signs_of_params(line);
        return SIGN_OTHER;
    }
    if (slice_istarts(line, SLICE("RCPT "))) {
        if (starts(line, SLICE("RCPT To:<")))
            return SIGN_MIXED_CASE;
        return starts(line, SLICE("RCPT TO:<")) ? SIGN_UPPER_CASE : SIGN_OTHER;
    }
    return 0;
}

void client_signs_command(struct client_signs *s, struct slice line)
{
    s->seen |= signs_of_command(line);
    s->by_commands = CLIENT_UNKNOWN;
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
        if ((s->seen & habits[i].needs) == habits[i].needs && (s->seen & habits[i].never) == 0)
            s->by_commands = habits[i].kind;
}

enum client_kind client_signs_kind(const struct client_signs *s)
{
    return s->by_commands;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A token of the field: a word, or a whole comment without its parentheses. */
struct token {
    struct slice text;
    bool comment;
};

/* RFC 5322 3.2.2: comments nest, and a backslash takes the meaning from the next byte.  False where
 * it is not closed: the field was cut there, or is none of those that we know. */
static bool take_comment(struct slice *rest, struct slice *inside)
{
    size_t depth = 0;

    for (size_t i = 0; i < rest->n; i++) {
        if (rest->p[i] == '\\') {
            i++;
        } else if (rest->p[i] == '(') {
            depth++;
        } else if (rest->p[i] == ')' && --depth == 0) {
            *inside = slice_first(slice_from(*rest, 1), i - 1);
            *rest = slice_from(*rest, i + 1);
            return true;
        }
    }
    return false;
}

/* False at the ";" before the date, and at the end. */
static bool take_token(struct slice *rest, struct token *t)
{
    size_t n = 0;

    while (rest->n > 0 && is_blank(rest->p[0]))
        *rest = slice_from(*rest, 1);
    t->comment = rest->n > 0 && rest->p[0] == '(';
    if (t->comment)
        return take_comment(rest, &t->text);
    while (n < rest->n && !is_blank(rest->p[n]) && rest->p[n] != '(' && rest->p[n] != ';')
        n++;
    t->text = slice_first(*rest, n);
    *rest = slice_from(*rest, n);
    return n > 0;
}

/* "8.17.1.9/8.17.1.9/Debian-2", "8.14.4+Sun/8.14.4/Submit", "5.61/1.14": the versions of the
 * program and of its configuration. */
static bool is_sendmail_version(struct slice s)
{
    struct slice program, config;
    size_t dots = 0;

    if (!slice_cut(s, '/', &program, &config) || program.n == 0 || config.n == 0)
        return false;
    if (!is_digit(program.p[0]) || !is_digit(config.p[0]))
        return false;
    for (size_t i = 0; i < program.n; i++) {
        dots += program.p[i] == '.';
        if (!is_alnum(program.p[i]) && program.p[i] != '.' && program.p[i] != '+')
            return false;
    }
    return dots > 0;
}

/* The comment behind the host in "by HOST". */
static enum client_kind kind_of_host_comment(struct slice s)
{
    /* mail_name is often a little longer: "Postfix, from userid 0", "Postfix/MJ-1.06". */
    if (starts(s, SLICE("Postfix")) && (s.n == 7 || !is_alnum(s.p[7])))
        return CLIENT_POSTFIX;
    if (slice_eq(s, SLICE("OpenSMTPD")))
        return CLIENT_OPENSMTPD;
    return is_sendmail_version(s) ? CLIENT_SENDMAIL : CLIENT_UNKNOWN;
}

/* Exim says its name behind the protocol, which it does not always have; TLS may stand between. */
static bool is_exim(struct slice s)
{
    return starts(s, SLICE("Exim ")) && s.n > 5 && is_digit(s.p[5]);
}

/* `rest` is behind "with". */
static bool is_microsoft(struct slice rest)
{
    struct token t;

    if (!take_token(&rest, &t) || t.comment)
        return false;
    if (slice_eq(t.text, SLICE("mapi")))
        return take_token(&rest, &t) && !t.comment && slice_eq(t.text, SLICE("id"));
    if (!slice_eq(t.text, SLICE("Microsoft")) || !take_token(&rest, &t) || t.comment)
        return false;
    if (slice_eq(t.text, SLICE("SMTPSVC")))
        return rest.n > 0 && rest.p[0] == '(';
    return slice_eq(t.text, SLICE("SMTP")) && take_token(&rest, &t) && !t.comment &&
           slice_eq(t.text, SLICE("Server"));
}

/* RFC 5321 4.4: *rest is behind "by"; up to the clauses behind which a client's words may stand. */
static enum client_kind kind_of_by(struct slice *rest)
{
    struct token t;
    bool first = true;

    if (!take_token(rest, &t) || t.comment) /* the host */
        return CLIENT_UNKNOWN;
    for (; take_token(rest, &t); first = false) {
        enum client_kind k = CLIENT_UNKNOWN;

        if (!t.comment && (slice_ieq(t.text, SLICE("id")) || slice_ieq(t.text, SLICE("for"))))
            return CLIENT_UNKNOWN;
        if (t.comment && first)
            k = kind_of_host_comment(t.text);
        if (t.comment && is_exim(t.text))
            k = CLIENT_EXIM;
        if (!t.comment && slice_eq(t.text, SLICE("with")) && is_microsoft(*rest))
            k = CLIENT_EXCHANGE;
        if (k != CLIENT_UNKNOWN)
            return k;
    }
    return CLIENT_UNKNOWN;
}

/* "qmail 6338 invoked by uid 399": there is no "by HOST" in the field of qmail-queue. */
static bool is_qmail(struct slice rest)
{
    struct token t;
    struct slice word, inside;

    if (!take_token(&rest, &t) || !t.comment)
        return false;
    inside = t.text;
    if (!slice_word(&inside, &word) || !slice_eq(word, SLICE("qmail")))
        return false;
    if (!slice_word(&inside, &word) || !slice_u64(word, UINT64_MAX, &(unsigned long long){0}))
        return false;
    rest = slice_trim(rest);
    return slice_word(&inside, &word) && slice_eq(word, SLICE("invoked")) && rest.n > 0 &&
           rest.p[0] == ';';
}

/*
 * What stands before "by" and in comments is often a client's: a HELO name, an ident, a reverse name.
 * Comments are skipped whole, and the value of "from" is never a clause.  A name with blanks in it may
 * still look like a "by": then there are two, and where they do not say the same nobody knows.
 */
enum client_kind client_kind_of_received(struct slice value)
{
    enum client_kind found = CLIENT_UNKNOWN, k;
    struct slice rest = value;
    unsigned clauses = 0;
    struct token t;

    if (is_qmail(value))
        return CLIENT_QMAIL;
    while (take_token(&rest, &t)) {
        if (t.comment)
            continue;
        if (slice_ieq(t.text, SLICE("from"))) {
            if (!take_token(&rest, &t))
                break;
        } else if (slice_ieq(t.text, SLICE("by"))) {
            k = kind_of_by(&rest);
            if (clauses++ > 0 && k != found)
                return CLIENT_UNKNOWN;
            found = k;
        }
    }
    return found;
}
