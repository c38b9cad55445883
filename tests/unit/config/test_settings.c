/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Good configurations: what the file says arrives in the snapshot, and is printed with its source.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/settings.h"

#define HEX32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct settings *parse(const char *text)
{
    struct settings *s;
    struct buf errors;

    buf_init(&errors, 65536);
    s = settings_parse(text, strlen(text), "t.conf", false, &errors);
    if (s == NULL || errors.n > 0)
        fail_msg("%s\n%s", text, buf_cstr(&errors));
    buf_clear(&errors);
    return s;
}

/* One setting and the line that settings_print() must make of it. */
static const struct {
    const char *text, *line;
} printed[] = {
    {"helo_name = \"mail.example.org\";", "helo_name = \"mail.example.org\""},
    {"helo_name = \"mail.example.org.\";", "helo_name = \"mail.example.org\""},
    {"helo_name = \"[IPv6:2001:db8::1]\";", "helo_name = \"[IPv6:2001:db8::1]\""},
    {"user = \"\";", "user = \"\""},
    {"workers = 256", "workers = 256"},
    {"workers : 3,", "workers = 3"},
    {"destinations = [ ]; workers = 4;", "workers = 4"},
    {"listeners = ( { address = \"::1\"; port = 26; } );", "listeners[0].address = \"::1\""},
    {"listeners = ( { address = \"0.0.0.0\"; allow_clients = [ \"192.0.2.0/24\", \"::1\" ]; } );",
     "listeners[0].allow_clients = [ \"192.0.2.0/24\", \"::1/128\" ]"},
    {"listeners = ( { bare_newlines = \"normalize\"; } );",
     "listeners[0].bare_newlines = \"normalise\""},
    {"listeners = ( { client_profile = \"sendmail\"; } );",
     "listeners[0].client_profile = \"sendmail\""},
    {"listeners = ( { client_profile = \"postfix\"; } );",
     "listeners[0].client_profile = \"postfix\""},
    {"listeners = ( { client_profile = \"exim\"; } );", "listeners[0].client_profile = \"exim\""},
    {"listeners = ( { client_profile = \"plain\"; } );", "listeners[0].client_profile = \"plain\""},
    {"listeners = ( { protocol = \"lmtp\"; port = 24; } );", "listeners[0].protocol = \"lmtp\""},
    {"listeners = ( { protocol = \"redirect\"; transparent = true; } );",
     "listeners[0].transparent = true"},
    {"listeners = ( { protocol = \"redirect\"; redirect_check = \"enforce\"; } );",
     "listeners[0].redirect_check = \"enforce\""},
    {"listeners = ( { protocol = \"redirect\"; redirect_check = \"off\"; } );",
     "listeners[0].redirect_check = \"off\""},
    {"listeners = ( { redirect_check = \"log\"; transparent = false; } );",
     "listeners[0].redirect_check = \"log\""},
    {"listeners = ( { proxy_clients = [ \"127.0.0.1\", \"2001:db8::/64\" ]; } );",
     "listeners[0].proxy_clients = [ \"127.0.0.1/32\", \"2001:db8::/64\" ]"},
    {"listeners = ( { address = \"::\"; allow_clients = [ \"::1\" ]; proxy_clients = [ \"::1\" ]; "
     "} );",
     "listeners[0].proxy_clients = [ \"::1/128\" ]"},
    {"tls: { level = \"encrypt\"; };", "tls.level = \"encrypt\""},
    {"tls = { literal_level = \"none\"; }", "tls.literal_level = \"none\""},
    {"tls: { min_version = \"1.3\"; };", "tls.min_version = \"1.3\""},
    {"tls: { trust_store = \"/etc/my \\\"ca\\\".pem\"; };",
     "tls.trust_store = \"/etc/my \\\"ca\\\".pem\""},
    {"tls: { crl_files = [ \"/a\", \"/b\" ]; };", "tls.crl_files = [ \"/a\", \"/b\" ]"},
    {"tls: { crl_files = ( \"/a\" ); };", "tls.crl_files = [ \"/a\" ]"},
    {"tls: { min_rsa_bits = 3072; };", "tls.min_rsa_bits = 3072"},
    {"tls: { level = \"dane\"; };", "tls.level = \"dane\""},
    {"tls: { level = \"dane-only\"; };", "tls.level = \"dane-only\""},
    {"tls: { observe = false; };", "tls.observe = false"},
    {"tls: { observe = True; };", "tls.observe = true"},
    {"tls: { observe = \"off\"; };", "tls.observe = false"},
    {"tls: { observe = \"on\"; };", "tls.observe = true"},
    {"tls: { observe = \"all\"; };", "tls.observe = \"all\""},
    {"tls: { half_dane = true; };", "tls.half_dane = true"},
    {"tls: { ladder_ttl = \"30d\"; };", "tls.ladder_ttl = \"30d\""},
    {"tls: { ladder_addresses = 1000000; };", "tls.ladder_addresses = 1000000"},
    {"tls: { sessions = 0; };", "tls.sessions = 0"},
    {"tls: { sessions = 1000000; };", "tls.sessions = 1000000"},
    {"tls: { keep_sessions = true; };", "tls.keep_sessions = true"},
    {"resolver: { destinations = 0; };", "resolver.destinations = 0"},
    {"resolver: { destinations = 1000000; };", "resolver.destinations = 1000000"},
    {"pool: { idle_time = \"0s\"; };", "pool.idle_time = \"0s\""},
    {"pool: { idle_time = \"5m\"; };", "pool.idle_time = \"5m\""},
    {"pool: { max_age = \"1d\"; };", "pool.max_age = \"1d\""},
    {"pool: { messages = 1; };", "pool.messages = 1"},
    {"pool: { idle_per_host = 0; };", "pool.idle_per_host = 0"},
    {"pool: { idle = 1000000; };", "pool.idle = 1000000"},
    {"pool: { per_host = 20; };", "pool.per_host = 20"},
    {"pool: { connections = 1000000; };", "pool.connections = 1000000"},
    {"listeners = ( { observe = \"all\"; } );", "listeners[0].observe = \"all\""},
    {"listeners = ( { requiretls = true; } );", "listeners[0].requiretls = true"},
    {"destinations = ( { match = \"*\"; observe = false; } );", "destinations[0].observe = false"},
    {"destinations = ( { match = \"*\"; override_policy = true; level = \"may\"; expires = "
     "\"2027-01-31\"; } );",
     "destinations[0].override_policy = true"},
    {"destinations = ( { match = \"*\"; override_policy = false; } );",
     "destinations[0].override_policy = false"},
    {"destinations = ( { match = \"a.example\"; level = \"dane-only\"; route = { host = "
     "\"mx.a.example\"; }; } );",
     "destinations[0].level = \"dane-only\""},
    {"resolver: { require_dnssec = true; };", "resolver.require_dnssec = true"},
    {"mta_sts: { enabled = false; };", "mta_sts.enabled = false"},
    {"mta_sts: { timeout = \"1m\"; };", "mta_sts.timeout = \"1m\""},
    {"mta_sts: { refresh = \"7d\"; };", "mta_sts.refresh = \"7d\""},
    {"mta_sts: { fetches = 256; policies = 100; };", "mta_sts.policies = 100"},
    {"store: { path = \"\"; };", "store.path = \"\""},
    {"ledger: { keep = \"1h\"; };", "ledger.keep = \"1h\""},
    {"ledger: { keep = \"365d\"; entries = 10000000; };", "ledger.entries = 10000000"},
    {"ledger: { refusals = \"queue-id\"; };", "ledger.refusals = \"queue-id\""},
    {"ledger: { digest_single = \"0B\"; };", "ledger.digest_single = \"0B\""},
    {"timeouts: { rung = \"10ms\"; };", "timeouts.rung = \"10ms\""},
    {"timeouts: { leg_stall = \"10m\"; };", "timeouts.leg_stall = \"10m\""},
    {"limits: { legs = 1000; };", "limits.legs = 1000"},
    {"limits: { legs = 1; };", "limits.legs = 1"},
    {"destinations = ( { match = \"Partner.Example.\"; } );",
     "destinations[0].match = \"partner.example\""},
    {"destinations = ( { match = \".legacy.example\"; } );",
     "destinations[0].match = \".legacy.example\""},
    {"destinations = ( { match = \"mx:.mail.protection.outlook.com\"; } );",
     "destinations[0].match = \"mx:.mail.protection.outlook.com\""},
    {"destinations = ( { match = \"[192.0.2.1]\"; } );", "destinations[0].match = \"[192.0.2.1]\""},
    {"destinations = ( { match = \"xn--bcher-kva.example\"; } );",
     "destinations[0].match = \"xn--bcher-kva.example\""},
    {"destinations = ( { match = \"*\"; level = \"secure\"; } );",
     "destinations[0].level = \"secure\""},
    {"destinations = ( { match = \"*\"; names = [ \"hostname\", \".a.example\" ]; } );",
     "destinations[0].names = [ \"hostname\", \".a.example\" ]"},
    {"destinations = ( { match = \"*\"; fingerprints = [ \"SHA256:" HEX32 "\" ]; } );",
     "destinations[0].fingerprints = [ \"sha256:" HEX32 "\" ]"},
    {"destinations = ( { match = \"*\"; fingerprints = [ \"" HEX32 HEX32 "\" ]; } );",
     "destinations[0].fingerprints = [ \"sha512:" HEX32 HEX32 "\" ]"},
    {"destinations = ( { match = \"*\"; fingerprints = [ \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:"
     "DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\" ]; } );",
     "destinations[0].fingerprints = [ \"sha256:" HEX32 "\" ]"},
    {"destinations = ( { match = \"*\"; expires = \"2027-01-31\"; } );",
     "destinations[0].expires = \"2027-01-31\""},
    {"destinations = ( { match = \"*\"; expires = \"2027-01-31T12:30:00Z\"; } );",
     "destinations[0].expires = \"2027-01-31T12:30:00Z\""},
    {"destinations = ( { match = \"*\"; reason = \"ticket \\\\ 4711\"; } );",
     "destinations[0].reason = \"ticket \\\\ 4711\""},
    {"destinations = ( { match = \"a.example\"; route = { host = \"10.0.0.5\"; }; } );",
     "destinations[0].route.host = \"10.0.0.5\""},
    {"destinations = ( { match = \"*\"; route = { host = \"::1\"; port = 2526; }; } );",
     "destinations[0].route.port = 2526"},
    {"resolver: { forward = [ \"192.0.2.53\", \"[2001:db8::53]:5353\", \"2001:db8::1\" ]; };",
     "resolver.forward = [ \"192.0.2.53:53\", \"[2001:db8::53]:5353\", \"[2001:db8::1]:53\" ]"},
    {"resolver: { system = FALSE; };", "resolver.system = false"},
    {"resolver: { stubs = ( { zone = \".\"; address = \"127.0.0.1:5300\"; } ); };",
     "resolver.stubs[0].address = \"127.0.0.1:5300\""},
    {"resolver: { trust_anchor = \"\"; };", "resolver.trust_anchor = \"\""},
    {"timeouts: { connect = \"1500ms\"; };", "timeouts.connect = \"1500ms\""},
    {"timeouts: { shutdown_grace = \"0s\"; };", "timeouts.shutdown_grace = \"0s\""},
    {"timeouts: { final = \"10m\"; };", "timeouts.final = \"10m\""},
    {"limits: { memory_per_transfer = \"1024KiB\"; };", "limits.memory_per_transfer = \"1MiB\""},
    {"limits: { message_size = \"50MiB\"; };", "limits.message_size = \"50MiB\""},
    {"log: { sinks = ( { kind = \"file\"; path = \"/a\"; format = \"json\"; } ); };",
     "log.sinks[0].path = \"/a\""},
    {"# user = 1\n// user = 1\n/* user = 1 */ user = \"a # b // c /* d\"; # end",
     "user = \"a # b // c /* d\""},
    {"user = \"in \" \"pieces\";", "user = \"in pieces\""},
    {"user = \"with \\\" @include\";", "user = \"with \\\" @include\""},
};

