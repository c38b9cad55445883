/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is allowed but deserves a loud word.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/settings_internal.h"

#define BUDGET_WISE INT64_C(280000)       /* Postfix and Exim give up after 300 s */
#define RECIPIENTS_WISE 100               /* RFC 5321 4.5.3.1.8 */
#define STALL_WISE INT64_C(180000)        /* smtp_data_xfer_timeout of Postfix */
#define KEEP_WISE (5 * INT64_C(86400000)) /* maximal_queue_lifetime of Postfix */
#define SOON (14 * INT64_C(86400000))

struct warner {
    struct loaded_settings *loaded;
    struct buf *out;
};

/* "file:line: key = value: "; the text is the caller's. */
static void warn_head(struct warner *w, enum setting_group_id group, const char *key,
                      const void *base)
{
    const struct setting_source *from = loaded_source(w->loaded, group, key, base);

    loaded_print_place(w->loaded, from, w->out);
    buf_add(w->out, SLICE(": "));
    loaded_print_row(w->loaded, from, w->out);
    buf_add(w->out, SLICE(": "));
}

static void warn(struct warner *w, enum setting_group_id group, const char *key, const void *base,
                 const char *text)
{
    warn_head(w, group, key, base);
    buf_addf(w->out, "%s\n", text);
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

static bool owes_tlsa(enum tls_level level)
{
    return (tls_level_needs(level) & NEED_TLSA) != 0;
}

static const char *no_anchor(enum tls_level level)
{
    return level == LEVEL_DANE_ONLY
               ? "no TLSA record can be trusted without resolver.trust_anchor: mail is always "
                 "deferred"
               : "no TLSA record can be trusted without resolver.trust_anchor: mail may leave in "
                 "clear text";
}

static void warn_tls(struct warner *w, const struct settings *s)
{
    if (s->tls.level < LEVEL_ENCRYPT)
        warn(w, GROUP_TLS, "level", s,
             "mail may leave in clear text to every destination without a row of its own");
    else if (s->tls.level == LEVEL_ENCRYPT)
        warn(w, GROUP_TLS, "level", s, "certificates are not judged: anybody on the path can read");
    else if (s->tls.level == LEVEL_DANE)
        warn(w, GROUP_TLS, "level", s,
             "mail may leave in clear text to every destination without TLSA records");
    else if (s->tls.level == LEVEL_DANE_ONLY)
        warn(w, GROUP_TLS, "level", s,
             "mail to every destination without usable TLSA records is deferred: few have them");
    if (owes_tlsa(s->tls.level) && s->resolver.trust_anchor[0] == '\0')
        warn(w, GROUP_TLS, "level", s, no_anchor(s->tls.level));
    if (s->tls.literal_level >= LEVEL_VERIFY)
        warn(w, GROUP_TLS, "literal_level", s,
             "no certificate names an address: mail to address literals is always deferred");
    if (s->tls.min_rsa_bits < 2048)
        warn(w, GROUP_TLS, "min_rsa_bits", s, "RSA keys below 2048 bits can be broken");
    if (s->tls.half_dane)
        warn(w, GROUP_TLS, "half_dane", s,
             "whoever forges the unsigned MX record still chooses the host: DANE proves less for "
             "such domains (RFC 7672 2.2.1)");
}

static void warn_lasting(struct warner *w, const struct settings *s)
{
    if (!s->mta_sts.enabled)
        warn(w, GROUP_MTA_STS, "enabled", s,
             "what recipient domains ask for by MTA-STS is not looked at");
    if (s->store.path[0] == '\0')
        warn(w, GROUP_STORE, "path", s,
             "a restart forgets all MTA-STS policies, and a domain is not protected until its "
             "policy is fetched again: name a file");
    if (s->store.path[0] == '\0')
        warn(w, GROUP_STORE, "path", s,
             "no ledger: a client that speaks plain SMTP gets one recipient domain for each "
             "transaction, and recipients of others hear 451 and wait for the next: name a file");
    if (s->ledger.keep < KEEP_WISE)
        warn(w, GROUP_LEDGER, "keep", s,
             "Postfix and Sendmail try for 5 days: what is tried again after this time goes out "
             "twice");
}

/* Nobody may believe that something is enforced that is only looked at. */
static void add_observing(struct buf *out, enum observe how)
{
    buf_add(out, how == OBSERVE_ALL
                     ? SLICE("NOTHING is enforced, MTA-STS and DANE neither: it goes out as at "
                             "level may, and the log says what would have been deferred\n")
                     : SLICE("tls and destinations are NOT enforced, MTA-STS and DANE are: it goes "
                             "out as at level may, and the log says what would have been "
                             "deferred\n"));
}

static bool observes(enum observe how)
{
    return how == OBSERVE_ON || how == OBSERVE_ALL;
}

/* Loopback is let in by default, but such clients do not come from there. */
static void warn_clients(struct warner *w, const struct listener_settings *one)
{
    if (one->proxy_count > 0 && one->allow_count == 0 && addr_class(&one->bind) == ADDR_LOOPBACK)
        warn(w, GROUP_LISTENER, "allow_clients", one,
             "only loopback is let in, but proxy_clients name clients elsewhere: name the networks "
             "of these");
}

static void warn_listener(struct warner *w, const struct listener_settings *one)
{
    warn_clients(w, one);
    if (observes(one->observe)) {
        warn_head(w, GROUP_LISTENER, "observe", one);
        buf_add(w->out, SLICE("ONLY OBSERVED is the mail of listener "));
        settings_quote_cut(slice_str(one->name), w->out);
        buf_add(w->out, SLICE(": "));
        add_observing(w->out, one->observe);
    }
    if (!one->requiretls)
        return;
    warn(w, GROUP_LISTENER, "requiretls", one,
         "mail that asks for REQUIRETLS is refused where the MX host is not proved by DANE, "
         "MTA-STS or a row of destinations, or does not offer it");
    if (addr_class(&one->bind) != ADDR_LOOPBACK)
        warn(w, GROUP_LISTENER, "requiretls", one,
             "such mail comes to this listener in clear text, against RFC 8689: use a loopback "
             "address");
}

static void warn_observing(struct warner *w, const struct settings *s)
{
    if (!observes(s->tls.observe))
        return;
    warn_head(w, GROUP_TLS, "observe", s);
    buf_add(w->out, SLICE("ONLY OBSERVED is all mail, except where listeners or destinations say "
                          "otherwise: "));
    add_observing(w->out, s->tls.observe);
}

/* Only what somebody wrote: a default that a smaller limit cuts is nobody's mistake. */
static void warn_above(struct warner *w, const struct settings *s, const char *key, int64_t value,
                       int64_t limit, const char *text)
{
    if (value > limit && loaded_source(w->loaded, GROUP_POOL, key, s)->line != 0)
        warn(w, GROUP_POOL, key, s, text);
}

static void warn_pool(struct warner *w, const struct settings *s)
{
    warn_above(w, s, "idle_time", s->pool.idle_time, s->pool.max_age,
               "no effect beyond pool.max_age, which is shorter");
    warn_above(w, s, "idle_per_host", s->pool.idle_per_host, s->pool.idle,
               "no effect beyond pool.idle, which is smaller");
    if (s->pool.per_host > 0)
        warn_above(w, s, "idle_per_host", s->pool.idle_per_host, s->pool.per_host,
                   "no effect beyond pool.per_host, which is smaller");
    if (s->pool.connections > 0) {
        warn_above(w, s, "idle", s->pool.idle, s->pool.connections,
                   "no effect beyond pool.connections, which is smaller");
        warn_above(w, s, "per_host", s->pool.per_host, s->pool.connections,
                   "no effect beyond pool.connections, which is smaller");
    }
}

static void warn_limits(struct warner *w, const struct settings *s)
{
    if (s->timeouts.recipient_budget > BUDGET_WISE)
        warn(w, GROUP_TIMEOUTS, "recipient_budget", s,
             "Postfix and Exim stop waiting after 300 s: stay at 280s or less");
    if (s->timeouts.rung > s->timeouts.handshake)
        warn(w, GROUP_TIMEOUTS, "rung", s, "no effect: it is longer than timeouts.handshake");
    if (s->timeouts.leg_stall >= STALL_WISE)
        warn(w, GROUP_TIMEOUTS, "leg_stall", s,
             "Postfix gives up when nothing is read for 180 s: stay below");
    else if (s->timeouts.leg_stall > s->timeouts.block)
        warn(w, GROUP_TIMEOUTS, "leg_stall", s, "no effect: it is longer than timeouts.block");
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

/* What the row does to policies that others set: it is observed, or it overrules them. */
static void warn_policy(struct warner *w, const struct override *o, enum tls_level level,
                        wall_ms now)
{
    char until[INSTANT_TEXT_MAX];

    if (o->expires != 0 && o->expires <= now)
        return; /* in force no more */
    if (observes(o->observe)) {
        warn_head(w, GROUP_DESTINATION, "observe", o);
        buf_add(w->out, SLICE("ONLY OBSERVED is mail to "));
        settings_quote_cut(slice_str(o->match), w->out);
        buf_add(w->out, SLICE(": "));
        add_observing(w->out, o->override_policy ? OBSERVE_ALL : o->observe);
    }
    if (o->observe == OBSERVE_ON && (tls_level_needs(level) == 0 || level == LEVEL_DANE))
        warn(w, GROUP_DESTINATION, "observe", o,
             "no effect: the level of this row enforces nothing but DANE and MTA-STS; \"all\" "
             "observes these too");
    if (!o->override_policy)
        return;
    warn_head(w, GROUP_DESTINATION, "override_policy", o);
    buf_add(w->out, SLICE("mail to "));
    settings_quote_cut(slice_str(o->match), w->out);
    buf_addf(w->out,
             " is at level %s until %s, whatever MTA-STS and DANE ask for; each use is logged\n",
             tls_level_name(level), instant_text(o->expires, until));
    if (strcmp(o->match, "*") == 0)
        warn(w, GROUP_DESTINATION, "override_policy", o,
             "this switches MTA-STS and DANE off for every other destination: name the domain or "
             "the MX hosts (\"mx:.suffix\") in match");
}

/* A row for everybody else. */
static void warn_everybody(struct warner *w, const struct override *o)
{
    if (!o->has_level || strcmp(o->match, "*") != 0)
        return;
    if (o->level < LEVEL_ENCRYPT)
        warn(w, GROUP_DESTINATION, "level", o,
             "mail to every other destination may leave in clear text");
    else if (o->level == LEVEL_DANE)
        warn(w, GROUP_DESTINATION, "level", o,
             "mail to every other destination without TLSA records may leave in clear text");
    else if (o->level == LEVEL_DANE_ONLY)
        warn(w, GROUP_DESTINATION, "level", o,
             "mail to every other destination without usable TLSA records is deferred, to address "
             "literals too");
}

static void warn_destination(struct warner *w, const struct settings *s, const struct override *o,
                             wall_ms now)
{
    enum tls_level inherited = o->match[0] == '[' ? s->tls.literal_level : s->tls.level;
    enum tls_level level = o->has_level ? o->level : inherited;
    bool trust = level == LEVEL_VERIFY || level == LEVEL_SECURE;

    warn_expiry(w, o, now);
    warn_policy(w, o, level, now);
    warn_everybody(w, o);
    if (o->has_level && owes_tlsa(level) && s->resolver.trust_anchor[0] == '\0')
        warn(w, GROUP_DESTINATION, "level", o, no_anchor(level));
    if (!o->has_level && owes_tlsa(level) && is_address(o))
        warn(w, GROUP_DESTINATION, "match", o,
             level == LEVEL_DANE
                 ? "an address has no TLSA records: mail may leave in clear text; add a level"
                 : "an address has no TLSA records: mail is always deferred; add a level");
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
    warn_observing(&w, s);
    for (size_t i = 0; i < s->listener_count; i++)
        warn_listener(&w, &s->listeners[i]);
    warn_pool(&w, s);
    warn_lasting(&w, s);
    warn_limits(&w, s);
    for (size_t i = 0; i < s->destination_count; i++)
        warn_destination(&w, s, &s->destinations[i], now);
}
