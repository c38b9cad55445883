/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_needs - which certificates satisfy which needs: PKIX, the host's own name, pins, TLSA records. */
#include "tests/unit/net/tls_peer.h"

#include <openssl/err.h>
#include <openssl/sha.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void only_shake(struct tls_peer *p)
{
    (void)peer_shake_hands(p);
}

/* ---- certificates ---- */

enum cert { GOOD, ALIAS, STRANGER, SELF, CERT_COUNT };

/* What each of them is for the trust store of peer_root, the names {alias.example, mx.example} and
 * the host mx.example. */
static const struct {
    const char *name;
    bool chain, named, host;
} certs[CERT_COUNT] = {
    [GOOD] = {"good", true, true, true},
    [ALIAS] = {"another of the names", true, true, false},
    [STRANGER] = {"trusted, for others", true, false, false},
    [SELF] = {"self-signed, expired, nameless", false, false, false},
};

static struct slice made[CERT_COUNT];

static struct slice make_leaf(const char *const *dns)
{
    struct make leaf = {.subject = "leaf",
                        .issuer = "test root",
                        .key = make_key(LEAF_KEY),
                        .signer = make_key(CA_KEY),
                        .dns = dns,
                        .usage = "s",
                        .extended = "server",
                        .from = time(NULL) - TEST_DAY,
                        .to = time(NULL) + 30 * TEST_DAY};

    return make_cert(&leaf);
}

static void make_certs(void)
{
    static const char *const good[] = {"mx.example", NULL},
                             *const alias[] = {"alias.example", NULL},
                             *const stranger[] = {"a.example", "b.example", "c.example",
                                                  "d.example", NULL};
    struct make self = {.subject = "self",
                        .key = make_key(LEAF_KEY),
                        .from = time(NULL) - 60 * TEST_DAY,
                        .to = time(NULL) - 30 * TEST_DAY};

    made[GOOD] = make_leaf(good);
    made[ALIAS] = make_leaf(alias);
    made[STRANGER] = make_leaf(stranger);
    made[SELF] = make_cert(&self);
}

/* ---- TLSA records ---- */

enum tlsa { NO_RECORDS, MATCH, MISMATCH, UNUSABLE, TLSA_COUNT };

static void give_tlsa(struct shake *s, enum tlsa which, struct slice cert, struct tlsa_record *r,
                      unsigned char digest[32])
{
    if (which == NO_RECORDS)
        return;
    (void)SHA256((const uint8_t *)cert.p, cert.n, digest);
    digest[0] = (unsigned char)(digest[0] ^ (which == MISMATCH));
    *r = (struct tlsa_record){.usage = 3,
                              .selector = 0,
                              .matching = 1,
                              .data = slice_of(digest, 32),
                              .usability = which == UNUSABLE ? TLSA_BAD_LENGTH : TLSA_USABLE};
    s->req.tlsa = r;
    s->req.tlsa_count = 1;
}

static struct slice both_names[] = {{"alias.example", 13}, {"mx.example", 10}};

struct lent { /* what a request points to */
    struct tlsa_record record;
    unsigned char digest[32];
    struct fingerprint pin;
};

/* The request is copied: what it lends is overwritten before the handshake begins. */
static void run(struct shake *s, struct lent *room)
{
    shake_start(s);
    memset(room, 0x5a, sizeof(*room));
    s->req.tlsa = NULL;
    s->req.fingerprints = NULL;
    RIG_UNTIL(s->loop, ear_heard(&s->ear, 'T') || ear_heard(&s->ear, 't'));
}

static void begin(struct shake *s, struct lent *room, unsigned needs, enum cert cert,
                  enum tlsa tlsa)
{
    shake_init(s, only_shake);
    s->req.names = both_names;
    s->req.name_count = COUNT(both_names);
    s->req.host = SLICE("mx.example");
    s->req.needs = needs;
    s->peer.chain[s->peer.chain_count++] = made[cert];
    give_tlsa(s, tlsa, made[cert], &room->record, room->digest);
}

/* Every set of needs over every certificate: it passes if, and only if, each need is met; and what was
 * seen is in the facts whatever was needed (C-CERT-05, C-DANE-07). */
