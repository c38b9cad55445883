/* SPDX-License-Identifier: Apache-2.0 */
/* test_resolver - questions to a scripted name server: answers told apart, shared, cancelled, timed. */
#include "tests/unit/net/dns_peer.h"

#include "proxy/net/resolver.h"

static struct dns_row rows[] = {
    {.name = "mail.lab",
     .type = DNS_MX,
     .rdata = {{"\0\12\3mx1\4Mail\3lab\0", 16}, {"\0\24\3mx2\4mail\3lab\0", 16}}},
    {.name = "mx1.mail.lab", .type = DNS_A, .rdata = {{"\300\0\2\1", 4}, {"\300\0\2\2", 4}}},
    {.name = "mx1.mail.lab",
     .type = DNS_AAAA,
     .rdata = {{"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16}}},
    {.name = "txt.lab", .type = DNS_TXT, .rdata = {{"\3abc\2de", 7}}},
    {.name = "null.lab", .type = DNS_MX, .rdata = {{"\0\0\0", 3}}},
    {.name = "odd.lab",
     .type = DNS_MX,
     .rdata = {{"\0\12\3a b\3lab\0", 11}, {"\0\12\2mx\3lab\0", 10}}},
    {.name = "bad.lab", .type = DNS_MX, .rdata = {{"\0\12\3a b\3lab\0", 11}}},
    {.name = "broken.lab", .mood = DNS_SERVFAIL},
    {.name = "closed.lab", .mood = DNS_REFUSED},
    {.name = "silent.lab", .mood = DNS_SILENT},
    {.name = "late.lab", .type = DNS_A, .mood = DNS_LATE, .rdata = {{"\300\0\2\3", 4}}},
    {.name = "alias.lab", .mood = DNS_ALIAS, .rdata = {{"mx1.mail.lab", 12}}},
    {.name = "gone.lab", .mood = DNS_ALIAS, .rdata = {{"nowhere.lab", 11}}},
    {.name = "c9.lab", .mood = DNS_ALIAS, .rdata = {{"c8.lab", 6}}},
    {.name = "c8.lab", .mood = DNS_ALIAS, .rdata = {{"c7.lab", 6}}},
    {.name = "c7.lab", .mood = DNS_ALIAS, .rdata = {{"c6.lab", 6}}},
    {.name = "c6.lab", .mood = DNS_ALIAS, .rdata = {{"c5.lab", 6}}},
    {.name = "c5.lab", .mood = DNS_ALIAS, .rdata = {{"c4.lab", 6}}},
    {.name = "c4.lab", .mood = DNS_ALIAS, .rdata = {{"c3.lab", 6}}},
    {.name = "c3.lab", .mood = DNS_ALIAS, .rdata = {{"c2.lab", 6}}},
    {.name = "c2.lab", .mood = DNS_ALIAS, .rdata = {{"c1.lab", 6}}},
    {.name = "c1.lab", .mood = DNS_ALIAS, .rdata = {{"mx1.mail.lab", 12}}},
    {.name = "host.sub.test", .type = DNS_A, .rdata = {{"\300\0\2\4", 4}}},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct scene {
    struct loop *loop;
    struct dns_peer peer;
    struct resolver *resolver;
};

struct asked {
    struct scene *scene;
    struct dns_query *query;
    const struct dns_answer *answer;
    struct asked *cancels;
    int times;
    bool frees_resolver;
};

static struct resolver *make(struct scene *s, int64_t timeout)
{
    const struct dns_stub stubs[] = {{"lab", s->peer.at}, {"sub.test.", s->peer.at}};
    struct resolver_params p = {
        .stubs = stubs, .stub_count = 2, .trust_anchor = "", .timeout = timeout};
    struct resolver *r;
    struct buf error;

    buf_init(&error, 500);
    r = resolver_new(s->loop, &p, &error);
    if (r == NULL)
        print_message("%s\n", buf_cstr(&error));
    assert_non_null(r);
    buf_clear(&error);
    return r;
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->loop = loop_new();
    dns_start(&s->peer, rows, ROWS);
    s->resolver = make(s, 4000);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    resolver_free(&s->resolver);
    loop_free(&s->loop);
    dns_stop(&s->peer);
    free(s);
    return 0;
}

static void on_done(void *owner, const struct dns_answer *a)
{
    struct asked *q = owner;

    q->times++;
    q->query = NULL; /* the handle ended */
    q->answer = dns_answer_hold(a);
    if (q->cancels != NULL)
        dns_cancel(&q->cancels->query);
    if (q->frees_resolver)
        resolver_free(&q->scene->resolver);
}

static void ask(struct scene *s, struct asked *q, const char *name, enum dns_type type)
{
    q->scene = s;
    q->query = dns_ask(s->resolver, name, type, on_done, q);
    assert_non_null(q->query);
    assert_int_equal(q->times, 0); /* never inside dns_ask() */
}

/* The answer is dropped by the caller. */
static const struct dns_answer *resolve(struct scene *s, const char *name, enum dns_type type)
{
    struct asked q = {0};

    ask(s, &q, name, type);
    RIG_UNTIL(s->loop, q.times == 1);
    return q.answer;
}

static int asked_for(const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return atomic_load(&rows[i].asked);
    return -1;
}

static void mx_and_addresses(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "MAIL.lab.", DNS_MX);
    char text[ADDR_TEXT_MAX];

    assert_int_equal(a->status, DNS_OK);
    assert_string_equal(a->name, "mail.lab");
    assert_string_equal(a->canonical, "mail.lab");
    assert_int_equal(a->count, 2);
    assert_string_equal(a->mx[0].preference == 10 ? a->mx[0].host : a->mx[1].host, "mx1.mail.lab");
    assert_true(a->ttl > 0 && a->ttl <= 60);
    assert_false(a->secure);
    assert_true(a->took_ms >= 0);
    dns_answer_drop(&a);
    assert_null(a);
    dns_answer_drop(&a); /* NULL is fine */

    a = resolve(s, "mx1.mail.lab", DNS_A);
    assert_int_equal(a->count, 2);
    assert_memory_equal(addr_text(&a->addrs[0], text), "192.0.2.", 8);
    dns_answer_drop(&a);
    a = resolve(s, "mx1.mail.lab", DNS_AAAA);
    assert_int_equal(a->count, 1);
    assert_string_equal(addr_text(&a->addrs[0], text), "2001:db8::1");
    dns_answer_drop(&a);
    a = resolve(s, "txt.lab", DNS_TXT);
    assert_int_equal(a->count, 1);
    assert_int_equal(a->rdata[0].n, 7);
    dns_answer_drop(&a);
    a = resolve(s, "null.lab", DNS_MX); /* C-MX-04 */
    assert_int_equal(a->status, DNS_OK);
    assert_string_equal(a->mx[0].host, "");
    dns_answer_drop(&a);
}

/* C-MX-02, C-MX-03: absence, denial and failure are never mixed up. */
static void what_is_not_there(void **state)
{
    static const struct {
        const char *name;
        enum dns_type type;
        enum dns_status want;
    } cases[] = {
        {"txt.lab", DNS_MX, DNS_NODATA},
        {"sub.test", DNS_MX, DNS_NODATA},
        {"missing.lab", DNS_MX, DNS_NXDOMAIN},
        {"gone.lab", DNS_MX, DNS_NXDOMAIN},
        {"broken.lab", DNS_MX, DNS_FAILED},
        {"closed.lab", DNS_MX, DNS_FAILED},
        {"bad.lab", DNS_MX, DNS_FAILED}, /* records there are, none is usable: not "no data" */
        {"a..b.lab", DNS_MX, DNS_FAILED},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.lab", DNS_MX,
         DNS_FAILED},
    };
    struct scene *s = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct dns_answer *a = resolve(s, cases[i].name, cases[i].type);

        if (a->status != cases[i].want)
            fail_msg("%s: wanted %s, got %s (%s)", cases[i].name, dns_status_name(cases[i].want),
                     dns_status_name(a->status), a->detail);
        assert_int_equal(a->count, 0);
        if (a->status == DNS_FAILED)
            assert_true(a->detail[0] != '\0');
        dns_answer_drop(&a);
    }
}

static void malformed_records_are_left_out(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "odd.lab", DNS_MX);

