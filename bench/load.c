/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - numbered mails for a relay or an MX, and what came of them
 *
 * Usage: load --to ADDRESS --port N --domain NAME [--total N] [option...]
 *   --total N      messages (1000)
 *   --clients N    at one time (50)
 *   --each N       messages on one connection (1)
 *   --size N       bytes of the body (4096)
 *   --domains N    recipient domains d0.NAME, d1.NAME, ... round robin, in place of NAME
 *   --first N      number of the first message (0)
 *   --rate N       open loop: so many messages are meant to leave in a second, and a latency counts from the
 *                  time that was meant; without it a closed loop
 *   --step         MAIL, RCPT and DATA one by one, not in one write
 *   --park         every message stops behind the answer to its RCPT, in a connection of its own; "parked" is
 *                  said when all stand or failed; SIGUSR1, or --hold seconds, lets them go on
 *   --hold S       see --park
 *   --ca FILE --host NAME   STARTTLS first, verified, with tickets; --full: without tickets
 *   --timeout S    the end, whatever is unsettled (300)
 *
 * One thread.  The result is one line of JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bench/client.h"
#include "bench/message.h"
#include "proxy/base/mem.h"

enum { OPENING_MAX = 64 };

struct options {
    const char *to, *domain, *ca, *host;
    long port, total, clients, each, size, domains, first, rate, hold, timeout;
    bool step, park, full;
};

static long number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < 0)
        wire_die("load: %s: a number is due", text);
    return n;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.total = 1000, .clients = 50, .each = 1, .size = 4096, .timeout = 300};
    static const struct option known[] = {
        {"to", required_argument, NULL, 't'},      {"port", required_argument, NULL, 'p'},
        {"domain", required_argument, NULL, 'd'},  {"total", required_argument, NULL, 'n'},
        {"clients", required_argument, NULL, 'c'}, {"each", required_argument, NULL, 'e'},
        {"size", required_argument, NULL, 's'},    {"domains", required_argument, NULL, 'm'},
        {"first", required_argument, NULL, 'f'},   {"rate", required_argument, NULL, 'r'},
        {"hold", required_argument, NULL, 'h'},    {"timeout", required_argument, NULL, 'w'},
        {"ca", required_argument, NULL, 'a'},      {"host", required_argument, NULL, 'o'},
        {"step", no_argument, NULL, 'S'},          {"park", no_argument, NULL, 'P'},
        {"full", no_argument, NULL, 'F'},          {NULL, 0, NULL, 0}};
    const struct {
        int letter;
        long *into;
    } numbers[] = {{'p', &o.port}, {'n', &o.total},   {'c', &o.clients}, {'e', &o.each},
                   {'s', &o.size}, {'m', &o.domains}, {'f', &o.first},   {'r', &o.rate},
                   {'h', &o.hold}, {'w', &o.timeout}};
    const struct {
        int letter;
        const char **into;
    } texts[] = {{'t', &o.to}, {'d', &o.domain}, {'a', &o.ca}, {'o', &o.host}};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == '?')
            exit(64);
        o.step |= c == 'S';
        o.park |= c == 'P';
        o.full |= c == 'F';
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); ++i) {
            if (numbers[i].letter == c)
                *numbers[i].into = number(optarg);
        }
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
            if (texts[i].letter == c)
                *texts[i].into = optarg;
        }
    }
    if (o.to == NULL || o.domain == NULL || o.port <= 0 || o.total <= 0 || o.clients <= 0 ||
        o.each <= 0 || (o.ca == NULL) != (o.host == NULL))
        wire_die("load: --to, --port and --domain are due, and --ca together with --host");
    return o;
}

static void prepare(struct load *l, const struct options *o)
{
    l->to_size = wire_address(o->to, (int)o->port, &l->to);
    l->tls = o->ca != NULL ? secure_client(o->ca, o->host, !o->full) : NULL;
    l->domain = o->domain;
    l->domains = (unsigned)o->domains;
    l->first = (uint64_t)o->first;
    l->total = (uint64_t)o->total;
    l->clients = o->park ? (size_t)o->total : (size_t)o->clients;
    l->size = (size_t)o->size;
    l->each = o->park ? 1 : (unsigned)o->each;
    l->interval_ns = o->rate > 0 ? 1000000000 / o->rate : 0;
    l->pipelining = !o->step;
    l->park = o->park;
    l->body = message_body(l->size);
    l->page = mem_zalloc(WIRE_READ);
    l->latency = mem_array((size_t)l->total, sizeof(*l->latency));
    l->standing = mem_array((size_t)l->total, sizeof(struct client *));
    wire_loop_init(&l->loop);
}

