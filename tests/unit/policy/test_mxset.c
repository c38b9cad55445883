/* SPDX-License-Identifier: Apache-2.0 */
/* From MX records and addresses to the list of what to try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/buf.h"
#include "proxy/base/mem.h"
#include "proxy/policy/mxset.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* "10 a,20 b,0 ." to records; "." is the null MX. */
static size_t parse_records(const char *text, struct mx_record *out)
{
    struct slice one, rest = slice_str(text), word;
    unsigned long long preference = 0;
    size_t n = 0;

    while (rest.n > 0) {
        (void)slice_cut(rest, ',', &one, &rest);
        assert_true(slice_word(&one, &word) && slice_u64(word, 65535, &preference));
        assert_true(slice_word(&one, &word));
        out[n].preference = (uint16_t)preference;
        (void)snprintf(out[n].host, sizeof(out[n].host), "%.*s",
                       slice_eq(word, SLICE(".")) ? 0 : (int)word.n, word.p);
        n++;
    }
    return n;
}

static void test_sort(void **state)
{
    static const struct {
        const char *records;
        enum mx_kind kind;
        const char *want;
        size_t refused;
    } cases[] = {
        {"", MX_NONE, "", 0}, /* C-MX-02 */
        {"10 a", MX_LIST, "a ", 0},
        {"30 c,10 a,20 b", MX_LIST, "a b c ", 0}, /* C-MX-01 */
        {"65535 z,0 y", MX_LIST, "y z ", 0},
        {"0 .", MX_NULL, "", 0}, /* C-MX-04 */
        {"7 .", MX_NULL, "", 0},
        {"0 .,10 a", MX_LIST, "a ", 1},
        {"0 .,5 .", MX_UNUSABLE, "", 2},
        {"10 192.0.2.1", MX_UNUSABLE, "", 1}, /* C-MX-06 */
        {"10 [192.0.2.1],20 a", MX_LIST, "a ", 1},
        {"10 2001:db8::1,20 a", MX_LIST, "a ", 1},
        {"10 localhost,20 x.localhost,30 localhost.localdomain", MX_UNUSABLE, "", 3},
        {"10 localhost.example,20 notlocalhost", MX_LIST, "localhost.example notlocalhost ", 0},
        {"20 a,10 b,5 a,7 b,6 c", MX_LIST, "a c b ", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mx_record records[10];
        size_t refused = 99, n = parse_records(cases[i].records, records);
        struct buf got;

        buf_init(&got, 1000);
        assert_int_equal(mx_sort(records, &n, 1, &refused), cases[i].kind);
        for (size_t k = 0; k < n; k++)
            assert_true(buf_addf(&got, "%s ", records[k].host));
        assert_string_equal(buf_cstr(&got), cases[i].want);
        assert_int_equal(refused, cases[i].refused);
        buf_clear(&got);
    }
}

/* RFC 5321 5.1, C-MX-01: each of the equal hosts comes first about equally often, and the worse
 * preference never before them; the seed alone decides, not the order of the records. */
static void test_shuffle(void **state)
{
    static const char records[] = "10 a,10 b,10 c,10 d,20 e";
    static const char turned[] = "20 e,10 d,10 b,10 a,10 c";
    unsigned first[4] = {0}, second[4] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct mx_record x[5], y[5];
        size_t n = parse_records(records, x), m = parse_records(turned, y), refused;

        assert_int_equal(mx_sort(x, &n, seed, &refused), MX_LIST);
        assert_int_equal(mx_sort(y, &m, seed, &refused), MX_LIST);
        assert_int_equal(n, 5);
        assert_string_equal(x[4].host, "e");
        for (size_t i = 0; i < n; i++)
            assert_string_equal(x[i].host, y[i].host);
        first[x[0].host[0] - 'a']++;
        second[x[1].host[0] - 'a']++;
    }
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(first[i], 900, 1100);
        assert_in_range(second[i], 900, 1100);
    }
}

