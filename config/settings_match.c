/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for the rows of destinations.
 */
#include <stdlib.h>
#include <string.h>

#include "config/settings_internal.h"
#include "proxy/base/mem.h"

/* One spelling for the log and for finding twins: lower case, no trailing dot. */
static void normalise(char *match)
{
    size_t n = strlen(match);

    for (size_t i = 0; i < n; i++)
        if (match[i] >= 'A' && match[i] <= 'Z')
            match[i] = (char)(match[i] - 'A' + 'a');
    if (n > 1 && match[n - 1] == '.')
        match[n - 1] = '\0';
}

static void match_error(struct loader *l, const struct override *o)
{
    const char *m = o->match;

    if (settings_has_high(m))
        loader_rule_error(l, GROUP_DESTINATION, "match", o,
                          "not ASCII: write the A-label of this name (xn--...)");
    else if (strncmp(m, "*.", 2) == 0)
        loader_rule_error(l, GROUP_DESTINATION, "match", o, "write \"%s\" for all domains below it",
                          m + 1);
    else if (strchr(m, '@') != NULL)
        loader_rule_error(l, GROUP_DESTINATION, "match", o,
                          "write the domain alone, \"%s\": rows apply to domains",
                          strchr(m, '@') + 1);
    else
        loader_rule_error(l, GROUP_DESTINATION, "match", o,
                          "write a domain, \".parent\", \"mx:host\", \"mx:.suffix\", "
                          "\"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"");
}

static bool is_pattern(struct slice s)
{
    return settings_is_host_name(s.n > 0 && s.p[0] == '.' ? slice_from(s, 1) : s, true);
}

static bool is_match(struct slice s)
{
    if (slice_eq(s, SLICE("*")) || settings_is_literal(s))
        return true;
    return is_pattern(slice_istarts(s, SLICE("mx:")) ? slice_from(s, 3) : s);
}

static void check_names(struct loader *l, const struct override *o)
{
    for (size_t i = 0; i < o->names.count; i++) {
        const char *name = o->names.items[i];

        if (settings_has_high(name)) {
            loader_rule_error(l, GROUP_DESTINATION, "names", o,
                              "not ASCII: write the A-label of this name (xn--...)");
            return;
        }
        if (!is_pattern(slice_str(name))) {
            loader_rule_error(l, GROUP_DESTINATION, "names", o,
                              "write hostname, nexthop, dot-nexthop, a host name, or .name");
            return;
        }
    }
}

static void check_pins(struct loader *l, const struct override *o)
{
    if (o->has_level && o->level == LEVEL_FINGERPRINT && o->fingerprint_count == 0)
        loader_rule_error(l, GROUP_DESTINATION, "level", o,
                          "pins are missing: add fingerprints = [ \"sha256:...\" ]");
}

/* C-TLS-01: who weakens what the recipient's domain asks for says how far, and until when */
static void check_override_policy(struct loader *l, const struct override *o)
{
    if (!o->override_policy)
        return;
    if (!o->has_level)
        loader_rule_error(l, GROUP_DESTINATION, "override_policy", o,
                          "it is the level of this row that overrules: add level, such as level = "
                          "\"encrypt\"");
    else if (tls_level_needs(o->level) & NEED_TLSA)
        loader_rule_error(l, GROUP_DESTINATION, "level", o,
                          "DANE cannot overrule DANE: write another level, or take "
                          "override_policy out");
    if (o->expires == 0)
        loader_rule_error(l, GROUP_DESTINATION, "override_policy", o,
                          "an exception from MTA-STS and DANE must end: add expires, such as "
                          "expires = \"2027-01-31\"");
}

/* TLSA records stand below a name (RFC 7672 2.2). */
static void check_dane(struct loader *l, const struct override *o)
{
    struct addr a;

    if (!o->has_level || !(tls_level_needs(o->level) & NEED_TLSA))
        return;
    if (o->match[0] == '[')
        loader_rule_error(l, GROUP_DESTINATION, "level", o,
                          "an address literal has no name and so no TLSA records: write "
                          "\"encrypt\", or pin fingerprints");
    else if (o->route_host != NULL && addr_parse(slice_str(o->route_host), &a))
        loader_rule_error(l, GROUP_DESTINATION, "level", o,
                          "the route is an address, which has no TLSA records: write the host's "
                          "name in route, or another level");
}

static void check_route(struct loader *l, const struct override *o)
{
    struct slice host = slice_str(o->route_host);
    struct addr a;

    if (o->route_host == NULL)
        return;
    if (!settings_is_host_name(host, true) && !addr_parse(host, &a))
        loader_rule_error(l, GROUP_ROUTE, "host", o,
                          "write a host name or an IP address, without brackets or port");
    if (slice_istarts(slice_str(o->match), SLICE("mx:")))
        loader_rule_error(l, GROUP_ROUTE, "host", o,
                          "a route belongs to a domain, this row to an MX host: write the domain "
                          "in match, or take route out");
}

struct sorted_row {
    const struct override *row;
};

static int by_match(const void *a, const void *b)
{
    const struct override *x = ((const struct sorted_row *)a)->row;
    const struct override *y = ((const struct sorted_row *)b)->row;
    int order = strcmp(x->match, y->match);

    return order != 0 ? order : (x > y) - (x < y);
}

static void check_duplicates(struct loader *l)
{
    struct settings *s = &l->loaded->shown;
    struct sorted_row *sorted;
    size_t n = 0;

    if (s->destination_count < 2)
        return;
    sorted = mem_array(s->destination_count, sizeof(*sorted));
    for (size_t i = 0; i < s->destination_count; i++)
        if (s->destinations[i].match != NULL)
            sorted[n++].row = &s->destinations[i];
    qsort(sorted, n, sizeof(*sorted), by_match);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1].row->match, sorted[i].row->match) == 0)
            loader_rule_error(l, GROUP_DESTINATION, "match", sorted[i].row,
                              "%s has that match already: make one row of both",
                              sorted[i - 1].row->origin);
    free(sorted);
}

void loader_check_destinations(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    for (size_t i = 0; i < s->destination_count; i++) {
        struct override *o = &s->destinations[i];

        if (o->match == NULL)
            continue; /* said already */
        if (is_match(slice_str(o->match)))
            normalise(o->match);
        else
            match_error(l, o);
        check_names(l, o);
        check_pins(l, o);
        check_override_policy(l, o);
        check_dane(l, o);
        check_route(l, o);
    }
    check_duplicates(l);
}
