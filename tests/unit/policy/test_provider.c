/* SPDX-License-Identifier: Apache-2.0 */
/* The provider of an MX host is its registrable domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/policy/provider.h"

static void test_provider(void **state)
{
    static const struct {
        const char *host, *want;
    } cases[] = {
        {"contoso-com.mail.protection.outlook.com", "outlook.com"},
        {"aspmx.l.google.com", "google.com"},
        {"mx.example.co.uk", "example.co.uk"},
        {"example.com", "example.com"},
        {"com", "com"},
        {"co.uk", "co.uk"},
        {"mx.internal-name", "mx.internal-name"},
        {"localhost", "localhost"},
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[192.0.2.1]", "[192.0.2.1]"},
        {"mx.xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *host = cases[i].host, *provider = provider_of(host);

        assert_string_equal(provider, cases[i].want);
        assert_true(provider >= host && provider <= host + strlen(host)); /* points into it */
    }
    assert_true(strlen(provider_library_version()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_provider)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