static void test_printed(void **state)
{
    struct buf out, wanted;

    (void)state;
    buf_init(&out, 65536);
    buf_init(&wanted, 65536);
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        struct settings *s = parse(printed[i].text);
        const char *at;

        buf_reset(&out);
        settings_print(s, &out);
        buf_reset(&wanted);
        buf_addf(&wanted, "%s ", printed[i].line);
        at = strstr(buf_cstr(&out), buf_cstr(&wanted));
        if (at == NULL || (at != out.p && at[-1] != '\n') || strstr(at, "# t.conf:") == NULL)
            fail_msg("no line %s in:\n%s", printed[i].line, buf_cstr(&out));
        settings_drop(&s);
    }
    buf_clear(&wanted);
    buf_clear(&out);
}

/* An empty file is a working configuration (design.md, section 8). */
static void test_defaults(void **state)
{
    struct settings *s = parse("");

    (void)state;
    assert_string_equal(s->helo_name, "localhost.localdomain");
    assert_string_equal(s->user, "tlsmend");
    assert_false(s->user_set);
    assert_int_equal(s->workers, 0);
    assert_int_equal(s->listener_count, 1);
    assert_string_equal(s->listeners[0].address, "127.0.0.1");
    assert_int_equal(s->listeners[0].bind.family, ADDR_IP4);
    assert_int_equal(s->listeners[0].bind.ip[0], 127);
    assert_int_equal(s->listeners[0].bind.port, 2525);
    assert_int_equal(s->listeners[0].allow_count, 0);
    assert_int_equal(s->listeners[0].bare_newlines, BARE_NEWLINES_REJECT);
    assert_string_equal(s->listeners[0].origin, "default");
    assert_int_equal(s->tls.level, LEVEL_VERIFY);
    assert_int_equal(s->tls.literal_level, LEVEL_ENCRYPT); /* C-MX-08 */
    assert_int_equal(s->tls.min_version, TLS_VERSION_1_2);
    assert_string_equal(s->tls.trust_store, "/etc/ssl/certs/ca-certificates.crt");
    assert_int_equal(s->tls.min_rsa_bits, 2048); /* C-CERT-02 */
    assert_int_equal(s->tls.observe, OBSERVE_OFF);
    assert_int_equal(s->listeners[0].observe, OBSERVE_UNSET);
    assert_false(s->listeners[0].requiretls);
    assert_int_equal(s->listeners[0].protocol, LISTENER_SMTP);
    assert_int_equal(s->listeners[0].client_profile, CLIENT_PROFILE_AUTO);
    assert_int_equal(s->listeners[0].redirect_check, REDIRECT_CHECK_LOG);
    assert_false(s->listeners[0].transparent);
    assert_int_equal(s->listeners[0].proxy_count, 0);
    assert_false(s->tls.half_dane);                /* C-DANE-08 */
    assert_int_equal(s->tls.ladder_ttl, 86400000); /* C-TLS-06 */
    assert_int_equal(s->tls.ladder_addresses, 10000);
    assert_int_equal(s->tls.sessions, 10000); /* C-TLS-08 */
    assert_false(s->tls.keep_sessions);       /* secrets stay in memory */
    assert_int_equal(s->destination_count, 0);
    assert_null(s->destinations);
    assert_true(s->resolver.system);
    assert_false(s->resolver.require_dnssec); /* C-DANE-01 */
    assert_false(s->resolver.allow_private_mx);
    assert_string_equal(s->resolver.trust_anchor, "/usr/share/dns/root.key");
    assert_int_equal(s->resolver.timeout, 20000);
    assert_int_equal(s->resolver.addresses, 5); /* C-MX-01 */
    assert_int_equal(s->resolver.mx_port, 25);
    assert_int_equal(s->resolver.destinations, 10000);
    assert_int_equal(s->pool.idle_time, 30000); /* C-OUT-08 from here */
    assert_int_equal(s->pool.max_age, 300000);
    assert_int_equal(s->pool.messages, 100);
    assert_int_equal(s->pool.idle_per_host, 50);
    assert_int_equal(s->pool.idle, 1000);
    assert_int_equal(s->pool.per_host, 0);
    assert_int_equal(s->pool.connections, 0);
    assert_true(s->mta_sts.enabled);
    assert_int_equal(s->mta_sts.timeout, 60000);    /* C-STS-04 */
    assert_int_equal(s->mta_sts.refresh, 86400000); /* C-STS-09 */
    assert_int_equal(s->mta_sts.fetches, 64);
    assert_int_equal(s->mta_sts.policies, 100000);
    assert_string_equal(s->store.path, "/var/lib/tlsmend/tlsmend.db");
    assert_int_equal(s->ledger.keep, INT64_C(604800000)); /* C-RCPT-04 */
    assert_int_equal(s->ledger.entries, 100000);
    assert_int_equal(s->ledger.refusals, PROOF_ENVELOPE);
    assert_int_equal(s->ledger.digest_single, 1048576);
    assert_int_equal(s->timeouts.recipient_budget, 240000); /* C-OUT-02 from here */
    assert_int_equal(s->timeouts.connect, 30000);
    assert_int_equal(s->timeouts.greeting, 60000);
    assert_int_equal(s->timeouts.ehlo, 60000);
    assert_int_equal(s->timeouts.starttls, 30000);
    assert_int_equal(s->timeouts.handshake, 60000);
    assert_int_equal(s->timeouts.rung, 15000);
    assert_int_equal(s->timeouts.data, 100000);
    assert_int_equal(s->timeouts.block, 180000);
    assert_int_equal(s->timeouts.leg_wait, 60000);
    assert_int_equal(s->timeouts.leg_stall, 60000); /* C-RCPT-01 */
    assert_int_equal(s->timeouts.final, 590000);
    assert_int_equal(s->timeouts.quit, 5000);
    assert_int_equal(s->timeouts.client_idle, 300000); /* C-IN-07 from here */
    assert_int_equal(s->timeouts.shutdown_grace, 30000);
    assert_int_equal(s->limits.sessions, 10000);
    assert_int_equal(s->limits.recipients, 1000);
    assert_int_equal(s->limits.legs, 50); /* C-RCPT-01 */
    assert_int_equal(s->limits.errors, 20);
    assert_int_equal(s->limits.line, 4096);
    assert_int_equal(s->limits.auth_line, 12288);
    assert_int_equal(s->limits.memory_per_transfer, 262144);
    assert_int_equal(s->limits.message_size, 0);
    assert_int_equal(s->log.format, LOG_AUTO);
    assert_true(s->log.addresses);
    assert_string_equal(s->log.syslog_ident, "tlsmend");
    assert_int_equal(s->log.sink_count, 1);
    assert_int_equal(s->log.sinks[0].kind, LOG_STDERR);
    assert_null(s->log.sinks[0].path);
    assert_string_equal(s->path, "");
    settings_drop(&s);
    assert_null(s);
}