    assert_int_equal(a->status, DNS_OK);
    assert_int_equal(a->count, 1);
    assert_int_equal(a->malformed, 1);
    assert_string_equal(a->mx[0].host, "mx.lab");
    dns_answer_drop(&a);
}

/* C-MX-07 */
static void cnames_are_followed(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "alias.lab", DNS_A);

    assert_int_equal(a->status, DNS_OK);
    assert_string_equal(a->name, "alias.lab");
    assert_string_equal(a->canonical, "mx1.mail.lab");
    assert_int_equal(a->count, 2);
    dns_answer_drop(&a);
    a = resolve(s, "alias.lab", DNS_MX); /* no data at the end of the alias */
    assert_int_equal(a->status, DNS_NODATA);
    dns_answer_drop(&a);
    a = resolve(s, "c8.lab", DNS_A); /* eight */
    assert_int_equal(a->status, DNS_OK);
    dns_answer_drop(&a);
    a = resolve(s, "c9.lab", DNS_A); /* nine */
    assert_int_equal(a->status, DNS_FAILED);
    assert_non_null(strstr(a->detail, "CNAME"));
    dns_answer_drop(&a);
}

/* A zone under "test", which libunbound denies by itself, is there when a stub says so. */
static void stubs_go_before_built_in_zones(void **state)
{
    struct scene *s = *state;
    const struct dns_answer *a = resolve(s, "host.sub.test", DNS_A);

    assert_int_equal(a->status, DNS_OK);
    dns_answer_drop(&a);
}

