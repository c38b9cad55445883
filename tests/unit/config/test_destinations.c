/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrong rows of destinations: each must be refused with exactly these lines (file:line, key, value,
 * mend).
 */
#include "tests/unit/config/wrong_case.h"

static const struct wrong_case cases[] = {
    {"destination without match", "destinations = ( { level = \"may\"; } );",
     "t.conf:1: destinations[0] = { ... }: match is missing: add match, text in quotes\n"},
    {"match of an address", "destinations = ( { match = \"postmaster@a.example\"; } );",
     "t.conf:1: destinations[0].match = \"postmaster@a.example\": write the domain alone, "
     "\"a.example\": rows apply to domains\n"},
    {"match with a star label", "destinations = ( { match = \"*.a.example\"; } );",
     "t.conf:1: destinations[0].match = \"*.a.example\": write \".a.example\" for all domains "
     "below it\n"},
    {"match that is not ASCII", "destinations = ( { match = \"b\303\274cher.example\"; } );",
     "t.conf:1: destinations[0].match = \"b\303\274cher.example\": not ASCII: write the A-label of "
     "this name (xn--...)\n"},
    {"match with an empty label", "destinations = ( { match = \"a..example\"; } );",
     "t.conf:1: destinations[0].match = \"a..example\": write a domain, \".parent\", \"mx:host\", "
     "\"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"\n"},
    {"match mx: alone", "destinations = ( { match = \"mx:\"; } );",
     "t.conf:1: destinations[0].match = \"mx:\": write a domain, \".parent\", \"mx:host\", "
     "\"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"\n"},
    {"match of an address without brackets", "destinations = ( { match = \"192.0.2.1\"; } );",
     "t.conf:1: destinations[0].match = \"192.0.2.1\": write a domain, \".parent\", \"mx:host\", "
     "\"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"\n"},
    {"match of a bad literal", "destinations = ( { match = \"[2001:db8::1]\"; } );",
     "t.conf:1: destinations[0].match = \"[2001:db8::1]\": write a domain, \".parent\", "
     "\"mx:host\", \"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"\n"},
    {"same match twice",
     "destinations = (\n { match = \"a.example\"; },\n { match = \"b.example\"; },\n { match = "
     "\"A.Example.\"; }\n);",
     "t.conf:4: destinations[2].match = \"a.example\": t.conf:2 has that match already: make one "
     "row of both\n"},
    {"fingerprint without pins",
     "destinations = ( { match = \"a.example\"; level = \"fingerprint\"; } );",
     "t.conf:1: destinations[0].level = \"fingerprint\": pins are missing: add fingerprints = [ "
     "\"sha256:...\" ]\n"},
    {"fingerprint, short",
     "destinations = ( { match = \"a.example\"; fingerprints = [ \"00:11\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = \"00:11\": write the list as [ \"sha256:...\" ], "
     "32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with or without colons\n"},
    {"fingerprint, no hex",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdxx\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = "
     "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdxx\": write the list as [ "
     "\"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with or without colons\n"},
    {"fingerprint, SHA-256 said to be SHA-512",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = "
     "\"sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\": write the list "
     "as [ \"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with or without "
     "colons\n"},
    {"fingerprint, SHA-1",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"0123456789abcdef0123456789abcdef01234567\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = \"0123456789abcdef0123456789abcdef01234567\": "
     "write the list as [ \"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with "
     "or without colons\n"},
    {"fingerprint, colons at random",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"01:23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = "
     "\"01:23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\": write the list as [ "
     "\"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with or without colons\n"},
    {"names with a blank", "destinations = ( { match = \"a.example\"; names = [ \"mx a\" ]; } );",
     "t.conf:1: destinations[0].names = [ \"mx a\" ]: write hostname, nexthop, dot-nexthop, a host "
     "name, or .name\n"},
    {"names with a star",
     "destinations = ( { match = \"a.example\"; names = [ \"*.a.example\" ]; } );",
     "t.conf:1: destinations[0].names = [ \"*.a.example\" ]: write hostname, nexthop, dot-nexthop, "
     "a host name, or .name\n"},
    {"names not ASCII",
     "destinations = ( { match = \"a.example\"; names = [ \"b\303\274cher.example\" ]; } );",
     "t.conf:1: destinations[0].names = [ \"b\303\274cher.example\" ]: not ASCII: write the "
     "A-label of this name (xn--...)\n"},
    {"expires in words", "destinations = ( { match = \"a.example\"; expires = \"31.1.2027\"; } );",
     "t.conf:1: destinations[0].expires = \"31.1.2027\": write a real day in quotes (ISO 8601, "
     "UTC): \"2027-01-31\" or \"2027-01-31T12:00:00Z\"\n"},
    {"expires on no real day",
     "destinations = ( { match = \"a.example\"; expires = \"2027-02-29\"; } );",
     "t.conf:1: destinations[0].expires = \"2027-02-29\": write a real day in quotes (ISO 8601, "
     "UTC): \"2027-01-31\" or \"2027-01-31T12:00:00Z\"\n"},
    {"expires as a number", "destinations = ( { match = \"a.example\"; expires = 20270131; } );",
     "t.conf:1: destinations[0].expires = 20270131: write a real day in quotes (ISO 8601, UTC): "
     "\"2027-01-31\" or \"2027-01-31T12:00:00Z\"\n"},
    {"expires in 1970", "destinations = ( { match = \"a.example\"; expires = \"1970-01-01\"; } );",
     "t.conf:1: destinations[0].expires = \"1970-01-01\": write a real day in quotes (ISO 8601, "
     "UTC): \"2027-01-31\" or \"2027-01-31T12:00:00Z\"\n"},
    {"route without host", "destinations = ( { match = \"a.example\"; route = { port = 25; }; } );",
     "t.conf:1: destinations[0].route = { ... }: host is missing: add host, text in quotes\n"},
    {"route as text", "destinations = ( { match = \"a.example\"; route = \"mx.example:25\"; } );",
     "t.conf:1: destinations[0].route = \"mx.example:25\": write a group in braces: route: { ... "
     "}\n"},
    {"route with a port in host",
     "destinations = ( { match = \"a.example\"; route = { host = \"mx.example:25\"; }; } );",
     "t.conf:1: destinations[0].route.host = \"mx.example:25\": write a host name or an IP "
     "address, without brackets or port\n"},
    {"route of an MX row",
     "destinations = ( { match = \"mx:.b.example\"; route = { host = \"mx.example\"; }; } );",
     "t.conf:1: destinations[0].route.host = \"mx.example\": a route belongs to a domain, this row "
     "to an MX host: write the domain in match, or take route out\n"},
    {"fingerprint, a colon too many",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:"
     "0a:0a:\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = "
     "\"0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:"
     "0a:0a:\": write the list as [ \"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in "
     "hex, with or without colons\n"},
    {"fingerprint, one colon is none",
     "destinations = ( { match = \"a.example\"; fingerprints = [ "
     "\"0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a-0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:"
     "0a:0a\" ]; } );",
     "t.conf:1: destinations[0].fingerprints[0] = "
     "\"0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a-0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:0a:"
     "0a:0a\": write the list as [ \"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in "
     "hex, with or without colons\n"},
    {"match with a label of 64 letters",
     "destinations = ( { match = "
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example\"; } );",
     "t.conf:1: destinations[0].match = "
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example\": write a "
     "domain, \".parent\", \"mx:host\", \"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or "
     "\"*\"\n"},
    {"match of 254 letters",
     "destinations = ( { match = "
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"; } );",
     "t.conf:1: destinations[0].match = "
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": write a domain, \".parent\", "
     "\"mx:host\", \"mx:.suffix\", \"[192.0.2.1]\", \"[IPv6:2001:db8::1]\" or \"*\"\n"},
    {"dane for one literal", "destinations = ( { match = \"[192.0.2.1]\"; level = \"dane\"; } );",
     "t.conf:1: destinations[0].level = \"dane\": an address literal has no name and so no TLSA "
     "records: write \"encrypt\", or pin fingerprints\n"},
    {"dane-only for one literal",
     "destinations = ( { match = \"[IPv6:2001:db8::1]\"; level = \"dane-only\"; } );",
     "t.conf:1: destinations[0].level = \"dane-only\": an address literal has no name and so no "
     "TLSA "
     "records: write \"encrypt\", or pin fingerprints\n"},
    {"dane-only by a route to an address",
     "destinations = ( { match = \"a.example\"; level = \"dane-only\";\n route = { host = "
     "\"10.0.0.5\"; }; } );",
     "t.conf:1: destinations[0].level = \"dane-only\": the route is an address, which has no TLSA "
     "records: write the host's name in route, or another level\n"},
    {"override without a level",
     "destinations = ( { match = \"a.example\";\n expires = \"2027-01-31\"; override_policy = "
     "true; } "
     ");",
     "t.conf:2: destinations[0].override_policy = true: it is the level of this row that "
     "overrules: "
     "add level, such as level = \"encrypt\"\n"},
    {"override without an end",
     "destinations = ( { match = \"a.example\"; level = \"may\";\n override_policy = true; } );",
     "t.conf:2: destinations[0].override_policy = true: an exception from MTA-STS and DANE must "
     "end: "
     "add expires, such as expires = \"2027-01-31\"\n"},
    {"override without either", "destinations = ( { match = \"*\"; override_policy = true; } );",
     "t.conf:1: destinations[0].override_policy = true: it is the level of this row that "
     "overrules: "
     "add level, such as level = \"encrypt\"\n"
     "t.conf:1: destinations[0].override_policy = true: an exception from MTA-STS and DANE must "
     "end: "
     "add expires, such as expires = \"2027-01-31\"\n"},
    {"override of DANE by DANE",
     "destinations = ( { match = \"a.example\"; level = \"dane\"; expires = \"2027-01-31\"; "
     "override_policy = true; } );",
     "t.conf:1: destinations[0].level = \"dane\": DANE cannot overrule DANE: write another level, "
     "or "
     "take override_policy out\n"},
    {"override as a word",
     "destinations = ( { match = \"a.example\"; override_policy = \"yes\"; } );",
     "t.conf:1: destinations[0].override_policy = \"yes\": write true or false, without quotes\n"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