static void test_everything(void **state)
{
    struct settings *s = parse(
        "user = \"mail\";\n"
        "listeners = (\n"
        "  { name = \"a\"; port = 25; },\n"
        "  { name = \"b\"; address = \"2001:db8::1\"; allow_clients = [ \"2001:db8::/32\" ]; } );\n"
        "destinations = (\n"
        "  { match = \"partner.example\"; level = \"fingerprint\";\n"
        "    fingerprints = [ \"" HEX32 "\", \"" HEX32 HEX32 "\" ]; min_version = \"1.3\";\n"
        "    ca_file = \"/ca\"; expires = \"2027-01-31\"; reason = \"ticket\";\n"
        "    route = { host = \"mx.partner.example\"; }; },\n"
        "  { match = \".legacy.example\"; names = [ \"nexthop\", \"a.example\" ]; } );\n"
        "resolver: { stubs = ( { zone = \"corp.example\"; address = \"192.0.2.53\"; } ); };\n"
        "log: { sinks = ( { kind = \"stderr\"; format = \"text\"; },\n"
        "                 { kind = \"file\"; path = \"/f\"; }, { kind = \"syslog\"; } ); };\n");
    const struct override *o = s->destinations;

    (void)state;
    assert_true(s->user_set);
    assert_int_equal(s->listener_count, 2);
    assert_string_equal(s->listeners[0].origin, "t.conf:3");
    assert_int_equal(s->listeners[0].bind.port, 25);
    assert_string_equal(s->listeners[1].name, "b");
    assert_int_equal(s->listeners[1].bind.family, ADDR_IP6);
    assert_int_equal(s->listeners[1].bind.port, 2525);
    assert_int_equal(s->listeners[1].allow[0].bits, 32);
    assert_int_equal(s->destination_count, 2);
    assert_string_equal(o[0].origin, "t.conf:6");
    assert_true(o[0].has_level);
    assert_int_equal(o[0].level, LEVEL_FINGERPRINT);
    assert_int_equal(o[0].fingerprint_count, 2);
    assert_int_equal(o[0].fingerprints[0].n, 32);
    assert_int_equal(o[0].fingerprints[1].n, 64);
    assert_int_equal(o[0].fingerprints[1].digest[63], 0xff);
    assert_int_equal(o[0].min_version, TLS_VERSION_1_3);
    assert_string_equal(o[0].ca_file, "/ca");
    assert_int_equal(o[0].expires, INT64_C(1801353600000));
    assert_string_equal(o[0].reason, "ticket");
    assert_string_equal(o[0].route_host, "mx.partner.example");
    assert_int_equal(o[0].route_port, 25);
    assert_false(o[1].has_level);
    assert_int_equal(o[1].min_version, TLS_VERSION_UNSET);
    assert_int_equal(o[1].names.count, 2);
    assert_string_equal(o[1].names.items[1], "a.example");
    assert_null(o[1].ca_file);
    assert_null(o[1].route_host);
    assert_int_equal(o[1].route_port, 0);
    assert_int_equal(o[1].expires, 0);
    assert_int_equal(s->resolver.stub_count, 1);
    assert_string_equal(s->resolver.stubs[0].zone, "corp.example");
    assert_int_equal(s->resolver.stubs[0].server.port, 53);
    assert_int_equal(s->log.sink_count, 3);
    assert_int_equal(s->log.sinks[0].format, LOG_TEXT);
    assert_string_equal(s->log.sinks[1].path, "/f");
    assert_int_equal(s->log.sinks[2].kind, LOG_SYSLOG);
    settings_drop(&s);
}

