/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger in memory (C-RCPT-01 to 06); what lasts of it: test_ledger_disk.c. */
#include "tests/unit/store/ledger_rig.h"

#include <pthread.h>
#include <time.h>

#define MANY 100000
#define ASKED 200000

static struct store *open_with(size_t max)
{
    return store_open(&(struct store_params){.path = rig_path,
                                             .policies_max = 10,
                                             .rungs_max = 10,
                                             .ledger_max = max,
                                             .ledger_keep = WEEK},
                      NULL);
}

/* C-RCPT-01: what is put is found, whole. */
static void c_rcpt_01_put_and_find(void **state)
{
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e = led_entry("a@example.org", "b@example.com", 1);
    struct ledger_view *v;

    (void)state;
    assert_false(led_knows(l, "a@example.org", "b@example.com", NOW));
    assert_true(led_put(l, &e, NULL));
    v = ledger_find(l, SLICE("a@example.org"), SLICE("b@example.com"), NOW);
    assert_non_null(v);
    assert_int_equal(v->count, 1);
    led_same(&v->entries[0], &e);
    assert_int_equal(v->entries[0].until, NOW + WEEK);
    /* The view is a picture: it stays when the entry goes. */
    ledger_remove(l, &e);
    led_same(&v->entries[0], &e);
    ledger_view_free(&v);
    assert_null(v);
    ledger_view_free(&v); /* NULL is fine */
    assert_int_equal(ledger_count(l), 0);
    store_close(&s);
}

/* C-RCPT-02: each outcome, and the smallest of entries. */
static void c_rcpt_02_outcomes(void **state)
{
    static const struct {
        enum ledger_outcome outcome;
        int code;
        bool kept;
    } cases[] = {
        {LEDGER_DELIVERED, 250, true},  {LEDGER_DELIVERED, 199, false},
        {LEDGER_DELIVERED, 300, false}, {LEDGER_DELIVERED, 550, false},
        {LEDGER_REFUSED, 550, true},    {LEDGER_REFUSED, 599, true},
        {LEDGER_REFUSED, 600, false},   {LEDGER_REFUSED, 451, false},
        {LEDGER_DEFERRED, 451, true},   {LEDGER_DEFERRED, 0, true},
        {LEDGER_DEFERRED, 42, false},   {LEDGER_DEFERRED, -1, false},
    };
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);

    (void)state;
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        struct ledger_entry e = {.sender = "",
                                 .recipient = "x@example.com",
                                 .outcome = cases[i].outcome,
                                 .code = cases[i].code,
                                 .digest = {(uint8_t)i},
                                 .at = NOW};
        struct ledger_view *v;

        assert_int_equal(led_put(l, &e, NULL), cases[i].kept);
        v = ledger_find(l, SLICE(""), SLICE("x@example.com"), NOW);
        assert_int_equal(v != NULL, cases[i].kept);
        if (v != NULL) {
            assert_int_equal(v->entries[0].outcome, cases[i].outcome);
            assert_int_equal(v->entries[0].code, cases[i].code);
            assert_string_equal(v->entries[0].reply, ""); /* NULL is "" */
            assert_false(v->entries[0].signs.has_size);
        }
        ledger_view_free(&v);
        ledger_remove(l, &e);
    }
    store_close(&s);
}

