/* SPDX-License-Identifier: Apache-2.0 */
/* Sinks that are no files of our own: stderr, whatever it is, and syslog (C-OPS-03). */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/store/log_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_stderr),   cmocka_unit_test(test_blocked_stderr_socket),
        cmocka_unit_test(test_stderr_takes_all), cmocka_unit_test(test_syslog),
        cmocka_unit_test(test_slow_syslog),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