/* ---- the run ---- */

static struct load load;
static bool stopped;

static void on_signal(struct watch *w, uint32_t unused)
{
    struct signalfd_siginfo got;

    (void)unused;
    while (read(w->fd, &got, sizeof(got)) == (ssize_t)sizeof(got)) {
        if (got.ssi_signo == SIGUSR1)
            client_release(&load);
        else
            stopped = true;
    }
}

static void watch_signals(struct watch *w)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    *w = (struct watch){.fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC), .on = on_signal};
    wire_watch(&load.loop, w, EPOLLIN);
}

/* As many connections as there may be, for what can be taken now. */
static void open_clients(struct load *l, int64_t now)
{
    size_t limit = l->clients;

    if (l->park && limit > l->parked + OPENING_MAX)
        limit = l->parked + OPENING_MAX;
    client_wake(l);
    while (l->open < limit && load_due(l, now))
        client_open(l);
}

static int64_t until(const struct load *l, int64_t now, int64_t deadline)
{
    int64_t next = deadline;

    if (l->interval_ns > 0 && l->taken < l->total && (l->open < l->clients || l->idle != NULL)) {
        int64_t due = l->begun + (int64_t)l->taken * l->interval_ns;

        if (due < next)
            next = due;
    }
    return next > now ? next - now : 0;
}

static void run(struct load *l, const struct options *o)
{
    int64_t deadline, release = 0;
    bool said = false;

    l->begun = wire_now();
    deadline = l->begun + (int64_t)o->timeout * 1000000000;
    while (!stopped) {
        int64_t now = wire_now();

        open_clients(l, now);
        if ((load_settled(l) >= l->total && l->open == 0) || now >= deadline)
            return;
        if (l->park && !said && l->taken >= l->total && l->parked + load_settled(l) >= l->total) {
            said = true;
            release = o->hold > 0 ? now + (int64_t)o->hold * 1000000000 : 0;
            (void)printf("parked %zu\n", l->parked);
            (void)fflush(stdout);
        }
        if (release > 0 && now >= release) {
            release = 0;
            client_release(l);
        }
        wire_loop_once(&l->loop, until(l, now, release > 0 ? release : deadline));
    }
}

/* ---- the result ---- */

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double percentile(const struct load *l, double part)
{
    size_t n = (size_t)l->delivered;
    size_t at = (size_t)(part * (double)n);

    if (n == 0)
        return 0;
    return (double)l->latency[at < n ? at : n - 1] / 1e6;
}

static void show(struct load *l)
{
    const char *between = "";
    struct rusage used;
    double seconds = l->last > l->begun ? (double)(l->last - l->begun) / 1e9 : 0;

    (void)getrusage(RUSAGE_SELF, &used);
    qsort(l->latency, (size_t)l->delivered, sizeof(*l->latency), compare);
    (void)printf("{\"messages\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"broken\": %" PRIu64
                 ", \"unknown\": %" PRIu64 ", \"unsettled\": %" PRIu64 ", \"refused\": {",
                 l->total, l->delivered, l->broken, l->unknown, l->total - load_settled(l));
    for (int i = 0; i < CODES; ++i) {
        if (l->refused[i] > 0) {
            (void)printf("%s\"%d\": %" PRIu64, between, i, l->refused[i]);
            between = ", ";
        }
    }
    (void)printf("}, \"refusal\": \"%s\", \"connections\": %" PRIu64
                 ", \"failed_connections\": %" PRIu64 ", \"full\": %" PRIu64
                 ", \"resumed\": %" PRIu64 ", \"parked\": %zu, \"begun_ns\": %" PRId64
                 ", \"last_ns\": %" PRId64 ", \"seconds\": %.6f, \"rate\": %.2f, ",
                 l->refusal, l->connections, l->failed_connections, l->full, l->resumed, l->parked,
                 l->begun, l->last, seconds, seconds > 0 ? (double)l->delivered / seconds : 0);
    (void)printf("\"latency_ms\": {\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}, ",
                 percentile(l, 0.5), percentile(l, 0.9), percentile(l, 0.99), percentile(l, 1));
    (void)printf("\"cpu\": %.6f, \"ids\": ",
                 (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    ids_print(&l->ids, 1, stdout);
    (void)puts("}");
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct watch signals;

    wire_raise_limit();
    prepare(&load, &o);
    watch_signals(&signals);
    run(&load, &o);
    show(&load);
    return 0;
}