/* Local parts as they came, domains in lower case without their dot. */
static void paths(void **state)
{
    static const struct {
        const char *sender, *recipient;
        bool known;
    } cases[] = {
        {"Ann@Example.ORG", "Bob@Example.Com", true},
        {"Ann@example.org", "Bob@example.com.", true},
        {"Ann@EXAMPLE.ORG.", "Bob@EXAMPLE.COM", true},
        {"ann@example.org", "Bob@example.com", false},
        {"Ann@example.org", "bob@example.com", false},
        {"Ann@example.org", "Bob@example.com..", false},
        {"Ann@example.org", "Bob", false},
        {"", "Bob@example.com", false},
        {"Bob@example.com", "Ann@example.org", false},
        {"Ann@example.orgBob@example.com", "", false},
    };
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e = led_entry("Ann@Example.ORG.", "Bob@EXAMPLE.com", 1);
    char longer[1100];

    (void)state;
    assert_true(led_put(l, &e, NULL));
    for (size_t i = 0; i < COUNT(cases); i++)
        if (led_knows(l, cases[i].sender, cases[i].recipient, NOW) != cases[i].known)
            fail_msg("%s, %s", cases[i].sender, cases[i].recipient);
    e = led_entry("", "\"a@B\"@Example.com", 2);
    assert_true(led_put(l, &e, NULL));
    e = led_entry("", "Postmaster", 2);
    assert_true(led_put(l, &e, NULL));
    assert_true(led_knows(l, "", "\"a@B\"@example.COM", NOW));
    assert_false(led_knows(l, "", "\"a@b\"@example.com", NOW));
    assert_true(led_knows(l, "", "Postmaster", NOW));
    assert_false(led_knows(l, "", "postmaster", NOW)); /* a local part too */
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    e = led_entry("", longer, 3);
    assert_false(led_put(l, &e, NULL));
    assert_false(led_knows(l, "", longer, NOW));
    assert_false(led_knows(l, longer, "Postmaster", NOW));
    assert_false(ledger_knows(l, SLICE(""), SLICE("Post\0master"), NOW));
    e = led_entry("", "", 3);
    assert_false(led_put(l, &e, NULL)); /* nobody */
    assert_int_equal(ledger_count(l), 3);
    store_close(&s);
}

/* C-RCPT-06: every message is an entry of its own; the same one replaces. */
static void c_rcpt_06_digests(void **state)
{
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e;
    struct ledger_view *v;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        e = led_entry("a@example.org", "b@example.com", i);
        e.at = NOW + (i == 1 ? 100 : i);
        assert_true(led_put(l, &e, NULL));
    }
    e = led_entry("a@example.org", "b@example.com", 2);
    e.outcome = LEDGER_REFUSED;
    e.code = 550;
    e.reply = "5.1.1 nobody";
    e.reply_is_ours = e.untold = true;
    e.signs.has_size = false;
    e.signs.size = 0;
    e.at = NOW + 2;
    assert_true(led_put(l, &e, NULL));
    assert_int_equal(ledger_count(l), 3);
    v = ledger_find(l, SLICE("a@example.org"), SLICE("b@example.com"), NOW);
    assert_int_equal(v->count, 3);
    assert_int_equal(v->entries[0].digest[0], 1); /* newest first */
    led_same(&v->entries[1], &e);
    assert_int_equal(v->entries[2].digest[0], 0);
    ledger_view_free(&v);
    e.digest[5] ^= 1; /* another message: takes nothing away */
    ledger_remove(l, &e);
    assert_int_equal(led_count(l, "a@example.org", "b@example.com", NOW), 3);
    e.digest[5] ^= 1;
    ledger_remove(l, &e);
    assert_int_equal(led_count(l, "a@example.org", "b@example.com", NOW), 2);
    ledger_remove(l, &e); /* again */
    for (uint32_t i = 0; i < 2; i++) {
        e = led_entry("a@EXAMPLE.org", "b@example.com.", i);
        ledger_remove(l, &e);
    }
    assert_false(led_knows(l, "a@example.org", "b@example.com", NOW));
    assert_int_equal(ledger_count(l), 0);
    store_close(&s);
}

