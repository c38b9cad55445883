/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_sessions_bytes - C-TLS-08: sessions that go through bytes into another process. */
#include "tests/unit/net/resume_rig.h"

#include "proxy/base/mem.h"

#define BYTES_MAX 200

struct bytes {
    struct slice key[BYTES_MAX], bytes[BYTES_MAX];
    size_t count;
};

static void on_session(void *owner, struct slice key, struct slice bytes)
{
    struct bytes *b = owner;

    assert_true(b->count < BYTES_MAX);
    b->key[b->count] = slice_of(slice_dup(key), key.n);
    b->bytes[b->count++] = slice_of(slice_dup(bytes), bytes.n);
}

static void take_out(struct resume_rig *r, struct bytes *b)
{
    b->count = 0;
    tls_sessions_each(r->sessions, loop_wall(), on_session, b);
}

static void free_bytes(struct bytes *b)
{
    for (size_t i = 0; i < b->count; i++) {
        make_free(&b->key[i]);
        make_free(&b->bytes[i]);
    }
}

/* Another process: its own context, its own table. */
static void restart(struct resume_rig *r, const struct bytes *b)
{
    struct buf error;

    tls_sessions_free(&r->sessions);
    tls_context_drop(&r->context);
    buf_init(&error, 500);
    r->context = tls_context_new(&error);
    assert_non_null(r->context);
    r->sessions = tls_sessions_new(100);
    r->req.sessions = r->sessions;
    trust_drop(&r->req.trust);
    r->req.trust = peer_trust(peer_root);
    for (size_t i = 0; i < b->count; i++)
        assert_true(tls_sessions_add(r->sessions, r->context, loop_wall(), b->key[i], b->bytes[i]));
}

static void the_first_connection_resumes(void **state)
{
    struct bytes b;

    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct result first, second;
        struct resume_rig r;
        size_t kept;

        resume_init(&r, version);
        first = connect_once(&r);
        kept = tls_sessions_count(r.sessions);
        take_out(&r, &b);
        assert_int_equal(b.count, kept);
        assert_int_equal(tls_sessions_count(r.sessions), kept); /* they stay here too */
        restart(&r, &b);
        assert_int_equal(tls_sessions_count(r.sessions), kept);
        for (int i = 0; i < 3; i++) {
            second = connect_once(&r);
            assert_int_equal(second.reason, REASON_OK);
            assert_true(second.resumed && second.judged);
            assert_true(second.reached.tls && second.reached.chain && second.reached.name &&
                        second.reached.host);
            assert_string_equal(second.signature, first.signature);
            assert_string_equal(second.group, first.group);
            assert_string_equal(second.cipher, first.cipher);
            assert_string_equal(second.anchor, "CN=test root");
        }
        free_bytes(&b);
        resume_end(&r);
    }
}

/* The chain is judged by the time and the trust of the new process. */
static void what_is_not_good_any_more(void **state)
{
    static const char *const names[] = {"mx.example", NULL};
    struct bytes b;

    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (enum tls_level level = LEVEL_ENCRYPT; level <= LEVEL_VERIFY; level++) {
            struct make leaf = {.subject = "leaf",
                                .issuer = "test root",
                                .key = make_key(LEAF_KEY),
                                .signer = make_key(CA_KEY),
                                .serial = 1,
                                .dns = names,
                                .from = loop_wall() / 1000 - 60,
                                .to = loop_wall() / 1000 + 600};
            struct slice der = make_cert(&leaf);
            struct resume_rig r;

            if (level != LEVEL_ENCRYPT && level != LEVEL_VERIFY) {
                make_free(&der);
                continue;
            }
            resume_init(&r, version);
            r.req.needs = tls_level_needs(level);
            r.like.chain[0] = der;
            SSL_CTX_free(r.server);
            r.server = pair_server(&r.like);
            expect(&r, REASON_OK, false);
            take_out(&r, &b);
            assert_true(b.count > 0);
            restart(&r, &b);
            pair_clock_ahead = 590;
            expect(&r, REASON_OK, true);
            restart(&r, &b);
            pair_clock_ahead = 1000; /* the certificate has expired, the session has not */
            expect(&r, level == LEVEL_VERIFY ? REASON_CERT_EXPIRED : REASON_OK, false);
            free_bytes(&b);
            resume_end(&r);
            make_free(&der);
        }
}

