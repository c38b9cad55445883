/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_rungs - C-TLS-06: what each rung of the ladder offers, how large its hello is, whom it reaches. */
#include "tests/unit/net/tls_peer.h"

#include <openssl/nid.h>

#include "proxy/net/tls_internal.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- a ClientHello, taken apart ---- */

enum extension {
    EXT_STATUS_REQUEST = 5,
    EXT_GROUPS = 10,
    EXT_SIGNATURES = 13,
    EXT_PADDING = 21,
    EXT_TICKET = 35,
    EXT_VERSIONS = 43,
    EXT_KEY_SHARE = 51,
};

struct hello {
    unsigned char bytes[4096];
    size_t size; /* on the wire */
    size_t suites, tls13_suites, groups, signatures, shares, versions;
    uint16_t version[4];
    bool ocsp, padding, ticket, mlkem, mlkem_share;
};

static void read_extension(struct hello *h, uint16_t type, CBS *body)
{
    CBS list, key;
    uint16_t id;

    h->ocsp = h->ocsp || type == EXT_STATUS_REQUEST;
    h->padding = h->padding || type == EXT_PADDING;
    h->ticket = h->ticket || type == EXT_TICKET;
    if (type == EXT_VERSIONS) {
        assert_true(CBS_get_u8_length_prefixed(body, &list));
        while (CBS_get_u16(&list, &id))
            h->version[h->versions++] = id;
    } else if (type == EXT_GROUPS || type == EXT_SIGNATURES) {
        assert_true(CBS_get_u16_length_prefixed(body, &list));
        while (CBS_get_u16(&list, &id)) {
            h->groups += type == EXT_GROUPS;
            h->signatures += type == EXT_SIGNATURES;
            h->mlkem = h->mlkem || (type == EXT_GROUPS && id == 0x11ec);
        }
    } else if (type == EXT_KEY_SHARE) {
        assert_true(CBS_get_u16_length_prefixed(body, &list));
        while (CBS_get_u16(&list, &id) && CBS_get_u16_length_prefixed(&list, &key)) {
            h->shares++;
            assert_int_equal(id, SSL_CURVE_X25519);
        }
    }
}

static void read_hello(struct hello *h)
{
    CBS all, body, list, ignored;
    uint16_t id;

    CBS_init(&all, h->bytes, h->size);
    assert_true(CBS_skip(&all, 3) && CBS_get_u16_length_prefixed(&all, &body)); /* record */
    assert_int_equal(CBS_len(&all), 0);
    assert_true(CBS_skip(&body, 4 + 2 + 32) && CBS_get_u8_length_prefixed(&body, &ignored) &&
                CBS_get_u16_length_prefixed(&body, &list));
    while (CBS_get_u16(&list, &id)) {
        h->suites++;
        h->tls13_suites += id >> 8 == 0x13;
    }
    assert_true(CBS_get_u8_length_prefixed(&body, &ignored) &&
                CBS_get_u16_length_prefixed(&body, &list));
    assert_int_equal(CBS_len(&body), 0);
    while (CBS_get_u16(&list, &id)) {
        assert_true(CBS_get_u16_length_prefixed(&list, &body));
        read_extension(h, id, &body);
    }
}

static void hello_of(enum tls_rung rung, enum tls_version min, const char *sni, struct hello *out)
{
    struct tls_request req = {.sni = sni, .min_version = min, .rung = rung};
    struct tls_context *context;
    struct tls_wire *w;
    struct buf error;

    memset(out, 0, sizeof(*out));
    buf_init(&error, 500);
    context = tls_context_new(&error);
    assert_non_null(context);
    w = tls_wire_new(context, &req);
    assert_int_equal(tls_wire_handshake(w), TLS_MORE);
    out->size = w->out.n;
    assert_true(out->size <= sizeof(out->bytes));
    memcpy(out->bytes, queue_slice(&w->out).p, out->size);
    read_hello(out);
    tls_wire_free(&w);
    tls_context_drop(&context);
}

static const char long_name[] = "a-rather-long-host-name-of-a-mail-exchanger.example-com0i."
                                "mail.protection.a-provider-of-mail.example";

