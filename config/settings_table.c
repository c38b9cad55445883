/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table.  A new setting is a row here, a paragraph in tlsmend.conf and one in tlsmend.conf(5);
 * tests/lint/settings.py says so when one is forgotten.
 */
#include "config/settings_internal.h"

#define TOP(member) offsetof(struct settings, member)
#define LISTENER(member) offsetof(struct listener_settings, member)
#define DESTINATION(member) offsetof(struct override, member)
#define STUB(member) offsetof(struct dns_stub_settings, member)
#define SINK(member) offsetof(struct log_sink_settings, member)

#define MS INT64_C(1)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

_Static_assert(sizeof(enum tls_level) == sizeof(int) && sizeof(enum observe) == sizeof(int) &&
                   sizeof(enum retry_proof) == sizeof(int),
               "words are stored as int");

const struct setting_group setting_groups[GROUP_COUNT] = {
    [GROUP_TOP] = {.path = ""},
    [GROUP_LISTENER] = {.path = "listeners[]",
                        .name = "listeners",
                        .is_list = true,
                        .items_at = TOP(listeners),
                        .count_at = TOP(listener_count),
                        .item_size = sizeof(struct listener_settings),
                        .preset_items = 1,
                        .origin_at = LISTENER(origin)},
    [GROUP_TLS] = {.path = "tls", .name = "tls"},
    [GROUP_DESTINATION] = {.path = "destinations[]",
                           .name = "destinations",
                           .is_list = true,
                           .items_at = TOP(destinations),
                           .count_at = TOP(destination_count),
                           .item_size = sizeof(struct override),
                           .origin_at = DESTINATION(origin)},
    [GROUP_ROUTE] = {.path = "destinations[].route",
                     .name = "route",
                     .parent = GROUP_DESTINATION,
                     .optional = true},
    [GROUP_RESOLVER] = {.path = "resolver", .name = "resolver"},
    [GROUP_STUB] = {.path = "resolver.stubs[]",
                    .name = "stubs",
                    .parent = GROUP_RESOLVER,
                    .is_list = true,
                    .items_at = TOP(resolver.stubs),
                    .count_at = TOP(resolver.stub_count),
                    .item_size = sizeof(struct dns_stub_settings)},
    [GROUP_POOL] = {.path = "pool", .name = "pool"},
    [GROUP_MTA_STS] = {.path = "mta_sts", .name = "mta_sts"},
    [GROUP_STORE] = {.path = "store", .name = "store"},
    [GROUP_LEDGER] = {.path = "ledger", .name = "ledger"},
    [GROUP_TIMEOUTS] = {.path = "timeouts", .name = "timeouts"},
    [GROUP_LIMITS] = {.path = "limits", .name = "limits"},
    [GROUP_LOG] = {.path = "log", .name = "log"},
    [GROUP_SINK] = {.path = "log.sinks[]",
                    .name = "sinks",
                    .parent = GROUP_LOG,
                    .is_list = true,
                    .items_at = TOP(log.sinks),
                    .count_at = TOP(log.sink_count),
                    .item_size = sizeof(struct log_sink_settings),
                    .preset_items = 1},
};

static const struct setting_word protocol_words[] = {
    {"smtp", LISTENER_SMTP}, {"lmtp", LISTENER_LMTP}, {"redirect", LISTENER_REDIRECT}, {NULL, 0}};
static const struct setting_word redirect_words[] = {{"off", REDIRECT_CHECK_OFF},
                                                     {"log", REDIRECT_CHECK_LOG},
                                                     {"enforce", REDIRECT_CHECK_ENFORCE},
                                                     {NULL, 0}};
static const struct setting_word newline_words[] = {{"reject", BARE_NEWLINES_REJECT},
                                                    {"normalise", BARE_NEWLINES_NORMALISE},
                                                    {"normalize", BARE_NEWLINES_NORMALISE},
                                                    {NULL, 0}};
