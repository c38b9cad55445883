/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      settings - the configuration: one table of rows, one constant snapshot
 *
 * DESCRIPTION
 *      Every setting is a row (key, type, unit, bounds, default, help) in settings_table.c; the
 *      loader, `tlsmend check`, the sample file, tlsmend.conf(5) and the documents walk the same
 *      rows. A load gives either a whole snapshot or a list of errors, each with file:line, key,
 *      value and mend; an unknown key names the nearest known one.  An empty file is a working
 *      configuration. A snapshot is constant and shared between threads by counted holds.
 */
#ifndef TLSMEND_CONFIG_SETTINGS_H
#define TLSMEND_CONFIG_SETTINGS_H

#include "proxy/base/addr.h"
#include "proxy/base/buf.h"
#include "proxy/policy/demand.h"
#include "proxy/policy/retry.h"

enum listener_protocol { LISTENER_SMTP, LISTENER_LMTP, LISTENER_REDIRECT };
enum redirect_check { REDIRECT_CHECK_OFF, REDIRECT_CHECK_LOG, REDIRECT_CHECK_ENFORCE };
enum bare_newlines { BARE_NEWLINES_REJECT, BARE_NEWLINES_NORMALISE };
enum client_profile {
    CLIENT_PROFILE_AUTO, /* what smtp/client_kind finds out */
    CLIENT_PROFILE_POSTFIX,
    CLIENT_PROFILE_EXIM,
    CLIENT_PROFILE_SENDMAIL,
    CLIENT_PROFILE_PLAIN,
};
enum log_format { LOG_AUTO, LOG_JSON, LOG_TEXT };
enum log_sink_kind { LOG_STDERR, LOG_FILE, LOG_SYSLOG };

struct listener_settings {
    char *name, *address; /* address as written */
    enum listener_protocol protocol;
    struct addr bind;       /* with port */
    struct addr_net *allow; /* allow_clients */
    size_t allow_count;
    struct addr_net *proxies; /* proxy_clients: who must begin with a PROXY header */
    size_t proxy_count;
    enum redirect_check redirect_check; /* LISTENER_REDIRECT */
    bool transparent;                   /* ... caught by TPROXY: the socket is IP_TRANSPARENT */
    enum bare_newlines bare_newlines;
    enum client_profile client_profile;
    enum observe observe; /* UNSET: as tls.observe says */
    bool requiretls;      /* REQUIRETLS (RFC 8689) is offered to clients */
    char *origin;         /* "file:line" */
};

struct log_sink_settings {
    enum log_sink_kind kind;
    enum log_format format; /* LOG_AUTO: as log.format says */
    char *path;             /* LOG_FILE */
};

struct dns_stub_settings {
    char *zone;
    struct addr server; /* port 53 unless said */
};

struct settings {
    char *helo_name; /* never empty after loading */
    char *user;      /* "" : do not change */
    bool user_set;   /* written in the file */
    int workers;     /* 0: one per core, at most 4 */

    struct listener_settings *listeners;
    size_t listener_count;

    struct {
        enum tls_level level, literal_level;
        enum tls_version min_version;
        char *trust_store;
        int64_t trust_check; /* ms between two looks at the files */
        struct string_list crl_files;
        int min_rsa_bits;
        enum observe observe; /* never UNSET */
        bool half_dane;       /* as in struct demand_config */
        int64_t ladder_ttl;   /* ms that a lower rung is remembered for an address */
        int ladder_addresses; /* so many are remembered */
        int sessions;         /* TLS sessions kept for resumption, in all; 0: none */
        bool keep_sessions;   /* ... in the store over a restart */
    } tls;

    struct override *destinations;
    size_t destination_count;