static void one_question_for_many(void **state)
{
    struct scene *s = *state;
    struct asked many[50] = {0};

    for (size_t i = 0; i < 50; i++)
        ask(s, &many[i], i % 2 ? "late.lab" : "LATE.lab", DNS_A);
    dns_cancel(&many[7].query);
    dns_cancel(&many[7].query); /* NULL is fine */
    RIG_UNTIL(s->loop, many[49].times == 1);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(many[i].times, i == 7 ? 0 : 1);
        if (i != 7)
            assert_ptr_equal(many[i].answer, many[0].answer); /* the very same one */
    }
    for (size_t i = 0; i < 50; i++)
        dns_answer_drop(&many[i].answer);
    assert_int_equal(asked_for("late.lab"), 1);
}

static void cancelling_another_inside_done(void **state)
{
    struct scene *s = *state;
    struct asked a = {0}, b = {0}, c = {0};

    a.cancels = &b;
    ask(s, &a, "late.lab", DNS_A);
    ask(s, &b, "late.lab", DNS_A);
    ask(s, &c, "late.lab", DNS_A);
    RIG_UNTIL(s->loop, c.times == 1);
    assert_int_equal(a.times, 1);
    assert_int_equal(b.times, 0);
    dns_answer_drop(&a.answer);
    dns_answer_drop(&c.answer);
}

/* An answer that comes after everybody left meets nobody; one who asks later is served. */
static void late_answers_meet_nobody(void **state)
{
    struct scene *s = *state;
    struct asked a = {0}, b = {0};

    ask(s, &a, "late.lab", DNS_A);
    rig_turn(s->loop, 30);
    dns_cancel(&a.query);
    rig_turn(s->loop, 30);
    ask(s, &b, "late.lab", DNS_A);
    RIG_UNTIL(s->loop, b.times == 1);
    assert_int_equal(a.times, 0);
    assert_int_equal(b.answer->status, DNS_OK);
    dns_answer_drop(&b.answer);
}