static const struct setting_word profile_words[] = {
    {"auto", CLIENT_PROFILE_AUTO},   {"postfix", CLIENT_PROFILE_POSTFIX},
    {"exim", CLIENT_PROFILE_EXIM},   {"sendmail", CLIENT_PROFILE_SENDMAIL},
    {"plain", CLIENT_PROFILE_PLAIN}, {NULL, 0}};
static const struct setting_word level_words[] = {{"none", LEVEL_NONE},
                                                  {"may", LEVEL_MAY},
                                                  {"encrypt", LEVEL_ENCRYPT},
                                                  {"verify", LEVEL_VERIFY},
                                                  {"secure", LEVEL_SECURE},
                                                  {"fingerprint", LEVEL_FINGERPRINT},
                                                  {"dane", LEVEL_DANE},
                                                  {"dane-only", LEVEL_DANE_ONLY},
                                                  {NULL, 0}};
/* fingerprint needs pins, which only a destination has */
static const struct setting_word default_level_words[] = {
    {"none", LEVEL_NONE},           {"may", LEVEL_MAY},
    {"encrypt", LEVEL_ENCRYPT},     {"verify", LEVEL_VERIFY},
    {"secure", LEVEL_SECURE},       {"dane", LEVEL_DANE},
    {"dane-only", LEVEL_DANE_ONLY}, {NULL, 0}};
/* and TLSA records need a name, which a literal has not */
static const struct setting_word literal_level_words[] = {
    {"none", LEVEL_NONE},     {"may", LEVEL_MAY},       {"encrypt", LEVEL_ENCRYPT},
    {"verify", LEVEL_VERIFY}, {"secure", LEVEL_SECURE}, {NULL, 0}};
static const struct setting_word observe_words[] = {{"false", OBSERVE_OFF}, {"off", OBSERVE_OFF},
                                                    {"true", OBSERVE_ON},   {"on", OBSERVE_ON},
                                                    {"all", OBSERVE_ALL},   {NULL, 0}};
static const struct setting_word version_words[] = {
    {"1.2", TLS_VERSION_1_2}, {"1.3", TLS_VERSION_1_3}, {NULL, 0}};
static const struct setting_word proof_words[] = {
    {"envelope", PROOF_ENVELOPE}, {"queue-id", PROOF_QUEUE_ID}, {NULL, 0}};
static const struct setting_word format_words[] = {
    {"auto", LOG_AUTO}, {"json", LOG_JSON}, {"text", LOG_TEXT}, {NULL, 0}};
static const struct setting_word sink_words[] = {
    {"stderr", LOG_STDERR}, {"file", LOG_FILE}, {"syslog", LOG_SYSLOG}, {NULL, 0}};

/* clang-format off: one shape for every row */
#define GROUP(id) .group = GROUP_##id
#define SPAN(member, low, high) \
    .type = &setting_type_duration, .at = TOP(timeouts.member), .min = (low), .max = (high)