/* Each word of a listener means its own value. */
static void test_listeners(void **state)
{
    struct settings *s =
        parse("listeners = ( { name = \"a\"; port = 1; protocol = \"lmtp\"; client_profile = "
              "\"exim\"; },\n"
              "  { name = \"b\"; port = 2; protocol = \"redirect\"; redirect_check = \"enforce\";\n"
              "    transparent = true; client_profile = \"plain\"; },\n"
              "  { name = \"c\"; port = 3; protocol = \"redirect\"; redirect_check = \"off\";\n"
              "    proxy_clients = [ \"10.0.0.0/8\", \"::1\" ]; client_profile = \"postfix\"; },\n"
              "  { name = \"d\"; port = 4; client_profile = \"sendmail\"; } );\n"
              "ledger: { refusals = \"queue-id\"; keep = \"10d\"; digest_single = \"2MiB\"; };\n");
    const struct listener_settings *l = s->listeners;

    (void)state;
    assert_int_equal(l[0].protocol, LISTENER_LMTP);
    assert_int_equal(l[0].client_profile, CLIENT_PROFILE_EXIM);
    assert_int_equal(l[1].protocol, LISTENER_REDIRECT);
    assert_int_equal(l[1].redirect_check, REDIRECT_CHECK_ENFORCE);
    assert_true(l[1].transparent);
    assert_int_equal(l[1].client_profile, CLIENT_PROFILE_PLAIN);
    assert_int_equal(l[2].redirect_check, REDIRECT_CHECK_OFF);
    assert_false(l[2].transparent);
    assert_int_equal(l[2].proxy_count, 2);
    assert_int_equal(l[2].proxies[0].bits, 8);
    assert_int_equal(l[2].proxies[1].base.family, ADDR_IP6);
    assert_int_equal(l[2].allow_count, 0);
    assert_int_equal(l[2].client_profile, CLIENT_PROFILE_POSTFIX);
    assert_int_equal(l[3].protocol, LISTENER_SMTP);
    assert_int_equal(l[3].client_profile, CLIENT_PROFILE_SENDMAIL);
    assert_int_equal(s->ledger.refusals, PROOF_QUEUE_ID);
    assert_int_equal(s->ledger.keep, INT64_C(864000000));
    assert_int_equal(s->ledger.digest_single, 2097152);
    settings_drop(&s);
}