/* DANE vouches for one whose issuer nobody knows; without it only a full handshake does. */
static void who_vouches(void **state)
{
    unsigned char digest[32] = {0};
    struct tlsa_record tlsa = {.usage = 3, .matching = 1, .data = slice_of(digest, sizeof(digest))};
    struct bytes b;

    (void)state;
    (void)SHA256((const uint8_t *)peer_leaf.p, peer_leaf.n, digest);
    for (int dane = 0; dane < 2; dane++) {
        struct resume_rig r;

        resume_init(&r, TLS1_3_VERSION);
        trust_drop(&r.req.trust);
        r.req.trust = peer_trust(peer_other_root);
        r.req.needs = tls_level_needs(LEVEL_ENCRYPT);
        r.req.tlsa = &tlsa;
        r.req.tlsa_count = dane ? 1 : 0;
        expect(&r, REASON_OK, false);
        take_out(&r, &b);
        tls_sessions_limit(r.sessions, 0); /* a restart with the same trust */
        tls_sessions_limit(r.sessions, 100);
        for (size_t i = 0; i < b.count; i++)
            assert_true(tls_sessions_add(r.sessions, r.context, loop_wall(), b.key[i], b.bytes[i]));
        expect(&r, REASON_OK, dane);
        expect(&r, REASON_OK, true);
        free_bytes(&b);
        resume_end(&r);
    }
}

static void old_ones_do_not_travel(void **state)
{
    struct bytes b, none;
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    take_out(&r, &b);
    pair_clock_ahead = 8 * TEST_DAY;
    take_out(&r, &none);
    assert_int_equal(none.count, 0);
    restart(&r, &b); /* it is no error */
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    free_bytes(&b);
    resume_end(&r);
}

static bool add(struct resume_rig *r, struct slice key, struct slice bytes)
{
    return tls_sessions_add(r->sessions, r->context, loop_wall(), key, bytes);
}

/* Each byte changed, each end cut off: refused, or one that does no harm. */
static void broken_ones(void **state)
{
    struct resume_rig r;
    struct bytes b;
    size_t taken = 0, resumed = 0;
    char *copy;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    take_out(&r, &b);
    restart(&r, &(struct bytes){.count = 0});
    for (size_t n = 0; n < b.bytes[0].n; n++)
        assert_false(add(&r, b.key[0], slice_first(b.bytes[0], n)));
    assert_false(add(&r, b.key[0], SLICE("of no use")));
    assert_false(add(&r, b.key[0], SLICE_NONE));
    assert_false(add(&r, SLICE_NONE, b.bytes[0]));
    assert_false(add(&r, slice_first(b.key[0], 31), b.bytes[0]));
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    copy = slice_dup(b.bytes[0]);
    for (size_t i = 0; i < b.bytes[0].n; i++) {
        copy[i] = (char)(copy[i] ^ 1);
        if (add(&r, b.key[0], slice_of(copy, b.bytes[0].n)) && tls_sessions_count(r.sessions) > 0) {
            struct result got = connect_once(&r);

            taken++;
            resumed += got.resumed;
            if (got.reason == REASON_OK)
                assert_true(got.judged && got.reached.chain && got.reached.name);
            tls_sessions_limit(r.sessions, 0);
            tls_sessions_limit(r.sessions, 100);
        }
        copy[i] = (char)(copy[i] ^ 1);
    }
    assert_true(resumed > 0 && taken > resumed);
    free(copy);
    free_bytes(&b);
    resume_end(&r);
}

/* What was used last stays where there is less room. */
static void their_order_stays(void **state)
{
    struct resume_rig r;
    struct bytes b;

    (void)state;
    resume_init(&r, TLS1_2_VERSION);
    for (r.req.place.port = 1; r.req.place.port <= 6; r.req.place.port++)
        expect(&r, REASON_OK, false);
    r.req.place.port = 2;
    expect(&r, REASON_OK, true);
    take_out(&r, &b);
    assert_int_equal(b.count, 6);
    restart(&r, &(struct bytes){.count = 0});
    tls_sessions_limit(r.sessions, 3);
    for (size_t i = 0; i < b.count; i++)
        assert_true(add(&r, b.key[i], b.bytes[i]));
    assert_int_equal(tls_sessions_count(r.sessions), 3);
    expect(&r, REASON_OK, true);
    r.req.place.port = 6;
    expect(&r, REASON_OK, true);
    r.req.place.port = 5;
    expect(&r, REASON_OK, true);
    r.req.place.port = 4;
    expect(&r, REASON_OK, false);
    free_bytes(&b);
    resume_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_connection_resumes),
        cmocka_unit_test(what_is_not_good_any_more),
        cmocka_unit_test(who_vouches),
        cmocka_unit_test(old_ones_do_not_travel),
        cmocka_unit_test(broken_ones),
        cmocka_unit_test(their_order_stays),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