static void needs_by_certificates(void **state)
{
    const unsigned bits[] = {NEED_CHAIN, NEED_NAME, NEED_HOST, NEED_PIN, NEED_TLSA};

    (void)state;
    for (unsigned set = 0; set < 1u << COUNT(bits); set++)
        for (enum cert c = 0; c < CERT_COUNT; c++)
            for (enum tlsa t = 0; t < TLSA_COUNT; t++) {
                unsigned needs = NEED_TLS | NEED_REQUIRETLS; /* the latter is not the handshake's */
                bool pass = true, pinned = (set + c) % 2 == 0;
                const bool holds[] = {certs[c].chain, certs[c].named, certs[c].host, pinned,
                                      t == MATCH};
                struct lent room;
                struct shake s;

                for (size_t i = 0; i < COUNT(bits); i++)
                    if (set >> i & 1u) {
                        needs |= bits[i];
                        pass = pass && holds[i];
                    }
                begin(&s, &room, needs, c, t);
                room.pin = (struct fingerprint){.n = 32};
                (void)SHA256((const uint8_t *)made[c].p, made[c].n, room.pin.digest);
                if (!pinned)
                    room.pin.digest[31] ^= 1;
                s.req.fingerprints = &room.pin;
                s.req.fingerprint_count = 1;
                run(&s, &room);
                if ((s.ear.facts->reason == REASON_OK) != pass)
                    fail_msg("needs %#x, %s, TLSA %d, pinned %d: %s (%s)", needs, certs[c].name, t,
                             pinned, reason_info(s.ear.facts->reason)->token, s.ear.facts->detail);
                assert_true(s.ear.facts->judged);
                assert_int_equal(s.ear.facts->judgement.reason == REASON_OK,
                                 certs[c].chain && certs[c].named);
                assert_int_equal(s.ear.facts->dane_judged, t != NO_RECORDS);
                if (t != NO_RECORDS)
                    assert_int_equal(s.ear.facts->dane.reason == REASON_OK, t == MATCH);
                assert_int_equal(s.ear.facts->reached.tls, pass);
                assert_int_equal(s.ear.facts->reached.tlsa, pass && t == MATCH);
                assert_int_equal(s.ear.facts->reached.chain, pass && certs[c].chain);
                assert_int_equal(s.ear.facts->reached.name, pass && certs[c].named);
                assert_int_equal(s.ear.facts->reached.host, pass && certs[c].host);
                assert_int_equal(s.ear.facts->reached.pinned, pass && pinned);
                if (!pass)
                    assert_true(reason_is_certificate(s.ear.facts->reason));
                shake_end(&s);
            }
}

