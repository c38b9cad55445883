/* SPDX-License-Identifier: Apache-2.0 */
/* test_notify - what the service manager hears, and that one that reads nothing stops nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/relay/notify.h"

#define SOON_MS 400   /* the time between two tries, and more */
#define AT_ONCE_MS 50 /* what a loop may be held up */
#define MAIN_WAITS 20 /* seconds: beyond this the alarm says that a call blocks */

struct rig {
    struct loop *loop;
    struct notify *notify;
    struct timer *stop;
    int manager;
};

static void on_stop(void *owner)
{
    loop_stop(owner);
}

/* In the abstract namespace: no file is left behind. */
static int listen_as_manager(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char name[64];
    int n = snprintf(name, sizeof(name), "@tlsmend-test-notify-%ld", (long)getpid());

    memcpy(at.sun_path + 1, name + 1, (size_t)n - 1);
    assert_int_equal(0, bind(fd, (const struct sockaddr *)&at,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)));
    assert_int_equal(0, setenv("NOTIFY_SOCKET", name, 1));
    return fd;
}

static int setup(void **state)
{
    static struct rig rig;

    rig.manager = listen_as_manager();
    rig.loop = loop_new();
    assert_non_null(rig.loop);
    rig.stop = timer_new(rig.loop, on_stop, rig.loop);
    rig.notify = notify_new(rig.loop);
    (void)alarm(MAIN_WAITS);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    notify_free(&rig->notify);
    assert_null(rig->notify);
    notify_free(&rig->notify);
    timer_free(&rig->stop);
    loop_free(&rig->loop);
    (void)close(rig->manager);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)alarm(0);
    return 0;
}

static void turn(struct rig *rig, int64_t ms)
{
    timer_arm(rig->stop, ms);
    loop_run(rig->loop);
}

/* All that lies there, by lines. */
static const char *heard(const struct rig *rig)
{
    static char all[256];
    char one[64];
    ssize_t n;

    all[0] = '\0';
    while ((n = recv(rig->manager, one, sizeof(one) - 1, 0)) > 0) {
        one[n] = '\0';
        if (strcmp(one, "X") == 0)
            continue; /* of fill() */
        (void)strncat(all, one, sizeof(all) - strlen(all) - 1);
        (void)strncat(all, "\n", sizeof(all) - strlen(all) - 1);
    }
    return all;
}

/* Until the kernel takes no more. */
static void fill(const struct rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un at;
    socklen_t n = sizeof(at);

    assert_int_equal(0, getsockname(rig->manager, (struct sockaddr *)&at, &n));
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&at, n));
    while (send(fd, "X", 1, 0) == 1)
        continue;
    (void)close(fd);
}

static void states_come_in_order(void **state)
{
    struct rig *rig = *state;

    notify_manager(rig->notify, "RELOADING=1");
    notify_manager(rig->notify, "READY=1");
    assert_string_equal("RELOADING=1\nREADY=1\n", heard(rig));
    turn(rig, SOON_MS);
    assert_string_equal("", heard(rig)); /* and once */
}

static void a_full_socket_holds_nobody_up(void **state)
{
    struct rig *rig = *state;
    mono_ms begun = clock_mono();

    fill(rig);
    notify_manager(rig->notify, "RELOADING=1");
    notify_manager(rig->notify, "READY=1");
    assert_true(clock_mono() - begun < AT_ONCE_MS);
    turn(rig, SOON_MS); /* several tries in vain */
    assert_string_equal("", heard(rig));
    turn(rig, SOON_MS);
    assert_string_equal("READY=1\n", heard(rig)); /* the newest is what is true */
    turn(rig, SOON_MS);
    assert_string_equal("", heard(rig));
}

static void what_is_said_later_replaces_what_waits(void **state)
{
    struct rig *rig = *state;

    fill(rig);
    notify_manager(rig->notify, "READY=1");
    assert_string_equal("", heard(rig));
    notify_manager(rig->notify, "STOPPING=1"); /* there is room again */
    turn(rig, SOON_MS);
    assert_string_equal("STOPPING=1\n", heard(rig)); /* no READY=1 behind it */
}

static void without_a_manager(void **state)
{
    static const char *const sockets[] = {"", "relative", "/no/such/socket", "@tlsmend-nobody"};
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        assert_int_equal(0, setenv("NOTIFY_SOCKET", sockets[i], 1));
        notify_manager(rig->notify, "READY=1");
    }
    assert_int_equal(0, unsetenv("NOTIFY_SOCKET"));
    notify_manager(rig->notify, "STOPPING=1");
    turn(rig, SOON_MS);
    assert_string_equal("", heard(rig));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(states_come_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_socket_holds_nobody_up, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_said_later_replaces_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_manager, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
