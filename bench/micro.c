/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      micro - what the pure parsers, the records and the log cost, each alone
 *
 * SYNOPSIS
 *      micro [rounds [part of a name]]
 *
 * DESCRIPTION
 *      Prints a Markdown table: for each row the median, the best and the worst of some rounds
 *      (default 9) in nanoseconds of processor time for one turn, and bytes a second where a turn
 *      reads bytes.  memchr() and memcpy() stand in the same table: they are what the machine can
 *      do at all, and a scanner is to be read beside them.
 *
 *      The rows "log: ..." count every thread.  One turn is what a mail with one recipient writes:
 *      the records session, attempt and result, made, queued, and written to a file.  In "as fast
 *      as possible" the writer always finds work; in "every 100 us" and "every 5 ms" it may be
 *      woken for each mail, as it is under the load of a mail server.  There the caller's part is
 *      its time inside of the calls, and the writer's is the time of its thread.
 *
 *      Build it in a release build (cmake --preset release; ninja micro).  It needs no network, no
 *      root and 20 MB of memory, and writes one file in $TMPDIR (or /tmp) that it removes.  The
 *      figures are worth something beside others of the same run on the same machine only.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/micro_mail.h"
#include "certs/digest.h"
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/policy/mtasts.h"
#include "proxy/smtp/command.h"
#include "proxy/smtp/data.h"
#include "proxy/smtp/ehlo.h"
#include "proxy/smtp/header.h"
#include "proxy/store/log.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ROUNDS_MAX 101
#define ROUND_NS INT64_C(20000000)
#define READ_SIZE 16384 /* what a socket gives at once */

/* Results that nobody reads would be computed by nobody. */
static volatile uint64_t nobody;