/* The reason and the words are those of the judgement that refused. */
static void who_refused(void **state)
{
    static const struct {
        unsigned needs;
        enum cert cert;
        enum tlsa tlsa;
        enum reason want;
        const char *detail;
    } cases[] = {
        /* DANE decides: what PKIX thinks stays in the record (C-DANE-05, C-DANE-07) */
        {DANE_NEEDS, SELF, MATCH, REASON_OK, ""},
        {DANE_NEEDS, SELF, MISMATCH, REASON_DANE_MISMATCH, "record"},
        {DANE_NEEDS, GOOD, MISMATCH, REASON_DANE_MISMATCH, "record"},
        {DANE_NEEDS, GOOD, UNUSABLE, REASON_DANE_MISMATCH, "record"},
        {DANE_NEEDS, GOOD, NO_RECORDS, REASON_DANE_MISMATCH, "no TLSA record is at hand"},
        {NEED_TLSA, GOOD, NO_RECORDS, REASON_DANE_MISMATCH, "no TLSA record is at hand"},
        {DANE_NEEDS | NEED_CHAIN, SELF, MISMATCH, REASON_DANE_MISMATCH, "record"},
        {DANE_NEEDS | NEED_PIN, SELF, MATCH, REASON_CERT_FINGERPRINT, ""},
        /* C-STS-13: a match of DANE does not stand in for what else is owed */
        {DANE_NEEDS | NEED_CHAIN | NEED_NAME, SELF, MATCH, REASON_CERT_SELF_SIGNED, "self"},
        /* MTA-STS: the MX host's own name (C-STS-11) */
        {STS_NEEDS, GOOD, NO_RECORDS, REASON_OK, ""},
        {STS_NEEDS, GOOD, MISMATCH, REASON_OK, ""},
        {STS_NEEDS, ALIAS, NO_RECORDS, REASON_CERT_NAME_MISMATCH,
         "wanted mx.example, the name of the MX host itself; it names alias.example"},
        {STS_NEEDS, STRANGER, NO_RECORDS, REASON_CERT_NAME_MISMATCH,
         "wanted mx.example, the name of the MX host itself; it names a.example, b.example, "
         "c.example and 1 more"},
        {STS_NEEDS, SELF, NO_RECORDS, REASON_CERT_SELF_SIGNED, "self"},
        {STS_NEEDS | NEED_NAME, STRANGER, NO_RECORDS, REASON_CERT_NAME_MISMATCH,
         "wanted alias.example"},
        {NEED_TLS | NEED_HOST, SELF, NO_RECORDS, REASON_CERT_SELF_SIGNED, "self"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            struct lent room;
            struct shake s;

            begin(&s, &room, cases[i].needs, cases[i].cert, cases[i].tlsa);
            s.peer.version = version;
            run(&s, &room);
            if (s.ear.facts->reason != cases[i].want ||
                strstr(s.ear.facts->detail, cases[i].detail) == NULL)
                fail_msg("case %zu: %s (%s)", i, reason_info(s.ear.facts->reason)->token,
                         s.ear.facts->detail);
            if (cases[i].cert == SELF)
                assert_int_equal(s.ear.facts->judgement.reason, REASON_CERT_SELF_SIGNED);
            shake_end(&s);
        }
}

/* C-DANE-05: usage 2 needs a path to its anchor and one of its own names, which need not be those of PKIX. */
static void an_anchor_and_its_names(void **state)
{
    static const struct {
        const char *name; /* of the DANE request; NULL: none */
        enum cert cert;
        bool anchor_sent;
        enum reason want;
        const char *detail;
    } cases[] = {
        {"mx.example", GOOD, true, REASON_OK, ""},
        {"a.example", STRANGER, true, REASON_OK, ""},
        {"other.example", GOOD, true, REASON_CERT_NAME_MISMATCH, "other.example"},
        {NULL, GOOD, true, REASON_CERT_NAME_MISMATCH, ""},
        {"mx.example", GOOD, false, REASON_DANE_MISMATCH, ""},
        {"mx.example", SELF, true, REASON_DANE_MISMATCH, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice name = slice_str(cases[i].name);
        char spoiled[] = "mx.example";
        struct lent room;
        struct shake s;

        begin(&s, &room, DANE_NEEDS, cases[i].cert, NO_RECORDS);
        give_tlsa(&s, MATCH, peer_root, &room.record, room.digest);
        room.record.usage = 2;
        if (cases[i].anchor_sent)
            s.peer.chain[s.peer.chain_count++] = peer_root;
        if (i == 0) /* copied too */
            name = slice_str(spoiled);
        s.req.dane_names = &name;
        s.req.dane_name_count = cases[i].name != NULL;
        shake_start(&s);
        memset(spoiled, 'x', sizeof(spoiled) - 1);
        memset(&room, 0x5a, sizeof(room));
        name = SLICE_NONE;
        RIG_UNTIL(s.loop, ear_heard(&s.ear, 'T') || ear_heard(&s.ear, 't'));
        if (s.ear.facts->reason != cases[i].want ||
            strstr(s.ear.facts->detail, cases[i].detail) == NULL)
            fail_msg("case %zu: %s (%s)", i, reason_info(s.ear.facts->reason)->token,
                     s.ear.facts->detail);
        assert_int_equal(s.ear.facts->dane.reason, cases[i].want);
        assert_true(s.ear.facts->judged);
        shake_end(&s);
    }
}

/* No trust store at all: DANE needs none, PKIX refuses (C-CERT-05). */
static void without_a_trust_store(void **state)
{
    static const struct {
        unsigned needs;
        enum reason want;
    } cases[] = {{DANE_NEEDS, REASON_OK}, {STS_NEEDS, REASON_CERT_UNCHECKED}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lent room;
        struct shake s;

        begin(&s, &room, cases[i].needs, SELF, MATCH);
        trust_drop(&s.req.trust);
        run(&s, &room);
        assert_int_equal(s.ear.facts->reason, cases[i].want);
        assert_false(s.ear.facts->judged);
        assert_true(s.ear.facts->dane_judged);
        shake_end(&s);
    }
}

/* Without reference names the judgement is about the host's own name, where it has one. */
static void no_names_but_a_host(void **state)
{
    static const struct {
        const char *host;
        enum cert cert;
        enum reason judged;
        const char *detail;
    } cases[] = {
        {"mx.example", GOOD, REASON_OK, ""},
        {"mx.example", ALIAS, REASON_CERT_NAME_MISMATCH, "wanted mx.example"},
        {"", GOOD, REASON_CERT_NAME_MISMATCH, "the host is an address"},
        {"m\\x\"\n.example", GOOD, REASON_CERT_NAME_MISMATCH, "m\\x5cx\\x22\\x0a.example"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lent room;
        struct shake s;

        begin(&s, &room, STS_NEEDS, cases[i].cert, NO_RECORDS);
        s.req.name_count = 0;
        s.req.host = slice_str(cases[i].host);
        run(&s, &room);
        assert_int_equal(s.ear.facts->reason, cases[i].judged);
        assert_int_equal(s.ear.facts->judgement.reason, cases[i].judged);
        assert_non_null(strstr(s.ear.facts->detail, cases[i].detail));
        assert_non_null(strstr(s.ear.facts->judgement.detail, cases[i].detail));
        assert_false(s.ear.facts->reached.name);
        shake_end(&s);
    }
}

/* RFC 7671 5.1: with DANE-EE the key usage does not matter; where a chain is owed it does. */
static void key_usage(void **state)
{
    struct make m = {.subject = "mx",
                     .key = make_rsa(2048, LEAF_KEY),
                     .usage = "e",
                     .from = time(NULL) - TEST_DAY,
                     .to = time(NULL) + TEST_DAY};
    struct slice kept = made[SELF];
    const bool can_look_away = BORINGSSL_API_VERSION < 43;

    (void)state;
    made[SELF] = make_cert(&m);
    for (uint16_t version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        for (int chain = 0; chain < 2; chain++) {
            struct lent room;
            struct shake s;

            begin(&s, &room, chain ? DANE_NEEDS | NEED_CHAIN : DANE_NEEDS, SELF, MATCH);
            s.peer.version = version;
            s.peer.key = m.key;
            run(&s, &room);
            if (chain)
                assert_true(reason_is_certificate(s.ear.facts->reason));
            else if (version == TLS1_2_VERSION && can_look_away)
                assert_int_equal(s.ear.facts->reason, REASON_OK);
            else /* no word of a judgement: the ladder may go on to TLS 1.2 */
                assert_int_equal(s.ear.facts->reason, REASON_TLS_PROTOCOL);
            assert_int_equal(s.ear.facts->reached.tlsa, s.ear.facts->reason == REASON_OK);
            shake_end(&s);
        }
    make_free(&made[SELF]);
    made[SELF] = kept;
}

static void read_alert(struct tls_peer *p)
{
    if (!peer_shake_hands(p))
        p->kind = (char)(ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET);
}

static void alerts(void **state)
{
    static const struct {
        unsigned needs;
        enum cert cert;
        int alert;
    } cases[] = {
        {DANE_NEEDS, GOOD, SSL_AD_BAD_CERTIFICATE},
        {STS_NEEDS, SELF, SSL_AD_UNKNOWN_CA},
        {STS_NEEDS, ALIAS, SSL_AD_BAD_CERTIFICATE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lent room;
        struct shake s;

        begin(&s, &room, cases[i].needs, cases[i].cert, MISMATCH);
        s.peer.script = read_alert;
        run(&s, &room);
        assert_int_not_equal(s.ear.facts->reason, REASON_OK);
        shake_end(&s);
        assert_int_equal(s.peer.kind, cases[i].alert);
    }
}

static int setup_group(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    peer_make_certificates();
    make_certs();
    return 0;
}

static int teardown_group(void **state)
{
    (void)state;
    peer_free_certificates();
    for (size_t i = 0; i < CERT_COUNT; i++)
        make_free(&made[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_by_certificates),
        cmocka_unit_test(who_refused),
        cmocka_unit_test(an_anchor_and_its_names),
        cmocka_unit_test(without_a_trust_store),
        cmocka_unit_test(no_names_but_a_host),
        cmocka_unit_test(key_usage),
        cmocka_unit_test(alerts),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
