/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_rejudge - C-TLS-08: a resumed connection is judged by the present request and time. */
#include "tests/unit/net/resume_rig.h"

/* A server with this leaf, valid from now on for so many seconds, instead of the one there is. */
static void new_leaf(struct resume_rig *r, struct slice *der, int64_t seconds, int64_t serial)
{
    static const char *const names[] = {"mx.example", NULL};
    struct make leaf = {.subject = "leaf",
                        .issuer = "test root",
                        .key = make_key(LEAF_KEY),
                        .signer = make_key(CA_KEY),
                        .serial = serial,
                        .dns = names,
                        .from = loop_wall() / 1000 - 60,
                        .to = loop_wall() / 1000 + seconds};

    make_free(der);
    *der = make_cert(&leaf);
    r->like.chain[0] = *der;
    SSL_CTX_free(r->server);
    r->server = pair_server(&r->like);
}

/* The session would still be taken by the server: it is not offered, and the mail goes on. */
static void a_certificate_that_expired_ends_it(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct slice der = SLICE_NONE;
        struct resume_rig r;

        resume_init(&r, version);
        new_leaf(&r, &der, 600, 1);
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        pair_clock_ahead = 590;
        expect(&r, REASON_OK, true);
        pair_clock_ahead = 1000;
        expect(&r, REASON_CERT_EXPIRED, false); /* a full handshake says so */
        assert_int_equal(tls_sessions_count(r.sessions), 0);
        pair_clock_ahead = 0;
        expect(&r, REASON_OK, false);
        pair_clock_ahead = 1000;
        new_leaf(&r, &der, 600, 2); /* the administrator renewed it; the ticket keys are the same */
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        resume_end(&r);
        make_free(&der);
    }
}

/* Where nothing is enforced it ends too: what is told of the peer is what it shows today. */
static void below_verify_it_ends_too(void **state)
{
    struct slice der = SLICE_NONE;
    struct result got;
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    r.req.needs = tls_level_needs(LEVEL_ENCRYPT);
    new_leaf(&r, &der, 600, 1);
    got = connect_once(&r);
    assert_true(got.reached.chain);
    pair_clock_ahead = 1000;
    got = connect_once(&r);
    assert_int_equal(got.reason, REASON_OK);
    assert_true(got.judged);
    assert_false(got.resumed || got.reached.chain);
    got = connect_once(&r); /* and goes on from there */
    assert_true(got.resumed && got.judged);
    assert_false(got.reached.chain);
    resume_end(&r);
    make_free(&der);
}

static void a_session_too_old_is_dropped(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct resume_rig r;

        resume_init(&r, version);
        expect(&r, REASON_OK, false);
        pair_clock_ahead = 8 * TEST_DAY;
        assert_true(tls_sessions_count(r.sessions) > 0);
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        pair_clock_ahead = -TEST_DAY / 2; /* a clock that went back */
        expect(&r, REASON_OK, false);
        resume_end(&r);
    }
}

static void a_staple_goes_with_the_session(void **state)
{
    struct make_ocsp about = {.leaf = peer_leaf,
                              .issuer = peer_root,
                              .signer = make_key(CA_KEY),
                              .from = time(NULL) - 60,
                              .to = time(NULL) + 600};

    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct slice staple = make_ocsp(&about);
        struct result got;
        struct resume_rig r;

        resume_init(&r, version);
        r.like.staple = staple;
        SSL_CTX_free(r.server);
        r.server = pair_server(&r.like);
        got = connect_once(&r);
        assert_int_equal(got.ocsp, OCSP_GOOD);
        got = connect_once(&r);
        assert_true(got.resumed);
        assert_int_equal(got.ocsp, OCSP_GOOD);
        pair_clock_ahead = 3600; /* the server has a new one by now: it is asked */
        expect(&r, REASON_OK, false);
        resume_end(&r);
        make_free(&staple);
    }
}