/* What is not written is UNSET, so that the wider place decides; what is written is never UNSET. */
static void test_observe(void **state)
{
    struct settings *s =
        parse("listeners = ( { name = \"a\"; port = 1; },\n"
              "  { name = \"b\"; port = 2; observe = true; requiretls = true; },\n"
              "  { name = \"c\"; port = 3; observe = \"all\"; },\n"
              "  { name = \"d\"; port = 4; observe = \"off\"; } );\n"
              "destinations = ( { match = \"a.example\"; },\n"
              "  { match = \"b.example\"; observe = \"on\"; level = \"may\";\n"
              "    override_policy = true; expires = \"2027-01-31\"; },\n"
              "  { match = \"c.example\"; observe = false; level = \"dane\"; } );\n"
              "tls: { observe = \"all\"; half_dane = true; };\n");

    (void)state;
    assert_int_equal(s->tls.observe, OBSERVE_ALL);
    assert_true(s->tls.half_dane);
    assert_int_equal(s->listeners[0].observe, OBSERVE_UNSET);
    assert_false(s->listeners[0].requiretls);
    assert_int_equal(s->listeners[1].observe, OBSERVE_ON);
    assert_true(s->listeners[1].requiretls);
    assert_int_equal(s->listeners[2].observe, OBSERVE_ALL);
    assert_int_equal(s->listeners[3].observe, OBSERVE_OFF);
    assert_int_equal(s->destinations[0].observe, OBSERVE_UNSET);
    assert_false(s->destinations[0].override_policy);
    assert_int_equal(s->destinations[1].observe, OBSERVE_ON);
    assert_true(s->destinations[1].override_policy);
    assert_int_equal(s->destinations[2].observe, OBSERVE_OFF);
    assert_int_equal(s->destinations[2].level, LEVEL_DANE);
    settings_drop(&s);
}

