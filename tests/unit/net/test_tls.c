/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls - handshakes: what is asked, what is judged, what each failure is called. */
#include "tests/unit/net/tls_peer.h"

#include <ctype.h>
#include <openssl/sha.h>

static void greet(struct tls_peer *p)
{
    char in[64];

    if (!peer_shake_hands(p))
        return;
    (void)SSL_write(p->ssl, "250 hi\r\n", 8);
    (void)SSL_read(p->ssl, in, sizeof(in));
    (void)SSL_shutdown(p->ssl);
}

static void expect(const struct shake *s, enum reason why)
{
    if (s->ear.facts->reason != why)
        fail_msg("wanted %s, got %s (%s)", reason_info(why)->token,
                 reason_info(s->ear.facts->reason)->token, s->ear.facts->detail);
}

static void both_versions(void **state)
{
    static const struct {
        uint16_t version;
        const char *name, *cipher;
    } cases[] = {
        {TLS1_2_VERSION, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_"},
        {TLS1_3_VERSION, "TLSv1.3", "TLS_"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct shake s;

        shake_init(&s, greet);
        s.peer.version = cases[i].version;
        s.peer.curves = "X25519"; /* newer libraries would ask for X25519MLKEM768 */
        shake_run(&s);
        expect(&s, REASON_OK);
        assert_string_equal(s.ear.facts->version, cases[i].name);
        assert_memory_equal(s.ear.facts->cipher, cases[i].cipher, strlen(cases[i].cipher));
        assert_string_equal(s.ear.facts->group, "X25519");
        assert_memory_equal(s.ear.facts->signature, "ecdsa", 5);
        assert_true(s.ear.facts->judged);
        assert_true(s.ear.facts->reached.tls && s.ear.facts->reached.name);
        assert_false(s.ear.facts->reached.pinned);
        assert_false(s.ear.facts->resumed);
        assert_true(stream_is_tls(s.ear.stream));
        RIG_UNTIL(s.loop, s.ear.got.n == 8);
        ear_write(&s.ear, SLICE("QUIT\r\n"));
        RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
        assert_int_equal(s.ear.end, STREAM_CLOSED);
        assert_string_equal(s.ear.trace, "Tre");
        shake_end(&s);
        assert_string_equal(s.peer.sni, "mx.example"); /* C-TLS-07 */
    }
}

/* C-TLS-07: never an address. */
static void no_address_as_sni(void **state)
{
    static const char *const addresses[] = {"192.0.2.1", "2001:db8::1", "[192.0.2.1]", "", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct shake s;

        shake_init(&s, greet);
        s.req.sni = addresses[i];
        shake_run(&s);
        expect(&s, REASON_OK);
        shake_end(&s);
        assert_string_equal(s.peer.sni, "");
    }
}

enum flaw { GOOD, UNTRUSTED, MISNAMED, NAMELESS, TRUSTLESS, PINNED, PINNED_OTHER };

/* C-TLS-01, C-CERT-05: which level lets what pass. */
static void levels(void **state)
{
    static const struct {
        enum tls_level level;
        enum flaw flaw;
        enum reason want;
        bool chain, name, pinned;
    } cases[] = {
        {LEVEL_MAY, UNTRUSTED, REASON_OK, false, true, false},
        {LEVEL_ENCRYPT, GOOD, REASON_OK, true, true, false},
        {LEVEL_ENCRYPT, UNTRUSTED, REASON_OK, false, true, false},
        {LEVEL_ENCRYPT, MISNAMED, REASON_OK, true, false, false},
        {LEVEL_ENCRYPT, NAMELESS, REASON_OK, true, false, false},
        {LEVEL_ENCRYPT, TRUSTLESS, REASON_OK, false, false, false},
        {LEVEL_ENCRYPT, PINNED, REASON_OK, true, true, true},
        {LEVEL_VERIFY, GOOD, REASON_OK, true, true, false},
        {LEVEL_VERIFY, UNTRUSTED, REASON_CERT_INCOMPLETE_CHAIN, false, false, false},
        {LEVEL_VERIFY, MISNAMED, REASON_CERT_NAME_MISMATCH, false, false, false},
        {LEVEL_VERIFY, NAMELESS, REASON_CERT_NAME_MISMATCH, false, false, false},
        {LEVEL_VERIFY, TRUSTLESS, REASON_CERT_UNCHECKED, false, false, false},
        {LEVEL_SECURE, GOOD, REASON_OK, true, true, false},
        {LEVEL_SECURE, MISNAMED, REASON_CERT_NAME_MISMATCH, false, false, false},
        {LEVEL_FINGERPRINT, GOOD, REASON_CERT_FINGERPRINT, false, false, false},
        {LEVEL_FINGERPRINT, PINNED, REASON_OK, true, true, true},
        {LEVEL_FINGERPRINT, PINNED_OTHER, REASON_CERT_FINGERPRINT, false, false, false},
        {LEVEL_FINGERPRINT, TRUSTLESS, REASON_CERT_FINGERPRINT, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fingerprint pin = {.n = 32};
        struct shake s;

        shake_init(&s, greet);
        s.req.needs = tls_level_needs(cases[i].level);
        (void)SHA256((const uint8_t *)peer_leaf.p, peer_leaf.n, pin.digest);
        switch (cases[i].flaw) {
        case GOOD:
            break;
        case UNTRUSTED:
            trust_drop(&s.req.trust);
            s.req.trust = peer_trust(peer_other_root);
            break;
        case MISNAMED:
            s.name = SLICE("other.example");
            break;
        case NAMELESS:
            s.req.name_count = 0;
            break;
        case TRUSTLESS:
            trust_drop(&s.req.trust);
            break;
        case PINNED_OTHER:
            pin.digest[0] ^= 1;
            /* fall through */
        case PINNED:
            s.req.fingerprints = &pin;
            s.req.fingerprint_count = 1;
            break;
        }
        shake_run(&s);
        if (s.ear.facts->reason != cases[i].want)
            print_message("case %zu\n", i);
        expect(&s, cases[i].want);
        assert_int_equal(s.ear.facts->reached.tls, cases[i].want == REASON_OK);
        assert_int_equal(s.ear.facts->reached.chain, cases[i].chain);
        assert_int_equal(s.ear.facts->reached.name, cases[i].name);
        assert_int_equal(s.ear.facts->reached.pinned, cases[i].pinned);
        /* The judgement is kept, whatever the level makes of it. */
        assert_int_equal(s.ear.facts->judged, cases[i].flaw != TRUSTLESS);
        if (cases[i].flaw == UNTRUSTED)
            assert_int_equal(s.ear.facts->judgement.reason, REASON_CERT_INCOMPLETE_CHAIN);
        assert_string_equal(s.ear.facts->version, "TLSv1.3");
        assert_true(s.ear.facts->cipher[0] != '\0');
        if (cases[i].want != REASON_OK) {
            rig_turn(s.loop, 5);
            assert_string_equal(s.ear.trace, "t"); /* nothing comes behind it */
        }
        shake_end(&s);
    }
}

/* ---- bytes that are no handshake ---- */

static void say_and_wait(struct tls_peer *p)
{
    char in[4096];

    if (send(p->fd, p->text, p->text_size, MSG_NOSIGNAL) < 0)
        return;
    while (recv(p->fd, in, sizeof(in), 0) > 0)
        continue;
}

/* C-TLS-02, C-TLS-10 */
static void bytes_that_are_not_tls(void **state)
{
    static const struct {
        struct slice bytes;
        enum reason want;
        const char *detail;
    } cases[] = {
        {{"250 injected\r\n", 14}, REASON_STARTTLS_INJECTION, "250 injected\\x0d\\x0a"},
        {{"4", 1}, REASON_STARTTLS_INJECTION, "\"4\""},
        {{"\r\n", 2}, REASON_STARTTLS_INJECTION, "\\x0d"},
        {{"\xff\x00\x01", 3}, REASON_TLS_GARBAGE, "\\xff\\x00\\x01"},
        {{"\x80\x2e\x01\x00\x02", 5}, REASON_TLS_GARBAGE, "\\x80"}, /* SSL 2 */
        {{"\x16\x09\x01\x00\x10zzzzzzzzzzzzzzzz", 21}, REASON_TLS_GARBAGE, "wrong version"},
        {{"\x16\x03\x03\x00\x04zzzz", 9}, REASON_TLS_PROTOCOL, ""},
        {{"\x17\x03\x03\x00\x04zzzz", 9}, REASON_TLS_PROTOCOL, ""},
        /* ServerHello of TLS 1.0 */
        {{"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01"
          "................................\x00\xc0\x09\x00",
          47},
         REASON_TLS_VERSION,
         "unsupported protocol"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shake s;

        shake_init(&s, say_and_wait);
        s.peer.text = cases[i].bytes.p;
        s.peer.text_size = cases[i].bytes.n;
        shake_run(&s);
        if (s.ear.facts->reason != cases[i].want)
            print_message("case %zu\n", i);
        expect(&s, cases[i].want);
        assert_non_null(strstr(s.ear.facts->detail, cases[i].detail));
        assert_string_equal(s.ear.facts->version, "");
        shake_end(&s);
    }
}

static void never_a_bare_number(const char *detail)
{
    bool letters = false;

    for (const char *c = detail; *c != '\0'; c++)
        letters = letters || isalpha((unsigned char)*c);
    assert_true(letters);
}

/* C-TLS-10: every alert that there could be. */
static void alerts(void **state)
{
    static const struct {
        int alert;
        enum reason want;
    } known[] = {
        {SSL_AD_CLOSE_NOTIFY, REASON_TLS_RESET},
        {SSL_AD_HANDSHAKE_FAILURE, REASON_TLS_NO_SHARED_CIPHER},
        {SSL_AD_INSUFFICIENT_SECURITY, REASON_TLS_NO_SHARED_CIPHER},
        {SSL_AD_PROTOCOL_VERSION, REASON_TLS_VERSION},
        {SSL_AD_CERTIFICATE_REQUIRED, REASON_TLS_CLIENT_CERT},
    };

    (void)state;
    for (int alert = 0; alert < 256; alert += alert < 122 ? 1 : 33) {
        const char record[] = {0x15, 3, 3, 0, 2, 2, (char)alert};
        enum reason want = REASON_TLS_ALERT;
        struct shake s;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (known[i].alert == alert)
                want = known[i].want;
        shake_init(&s, say_and_wait);
        s.peer.text = record;
        s.peer.text_size = sizeof(record);
        shake_run(&s);
        expect(&s, want);
        never_a_bare_number(s.ear.facts->detail);
        shake_end(&s);
    }
}

/* C-TLS-02: bytes that were read before the handshake began. */
static void bytes_before_the_handshake(void **state)
{
    struct shake s;
    int fd[2];

    (void)state;
    shake_init(&s, say_and_wait);
    s.peer.text = "";
    rig_pair(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(send(fd[1], "\x16\x03\x03", 3, 0), 3); /* even such that look like TLS */
    ear_adopt(&s.ear, s.loop, fd[0]);
    s.ear.keep = true;
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'r'));
    peer_start(&s.peer, fd[1]);
    stream_start_tls(s.ear.stream, s.context, &s.req);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 't'));
    expect(&s, REASON_STARTTLS_INJECTION);
    assert_int_equal(stream_unread(s.ear.stream), 0);
    shake_end(&s);
}

static void read_the_start(struct tls_peer *p)
{
    char in[2048];
    size_t n = 0;

    while (n < 100 && (p->got = (size_t)recv(p->fd, in + n, sizeof(in) - n, 0)) > 0 &&
           p->got < 5000)
        n += p->got;
    p->got = n;
    p->kind = memmem(in, n, "SECRET", 6) == NULL ? 'k' : 'l'; /* kept or leaked */
    p->accepted = n > 12 && memcmp(in, "STARTTLS\r\n\x16\x03", 12) == 0;
}

/* What waits goes out in clear first, what is written later never does; the hello is small (no share of X25519MLKEM768). */
static void unsent_bytes_go_first(void **state)
{
    struct shake s;
    int fd[2];

    (void)state;
    shake_init(&s, read_the_start);
    rig_pair(fd);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    peer_start(&s.peer, fd[1]);
    ear_adopt(&s.ear, s.loop, fd[0]);
    ear_write(&s.ear, SLICE("STARTTLS\r\n"));
    stream_start_tls(s.ear.stream, s.context, &s.req);
    ear_write(&s.ear, SLICE("SECRET"));
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 't'));
    expect(&s, REASON_TLS_RESET); /* the peer hung up */
    ear_write(&s.ear, SLICE("SECRET"));
    shake_end(&s);
    assert_int_equal(s.peer.accepted, 1);
    assert_int_equal(s.peer.kind, 'k');
    assert_true(s.peer.got < 400);
}

