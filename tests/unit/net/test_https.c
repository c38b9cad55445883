/* SPDX-License-Identifier: Apache-2.0 */
/* test_https - C-STS-04: one GET against servers that answer well, badly, slowly or not at all. */
#include "tests/unit/net/https_server.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PLAIN "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

static void expect(const struct fetch *f, enum https_end want, const char *detail)
{
    if (f->answer.end != want || strstr(f->answer.detail, detail) == NULL)
        fail_msg("wanted %s \"%s\", got %s \"%s\"", https_end_name(want), detail,
                 https_end_name(f->answer.end), f->answer.detail);
    assert_int_equal(f->answer.tls_reason != REASON_OK, want == HTTPS_TLS || want == HTTPS_CERT);
    for (const char *c = f->answer.detail; *c != '\0'; c++)
        assert_true(*c >= ' ' && *c <= '~');
}

/* ---- what is asked ---- */

/* C-STS-04, C-TLS-07 */
static void the_request(void **state)
{
    struct server s = {.answer = PLAIN "Content-Length: 14\r\n\r\nversion: STSv1"};
    struct fetch f;

    (void)state;
    fetch_init(&f);
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_OK, "");
    assert_int_equal(f.answer.status, 200);
    assert_true(f.answer.has_content_type);
    assert_string_equal(f.answer.content_type, "text/plain");
    assert_string_equal(f.body, "version: STSv1");
    assert_true(addr_same(&f.answer.peer, &s.at));
    assert_true(f.answer.took_ms >= 0 && f.answer.took_ms < 4000);
    fetch_end(&f);
    server_join(&s);
    assert_string_equal(s.request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"
                                   "Host: mx.example\r\n"
                                   "User-Agent: tlsmend\r\n"
                                   "Accept: text/plain\r\n"
                                   "Accept-Encoding: identity\r\n"
                                   "Connection: close\r\n\r\n");
    assert_string_equal(s.peer.sni, "mx.example");
}

static void a_host_that_breaks_out_of_its_line(void **state)
{
    static const char *const hosts[] = {"mx.example\r\nX: y", "mx example", "m\xc3\xbc.example",
                                        ""};

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(hosts); i++) {
        struct fetch f;

        fetch_init(&f);
        f.addrs[f.req.addr_count++] = server_nobody();
        *(i % 2 ? &f.req.host : &f.req.path) = hosts[i / 2];
        fetch_run(&f);
        expect(&f, HTTPS_PROTOCOL, "cannot stand");
        fetch_end(&f);
    }
}

/* ---- answers ---- */

