/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_resume - C-TLS-08: which connection resumes which session, and what is judged then. */
#include "tests/unit/net/tls_pair.h"

#include <openssl/sha.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct rig {
    struct tls_context *context;
    struct tls_sessions *sessions;
    struct tls_peer like;
    SSL_CTX *server;
    struct tls_request req;
    struct slice name;
};

static void rig_init(struct rig *r, uint16_t version)
{
    struct buf error;

    *r = (struct rig){.like = {.version = version}};
    buf_init(&error, 500);
    r->context = tls_context_new(&error);
    assert_non_null(r->context);
    r->sessions = tls_sessions_new(100);
    r->like.chain[r->like.chain_count++] = peer_leaf;
    r->server = pair_server(&r->like);
    r->name = SLICE("mx.example");
    r->req = (struct tls_request){.sni = "mx.example",
                                  .min_version = TLS_VERSION_1_2,
                                  .trust = peer_trust(peer_root),
                                  .names = &r->name,
                                  .name_count = 1,
                                  .host = SLICE("mx.example"),
                                  .needs = tls_level_needs(LEVEL_VERIFY),
                                  .min_rsa_bits = 2048,
                                  .sessions = r->sessions};
    assert_true(addr_parse(SLICE("192.0.2.1"), &r->req.place));
    r->req.place.port = 25;
}

static void rig_end(struct rig *r)
{
    pair_clock_ahead = 0;
    SSL_CTX_free(r->server);
    trust_drop(&r->req.trust);
    tls_sessions_free(&r->sessions);
    tls_context_drop(&r->context);
}

/* What became of one connection. */
struct result {
    enum reason reason;
    bool resumed, judged;
    struct tls_reached reached;
    char signature[64], group[32], cipher[64], anchor[256];
    enum ocsp_status ocsp;
};

static struct result connect_once(struct rig *r)
{
    struct tls_pair p;
    struct result got;
    const struct tls_facts *f;

    pair_open(&p, r->context, &r->req, r->server);
    pair_shake(&p);
    f = &p.wire->facts;
    got = (struct result){.reason = f->reason,
                          .resumed = f->resumed,
                          .judged = f->judged,
                          .reached = f->reached,
                          .ocsp = f->judgement.ocsp};
    (void)snprintf(got.signature, sizeof(got.signature), "%s", f->signature);
    (void)snprintf(got.group, sizeof(got.group), "%s", f->group);
    (void)snprintf(got.cipher, sizeof(got.cipher), "%s", f->cipher);
    (void)snprintf(got.anchor, sizeof(got.anchor), "%s", f->judgement.anchor);
    if (p.wire->done)
        assert_int_equal(SSL_session_reused(p.server), got.resumed);
    pair_close(&p);
    return got;
}

static void expect(struct rig *r, enum reason why, bool resumed)
{
    struct result got = connect_once(r);

    if (got.reason != why || got.resumed != resumed)
        fail_msg("wanted %s%s, got %s%s", reason_info(why)->token, resumed ? ", resumed" : "",
                 reason_info(got.reason)->token, got.resumed ? ", resumed" : "");
}

/* The facts are as good as those of a full handshake. */
static void the_same_request_resumes(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct result first, second;
        struct rig r;

        rig_init(&r, version);
        first = connect_once(&r);
        assert_int_equal(first.reason, REASON_OK);
        assert_false(first.resumed);
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
        rig_end(&r);
    }
}

static void without_a_table_nothing_is_kept(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
    r.req.sessions = NULL;
    expect(&r, REASON_OK, false);
    expect(&r, REASON_OK, false);
    r.req.sessions = r.sessions;
    r.req.rung = RUNG_COMPACT; /* C-TLS-06: a small hello has no ticket */
    expect(&r, REASON_OK, false);
    expect(&r, REASON_OK, false);
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    tls_sessions_limit(r.sessions, 0);
    r.req.rung = RUNG_FULL;
    expect(&r, REASON_OK, false);
    expect(&r, REASON_OK, false);
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    rig_end(&r);
}

/* ---- what is another request ---- */

enum change {
    SNI,
    VERSION,
    NEEDS,
    TRUST,
    NO_TRUST,
    NAMES,
    HOST,
    PINS,
    TLSA,
    RSA_BITS,
    ADDRESS,
    IP6,
    PORT,
    CHANGES
};

struct changed {
    struct slice names[2];
    struct fingerprint pin;
    struct tlsa_record tlsa;
    unsigned char digest[32];
};

