/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      net_rig - what the tests of this layer share: running a loop until something holds, sockets
 *
 * DESCRIPTION
 *      Static functions, included by each test program.
 */
#ifndef TLSMEND_TESTS_NET_RIG_H
#define TLSMEND_TESTS_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/addr.h"
#include "proxy/net/loop.h"

#define RIG_TURN_MS 2
#define RIG_PATIENCE_MS 10000

static void rig_stop(void *owner)
{
    loop_stop(owner);
}

/* Runs the loop for a short while. */
static inline void rig_turn(struct loop *l, int64_t ms)
{
    struct timer *t = timer_new(l, rig_stop, l);

    timer_arm(t, ms);
    loop_run(l);
    timer_free(&t);
}

#define RIG_UNTIL(l, condition)                           \
    do {                                                  \
        mono_ms rig_end = clock_mono() + RIG_PATIENCE_MS; \
        while (!(condition) && clock_mono() < rig_end)    \
            rig_turn((l), RIG_TURN_MS);                   \
        assert_true(condition);                           \
    } while (0)

static inline struct addr rig_loopback(uint16_t port)
{
    struct addr a;

    assert_true(addr_parse(SLICE("127.0.0.1"), &a));
    a.port = port;
    return a;
}

static inline void rig_pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

#endif