static void answers(void **state)
{
    static const struct {
        const char *name, *answer;
        enum serve_end end;
        enum https_end want;
        int status;
        const char *body, *detail;
    } cases[] = {
        {"length, and the server stays", PLAIN "Content-Length: 5\r\n\r\nhello", SERVE_LINGER,
         HTTPS_OK, 200, "hello", ""},
        {"length, then cut", PLAIN "Content-Length: 5\r\n\r\nhello", SERVE_CUT, HTTPS_OK, 200,
         "hello", ""},
        {"length, then reset", PLAIN "Content-Length: 5\r\n\r\nhello", SERVE_RESET, HTTPS_OK, 200,
         "hello", ""},
        {"chunks", PLAIN "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", SERVE_LINGER,
         HTTPS_OK, 200, "hello", ""},
        {"to the end", PLAIN "\r\nhello", SERVE_BYE, HTTPS_OK, 200, "hello", ""},
        {"empty body", PLAIN "Content-Length: 0\r\n\r\n", SERVE_LINGER, HTTPS_OK, 200, "", ""},
        {"100 first", "HTTP/1.1 100 Continue\r\n\r\n" PLAIN "Content-Length: 2\r\n\r\nhi",
         SERVE_LINGER, HTTPS_OK, 200, "hi", ""},
        {"301 is not followed",
         "HTTP/1.1 301 Moved\r\nLocation: https://mx.example/x\r\nContent-Length: 0\r\n\r\n",
         SERVE_LINGER, HTTPS_OK, 301, "", ""},
        {"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", SERVE_BYE, HTTPS_OK, 404,
         "no", ""},
        /* RFC 9112 9.8: the end may be somebody else's */
        {"to an end without close_notify", PLAIN "\r\nhello", SERVE_CUT, HTTPS_PROTOCOL, 0, "",
         "cut off in the middle of the answer: closed without close_notify"},
        {"to a reset", PLAIN "\r\nhello", SERVE_RESET, HTTPS_PROTOCOL, 0, "", "cut off"},
        {"cut in the body", PLAIN "Content-Length: 9\r\n\r\nhello", SERVE_CUT, HTTPS_PROTOCOL, 0,
         "", "cut off"},
        {"closed in the body", PLAIN "Content-Length: 9\r\n\r\nhello", SERVE_BYE, HTTPS_PROTOCOL, 0,
         "", "closed in the middle of the body (status 200)"},
        {"closed in the header", "HTTP/1.1 200 OK\r\nContent-", SERVE_BYE, HTTPS_PROTOCOL, 0, "",
         "closed in the middle of the header"},
        {"no answer", NULL, SERVE_BYE, HTTPS_PROTOCOL, 0, "", "closed without an answer"},
        {"no answer, no bye", NULL, SERVE_CUT, HTTPS_PROTOCOL, 0, "", "cut off without an answer"},
        {"garbage", "220 mx.example\x01\r\n", SERVE_LINGER, HTTPS_PROTOCOL, 0, "",
         "no answer of HTTP: \"220 mx.example\\x01"},
        {"gzip", PLAIN "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", SERVE_LINGER,
         HTTPS_PROTOCOL, 0, "", "Content-Encoding"},
        {"too large, said before", PLAIN "Content-Length: 101\r\n\r\n", SERVE_LINGER,
         HTTPS_TOO_LARGE, 0, "", "a body of 101 bytes"},
        {"too large",
         PLAIN "\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
               "012345678901234567890123456789X",
         SERVE_LINGER, HTTPS_TOO_LARGE, 0, "", "more than 100 bytes"},
        {"as large as may be",
         PLAIN "\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
               "012345678901234567890123456789",
         SERVE_BYE, HTTPS_OK, 200,
         "0123456789012345678901234567890123456789012345678901234567890123456789"
         "012345678901234567890123456789",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t piece = 0; piece < 2; piece++) { /* at once, and a record for each byte */
            struct server s = {.answer = cases[i].answer, .end = cases[i].end, .piece = piece};
            struct fetch f;

            if (piece == 1 && cases[i].want == HTTPS_PROTOCOL && cases[i].detail[0] == 'n')
                continue; /* its words are those of the first record */
            fetch_init(&f);
            s.peer.version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
            fetch_from(&f, &s);
            fetch_run(&f);
            print_message("%s\n", cases[i].name);
            expect(&f, cases[i].want, cases[i].detail);
            assert_int_equal(f.answer.status, cases[i].status);
            assert_string_equal(f.body, cases[i].body);
            assert_true(addr_same(&f.answer.peer, &s.at));
            fetch_end(&f);
            server_join(&s);
        }
}

/* A header without end is left before it is read to the end. */
static void header_flood(void **state)
{
    const struct slice begin = SLICE("HTTP/1.1 200 OK\r\nX: ");
    static char flood[600 * 1024];
    struct server s = {.answer = flood, .end = SERVE_LINGER, .piece = 16000};
    struct fetch f;

    (void)state;
    memset(flood, 'x', sizeof(flood) - 1);
    memcpy(flood, begin.p, begin.n);
    fetch_init(&f);
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_TOO_LARGE, "the header has more than 16384 bytes");
    fetch_end(&f);
    server_join(&s);
}

/* ---- time ---- */

/* Each byte comes in time, the whole does not. */
static void slow_drip(void **state)
{
    struct server s = {.answer = PLAIN "Content-Length: 50\r\n\r\n"
                                       "01234567890123456789012345678901234567890123456789",
                       .piece = 1,
                       .pause = 20000};
    struct fetch f;

    (void)state;
    fetch_init(&f);
    f.req.timeout = 300;
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_TIMEOUT, "within 300 ms, while reading the answer");
    assert_true(f.answer.took_ms >= 300 && f.answer.took_ms < 2000);
    fetch_end(&f);
    server_join(&s);
}

