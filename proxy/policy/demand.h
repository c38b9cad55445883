/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      demand - how much TLS is owed to a host, and who says so
 *
 * DESCRIPTION
 *      One pure function decides, from the administrator's overrides and the default, DANE, MTA-STS
 *      and the mail's own REQUIRETLS; nothing below can weaken the answer (design promise 4).  The
 *      levels mean what Postfix documents for them (C-TLS-01):
 *        none         no TLS at all
 *        may          TLS if offered, no judgement enforced; clear text otherwise
 *        encrypt      TLS, no judgement enforced
 *        verify       TLS, trusted chain, certificate names the MX host (Postfix: hostname)
 *        secure       TLS, trusted chain, certificate names the domain or a name below it
 *                     (Postfix: nexthop, dot-nexthop)
 *        fingerprint  TLS, the leaf's certificate or public key is one of those pinned; names,
 *                     dates and chain do not matter
 *        dane         what the host's TLSA records ask for (RFC 7672).  As a setting: `may` for a
 *                     host without them
 *        dane-only    the same, and a host without usable TLSA records is not used
 *      A level is the name of what is owed; what is compared is a set of needs, since sources add up (a
 *      pinned key and TLSA records, say).
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
#include "proxy/policy/mtasts.h"
#include "proxy/policy/reason.h"
#include "proxy/policy/tlsa_plan.h"

enum tls_level {
    LEVEL_NONE,
    LEVEL_MAY,
    LEVEL_ENCRYPT,
    LEVEL_VERIFY,
    LEVEL_SECURE,
    LEVEL_FINGERPRINT,
    LEVEL_DANE,
    LEVEL_DANE_ONLY,
    LEVEL_COUNT
};

/* What a connection must have before MAIL may be sent: a set of these. */
#define NEED_COUNT 7
enum demand_need {
    NEED_TLS = 1u << 0,
    NEED_CHAIN = 1u << 1, /* a path to a root of the trust store */
    NEED_NAME = 1u << 2,  /* the certificate bears one of demand.names */
    NEED_HOST = 1u << 3,  /* the certificate bears the MX host's own name (RFC 8461 4.2) */
    NEED_PIN = 1u << 4,
    NEED_TLSA = 1u << 5,
    NEED_REQUIRETLS = 1u << 6, /* the MX offers REQUIRETLS inside TLS (RFC 8689) */
};

/* Deliver as at level may, and record what enforcing would have done. */
enum observe {
    OBSERVE_UNSET, /* the wider place says */
    OBSERVE_OFF,
    OBSERVE_ON,  /* the configuration is only observed; MTA-STS enforce and DANE hold */
    OBSERVE_ALL, /* they are only observed too */
};
enum observe_place { OBSERVED_NOWHERE, OBSERVED_GLOBAL, OBSERVED_LISTENER, OBSERVED_DESTINATION };
const char *observe_name(enum observe o);             /* "", "off", "on", "all" */
const char *observe_place_name(enum observe_place p); /* "", "global", "listener", "destination" */

enum tls_version { TLS_VERSION_UNSET, TLS_VERSION_1_2, TLS_VERSION_1_3 };

enum demand_source {
    DEMAND_DEFAULT,
    DEMAND_CONFIG,
    DEMAND_MTA_STS,
    DEMAND_DANE,
    DEMAND_REQUIRETLS,
    DEMAND_SOURCE_COUNT
};

const char *tls_level_name(enum tls_level l);
bool tls_level_find(struct slice name, enum tls_level *out);
const char *tls_version_name(enum tls_version v); /* "1.2" */
bool tls_version_find(struct slice name, enum tls_version *out);
const char *demand_source_name(enum demand_source s);
const char *demand_need_name(unsigned need); /* of one: "tls", "chain", "name", "host" ... */
/* Set of enum demand_need that the level means by itself. */
unsigned tls_level_needs(enum tls_level l);
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
    wall_ms expires;      /* 0: never */
    bool override_policy; /* may weaken below MTA-STS and DANE; in force only with a level and
                             `expires` */
    enum observe observe;
    char *reason; /* the administrator's note, NULL: none */
    char *origin; /* "file:line" for logs and errors */
};

struct demand_config {
    enum tls_level level;         /* default demand */
    enum tls_level literal_level; /* for address literals (C-MX-08) */
    enum tls_version min_version;
    enum observe observe;
    bool half_dane; /* TLSA records of a signed host count though its MX record is not signed */
    const struct override *overrides;
    size_t override_count;
};

