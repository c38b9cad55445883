/* SPDX-License-Identifier: Apache-2.0 */
/* Final replies of LMTP and PRDR: many of them, long ones, and what an owner must not do. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "tests/unit/dialog/inbound_script.h"

static struct script script_of(bool lmtp, unsigned recipients)
{
    return (struct script){.name = "finals", .lmtp = lmtp, .recipients_max = recipients};
}

static unsigned pick(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 8) % below;
}

static void say(struct owner *o, const char *text)
{
    assert_true(feed(o, text, strlen(text)));
}

static size_t count_lines(const struct buf *heard)
{
    size_t count = 0;

    for (size_t i = 0; i < heard->n; i++)
        count += heard->p[i] == '\n';
    return count;
}

static unsigned count_replies(const struct buf *heard)
{
    unsigned count = 0;

    for (size_t i = 0; i + 4 < heard->n; i++)
        count += (i == 0 || heard->p[i - 1] == '\n') && heard->p[i + 3] == ' ';
    return count;
}

static bool is_refused(unsigned i)
{
    return i % 7 == 3;
}

/* A message to so many recipients that are accepted, up to its end; what was said is forgotten. */
static void bring_next(struct owner *o, const struct script *s, unsigned accepted, bool refuse)
{
    struct inbound_what what;
    size_t used;

    say(o, s->lmtp ? "LHLO c\r\nMAIL FROM:<s@a>\r\n" : "EHLO c\r\nMAIL FROM:<s@a> PRDR\r\n");
    for (unsigned i = 0, taken = 0; taken < accepted; i++) {
        assert_int_equal(inbound_feed(o->in, "RCPT TO:<r@b>\r\n", 15, &used, &what), INBOUND_RCPT);
        answer(o, what.slot, refuse && is_refused(i) ? "no@b" : "ok@b", "");
        taken += !(refuse && is_refused(i));
        buf_reset(inbound_output(o->in));
    }
    say(o, "DATA\r\n");
    assert_int_equal(inbound_feed(o->in, ".\r\n", 3, &used, &what), INBOUND_BODY_END);
    buf_reset(&o->heard);
}

static void bring(struct owner *o, const struct script *s, unsigned accepted, bool refuse)
{
    owner_start(o, s);
    bring_next(o, s, accepted, refuse);
}

static void give(struct owner *o, unsigned index, const char *name)
{
    struct reply r;

    reply_init(&r);
    set_answer(&r, name, "each");
    inbound_answer_each(o->in, index, &r);
    reply_clear(&r);
}

static void name_of(unsigned i, char *name, size_t size)
{
    static const char *const kinds[] = {"ok", "eachno", "ok", "eachlater", "eachmany"};

    (void)snprintf(name, size, "%s%u@b", kinds[i % 5], i);
}

static void want_each(struct buf *want, unsigned count, bool lmtp)
{
    char name[32];

    if (!lmtp)
        assert_true(buf_add(want, SLICE("353 One reply for each recipient follows\r\n")));
    for (unsigned i = 0; i < count; i++) {
        struct reply r;

        reply_init(&r);
        name_of(i, name, sizeof(name));
        set_answer(&r, name, "each");
        assert_true(reply_write(&r, want));
        reply_clear(&r);
    }
    if (!lmtp)
        assert_true(buf_add(want, SLICE("250 2.0.0 taken\r\n")));
}

static void shuffle(unsigned *order, unsigned count, unsigned *seed)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = i;
    for (unsigned i = count; i > 1; i--) {
        unsigned j = pick(seed, i), held = order[i - 1];

        order[i - 1] = order[j];
        order[j] = held;
    }
}

/* What was given leaves as soon as there is no gap before it, and nothing else does. */
static void check_no_gap(struct owner *o, const bool *given, unsigned count, bool lmtp)
{
    struct slice heard = buf_slice(&o->heard), line;
    unsigned replies = 0, ready = 0;

    while (ready < count && given[ready])
        ready++;
    while (slice_cut(heard, '\n', &line, &heard))
        replies += line.n > 3 && line.p[3] == ' ';
    assert_int_equal(replies, ready + (!lmtp && ready > 0));
}

