/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink - an MX with STARTTLS that takes every mail, throws it away, and counts
 *
 * Usage: sink --port N [--address A] --chain FILE --key FILE [--threads N] [--delay MS]
 *        sink --port N [--address A] --clear
 *   --address A   default "::", all of IPv6 and IPv4
 *   --threads N   each with its own listener (SO_REUSEPORT); default 1
 *   --delay MS    each reply leaves so long after its command came; connections do not wait for each other
 *   --clear       STARTTLS is not offered
 *
 * Says "ready" when it listens.  SIGUSR1: one line of JSON with the counts.  SIGTERM: the same, and the end.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/receive.h"
#include "proxy/base/mem.h"

enum { THREADS_MAX = 64 };

struct options {
    const char *address, *chain, *key;
    int port, threads, delay;
    bool clear;
};

static int number(const char *text, int max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < 0 || n > max)
        wire_die("sink: %s: a number up to %d is due", text, max);
    return (int)n;
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'},
        {"chain", required_argument, NULL, 'c'},   {"key", required_argument, NULL, 'k'},
        {"threads", required_argument, NULL, 't'}, {"delay", required_argument, NULL, 'd'},
        {"clear", no_argument, NULL, 'x'},         {NULL, 0, NULL, 0}};
    struct options o = {.address = "::", .threads = 1};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'a':
            o.address = optarg;
            break;
        case 'p':
            o.port = number(optarg, 65535);
            break;
        case 'c':
            o.chain = optarg;
            break;
        case 'k':
            o.key = optarg;
            break;
        case 't':
            o.threads = number(optarg, THREADS_MAX);
            break;
        case 'd':
            o.delay = number(optarg, 60000);
            break;
        case 'x':
            o.clear = true;
            break;
        default:
            exit(64);
        }
    }
    if (o.port == 0 || o.threads == 0 || (!o.clear && (o.chain == NULL || o.key == NULL)))
        wire_die("sink: --port, and --chain with --key or --clear, are due");
    return o;
}

static void show(struct sink *s)
{
    (void)putchar('{');
#define X(name) (void)printf("\"" #name "\": %" PRIu64 ", ", s->counts.name);
    SINK_COUNTS(X)
#undef X
    (void)pthread_mutex_lock(&s->lock);
    (void)printf("\"ids\": ");
    ids_print(&s->ids, 1, stdout);
    (void)printf(", \"ids_twice\": ");
    ids_print(&s->ids, 2, stdout);
    (void)pthread_mutex_unlock(&s->lock);
    (void)puts("}");
    (void)fflush(stdout);
}

struct thread {
    struct sink *sink;
    int listener;
};

static void *serve(void *argument)
{
    struct thread *t = argument;

    receive(t->sink, t->listener);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct sink sink;
    static struct thread threads[THREADS_MAX];
    struct options o = parse(argc, argv);
    struct sockaddr_storage at;
    socklen_t size = wire_address(o.address, o.port, &at);
    sigset_t signals;
    int got = 0;

    wire_raise_limit();
    (void)pthread_mutex_init(&sink.lock, NULL);
    sink.tls = o.clear ? NULL : secure_server(o.chain, o.key);
    sink.delay_ns = (int64_t)o.delay * 1000000;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < o.threads; ++i) {
        pthread_t id;

        threads[i] = (struct thread){&sink, wire_listen(&at, size)};
        if (pthread_create(&id, NULL, serve, &threads[i]) != 0)
            wire_die("sink: no thread");
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (sigwait(&signals, &got) == 0) {
        show(&sink);
        if (got != SIGUSR1)
            return 0;
    }
    return 1;
}
