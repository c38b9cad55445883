/* SPDX-License-Identifier: Apache-2.0 */
/* The sinks and the thread that writes them; C-OPS-03: a blocked or full log stops nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/store/log.h"

#define LINES_MAX 200000

static char folder[64];

/* find() whose time does not depend on what is behind the match, under a sanitizer too. */
static char *find(char *in, const char *words)
{
    size_t n = strlen(words);

    for (; *in != '\0'; in++)
        if (*in == *words && strncmp(in, words, n) == 0)
            return in;
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/tlsmend-log-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -r -- '%s'", folder);
    return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c): a name of our own */
}

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static struct log *start(const struct log_sink *sinks, size_t count)
{
    struct buf errors;
    struct log *l;

    buf_init(&errors, 4096);
    l = log_new(sinks, count, &errors);
    if (l == NULL)
        fail_msg("%s", buf_cstr(&errors));
    buf_clear(&errors);
    return l;
}

static void say(struct log *l, int64_t number)
{
    struct record *r = record_new("test", RECORD_INFO, 1800000000000);

    record_int(r, "n", number);
    log_record(l, r);
}

/* The whole file as a string, yours to free(). */
static char *content(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    assert_non_null(f);
    if (getdelim(&text, &size, '\0', f) < 0) {
        free(text);
        text = strdup("");
    }
    assert_int_equal(fclose(f), 0);
    return text;
}

static void wait_for(const char *path, const char *words)
{
    for (int i = 0; i < 500; i++) {
        char *text = content(path);
        bool there = find(text, words) != NULL;

        free(text);
        if (there)
            return;
        usleep(10000);
    }
    fail_msg("%s never had \"%s\"", path, words);
}

/* Each "n":N of `text` is one more than the last; returns how many. */
static int64_t check_order(char *text, int64_t first)
{
    int64_t count = 0;

    for (char *p = find(text, "\"n\":"); p != NULL; p = find(p + 1, "\"n\":")) {
        assert_int_equal(strtoll(p + 4, NULL, 10), first + count);
        count++;
    }
    return count;
}

static int64_t seconds_since(time_t from)
{
    return (int64_t)(time(NULL) - from);
}

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

/* Reads until `words` came and nothing follows, or nothing comes at all. */
static char *drain(int fd, const char *words)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char *text = calloc(1, 1);
    size_t n = 0, seen = 0;
    bool there = false;

    assert_non_null(text);
    while (poll(&p, 1, there ? 300 : 5000) == 1) {
        char *more = realloc(text, n + 262144 + 1);
        ssize_t got;

        assert_non_null(more);
        text = more;
        got = read(fd, text + n, 262144);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = '\0';
        there = there || find(text + seen, words) != NULL;
        seen = n > 64 ? n - 64 : 0;
    }
    return text;
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

