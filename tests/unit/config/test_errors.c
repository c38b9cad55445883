/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrong configurations: each must be refused with exactly these lines (file:line, key, value,
 * mend).
 */
#include "tests/unit/config/wrong_case.h"

static const struct wrong_case cases[] = {
    {"unknown key", "usr = \"x\";",
     "t.conf:1: usr = \"x\": unknown key; the nearest known one here is \"user\"\n"},
    {"unknown key in a group", "tls: {\n  levle = \"may\";\n};",
     "t.conf:2: tls.levle = \"may\": unknown key; the nearest known one here is \"level\"\n"},
    {"unknown group", "timeout: { connect = \"30s\"; };",
     "t.conf:1: timeout = { ... }: unknown key; the nearest known one here is \"timeouts\"\n"},
    {"known key in the wrong place", "connect = \"30s\";",
     "t.conf:1: connect = \"30s\": unknown key in this place; connect belongs in timeouts\n"},
    {"known group in the wrong place", "tls: { log: { }; };",
     "t.conf:1: tls.log = { ... }: unknown key in this place; log belongs at the top, outside of "
     "all groups\n"},
    {"a key of the design that does not exist yet", "control: { socket = \"/run/x\"; };",
     "t.conf:1: control = { ... }: unknown key; the nearest known one here is \"pool\"\n"},
    {"every error is said, in one round", "usr = 1;\nworkers = \"3\";\nlog: { format = \"xml\"; };",
     "t.conf:1: usr = 1: unknown key; the nearest known one here is \"user\"\n"
     "t.conf:2: workers = \"3\": write a whole number without quotes between 0 and 256\n"
     "t.conf:3: log.format = \"xml\": write \"auto\", \"json\" or \"text\"\n"},
    {"word, near miss", "tls: { level = \"verfy\"; };",
     "t.conf:1: tls.level = \"verfy\": write \"none\", \"may\", \"encrypt\", \"verify\", "
     "\"secure\", \"dane\" or \"dane-only\" (did you mean \"verify\"?)\n"},
    {"word, far miss", "log: { format = \"logfmt\"; };",
     "t.conf:1: log.format = \"logfmt\": write \"auto\", \"json\" or \"text\"\n"},
    {"word without quotes", "tls: { min_version = 1.2; };",
     "t.conf:1: tls.min_version = 1.2: write \"1.2\" or \"1.3\", in quotes\n"},
    {"TLS 1.1", "tls: { min_version = \"1.1\"; };",
     "t.conf:1: tls.min_version = \"1.1\": write \"1.2\" or \"1.3\"\n"},
    {"TLS 1.0 for a destination",
     "destinations = ( { match = \"a.example\"; min_version = \"1.0\"; } );",
     "t.conf:1: destinations[0].min_version = \"1.0\": write \"1.2\" or \"1.3\"\n"},
    {"fingerprint as default", "tls: { level = \"fingerprint\"; };",
     "t.conf:1: tls.level = \"fingerprint\": write \"none\", \"may\", \"encrypt\", \"verify\", "
     "\"secure\", \"dane\" or \"dane-only\"\n"},
    {"dane for literals, C-MX-08", "tls: { literal_level = \"dane\"; };",
     "t.conf:1: tls.literal_level = \"dane\": write \"none\", \"may\", \"encrypt\", \"verify\" or "
     "\"secure\"\n"},
    {"dane-only for literals, C-MX-08", "tls: { literal_level = \"dane-only\"; };",
     "t.conf:1: tls.literal_level = \"dane-only\": write \"none\", \"may\", \"encrypt\", "
     "\"verify\" "
     "or \"secure\"\n"},
    {"observe, another word", "tls: { observe = \"yes\"; };",
     "t.conf:1: tls.observe = \"yes\": write true or false without quotes, or \"all\" in quotes\n"},
    {"observe as a number", "listeners = ( { observe = 1; } );",
     "t.conf:1: listeners[0].observe = 1: write true or false without quotes, or \"all\" in "
     "quotes\n"},
    {"observe with a control byte",
     "destinations = ( { match = \"a.example\"; observe = \"on\\n\"; } );",
     "t.conf:1: destinations[0].observe = \"on\\x0a\": control characters are in it: take them "
     "out\n"},
    {"DNSSEC required and without an anchor, C-DANE-01",
     "resolver: { require_dnssec = true;\n trust_anchor = \"\"; };",
     "t.conf:1: resolver.require_dnssec = true: nothing can be validated without "
     "resolver.trust_anchor: name the file of the root key, or write false\n"},
    {"a fetch longer than RFC 8461 allows, C-STS-04", "mta_sts: { timeout = \"61s\"; };",
     "t.conf:1: mta_sts.timeout = \"61s\": out of bounds: write a duration between \"1s\" and "
     "\"1m\"\n"},
    {"a refresh that policies outlive, C-STS-09", "mta_sts: { refresh = \"8d\"; };",
     "t.conf:1: mta_sts.refresh = \"8d\": out of bounds: write a duration between \"1s\" and "
     "\"7d\"\n"},
    {"no fetch at all", "mta_sts: { fetches = 0; };",
     "t.conf:1: mta_sts.fetches = 0: out of bounds: write a number between 1 and 256\n"},
    {"a ladder that is never climbed again, C-TLS-06", "tls: { ladder_ttl = \"31d\"; };",
     "t.conf:1: tls.ladder_ttl = \"31d\": out of bounds: write a duration between \"1s\" and "
     "\"30d\"\n"},
    {"a ladder without memory", "tls: { ladder_addresses = 99; };",
     "t.conf:1: tls.ladder_addresses = 99: out of bounds: write a number between 100 and "
     "1000000\n"},
    {"TLS sessions below none", "tls: { sessions = -1; };",
     "t.conf:1: tls.sessions = -1: out of bounds: write a number between 0 and 1000000\n"},
    {"a connection that waits longer than MXs do", "pool: { idle_time = \"301s\"; };",
     "t.conf:1: pool.idle_time = \"301s\": out of bounds: write a duration between \"0s\" and "
     "\"5m\"\n"},
    {"a connection without a use, C-OUT-08", "pool: { max_age = \"0s\";\nmessages = 0; };",
     "t.conf:1: pool.max_age = \"0s\": out of bounds: write a duration between \"1s\" and \"1d\"\n"
     "t.conf:2: pool.messages = 0: out of bounds: write a number between 1 and 1000000\n"},
    {"pool, a key of tls", "pool: { sessions = 1; };",
     "t.conf:1: pool.sessions = 1: unknown key in this place; sessions belongs in tls\n"},
    {"store with a relative path", "store: { path = \"tlsmend.db\"; };",
     "t.conf:1: store.path = \"tlsmend.db\": write an absolute path in quotes, beginning with /\n"},
    {"protocol that does not exist", "listeners = ( { protocol = \"uucp\"; } );",
     "t.conf:1: listeners[0].protocol = \"uucp\": write \"smtp\", \"lmtp\" or \"redirect\"\n"},
    {"protocol, near miss", "listeners = ( { protocol = \"redirekt\"; } );",
     "t.conf:1: listeners[0].protocol = \"redirekt\": write \"smtp\", \"lmtp\" or \"redirect\" "
     "(did you mean \"redirect\"?)\n"},
    {"LMTP on port 25 (RFC 2033 section 5)", "listeners = ( { protocol = \"lmtp\"; port = 25; } );",
     "t.conf:1: listeners[0].port = 25: port 25 is for SMTP, never for LMTP (RFC 2033 section 5): "
     "write another, such as 24\n"},
    {"transparent without redirect", "listeners = ( { transparent = true; } );",
     "t.conf:1: listeners[0].transparent = true: only caught connections are transparent: write "
     "protocol = \"redirect\", or take transparent out\n"},
    {"redirect_check without redirect",
     "listeners = ( { protocol = \"lmtp\";\n redirect_check = \"enforce\"; },\n"
     "{ name = \"b\"; port = 26; redirect_check = \"off\"; } );",
     "t.conf:2: listeners[0].redirect_check = \"enforce\": only a caught connection was going "
     "elsewhere: write protocol = \"redirect\", or take redirect_check out\n"
     "t.conf:3: listeners[1].redirect_check = \"off\": only a caught connection was going "
     "elsewhere: write protocol = \"redirect\", or take redirect_check out\n"},
    {"redirect_check, another word", "listeners = ( { redirect_check = \"on\"; } );",
     "t.conf:1: listeners[0].redirect_check = \"on\": write \"off\", \"log\" or \"enforce\"\n"},
    {"PROXY header, but no clients, C-IN-08",
     "listeners = ( { address = \"192.0.2.10\"; proxy_clients = [ \"192.0.2.5\" ]; } );",
     "t.conf:1: listeners[0].address = \"192.0.2.10\": not a loopback address: name the networks "
     "of your clients in allow_clients, or use \"127.0.0.1\"\n"},
    {"a balancer on this host names everybody, C-IN-08",
     "listeners = ( { proxy_clients = [ \"127.0.0.1\" ]; allow_clients = [ \"0.0.0.0/0\" ]; } );",
     "t.conf:1: listeners[0].allow_clients = [ \"0.0.0.0/0\" ]: this lets everybody relay: name "
     "the networks of your clients\n"},
    {"everybody is a balancer, C-IN-08",
     "listeners = ( { address = \"::\"; allow_clients = [ \"::1\" ]; proxy_clients = [ \"::/0\" ]; "
     "} );",
     "t.conf:1: listeners[0].proxy_clients = [ \"::/0\" ]: this lets everybody name another as "
     "the client: name the addresses of your load balancers\n"},
    {"TPROXY brings everybody to loopback, C-IN-08",
     "listeners = ( { protocol = \"redirect\"; transparent = true; allow_clients = [ \"::/0\" ]; } "
     ");",
     "t.conf:1: listeners[0].allow_clients = [ \"::/0\" ]: this lets everybody relay: name the "
     "networks of your clients\n"},
    {"client_profile of old", "listeners = ( { client_profile = \"default\"; } );",
     "t.conf:1: listeners[0].client_profile = \"default\": write \"auto\", \"postfix\", "
     "\"exim\", \"sendmail\" or \"plain\"\n"},
    {"no legs", "limits: { legs = 0; };",
     "t.conf:1: limits.legs = 0: out of bounds: write a number between 1 and 1000\n"},
    {"many legs", "limits: { legs = 1001; };",
     "t.conf:1: limits.legs = 1001: out of bounds: write a number between 1 and 1000\n"},
    {"leg_stall of nothing", "timeouts: { leg_stall = \"0s\"; };",
     "t.conf:1: timeouts.leg_stall = \"0s\": out of bounds: write a duration between \"10ms\" and "
     "\"10m\"\n"},
    {"a ledger of minutes", "ledger: { keep = \"59m\"; };",
     "t.conf:1: ledger.keep = \"59m\": out of bounds: write a duration between \"1h\" and "
     "\"365d\"\n"},
    {"a ledger of no entries", "ledger: { entries = 99; };",
     "t.conf:1: ledger.entries = 99: out of bounds: write a number between 100 and 10000000\n"},
    {"refusals, another word", "ledger: { refusals = \"digest\"; };",
     "t.conf:1: ledger.refusals = \"digest\": write \"envelope\" or \"queue-id\"\n"},
    {"refusals, near miss", "ledger: { refusals = \"queue_id\"; };",
     "t.conf:1: ledger.refusals = \"queue_id\": write \"envelope\" or \"queue-id\" (did you mean "
     "\"queue-id\"?)\n"},
    {"digest of all", "ledger: { digest_single = \"2GiB\"; };",
     "t.conf:1: ledger.digest_single = \"2GiB\": out of bounds: write a size between \"0B\" and "
     "\"1GiB\"\n"},
    {"integer in quotes", "workers = \"3\";",
     "t.conf:1: workers = \"3\": write a whole number without quotes between 0 and 256\n"},
    {"integer too small", "workers = -1;",
     "t.conf:1: workers = -1: out of bounds: write a number between 0 and 256\n"},
    {"integer too large", "workers = 257;",
     "t.conf:1: workers = 257: out of bounds: write a number between 0 and 256\n"},
    {"integer beyond 64 bits", "workers = 99999999999999999999;",
     "t.conf:1: a number of more than 9 digits: no setting takes one\n"},
    {"integer beyond 32 bits, which libconfig cuts", "workers = 4294967299;",
     "t.conf:1: a number of more than 9 digits: no setting takes one\n"},
    {"integer beyond 32 bits, with L", "workers = 99999999L;",
     "t.conf:1: workers = 99999999: out of bounds: write a number between 0 and 256\n"},
    {"a list that belongs elsewhere", "sinks = ( { kind = \"stderr\"; } );",
     "t.conf:1: sinks = ( ... ): unknown key in this place; sinks belongs in log\n"},
    {"hexadecimal integer", "limits: { sessions = 0x64; };",
     "t.conf:1: limits.sessions = 100: write it as a decimal number\n"},
    {"integer with a fraction", "limits: { errors = 2.5; };",
     "t.conf:1: limits.errors = 2.5: write a whole number without quotes between 1 and 10000\n"},
    {"integer as a group", "workers = { };",
     "t.conf:1: workers = { ... }: write a whole number without quotes between 0 and 256\n"},
    {"port 0", "listeners = ( { port = 0; } );",
     "t.conf:1: listeners[0].port = 0: out of bounds: write a number between 1 and 65535\n"},
    {"port 65536", "listeners = ( { port = 65536; } );",
     "t.conf:1: listeners[0].port = 65536: out of bounds: write a number between 1 and 65535\n"},
    {"bool in quotes", "resolver: { system = \"yes\"; };",
     "t.conf:1: resolver.system = \"yes\": write true or false, without quotes\n"},
    {"bool as a number", "log: { addresses = 1; };",
     "t.conf:1: log.addresses = 1: write true or false, without quotes\n"},
    {"duration without a unit", "timeouts: { connect = 30; };",
     "t.conf:1: timeouts.connect = 30: the unit is missing: write \"30s\"\n"},
    {"duration without a unit, in quotes", "timeouts: { connect = \"30\"; };",
     "t.conf:1: timeouts.connect = \"30\": the unit is missing: write \"30s\"\n"},
    {"duration with a wrong unit", "timeouts: { connect = \"30sec\"; };",
     "t.conf:1: timeouts.connect = \"30sec\": write a duration in quotes, a number with ms, s, m, "
     "h or d, such as \"30s\"\n"},
    {"duration without a number", "timeouts: { connect = \"s\"; };",
     "t.conf:1: timeouts.connect = \"s\": write a duration in quotes, a number with ms, s, m, h or "
     "d, such as \"30s\"\n"},
    {"duration, negative", "timeouts: { connect = \"-1s\"; };",
     "t.conf:1: timeouts.connect = \"-1s\": write a duration in quotes, a number with ms, s, m, h "
     "or d, such as \"30s\"\n"},
    {"duration, fraction", "timeouts: { connect = 1.5; };",
     "t.conf:1: timeouts.connect = 1.5: write a duration in quotes, a number with ms, s, m, h or "
     "d, such as \"30s\"\n"},
    {"duration too short", "timeouts: { connect = \"1ms\"; };",
     "t.conf:1: timeouts.connect = \"1ms\": out of bounds: write a duration between \"10ms\" and "
     "\"5m\"\n"},
    {"duration too long", "timeouts: { final = \"11m\"; };",
     "t.conf:1: timeouts.final = \"11m\": out of bounds: write a duration between \"10ms\" and "
     "\"10m\"\n"},
    {"size without a unit", "limits: { memory_per_transfer = 65536; };",
     "t.conf:1: limits.memory_per_transfer = 65536: the unit is missing: write \"65536B\"\n"},
    {"size with a duration's unit", "limits: { memory_per_transfer = \"4s\"; };",
     "t.conf:1: limits.memory_per_transfer = \"4s\": write a size in quotes, a number with B, KiB, "
     "MiB or GiB, such as \"256KiB\"\n"},
    {"size too small", "limits: { memory_per_transfer = \"100B\"; };",
     "t.conf:1: limits.memory_per_transfer = \"100B\": out of bounds: write a size between "
     "\"16KiB\" and \"1GiB\"\n"},
    {"text as a number", "user = 5;", "t.conf:1: user = 5: write text in quotes\n"},
    {"text with a control byte", "user = \"a\\nb\";",
     "t.conf:1: user = \"a\\x0ab\": control characters are in it: take them out\n"},
    {"text that must not be empty", "log: { syslog_ident = \"\"; };",
     "t.conf:1: log.syslog_ident = \"\": it must not be empty: write text in quotes, or leave the "
     "line out\n"},
    {"path that is relative", "tls: { trust_store = \"ca.pem\"; };",
     "t.conf:1: tls.trust_store = \"ca.pem\": write an absolute path in quotes, beginning with "
     "/\n"},
    {"path that is empty", "tls: { trust_store = \"\"; };",
     "t.conf:1: tls.trust_store = \"\": write an absolute path in quotes, beginning with /\n"},
    {"paths with a relative one", "tls: { crl_files = [ \"/a.crl\", \"b.crl\" ]; };",
     "t.conf:1: tls.crl_files[1] = \"b.crl\": write the list as [ \"/etc/tlsmend/ca.crl\" ], "
     "absolute paths\n"},
    {"list written as text", "tls: { crl_files = \"/a.crl\"; };",
     "t.conf:1: tls.crl_files = \"/a.crl\": write a list, as [ \"/etc/tlsmend/ca.crl\" ], absolute "
     "paths\n"},
    {"helo_name with a blank", "helo_name = \"mail example\";",
     "t.conf:1: helo_name = \"mail example\": no host name; write a full host name such as "
     "\"mail.example.org\", or \"[192.0.2.1]\"\n"},
    {"helo_name that is an address", "helo_name = \"192.0.2.1\";",
     "t.conf:1: helo_name = \"192.0.2.1\": no host name; write a full host name such as "
     "\"mail.example.org\", or \"[192.0.2.1]\"\n"},
    {"helo_name with an underscore", "helo_name = \"my_host.example\";",
     "t.conf:1: helo_name = \"my_host.example\": no host name; write a full host name such as "
     "\"mail.example.org\", or \"[192.0.2.1]\"\n"},
    {"helo_name that is a bad literal", "helo_name = \"[192.0.2.256]\";",
     "t.conf:1: helo_name = \"[192.0.2.256]\": no host name; write a full host name such as "
     "\"mail.example.org\", or \"[192.0.2.1]\"\n"},
    {"group written as a value", "tls = \"verify\";",
     "t.conf:1: tls = \"verify\": write a group in braces: tls: { ... }\n"},
    {"list of groups written as one group", "listeners: { port = 25; };",
     "t.conf:1: listeners = { ... }: write a list of groups: listeners = ( { ... }, { ... } )\n"},
    {"list of groups with a value", "destinations = ( 5 );",
     "t.conf:1: destinations[0] = 5: write a group in braces: { ... }\n"},
    {"no listener", "listeners = ( );",
     "t.conf:1: listeners = ( ... ): at least one is needed: leave listeners out for the "
     "default\n"},
    {"an array where a list of groups is due", "destinations = [ \"a.example\" ];",
     "t.conf:1: destinations = [ ... ]: write a list of groups: destinations = ( { ... }, { ... } "
     ")\n"},
    {"no log", "log: { sinks = ( ); };",
     "t.conf:1: log.sinks = ( ... ): at least one is needed: leave sinks out for the default\n"},
    {"listener for strangers, C-IN-08", "listeners = ( { address = \"192.0.2.10\"; } );",
     "t.conf:1: listeners[0].address = \"192.0.2.10\": not a loopback address: name the networks "
     "of your clients in allow_clients, or use \"127.0.0.1\"\n"},
    {"listener on all addresses, C-IN-08", "listeners = (\n { address = \"0.0.0.0\"; }\n);",
     "t.conf:2: listeners[0].address = \"0.0.0.0\": not a loopback address: name the networks of "
     "your clients in allow_clients, or use \"127.0.0.1\"\n"},
    {"listener on all IPv6 addresses, C-IN-08",
     "listeners = ( { address = \"::\"; allow_clients = [ ]; } );",
     "t.conf:1: listeners[0].address = \"::\": not a loopback address: name the networks of your "
     "clients in allow_clients, or use \"127.0.0.1\"\n"},
    {"open relay, C-IN-08",
     "listeners = ( { address = \"192.0.2.10\"; allow_clients = [ \"0.0.0.0/0\" ]; } );",
     "t.conf:1: listeners[0].allow_clients = [ \"0.0.0.0/0\" ]: this lets everybody relay: name "
     "the networks of your clients\n"},
    {"allow_clients, bad network", "listeners = ( { allow_clients = [ \"10.0.0.0/33\" ]; } );",
     "t.conf:1: listeners[0].allow_clients[0] = \"10.0.0.0/33\": write the list as [ "
     "\"192.0.2.0/24\", \"2001:db8::/32\", \"::1\" ]\n"},
    {"allow_clients, a name", "listeners = ( { allow_clients = [ \"localhost\" ]; } );",
     "t.conf:1: listeners[0].allow_clients[0] = \"localhost\": write the list as [ "
     "\"192.0.2.0/24\", \"2001:db8::/32\", \"::1\" ]\n"},
    {"allow_clients, numbers", "listeners = ( { allow_clients = [ 10 ]; } );",
     "t.conf:1: listeners[0].allow_clients[0] = 10: write the list as [ \"192.0.2.0/24\", "
     "\"2001:db8::/32\", \"::1\" ]\n"},
    {"listener by name", "listeners = ( { address = \"localhost\"; } );",
     "t.conf:1: listeners[0].address = \"localhost\": no IP address: write one such as "
     "\"127.0.0.1\" or \"::1\"\n"},
    {"two listeners at one place", "listeners = (\n { name = \"a\"; },\n { name = \"b\"; }\n);",
     "t.conf:3: listeners[1].port = 2525: listeners[0] listens there already: change port or "
     "address\n"},
    {"two listeners of one name", "listeners = (\n { port = 25; },\n { port = 26; }\n);",
     "t.conf:3: listeners[1].name = \"relayhost\": listeners[0] has that name already: give each "
     "its own\n"},
    {"sink without path", "log: { sinks = ( { kind = \"file\"; } ); };",
     "t.conf:1: log.sinks[0].kind = \"file\": a file needs a path: add path = "
     "\"/var/log/tlsmend.log\"\n"},
    {"sink with a path that it cannot have",
     "log: { sinks = ( { kind = \"stderr\"; path = \"/a\"; } ); };",
     "t.conf:1: log.sinks[0].path = \"/a\": only a file has a path: write kind = \"file\", or take "
     "path out\n"},
    {"sinks that are one",
     "log: { sinks = ( { kind = \"syslog\"; },\n { kind = \"syslog\"; } ); };",
     "t.conf:2: log.sinks[1].kind = \"syslog\": sinks[0] writes there already: take one out\n"},
    {"sink files that are one",
     "log: { sinks = ( { kind = \"file\"; path = \"/a\"; },\n { kind = \"file\"; path = \"/a\"; } "
     "); };",
     "t.conf:2: log.sinks[1].kind = \"file\": sinks[0] writes there already: take one out\n"},
    {"forward by name", "resolver: { forward = [ \"dns.example\" ]; };",
     "t.conf:1: resolver.forward[0] = \"dns.example\": write the list as [ \"192.0.2.53\", "
     "\"192.0.2.53:5353\", \"[2001:db8::53]:53\" ]\n"},
    {"forward with a bad port", "resolver: { forward = [ \"192.0.2.53:0\" ]; };",
     "t.conf:1: resolver.forward[0] = \"192.0.2.53:0\": write the list as [ \"192.0.2.53\", "
     "\"192.0.2.53:5353\", \"[2001:db8::53]:53\" ]\n"},
    {"stub without zone", "resolver: { stubs = ( { address = \"192.0.2.53\"; } ); };",
     "t.conf:1: resolver.stubs[0] = { ... }: zone is missing: add zone, text in quotes\n"},
    {"stub with a bad zone",
     "resolver: { stubs = ( { zone = \"a..b\"; address = \"192.0.2.53\"; } ); };",
     "t.conf:1: resolver.stubs[0].zone = \"a..b\": no domain: write one such as \"example.org\", "
     "or \".\"\n"},
    {"stub without address", "resolver: { stubs = ( { zone = \"a.example\"; } ); };",
     "t.conf:1: resolver.stubs[0] = { ... }: address is missing: add address, an address in "
     "quotes: \"192.0.2.53\", \"192.0.2.53:5353\", \"[2001:db8::53]:53\"\n"},
    {"stub with a bad address",
     "resolver: { stubs = ( { zone = \".\"; address = \"[::1]\"; } ); };",
     "t.conf:1: resolver.stubs[0].address = \"[::1]\": write an address in quotes: \"192.0.2.53\", "
     "\"192.0.2.53:5353\", \"[2001:db8::53]:53\"\n"},
    {"syntax: no value", "workers = ;",
     "t.conf:1: \"workers = ;\": syntax error here or just before: write key = value; and close "
     "every {, ( and [\n"},
    {"syntax: no equals sign", "tls {\n level = \"may\";\n};",
     "t.conf:1: \"tls {\": syntax error here or just before: write key = value; and close every {, "
     "( and [\n"},
    {"syntax: an open group", "tls: {\n level = \"may\";\n",
     "t.conf:2: \"level = \\\"may\\\";\": syntax error here or just before: write key = value; and "
     "close every {, ( and [\n"},
    {"syntax: a stray brace", "workers = 1;\n}\n",
     "t.conf:2: \"}\": syntax error here or just before: write key = value; and close every {, ( "
     "and [\n"},
    {"syntax: a key twice", "workers = 1;\nworkers = 2;",
     "t.conf:2: \"workers = 2;\": a key stands here for the second time: take one out\n"},
    {"syntax: an open comment, at its beginning", "workers = 1;\n/* rest\nuser = \"x\";\n",
     "t.conf:2: a comment is not closed: add */ where it ends\n"},
    {"syntax: an open string, at its beginning",
     "user = \"tlsmend;\nworkers = 1;\nhelo_name = \"a\";\n",
     "t.conf:1: a string is not closed on its line: add the second \"\n"},
    {"syntax: an open string at the end", "user = \"tlsmend",
     "t.conf:1: a string is not closed: add the second \"\n"},
    {"syntax: arrays are of one type", "resolver: { forward = [ \"::1\", 5 ]; };",
     "t.conf:1: \"resolver: { forward = [ \\\"::1\\\", 5 ]; };\": write all elements of a list in "
     "quotes\n"},
    {"include", "@include \"/etc/passwd\"",
     "t.conf:1: @include is not supported: write all settings into this file\n"},
    {"include behind blanks", "workers = 1;\n \t@include \"/etc/passwd\"\n",
     "t.conf:2: @include is not supported: write all settings into this file\n"},
    {"include in a comment is not read either", "/*\n@include \"/etc/passwd\"\n*/",
     "t.conf:2: @include is not supported: write all settings into this file\n"},
    {"a NUL in a string", "user = \"a\\x00b\";",
     "t.conf:1: \\x00 in a string: no setting can hold a NUL byte\n"},
};