static void try_recipients(bool lmtp, unsigned count, unsigned seed)
{
    struct script s = script_of(lmtp, count);
    unsigned *order = mem_array(count, sizeof(*order));
    bool *given = mem_array(count, sizeof(*given));
    struct owner o;
    struct buf want;

    buf_init(&want, TEXT_CAP);
    want_each(&want, count, lmtp);
    shuffle(order, count, &seed);
    bring(&o, &s, count, true);
    assert_true(inbound_answers_each(o.in));
    for (unsigned i = 0; i < count; i++) {
        struct inbound_what what;
        char name[32];
        size_t used;

        name_of(order[i], name, sizeof(name));
        give(&o, order[i], name);
        given[order[i]] = true;
        drain(&o);
        if (count <= 20 || i % 97 == 0)
            check_no_gap(&o, given, count, lmtp);
        assert_int_equal(inbound_feed(o.in, "NOOP\r\n", 6, &used, &what), INBOUND_WAIT);
        assert_int_equal(used, 0);
        assert_true(inbound_in_transaction(o.in) && inbound_owes_answer(o.in));
    }
    answer(&o, 0, "s@a", "end");
    drain(&o);
    assert_int_equal(o.heard.n, want.n);
    assert_memory_equal(o.heard.p, want.p, want.n);
    assert_false(inbound_in_transaction(o.in));
    say(&o, "MAIL FROM:<s@a>\r\n");
    owner_end(&o);
    buf_clear(&want);
    free(order);
    free(given);
}

/* C-RCPT-02, C-RCPT-03, C-IN-03: in any order, up to 1,000 accepted with refused ones between. */
static void test_any_order(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 20; seed++) {
        try_recipients(true, 1, seed);
        for (unsigned count = 2; count < 8; count++) {
            try_recipients(true, count, seed);
            try_recipients(false, count, seed);
        }
    }
    for (unsigned seed = 0; seed < 4; seed++) {
        try_recipients(true, 1000, seed);
        try_recipients(false, 1000, seed);
    }
}

/* One mail after the other: what waited for one is nothing to the next. */
static void test_many_messages(void **state)
{
    struct script s = script_of(false, 1000);
    struct owner o;

    (void)state;
    owner_start(&o, &s);
    for (unsigned i = 0; i < 10; i++) {
        bring_next(&o, &s, 1000, false);
        for (unsigned k = 1000; k-- > 0;)
            give(&o, k, "eachmany@b");
        answer(&o, 0, "s@a", "end");
        drain(&o);
        assert_int_equal(count_lines(&o.heard), 2 + 2 * 1000);
        assert_int_equal(count_replies(&o.heard), 2 + 1000);
    }
    owner_end(&o);
}

/* Replies of one length take each other's place in the store, and are not mixed up. */
static void test_waves(void **state)
{
    static const unsigned order[] = {1, 0, 4, 3, 2, 6, 5, 8, 7};
    struct script s = script_of(true, 1000);
    char name[32];
    struct owner o;

    (void)state;
    bring(&o, &s, 9, false);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        (void)snprintf(name, sizeof(name), "ok%u@b", order[i]);
        give(&o, order[i], name);
    }
    answer(&o, 0, "s@a", "end");
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard),
                        "250 2.1.5 ok0\r\n250 2.1.5 ok1\r\n250 2.1.5 ok2\r\n250 2.1.5 ok3\r\n"
                        "250 2.1.5 ok4\r\n250 2.1.5 ok5\r\n250 2.1.5 ok6\r\n250 2.1.5 ok7\r\n"
                        "250 2.1.5 ok8\r\n");
    owner_end(&o);
}

/* C-IN-07: the most recipients that can be set; the work for each does not grow with their number,
 * whatever the order. */
static void test_hundred_thousand(void **state)
{
    enum { COUNT = 100000 };
    struct script s = script_of(true, COUNT);
    struct owner o;

    (void)state;
    for (unsigned reversed = 0; reversed < 2; reversed++) {
        bring(&o, &s, COUNT, false);
        for (unsigned i = 0; i < COUNT; i++)
            give(&o, reversed ? COUNT - 1 - i : i, i % 2 ? "eachno@b" : "ok@b");
        answer(&o, 0, "s@a", "end");
        assert_int_equal(inbound_output(o.in)->n, COUNT / 2 * (14 + 20));
        buf_reset(inbound_output(o.in));
        owner_end(&o);
    }
}

static void long_reply(struct reply *r, unsigned number)
{
    struct buf text;

    buf_init(&text, REPLY_BYTES_MAX);
    for (unsigned i = 0; i < REPLY_LINES_MAX; i++)
        assert_true(buf_addf(&text, "%s%u %0118u", i > 0 ? "\n" : "", number % 10, i));
    reply_init(r);
    reply_set(r, 550, NULL, buf_slice(&text));
    buf_clear(&text);
}