/* What is too long is cut, and never breaks what is beside it. */
static void long_texts(void **state)
{
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e = led_entry("a@example.org", "b@example.com", 1);
    char text[4096];
    struct ledger_view *v;

    (void)state;
    memset(text, 'r', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    e.reply = e.mx = e.address = text;
    memset(e.signs.helo, 'h', sizeof(e.signs.helo) - 1);
    memset(e.transaction, 't', sizeof(e.transaction) - 1);
    e.signs.size = UINT64_MAX;
    assert_true(led_put(l, &e, NULL));
    v = ledger_find(l, SLICE("a@example.org"), SLICE("b@example.com"), NOW);
    assert_int_equal(strlen(v->entries[0].reply), LEDGER_REPLY_MAX);
    assert_int_equal(strlen(v->entries[0].mx), 255);
    assert_string_equal(v->entries[0].signs.helo, e.signs.helo);
    assert_string_equal(v->entries[0].transaction, e.transaction);
    assert_string_equal(v->entries[0].queue_id, e.queue_id);
    assert_int_equal(v->entries[0].signs.size, INT64_MAX);
    ledger_view_free(&v);
    store_close(&s);
}

/* C-RCPT-05: an entry lives as long as it was told to, and then makes room. */
static void c_rcpt_05_expiry(void **state)
{
    struct store *s = open_with(3);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e = led_entry("a@example.org", "b@example.com", 1);
    struct ledger_view *v;

    (void)state;
    assert_true(led_put(l, &e, NULL));
    assert_true(led_knows(l, e.sender, e.recipient, NOW + WEEK - 1));
    assert_false(led_knows(l, e.sender, e.recipient, NOW + WEEK));
    ledger_set_keep(l, HOUR); /* for new ones */
    e = led_entry("a@example.org", "b@example.com", 2);
    assert_true(led_put(l, &e, NULL));
    assert_int_equal(led_count(l, e.sender, e.recipient, NOW + HOUR - 1), 2);
    assert_int_equal(led_count(l, e.sender, e.recipient, NOW + HOUR), 1);
    v = ledger_all(l, NOW + HOUR);
    assert_int_equal(v->count, 1);
    ledger_view_free(&v);
    e = led_entry("a@example.org", "b@example.com", 3);
    assert_true(led_put(l, &e, NULL));
    assert_false(ledger_ready(l, 1, NOW));
    assert_true(ledger_ready(l, 2, NOW + HOUR)); /* two were dropped */
    assert_int_equal(ledger_count(l), 1);
    e = led_entry("a@example.org", "b@example.com", 4);
    e.at = INT64_MAX - 5; /* no time of this world */
    assert_false(led_put(l, &e, NULL));
    e.at = -1;
    assert_false(led_put(l, &e, NULL));
    store_close(&s);
}

/* Full: no entry that lives makes room for another. */
static void full(void **state)
{
    struct ledger_entry e[4];
    struct store *s = open_with(3);
    struct ledger *l = store_ledger(s);
    uint64_t ticket;

    (void)state;
    for (uint32_t i = 0; i < COUNT(e); i++)
        e[i] = led_entry("a@example.org", i < 2 ? "b@example.com" : "c@example.com", i);
    assert_true(ledger_ready(l, 3, NOW));
    assert_false(ledger_ready(l, 4, NOW));
    assert_false(ledger_ready(l, SIZE_MAX, NOW));
    assert_false(ledger_put(l, e, 4, &ticket));
    assert_int_equal(led_wait(l, ticket, 5000), LEDGER_DURABLE); /* the three */
    assert_int_equal(ledger_count(l), 3);
    assert_int_equal(led_count(l, "a@example.org", "c@example.com", NOW), 1);
    assert_true(ledger_ready(l, 0, NOW));
    assert_false(ledger_ready(l, 1, NOW));
    assert_true(ledger_put(l, e, 3, &ticket)); /* the same ones need no room */
    assert_int_equal(led_wait(l, ticket, 5000), LEDGER_DURABLE);
    ledger_remove(l, &e[0]);
    assert_true(ledger_ready(l, 1, NOW));
    assert_true(ledger_put(l, &e[3], 1, &ticket));
    assert_int_equal(led_wait(l, ticket, 5000), LEDGER_DURABLE);
    for (uint32_t i = 1; i < COUNT(e); i++)
        assert_true(led_knows(l, e[i].sender, e[i].recipient, NOW));
    /* Those of a later time: what expired makes room by itself. */
    e[0].at = NOW + WEEK;
    assert_true(ledger_put(l, &e[0], 1, &ticket));
    assert_int_equal(ledger_count(l), 1);
    store_close(&s);
}

static void all_by_time(void **state)
{
    struct store *s = rig_memory(1000);
    struct ledger *l = store_ledger(s);
    struct ledger_view *v = ledger_all(l, NOW);

    (void)state;
    assert_int_equal(v->count, 0);
    ledger_view_free(&v);
    for (uint32_t i = 0; i < 500; i++) {
        struct ledger_entry e = led_entry("a@example.org", i % 2 ? "b@example.com" : "c@b.de", i);

        e.at = NOW + i * 7919 % 500 / 2;
        assert_true(led_put(l, &e, NULL));
    }
    v = ledger_all(l, NOW);
    assert_int_equal(v->count, 500);
    for (size_t i = 1; i < v->count; i++)
        assert_true(v->entries[i - 1].at <= v->entries[i].at);
    ledger_view_free(&v);
    store_close(&s);
}

/* Without a disk, and with room for none: never ready, and nobody waits. */
static void memory_only(void **state)
{
    struct store *s = rig_memory(100);
    struct ledger *l = store_ledger(s);
    struct ledger_entry e = led_entry("a@example.org", "b@example.com", 1);
    struct ledger_watch *w = ledger_watch(l, NULL, NULL); /* is never called */
    uint64_t ticket;

    (void)state;
    assert_false(ledger_ready(l, 0, NOW));
    assert_true(led_put(l, &e, &ticket));
    assert_int_equal(ledger_settled(l, ticket), LEDGER_FAILED);
    assert_true(led_knows(l, e.sender, e.recipient, NOW));
    ledger_unwatch(l, &w);
    assert_null(w);
    ledger_unwatch(l, &w); /* NULL is fine */
    store_close(&s);
    s = rig_memory(0);
    l = store_ledger(s);
    assert_false(led_put(l, &e, &ticket));
    assert_int_equal(ledger_settled(l, ticket), LEDGER_FAILED);
    store_close(&s);
    s = open_with(0);
    l = store_ledger(s);
    assert_false(ledger_ready(l, 1, NOW));
    assert_false(led_put(l, &e, &ticket));
    assert_int_equal(led_wait(l, ticket, 5000), LEDGER_DURABLE); /* of nothing */
    assert_true(ledger_put(l, &e, 0, &ticket));
    assert_int_equal(led_wait(l, ticket, 5000), LEDGER_DURABLE);
    store_close(&s);
}

static double nanoseconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double cost_of_knows(struct ledger *l, bool known)
{
    double t = nanoseconds();

    for (unsigned i = 0; i < ASKED; i++)
        if (ledger_knows(l, SLICE("sender@client.example"),
                         known ? SLICE("user77@d77.example") : SLICE("other@d77.example"),
                         NOW) != known)
            fail_msg("known: %d", !known);
    return (nanoseconds() - t) / ASKED;
}

/* It is asked for each recipient of each mail. */
static void knows_is_cheap(void **state)
{
    struct store *s = rig_memory(MANY);
    struct ledger *l = store_ledger(s);
    double empty = cost_of_knows(l, false);

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        char recipient[64];
        struct ledger_entry e;

        (void)snprintf(recipient, sizeof(recipient), "user%u@d%u.example", i, i);
        e = led_entry("sender@client.example", recipient, i);
        assert_true(led_put(l, &e, NULL));
    }
    print_message("ledger_knows: empty %.0f ns; of 100,000: unknown %.0f ns, known %.0f ns\n",
                  empty, cost_of_knows(l, false), cost_of_knows(l, true));
    store_close(&s);
}

