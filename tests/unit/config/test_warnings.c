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