    struct {
        struct addr *forward;
        size_t forward_count;
        bool system; /* forward empty: the servers of /etc/resolv.conf, else from the root */
        struct dns_stub_settings *stubs;
        size_t stub_count;
        char *trust_anchor;  /* "" : no DNSSEC validation */
        bool require_dnssec; /* validate whatever the resolvers strip */
        bool allow_private_mx;
        int64_t timeout;  /* ms for one question */
        int addresses;    /* tried per recipient, C-MX-01 */
        uint16_t mx_port; /* 25 */
        int destinations; /* finished ones, kept by each worker while their answers live; 0: none */
    } resolver;

    struct
    { /* connections to MX hosts, kept between mails; the counts are for all workers together */
        int64_t idle_time;         /* ms that one waits for the next mail; 0: none is kept */
        int64_t max_age;           /* ms from its handshake to its last use */
        int messages;              /* transactions on one connection */
        int idle_per_host, idle;   /* waiting ones */
        int per_host, connections; /* all there are; 0: no limit */
    } pool;

    struct {
        bool enabled;
        int64_t timeout; /* ms for one whole fetch (RFC 8461 3.3) */
        int64_t refresh; /* ms between two looks at a kept policy, without mail */
        int fetches;     /* at one time, in all */
        int policies;    /* kept */
    } mta_sts;

    struct {
        char *path; /* "" : nothing outlives the process */
    } store;

    struct {
        int64_t keep; /* ms that an entry lives */
        int entries;  /* so many are kept */
        enum retry_proof refusals;
        int64_t digest_single; /* a message with one leg is digested too, up to so many bytes */
    } ledger;

    struct { /* all in milliseconds */
        int64_t recipient_budget, connect, greeting, ehlo, starttls, handshake, data, block, final;
        int64_t rung;      /* of a handshake, while a lower rung is still to be tried */
        int64_t leg_wait;  /* for a leg, while others of its transaction are accepted */
        int64_t leg_stall; /* one leg holds up the others of its transaction */
        int64_t quit, client_idle, shutdown_grace;
    } timeouts;

    struct {
        int sessions, recipients, legs, errors;
        int line, auth_line;                       /* bytes */
        int64_t memory_per_transfer, message_size; /* bytes; message_size 0: none */
    } limits;

    struct {
        enum log_format format;
        struct log_sink_settings *sinks;
        size_t sink_count;
        bool addresses; /* local parts of addresses are logged */
        char *syslog_ident;
    } log;

    char *path; /* of the file, "" for none */
};

/* Read `path` (NULL: all defaults).  One hold is yours.  On failure NULL, and *errors has one line
 * per error: "tlsmend.conf:12: tls.level = \"verfy\": ... (did you mean \"verify\"?)". */
struct settings *settings_load(const char *path, struct buf *errors);
/* The same from text, for tests and fuzzing; `name` stands in messages.  Looks at no file but those
 * that the text names when check_files is true. */
struct settings *settings_parse(const char *text, size_t n, const char *name, bool check_files,
                                struct buf *errors);
struct settings *settings_hold(struct settings *s);
void settings_drop(struct settings **s);

/* The effective configuration, a row a line: key = value   # source (default | file:line). */
void settings_print(const struct settings *s, struct buf *out);
/* "file:line: key = value: ", the head of an error that only the use of a value shows.  `key` as
 * settings_print() writes it, such as "destinations[0].ca_file". */
void settings_cite(const struct settings *s, const char *key, struct buf *out);
/* Things that are allowed but deserve a loud word (weak levels, observing, expired overrides,
 * missing anchor). */
void settings_warnings(const struct settings *s, wall_ms now, struct buf *out);

/* The table, for documents and lint: calls each() for every row. */
struct setting_doc {
    const char *group; /* "", "listeners", "tls", ... ; lists of groups end in "[]" */
    const char *key;
    const char *type;   /* "string", "integer", "duration", ... */
    const char *bounds; /* "" or e.g. "1..65536" */
    const char *preset; /* as an operator would write it; "" for none */
    bool required;
    const char *help; /* one sentence */
};
void settings_each(void (*each)(void *ctx, const struct setting_doc *row), void *ctx);

/* How many letters must change to make one word of the other, for "did you mean". */
unsigned settings_distance(const char *a, const char *b);

#endif