#define COUNT (sizeof(cases) / sizeof(cases[0]))

static void test_errors(void **state)
{
    (void)state;
    wrong_lines(cases, COUNT);
}

static void test_every_cut(void **state)
{
    (void)state;
    wrong_at_every_cut(cases, COUNT);
}

static void test_nul_byte(void **state)
{
    static const char text[] = "workers = 1;\nuser = \"a\";\0\nworkers = 2;";
    struct buf errors;

    (void)state;
    assert_null(wrong_parse(text, sizeof(text) - 1, &errors));
    assert_string_equal(buf_cstr(&errors), "t.conf:2: a NUL byte: write the file as plain text\n");
    buf_clear(&errors);
}

/* The first 50 are shown, the others counted. */
static void test_many_errors(void **state)
{
    struct buf text, errors;
    size_t lines = 0;

    (void)state;
    buf_init(&text, 65536);
    for (int i = 0; i < 80; i++)
        buf_addf(&text, "bad%d = 1;\n", i);
    assert_null(wrong_parse(text.p, text.n, &errors));
    for (const char *p = buf_cstr(&errors); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 51);
    assert_non_null(strstr(buf_cstr(&errors), "t.conf:50: bad49 = 1: unknown key"));
    assert_non_null(strstr(buf_cstr(&errors), "t.conf: 30 further errors\n"));
    buf_clear(&errors);
    buf_clear(&text);
}

/* A value of any length and depth makes a short message and no crash. */
static void test_huge_values(void **state)
{
    struct buf text, errors;

    (void)state;
    buf_init(&text, (size_t)4 << 20);
    buf_add(&text, SLICE("tls: { level = \""));
    for (int i = 0; i < 1000000; i++)
        buf_addc(&text, 'x');
    buf_add(&text, SLICE("\"; };"));
    assert_null(wrong_parse(text.p, text.n, &errors));
    assert_in_range(errors.n, 100, 1000);
    buf_clear(&errors);

    buf_reset(&text);
    buf_add(&text, SLICE("destinations = "));
    for (int i = 0; i < 100000; i++)
        buf_addc(&text, '(');
    assert_null(wrong_parse(text.p, text.n, &errors));
    assert_in_range(errors.n, 1, 1000);
    buf_clear(&errors);
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_nul_byte),    cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_huge_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