/* ---- what cannot be agreed on ---- */

static void nothing_in_common(void **state)
{
    static const struct {
        const char *name;
        uint16_t version;
        const char *suites, *curves;
        enum tls_version min;
        enum reason want;
    } cases[] = {
        {"TLS 1.1", TLS1_1_VERSION, NULL, NULL, TLS_VERSION_1_2, REASON_TLS_VERSION},
        {"TLS 1.0", TLS1_VERSION, NULL, NULL, TLS_VERSION_1_2, REASON_TLS_VERSION},
        {"1.3 wanted", TLS1_2_VERSION, NULL, NULL, TLS_VERSION_1_3, REASON_TLS_VERSION},
        {"CBC only", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL, TLS_VERSION_1_2,
         REASON_TLS_NO_SHARED_CIPHER},
        {"static RSA only", TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, TLS_VERSION_1_2,
         REASON_TLS_NO_SHARED_CIPHER},
        {"P-521 only", TLS1_3_VERSION, NULL, "P-521", TLS_VERSION_1_2, REASON_TLS_NO_SHARED_CIPHER},
        {"whatever it likes", TLS1_3_VERSION, NULL, NULL, TLS_VERSION_1_2, REASON_OK},
        {"P-256 is fine", TLS1_3_VERSION, NULL, "P-256", TLS_VERSION_1_2, REASON_OK},
        {"P-384 is fine", TLS1_3_VERSION, NULL, "P-384", TLS_VERSION_1_2, REASON_OK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shake s;

        shake_init(&s, greet);
        s.peer.version = cases[i].version;
        s.peer.suites = cases[i].suites;
        s.peer.curves = cases[i].curves;
        s.req.min_version = cases[i].min;
        shake_run(&s);
        if (s.ear.facts->reason != cases[i].want)
            print_message("%s\n", cases[i].name);
        expect(&s, cases[i].want);
        if (cases[i].curves != NULL && cases[i].want == REASON_OK)
            assert_string_equal(s.ear.facts->group, cases[i].curves);
        shake_end(&s);
    }
}

/* C-TLS-12 */
static void client_certificates(void **state)
{
    struct shake s;

    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        shake_init(&s, greet);
        s.peer.version = version;
        s.peer.wants_certificate = true;
        shake_run(&s);
        expect(&s, REASON_OK); /* asked for: none is given */
        RIG_UNTIL(s.loop, s.ear.got.n == 8);
        shake_end(&s);
    }
    shake_init(&s, greet);
    s.peer.version = TLS1_2_VERSION;
    s.peer.wants_certificate = s.peer.insists = true;
    shake_run(&s);
    expect(&s, REASON_TLS_CLIENT_CERT);
    shake_end(&s);
    /* TLS 1.3: our side is complete before the server has seen that there is none */
    shake_init(&s, greet);
    s.peer.version = TLS1_3_VERSION;
    s.peer.wants_certificate = s.peer.insists = true;
    shake_run(&s);
    expect(&s, REASON_OK);
    RIG_UNTIL(s.loop, ear_heard(&s.ear, 'e'));
    assert_int_equal(s.ear.end, STREAM_TLS_ERROR);
    assert_int_equal(stream_end_reason(s.ear.stream), REASON_TLS_CLIENT_CERT);
    assert_non_null(strstr(s.ear.detail, "certificate required"));
    expect(&s, REASON_OK); /* the facts of the handshake stay */
    shake_end(&s);
}