/* A snapshot lives as long as its last holder. */
static void test_holds(void **state)
{
    struct settings *s = parse("user = \"a\";"), *other;

    (void)state;
    other = settings_hold(s);
    settings_drop(&s);
    assert_null(s);
    assert_string_equal(other->user, "a");
    settings_drop(&other);
    settings_drop(&other); /* NULL is fine */
}

/* The host's name, without DNS; the source says where it comes from. */
static void test_helo_name_of_the_host(void **state)
{
    struct buf errors, out;
    struct settings *s;

    (void)state;
    buf_init(&errors, 4096);
    buf_init(&out, 65536);
    s = settings_parse("", 0, "t.conf", true, &errors);
    assert_non_null(s);
    assert_true(s->helo_name[0] != '\0');
    settings_print(s, &out);
    assert_non_null(strstr(buf_cstr(&out), "# default, "));
    settings_drop(&s);
    buf_clear(&errors);
    buf_clear(&out);
}

static void test_thousands_of_destinations(void **state)
{
    struct settings *s;
    struct buf text, out;

    (void)state;
    buf_init(&text, (size_t)4 << 20);
    buf_init(&out, (size_t)16 << 20);
    buf_add(&text, SLICE("destinations = ("));
    for (int i = 0; i < 20000; i++)
        buf_addf(&text, "%s\n{ match = \"d%d.example\"; level = \"may\"; }", i > 0 ? "," : "", i);
    buf_add(&text, SLICE(");"));
    s = parse(buf_cstr(&text));
    assert_int_equal(s->destination_count, 20000);
    assert_string_equal(s->destinations[19999].origin, "t.conf:20001");
    settings_print(s, &out);
    assert_non_null(strstr(buf_cstr(&out), "destinations[19999].match = \"d19999.example\""));
    settings_drop(&s);
    buf_clear(&text);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printed),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_helo_name_of_the_host),
        cmocka_unit_test(test_thousands_of_destinations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