static void what_is_offered(void **state)
{
    struct hello full, compact, tls12;

    (void)state;
    hello_of(RUNG_FULL, TLS_VERSION_1_2, "mx1.mail.example.com", &full);
    hello_of(RUNG_COMPACT, TLS_VERSION_1_2, "mx1.mail.example.com", &compact);
    hello_of(RUNG_TLS12, TLS_VERSION_1_2, "mx1.mail.example.com", &tls12);
    print_message("hellos: full %zu, compact %zu, TLS 1.2 %zu bytes\n", full.size, compact.size,
                  tls12.size);

    assert_true(full.ocsp);
    assert_false(full.ticket || compact.ticket || tls12.ticket); /* no table of sessions */
    assert_int_equal(full.shares, 1);
    assert_int_equal(full.suites - full.tls13_suites, 6);

    assert_false(compact.ocsp || compact.padding || compact.mlkem);
    assert_int_equal(compact.shares, 1);
    assert_int_equal(compact.suites - compact.tls13_suites, 4);
    assert_int_equal(compact.tls13_suites, 3); /* the library's own */
    assert_int_equal(compact.groups, 3);
    assert_int_equal(compact.signatures, 6);
    assert_int_equal(compact.versions, 2);
    assert_int_equal(compact.version[0], TLS1_3_VERSION);
    assert_int_equal(compact.version[1], TLS1_2_VERSION);

    assert_false(tls12.ocsp || tls12.padding || tls12.mlkem);
    assert_int_equal(tls12.shares, 0);
    assert_int_equal(tls12.versions, 0);
    assert_int_equal(tls12.tls13_suites, 0);
    assert_int_equal(tls12.suites, 4);

    assert_true(full.size > compact.size && compact.size > tls12.size);
    assert_true(full.size < 512 && compact.size < 256 && tls12.size < 200);
    hello_of(RUNG_COMPACT, TLS_VERSION_1_3, "mx1.mail.example.com", &compact);
    assert_int_equal(compact.versions, 1);
    assert_int_equal(compact.version[0], TLS1_3_VERSION);
    assert_int_equal(compact.suites, compact.tls13_suites);
}

/* A name as long as those of large providers: still one segment, and the last rung still unpadded. */
static void with_a_long_name(void **state)
{
    struct hello full, compact, tls12;

    (void)state;
    hello_of(RUNG_FULL, TLS_VERSION_1_2, long_name, &full);
    hello_of(RUNG_COMPACT, TLS_VERSION_1_2, long_name, &compact);
    hello_of(RUNG_TLS12, TLS_VERSION_1_2, long_name, &tls12);
    print_message("with a name of %zu bytes: full %zu, compact %zu, TLS 1.2 %zu bytes\n",
                  strlen(long_name), full.size, compact.size, tls12.size);
    assert_true(full.size <= 517 && compact.size <= 517 && tls12.size < 256);
    assert_false(tls12.padding);
}

/* ---- handshakes ---- */

static void only_shake(struct tls_peer *p)
{
    (void)peer_shake_hands(p);
}