struct round_of_threads {
    struct ledger *l;
    uint32_t first;
    unsigned durable;
};

static void *puts_and_finds(void *arg)
{
    struct round_of_threads *r = arg;

    for (uint32_t i = 0; i < 50; i++) {
        struct ledger_entry e = led_entry("a@example.org", "b@example.com", r->first + i);
        uint64_t ticket;
        struct ledger_view *v;

        if (!led_put(r->l, &e, &ticket))
            continue;
        v = ledger_find(r->l, SLICE("a@example.org"), SLICE("b@example.com"), NOW);
        ledger_view_free(&v);
        r->durable += led_wait(r->l, ticket, 20000) == LEDGER_DURABLE;
        v = ledger_all(r->l, NOW);
        ledger_view_free(&v);
        if (i % 2 == 0)
            ledger_remove(r->l, &e);
    }
    return NULL;
}

static void threads(void **state)
{
    struct store *s = open_with(1000);
    struct round_of_threads rounds[4];
    pthread_t ids[COUNT(rounds)];

    (void)state;
    for (uint32_t i = 0; i < COUNT(rounds); i++) {
        rounds[i] = (struct round_of_threads){store_ledger(s), i * 1000, 0};
        assert_int_equal(pthread_create(&ids[i], NULL, puts_and_finds, &rounds[i]), 0);
    }
    for (size_t i = 0; i < COUNT(rounds); i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(rounds[i].durable, 50);
    }
    assert_int_equal(ledger_count(store_ledger(s)), 100);
    store_close(&s);
    assert_string_equal(rig_sql(rig_path, "SELECT count(*) FROM ledger"), "100");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(c_rcpt_01_put_and_find),
        TEST(c_rcpt_02_outcomes),
        TEST(paths),
        TEST(c_rcpt_06_digests),
        TEST(long_texts),
        TEST(c_rcpt_05_expiry),
        TEST(full),
        TEST(all_by_time),
        TEST(memory_only),
        TEST(knows_is_cheap),
        TEST(threads),
    };

    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
