/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: text, networks, classes (C-MX-06, C-IN-08). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/addr.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct addr parsed(const char *text)
{
    struct addr a = {.family = ADDR_NONE};

    assert_true(addr_parse(slice_str(text), &a));
    return a;
}

static void text_and_back(void **state)
{
    static const struct {
        const char *in, *out, *with_port;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.1:25"},
        {"2001:db8::1", "2001:db8::1", "[2001:db8::1]:25"},
        {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1", "[2001:db8::1]:25"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:25"},
        {"fe80::1%2", "fe80::1%2", "[fe80::1%2]:25"},
    };
    char out[ADDR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr a = parsed(cases[i].in);

        assert_int_equal(a.port, 0);
        a.port = 25;
        assert_string_equal(addr_text(&a, out), cases[i].out);
        assert_string_equal(addr_port_text(&a, out), cases[i].with_port);
    }
    assert_string_equal(addr_text(&(struct addr){.family = ADDR_NONE}, out), "-");
}

static void what_is_no_address_is_refused(void **state)
{
    static const struct slice cases[] = {
        {"", 0},
        {"192.0.2", 7},
        {"192.0.2.256", 11},
        {"192.0.2.01", 10},
        {" 192.0.2.1", 10},
        {"192.0.2.1 ", 10},
        {"192.0.2.1%1", 11},
        {"192.0.2.1\0x", 11},
        {"fe80::1%eth0", 12},
        {"fe80::1%", 8},
        {"1:2:3:4:5:6:7:8:9", 17},
        {"[::1]", 5},
        {"mx.example.org", 14},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", 54},
    };
    struct addr a;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_false(addr_parse(cases[i], &a));
}

static void networks_hold_their_addresses(void **state)
{
    static const struct {
        const char *net, *addr;
        bool in;
    } cases[] = {
        {"127.0.0.0/8", "127.255.0.1", true},
        {"127.0.0.0/8", "128.0.0.1", false},
        {"127.0.0.0/8", "::ffff:127.0.0.1", true}, /* a dual-stack listener's view */
        {"127.0.0.0/8", "::1", false},
        {"192.0.2.128/25", "192.0.2.129", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::/0", "2001:db8::1", true},
        {"::ffff:0:0/96", "::ffff:192.0.2.1", true},
    };
    static const char *const broken[] = {"",       "/8",          "10.0.0.0/",   "10.0.0.0/33",
                                         "::/129", "10.0.0.0/-1", "10.0.0.0/8/8"};
    struct addr_net net;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr a = parsed(cases[i].addr);

        assert_true(addr_net_parse(slice_str(cases[i].net), &net));
        assert_int_equal(addr_in_net(&a, &net), cases[i].in);
    }
    for (size_t i = 0; i < COUNT(broken); i++)
        assert_false(addr_net_parse(slice_str(broken[i]), &net));
    assert_true(addr_net_parse(SLICE("0.0.0.0/0"), &net));
    assert_false(addr_in_net(&(struct addr){.family = ADDR_NONE}, &net));
}

static void classes_of_c_mx_06(void **state)
{
    static const struct {
        const char *addr;
        enum addr_class class;
    } cases[] = {
        {"192.0.2.1", ADDR_PUBLIC},
        {"8.8.8.8", ADDR_PUBLIC},
        {"2001:db8::1", ADDR_PUBLIC},
        {"10.0.0.5", ADDR_PRIVATE},
        {"172.15.255.255", ADDR_PUBLIC},
        {"172.16.0.1", ADDR_PRIVATE},
        {"172.31.255.255", ADDR_PRIVATE},
        {"172.32.0.1", ADDR_PUBLIC},
        {"192.168.1.1", ADDR_PRIVATE},
        {"100.64.0.1", ADDR_PRIVATE},
        {"100.127.255.255", ADDR_PRIVATE},
        {"100.128.0.1", ADDR_PUBLIC},
        {"169.254.169.254", ADDR_PRIVATE},
        {"fe80::1", ADDR_PRIVATE},
        {"febf::1", ADDR_PRIVATE},
        {"fec0::1", ADDR_PRIVATE},
        {"fc00::1", ADDR_PRIVATE},
        {"fdff::1", ADDR_PRIVATE},
        {"127.0.0.1", ADDR_LOOPBACK},
        {"127.8.8.8", ADDR_LOOPBACK},
        {"::1", ADDR_LOOPBACK},
        {"0.0.0.0", ADDR_UNSPECIFIED},
        {"0.1.2.3", ADDR_UNSPECIFIED},
        {"::", ADDR_UNSPECIFIED},
        {"224.0.0.1", ADDR_MULTICAST},
        {"239.255.255.255", ADDR_MULTICAST},
        {"240.0.0.1", ADDR_MULTICAST},
        {"255.255.255.255", ADDR_MULTICAST},
        {"ff02::1", ADDR_MULTICAST},
        {"::ffff:127.0.0.1", ADDR_LOOPBACK},
        {"::ffff:10.0.0.1", ADDR_PRIVATE},
        {"::ffff:192.0.2.1", ADDR_PUBLIC},
        {"::127.0.0.1", ADDR_LOOPBACK},
        {"64:ff9b::7f00:1", ADDR_LOOPBACK},
        {"64:ff9b::192.168.0.1", ADDR_PRIVATE},
        {"64:ff9b::192.0.2.1", ADDR_PUBLIC},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr a = parsed(cases[i].addr);

        if (addr_class(&a) != cases[i].class)
            fail_msg("%s is %s", cases[i].addr, addr_class_name(addr_class(&a)));
    }
    assert_string_equal(addr_class_name(ADDR_LOOPBACK), "loopback");
}

static void the_same_address(void **state)
{
    struct addr a = parsed("127.0.0.1"), b = parsed("::ffff:127.0.0.1"), c = parsed("127.0.0.2");
    struct addr link1 = parsed("fe80::1%1"), link2 = parsed("fe80::1%2");

    (void)state;
    assert_true(addr_same_ip(&a, &b));
    assert_false(addr_same_ip(&a, &c));
    assert_false(addr_same_ip(&link1, &link2));
    assert_true(addr_same(&a, &b));
    b.port = 25;
    assert_true(addr_same_ip(&a, &b));
    assert_false(addr_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(networks_hold_their_addresses),
        cmocka_unit_test(classes_of_c_mx_06),
        cmocka_unit_test(the_same_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
