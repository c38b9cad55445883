/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_resume - C-TLS-08: which connection resumes which session, and how often. */
#include "tests/unit/net/resume_rig.h"

/* The facts are as good as those of a full handshake. */
static void the_same_request_resumes(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct result first, second;
        struct resume_rig r;

        resume_init(&r, version);
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
        resume_end(&r);
    }
}

static void without_a_table_nothing_is_kept(void **state)
{
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
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
    resume_end(&r);
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

static void change(struct resume_rig *r, enum change what, struct changed *c)
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
            struct resume_rig r;

            if (what == VERSION && version == TLS1_2_VERSION)
                continue;
            resume_init(&r, version);
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
            resume_end(&r);
        }
}

/* A new file with what the old one had is the same trust. */
static void the_same_roots_in_another_store(void **state)
{
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    trust_drop(&r.req.trust);
    r.req.trust = peer_trust(peer_root);
    expect(&r, REASON_OK, true);
    resume_end(&r);
}

/* ---- how many, how often ---- */

/* RFC 8446 C.4: no ticket twice while there are others; the last one is for all who come then. */
static void a_stack_of_tickets(void **state)
{
    struct tls_pair pairs[4];
    struct resume_rig r;
    size_t kept;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
    expect(&r, REASON_OK, false);
    kept = tls_sessions_count(r.sessions);
    assert_in_range(kept, 1, TLS_TICKETS_MAX);
    for (size_t i = 0; i < kept; i++)
        pair_open(&pairs[i], r.context, &r.req, r.server);
    assert_int_equal(tls_sessions_count(r.sessions), 1);
    expect(&r, REASON_OK, true); /* with the last one, again */
    for (size_t i = 0; i < kept; i++) {
        pair_shake(&pairs[i]);
        assert_int_equal(pairs[i].wire->facts.reason, REASON_OK);
        assert_true(pairs[i].wire->facts.resumed);
        pair_close(&pairs[i]);
    }
    for (int i = 0; i < 20; i++)
        expect(&r, REASON_OK, true);
    assert_in_range(tls_sessions_count(r.sessions), 1, TLS_SESSIONS_PER_KEY);
    resume_end(&r);
}

static void tls12_is_used_again(void **state)
{
    struct tls_pair pairs[3];
    struct resume_rig r;

    (void)state;
    resume_init(&r, TLS1_2_VERSION);
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
    resume_end(&r);
}

/* Tickets come behind the handshake, also to a connection that waits; a peer cannot fill the table. */
static void late_tickets_are_counted(void **state)
{
    struct tls_pair p;
    struct resume_rig r;
    size_t n;
    char byte;

    (void)state;
    resume_init(&r, TLS1_3_VERSION);
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
    resume_end(&r);
}

static void a_server_without_its_ticket_keys(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct resume_rig r;

        resume_init(&r, version);
        expect(&r, REASON_OK, false);
        pair_forget_tickets(r.server);
        expect(&r, REASON_OK, false);
        expect(&r, REASON_OK, true);
        resume_end(&r);
    }
}

/* ---- threads ---- */

struct worker {
    pthread_t thread;
    struct resume_rig *rig;
    unsigned resumed, wrong;
};

static void *connect_often(void *arg)
{
    struct worker *w = arg;
    struct tls_request req = w->rig->req;

    for (int i = 0; i < 60; i++) {
        struct tls_pair p;

        req.place.port = (uint16_t)(25 + i % 3);
        pair_open(&p, w->rig->context, &req, w->rig->server);
        pair_shake(&p);
        w->wrong += p.wire->facts.reason != REASON_OK || !p.wire->facts.reached.name;
        w->resumed += p.wire->facts.resumed;
        pair_close(&p);
    }
    return NULL;
}

/* One table, one context, one pool of certificates; the thread sanitizer looks on. */
static void workers_share_all(void **state)
{
    (void)state;
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct worker workers[2];
        struct resume_rig r;

        resume_init(&r, version);
        for (int i = 0; i < 2; i++) {
            workers[i] = (struct worker){.rig = &r};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, connect_often, &workers[i]),
                             0);
        }
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
            assert_int_equal(workers[i].wrong, 0);
            assert_true(workers[i].resumed >= 50);
        }
        resume_end(&r);
    }
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
        cmocka_unit_test(workers_share_all),
    };

    return cmocka_run_group_tests(tests, peer_setup, peer_teardown);
}