static void change(struct rig *r, enum change what, struct changed *c)
{
    struct tls_request *q = &r->req;

    switch (what) {
    case SNI:
        q->sni = "other.example";
        break;
    case VERSION:
        q->min_version = TLS_VERSION_1_3;
        break;
    case NEEDS:
        q->needs = tls_level_needs(LEVEL_ENCRYPT);
        break;
    case TRUST:
        trust_drop(&q->trust);
        q->trust = peer_trust(peer_other_root);
        q->needs = tls_level_needs(LEVEL_VERIFY);
        break;
    case NO_TRUST:
        trust_drop(&q->trust);
        break;
    case NAMES:
        c->names[0] = SLICE("mx.exampl");
        c->names[1] = SLICE("e");
        q->names = c->names;
        q->name_count = 2;
        break;
    case HOST:
        q->host = SLICE_NONE;
        break;
    case PINS:
        (void)SHA256((const uint8_t *)peer_leaf.p, peer_leaf.n, c->pin.digest);
        c->pin.n = 32;
        q->fingerprints = &c->pin;
        q->fingerprint_count = 1;
        break;
    case TLSA:
        (void)SHA256((const uint8_t *)peer_leaf.p, peer_leaf.n, c->digest);
        c->tlsa = (struct tlsa_record){
            .usage = 3, .matching = 1, .data = slice_of(c->digest, sizeof(c->digest))};
        q->tlsa = &c->tlsa;
        q->tlsa_count = 1;
        break;
    case RSA_BITS:
        q->min_rsa_bits = 3072;
        break;
    case ADDRESS:
        q->place.ip[3]++;
        break;
    case IP6:
        assert_true(addr_parse(SLICE("c000:201::"), &q->place)); /* the same first bytes */
        q->place.port = 25;
        break;
    case PORT:
        q->place.port = 26;
        break;
    case CHANGES:
        break;
    }
}

/* Nothing made for the one is offered to the other, in neither direction. */
static void another_request_does_not(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (enum change what = SNI; what < CHANGES; what++) {
            struct changed c = {.pin = {.n = 0}};
            struct result got;
            struct rig r;

            if (what == VERSION && version == TLS1_2_VERSION)
                continue;
            rig_init(&r, version);
            expect(&r, REASON_OK, false);
            change(&r, what, &c);
            got = connect_once(&r);
            if (got.resumed)
                fail_msg("change %d: resumed", (int)what);
            if (got.reason == REASON_OK) { /* and has its own */
                got = connect_once(&r);
                assert_true(got.resumed);
                if (what == PINS)
                    assert_true(got.reached.pinned);
                if (what == TLSA)
                    assert_true(got.reached.tlsa);
            }
            rig_end(&r);
        }
}

/* A new file with what the old one had is the same trust. */
static void the_same_roots_in_another_store(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    trust_drop(&r.req.trust);
    r.req.trust = peer_trust(peer_root);
    expect(&r, REASON_OK, true);
    rig_end(&r);
}

/* ---- how many, how often ---- */

/* RFC 8446 C.4: no ticket twice.  Connections side by side each find one, as long as there are some. */
static void a_stack_of_tickets(void **state)
{
    struct tls_pair pairs[4];
    struct rig r;
    size_t kept;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    kept = tls_sessions_count(r.sessions);
    assert_in_range(kept, 1, TLS_TICKETS_MAX);
    for (size_t i = 0; i < kept; i++)
        pair_open(&pairs[i], r.context, &r.req, r.server);
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    expect(&r, REASON_OK, false); /* none is left for this one */
    for (size_t i = 0; i < kept; i++) {
        pair_shake(&pairs[i]);
        assert_int_equal(pairs[i].wire->facts.reason, REASON_OK);
        assert_true(pairs[i].wire->facts.resumed);
        pair_close(&pairs[i]);
    }
    for (int i = 0; i < 20; i++)
        expect(&r, REASON_OK, true);
    assert_in_range(tls_sessions_count(r.sessions), 1, TLS_SESSIONS_PER_KEY);
    rig_end(&r);
}

static void tls12_is_used_again(void **state)
{
    struct tls_pair pairs[3];
    struct rig r;

    (void)state;
    rig_init(&r, TLS1_2_VERSION);
    expect(&r, REASON_OK, false);
    assert_int_equal(tls_sessions_count(r.sessions), 1);
    for (size_t i = 0; i < COUNT(pairs); i++)
        pair_open(&pairs[i], r.context, &r.req, r.server);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        pair_shake(&pairs[i]);
        assert_true(pairs[i].wire->facts.resumed);
        pair_close(&pairs[i]);
    }
    assert_int_equal(tls_sessions_count(r.sessions), 1);
    rig_end(&r);
}

