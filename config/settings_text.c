/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and names of the configuration: quoting for messages, edit distance, host names.
 */
#include <stdio.h>
#include <string.h>

#include "config/settings_internal.h"

#define QUOTE_SHOWN 100 /* bytes of a value in a message */
#define LABEL_MAX 63    /* RFC 1035 2.3.4 */
#define NAME_MAX_BYTES 253
#define WORD_MAX 64

void settings_quote(struct slice text, struct buf *out)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_addf(out, "\\x%02x", c);
        else
            buf_addc(out, (char)c);
    }
    buf_addc(out, '"');
}

void settings_quote_cut(struct slice text, struct buf *out)
{
    settings_quote(slice_first(text, QUOTE_SHOWN), out);
    if (text.n > QUOTE_SHOWN)
        buf_add(out, SLICE("..."));
}

/* "destinations[2].route.port" */
void settings_node_path(const config_setting_t *node, struct buf *out)
{
    const config_setting_t *parent = config_setting_parent(node);

    if (parent == NULL)
        return;
    settings_node_path(parent, out);
    if (config_setting_name(node) == NULL)
        buf_addf(out, "[%d]", config_setting_index(node));
    else
        buf_addf(out, "%s%s", config_setting_is_root(parent) ? "" : ".", config_setting_name(node));
}

static void scalar_value(const config_setting_t *node, struct buf *out)
{
    switch (config_setting_type(node)) {
    case CONFIG_TYPE_STRING:
        settings_quote_cut(slice_str(config_setting_get_string(node)), out);
        break;
    case CONFIG_TYPE_BOOL:
        buf_addf(out, "%s", config_setting_get_bool(node) ? "true" : "false");
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        buf_addf(out, "%lld", config_setting_get_int64(node));
        break;
    case CONFIG_TYPE_FLOAT:
        buf_addf(out, "%g", config_setting_get_float(node));
        break;
    default:
        break;
    }
}

void settings_node_value(const config_setting_t *node, struct buf *out)
{
    if (config_setting_is_group(node))
        buf_add(out, SLICE("{ ... }"));
    else if (config_setting_is_aggregate(node))
        buf_addf(out, "%s", config_setting_is_list(node) ? "( ... )" : "[ ... ]");
    else
        scalar_value(node, out);
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Levenshtein's distance; words longer than WORD_MAX are compared by their beginning. */
unsigned settings_distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t na = strnlen(a, WORD_MAX), nb = strnlen(b, WORD_MAX);

    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j];

            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return (unsigned)row[nb];
}

bool settings_has_control(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

bool settings_has_high(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s > 0x7f)
            return true;
    return false;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_label(struct slice label, bool underscores)
{
    if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++) {
        char c = label.p[i];

        if (!is_alnum(c) && c != '-' && !(underscores && c == '_'))
            return false;
    }
    return true;
}

/* RFC 1123 2.1; one trailing dot is fine.  An address is no host name. */
bool settings_is_host_name(struct slice s, bool underscores)
{
    struct slice label, rest;
    struct addr ignored;

    if (s.n > 0 && s.p[s.n - 1] == '.')
        s = slice_first(s, s.n - 1);
    if (s.n == 0 || s.n > NAME_MAX_BYTES || addr_parse(s, &ignored))
        return false;
    while (slice_cut(s, '.', &label, &rest)) {
        if (!is_label(label, underscores))
            return false;
        s = rest;
    }
    return is_label(s, underscores);
}

/* RFC 5321 4.1.3 */
bool settings_is_literal(struct slice s)
{
    struct slice inner;
    struct addr a;

    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    inner = slice_first(slice_from(s, 1), s.n - 2);
    if (slice_istarts(inner, SLICE("IPv6:")))
        return addr_parse(slice_from(inner, 5), &a) && a.family == ADDR_IP6;
    return addr_parse(inner, &a) && a.family == ADDR_IP4;
}

/* "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53" */
bool settings_addr_port(struct slice s, uint16_t preset_port, struct addr *out)
{
    struct slice host, port;
    unsigned long long number = preset_port;

    if (addr_parse(s, out)) {
        out->port = preset_port;
        return true;
    }
    if (s.n > 0 && s.p[0] == '[') {
        if (!slice_cut(slice_from(s, 1), ']', &host, &port) || port.n == 0 || port.p[0] != ':' ||
            !addr_parse(host, out) || out->family != ADDR_IP6)
            return false;
        port = slice_from(port, 1);
    } else if (!slice_cut(s, ':', &host, &port) || !addr_parse(host, out)) {
        return false;
    }
    if (!slice_u64(port, UINT16_MAX, &number) || number == 0)
        return false;
    out->port = (uint16_t)number;
    return true;
}