static void silence(void **state)
{
    static const struct {
        peer_script *script;
        const char *detail;
    } cases[] = {
        {server_silence, "while shaking hands"},
        {server_script, "while waiting for the answer"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server s = {.peer = {.script = cases[i].script}, .end = SERVE_LINGER};
        struct fetch f;

        fetch_init(&f);
        f.req.timeout = 500;
        fetch_from(&f, &s);
        fetch_run(&f);
        expect(&f, HTTPS_TIMEOUT, cases[i].detail);
        fetch_end(&f);
        server_join(&s);
    }
}

/* ---- certificates ---- */

static struct slice make_leaf(const char *const *dns, int64_t from_days, int64_t to_days)
{
    struct make leaf = {.subject = "leaf",
                        .issuer = "test root",
                        .key = make_key(LEAF_KEY),
                        .signer = make_key(CA_KEY),
                        .dns = dns,
                        .usage = "s",
                        .extended = "server",
                        .from = time(NULL) + from_days * TEST_DAY,
                        .to = time(NULL) + to_days * TEST_DAY};

    return make_cert(&leaf);
}

/* C-STS-04: the certificate must hold for that very host; nothing is sent before, and no other address is
 * asked. */
static void bad_certificates(void **state)
{
    static const char *const good[] = {"mx.example", NULL}, *const other[] = {"example", NULL};
    static const struct {
        enum reason why;
        const char *const *names;
        int64_t from, to;
        bool other_root;
        const char *detail;
    } cases[] = {
        {REASON_CERT_NAME_MISMATCH, other, -1, 1, false, "wanted mx.example, it names example"},
        {REASON_CERT_EXPIRED, good, -3, -1, false, ""},
        {REASON_CERT_NOT_YET_VALID, good, 1, 3, false, ""},
        {REASON_CERT_INCOMPLETE_CHAIN, good, -1, 1, true, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server s = {.answer = PLAIN "Content-Length: 0\r\n\r\n"};
        struct slice leaf = make_leaf(cases[i].names, cases[i].from, cases[i].to);
        struct fetch f;
        struct addr next;
        int waiting = server_socket(&next);
        struct pollfd asked = {.fd = waiting, .events = POLLIN};

        fetch_init(&f);
        if (cases[i].other_root) {
            trust_drop(&f.trust);
            f.trust = peer_trust(peer_other_root);
        }
        s.peer.chain[s.peer.chain_count++] = leaf;
        fetch_from(&f, &s);
        f.addrs[f.req.addr_count++] = next;
        fetch_run(&f);
        expect(&f, HTTPS_CERT, cases[i].detail);
        assert_int_equal(f.answer.tls_reason, cases[i].why);
        assert_true(addr_same(&f.answer.peer, &s.at));
        assert_int_equal(poll(&asked, 1, 0), 0);
        fetch_end(&f);
        server_join(&s);
        assert_string_equal(s.request, "");
        (void)close(waiting);
        make_free(&leaf);
    }
}

/* ---- addresses ---- */

static void no_address(void **state)
{
    struct fetch f;

    (void)state;
    fetch_init(&f);
    fetch_run(&f);
    expect(&f, HTTPS_CONNECT, "no address");
    assert_int_equal(f.answer.peer.family, ADDR_NONE);
    fetch_end(&f);
}

static void nobody_listens(void **state)
{
    struct fetch f;

    (void)state;
    fetch_init(&f);
    f.addrs[f.req.addr_count++] = server_nobody();
    f.addrs[f.req.addr_count++] = server_nobody();
    fetch_run(&f);
    expect(&f, HTTPS_CONNECT, "refused");
    assert_int_equal(f.answer.peer.family, ADDR_NONE);
    fetch_end(&f);
}

/* Clear text where TLS is due: no word of STARTTLS, which there is none of here. */
static void plain_http_on_the_port(void **state)
{
    struct server s = {.answer = "HTTP/1.1 400 Bad Request\r\n\r\n", .in_clear = true};
    struct fetch f;

    (void)state;
    fetch_init(&f);
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_TLS, "clear text instead of a TLS record: \"HTTP/1.1 400");
    assert_int_equal(f.answer.tls_reason, REASON_TLS_GARBAGE);
    fetch_end(&f);
    server_join(&s);
}

/* TLS 1.2 at least. */
static void old_tls(void **state)
{
    struct server s = {.peer = {.version = TLS1_1_VERSION}};
    struct fetch f;

    (void)state;
    fetch_init(&f);
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_TLS, "");
    assert_true(addr_same(&f.answer.peer, &s.at));
    fetch_end(&f);
    server_join(&s);
}

/* In TLS 1.3 the demand for a client certificate comes only behind the handshake. */
static void client_certificate(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct server s = {
            .peer = {.version = version, .wants_certificate = true, .insists = true}};
        struct fetch f;

        fetch_init(&f);
        fetch_from(&f, &s);
        fetch_run(&f);
        expect(&f, HTTPS_TLS, "");
        assert_int_equal(f.answer.tls_reason, REASON_TLS_CLIENT_CERT);
        fetch_end(&f);
        server_join(&s);
    }
}

enum first { REFUSES, CLEAR_TEXT, SILENT, OLD_TLS, FIRST_COUNT };

/* The second address works, whatever the first one does short of a certificate; a silent first one gets
 * its share of the time and no more. */