/* Tickets come behind the handshake, also to a connection that waits; a peer cannot fill the table. */
static void late_tickets_are_counted(void **state)
{
    struct tls_pair p;
    struct rig r;
    size_t n;
    char byte;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
    pair_open(&p, r.context, &r.req, r.server);
    for (int i = 0; i < 10; i++)
        pair_turn(&p);
    assert_true(p.wire->done);
    assert_int_equal(tls_sessions_count(r.sessions), 0);
    assert_int_equal(SSL_write(p.server, "x", 1), 1); /* this library sends them with it */
    pair_carry_back(&p);
    assert_int_equal(tls_wire_read(p.wire, &byte, 1, &n), TLS_DONE);
    assert_in_range(tls_sessions_count(r.sessions), 1, TLS_TICKETS_MAX);
    for (int i = 0; i < 20; i++) { /* no server of this library sends more */
        SSL_SESSION *more = SSL_SESSION_copy_without_early_data(SSL_get_session(p.wire->ssl));

        assert_non_null(more);
        if (!SSL_CTX_sess_get_new_cb(r.context->ssl)(p.wire->ssl, more))
            SSL_SESSION_free(more);
    }
    assert_int_equal(p.wire->tickets, TLS_TICKETS_MAX);
    assert_in_range(tls_sessions_count(r.sessions), 1, TLS_TICKETS_MAX);
    pair_close(&p);
    rig_end(&r);
}

static void a_server_without_its_ticket_keys(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct rig r;

        rig_init(&r, version);
        expect(&r, REASON_OK, false);
        pair_forget_tickets(r.server);
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        rig_end(&r);
    }
}

/* ---- what has changed since ---- */

/* A server with this leaf, valid from now on for so many seconds, instead of the one there is. */
static void new_leaf(struct rig *r, struct slice *der, int64_t seconds, int64_t serial)
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
        struct rig r;

        rig_init(&r, version);
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
        rig_end(&r);
        make_free(&der);
    }
}

/* Where nothing is enforced it ends too: what is told of the peer is what it shows today. */
static void below_verify_it_ends_too(void **state)
{
    struct slice der = SLICE_NONE;
    struct result got;
    struct rig r;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
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
    rig_end(&r);
    make_free(&der);
}

static void a_session_too_old_is_dropped(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct rig r;

        rig_init(&r, version);
        expect(&r, REASON_OK, false);
        pair_clock_ahead = 8 * TEST_DAY;
        assert_true(tls_sessions_count(r.sessions) > 0);
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        pair_clock_ahead = -TEST_DAY / 2; /* a clock that went back */
        expect(&r, REASON_OK, false);
        rig_end(&r);
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
        struct rig r;

        rig_init(&r, version);
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
        rig_end(&r);
        make_free(&staple);
    }
}

/* The server says less than was judged before the hello: that judgement is not its own. */
static void a_failed_attempt_has_no_certificate(void **state)
{
    struct tls_pair p;
    struct rig r;

    (void)state;
    rig_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    assert_true(tls_sessions_count(r.sessions) > 1);
    pair_open(&p, r.context, &r.req, r.server);
    assert_true(p.wire->offered && p.wire->facts.judged);
    (void)evbuffer_add(p.wire->in, "\x15\x03\x03\x00\x02\x02\x28", 7); /* handshake_failure */
    assert_int_equal(tls_wire_handshake(p.wire), TLS_FAILED);
    assert_false(p.wire->facts.judged || p.wire->facts.reached.tls);
    assert_int_equal(p.wire->facts.reason, REASON_TLS_NO_SHARED_CIPHER);
    pair_close(&p);
    assert_int_equal(tls_sessions_count(r.sessions), 0); /* C-TLS-06: no rung is lost to a ticket */
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_request_resumes),
        cmocka_unit_test(without_a_table_nothing_is_kept),
        cmocka_unit_test(another_request_does_not),
        cmocka_unit_test(the_same_roots_in_another_store),
        cmocka_unit_test(a_stack_of_tickets),
        cmocka_unit_test(tls12_is_used_again),
        cmocka_unit_test(late_tickets_are_counted),
        cmocka_unit_test(a_server_without_its_ticket_keys),
        cmocka_unit_test(a_certificate_that_expired_ends_it),
        cmocka_unit_test(below_verify_it_ends_too),
        cmocka_unit_test(a_session_too_old_is_dropped),
        cmocka_unit_test(a_staple_goes_with_the_session),
        cmocka_unit_test(a_failed_attempt_has_no_certificate),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
