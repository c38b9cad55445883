/* SPDX-License-Identifier: Apache-2.0 */
/* The queues and the thread that writes; C-OPS-03: a blocked or full log stops nothing. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "tests/unit/store/log_rig.h"

#define LINES_MAX 200000

static void test_file(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("file")};
    struct log *l = start(&sink, 1);
    struct stat st;
    char *text;

    (void)state;
    say(l, 0); /* queued until the thread is there */
    assert_true(log_start(l));
    for (int64_t i = 1; i < 1000; i++)
        say(l, i);
    assert_int_equal(log_dropped(l), 0);
    log_stop(&l);
    assert_null(l);
    text = content(sink.path);
    assert_int_equal(check_order(text, 0), 1000);
    assert_int_equal(strncmp(text, "{\"time\":\"2027-01-15T08:00:00.000Z\",\"event\":\"test\"", 49),
                     0);
    free(text);
    assert_int_equal(stat(sink.path, &st), 0);
    assert_int_equal(st.st_mode & 0027, 0); /* nobody else reads or writes */
}

static void test_text_form(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .form = LOG_FORM_TEXT, .path = in_folder("text")};
    struct log *l = start(&sink, 1);
    char *text;

    (void)state;
    say(l, 7);
    log_stop(&l); /* never started: what was queued is written all the same */
    text = content(sink.path);
    assert_non_null(find(text, "08:00:00 test"));
    assert_non_null(find(text, " n=7\n"));
    free(text);
}

static void test_reopen(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("current")};
    const char *old = in_folder("old");
    struct log *l = start(&sink, 1);
    char *text;

    (void)state;
    assert_true(log_start(l));
    say(l, 0);
    wait_for(sink.path, "\"n\":0");
    assert_int_equal(rename(sink.path, old), 0);
    log_reopen(l);
    say(l, 1);
    log_stop(&l);
    text = content(old);
    assert_int_equal(check_order(text, 0), 1);
    free(text);
    text = content(sink.path);
    assert_int_equal(check_order(text, 1), 1);
    free(text);
}

static void test_reopen_fails(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("away/log")};
    const char *away = in_folder("away"), *gone = in_folder("gone");
    struct log *l;
    char *text;

    (void)state;
    assert_int_equal(mkdir(away, 0700), 0);
    l = start(&sink, 1);
    assert_true(log_start(l));
    assert_int_equal(rename(away, gone), 0);
    log_reopen(l);
    say(l, 0);
    log_stop(&l);
    text = content(in_folder("gone/log")); /* the old file goes on, and the trouble is said */
    assert_non_null(find(text, "\"event\":\"log-reopen-failed\""));
    assert_int_equal(check_order(text, 0), 1);
    free(text);
}

/* C-OPS-03: the disk is full; the other sink says so, once, and nothing waits. */
static void test_full_disk(void **state)
{
    struct log_sink sinks[] = {{.kind = LOG_TO_FILE, .path = "/dev/full"},
                               {.kind = LOG_TO_FILE, .path = in_folder("beside")}};
    struct log *l = start(sinks, 2);
    time_t begin = time(NULL);
    char *text, *first;

    (void)state;
    assert_true(log_start(l));
    say(l, 0);
    wait_for(sinks[1].path, "log-failed");
    for (int64_t i = 1; i < 100; i++)
        say(l, i);
    usleep(600000); /* more than one try */
    log_stop(&l);
    assert_true(seconds_since(begin) <= 4);
    text = content(sinks[1].path);
    assert_int_equal(check_order(text, 0), 100);
    first = find(text, "\"event\":\"log-failed\"");
    assert_non_null(first);
    assert_null(find(first + 1, "\"event\":\"log-failed\""));
    assert_non_null(find(text, "\"sink\":\"/dev/full\",\"detail\":\"No space left on device\""));
    free(text);
}

static int64_t number_behind(char *text, const char *key)
{
    char *p = find(text, key);

    return p != NULL ? strtoll(p + strlen(key), NULL, 10) : -1;
}

/* C-OPS-03: a FIFO whose reader stopped: lines are dropped and counted, log_record() never waits; as soon as
 * the reader goes on, the count is said, behind what was queued. */
