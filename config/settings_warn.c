/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is allowed but deserves a loud word.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/settings_internal.h"

#define BUDGET_WISE INT64_C(280000) /* Postfix and Exim give up after 300 s */
#define RECIPIENTS_WISE 100         /* RFC 5321 4.5.3.1.8 */
#define SOON (14 * INT64_C(86400000))

struct warner {
    struct loaded_settings *loaded;
    struct buf *out;
};

static void warn(struct warner *w, enum setting_group_id group, const char *key, const void *base,
                 const char *text)
{
    const struct setting_source *from = loaded_source(w->loaded, group, key, base);

    loaded_print_place(w->loaded, from, w->out);
    buf_add(w->out, SLICE(": "));
    loaded_print_row(w->loaded, from, w->out);
    buf_addf(w->out, ": %s\n", text);
}

static void warn_top(struct warner *w, const struct settings *s)
{
    const struct setting_source *name = loaded_source(w->loaded, GROUP_TOP, "helo_name", s);
    struct slice label, rest;

    if (!slice_cut(slice_str(s->helo_name), '.', &label, &rest) && s->helo_name[0] != '[')
        warn(w, GROUP_TOP, "helo_name", s,
             "many MX hosts refuse a name without a dot: write the host's full name");
    else if (name->line == 0 && strcmp(s->helo_name, "localhost.localdomain") == 0)
        warn(w, GROUP_TOP, "helo_name", s,
             "the host has no full name and MX hosts may refuse this one: set helo_name");
}

static void warn_tls(struct warner *w, const struct settings *s)
{
    if (s->tls.level < LEVEL_ENCRYPT)
        warn(w, GROUP_TLS, "level", s,
             "mail may leave in clear text to every destination without a row of its own");
    else if (s->tls.level == LEVEL_ENCRYPT)
        warn(w, GROUP_TLS, "level", s, "certificates are not judged: anybody on the path can read");
    if (s->tls.literal_level >= LEVEL_VERIFY)
        warn(w, GROUP_TLS, "literal_level", s,
             "no certificate names an address: mail to address literals is always deferred");
    if (s->tls.min_rsa_bits < 2048)
        warn(w, GROUP_TLS, "min_rsa_bits", s, "RSA keys below 2048 bits can be broken");
}

static void warn_limits(struct warner *w, const struct settings *s)
{
    if (s->timeouts.recipient_budget > BUDGET_WISE)
        warn(w, GROUP_TIMEOUTS, "recipient_budget", s,
             "Postfix and Exim stop waiting after 300 s: stay at 280s or less");
    if (s->limits.recipients < RECIPIENTS_WISE)
        warn(w, GROUP_LIMITS, "recipients", s, "RFC 5321 4.5.3.1.8 asks for 100 at least");
    if (s->limits.auth_line < s->limits.line)
        warn(w, GROUP_LIMITS, "auth_line", s, "shorter than limits.line: lines of AUTH are longer");
    if (s->resolver.mx_port != 25)
        warn(w, GROUP_RESOLVER, "mx_port", s, "MX hosts listen on port 25: this is for tests");
    if (s->resolver.trust_anchor[0] == '\0')
        warn(w, GROUP_RESOLVER, "trust_anchor", s,
             "DNS answers are not validated: install dns-root-data");
}

static void warn_expiry(struct warner *w, const struct override *o, wall_ms now)
{
    if (o->expires == 0)
        return;
    if (o->expires <= now)
        warn(w, GROUP_DESTINATION, "expires", o,
             "has expired: this row is in force no more; renew it or take it out");
    else if (o->expires - now < SOON)
        warn(w, GROUP_DESTINATION, "expires", o,
             "expires within two weeks: from then on this row is in force no more");
}

/* What this row is about has no host name. */
static bool is_address(const struct override *o)
{
    struct addr a;

    if (o->route_host != NULL)
        return addr_parse(slice_str(o->route_host), &a);
    return o->match[0] == '[' && o->has_level;
}

static void warn_destination(struct warner *w, const struct override *o, enum tls_level inherited,
                             wall_ms now)
{
    enum tls_level level = o->has_level ? o->level : inherited;
    bool trust = level == LEVEL_VERIFY || level == LEVEL_SECURE;

    warn_expiry(w, o, now);
    if (o->has_level && level < LEVEL_ENCRYPT && strcmp(o->match, "*") == 0)
        warn(w, GROUP_DESTINATION, "level", o,
             "mail to every other destination may leave in clear text");
    if (o->names.count > 0 && !trust)
        warn(w, GROUP_DESTINATION, "names", o,
             "no effect on delivery: the level of this row needs no name");
    if (o->ca_file != NULL && !trust)
        warn(w, GROUP_DESTINATION, "ca_file", o,
             "no effect on delivery: the level of this row needs no chain");
    if (o->fingerprint_count > 0 && level != LEVEL_FINGERPRINT)
        warn(w, GROUP_DESTINATION, "fingerprints", o, "no effect: write level = \"fingerprint\"");
    if (trust && o->names.count == 0 && is_address(o))
        warn(w, GROUP_DESTINATION, "match", o,
             "no certificate names an address: mail is always deferred; add names, or pin "
             "fingerprints");
    if (o->min_version != TLS_VERSION_UNSET && level == LEVEL_NONE)
        warn(w, GROUP_DESTINATION, "min_version", o, "no effect: level none uses no TLS");
}

void settings_warnings(const struct settings *s, wall_ms now, struct buf *out)
{
    struct warner w = {.loaded = loaded_of(s), .out = out};

    warn_top(&w, s);
    warn_tls(&w, s);
    warn_limits(&w, s);
    for (size_t i = 0; i < s->destination_count; i++)
        warn_destination(&w, &s->destinations[i], s->tls.level, now);
}
