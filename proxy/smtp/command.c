/* SPDX-License-Identifier: Apache-2.0 */
/* command - see command.h for the contract. */
#include "proxy/smtp/command.h"

#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct command_error no_error = {0, NULL, NULL};

struct command command_parse(struct slice line)
{
#define VERB(word)                                 \
    {                                              \
        {#word, sizeof(#word) - 1}, COMMAND_##word \
    }
    /* Those of each mail first. */
    static const struct {
        struct slice name;
        enum command_verb verb;
    } verbs[] = {
        VERB(MAIL),     VERB(RCPT), VERB(DATA), VERB(RSET),     VERB(QUIT), VERB(EHLO),
        VERB(XFORWARD), VERB(HELO), VERB(LHLO), VERB(NOOP),     VERB(VRFY), VERB(EXPN),
        VERB(HELP),     VERB(BDAT), VERB(AUTH), VERB(STARTTLS),
    };
    struct command c = {COMMAND_UNKNOWN, line};
    struct slice word;

    (void)slice_word(&c.args, &word);
    c.args = slice_trim(c.args);
    /* A blank before the verb makes it none of ours (RFC 5321 4.1.1: a line begins with its verb).
     */
    if (line.n > 0 && word.p != line.p)
        return c;
    for (size_t i = 0; i < COUNT(verbs) && c.verb == COMMAND_UNKNOWN; i++)
        if (slice_ieq(word, verbs[i].name))
            c.verb = verbs[i].verb;
    return c;
}

/* RFC 5321 4.1.2 and C-IN-06: only printable ASCII and the space between words. */
static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
            return false;
    return true;
}

/* RFC 5321 4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]; the bytes are printable already.
 */
static bool param_cut(struct slice word, struct slice *keyword, struct slice *value)
{
    bool has_value = slice_cut(word, '=', keyword, value);

    if (keyword->n == 0 || keyword->p[0] == '-')
        return false;
    for (size_t i = 0; i < keyword->n; i++) {
        char c = keyword->p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-'))
            return false;
    }
    if (!has_value) {
        *value = SLICE_NONE;
        return true;
    }
    return value->n > 0 && memchr(value->p, '=', value->n) == NULL;
}

/* "FROM:<...>" or "TO:<...>".  A blank behind the colon is against the grammar, but common. */
static enum mailbox_status path_parse(struct slice args, struct slice keyword, struct mailbox *out,
                                      struct slice *params)
{
    if (!slice_istarts(args, keyword))
        return MAILBOX_BAD_SYNTAX;
    return mailbox_parse(slice_trim(slice_from(args, keyword.n)), out, params);
}

static struct command_error mail_param(struct slice word, struct mail_params *params)
{
    static const struct command_error syntax = {501, "5.5.4", "Syntax error in a MAIL parameter"};
    static const struct command_error twice = {501, "5.5.4", "MAIL parameter given twice"};
    struct slice keyword, value;
    unsigned long long size;

    if (!param_cut(word, &keyword, &value))
        return syntax;
    if (slice_ieq(keyword, SLICE("SIZE"))) { /* RFC 1870 4: 1*20DIGIT */
        if (params->has_size)
            return twice;
        if (value.n > 20 || !slice_u64(value, UINT64_MAX, &size))
            return syntax;
        params->has_size = true;
        params->size = size;
        return no_error;
    }
    if (slice_ieq(keyword, SLICE("BODY"))) { /* RFC 6152 3; BINARYMIME is not offered */
        if (params->body != BODY_UNSAID)
            return twice;
        if (slice_ieq(value, SLICE("7BIT")))
            params->body = BODY_7BIT;
        else if (slice_ieq(value, SLICE("8BITMIME")))
            params->body = BODY_8BITMIME;
        else
            return syntax;
        return no_error;
    }
    if (slice_ieq(keyword, SLICE("PRDR")) && value.p == NULL) {
        params->prdr = true;
        return no_error;
    }
    if (slice_ieq(keyword, SLICE("REQUIRETLS"))) { /* RFC 8689 2: without a value */
        if (params->requiretls)
            return twice;
        if (value.p != NULL)
            return syntax;
        params->requiretls = true;
        return no_error;
    }
    if (slice_ieq(keyword, SLICE("SMTPUTF8")))
        params->smtputf8 = true;
    return (struct command_error){555, "5.5.4", "Unsupported MAIL parameter"};
}