/* Design promise 6: the longest replies that an MX can give, all alike or each another. */
static void test_long_replies(void **state)
{
    struct script s = script_of(true, 1000);
    struct owner o;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        bool alike = round & 1, reversed = round & 2;

        bring(&o, &s, 1000, false);
        for (unsigned i = 0; i < 1000; i++) {
            struct reply r;

            long_reply(&r, alike ? 0 : i);
            inbound_answer_each(o.in, reversed ? 999 - i : i, &r);
            reply_clear(&r);
        }
        answer(&o, 0, "s@a", "end");
        assert_true(inbound_output(o.in)->n < 230u * 1024 + 1000 * 506);
        assert_true(count_lines(inbound_output(o.in)) < 2 * REPLY_LINES_MAX + 1000);
        drain(&o);
        assert_int_equal(count_replies(&o.heard), 1000);
        owner_end(&o);
    }
}

/* ... and where the output empties now and then; `behind`: while the last recipient's reply waits
 * all along. */
static void long_replies_in_waves(bool behind)
{
    struct script s = script_of(true, 1000);
    struct reply r;
    struct owner o;

    bring(&o, &s, 1000, false);
    if (behind)
        give(&o, 999, "ok@b");
    for (unsigned i = 0; i + 1 < 999; i += 2) {
        for (unsigned k = 2; k-- > 0;) {
            long_reply(&r, i + k);
            inbound_answer_each(o.in, i + k, &r);
            reply_clear(&r);
        }
        assert_true(inbound_output(o.in)->n < 230u * 1024);
        assert_int_equal(count_replies(inbound_output(o.in)), 2);
        if (!behind) /* one of the two is whole each time */
            assert_int_equal(count_lines(inbound_output(o.in)), REPLY_LINES_MAX + 1);
        buf_reset(inbound_output(o.in));
    }
    give(&o, 998, "ok@b");
    if (!behind)
        give(&o, 999, "ok@b");
    answer(&o, 0, "s@a", "end");
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard), "250 2.1.5 ok\r\n250 2.1.5 ok\r\n");
    owner_end(&o);
}

static void test_long_replies_in_waves(void **state)
{
    (void)state;
    long_replies_in_waves(false);
    long_replies_in_waves(true);
}

/* The client, or we, may go while replies wait. */
static void test_given_up(void **state)
{
    struct script s = script_of(false, 1000);
    struct owner o;

    (void)state;
    bring(&o, &s, 3, false);
    give(&o, 2, "ok@b");
    assert_false(inbound_shutdown(o.in));
    owner_end(&o);
    bring(&o, &s, 3, false);
    give(&o, 1, "ok@b");
    inbound_idle(o.in);
    drain(&o);
    assert_string_equal(buf_cstr(&o.heard), "421 4.4.2 Nothing was heard for too long\r\n");
    owner_end(&o);
}

static void half_answered(struct owner *o)
{
    give(o, 0, "ok@b");
    give(o, 2, "ok@b");
    answer(o, 0, "s@a", "end");
}

static void first_missing(struct owner *o)
{
    give(o, 1, "ok@b");
    give(o, 2, "ok@b");
    answer(o, 0, "s@a", "end");
}

static void twice_in_order(struct owner *o)
{
    give(o, 0, "ok@b");
    give(o, 0, "ok@b");
}

static void twice_waiting(struct owner *o)
{
    give(o, 2, "ok@b");
    give(o, 2, "ok@b");
}

static void too_many(struct owner *o)
{
    give(o, 3, "ok@b");
}

static void behind_the_end(struct owner *o)
{
    answer(o, 0, "s@a", "end");
    give(o, 0, "ok@b");
}

static void before_the_end(struct owner *o)
{
    bool lmtp;

    answer(o, 0, "s@a", "end");
    lmtp = inbound_answers_each(o->in); /* PRDR ended with its mail */
    say(o, lmtp ? "MAIL FROM:<s@a>\r\n" : "MAIL FROM:<s@a> PRDR\r\n");
    say(o, "RCPT TO:<ok@b>\r\nRCPT TO:<ok@b>\r\nDATA\r\nx\r\n");
    if (inbound_in_body(o->in) && inbound_answers_each(o->in))
        give(o, 0, "ok@b");
}

/* C-RCPT-02: a client that hears too few replies, or too many, takes those of the next mail for
 * these; so an owner that would do that is stopped. */
static void test_never_half_answered(void **state)
{
    static void (*const wrongs[])(struct owner *) = {half_answered, first_missing, twice_in_order,
                                                     twice_waiting, too_many,      behind_the_end,
                                                     before_the_end};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        struct script s = script_of(i % 2, 1000);
        struct owner o;
        int status;
        pid_t child;

        bring(&o, &s, 3, false);
        child = fork();
        if (child == 0) {
            (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
            (void)close(STDERR_FILENO);
            wrongs[i / 2](&o);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        owner_end(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),    cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_waves),        cmocka_unit_test(test_hundred_thousand),
        cmocka_unit_test(test_long_replies), cmocka_unit_test(test_long_replies_in_waves),
        cmocka_unit_test(test_given_up),     cmocka_unit_test(test_never_half_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