static void whom_it_reaches(void **state)
{
    static const struct {
        uint16_t version; /* of the peer; 0: both */
        enum tls_rung rung;
        enum tls_version min;
        enum reason want;
        const char *got;
    } cases[] = {
        {0, RUNG_FULL, TLS_VERSION_1_2, REASON_OK, "TLSv1.3"},
        {0, RUNG_COMPACT, TLS_VERSION_1_2, REASON_OK, "TLSv1.3"},
        {0, RUNG_TLS12, TLS_VERSION_1_2, REASON_OK, "TLSv1.2"},
        {0, RUNG_COMPACT, TLS_VERSION_1_3, REASON_OK, "TLSv1.3"},
        {TLS1_3_VERSION, RUNG_FULL, TLS_VERSION_1_2, REASON_OK, "TLSv1.3"},
        {TLS1_3_VERSION, RUNG_COMPACT, TLS_VERSION_1_2, REASON_OK, "TLSv1.3"},
        {TLS1_3_VERSION, RUNG_TLS12, TLS_VERSION_1_2, REASON_TLS_VERSION, ""},
        {TLS1_2_VERSION, RUNG_FULL, TLS_VERSION_1_2, REASON_OK, "TLSv1.2"},
        {TLS1_2_VERSION, RUNG_COMPACT, TLS_VERSION_1_2, REASON_OK, "TLSv1.2"},
        {TLS1_2_VERSION, RUNG_TLS12, TLS_VERSION_1_2, REASON_OK, "TLSv1.2"},
        {TLS1_2_VERSION, RUNG_COMPACT, TLS_VERSION_1_3, REASON_TLS_VERSION, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct shake s;

        shake_init(&s, only_shake);
        s.peer.version = cases[i].version;
        s.peer.curves = i % 2 == 0 ? "X25519" : "P-256";
        s.req.rung = cases[i].rung;
        s.req.min_version = cases[i].min;
        shake_run(&s);
        if (s.ear.facts->reason != cases[i].want || strcmp(s.ear.facts->version, cases[i].got) != 0)
            fail_msg("case %zu: %s %s (%s)", i, reason_info(s.ear.facts->reason)->token,
                     s.ear.facts->version, s.ear.facts->detail);
        shake_end(&s);
    }
}

/* A rung that does not exist, or that the least version forbids: a failure of our own, no hello. */
static void no_such_rung(void **state)
{
    static const struct {
        enum tls_rung rung;
        enum tls_version min;
    } cases[] = {{RUNG_TLS12, TLS_VERSION_1_3}, {RUNG_CLEAR, TLS_VERSION_1_2}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct shake s;

        shake_init(&s, only_shake);
        s.req.rung = cases[i].rung;
        s.req.min_version = cases[i].min;
        shake_run(&s);
        assert_int_equal(s.ear.facts->reason, REASON_INTERNAL);
        assert_int_equal(stream_unsent(s.ear.stream), 0);
        shake_end(&s);
        assert_int_not_equal(s.peer.accepted, 1);
    }
}

/* Every kind of key that the full hello can take, on every rung. */
static void every_kind_of_key(void **state)
{
    EVP_PKEY *keys[] = {make_key(LEAF_KEY), make_rsa(2048, LEAF_KEY),
                        make_ec(NID_secp384r1, LEAF_KEY)};

    (void)state;
    for (size_t k = 0; k < COUNT(keys); k++) {
        struct make leaf = {.subject = "leaf",
                            .key = keys[k],
                            .usage = "s",
                            .from = time(NULL) - TEST_DAY,
                            .to = time(NULL) + TEST_DAY};
        struct slice cert = make_cert(&leaf);

        for (enum tls_rung rung = RUNG_FULL; rung <= RUNG_TLS12; rung++)
            for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct shake s;

                if (rung == RUNG_TLS12 && version == TLS1_3_VERSION)
                    continue;
                shake_init(&s, only_shake);
                s.peer.version = version;
                s.peer.key = keys[k];
                s.peer.chain[s.peer.chain_count++] = cert;
                s.req.rung = rung;
                s.req.needs = NEED_TLS;
                shake_run(&s);
                if (s.ear.facts->reason != REASON_OK)
                    fail_msg("key %zu, rung %d, version %x: %s", k, rung, version,
                             s.ear.facts->detail);
                shake_end(&s);
            }
        make_free(&cert);
    }
}

/* The judgement is the same on every rung: no rung is a way round it. */
static void judged_on_every_rung(void **state)
{
    (void)state;
    for (enum tls_rung rung = RUNG_FULL; rung <= RUNG_TLS12; rung++) {
        struct shake s;

        shake_init(&s, only_shake);
        s.req.rung = rung;
        s.name = SLICE("other.example");
        s.peer.staple = SLICE("no OCSP response");
        shake_run(&s);
        assert_int_equal(s.ear.facts->reason, REASON_CERT_NAME_MISMATCH);
        assert_true(s.ear.facts->judged);
        /* asked for by the full hello only */
        assert_int_equal(s.ear.facts->judgement.ocsp, rung == RUNG_FULL ? OCSP_INVALID : OCSP_NONE);
        shake_end(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_offered),   cmocka_unit_test(with_a_long_name),
        cmocka_unit_test(whom_it_reaches),   cmocka_unit_test(no_such_rung),
        cmocka_unit_test(every_kind_of_key), cmocka_unit_test(judged_on_every_rung),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
