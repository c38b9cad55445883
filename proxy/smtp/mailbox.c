/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox - see mailbox.h for the contract. */
#include "proxy/smtp/mailbox.h"

#include <string.h>

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static struct slice without_dot(struct slice domain)
{
    return domain.n > 0 && domain.p[domain.n - 1] == '.' ? slice_first(domain, domain.n - 1)
                                                         : domain;
}

bool domain_normalise(struct slice domain, char out[DOMAIN_MAX + 1])
{
    struct slice label, rest = without_dot(domain);
    bool more = true;

    if (rest.n == 0 || rest.n > DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];

        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    out[rest.n] = '\0';
    while (more) {
        more = slice_cut(rest, '.', &label, &rest);
        if (label.n < 1 || label.n > 63) /* RFC 1035 2.3.4 */
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
                return false;
    }
    return true;
}

bool domain_eq(struct slice a, struct slice b)
{
    return slice_ieq(without_dot(a), without_dot(b));
}

bool domain_below(struct slice domain, struct slice parent)
{
    struct slice d = without_dot(domain), p = without_dot(parent);

    return p.n > 0 && d.n > p.n + 1 && slice_iends(d, p) && d.p[d.n - p.n - 1] == '.';
}

/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
static bool literal_parse(struct slice domain, struct addr *out)
{
    static const struct slice tag = {"IPv6:", 5};
    struct slice inside;
    bool tagged;

    if (domain.n < 3 || domain.p[domain.n - 1] != ']')
        return false;
    inside = slice_first(slice_from(domain, 1), domain.n - 2);
    tagged = slice_istarts(inside, tag);
    if (tagged)
        inside = slice_from(inside, tag.n);
    if (!addr_parse(inside, out))
        return false;
    return out->family == (tagged ? ADDR_IP6 : ADDR_IP4) &&
           (inside.n == 0 || memchr(inside.p, '%', inside.n) == NULL);
}

/* The path between "<" and its ">": a quoted string may hold a ">" of its own. */
static enum mailbox_status cut_path(struct slice text, struct slice *path, struct slice *rest)
{
    bool quoted = false, escaped = false;

    if (text.n == 0 || text.p[0] != '<')
        return MAILBOX_BAD_SYNTAX;
    text = slice_from(text, 1);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c < 0x20 || c > 0x7e)
            return MAILBOX_BAD_BYTES;
        if (escaped)
            escaped = false;
        else if (quoted && c == '\\')
            escaped = true;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '>' && !quoted) {
            *path = slice_first(text, i);
            *rest = slice_from(text, i + 1);
            return MAILBOX_OK;
        }
    }
    return MAILBOX_BAD_SYNTAX;
}

/* RFC 5321 4.1.2: A-d-l = "@" Domain *( "," "@" Domain ), then ":".  It is ignored, as appendix C
 * asks, but must be one. */
static bool strip_source_route(struct slice *path)
{
    char normal[DOMAIN_MAX + 1];
    struct slice route, domain, mailbox;
    bool more = true;

    if (path->n == 0 || path->p[0] != '@')
        return true;
    if (!slice_cut(*path, ':', &route, &mailbox))
        return false;
    while (more) {
        more = slice_cut(route, ',', &domain, &route);
        if (domain.n == 0 || domain.p[0] != '@' || !domain_normalise(slice_from(domain, 1), normal))
            return false;
    }
    *path = mailbox;
    return mailbox.n > 0;
}

/* RFC 5321 4.1.2: Quoted-string.  The bytes are printable already.  0: it does not end. */
static size_t quoted_size(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Dot-string, but dots may stand anywhere: addresses like "a..b@" and "a.@" exist, and whether such
 * a mailbox is good is the MX's to say. */
static size_t atoms_size(struct slice s)
{
    size_t n = 0;

    while (n < s.n &&
           (is_alnum(s.p[n]) || (s.p[n] != '\0' && strchr(".!#$%&'*+-/=?^_`{|}~", s.p[n]) != NULL)))
        n++;
    return n;
}

enum mailbox_status mailbox_parse(struct slice text, struct mailbox *out, struct slice *rest)
{
    char normal[DOMAIN_MAX + 1];
    struct mailbox m = {.path = {NULL, 0}};
    enum mailbox_status status = cut_path(text, &m.path, rest);
    size_t n;

    if (status != MAILBOX_OK)
        return status;
    if (!strip_source_route(&m.path))
        return MAILBOX_BAD_SYNTAX;
    m.local = m.domain = slice_first(m.path, 0);
    if (m.path.n == 0) {
        *out = m;
        return MAILBOX_EMPTY;
    }
    n = m.path.p[0] == '"' ? quoted_size(m.path) : atoms_size(m.path);
    if (n == 0)
        return MAILBOX_BAD_SYNTAX;
    if (n > LOCAL_PART_MAX)
        return MAILBOX_TOO_LONG;
    m.local = slice_first(m.path, n);
    if (n == m.path.n) {
        *out = m;
        return MAILBOX_NO_DOMAIN;
    }
    if (m.path.p[n] != '@')
        return MAILBOX_BAD_SYNTAX;
    m.domain = slice_from(m.path, n + 1);
    m.is_literal = m.domain.n > 0 && m.domain.p[0] == '[';
    if (without_dot(m.domain).n > DOMAIN_MAX)
        return MAILBOX_TOO_LONG;
    if (m.is_literal ? !literal_parse(m.domain, &m.literal) : !domain_normalise(m.domain, normal))
        return MAILBOX_BAD_DOMAIN;
    *out = m;
    return MAILBOX_OK;
}