/* The server says less than was judged before the hello: that judgement is not its own. */
static void a_failed_attempt_has_no_certificate(void **state)
{
    struct tls_pair p;
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    assert_true(tls_sessions_count(r.sessions) > 1);
    pair_open(&p, r.context, &r.req, r.server);
    assert_true(p.wire->offered && p.wire->facts.judged);
    queue_add(&p.wire->in, slice_of("\x15\x03\x03\x00\x02\x02\x28", 7)); /* handshake_failure */
    assert_int_equal(tls_wire_handshake(p.wire), TLS_FAILED);
    assert_false(p.wire->facts.judged || p.wire->facts.reached.tls);
    assert_int_equal(p.wire->facts.reason, REASON_TLS_NO_SHARED_CIPHER);
    pair_close(&p);
    assert_int_equal(tls_sessions_count(r.sessions), 0); /* C-TLS-06: no rung is lost to a ticket */
    resume_end(&r);
}

/* What was judged before the hello says nothing of a server that does not take the session. */
static void another_certificate_is_judged(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct make self = {.subject = "self",
                            .key = make_key(LEAF_KEY),
                            .from = time(NULL) - TEST_DAY,
                            .to = time(NULL) + TEST_DAY};
        struct slice der = make_cert(&self);
        struct resume_rig r;

        resume_init(&r, version);
        expect(&r, REASON_OK, false);
        r.like.chain[0] = der;
        SSL_CTX_free(r.server);
        r.server = pair_server(&r.like);
        pair_forget_tickets(r.server);
        expect(&r, REASON_CERT_SELF_SIGNED, false);
        resume_end(&r);
        make_free(&der);
    }
}

/* C-CERT-05: were the library not to ask at a resumption, it would not pass. */
static void nothing_passes_unseen(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct resume_rig r;

        resume_init(&r, version);
        expect(&r, REASON_OK, false);
        SSL_CTX_set_reverify_on_resume(r.context->ssl, 0);
        expect(&r, REASON_CERT_UNCHECKED, true);
        SSL_CTX_set_reverify_on_resume(r.context->ssl, 1);
        expect(&r, REASON_OK, false);
        resume_end(&r);
    }
}

/* TLSA records are compared, and what is kept of it is not used for others. */
static void dane_is_judged_too(void **state)
{
    static const struct {
        unsigned usage;
        bool trust;
    } cases[] = {{3, true}, {3, false}, {2, true}, {2, false}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice of = cases[i].usage == 3 ? peer_leaf : peer_root;
        unsigned char digest[32];
        struct tlsa_record record = {.usage = (uint8_t)cases[i].usage,
                                     .matching = 1,
                                     .data = slice_of(digest, sizeof(digest))};
        struct result got;
        struct resume_rig r;

        resume_init(&r, TLS1_3_VERSION);
        (void)SHA256((const uint8_t *)of.p, of.n, digest);
        r.like.chain[r.like.chain_count++] = peer_root;
        SSL_CTX_free(r.server);
        r.server = pair_server(&r.like);
        r.req.needs = NEED_TLS | NEED_TLSA;
        r.req.tlsa = &record;
        r.req.tlsa_count = 1;
        r.req.dane_names = &r.name;
        r.req.dane_name_count = 1;
        if (!cases[i].trust)
            trust_drop(&r.req.trust);
        for (int n = 0; n < 3; n++) {
            got = connect_once(&r);
            assert_int_equal(got.reason, REASON_OK);
            assert_int_equal(got.resumed, n > 0);
            assert_int_equal(got.judged, cases[i].trust);
            assert_true(got.reached.tlsa);
        }
        digest[0] ^= 1; /* the records have changed */
        got = connect_once(&r);
        assert_int_equal(got.reason, REASON_DANE_MISMATCH);
        assert_false(got.resumed);
        resume_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_that_expired_ends_it),
        cmocka_unit_test(below_verify_it_ends_too),
        cmocka_unit_test(a_session_too_old_is_dropped),
        cmocka_unit_test(a_staple_goes_with_the_session),
        cmocka_unit_test(a_failed_attempt_has_no_certificate),
        cmocka_unit_test(another_certificate_is_judged),
        cmocka_unit_test(nothing_passes_unseen),
        cmocka_unit_test(dane_is_judged_too),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
