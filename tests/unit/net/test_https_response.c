/* SPDX-License-Identifier: Apache-2.0 */
/* test_https_response - C-STS-04: answers of HTTP, whole and in pieces, good, cut, oversized and hostile. */
#include "tests/unit/net/net_rig.h"

#include "proxy/net/https_response_internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BODY_MAX 100
#define HEAD "HTTP/1.1 200 OK\r\n"
#define PLAIN HEAD "Content-Type: text/plain\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

struct answer_case {
    const char *name;
    struct slice bytes;
    bool end; /* the connection ends in order behind them */
    enum response_status want;
    int code;
    const char *type, *body; /* type NULL: none */
    const char *detail;
};

#define T(s)             \
    {                    \
        s, sizeof(s) - 1 \
    }

static const struct answer_case cases[] = {
    {"length", T(PLAIN "Content-Length: 5\r\n\r\nhello"), false, RESPONSE_DONE, 200, "text/plain",
     "hello", ""},
    {"empty", T(PLAIN "Content-Length: 0\r\n\r\n"), false, RESPONSE_DONE, 200, "text/plain", "",
     ""},
    {"no type", T(HEAD "Content-Length: 2\r\n\r\nhi"), false, RESPONSE_DONE, 200, NULL, "hi", ""},
    {"type without value", T(HEAD "content-type:\r\nContent-Length: 0\r\n\r\n"), false,
     RESPONSE_DONE, 200, "", "", ""},
    {"parameters", T(HEAD "CONTENT-TYPE:  text/plain; charset=utf-8 \r\nContent-Length: 0\r\n\r\n"),
     false, RESPONSE_DONE, 200, "text/plain; charset=utf-8", "", ""},
    {"the same type twice", T(PLAIN "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n"), false,
     RESPONSE_DONE, 200, "text/plain", "", ""},
    {"two types", T(PLAIN "Content-Type: text/html\r\nContent-Length: 0\r\n\r\n"), false,
     RESPONSE_BAD, 200, "text/plain", "", "a second Content-Type \"text/html\""},
    {"what stands behind", T(PLAIN "Content-Length: 2\r\n\r\nhiHTTP/1.1 500 no\r\n\r\n"), false,
     RESPONSE_DONE, 200, "text/plain", "hi", ""},
    {"404", T("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), false, RESPONSE_DONE, 404,
     NULL, "no", ""},
    {"301", T("HTTP/1.1 301 Moved\r\nLocation: https://else.example/\r\nContent-Length: 0\r\n\r\n"),
     false, RESPONSE_DONE, 301, NULL, "", ""},
    {"204", T("HTTP/1.1 204 No Content\r\n\r\n"), false, RESPONSE_DONE, 204, NULL, "", ""},
    {"no words", T("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx"), false, RESPONSE_DONE, 200, NULL,
     "x", ""},
    {"HTTP/1.0", T("HTTP/1.0 200 OK\r\n\r\nold"), true, RESPONSE_DONE, 200, NULL, "old", ""},

    {"chunks", T(CHUNKED "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"), false, RESPONSE_DONE, 200, NULL,
     "hello", ""},
    {"trailers",
     T(CHUNKED "2\r\nhi\r\n0\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\n"), false,
     RESPONSE_DONE, 200, NULL, "hi", ""},
    {"cut in chunks", T(CHUNKED "3\r\nhel\r\n"), true, RESPONSE_BAD, 200, NULL, "hel",
     "middle of the body"},
    {"no chunk size", T(CHUNKED "xyz\r\n"), false, RESPONSE_BAD, 200, NULL, "", "chunk size"},
    {"endless chunk size", T(CHUNKED "fffffffffffffffff\r\n"), false, RESPONSE_BAD, 200, NULL, "",
     ""},
    {"chunk too long", T(CHUNKED "65\r\n"), false, RESPONSE_TOO_LARGE, 200, NULL, "",
     "more than 100 bytes (status 200)"},

    {"chunks too long together", T(CHUNKED "5\r\nhello\r\n60\r\n"), false, RESPONSE_TOO_LARGE, 200,
     NULL, "hello", "more than 100 bytes (status 200)"},

    {"to the end", T(PLAIN "\r\nhello"), true, RESPONSE_DONE, 200, "text/plain", "hello", ""},
    {"nothing to the end", T(PLAIN "\r\n"), true, RESPONSE_DONE, 200, "text/plain", "", ""},
    {"to no end", T(PLAIN "\r\nhello"), false, RESPONSE_MORE, 200, "text/plain", "hello", ""},
    {"cut in the body", T(PLAIN "Content-Length: 9\r\n\r\nhello"), true, RESPONSE_BAD, 200,
     "text/plain", "hello", "closed in the middle of the body (status 200)"},
    {"cut in the header", T(PLAIN "Content-Le"), true, RESPONSE_BAD, 200, "text/plain", "",
     "closed in the middle of the header"},
    {"nothing", T(""), true, RESPONSE_BAD, 0, NULL, "", "closed in the middle of the header"},

    {"length too large", T(HEAD "Content-Length: 101\r\n\r\n"), false, RESPONSE_TOO_LARGE, 200,
     NULL, "", "a body of 101 bytes, 100 are allowed (status 200)"},
    {"length beyond numbers", T(HEAD "Content-Length: 99999999999999999999\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "content-length"},
    {"negative length", T(HEAD "Content-Length: -1\r\n\r\n"), false, RESPONSE_BAD, 200, NULL, "",
     "content-length"},
    {"two lengths", T(HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), false, RESPONSE_BAD,
     200, NULL, "", "content-length"},
    {"length and chunks",
     T(HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "content-length"},
    {"gzip, then chunks", T(HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "a Transfer-Encoding other than chunked, \"gzip, chunked\""},
    {"chunks twice",
     T(HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "Transfer-Encoding"},
    {"chunks in 1.0", T("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "HTTP/1.0"},
    {"gzip", T(HEAD "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"), false, RESPONSE_BAD,
     200, NULL, "", "\"gzip\""},
    {"identity", T(HEAD "Content-Encoding: Identity\r\nContent-Length: 0\r\n\r\n"), false,
     RESPONSE_DONE, 200, NULL, "", ""},

    {"100 first",
     T("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\n"
       "Link: <a>\r\n\r\n" HEAD "Content-Length: 2\r\n\r\nhi"),
     false, RESPONSE_DONE, 200, NULL, "hi", ""},
    {"100 with a length",
     T("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n" HEAD "Content-Length: 2\r\n\r\nhi"),
     false, RESPONSE_DONE, 200, NULL, "hi", ""},
    {"101", T("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
     false, RESPONSE_BAD, 0, NULL, "", "101"},
    {"100 and no more", T("HTTP/1.1 100 Continue\r\n\r\n"), true, RESPONSE_BAD, 0, NULL, "",
     "middle of the header"},

    {"garbage", T("220 mx.example ESMTP\r\n"), false, RESPONSE_BAD, 0, NULL, "",
     "no answer of HTTP"},
    {"escaped", T("\x01\"\\\xff"), false, RESPONSE_BAD, 0, NULL, "", "\\x01\\x22\\x5c\\xff"},
    {"HTTP/2", T("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), false, RESPONSE_BAD, 200, NULL,
     "", "HTTP/2.0"},
    {"HTTP/0.9", T("<html>"), true, RESPONSE_BAD, 0, NULL, "", ""},
    {"status 0", T("HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"), false, RESPONSE_BAD, 0, NULL,
     "", "no status"},
    {"status 999", T("HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n"), false, RESPONSE_BAD, 999,
     NULL, "", "no status"},
    {"NUL in a value", T(HEAD "Content-Type: text/plain\0; x\r\nContent-Length: 0\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "invalid character"},
    {"NUL at the begin of a value", T(HEAD "Content-Type: \0text/plain\r\nX: y\r\n\r\n"), false,
     RESPONSE_BAD, 200, NULL, "", "a control byte in the Content-Type \"\\x00text/plain\""},
    {"a request", T("GET / HTTP/1.1\r\n\r\n"), false, RESPONSE_BAD, 0, NULL, "", ""},
};

static void check(const struct answer_case *c, struct https_response *r,
                  enum response_status status, size_t step)
{
    const char *type = r->has_content_type ? r->content_type : "(none)";

    if (status != c->want || r->code != c->code ||
        !slice_eq(buf_slice(&r->body), slice_str(c->body)) ||
        strcmp(type, c->type != NULL ? c->type : "(none)") != 0)
        fail_msg("%s, step %zu: status %d, code %d, type %s, body \"%.*s\" (%s)", c->name, step,
                 status, r->code, type, SLICE_ARG(buf_slice(&r->body)), r->detail);
    if (strstr(r->detail, c->detail) == NULL && (step == 0 || c->detail[0] != '\\'))
        fail_msg("%s, step %zu: %s", c->name, step, r->detail);
    assert_int_equal(r->detail[0] != '\0', status == RESPONSE_BAD || status == RESPONSE_TOO_LARGE);
    for (const char *p = r->detail; *p != '\0'; p++)
        assert_true(*p >= ' ' && *p <= '~');
}

/* Every answer at once, in pieces of every size, and cut in two at every byte. */
static void answers_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct answer_case *c = &cases[i];

        for (size_t step = 0; step <= c->bytes.n; step++)
            for (int halves = 0; halves < 2; halves++) {
                enum response_status status = RESPONSE_MORE;
                struct slice rest = c->bytes;
                struct https_response r;
                size_t n = step == 0 ? rest.n : step;

                https_response_init(&r, BODY_MAX);
                while (rest.n > 0) {
                    status = https_response_feed(&r, slice_first(rest, n));
                    rest = slice_from(rest, n < rest.n ? n : rest.n);
                    n = halves ? rest.n : n;
                }
                if (c->end)
                    status = https_response_end(&r);
                check(c, &r, status, step);
                https_response_clear(&r);
            }
    }
}

static enum response_status feed_times(struct https_response *r, struct slice bytes, size_t times)
{
    enum response_status status = RESPONSE_MORE;

    for (size_t i = 0; i < times && status == RESPONSE_MORE; i++)
        status = https_response_feed(r, bytes);
    return status;
}

/* The header has a limit, however it is filled: many lines, one long line, informational answers, empty
 * lines before the first. */
static void header_flood(void **state)
{
    static const struct {
        struct slice before, again;
        enum response_status want;
    } floods[] = {
        {T(HEAD), T("X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), RESPONSE_TOO_LARGE},
        {T(HEAD "X-Long: "), T("aaaaaaaaaaaaaaaa"), RESPONSE_TOO_LARGE},
        {T(HEAD "Content-Type: "), T("aaaaaaaaaaaaaaaa"), RESPONSE_TOO_LARGE},
        {T(HEAD), T("aaaaaaaaaaaaaaaa"), RESPONSE_TOO_LARGE},
        {T("HTTP/1.1 200 "), T("aaaaaaaaaaaaaaaa"), RESPONSE_TOO_LARGE},
        {T("\r\n"), T("\r\n\r\n\r\n"), RESPONSE_TOO_LARGE},
        {T(""), T("HTTP/1.1 100 Continue\r\n\r\n"), RESPONSE_BAD},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(floods); i++) {
        struct https_response r;

        https_response_init(&r, BODY_MAX);
        (void)https_response_feed(&r, floods[i].before);
        if (feed_times(&r, floods[i].again, 20000) != floods[i].want)
            fail_msg("flood %zu: %d (%s)", i, r.status, r.detail);
        assert_true(r.total <= HTTPS_HEADER_MAX);
        https_response_clear(&r);
    }
}

/* The largest header and body that are allowed, and a byte more of each. */
static void limits_to_the_byte(void **state)
{
    const struct slice begin = SLICE(HEAD "X: "), end = SLICE("\r\n\r\n");
    static char big[HTTPS_HEADER_MAX + 200];

    (void)state;
    for (size_t more = 0; more < 2; more++)
        for (size_t body = BODY_MAX; body <= BODY_MAX + 1; body++) {
            enum response_status want =
                more || body > BODY_MAX ? RESPONSE_TOO_LARGE : RESPONSE_DONE;
            struct https_response r;
            size_t head;

            memset(big, 'x', sizeof(big));
            memcpy(big, begin.p, begin.n);
            head = HTTPS_HEADER_MAX + more;
            memcpy(big + head - end.n, end.p, end.n);
            https_response_init(&r, BODY_MAX);
            (void)https_response_feed(&r, slice_of(big, head + body));
            if (https_response_end(&r) != want)
                fail_msg("%zu more, body %zu: %d (%s)", more, body, r.status, r.detail);
            https_response_clear(&r);
        }
}

/* Chunks of one byte are fine; endless names of chunks and trailers are not. */
static void framing_without_body(void **state)
{
    static const struct slice floods[] = {T("a"), T("=;"), T("X: y\r\n")};
    static const struct slice before[] = {T(CHUNKED "2;"), T(CHUNKED "2;"), T(CHUNKED "0\r\n")};
    struct https_response r;

    (void)state;
    for (size_t i = 0; i < COUNT(floods); i++) {
        https_response_init(&r, BODY_MAX);
        (void)https_response_feed(&r, before[i]);
        assert_int_equal(feed_times(&r, floods[i], 100000), RESPONSE_TOO_LARGE);
        assert_true(r.total < 4 * HTTPS_HEADER_MAX);
        https_response_clear(&r);
    }
    https_response_init(&r, 60000);
    (void)https_response_feed(&r, SLICE(CHUNKED));
    assert_int_equal(feed_times(&r, SLICE("1\r\nx\r\n"), 60000), RESPONSE_MORE);
    assert_int_equal(https_response_feed(&r, SLICE("0\r\n\r\n")), RESPONSE_DONE);
    assert_int_equal(r.body.n, 60000);
    https_response_clear(&r);
}

/* The type is kept up to its limit. */
static void a_long_type_is_cut(void **state)
{
    struct https_response r;

    (void)state;
    https_response_init(&r, BODY_MAX);
    (void)https_response_feed(&r, SLICE(HEAD "Content-Type: text/plain;"));
    (void)feed_times(&r, SLICE(" x=yyyyyyyyyy;"), 100);
    assert_int_equal(https_response_feed(&r, SLICE("\r\nContent-Length: 0\r\n\r\n")),
                     RESPONSE_DONE);
    assert_int_equal(strlen(r.content_type), HTTPS_CONTENT_TYPE_MAX - 1);
    assert_memory_equal(r.content_type, "text/plain; x=y", 15);
    https_response_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_in_pieces),  cmocka_unit_test(header_flood),
        cmocka_unit_test(limits_to_the_byte), cmocka_unit_test(framing_without_body),
        cmocka_unit_test(a_long_type_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