const struct setting_row setting_rows[] = {
    {GROUP(TOP), .key = "helo_name", .type = &setting_type_host_name, .at = TOP(helo_name),
     .preset = "\"\"",
     .help = "The name that tlsmend says to MX hosts; clients see \"tlsmend.\" and it; empty: the "
             "host's full name."},
    {GROUP(TOP), .key = "user", .type = &setting_type_text, .at = TOP(user),
     .set_at = TOP(user_set), .preset = "\"tlsmend\"",
     .help = "The user that tlsmend becomes when it is started as root; empty: stay."},
    {GROUP(TOP), .key = "workers", .type = &setting_type_integer, .at = TOP(workers), .min = 0,
     .max = 256, .preset = "0", .help = "Worker threads; 0: one per core, at most 4."},

    {GROUP(LISTENER), .key = "name", .type = &setting_type_text, .at = LISTENER(name), .min = 1,
     .preset = "\"relayhost\"", .help = "Stands in the log for this listener; each has its own."},
    {GROUP(LISTENER), .key = "protocol", .type = &setting_type_word, .at = LISTENER(protocol),
     .words = protocol_words, .preset = "\"smtp\"",
     .help = "What clients speak here; redirect: SMTP that a firewall rule caught on its way."},
    {GROUP(LISTENER), .key = "address", .type = &setting_type_text, .at = LISTENER(address),
     .min = 1, .preset = "\"127.0.0.1\"", .help = "IPv4 or IPv6 address to listen on."},
    {GROUP(LISTENER), .key = "port", .type = &setting_type_port, .at = LISTENER(bind.port),
     .min = 1, .max = 65535, .preset = "2525", .help = "TCP port to listen on."},
    {GROUP(LISTENER), .key = "allow_clients", .type = &setting_type_networks, .at = LISTENER(allow),
     .count_at = LISTENER(allow_count), .preset = "[ ]",
     .help = "Networks whose clients are served; needed unless the address is loopback."},
    {GROUP(LISTENER), .key = "proxy_clients", .type = &setting_type_networks,
     .at = LISTENER(proxies), .count_at = LISTENER(proxy_count), .preset = "[ ]",
     .help = "Peers that begin with a PROXY protocol header, version 1 or 2; they name the client, "
             "which allow_clients judges."},
    {GROUP(LISTENER), .key = "redirect_check", .type = &setting_type_word,
     .at = LISTENER(redirect_check), .words = redirect_words, .preset = "\"log\"",
     .help = "Where a caught connection was going against the MX addresses of the recipient; "
             "enforce: defer where they differ."},
    {GROUP(LISTENER), .key = "transparent", .type = &setting_type_bool, .at = LISTENER(transparent),
     .preset = "false",
     .help = "Connections are caught by TPROXY, not by REDIRECT; only with protocol redirect."},
    {GROUP(LISTENER), .key = "bare_newlines", .type = &setting_type_word,
     .at = LISTENER(bare_newlines), .words = newline_words, .preset = "\"reject\"",
     .help = "A message with a lone CR or LF or a NUL: refuse it, or make CRLF of it."},
    {GROUP(LISTENER), .key = "client_profile", .type = &setting_type_word,
     .at = LISTENER(client_profile), .words = profile_words, .preset = "\"auto\"",
     .help = "Which MTA the clients are; sendmail: a temporary failure at the final dot is said as "
             "452; auto: tlsmend finds out."},
    {GROUP(LISTENER), .key = "observe", .type = &setting_type_observe, .at = LISTENER(observe),
     .words = observe_words, .help = "tls.observe for the mail of this listener."},
    {GROUP(LISTENER), .key = "requiretls", .type = &setting_type_bool, .at = LISTENER(requiretls),
     .preset = "false",
     .help = "Offer REQUIRETLS (RFC 8689): a client may ask for verified TLS all the way."},

    {GROUP(TLS), .key = "level", .type = &setting_type_word, .at = TOP(tls.level),
     .words = default_level_words, .preset = "\"verify\"",
     .help = "How much TLS is owed where no row of destinations says otherwise."},
    {GROUP(TLS), .key = "literal_level", .type = &setting_type_word, .at = TOP(tls.literal_level),
     .words = literal_level_words, .preset = "\"encrypt\"",
     .help = "The same for recipients at an address literal, which no certificate can name."},
    {GROUP(TLS), .key = "min_version", .type = &setting_type_word, .at = TOP(tls.min_version),
     .words = version_words, .preset = "\"1.2\"", .help = "The oldest TLS version that is spoken."},
    {GROUP(TLS), .key = "trust_store", .type = &setting_type_path, .at = TOP(tls.trust_store),
     .min = 1, .preset = "\"/etc/ssl/certs/ca-certificates.crt\"",
     .help = "PEM file of the roots that are trusted; read again when it changes."},
    {GROUP(TLS), .key = "trust_check", .type = &setting_type_duration, .at = TOP(tls.trust_check),
     .min = 100 * MS, .max = DAY, .preset = "\"60s\"",
     .help = "How often trust store, CRL and CA files are looked at for a change."},
    {GROUP(TLS), .key = "crl_files", .type = &setting_type_paths, .at = TOP(tls.crl_files),
     .preset = "[ ]", .help = "Files of certificate revocation lists, PEM or DER."},
    {GROUP(TLS), .key = "min_rsa_bits", .type = &setting_type_integer, .at = TOP(tls.min_rsa_bits),
     .min = 1024, .max = 16384, .preset = "2048",
     .help = "RSA keys of certificates below this size are refused as weak."},
    {GROUP(TLS), .key = "observe", .type = &setting_type_observe, .at = TOP(tls.observe),
     .words = observe_words, .preset = "false",
     .help = "true: deliver as at level may, and log what enforcing would have deferred; MTA-STS "
             "and DANE hold; all: they are only observed too."},
    {GROUP(TLS), .key = "half_dane", .type = &setting_type_bool, .at = TOP(tls.half_dane),
     .preset = "false",
     .help = "TLSA records of a signed MX host count though the MX record itself is not signed."},
    {GROUP(TLS), .key = "ladder_ttl", .type = &setting_type_duration, .at = TOP(tls.ladder_ttl),
     .min = SECOND, .max = 30 * DAY, .preset = "\"24h\"",
     .help = "How long a lower rung of the ladder that worked is remembered for an address."},
    {GROUP(TLS), .key = "ladder_addresses", .type = &setting_type_integer,
     .at = TOP(tls.ladder_addresses), .min = 100, .max = 1000000, .preset = "10000",
     .help = "So many addresses are remembered with the rung that worked."},
    {GROUP(TLS), .key = "sessions", .type = &setting_type_integer, .at = TOP(tls.sessions),
     .min = 0, .max = 1000000, .preset = "10000",
     .help = "TLS sessions kept for resumption, in memory; 0: every handshake is a full one."},
    {GROUP(TLS), .key = "keep_sessions", .type = &setting_type_bool, .at = TOP(tls.keep_sessions),
     .preset = "false",
     .help = "true: an orderly end writes them to the store, and the next start reads and deletes "
             "them there."},

    {GROUP(DESTINATION), .key = "match", .type = &setting_type_text, .at = DESTINATION(match),
     .min = 1, .required = true,
     .help = "A domain, .parent, mx:host, mx:.suffix, [literal] or *; exact wins, then longest."},
    {GROUP(DESTINATION), .key = "level", .type = &setting_type_word, .at = DESTINATION(level),
     .set_at = DESTINATION(has_level), .words = level_words,
     .help = "How much TLS is owed here; absent: tls.level."},
    {GROUP(DESTINATION), .key = "names", .type = &setting_type_strings, .at = DESTINATION(names),
     .help = "What the certificate may name: hostname, nexthop, dot-nexthop, a name, or .name."},
    {GROUP(DESTINATION), .key = "fingerprints", .type = &setting_type_fingerprints,
     .at = DESTINATION(fingerprints), .count_at = DESTINATION(fingerprint_count),
     .help = "SHA-256 or SHA-512 of the certificate or its public key, in hex; level fingerprint."},
    {GROUP(DESTINATION), .key = "min_version", .type = &setting_type_word,
     .at = DESTINATION(min_version), .words = version_words,
     .help = "The oldest TLS version here; absent: tls.min_version."},
    {GROUP(DESTINATION), .key = "ca_file", .type = &setting_type_path, .at = DESTINATION(ca_file),
     .min = 1, .help = "PEM file of further roots, trusted for this destination only."},
    {GROUP(DESTINATION), .key = "expires", .type = &setting_type_date, .at = DESTINATION(expires),
     .help = "From this date (ISO 8601, UTC) the row is in force no more, and the log says so."},
    {GROUP(DESTINATION), .key = "override_policy", .type = &setting_type_bool,
     .at = DESTINATION(override_policy), .preset = "false",
     .help = "The row's level holds even where MTA-STS or DANE ask for more; needs level and "
             "expires."},
    {GROUP(DESTINATION), .key = "observe", .type = &setting_type_observe,
     .at = DESTINATION(observe), .words = observe_words,
     .help = "tls.observe for this destination; wins over tls.observe and that of the listener."},
    {GROUP(DESTINATION), .key = "reason", .type = &setting_type_text, .at = DESTINATION(reason),
     .help = "The administrator's note, shown in the log with every use of the row."},
    {GROUP(ROUTE), .key = "host", .type = &setting_type_text, .at = DESTINATION(route_host),
     .min = 1, .required = true,
     .help = "Deliver to this host or address instead of looking for MX."},
    {GROUP(ROUTE), .key = "port", .type = &setting_type_port, .at = DESTINATION(route_port),
     .min = 1, .max = 65535, .preset = "25", .help = "Port of that host."},

    {GROUP(RESOLVER), .key = "forward", .type = &setting_type_addresses,
     .at = TOP(resolver.forward), .count_at = TOP(resolver.forward_count), .preset = "[ ]",
     .help = "DNS servers to ask, \"192.0.2.53\" or \"192.0.2.53:5353\"."},
    {GROUP(RESOLVER), .key = "system", .type = &setting_type_bool, .at = TOP(resolver.system),
     .preset = "true",
     .help = "With forward empty: ask the servers of /etc/resolv.conf; false: ask from the root."},
    {GROUP(STUB), .key = "zone", .type = &setting_type_text, .at = STUB(zone), .min = 1,
     .required = true, .help = "A zone that a server of its own answers for."},
    {GROUP(STUB), .key = "address", .type = &setting_type_server, .at = STUB(server),
     .required = true, .help = "That server, with port where it is not 53."},
    {GROUP(RESOLVER), .key = "trust_anchor", .type = &setting_type_path,
     .at = TOP(resolver.trust_anchor), .preset = "\"" PRESET_TRUST_ANCHOR "\"",
     .help = "File of the DNSSEC root key; empty: no DNSSEC validation."},
    {GROUP(RESOLVER), .key = "require_dnssec", .type = &setting_type_bool,
     .at = TOP(resolver.require_dnssec), .preset = "false",
     .help = "Validate even where the servers strip the signatures; mail then waits."},
    {GROUP(RESOLVER), .key = "allow_private_mx", .type = &setting_type_bool,
     .at = TOP(resolver.allow_private_mx), .preset = "false",
     .help = "Deliver to MX hosts with private addresses too."},
    {GROUP(RESOLVER), .key = "timeout", .type = &setting_type_duration, .at = TOP(resolver.timeout),
     .min = 10 * MS, .max = 2 * MINUTE, .preset = "\"20s\"", .help = "Patience for one question."},
    {GROUP(RESOLVER), .key = "addresses", .type = &setting_type_integer,
     .at = TOP(resolver.addresses), .min = 1, .max = 50, .preset = "5",
     .help = "Addresses tried for one recipient."},
    {GROUP(RESOLVER), .key = "mx_port", .type = &setting_type_port, .at = TOP(resolver.mx_port),
     .min = 1, .max = 65535, .preset = "25",
     .help = "Port of MX hosts; another than 25 is for tests."},
    {GROUP(RESOLVER), .key = "destinations", .type = &setting_type_integer,
     .at = TOP(resolver.destinations), .min = 0, .max = 1000000, .preset = "10000",
     .help = "Recipient domains whose finished answer each worker keeps while the DNS lets it; 0: "
             "none."},

    {GROUP(POOL), .key = "idle_time", .type = &setting_type_duration, .at = TOP(pool.idle_time),
     .min = 0, .max = 5 * MINUTE, .preset = "\"30s\"",
     .help = "A connection to an MX waits so long for the next mail; 0s: none is kept."},
    {GROUP(POOL), .key = "max_age", .type = &setting_type_duration, .at = TOP(pool.max_age),
     .min = SECOND, .max = DAY, .preset = "\"300s\"",
     .help = "A connection older than this takes no further mail."},
    {GROUP(POOL), .key = "messages", .type = &setting_type_integer, .at = TOP(pool.messages),
     .min = 1, .max = 1000000, .preset = "100",
     .help = "Mails over one connection; many MXs end it behind 100."},
    {GROUP(POOL), .key = "idle_per_host", .type = &setting_type_integer,
     .at = TOP(pool.idle_per_host), .min = 0, .max = 100000, .preset = "50",
     .help = "Waiting connections to one address."},
    {GROUP(POOL), .key = "idle", .type = &setting_type_integer, .at = TOP(pool.idle), .min = 0,
     .max = 1000000, .preset = "1000", .help = "Waiting connections in all."},
    {GROUP(POOL), .key = "per_host", .type = &setting_type_integer, .at = TOP(pool.per_host),
     .min = 0, .max = 1000000, .preset = "0",
     .help = "Connections to one address at one time; recipients beyond hear 451; 0: no limit."},
    {GROUP(POOL), .key = "connections", .type = &setting_type_integer, .at = TOP(pool.connections),
     .min = 0, .max = 1000000, .preset = "0",
     .help = "Connections to MX hosts in all; recipients beyond hear 451; 0: no limit."},

    {GROUP(MTA_STS), .key = "enabled", .type = &setting_type_bool, .at = TOP(mta_sts.enabled),
     .preset = "true", .help = "Look for MTA-STS policies of recipient domains and honour them."},
    /* RFC 8461 3.3: one minute is the upper bound (C-STS-04) */
    {GROUP(MTA_STS), .key = "timeout", .type = &setting_type_duration, .at = TOP(mta_sts.timeout),
     .min = SECOND, .max = MINUTE, .preset = "\"60s\"",
     .help = "Patience for one whole fetch of a policy."},
    {GROUP(MTA_STS), .key = "refresh", .type = &setting_type_duration, .at = TOP(mta_sts.refresh),
     .min = SECOND, .max = 7 * DAY, .preset = "\"24h\"",
     .help = "How often a kept policy is looked at again, without any mail."},
    {GROUP(MTA_STS), .key = "fetches", .type = &setting_type_integer, .at = TOP(mta_sts.fetches),
     .min = 1, .max = 256, .preset = "64", .help = "Fetches at one time, of all policies."},
    {GROUP(MTA_STS), .key = "policies", .type = &setting_type_integer, .at = TOP(mta_sts.policies),
     .min = 100, .max = 10000000, .preset = "100000", .help = "So many policies are kept."},

    {GROUP(STORE), .key = "path", .type = &setting_type_path, .at = TOP(store.path),
     .preset = "\"" PRESET_STORE "\"",
     .help = "File of what outlives a restart: policies, rungs, ledger; empty: memory only."},

    {GROUP(LEDGER), .key = "keep", .type = &setting_type_duration, .at = TOP(ledger.keep),
     .min = HOUR, .max = 365 * DAY, .preset = "\"7d\"",
     .help = "How long an entry lives; longer than clients keep mail in their queue."},
    {GROUP(LEDGER), .key = "entries", .type = &setting_type_integer, .at = TOP(ledger.entries),
     .min = 100, .max = 10000000, .preset = "100000",
     .help = "So many are kept; when it is full, a transaction has one destination."},
    {GROUP(LEDGER), .key = "refusals", .type = &setting_type_word, .at = TOP(ledger.refusals),
     .words = proof_words, .preset = "\"envelope\"",
     .help = "What proves, before a message is there, that it is the one that was refused: all of "
             "its envelope, or its queue id alone."},
    {GROUP(LEDGER), .key = "digest_single", .type = &setting_type_size,
     .at = TOP(ledger.digest_single), .min = 0, .max = GIB, .preset = "\"1MiB\"",
     .help = "A message with one destination is digested too, up to so many bytes."},

    /* RFC 5321 4.5.3.2 is the upper bound (C-OUT-02) */
    {GROUP(TIMEOUTS), .key = "recipient_budget", SPAN(recipient_budget, 10 * MS, HOUR),
     .preset = "\"240s\"",
     .help = "All that may pass between a RCPT and its answer; Postfix and Exim wait 300 s."},
    {GROUP(TIMEOUTS), .key = "connect", SPAN(connect, 10 * MS, 5 * MINUTE), .preset = "\"30s\"",
     .help = "TCP connection to one address."},
    {GROUP(TIMEOUTS), .key = "greeting", SPAN(greeting, 10 * MS, 5 * MINUTE), .preset = "\"60s\"",
     .help = "The MX's greeting."},
    {GROUP(TIMEOUTS), .key = "ehlo", SPAN(ehlo, 10 * MS, 5 * MINUTE), .preset = "\"60s\"",
     .help = "The answer to EHLO or HELO."},
    {GROUP(TIMEOUTS), .key = "starttls", SPAN(starttls, 10 * MS, 5 * MINUTE), .preset = "\"30s\"",
     .help = "The answer to STARTTLS."},
    {GROUP(TIMEOUTS), .key = "handshake", SPAN(handshake, 10 * MS, 5 * MINUTE), .preset = "\"60s\"",
     .help = "The TLS handshake."},
    {GROUP(TIMEOUTS), .key = "rung", SPAN(rung, 10 * MS, 5 * MINUTE), .preset = "\"15s\"",
     .help = "The TLS handshake, while a lower rung of the ladder is still to be tried."},
    {GROUP(TIMEOUTS), .key = "data", SPAN(data, 10 * MS, 2 * MINUTE), .preset = "\"100s\"",
     .help = "The answer to DATA."},
    {GROUP(TIMEOUTS), .key = "block", SPAN(block, 10 * MS, 3 * MINUTE), .preset = "\"180s\"",
     .help = "No byte of the message moves."},
    {GROUP(TIMEOUTS), .key = "leg_wait", SPAN(leg_wait, 10 * MS, 4 * MINUTE), .preset = "\"60s\"",
     .help = "An answer to RCPT, while other destinations of the message have answered theirs."},
    {GROUP(TIMEOUTS), .key = "leg_stall", SPAN(leg_stall, 10 * MS, 10 * MINUTE),
     .preset = "\"60s\"",
     .help = "One destination takes nothing of the message and so holds up the others."},
    {GROUP(TIMEOUTS), .key = "final", SPAN(final, 10 * MS, 10 * MINUTE), .preset = "\"590s\"",
     .help = "The answer to the final dot."},
    {GROUP(TIMEOUTS), .key = "quit", SPAN(quit, 10 * MS, 5 * MINUTE), .preset = "\"5s\"",
     .help = "The answer to QUIT."},
    {GROUP(TIMEOUTS), .key = "client_idle", SPAN(client_idle, 10 * MS, DAY), .preset = "\"300s\"",
     .help = "A client that says nothing."},
    {GROUP(TIMEOUTS), .key = "shutdown_grace", SPAN(shutdown_grace, 0, HOUR), .preset = "\"30s\"",
     .help = "Running transactions, after SIGTERM."},

    {GROUP(LIMITS), .key = "sessions", .type = &setting_type_integer, .at = TOP(limits.sessions),
     .min = 1, .max = 1000000, .preset = "10000",
     .help = "Sessions at one time; further ones hear 451."},
    {GROUP(LIMITS), .key = "recipients", .type = &setting_type_integer,
     .at = TOP(limits.recipients), .min = 1, .max = 100000, .preset = "1000",
     .help = "Recipients of one transaction; further ones hear 452."},
    {GROUP(LIMITS), .key = "legs", .type = &setting_type_integer, .at = TOP(limits.legs), .min = 1,
     .max = 1000, .preset = "50",
     .help = "Recipient domains of one transaction; recipients of further ones hear 452."},
    {GROUP(LIMITS), .key = "errors", .type = &setting_type_integer, .at = TOP(limits.errors),
     .min = 1, .max = 10000, .preset = "20",
     .help = "Wrong commands of a client before its session ends."},
    {GROUP(LIMITS), .key = "line", .type = &setting_type_integer, .at = TOP(limits.line),
     .min = 512, .max = MIB, .preset = "4096", .help = "Length of a command line, in bytes."},
    {GROUP(LIMITS), .key = "auth_line", .type = &setting_type_integer, .at = TOP(limits.auth_line),
     .min = 512, .max = MIB, .preset = "12288",
     .help = "Length of an AUTH command line, in bytes."},
    {GROUP(LIMITS), .key = "memory_per_transfer", .type = &setting_type_size,
     .at = TOP(limits.memory_per_transfer), .min = 16 * KIB, .max = GIB, .preset = "\"256KiB\"",
     .help = "Bytes of a message that are held while a slow MX takes it."},
    {GROUP(LIMITS), .key = "message_size", .type = &setting_type_size,
     .at = TOP(limits.message_size), .min = 0, .max = 1024 * GIB, .preset = "\"0B\"",
     .help = "Bytes of a message; 0B: as the MX says."},

    {GROUP(LOG), .key = "format", .type = &setting_type_word, .at = TOP(log.format),
     .words = format_words, .preset = "\"auto\"",
     .help = "auto: text on a terminal, JSON lines elsewhere."},
    {GROUP(LOG), .key = "addresses", .type = &setting_type_bool, .at = TOP(log.addresses),
     .preset = "true", .help = "Log whole mail addresses; false: their domains only."},
    {GROUP(LOG), .key = "syslog_ident", .type = &setting_type_text, .at = TOP(log.syslog_ident),
     .min = 1, .preset = "\"tlsmend\"", .help = "The program's name in syslog."},
    {GROUP(SINK), .key = "kind", .type = &setting_type_word, .at = SINK(kind), .words = sink_words,
     .preset = "\"stderr\"", .help = "Where records go."},
    {GROUP(SINK), .key = "path", .type = &setting_type_path, .at = SINK(path), .min = 1,
     .help = "The file, for kind file; opened again at SIGUSR1."},
    {GROUP(SINK), .key = "format", .type = &setting_type_word, .at = SINK(format),
     .words = format_words, .preset = "\"auto\"", .help = "auto: as log.format says."},
};
/* clang-format on */

