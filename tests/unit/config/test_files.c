/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations read from files, and the files and users that they name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/settings.h"

static void test_load(void **state)
{
    struct buf errors;

    (void)state;
    buf_init(&errors, 4096);
    assert_null(settings_load("/nonexistent/t.conf", &errors));
    assert_string_equal(
        buf_cstr(&errors),
        "/nonexistent/t.conf: No such file or directory: name a file that can be read\n");
    buf_reset(&errors);
    assert_null(settings_load("/", &errors));
    assert_string_equal(buf_cstr(&errors), "/: Is a directory: name a file that can be read\n");
    buf_clear(&errors);
}

/* What settings name must be there, and each missing thing is said with its line. */
static void test_missing_files(void **state)
{
    static const char text[] =
        "user = \"no-such-user\";\n"
        "tls: { trust_store = \"/nonexistent/a\";\n"
        "       crl_files = [ \"/dev/null\", \"/nonexistent/b\" ]; };\n"
        "destinations = ( { match = \"*\"; ca_file = \"/nonexistent/c\"; } );\n"
        "resolver: { trust_anchor = \"/nonexistent/d\"; };\n"
        "log: { sinks = ( { kind = \"file\"; path = \"/nonexistent/e\"; },\n"
        "                 { kind = \"file\"; path = \"/tmp\"; } ); };\n"
        "store: { path = \"/nonexistent/f\"; };\n"; /* no error: mail goes on from memory */
    static const char *const wanted[] = {
        "t.conf:1: user = \"no-such-user\": no such user: create it",
        "t.conf:2: tls.trust_store = \"/nonexistent/a\": /nonexistent/a: No such file",
        "t.conf:3: tls.crl_files = [ \"/dev/null\", \"/nonexistent/b\" ]: /dev/null: not a file",
        "/nonexistent/b: No such file",
        "t.conf:4: destinations[0].ca_file = \"/nonexistent/c\": /nonexistent/c: No such file",
        "t.conf:5: resolver.trust_anchor = \"/nonexistent/d\": /nonexistent/d: No such file",
        "t.conf:6: log.sinks[0].path = \"/nonexistent/e\": its directory is not there",
        "t.conf:7: log.sinks[1].path = \"/tmp\": a directory: name a file in it",
    };
    struct buf errors;

    (void)state;
    buf_init(&errors, 65536);
    assert_null(settings_parse(text, sizeof(text) - 1, "t.conf", true, &errors));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strstr(buf_cstr(&errors), wanted[i]) == NULL)
            fail_msg("no \"%s\" in:\n%s", wanted[i], buf_cstr(&errors));
    assert_null(strstr(buf_cstr(&errors), "store.path"));
    buf_clear(&errors);
}

/* C-STS-09: a store that cannot be written never stops mail, so no path of it is an error. */
static void test_store_path(void **state)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"store: { path = \"/tmp/no-such-store.db\"; };", "/tmp/no-such-store.db"},
        {"store: { path = \"\"; };", ""},
        {"", "/var/lib/tlsmend/tlsmend.db"},
        {"store: { path = \"/tmp\"; };", "/tmp"},
        {"store: { path = \"/nonexistent/f\"; };", "/nonexistent/f"},
        {"store: { path = \"/dev/null/f\"; };", "/dev/null/f"},
    };
    struct buf errors;

    (void)state;
    buf_init(&errors, 4096);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings *s =
            settings_parse(cases[i].text, strlen(cases[i].text), "t.conf", true, &errors);

        assert_string_equal(buf_cstr(&errors), "");
        assert_non_null(s);
        assert_string_equal(s->store.path, cases[i].path);
        settings_drop(&s);
        buf_reset(&errors);
    }
    buf_clear(&errors);
}

/* C-DANE-01: a default anchor that is missing is a warning, unless validation is required. */
static void test_required_anchor(void **state)
{
    static const char text[] = "resolver: { require_dnssec = true; };";
    struct buf errors;
    struct settings *s;

    (void)state;
    buf_init(&errors, 4096);
    s = settings_parse(text, sizeof(text) - 1, "t.conf", true, &errors);
    if (access("/usr/share/dns/root.key", R_OK) == 0) {
        assert_non_null(s);
        assert_string_equal(s->resolver.trust_anchor, "/usr/share/dns/root.key");
    } else {
        assert_null(s);
        assert_non_null(strstr(buf_cstr(&errors), "t.conf:1: resolver.require_dnssec = true: "
                                                  "/usr/share/dns/root.key cannot be read: "));
    }
    settings_drop(&s);
    buf_clear(&errors);
}

/* The sample needs no file but the system's trust store; a missing default anchor is no error, the
 * source says it. */
static void test_sample_loads(void **state)
{
    struct buf errors, out;
    struct settings *s;

    (void)state;
    buf_init(&errors, 4096);
    buf_init(&out, 65536);
    s = settings_load(SOURCE_DIR "/config/tlsmend.conf", &errors);
    if (s == NULL) {
        fail_msg("%s", buf_cstr(&errors));
        return;
    }
    assert_string_equal(s->path, SOURCE_DIR "/config/tlsmend.conf");
    settings_print(s, &out);
    if (s->resolver.trust_anchor[0] == '\0')
        assert_non_null(strstr(buf_cstr(&out), "root.key cannot be read\n"));
    else
        assert_non_null(
            strstr(buf_cstr(&out), "resolver.trust_anchor = \"/usr/share/dns/root.key"));
    settings_drop(&s);

    s = settings_load(NULL, &errors);
    assert_non_null(s);
    assert_string_equal(s->path, "");
    settings_drop(&s);
    buf_clear(&errors);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),         cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_store_path),   cmocka_unit_test(test_required_anchor),
        cmocka_unit_test(test_sample_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