static void each_has_a_time_limit(void **state)
{
    struct scene *s = *state;
    struct asked a = {0}, b = {0};
    mono_ms start;

    resolver_free(&s->resolver);
    s->resolver = make(s, 150);
    start = clock_mono();
    ask(s, &a, "silent.lab", DNS_MX);
    rig_turn(s->loop, 80);
    ask(s, &b, "silent.lab", DNS_MX); /* shares the question, not the limit */
    RIG_UNTIL(s->loop, a.times == 1);
    assert_int_equal(a.answer->status, DNS_TIMED_OUT);
    assert_int_equal(b.times, 0);
    assert_true(clock_mono() - start >= 150 && clock_mono() - start < 1000);
    assert_true(a.answer->took_ms >= 150);
    RIG_UNTIL(s->loop, b.times == 1);
    assert_true(clock_mono() - start >= 230);
    dns_answer_drop(&a.answer);
    dns_answer_drop(&b.answer);
}

static void freed_with_questions_under_way(void **state)
{
    struct scene *s = *state;
    struct asked a = {0}, b = {0};

    ask(s, &a, "silent.lab", DNS_MX);
    ask(s, &b, "late.lab", DNS_A);
    rig_turn(s->loop, 10);
    resolver_free(&s->resolver);
    rig_turn(s->loop, 400);
    assert_int_equal(a.times + b.times, 0);
    dns_cancel(&a.query);
    dns_cancel(&b.query);
}

static void freed_inside_done(void **state)
{
    struct scene *s = *state;
    struct asked a = {.frees_resolver = true}, b = {0};

    ask(s, &a, "late.lab", DNS_A);
    ask(s, &b, "late.lab", DNS_A);
    RIG_UNTIL(s->loop, a.times == 1);
    rig_turn(s->loop, 10);
    assert_int_equal(b.times, 0);
    dns_cancel(&b.query);
    dns_answer_drop(&a.answer);
}

static void refused(const struct resolver_params *p, const char *words)
{
    struct loop *l = loop_new();
    struct resolver *r;
    struct buf error;

    buf_init(&error, 500);
    r = resolver_new(l, p, &error);
    assert_null(r);
    if (strstr(buf_cstr(&error), words) == NULL)
        fail_msg("\"%s\" has no \"%s\"", buf_cstr(&error), words);
    buf_clear(&error);
    loop_free(&l);
}

static void trust_anchors_are_checked(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"; nothing\n", "no DS or DNSKEY"},
        {"", "no DS or DNSKEY"},
        {". IN DS rubbish\n", "malformed"},
    };
    struct resolver_params p = {.trust_anchor = "/nonexistent/root.key", .timeout = 100};

    (void)state;
    refused(&p, "/nonexistent/root.key: No such file");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[] = "/tmp/test_resolver.XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)), strlen(cases[i].text));
        (void)close(fd);
        p.trust_anchor = path;
        refused(&p, cases[i].words);
        (void)unlink(path);
    }
}

/* C-DANE-01: which zone shows whether the keys of a file serve. */
static void the_zone_of_an_anchor(void **state)
{
    static const struct {
        const char *text, *zone;
    } cases[] = {
        {". IN DS 1 8 2 AB\n", "."},
        {"; DS\nsigned.example. 3600 IN DNSKEY 257 3 13 AB==\n", "signed.example."},
        {"one.example. IN DS 1 8 2 AB\nlab IN DS 1 8 2 AB\n.\tIN\tDS\t1 8 2 AB\n", "."},
        {"one.example. IN DS 1 8 2 AB\ntwo.example. IN DS 1 8 2 AB", "one.example."},
        {"; . IN DS 1 8 2 AB\n", NULL},
    };
    struct buf error;

    (void)state;
    buf_init(&error, 500);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[] = "/tmp/test_resolver.XXXXXX", *zone;
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)), strlen(cases[i].text));
        (void)close(fd);
        zone = resolver_anchor_zone(path, &error);
        (void)unlink(path);
        if (cases[i].zone == NULL)
            assert_null(zone);
        else
            assert_string_equal(zone, cases[i].zone);
        free(zone);
    }
    buf_clear(&error);
}