static void the_second_address_works(void **state)
{
    (void)state;
    for (enum first kind = 0; kind < FIRST_COUNT; kind++) {
        struct server first = {.answer = "HTTP/1.1 400 no\r\n\r\n", .in_clear = kind == CLEAR_TEXT};
        struct server second = {.answer = PLAIN "Content-Length: 2\r\n\r\nhi"};
        struct fetch f;

        fetch_init(&f);
        f.req.timeout = kind == SILENT ? 2000 : 4000;
        first.peer.version = kind == OLD_TLS ? TLS1_1_VERSION : 0;
        if (kind == SILENT)
            first.peer.script = server_silence;
        if (kind == REFUSES)
            f.addrs[f.req.addr_count++] = server_nobody();
        else
            fetch_from(&f, &first);
        fetch_from(&f, &second);
        fetch_run(&f);
        expect(&f, HTTPS_OK, "");
        assert_string_equal(f.body, "hi");
        assert_true(addr_same(&f.answer.peer, &second.at));
        assert_true(kind != SILENT || f.answer.took_ms >= 1000);
        fetch_end(&f);
        if (kind != REFUSES)
            server_join(&first);
        server_join(&second);
    }
}

/* The share of an address is for connect and handshake: an answer may take all the time that there is. */
static void a_slow_answer_is_waited_for(void **state)
{
    struct server s = {.answer = PLAIN "Content-Length: 2\r\n\r\nhi", .piece = 8, .pause = 160000};
    struct fetch f;

    (void)state;
    fetch_init(&f);
    f.req.timeout = 4000;
    fetch_from(&f, &s);
    for (int i = 0; i < 3; i++)
        f.addrs[f.req.addr_count++] = server_nobody();
    fetch_run(&f);
    expect(&f, HTTPS_OK, "");
    assert_true(f.answer.took_ms >= 4000 / 4);
    fetch_end(&f);
    server_join(&s);
}

/* Of the failures the one that came furthest is told, in either order. */
static void the_furthest_failure_is_told(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct server s = {.answer = "hello", .in_clear = true};
        struct fetch f;

        fetch_init(&f);
        if (order == 1)
            f.addrs[f.req.addr_count++] = server_nobody();
        fetch_from(&f, &s);
        if (order == 0)
            f.addrs[f.req.addr_count++] = server_nobody();
        fetch_run(&f);
        expect(&f, HTTPS_TLS, "hello");
        assert_true(addr_same(&f.answer.peer, &s.at));
        fetch_end(&f);
        server_join(&s);
    }
}

/* ---- cancelling ---- */

static void cancel_at_every_phase(void **state)
{
    static const struct {
        peer_script *script;
        const char *answer;
        int64_t after; /* ms; < 0: before the loop runs */
    } cases[] = {
        {server_silence, NULL, -1},
        {server_silence, NULL, 20},
        {server_script, NULL, 100},
        {server_script, PLAIN "Content-Length: 90\r\n\r\nhello", 100},
        {server_script, "HTTP/1.1 200 OK\r\nContent-", 100},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server s = {
            .peer = {.script = cases[i].script}, .answer = cases[i].answer, .end = SERVE_LINGER};
        struct fetch f;

        fetch_init(&f);
        fetch_from(&f, &s);
        fetch_start(&f);
        if (cases[i].after >= 0)
            rig_turn(f.loop, cases[i].after);
        https_cancel(&f.fetch);
        assert_null(f.fetch);
        rig_turn(f.loop, 20);
        assert_int_equal(f.told, 0);
        fetch_end(&f);
        server_join(&s);
    }
}

static void cancel_inside_done(void **state)
{
    struct server s = {.answer = PLAIN "Content-Length: 2\r\n\r\nhi"};
    struct https_fetch *none = NULL;
    struct fetch f;

    (void)state;
    https_cancel(&none);
    fetch_init(&f);
    f.cancel_inside = true;
    fetch_from(&f, &s);
    fetch_run(&f);
    expect(&f, HTTPS_OK, "");
    fetch_end(&f);
    server_join(&s);
    fetch_init(&f); /* nothing begun yet */
    fetch_start(&f);
    https_cancel(&f.fetch);
    rig_turn(f.loop, 5);
    assert_int_equal(f.told, 0);
    fetch_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request),
        cmocka_unit_test(a_host_that_breaks_out_of_its_line),
        cmocka_unit_test(answers),
        cmocka_unit_test(header_flood),
        cmocka_unit_test(slow_drip),
        cmocka_unit_test(silence),
        cmocka_unit_test(bad_certificates),
        cmocka_unit_test(no_address),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(plain_http_on_the_port),
        cmocka_unit_test(old_tls),
        cmocka_unit_test(client_certificate),
        cmocka_unit_test(the_second_address_works),
        cmocka_unit_test(a_slow_answer_is_waited_for),
        cmocka_unit_test(the_furthest_failure_is_told),
        cmocka_unit_test(cancel_at_every_phase),
        cmocka_unit_test(cancel_inside_done),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