/* RFC 5321 5.1, C-MX-01, once for each mail: a preference never goes before a better one, every order of the
 * equal ones comes about equally often, and each host once. */
static void test_order_for_each_mail(void **state)
{
    static const int preferences[] = {5, 10, 10, 10, 20, 20};
    unsigned orders[6][2] = {{0}};

    (void)state;
    for (uint64_t seed = 0; seed < 6000; seed++) {
        size_t order[6];

        mx_order(preferences, 6, seed * UINT64_C(0x9e3779b97f4a7c15), order);
        assert_int_equal(order[0], 0);
        assert_int_equal(order[1] + order[2] + order[3], 1 + 2 + 3);
        assert_int_equal(order[4] + order[5], 4 + 5);
        for (size_t i = 1; i < 6; i++) {
            assert_int_equal(preferences[order[i]], preferences[i]);
            assert_true(order[i] != order[i - 1]);
        }
        assert_true(order[1] != order[3]);
        orders[(order[1] - 1) * 2 + (order[2] > order[3])][order[4] == 5]++;
    }
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 2; k++)
            assert_in_range(orders[i][k], 400, 600);
    mx_order(preferences, 0, 1, NULL);
}

static void test_many_records(void **state)
{
    size_t count = 5000, refused;
    struct mx_record *records = mem_array(count, sizeof(*records));

    (void)state;
    for (size_t i = 0; i < count; i++) {
        records[i].preference = (uint16_t)(count - i);
        (void)snprintf(records[i].host, sizeof(records[i].host), "mx%zu.example", i);
    }
    assert_int_equal(mx_sort(records, &count, 1, &refused), MX_LIST);
    assert_int_equal(count, MX_HOSTS_MAX);
    assert_int_equal(refused, 5000 - MX_HOSTS_MAX);
    assert_string_equal(records[0].host, "mx4999.example");
    free(records);
}

static struct addr address(const char *text, uint16_t port)
{
    struct addr a;

    if (!addr_parse(slice_str(text), &a))
        fail_msg("no address: %s", text);
    a.port = port;
    return a;
}

/* C-MX-06, every class. */
static void test_judge(void **state)
{
    static const struct {
        const char *addr;
        enum addr_refusal strict, lax; /* allow_private_mx off and on */
    } cases[] = {
        {"192.0.2.1", ADDR_ACCEPTED, ADDR_ACCEPTED},
        {"2001:db8::1", ADDR_ACCEPTED, ADDR_ACCEPTED},
        {"127.0.0.1", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"127.9.9.9", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"::1", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"::ffff:127.0.0.1", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"0.0.0.0", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"::", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"224.0.0.1", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"255.255.255.255", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"ff02::1", ADDR_REFUSED_CLASS, ADDR_REFUSED_CLASS},
        {"10.0.0.5", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"172.16.0.1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"192.168.1.1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"100.64.0.1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"169.254.1.1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"fd00::1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"fe80::1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"64:ff9b::10.0.0.1", ADDR_REFUSED_PRIVATE, ADDR_ACCEPTED},
        {"198.51.100.25", ADDR_REFUSED_SELF, ADDR_REFUSED_SELF},
        {"::ffff:198.51.100.25", ADDR_REFUSED_SELF, ADDR_REFUSED_SELF},
        {"198.51.100.26", ADDR_ACCEPTED, ADDR_ACCEPTED}, /* ours, but on another port */
        {"10.0.0.25", ADDR_REFUSED_SELF, ADDR_REFUSED_SELF},
    };
    const struct addr own[] = {address("198.51.100.25", 25), address("198.51.100.26", 2525),
                               address("10.0.0.25", 25)};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr a = address(cases[i].addr, 25);
        struct addr_filter f = {.own = own, .own_count = COUNT(own), .mx_port = 25};

        assert_int_equal(addr_judge(&f, &a), cases[i].strict);
        f.allow_private = true;
        assert_int_equal(addr_judge(&f, &a), cases[i].lax);
    }
}