/* A zone that claims to be signed and is not: bogus, with the reason, never absence (C-MX-03). */
static void bogus_is_told(void **state)
{
    struct scene *s = *state;
    char path[] = "/tmp/test_resolver.XXXXXX";
    static const char anchor[] =
        "lab. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
    const struct dns_stub stub = {"lab", s->peer.at};
    struct resolver_params p = {
        .stubs = &stub, .stub_count = 1, .trust_anchor = path, .timeout = 5000};
    const struct dns_answer *a;
    int fd = mkstemp(path);
    struct buf error;

    buf_init(&error, 500);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, anchor, sizeof(anchor) - 1), sizeof(anchor) - 1);
    (void)close(fd);
    resolver_free(&s->resolver);
    s->resolver = resolver_new(s->loop, &p, &error);
    (void)unlink(path);
    assert_non_null(s->resolver);
    a = resolve(s, "mail.lab", DNS_MX);
    assert_int_equal(a->status, DNS_IS_BOGUS);
    assert_false(a->secure);
    assert_true(strlen(a->detail) > 10);
    assert_int_equal(a->count, 0);
    dns_answer_drop(&a);
    buf_clear(&error);
}

static void forwarders(void **state)
{
    struct scene *s = *state;
    struct resolver_params p = {.forward = &s->peer.at, .forward_count = 1, .timeout = 4000};
    const struct dns_answer *a;
    struct buf error;

    buf_init(&error, 500);
    resolver_free(&s->resolver);
    s->resolver = resolver_new(s->loop, &p, &error);
    assert_non_null(s->resolver);
    a = resolve(s, "mail.lab", DNS_MX);
    assert_int_equal(a->status, DNS_OK);
    dns_answer_drop(&a);
    a = resolve(s, "host.sub.test", DNS_A);
    assert_int_equal(a->status, DNS_OK);
    dns_answer_drop(&a);
    a = resolve(s, "missing.invalid", DNS_A);
    assert_int_equal(a->status, DNS_NXDOMAIN);
    dns_answer_drop(&a);
    buf_clear(&error);
}

static void *worker(void *arg)
{
    struct scene *with = arg, mine = {.loop = loop_new(), .peer = {.at = with->peer.at}};
    int *ok = calloc(1, sizeof(*ok));

    if (ok == NULL || mine.loop == NULL)
        abort();
    for (int round = 0; round < 5; round++) {
        struct asked q = {.scene = &mine};

        mine.resolver = make(&mine, 4000);
        q.query = dns_ask(mine.resolver, "mail.lab", DNS_MX, on_done, &q);
        for (int i = 0; i < 2000 && q.times == 0; i++)
            rig_turn(mine.loop, RIG_TURN_MS);
        *ok += q.times == 1 && q.answer->status == DNS_OK;
        dns_answer_drop(&q.answer);
        resolver_free(&mine.resolver);
    }
    loop_free(&mine.loop);
    return ok;
}

/* Each worker has its own, made and freed while others work. */
static void one_resolver_per_thread(void **state)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, *state), 0);
    for (size_t i = 0; i < 4; i++) {
        void *ok;

        assert_int_equal(pthread_join(threads[i], &ok), 0);
        assert_int_equal(*(int *)ok, 5);
        free(ok);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(mx_and_addresses),
        T(what_is_not_there),
        T(malformed_records_are_left_out),
        T(cnames_are_followed),
        T(stubs_go_before_built_in_zones),
        T(one_question_for_many),
        T(cancelling_another_inside_done),
        T(late_answers_meet_nobody),
        T(each_has_a_time_limit),
        T(freed_with_questions_under_way),
        T(freed_inside_done),
        cmocka_unit_test(trust_anchors_are_checked),
        cmocka_unit_test(the_zone_of_an_anchor),
        T(bogus_is_told),
        T(forwarders),
        T(one_resolver_per_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