const size_t setting_row_count = sizeof(setting_rows) / sizeof(setting_rows[0]);

static void bounds_text(const struct setting_row *row, struct buf *out)
{
    char low[INSTANT_TEXT_MAX], high[INSTANT_TEXT_MAX];

    if (row->words != NULL) {
        for (const struct setting_word *w = row->words; w->name != NULL; w++)
            buf_addf(out, "%s%s", w == row->words ? "" : "|", w->name);
    } else if (row->type == &setting_type_duration) {
        buf_addf(out, "%s..%s", span_text(row->min, low), span_text(row->max, high));
    } else if (row->type == &setting_type_size) {
        buf_addf(out, "%s..%s", size_text(row->min, low), size_text(row->max, high));
    } else if (row->type == &setting_type_integer || row->type == &setting_type_port) {
        buf_addf(out, "%lld..%lld", (long long)row->min, (long long)row->max);
    }
}

void settings_each(void (*each)(void *ctx, const struct setting_doc *row), void *ctx)
{
    struct buf bounds;

    buf_init(&bounds, 1024);
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];

        buf_reset(&bounds);
        bounds_text(row, &bounds);
        each(ctx, &(struct setting_doc){.group = setting_groups[row->group].path,
                                        .key = row->key,
                                        .type = row->type->name,
                                        .bounds = buf_cstr(&bounds),
                                        .preset = row->preset != NULL ? row->preset : "",
                                        .required = row->required,
                                        .help = row->help});
    }
    buf_clear(&bounds);
}