/* A listener on every address is all the addresses of this host. */
static void test_judge_wildcard_listener(void **state)
{
    const struct addr own[] = {address("0.0.0.0", 25)};
    const struct addr local[] = {address("192.0.2.9", 0), address("2001:db8::9", 0)};
    const struct addr a = address("192.0.2.9", 25), b = address("192.0.2.10", 25),
                      c = address("2001:db8::9", 25);
    struct addr_filter f = {
        .own = own, .own_count = 1, .local = local, .local_count = COUNT(local), .mx_port = 25};

    (void)state;
    assert_int_equal(addr_judge(&f, &a), ADDR_REFUSED_SELF);
    assert_int_equal(addr_judge(&f, &b), ADDR_ACCEPTED);
    assert_int_equal(addr_judge(&f, &c), ADDR_REFUSED_SELF);
    f.mx_port = 26;
    assert_int_equal(addr_judge(&f, &a), ADDR_ACCEPTED);
}

/* Hosts are separated by "/"; an IPv4 address is "4x", an IPv6 address "6x" with one digit. */
static void test_targets(void **state)
{
    static const struct {
        const char *hosts;
        size_t limit;
        bool broken;
        const char *want;
    } cases[] = {
        {"", 5, false, ""},
        {"41", 5, false, "0:41 "},
        {"61", 5, false, "0:61 "},
        {"41 42 61 62", 5, false, "0:61 0:41 0:62 0:42 "}, /* C-MX-10: alternated */
        {"41 42 61 62", 5, true, "0:41 0:42 0:61 0:62 "},  /* C-MX-10: broken IPv6 last */
        {"41 42 43 61", 5, false, "0:61 0:41 0:42 0:43 "},
        {"41 61 62 63", 5, false, "0:61 0:41 0:62 0:63 "},
        {"61 62/41 42", 5, false, "0:61 0:62 1:41 1:42 "},
        {"61 62/41 42", 5, true, "0:61 0:62 1:41 1:42 "},
        {"/41//61", 5, false, "1:41 3:61 "},
        {"41 42 43 44 45 46", 5, false, "0:41 0:42 0:43 0:44 0:45 "},
        /* C-MX-01: both families inside the limit */
        {"41 42 43/61", 3, false, "0:41 0:42 1:61 "},
        {"61 62 63/64/41 42", 3, false, "0:61 0:62 2:41 "},
        {"41 42 43 61", 3, true, "0:41 0:42 0:61 "},
        {"41 42 61 62", 2, false, "0:61 0:41 "},
        {"41 61", 1, false, "0:61 "},
        {"41 61", 1, true, "0:41 "},
        {"41 61", 0, false, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice rest = slice_str(cases[i].hosts), host, word;
        struct mx_addresses hosts[8];
        struct addr addrs[8][8];
        struct mx_target out[8];
        struct buf got;
        size_t count = 0, n;
        bool more = rest.n > 0;

        for (; more; count++) {
            size_t k = 0;

            more = slice_cut(rest, '/', &host, &rest);
            for (; slice_word(&host, &word); k++) {
                addrs[count][k] = address(word.p[0] == '4' ? "192.0.2.0" : "2001:db8::", 25);
                addrs[count][k].ip[word.p[0] == '4' ? 3 : 15] = (uint8_t)word.p[1];
            }
            hosts[count] = (struct mx_addresses){addrs[count], k};
        }
        buf_init(&got, 1000);
        n = mx_targets(hosts, count, cases[i].limit, cases[i].broken, out);
        for (size_t k = 0; k < n; k++) {
            bool is4 = out[k].addr.family == ADDR_IP4;

            assert_true(buf_addf(&got, "%zu:%c%c ", out[k].host, is4 ? '4' : '6',
                                 out[k].addr.ip[is4 ? 3 : 15]));
        }
        assert_string_equal(buf_cstr(&got), cases[i].want);
        buf_clear(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_order_for_each_mail),
        cmocka_unit_test(test_many_records),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_judge_wildcard_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