static void test_blocked_fifo(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("fifo")};
    time_t begin = time(NULL);
    unsigned long long dropped;
    int64_t told, kept;
    struct log *l;
    char *text, *notice;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(sink.path, 0600), 0);
    fd = open(sink.path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    l = start(&sink, 1);
    assert_true(log_start(l));
    for (int64_t i = 0; i < LINES_MAX; i++)
        say(l, i);
    assert_true(seconds_since(begin) < 60);
    dropped = log_dropped(l);
    assert_in_range(dropped, 1, LINES_MAX - 1);

    text = drain(fd, "log-dropped");
    say(l, LINES_MAX);
    notice = find(text, "\"event\":\"log-dropped\"");
    assert_non_null(notice);
    told = number_behind(notice, "\"count\":");
    assert_int_equal(told, dropped);
    assert_null(find(notice, "\"n\":"));
    kept = check_order(text, 0);
    assert_int_equal(kept + told, LINES_MAX);
    free(text);
    text = drain(fd, "\"n\":200000");
    assert_int_equal(check_order(text, LINES_MAX), 1);
    free(text);
    log_stop(&l);
    close(fd);
}

/* The thread gathers, but no record waits for the next one, and none waits for long. */
static void test_no_record_waits_for_another(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("paced")};
    struct log *l = start(&sink, 1);
    char words[32];

    (void)state;
    assert_true(log_start(l));
    for (int64_t i = 0; i < 40; i++) {
        say(l, 2 * i);
        usleep((useconds_t)(i % 8) * 5000); /* within the time of gathering, and beyond */
        say(l, 2 * i + 1);
        (void)snprintf(words, sizeof(words), "\"n\":%d}", (int)(2 * i + 1));
        wait_for(sink.path, words);
    }
    log_stop(&l);
}

struct talker {
    struct log *log;
    int64_t from;
};

static void *talk(void *arg)
{
    const struct talker *t = arg;

    for (int64_t i = 0; i < 2000; i++)
        say(t->log, t->from + i);
    return NULL;
}

/* Any thread may log; each one's lines keep their order, also while sinks are reopened. */
static void test_threads(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = in_folder("many")};
    struct log *l = start(&sink, 1);
    struct talker talkers[8];
    pthread_t threads[8];
    int64_t next[8] = {0}, total = 0;
    char *text;

    (void)state;
    assert_true(log_start(l));
    for (size_t i = 0; i < 8; i++) {
        talkers[i] = (struct talker){l, (int64_t)i * 10000};
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &talkers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        log_reopen(l);
        usleep(1000);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    log_stop(&l);
    text = content(sink.path);
    for (char *p = find(text, "\"n\":"); p != NULL; p = find(p + 1, "\"n\":")) {
        int64_t n = strtoll(p + 4, NULL, 10);

        assert_in_range(n / 10000, 0, 7);
        assert_int_equal(n % 10000, next[n / 10000]++);
        total++;
    }
    assert_int_equal(total, 16000);
    free(text);
}

static void test_bad_sinks(void **state)
{
    struct log_sink sinks[] = {{.kind = LOG_TO_FILE, .path = in_folder("good")},
                               {.kind = LOG_TO_FILE, .path = in_folder("no/such")},
                               {.kind = LOG_TO_SYSLOG, .path = in_folder("no-socket")}};
    struct buf errors;
    char text[512];

    (void)state;
    buf_init(&errors, 4096);
    assert_null(log_new(sinks, 3, &errors));
    (void)snprintf(text, sizeof(text), "%s", buf_cstr(&errors));
    assert_non_null(find(text, "no/such cannot be opened: No such file or directory\n"));
    assert_non_null(find(text, "no-socket cannot be opened: No such file or directory\n"));
    buf_clear(&errors);
}

/* A reload: queued lines go to the old sinks first, a bad list changes nothing. */
static void test_configure(void **state)
{
    struct log_sink before = {.kind = LOG_TO_FILE, .path = in_folder("before")};
    struct log_sink bad = {.kind = LOG_TO_FILE, .path = in_folder("no/such")};
    struct log_sink after = {.kind = LOG_TO_FILE, .path = in_folder("after")};
    struct log *l = start(&before, 1);
    struct buf errors;
    char *text;

    (void)state;
    buf_init(&errors, 4096);
    assert_true(log_start(l));
    for (int64_t i = 0; i < 500; i++)
        say(l, i);
    assert_false(log_configure(l, &bad, 1, &errors));
    assert_true(errors.n > 0);
    say(l, 500);
    assert_true(log_configure(l, &after, 1, &errors));
    say(l, 501);
    /* The same file again: what was queued for the old set stands before what comes now. */
    assert_true(log_configure(l, &after, 1, &errors));
    for (int64_t i = 502; i < 1000; i++)
        say(l, i);
    log_stop(&l);
    text = content(before.path);
    assert_int_equal(check_order(text, 0), 501);
    free(text);
    text = content(after.path);
    assert_int_equal(check_order(text, 501), 499);
    free(text);
    buf_clear(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_reopen_fails),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_blocked_fifo),
        cmocka_unit_test(test_no_record_waits_for_another),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_bad_sinks),
        cmocka_unit_test(test_configure),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