/* Nobody reads our stderr: sessions and the other sinks go on, and the end comes in its time. */
static void check_blocked_stderr(const int ends[2])
{
    struct log_sink sinks[] = {{.kind = LOG_TO_STDERR},
                               {.kind = LOG_TO_FILE, .path = in_folder("other")}};
    int saved = dup(STDERR_FILENO);
    time_t begin;
    struct log *l;
    char line[128] = "";
    char *text;

    assert_true(saved >= 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    l = start(sinks, 2);
    say(l, 0); /* before the start: at once */
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    assert_true(log_start(l));
    for (int64_t i = 1; i < 2000; i++)
        say(l, i);
    wait_for(sinks[1].path, "\"n\":1999");
    begin = time(NULL);
    log_stop(&l);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    assert_in_range(seconds_since(begin), 4, 7);
    assert_non_null(find(line, "\"n\":0"));
    text = content(sinks[1].path);
    assert_int_equal(check_order(text, 0), 2000);
    free(text);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(unlink(sinks[1].path), 0);
}

static void test_blocked_stderr(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    check_blocked_stderr(ends);
}

/* What journald gives a service as its stderr. */
static void test_blocked_stderr_socket(void **state)
{
    int ends[2], small = 4096;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    check_blocked_stderr(ends);
}

/* stderr as a socket or a file: all of it arrives, in order. */
static void test_stderr_takes_all(void **state)
{
    struct log_sink sink = {.kind = LOG_TO_STDERR};
    const char *path = in_folder("stderr");

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        int saved = dup(STDERR_FILENO), ends[2] = {-1, -1};
        char *text;
        struct log *l;

        assert_true(saved >= 0);
        if (turn == 0)
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        else
            ends[1] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        l = start(&sink, 1);
        assert_true(log_start(l));
        for (int64_t i = 0; i < 5000; i++)
            say(l, i);
        text = turn == 0 ? drain(ends[0], "\"n\":4999") : NULL;
        log_stop(&l);
        assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
        if (turn != 0)
            text = content(path);
        assert_int_equal(check_order(text, 0), 5000);
        free(text);
        close(saved);
        close(ends[1]);
        if (turn == 0)
            close(ends[0]);
    }
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

/* A socket that stands for /dev/log. */
static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    assert_true(fd >= 0);
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    (void)unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void receive(int fd, char *text, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, 5000), 1);
    n = recv(fd, text, size - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
}

static void test_syslog(void **state)
{
    const char *path = in_folder("dev-log");
    struct log_sink sink = {.kind = LOG_TO_SYSLOG, .path = path, .ident = "mend"};
    int fd = listen_at(path);
    struct log *l = start(&sink, 1);
    char text[2048], *end;

    (void)state;
    assert_true(log_start(l));
    say(l, 5);
    receive(fd, text, sizeof(text));
    assert_int_equal(strncmp(text, "<22>", 4), 0); /* mail.info */
    assert_int_equal(strncmp(text + 4 + strlen("Nov 22 05:54:00"), " mend[", 6), 0);
    end = find(text, "]: {\"time\":");
    assert_non_null(end);
    assert_non_null(find(end, "\"n\":5}"));
    assert_null(strchr(text, '\n'));

    for (size_t i = 0; i < 4; i++) {
        static const char *const priorities[] = {"<23>", "<22>", "<20>",
                                                 "<19>"}; /* mail.debug .. err */

        log_record(l, record_new("bad", (enum record_severity)(RECORD_DEBUG + i), 0));
        receive(fd, text, sizeof(text));
        assert_int_equal(strncmp(text, priorities[i], 4), 0);
    }

    close(fd); /* the logger restarts */
    fd = listen_at(path);
    say(l, 6);
    receive(fd, text, sizeof(text));
    assert_non_null(find(text, "\"n\":6}"));
    log_stop(&l);
    close(fd);
}

/* The logger does not read: lines wait, the thread does not spin, nothing is lost below the limit. */
static void test_slow_syslog(void **state)
{
    const char *path = in_folder("slow-log");
    struct log_sink sink = {.kind = LOG_TO_SYSLOG, .path = path};
    int fd = listen_at(path);
    struct log *l = start(&sink, 1);
    char text[2048], want[32];

    (void)state;
    assert_true(log_start(l));
    for (int64_t i = 0; i < 3000; i++)
        say(l, i);
    for (int i = 0; i < 3000; i++) {
        receive(fd, text, sizeof(text));
        (void)snprintf(want, sizeof(want), "\"n\":%d}", i);
        assert_non_null(find(text, want));
    }
    assert_int_equal(log_dropped(l), 0);
    log_stop(&l);
    close(fd);
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
        cmocka_unit_test(test_blocked_stderr),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_blocked_stderr_socket),
        cmocka_unit_test(test_stderr_takes_all),
        cmocka_unit_test(test_no_record_waits_for_another),
        cmocka_unit_test(test_syslog),
        cmocka_unit_test(test_slow_syslog),
        cmocka_unit_test(test_bad_sinks),
        cmocka_unit_test(test_configure),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
