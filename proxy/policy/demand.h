/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      demand - how much TLS is owed to a host, and who says so
 *
 * DESCRIPTION
 *      One pure function decides, from the administrator's overrides and the default (DANE and
 *      MTA-STS join it there); nothing below can weaken the answer (design promise 4).  The levels
 *      mean what Postfix documents for them (C-TLS-01):
 *        none         no TLS at all
 *        may          TLS if offered, no judgement enforced; clear text otherwise
 *        encrypt      TLS, no judgement enforced
 *        verify       TLS, trusted chain, certificate names the MX host (Postfix: hostname)
 *        secure       TLS, trusted chain, certificate names the domain or a name below it
 *                     (Postfix: nexthop, dot-nexthop)
 *        fingerprint  TLS, the leaf's certificate or public key is one of those pinned; names,
 *                     dates and chain do not matter
 *      docs/policy.md has the same table.  Pure; any thread.
 *
 * OWNERSHIP
 *      A demand lends everything from the overrides and strings it was made of (the settings
 *      snapshot and the destination keep them alive).
 */
#ifndef TLSMEND_POLICY_DEMAND_H
#define TLSMEND_POLICY_DEMAND_H

#include "proxy/base/addr.h"
#include "proxy/base/buf.h"
#include "proxy/base/instant.h"

enum tls_level {
    LEVEL_NONE,
    LEVEL_MAY,
    LEVEL_ENCRYPT,
    LEVEL_VERIFY,
    LEVEL_SECURE,
    LEVEL_FINGERPRINT,
    LEVEL_COUNT
};

enum tls_version { TLS_VERSION_UNSET, TLS_VERSION_1_2, TLS_VERSION_1_3 };

enum demand_source { DEMAND_DEFAULT, DEMAND_CONFIG };

const char *tls_level_name(enum tls_level l);
bool tls_level_find(struct slice name, enum tls_level *out);
const char *tls_version_name(enum tls_version v); /* "1.2" */
bool tls_version_find(struct slice name, enum tls_version *out);
const char *demand_source_name(enum demand_source s);
bool tls_level_owes_tls(enum tls_level l);   /* encrypt and above: no envelope byte in clear */
bool tls_level_owes_trust(enum tls_level l); /* verify, secure: PKIX chain and name */

#define FINGERPRINT_MAX 64

struct fingerprint { /* SHA-256 (32 bytes) or SHA-512 (64) of the certificate or of its SPKI */
    unsigned char digest[FINGERPRINT_MAX];
    size_t n;
};

struct string_list {
    char **items;
    size_t count;
};

/* One row of `destinations`.  One row is in force for a host, never several: a member that is not
 * set there leaves the default in force, not that of a wider row. */
struct override {
    char *match; /* as written: "partner.example", ".legacy.example",
                                 "mx:.mail.protection.outlook.com", "*" */
    bool has_level;
    enum tls_level level;
    enum tls_version min_version; /* UNSET: not said */
    struct string_list names; /* what the certificate may name; "hostname", "nexthop", "dot-nexthop"
                                 or a name, ".name" for any name below */
    struct fingerprint *fingerprints;
    size_t fingerprint_count;
    char *ca_file;    /* NULL: none; trusted for this destination beside the trust store */
    char *route_host; /* NULL: by MX */
    uint16_t route_port;
    wall_ms expires; /* 0: never */
    char *reason;    /* the administrator's note, NULL: none */
    char *origin;    /* "file:line" for logs and errors */
};

struct demand_config {
    enum tls_level level;         /* default demand */
    enum tls_level literal_level; /* for address literals (C-MX-08) */
    enum tls_version min_version;
    const struct override *overrides;
    size_t override_count;
};

struct demand {
    enum tls_level level;
    enum demand_source source;
    enum tls_version min_version;
    const char *policy_id;           /* the override's match, or "" */
    const struct override *override; /* NULL: none; names, fingerprints, ca_file from there */
    const struct override *expired;  /* would be in force, had it not expired; NULL: none */
    const char *const *names;        /* in force at verify and secure; keywords not yet expanded */
    size_t name_count;
};

/* Row for the domain as a whole (its route): exact domain, longest ".parent", "*"; NULL: none.
 * A ".parent" row holds for names below, not for the parent itself.  A domain in brackets is an
 * address literal: only a row with the same address and "*" apply. */
const struct override *override_for_domain(const struct demand_config *c, struct slice domain,
                                           wall_ms now);
/* Row for one MX host of that domain: exact domain, then the longest parent, then the longest "mx:"
 * suffix, then "*".  "mx:host" matches exactly, "mx:.suffix" hosts below.  A row whose `expires` has
 * passed at `now` is in force no more: the next best one is, or the default. */
const struct override *override_for_host(const struct demand_config *c, struct slice domain,
                                         struct slice mx_host, wall_ms now);

/* The row that would be in force, had it not expired; NULL: none. */
const struct override *override_expired(const struct demand_config *c, struct slice domain,
                                        struct slice mx_host, wall_ms now);

/*
 * The demand of one MX host.  `domain` normalised; for an address literal is_literal is true and
 * only "*" and exact "[...]" rows apply.  out->expired: a better row has ended; every attempt says so.
 */
void demand_decide(const struct demand_config *c, struct slice domain, bool is_literal,
                   struct slice mx_host, wall_ms now, struct demand *out);

/* The stronger of two TLS outcomes is nobody's guess: does what was reached satisfy what is owed?
 * Looked up where MAIL is sent (C-CERT-06). */
struct tls_reached {
    bool tls;     /* the session is encrypted */
    bool trusted; /* PKIX chain and reference name hold */
    bool pinned;  /* a fingerprint matches */
};
bool demand_met(const struct demand *d, const struct tls_reached *got);

/* Expand keywords of d->names for this host: writes at most `max` slices, returns their number.
 * dot-nexthop becomes ".nexthop".  `scratch` owns that text: leave it alone while the slices are
 * used. An empty host or next hop, or one that is an address, names nothing and is left out. */
size_t demand_names(const struct demand *d, struct slice mx_host, struct slice nexthop,
                    struct buf *scratch, struct slice *out, size_t max);

#endif