/* C-CERT-07: more than is safe to judge. */
static void too_many_certificates(void **state)
{
    static const struct {
        size_t count;
        enum tls_level level;
        enum reason want;
    } cases[] = {
        {20, LEVEL_VERIFY, REASON_CERT_TOO_MANY},
        {20, LEVEL_ENCRYPT, REASON_OK},
        {250, LEVEL_ENCRYPT, REASON_CERT_TOO_MANY}, /* the library's own limit: any level */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shake s;
        struct slice big;
        size_t sent = 0;
        static const char *const names[] = {"mx.example", NULL};
        struct make fat = {.subject = "fat",
                           .key = make_key(OTHER_KEY),
                           .dns = names,
                           .dns_count = cases[i].count > 100 ? 40 : 0};

        big = make_cert(&fat);
        shake_init(&s, greet);
        s.req.needs = tls_level_needs(cases[i].level);
        s.peer.chain[s.peer.chain_count++] = peer_leaf;
        while (s.peer.chain_count < cases[i].count && sent < CHAIN_BYTES_MAX + 500) {
            s.peer.chain[s.peer.chain_count++] = big;
            sent += big.n;
        }
        shake_run(&s);
        if (s.ear.facts->reason != cases[i].want)
            print_message("case %zu\n", i);
        expect(&s, cases[i].want);
        shake_end(&s);
        make_free(&big);
    }
}

static void a_staple_reaches_the_judge(void **state)
{
    struct shake s;

    (void)state;
    shake_init(&s, greet);
    s.peer.staple = SLICE("no OCSP response");
    s.req.needs = tls_level_needs(LEVEL_ENCRYPT);
    shake_run(&s);
    assert_int_not_equal(s.ear.facts->judgement.ocsp, OCSP_NONE);
    shake_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions),
        cmocka_unit_test(no_address_as_sni),
        cmocka_unit_test(levels),
        cmocka_unit_test(bytes_that_are_not_tls),
        cmocka_unit_test(alerts),
        cmocka_unit_test(bytes_before_the_handshake),
        cmocka_unit_test(unsent_bytes_go_first),
        cmocka_unit_test(nothing_in_common),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(too_many_certificates),
        cmocka_unit_test(a_staple_reaches_the_judge),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
