/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      names - does a certificate name this host? (C-CERT-01, RFC 6125 6.4)
 *
 * DESCRIPTION
 *      Letters, digits, hyphens, underscores and dots, anything else is no name; so NUL bytes,
 * blanks and U-labels match nothing.  A wildcard is the whole leftmost label and needs two labels
 * behind it ("*.example" would be a whole top-level domain).
 */
#include "certs/judge.h"

#define DNS_NAME_MAX 253

/* Dot-separated labels, none empty, of the bytes that host names have. */
static bool is_host_name(struct slice s)
{
    if (s.n == 0 || s.n > DNS_NAME_MAX || s.p[0] == '.' || s.p[s.n - 1] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || (c == '.' && s.p[i - 1] != '.');

        if (!fits)
            return false;
    }
    return true;
}

static bool is_address(struct slice s)
{
    struct addr a;

    return addr_parse(s, &a);
}

/* ".parent" (Postfix's dot-nexthop) takes every name below, a wildcard's too. */
static bool below_parent(struct slice name, struct slice dot_parent)
{
    return is_host_name(slice_from(dot_parent, 1)) && name.n > dot_parent.n &&
           slice_iends(name, dot_parent);
}

bool cert_name_match(struct slice pattern, struct slice reference)
{
    bool wild = slice_istarts(pattern, SLICE("*."));
    struct slice base = slice_from(pattern, wild ? 2 : 0);
    struct slice label, rest;

    if (!is_host_name(base) || is_address(base) || reference.n == 0)
        return false;
    if (reference.p[reference.n - 1] == '.')
        reference.n--;
    if (slice_istarts(reference, SLICE(".")))
        return below_parent(pattern, reference);
    if (!is_host_name(reference) || is_address(reference))
        return false;
    if (!wild)
        return slice_ieq(base, reference);
    return slice_cut(base, '.', &label, &rest) && slice_cut(reference, '.', &label, &rest) &&
           slice_ieq(base, rest);
}