/* What is known of one MX host, and of the mail.  Of an address literal nothing in DNS counts: what
 * is said here of MX, DANE and MTA-STS is not looked at. */
struct demand_facts {
    struct slice domain; /* normalised; "[...]" for a literal */
    bool is_literal, is_route;
    struct slice mx_host;
    bool mx_secure; /* the MX RRset (or its denial) is validated */
    enum dane_state dane;
    enum sts_mode sts;    /* STS_NONE: no policy in force, or mode none */
    const char *sts_id;   /* NULL or "" without */
    bool sts_listed;      /* the policy's mx patterns list this host */
    bool requiretls;      /* of the mail (RFC 8689) */
    enum observe observe; /* of the listener */
    wall_ms now;
};

/* What enforcing would have done, in observe mode. */
struct demand_would {
    enum tls_level level;
    enum demand_source source;
    unsigned needs;
    enum reason skip;
};

struct demand {
    enum tls_level level;
    enum demand_source source;
    unsigned needs;   /* of enum demand_need */
    enum reason skip; /* OK, or why this host must not be tried at all */
    enum demand_source
        weakened; /* override_policy in use: who asked for more; DEMAND_DEFAULT: nobody */
    enum observe_place observed; /* with OBSERVED_NOWHERE `would` repeats the above */
    struct demand_would would;
    enum tls_version min_version;
    const char *policy_id;           /* the override's match, or "" */
    const struct override *override; /* NULL: none; names, fingerprints, ca_file from there */
    const struct override *expired;  /* would be in force, had it not expired; NULL: none */
    const char *const *names;        /* owed with NEED_NAME, at other levels only judged; keywords
                                        not yet expanded */
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
 * The demand of one MX host: docs/policy.md, "Who decides", row by row.  out->expired: a better row has
 * ended; every attempt says so.
 */
void demand_decide(const struct demand_config *c, const struct demand_facts *f, struct demand *out);

/* For tests and docs: the row of the table that decided between configuration, DANE and MTA-STS, and
 * the rows as text (a line of a Markdown table), NULL past the end.  by_hand: the level stands in a
 * row of `destinations`. */
size_t demand_row(enum tls_level base, bool by_hand, const struct demand_facts *f);
const char *demand_row_text(size_t index, char *out, size_t size);

/* What was seen of a connection. */
struct tls_reached {
    bool tls;        /* the session is encrypted */
    bool chain;      /* a path to a trusted root holds */
    bool name;       /* one of demand.names */
    bool host;       /* the MX host's own name */
    bool pinned;     /* a fingerprint matches */
    bool tlsa;       /* a TLSA record matches */
    bool requiretls; /* offered inside TLS */
};

/* Looked up where MAIL is sent (C-CERT-06). */
bool demand_met(const struct demand *d, const struct tls_reached *got);

/* What is owed and not there, as the reason to give: OK if all of `needs` holds.  Used by the verify
 * callback, and after the fact for every policy that was only observed or recorded. */
struct demand_seen {
    const struct tls_reached *got;
    enum reason no_tls; /* why there is no TLS (no-starttls, the failure of the handshake ...) */
    bool judged;        /* a chain came and was judged */
    enum reason pkix;   /* the judgement's reason; OK with got->chain and got->name */
    enum reason dane;   /* dane_judge()'s; OK with got->tlsa */
};
enum reason demand_refusal(unsigned needs, const struct demand_seen *seen);

/*
 * What the client hears of a failed attempt when the mail asked for REQUIRETLS: what is lacking of
 * the path itself (no STARTTLS, a certificate that does not hold) is requiretls-unmet, final by
 * RFC 8689 4.2.1; all else stays as it is and temporary (a host that is down, a handshake that broke,
 * STARTTLS refused for now, a doubt of our own).  `needs` without NEED_REQUIRETLS: r.
 */
enum reason demand_told(unsigned needs, enum reason r);

/* The needs of one policy by itself, for its own outcome in the record. */
#define STS_NEEDS (NEED_TLS | NEED_CHAIN | NEED_HOST)
#define DANE_NEEDS (NEED_TLS | NEED_TLSA)

/* Expand keywords of d->names for this host: writes at most `max` slices, returns their number.
 * dot-nexthop becomes ".nexthop".  `scratch` owns that text: leave it alone while the slices are
 * used. An empty host or next hop, or one that is an address, names nothing and is left out. */
size_t demand_names(const struct demand *d, struct slice mx_host, struct slice nexthop,
                    struct buf *scratch, struct slice *out, size_t max);

#endif
