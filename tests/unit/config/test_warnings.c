/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is allowed but said loudly; each text gives exactly these lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/settings.h"

#define NOW INT64_C(1795305600000) /* 2026-11-22 */
#define NAME "helo_name = \"mail.example.org\";\n"
#define PINS                                              \
    "fingerprints = [ \"00112233445566778899aabbccddeeff" \
    "00112233445566778899aabbccddeeff\" ]"

static const struct {
    const char *name, *text, *warnings;
} cases[] = {
    {"nothing to say", NAME, ""},
    {"nothing to say of stricter rows",
     NAME "destinations = ( { match = \"a.example\"; level = \"secure\"; names = [ \"nexthop\" ];"
          " ca_file = \"/ca\"; expires = \"2027-06-01\"; } );",
     ""},
    {"may for one domain is the administrator's choice",
     NAME "destinations = ( { match = \"a.example\"; level = \"may\"; } );", ""},
    {"no name of the host", "",
     "t.conf: helo_name = \"localhost.localdomain\": the host has no full name and MX hosts may "
     "refuse this one: set helo_name\n"},
    {"name without a dot", "helo_name = \"mail\";",
     "t.conf:1: helo_name = \"mail\": many MX hosts refuse a name without a dot: write the host's "
     "full name\n"},
    {"clear text by default", NAME "tls: { level = \"may\"; };",
     "t.conf:2: tls.level = \"may\": mail may leave in clear text to every destination without a "
     "row of its own\n"},
    {"nothing judged by default", NAME "tls: { level = \"encrypt\"; };",
     "t.conf:2: tls.level = \"encrypt\": certificates are not judged: anybody on the path can "
     "read\n"},
    {"names for literals", NAME "tls: { literal_level = \"verify\"; };",
     "t.conf:2: tls.literal_level = \"verify\": no certificate names an address: mail to address "
     "literals is always deferred\n"},
    {"weak keys", NAME "tls: { min_rsa_bits = 1024; };",
     "t.conf:2: tls.min_rsa_bits = 1024: RSA keys below 2048 bits can be broken\n"},
    {"longer than clients wait", NAME "timeouts: { recipient_budget = \"281s\"; };",
     "t.conf:2: timeouts.recipient_budget = \"281s\": Postfix and Exim stop waiting after 300 s: "
     "stay at 280s or less\n"},
    {"no name to look for",
     NAME "destinations = ( { match = \"a.example\"; level = \"none\"; route = { host = "
          "\"10.0.0.5\"; }; }, { match = \"b.example\"; route = { host = \"10.0.0.5\"; }; },\n"
          "{ match = \"[10.0.0.6]\"; level = \"secure\"; },\n{ match = \"c.example\"; route = { "
          "host = \"10.0.0.5\"; }; names = [ \"mx.c.example\" ]; }, { match = \"d.example\"; "
          "route = { host = \"mx.d.example\"; }; } );",
     "t.conf:2: destinations[1].match = \"b.example\": no certificate names an address: mail is "
     "always deferred; add names, or pin fingerprints\n"
     "t.conf:3: destinations[2].match = \"[10.0.0.6]\": no certificate names an address: mail is "
     "always deferred; add names, or pin fingerprints\n"},
    {"few recipients", NAME "limits: { recipients = 99; };",
     "t.conf:2: limits.recipients = 99: RFC 5321 4.5.3.1.8 asks for 100 at least\n"},
    {"short AUTH lines", NAME "limits: { auth_line = 4095; };",
     "t.conf:2: limits.auth_line = 4095: shorter than limits.line: lines of AUTH are "
     "longer\n"},
    {"another port", NAME "resolver: { mx_port = 2525; };",
     "t.conf:2: resolver.mx_port = 2525: MX hosts listen on port 25: this is for tests\n"},
    {"no anchor, C-DANE-01", NAME "resolver: { trust_anchor = \"\"; };",
     "t.conf:2: resolver.trust_anchor = \"\": DNS answers are not validated: install "
     "dns-root-data\n"},
    {"clear text for everybody else",
     NAME "destinations = ( { match = \"*\"; level = \"may\"; } );",
     "t.conf:2: destinations[0].level = \"may\": mail to every other destination may leave in "
     "clear text\n"},
    {"no TLS for everybody else", NAME "destinations = ( { match = \"*\"; level = \"none\"; } );",
     "t.conf:2: destinations[0].level = \"none\": mail to every other destination may leave in "
     "clear text\n"},
    {"expired", NAME "destinations = ( { match = \"a.example\"; expires = \"2026-11-22\"; } );",
     "t.conf:2: destinations[0].expires = \"2026-11-22\": has expired: this row is in force "
     "no more; renew it or take it out\n"},
    {"expires soon",
     NAME "destinations = ( { match = \"a.example\"; expires = \"2026-12-05\"; } );",
     "t.conf:2: destinations[0].expires = \"2026-12-05\": expires within two weeks: from then on "
     "this row is in force no more\n"},
    {"names without effect",
     NAME
     "destinations = ( { match = \"a.example\"; level = \"encrypt\"; names = [ \"nexthop\" ]; } );",
     "t.conf:2: destinations[0].names = [ \"nexthop\" ]: no effect on delivery: the level of this "
     "row needs no name\n"},
    {"ca_file without effect",
     NAME "destinations = ( { match = \"a.example\"; level = \"may\"; ca_file = \"/ca\"; } );",
     "t.conf:2: destinations[0].ca_file = \"/ca\": no effect on delivery: the level of this row "
     "needs no chain\n"},
    {"pins without effect", NAME "destinations = ( { match = \"a.example\"; " PINS "; } );",
     "t.conf:2: destinations[0].fingerprints = [ "
     "\"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\" ]: no effect: "
     "write level = \"fingerprint\"\n"},
    {"version without effect",
     NAME "destinations = ( { match = \"a.example\"; level = \"none\"; min_version = \"1.3\"; } );",
     "t.conf:2: destinations[0].min_version = \"1.3\": no effect: level none uses no TLS\n"},
    {"names under the default level",
     NAME "tls: { level = \"encrypt\"; };\ndestinations = ( { match = \"a.example\"; names = [ "
          "\"nexthop\" ]; } );",
     "t.conf:2: tls.level = \"encrypt\": certificates are not judged: anybody on the path can "
     "read\n"
     "t.conf:3: destinations[0].names = [ \"nexthop\" ]: no effect on delivery: the level of this "
     "row needs no name\n"},
    {"clear text without TLSA records", NAME "tls: { level = \"dane\"; };",
     "t.conf:2: tls.level = \"dane\": mail may leave in clear text to every destination without "
     "TLSA records\n"},
    {"deferred without TLSA records", NAME "tls: { level = \"dane-only\"; };",
     "t.conf:2: tls.level = \"dane-only\": mail to every destination without usable TLSA records "
     "is deferred: few have them\n"},
    {"DANE without an anchor, C-DANE-01",
     NAME "tls: { level = \"dane\"; };\nresolver: { trust_anchor = \"\"; };\ndestinations = ( { "
          "match = \"a.example\"; level = \"dane-only\"; }, { match = \"b.example\"; } );",
     "t.conf:2: tls.level = \"dane\": mail may leave in clear text to every destination without "
     "TLSA records\n"
     "t.conf:2: tls.level = \"dane\": no TLSA record can be trusted without resolver.trust_anchor: "
     "mail may leave in clear text\n"
     "t.conf:3: resolver.trust_anchor = \"\": DNS answers are not validated: install "
     "dns-root-data\n"
     "t.conf:4: destinations[0].level = \"dane-only\": no TLSA record can be trusted without "
     "resolver.trust_anchor: mail is always deferred\n"},
    {"DANE for everybody else", NAME "destinations = ( { match = \"*\"; level = \"dane\"; } );",
     "t.conf:2: destinations[0].level = \"dane\": mail to every other destination without TLSA "
     "records may leave in clear text\n"},
    {"only DANE for everybody else",
     NAME "destinations = ( { match = \"*\"; level = \"dane-only\"; } );",
     "t.conf:2: destinations[0].level = \"dane-only\": mail to every other destination without "
     "usable TLSA records is deferred, to address literals too\n"},
    {"DANE for one domain is the administrator's choice",
     NAME "destinations = ( { match = \"a.example\"; level = \"dane-only\"; }, { match = "
          "\"b.example\"; level = \"dane\"; } );",
     ""},
    {"no name to look below",
     NAME "tls: { level = \"dane-only\"; };\ndestinations = ( { match = \"a.example\"; route = { "
          "host = \"10.0.0.5\"; }; },\n{ match = \"[10.0.0.6]\"; }, { match = \"b.example\"; level "
          "= \"may\"; route = { host = \"10.0.0.5\"; }; } );",
     "t.conf:2: tls.level = \"dane-only\": mail to every destination without usable TLSA records "
     "is deferred: few have them\n"
     "t.conf:3: destinations[0].match = \"a.example\": an address has no TLSA records: mail is "
     "always deferred; add a level\n"},
    {"half DANE, C-DANE-08", NAME "tls: { half_dane = true; };",
     "t.conf:2: tls.half_dane = true: whoever forges the unsigned MX record still chooses the "
     "host: DANE proves less for such domains (RFC 7672 2.2.1)\n"},
    {"pool, each limit below the next",
     NAME "pool: { idle_time = \"5m\"; max_age = \"5m\"; idle_per_host = 20; idle = 20; per_host = "
          "20; connections = 20; };",
     ""},
    {"pool, a default above a limit that was written",
     NAME "pool: { idle = 10; per_host = 10; connections = 10; max_age = \"20s\"; };", ""},
    {"no pool, no resumption and no kept destinations are the administrator's choice",
     NAME "pool: { idle_time = \"0s\"; idle = 0; };\ntls: { sessions = 0; };\nresolver: { "
          "destinations = 0; };",
     ""},
    {"pool, idle longer than it may live",
     NAME "pool: { idle_time = \"61s\"; max_age = \"60s\"; };",
     "t.conf:2: pool.idle_time = \"61s\": no effect beyond pool.max_age, which is shorter\n"},
    {"pool, more for one host than for all", NAME "pool: { idle_per_host = 1001; };",
     "t.conf:2: pool.idle_per_host = 1001: no effect beyond pool.idle, which is smaller\n"},
    {"pool, more waiting than there may be at one host",
     NAME "pool: { per_host = 20;\nidle_per_host = 21; };",
     "t.conf:3: pool.idle_per_host = 21: no effect beyond pool.per_host, which is smaller\n"},
    {"pool, more than there may be in all",
     NAME "pool: { connections = 20;\nidle = 21;\nper_host = 22; };",
     "t.conf:3: pool.idle = 21: no effect beyond pool.connections, which is smaller\n"
     "t.conf:4: pool.per_host = 22: no effect beyond pool.connections, which is smaller\n"},
    {"no MTA-STS", NAME "mta_sts: { enabled = false; };",
     "t.conf:2: mta_sts.enabled = false: what recipient domains ask for by MTA-STS is not looked "
     "at\n"},
    {"no store, C-STS-09", NAME "store: { path = \"\"; };",
     "t.conf:2: store.path = \"\": a restart forgets all MTA-STS policies, and a domain is not "
     "protected until its policy is fetched again: name a file\n"
     "t.conf:2: store.path = \"\": no ledger: a client that speaks plain SMTP gets one recipient "
     "domain for each transaction, and recipients of others hear 451 and wait for the next: name a "
     "file\n"},
    {"a ledger shorter than queues, C-RCPT-04", NAME "ledger: { keep = \"119h\"; };",
     "t.conf:2: ledger.keep = \"119h\": Postfix and Sendmail try for 5 days: what is tried again "
     "after this time goes out twice\n"},
    {"a ledger as long as queues", NAME "ledger: { keep = \"5d\"; };", ""},
    {"a leg stalls almost as long as Postfix waits", NAME "timeouts: { leg_stall = \"179s\"; };",
     ""},
    {"a leg stalls as long as Postfix waits", NAME "timeouts: { leg_stall = \"180s\"; };",
     "t.conf:2: timeouts.leg_stall = \"3m\": Postfix gives up when nothing is read for 180 s: "
     "stay below\n"},
    {"a leg stalls longer than each alone",
     NAME "timeouts: { leg_stall = \"61s\"; block = \"60s\"; };",
     "t.conf:2: timeouts.leg_stall = \"61s\": no effect: it is longer than timeouts.block\n"},
    {"PROXY header and loopback alone",
     NAME "listeners = ( { proxy_clients = [ \"127.0.0.1\" ]; } );",
     "t.conf:2: listeners[0].allow_clients = [ ]: only loopback is let in, but proxy_clients name "
     "clients elsewhere: name the networks of these\n"},
    {"caught: the host's own mail", NAME "listeners = ( { protocol = \"redirect\"; } );", ""},
    {"LMTP, PROXY header and a caught listener with clients",
     NAME
     "listeners = ( { name = \"a\"; protocol = \"lmtp\"; }, { name = \"b\"; port = 1; protocol "
     "= \"redirect\"; allow_clients = [ \"192.0.2.10\" ]; }, { name = \"c\"; port = 2; "
     "proxy_clients = [ \"::1\" ]; allow_clients = [ \"192.0.2.10\" ]; } );",
     ""},
    {"a rung as long as the handshake", NAME "timeouts: { rung = \"15s\"; handshake = \"15s\"; };",
     ""},
    {"a rung longer than the handshake", NAME "timeouts: { rung = \"16s\"; handshake = \"15s\"; };",
     "t.conf:2: timeouts.rung = \"16s\": no effect: it is longer than timeouts.handshake\n"},
    {"REQUIRETLS",
     NAME "listeners = ( { name = \"a\"; }, { name = \"b\"; requiretls = true; port = 25; } );",
     "t.conf:2: listeners[1].requiretls = true: mail that asks for REQUIRETLS is refused where the "
     "MX host is not proved by DANE, MTA-STS or a row of destinations, or does not offer it\n"},
    {"REQUIRETLS in clear text",
     NAME "listeners = ( { address = \"192.0.2.10\"; allow_clients = [ \"192.0.2.20\" ]; "
          "requiretls = true; } );",
     "t.conf:2: listeners[0].requiretls = true: mail that asks for REQUIRETLS is refused where the "
     "MX host is not proved by DANE, MTA-STS or a row of destinations, or does not offer it\n"
     "t.conf:2: listeners[0].requiretls = true: such mail comes to this listener in clear text, "
     "against RFC 8689: use a loopback address\n"},
    {"everything is only observed", NAME "tls: { observe = true; };",
     "t.conf:2: tls.observe = true: ONLY OBSERVED is all mail, except where listeners or "
     "destinations say otherwise: tls and destinations are NOT enforced, MTA-STS and DANE are: it "
     "goes out as at level may, and the log says what would have been deferred\n"},
    {"everything is only observed, policies too", NAME "tls: { observe = \"all\"; };",
     "t.conf:2: tls.observe = \"all\": ONLY OBSERVED is all mail, except where listeners or "
     "destinations say otherwise: NOTHING is enforced, MTA-STS and DANE neither: it goes out as at "
     "level may, and the log says what would have been deferred\n"},
    {"some listeners are only observed",
     NAME "listeners = ( { name = \"a\"; observe = true; },\n{ name = \"b\"; port = 1; observe = "
          "false; },\n{ name = \"the \\\"old\\\" one\"; port = 2; observe = \"all\"; } );",
     "t.conf:2: listeners[0].observe = true: ONLY OBSERVED is the mail of listener \"a\": tls and "
     "destinations are NOT enforced, MTA-STS and DANE are: it goes out as at level may, and the "
     "log says what would have been deferred\n"
     "t.conf:4: listeners[2].observe = \"all\": ONLY OBSERVED is the mail of listener \"the "
     "\\\"old\\\" one\": NOTHING is enforced, MTA-STS and DANE neither: it goes out as at level "
     "may, and the log says what would have been deferred\n"},
    {"some destinations are only observed",
     NAME "destinations = ( { match = \"a.example\"; observe = true; },\n{ match = \"b.example\"; "
          "observe = false; }, { match = \".c.example\"; level = \"secure\"; observe = \"all\"; "
          "},\n{ match = \"d.example\"; level = \"may\"; observe = \"all\"; } );",
     "t.conf:2: destinations[0].observe = true: ONLY OBSERVED is mail to \"a.example\": tls and "
     "destinations are NOT enforced, MTA-STS and DANE are: it goes out as at level may, and the "
     "log says what would have been deferred\n"
     "t.conf:3: destinations[2].observe = \"all\": ONLY OBSERVED is mail to \".c.example\": "
     "NOTHING is enforced, MTA-STS and DANE neither: it goes out as at level may, and the log says "
     "what would have been deferred\n"
     "t.conf:4: destinations[3].observe = \"all\": ONLY OBSERVED is mail to \"d.example\": NOTHING "
     "is enforced, MTA-STS and DANE neither: it goes out as at level may, and the log says what "
     "would have been deferred\n"},
    {"nothing to observe",
     NAME "destinations = ( { match = \"a.example\"; level = \"dane\"; observe = true; } );",
     "t.conf:2: destinations[0].observe = true: ONLY OBSERVED is mail to \"a.example\": tls and "
     "destinations are NOT enforced, MTA-STS and DANE are: it goes out as at level may, and the "
     "log says what would have been deferred\n"
     "t.conf:2: destinations[0].observe = true: no effect: the level of this row enforces nothing "
     "but DANE and MTA-STS; \"all\" observes these too\n"},
    {"what has expired neither observes nor overrules",
     NAME "destinations = ( { match = \"a.example\"; level = \"may\"; observe = \"all\"; "
          "override_policy = true; expires = \"2026-11-22\"; } );",
     "t.conf:2: destinations[0].expires = \"2026-11-22\": has expired: this row is in force no "
     "more; renew it or take it out\n"},
    {"policies are overruled",
     NAME "destinations = ( { match = \"a.example\"; level = \"may\"; override_policy = true; "
          "expires = \"2027-01-31\"; } );",
     "t.conf:2: destinations[0].override_policy = true: mail to \"a.example\" is at level may "
     "until 2027-01-31T00:00:00.000Z, whatever MTA-STS and DANE ask for; each use is logged\n"},
    {"policies are overruled for everybody else, and observed",
     NAME "destinations = ( { match = \"*\"; level = \"verify\"; override_policy = true;\n observe "
          "= true; expires = \"2027-01-31\"; } );",
     "t.conf:3: destinations[0].observe = true: ONLY OBSERVED is mail to \"*\": NOTHING is "
     "enforced, MTA-STS and DANE neither: it goes out as at level may, and the log says what would "
     "have been deferred\n"
     "t.conf:2: destinations[0].override_policy = true: mail to \"*\" is at level verify until "
     "2027-01-31T00:00:00.000Z, whatever MTA-STS and DANE ask for; each use is logged\n"
     "t.conf:2: destinations[0].override_policy = true: this switches MTA-STS and DANE off for "
     "every other destination: name the domain or the MX hosts (\"mx:.suffix\") in match\n"},
    {"names of a literal, which is at literal_level",
     NAME "destinations = ( { match = \"[192.0.2.1]\"; names = [ \"a.example\" ]; } );",
     "t.conf:2: destinations[0].names = [ \"a.example\" ]: no effect on delivery: the level of "
     "this "
     "row needs no name\n"},
};

static void test_warnings(void **state)
{
    struct buf errors, out;

    (void)state;
    buf_init(&errors, 65536);
    buf_init(&out, 65536);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings *s =
            settings_parse(cases[i].text, strlen(cases[i].text), "t.conf", false, &errors);

        if (s == NULL)
            fail_msg("%s: %s", cases[i].name, buf_cstr(&errors));
        buf_reset(&out);
        settings_warnings(s, NOW, &out);
        if (strcmp(buf_cstr(&out), cases[i].warnings) != 0)
            fail_msg("%s:\n%s\nwanted:\n%s", cases[i].name, buf_cstr(&out), cases[i].warnings);
        settings_drop(&s);
    }
    buf_clear(&errors);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warnings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