struct command_error command_mail(struct slice args, struct mailbox *sender,
                                  struct mail_params *params)
{
    static const struct command_error errors[] = {
        [MAILBOX_OK] = {0, NULL, NULL},
        [MAILBOX_EMPTY] = {0, NULL, NULL},
        [MAILBOX_BAD_SYNTAX] = {501, "5.1.7", "Syntax: MAIL FROM:<address> [parameters]"},
        [MAILBOX_BAD_BYTES] = {501, "5.1.7", "Control or 8-bit bytes in the sender address"},
        [MAILBOX_NO_DOMAIN] = {501, "5.1.7", "Sender address without a domain"},
        [MAILBOX_BAD_DOMAIN] = {501, "5.1.8", "Bad domain in the sender address"},
        [MAILBOX_TOO_LONG] = {501, "5.1.7", "Sender address too long"},
    };
    struct slice rest = SLICE_NONE, word;
    struct command_error e = errors[path_parse(args, SLICE("FROM:"), sender, &rest)];

    *params = (struct mail_params){.body = BODY_UNSAID};
    if (e.code != 0)
        return e;
    if (!is_printable(rest) || (rest.n > 0 && rest.p[0] != ' '))
        return (struct command_error){501, "5.5.4", "Syntax error behind the sender address"};
    while (e.code == 0 && slice_word(&rest, &word))
        e = mail_param(word, params);
    return e;
}

struct command_error command_rcpt(struct slice args, struct mailbox *recipient)
{
    static const struct command_error errors[] = {
        [MAILBOX_OK] = {0, NULL, NULL},
        [MAILBOX_EMPTY] = {501, "5.1.3", "Empty recipient address"},
        [MAILBOX_BAD_SYNTAX] = {501, "5.1.3", "Syntax: RCPT TO:<address>"},
        [MAILBOX_BAD_BYTES] = {501, "5.1.3", "Control or 8-bit bytes in the recipient address"},
        [MAILBOX_NO_DOMAIN] = {501, "5.1.3", "Recipient address without a domain"},
        [MAILBOX_BAD_DOMAIN] = {501, "5.1.3", "Bad domain in the recipient address"},
        [MAILBOX_TOO_LONG] = {501, "5.1.3", "Recipient address too long"},
    };
    struct slice rest = SLICE_NONE, word, keyword, value;
    enum mailbox_status status = path_parse(args, SLICE("TO:"), recipient, &rest);

    if (status == MAILBOX_NO_DOMAIN && slice_ieq(recipient->path, SLICE("postmaster")))
        status = MAILBOX_OK;
    if (status != MAILBOX_OK)
        return errors[status];
    if (!is_printable(rest) || (rest.n > 0 && rest.p[0] != ' '))
        return (struct command_error){501, "5.5.4", "Syntax error behind the recipient address"};
    if (!slice_word(&rest, &word))
        return no_error;
    if (!param_cut(word, &keyword, &value))
        return (struct command_error){501, "5.5.4", "Syntax error in a RCPT parameter"};
    return (struct command_error){555, "5.5.4", "Unsupported RCPT parameter"};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3461 4: xtext, "+" and two hexadecimal digits.  What does not fit in `out` is cut: these are
 * words for our records, and no reason to hold up a mail. */
static bool xtext_decode(struct slice xtext, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < xtext.n; i++) {
        int c = (unsigned char)xtext.p[i];

        if (c == '+') {
            int high = i + 2 < xtext.n ? hex_value(xtext.p[i + 1]) : -1;
            int low = i + 2 < xtext.n ? hex_value(xtext.p[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c < 0x20 || c > 0x7e)
            return false;
        if (n + 1 < size)
            out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

struct command_error command_xforward(struct slice args, struct xforward *io)
{
    static const struct command_error syntax = {501, "5.5.4",
                                                "Syntax: XFORWARD attribute=value..."};
    struct xforward x = *io;
    const struct {
        const char *name;
        char *at;
        size_t size;
    } attributes[] = {
        {"NAME", x.name, sizeof(x.name)},       {"ADDR", x.addr, sizeof(x.addr)},
        {"PORT", x.port, sizeof(x.port)},       {"PROTO", x.proto, sizeof(x.proto)},
        {"HELO", x.helo, sizeof(x.helo)},       {"IDENT", x.ident, sizeof(x.ident)},
        {"SOURCE", x.source, sizeof(x.source)},
    };
    struct slice word, name, value;
    size_t seen = 0;

    for (; slice_word(&args, &word); seen++) {
        bool known = false;

        if (!slice_cut(word, '=', &name, &value))
            return syntax;
        if (slice_ieq(value, SLICE("[UNAVAILABLE]")) || slice_ieq(value, SLICE("[TEMPUNAVAIL]")))
            value = SLICE("");
        for (size_t i = 0; i < COUNT(attributes) && !known; i++) {
            known = slice_ieq(name, slice_str(attributes[i].name));
            if (known && !xtext_decode(value, attributes[i].at, attributes[i].size))
                return syntax;
        }
        if (!known)
            return (struct command_error){501, "5.5.4", "Unknown XFORWARD attribute"};
    }
    if (seen == 0)
        return syntax;
    *io = x;
    return no_error;
}