static int64_t clock_ns(clockid_t which)
{
    struct timespec t;

    INVARIANT(clock_gettime(which, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the messages ---- */

enum body { LINES_72, LINES_76, LONG_LINES, DOTS, EIGHT_BIT, BODIES };

static struct buf bodies[BODIES];

static void fill_body(struct buf *b, size_t size, size_t line, char first, char byte)
{
    buf_init(b, SIZE_MAX);
    while (b->n < size) {
        INVARIANT(buf_addc(b, first));
        for (size_t i = 1; i < line; i++)
            INVARIANT(buf_addc(b, byte != '\0' ? byte : (char)('a' + (b->n * 7 + i) % 26)));
        INVARIANT(buf_add(b, SLICE("\r\n")));
    }
}

static void make_bodies(void)
{
    fill_body(&bodies[LINES_72], 65536, 72, 'T', '\0');
    fill_body(&bodies[LINES_76], 65536, 76, 'Q', '\0');
    fill_body(&bodies[LONG_LINES], 65536, 16000, 'x', 'x');
    fill_body(&bodies[DOTS], 65536, 2, '.', '.');
    fill_body(&bodies[EIGHT_BIT], 65536, 72, '\xc3', '\xa4');
}

/* ---- one turn each; they give back the bytes that they read ---- */

static size_t run_memchr(enum body which)
{
    const struct buf *b = &bodies[which];

    nobody += memchr(b->p, '\0', b->n) != NULL;
    return b->n;
}

static size_t run_memcpy(enum body which)
{
    static char to[131072];
    const struct buf *b = &bodies[which];

    memcpy(to, b->p, b->n);
    nobody += (unsigned char)to[b->n / 2];
    return b->n;
}

static size_t run_decode(enum body which)
{
    struct slice rest = buf_slice(&bodies[which]);
    struct data_decoder d;

    data_decoder_start(&d, DATA_REJECT);
    while (rest.n > 0) {
        struct slice read = slice_first(rest, READ_SIZE), content;

        rest = slice_from(rest, read.n);
        while (read.n > 0) {
            size_t used = 0;

            (void)data_decode(&d, read.p, read.n, &used, &content);
            nobody += content.n;
            read = slice_from(read, used);
        }
    }
    return bodies[which].n;
}

static size_t run_encode(enum body which)
{
    static struct buf out = {.cap = SIZE_MAX};
    struct slice rest = buf_slice(&bodies[which]);
    struct data_encoder e;

    data_encoder_start(&e);
    while (rest.n > 0) {
        buf_reset(&out);
        INVARIANT(data_encode(&e, slice_first(rest, READ_SIZE), &out));
        rest = slice_from(rest, READ_SIZE);
    }
    nobody += out.n;
    return bodies[which].n;
}

static size_t run_digest(enum body which)
{
    struct digest *d = digest_new();
    uint8_t sum[DIGEST_SIZE];

    digest_feed(d, buf_slice(&bodies[which]));
    digest_finish(d, sum);
    digest_free(&d);
    nobody += sum[0];
    return bodies[which].n;
}

static size_t run_reply(struct slice wire)
{
    static struct reply r = {.text = {.cap = REPLY_BYTES_MAX}};
    struct reply_parser p;
    size_t used = 0;

    reply_parser_start(&p, &r);
    INVARIANT(reply_feed(&p, wire.p, wire.n, &used) == REPLY_DONE);
    nobody += (unsigned)r.code;
    return used;
}

static size_t run_reply_ehlo(enum body which)
{
    (void)which;
    return run_reply(SLICE(MICRO_EHLO_REPLY));
}

static size_t run_reply_line(enum body which)
{
    (void)which;
    return run_reply(SLICE(MICRO_FINAL_REPLY));
}

static size_t run_reply_write(enum body which)
{
    static struct reply r = {.text = {.cap = REPLY_BYTES_MAX}};
    static struct buf out = {.cap = SIZE_MAX};

    (void)which;
    if (r.code == 0)
        reply_set(&r, 250, "2.0.0", SLICE("Ok: queued as 4WxYz12345"));
    buf_reset(&out);
    INVARIANT(reply_write(&r, &out));
    return out.n;
}

static size_t run_ehlo(enum body which)
{
    static struct reply r = {.text = {.cap = REPLY_BYTES_MAX}};
    struct reply_parser p;
    struct ehlo e;
    size_t used;

    (void)which;
    if (r.code == 0) {
        reply_parser_start(&p, &r);
        INVARIANT(reply_feed(&p, SLICE(MICRO_EHLO_REPLY).p, SLICE(MICRO_EHLO_REPLY).n, &used) ==
                  REPLY_DONE);
    }
    ehlo_parse(&r, &e);
    nobody += e.size_max;
    return r.text.n;
}

static size_t run_mail(enum body which)
{
    static const struct slice line = {MICRO_MAIL, sizeof(MICRO_MAIL) - 1};
    struct command c = command_parse(line);
    struct mail_params params;
    struct mailbox box;

    (void)which;
    INVARIANT(c.verb == COMMAND_MAIL && command_mail(c.args, &box, &params).code == 0);
    nobody += box.path.n;
    return line.n;
}

static size_t run_rcpt(enum body which)
{
    static const struct slice line = {MICRO_RCPT, sizeof(MICRO_RCPT) - 1};
    struct command c = command_parse(line);
    struct mailbox box;

    (void)which;
    INVARIANT(c.verb == COMMAND_RCPT && command_rcpt(c.args, &box).code == 0);
    nobody += box.path.n;
    return line.n;
}

static size_t run_mailbox(enum body which)
{
    static const struct slice path = {MICRO_PATH, sizeof(MICRO_PATH) - 1};
    struct mailbox box;
    struct slice rest;

    (void)which;
    INVARIANT(mailbox_parse(path, &box, &rest) == MAILBOX_OK);
    nobody += box.domain.n;
    return path.n;
}

static size_t run_domain(enum body which)
{
    char out[DOMAIN_MAX + 1];

    (void)which;
    INVARIANT(domain_normalise(SLICE(MICRO_DOMAIN), out));
    nobody += (unsigned char)out[0];
    return sizeof(MICRO_DOMAIN) - 1;
}

static size_t run_header(enum body which)
{
    static const struct slice header = {MICRO_HEADER, sizeof(MICRO_HEADER) - 1};
    struct header_scan s;

    (void)which;
    header_scan_start(&s);
    header_scan_feed(&s, header);
    INVARIANT(s.done && s.queue_id[0] != '\0');
    return header.n;
}

static size_t run_policy(enum body which)
{
    static const struct slice body = {MICRO_POLICY, sizeof(MICRO_POLICY) - 1};
    struct sts_policy p;
    const char *why;

    (void)which;
    INVARIANT(sts_policy_parse(body, &p, &why, NULL, NULL));
    nobody += p.mx_count;
    sts_policy_clear(&p);
    return body.n;
}

static size_t run_ihas(enum body which)
{
    static const struct slice text = {MICRO_EHLO_REPLY, sizeof(MICRO_EHLO_REPLY) - 1};

    (void)which;
    nobody += slice_ihas(text, SLICE("not in there"));
    return text.n;
}

/* ---- records ---- */

static size_t run_make(const struct micro_field *fields)
{
    struct record *r = micro_record(fields);

    nobody += record_severity(r);
    record_free(r);
    return 0;
}

static size_t run_make_attempt(enum body which)
{
    (void)which;
    return run_make(micro_attempt);
}

static size_t run_make_result(enum body which)
{
    (void)which;
    return run_make(micro_result);
}

typedef bool render_fn(const struct record *r, struct buf *out);

static size_t run_render(struct record **r, const struct micro_field *fields, render_fn *render)
{
    static struct buf out = {.cap = SIZE_MAX};

    if (*r == NULL)
        *r = micro_record(fields);
    buf_reset(&out);
    INVARIANT(render(*r, &out));
    return out.n;
}

static struct record *attempt_made, *result_made;

static size_t run_json_attempt(enum body which)
{
    (void)which;
    return run_render(&attempt_made, micro_attempt, record_json);
}

static size_t run_text_attempt(enum body which)
{
    (void)which;
    return run_render(&attempt_made, micro_attempt, record_text);
}

static size_t run_json_result(enum body which)
{
    (void)which;
    return run_render(&result_made, micro_result, record_json);
}

static const struct row {
    const char *name;
    size_t (*turn)(enum body which);
    enum body which;
} rows[] = {
    {"memchr, not found", run_memchr, LINES_72},
    {"memcpy", run_memcpy, LINES_72},
    {"data_decode, lines of 72", run_decode, LINES_72},
    {"data_decode, lines of 76", run_decode, LINES_76},
    {"data_decode, lines of 16,000", run_decode, LONG_LINES},
    {"data_decode, lines of 72, 8-bit", run_decode, EIGHT_BIT},
    {"data_decode, nothing but dots", run_decode, DOTS},
    {"data_encode, lines of 72", run_encode, LINES_72},
    {"data_encode, lines of 16,000", run_encode, LONG_LINES},
    {"data_encode, nothing but dots", run_encode, DOTS},
    {"digest (SHA-256) of 64 KiB", run_digest, LINES_72},
    {"reply parser, EHLO of 11 lines", run_reply_ehlo, LINES_72},
    {"reply parser, one line", run_reply_line, LINES_72},
    {"reply_write", run_reply_write, LINES_72},
    {"ehlo_parse", run_ehlo, LINES_72},
    {"command: MAIL", run_mail, LINES_72},
    {"command: RCPT", run_rcpt, LINES_72},
    {"mailbox_parse", run_mailbox, LINES_72},
    {"domain_normalise", run_domain, LINES_72},
    {"header scan", run_header, LINES_72},
    {"sts_policy_parse", run_policy, LINES_72},
    {"slice_ihas, not found", run_ihas, LINES_72},
    {"record: make an attempt", run_make_attempt, LINES_72},
    {"record: make a result", run_make_result, LINES_72},
    {"record: attempt to JSON", run_json_attempt, LINES_72},
    {"record: attempt to text", run_text_attempt, LINES_72},
    {"record: result to JSON", run_json_result, LINES_72},
};

/* ---- measuring ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print_row(const char *name, double *ns, size_t rounds, size_t bytes)
{
    double median;

    qsort(ns, rounds, sizeof(*ns), by_size);
    median = ns[rounds / 2];
    printf("| %s | %.1f | %.1f | %.1f | ", name, median, ns[0], ns[rounds - 1]);
    if (bytes > 0)
        printf("%.0f |\n", (double)bytes / median * 1000);
    else
        printf("|\n");
    fflush(stdout);
}

static void measure(const struct row *row, size_t rounds)
{
    double ns[ROUNDS_MAX];
    size_t bytes = row->turn(row->which);

    for (size_t i = 0; i < rounds; i++) {
        int64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID), took = 0;
        size_t turns = 0;

        for (size_t some = 1; took < ROUND_NS; some *= 2) {
            for (size_t j = 0; j < some; j++)
                (void)row->turn(row->which);
            turns += some;
            took = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
        }
        ns[i] = (double)took / (double)turns;
    }
    print_row(row->name, ns, rounds, bytes);
}

/* ---- the log, with its thread ---- */

static void log_mail(struct log *l)
{
    log_record(l, micro_record(micro_attempt));
    log_record(l, micro_record(micro_result));
    log_record(l, micro_record(micro_session));
}

static struct log *log_begin(const char *path)
{
    struct log_sink sink = {.kind = LOG_TO_FILE, .path = path};
    struct buf errors;
    struct log *l;

    buf_init(&errors, 4096);
    l = log_new(&sink, 1, &errors);
    if (l == NULL) {
        fprintf(stderr, "%s", buf_cstr(&errors));
        exit(EXIT_FAILURE);
    }
    buf_clear(&errors);
    INVARIANT(log_start(l));
    return l;
}

/* `mails` of them, one every `pace` ns (0: at once), waiting awake.  Processor time of the caller in
 * its calls and of the thread that writes, for one mail. */
static void pace_log(const char *path, size_t mails, int64_t pace, double *caller, double *writer)
{
    struct log *l = log_begin(path);
    int64_t all = clock_ns(CLOCK_PROCESS_CPUTIME_ID), mine = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    int64_t next = clock_ns(CLOCK_MONOTONIC), inside = 0;

    for (size_t i = 0; i < mails; i++) {
        int64_t begin;

        while (clock_ns(CLOCK_MONOTONIC) < next)
            ;
        next += pace;
        begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        log_mail(l);
        inside += clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
    INVARIANT(log_dropped(l) == 0);
    log_stop(&l);
    mine = clock_ns(CLOCK_THREAD_CPUTIME_ID) - mine;
    all = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - all;
    *caller = (double)inside / (double)mails;
    *writer = (double)(all - mine) / (double)mails;
    INVARIANT(truncate(path, 0) == 0);
}

static void measure_log(const char *path, const char *how, size_t mails, int64_t pace,
                        size_t rounds)
{
    double caller[ROUNDS_MAX], writer[ROUNDS_MAX], sum[ROUNDS_MAX];
    char name[128];

    for (size_t i = 0; i < rounds; i++) {
        pace_log(path, mails, pace, &caller[i], &writer[i]);
        sum[i] = caller[i] + writer[i];
    }
    (void)snprintf(name, sizeof(name), "log: a mail, %s: caller", how);
    print_row(name, caller, rounds, 0);
    (void)snprintf(name, sizeof(name), "log: a mail, %s: writer", how);
    print_row(name, writer, rounds, 0);
    (void)snprintf(name, sizeof(name), "log: a mail, %s: both", how);
    print_row(name, sum, rounds, 0);
}

static void measure_logs(size_t rounds)
{
    const char *folder = getenv("TMPDIR");
    char *path = mem_format("%s/tlsmend-micro-XXXXXX", folder != NULL ? folder : "/tmp");
    int fd = mkstemp(path);

    if (fd < 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    close(fd);
    /* Below LOG_QUEUE_MAX, also where the writer does not run at all. */
    measure_log(path, "as fast as possible", 2000, 0, rounds);
    measure_log(path, "every 100 us", 2000, 100000, rounds);
    measure_log(path, "every 5 ms", 100, 5000000, rounds);
    (void)unlink(path);
    free(path);
}

int main(int argc, char **argv)
{
    unsigned long long rounds = 9;

    if (argc > 3 ||
        (argc > 1 && (!slice_u64(slice_str(argv[1]), ROUNDS_MAX, &rounds) || rounds == 0))) {
        fprintf(stderr, "usage: micro [rounds [part of a name]]\n");
        return EXIT_FAILURE;
    }
    make_bodies();
    printf("| what | ns (median) | best | worst | MB/s |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(rows); i++)
        if (argc < 3 || strstr(rows[i].name, argv[2]) != NULL)
            measure(&rows[i], (size_t)rounds);
    if (argc < 3 || strstr("log: a mail", argv[2]) != NULL)
        measure_logs((size_t)rounds);
    return EXIT_SUCCESS;
}
