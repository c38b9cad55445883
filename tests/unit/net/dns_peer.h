/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dns_peer - an authoritative name server of a few lines, in a thread, on 127.0.0.1
 *
 * DESCRIPTION
 *      Answers from a table of names; a name that is above one of the table exists without data (the resolver
 *      asks step by step, RFC 9156), any other does not exist.  Counts the questions for each row.
 */
#ifndef TLSMEND_TESTS_DNS_PEER_H
#define TLSMEND_TESTS_DNS_PEER_H

#include "tests/unit/net/net_rig.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/time.h>

enum dns_mood { DNS_DATA, DNS_SERVFAIL, DNS_REFUSED, DNS_SILENT, DNS_LATE, DNS_ALIAS };

struct dns_row {
    const char *name; /* without the last dot */
    unsigned type;
    enum dns_mood mood;
    struct slice rdata[4]; /* absent ones end the list; DNS_ALIAS: the target as text */
    atomic_int asked;
};

struct dns_peer {
    int fd;
    pthread_t thread;
    struct dns_row *rows;
    size_t count;
    struct addr at;
};

struct dns_out {
    unsigned char bytes[4096];
    size_t n;
};

static inline void dns_put(struct dns_out *o, const void *p, size_t n)
{
    if (o->n + n > sizeof(o->bytes))
        abort();
    memcpy(o->bytes + o->n, p, n);
    o->n += n;
}

static inline void dns_put16(struct dns_out *o, unsigned v)
{
    unsigned char b[2] = {(unsigned char)(v >> 8), (unsigned char)v};

    dns_put(o, b, 2);
}

static inline void dns_put_name(struct dns_out *o, const char *name)
{
    while (*name != '\0') {
        size_t n = strcspn(name, ".");
        unsigned char length = (unsigned char)n;

        dns_put(o, &length, 1);
        dns_put(o, name, n);
        name += n + (name[n] == '.');
    }
    dns_put(o, "", 1);
}

static inline void dns_put_record(struct dns_out *o, const char *name, unsigned type,
                                  struct slice rdata)
{
    dns_put_name(o, name);
    dns_put16(o, type);
    dns_put16(o, 1);
    dns_put(o, "\0\0\0\x3c", 4);
    dns_put16(o, (unsigned)rdata.n);
    dns_put(o, rdata.p, rdata.n);
}

/* "name" is at or above some row's name. */
static inline bool dns_exists(const struct dns_peer *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        size_t n = strlen(name), m = strlen(p->rows[i].name);

        if (m >= n && strcasecmp(p->rows[i].name + m - n, name) == 0 &&
            (m == n || p->rows[i].name[m - n - 1] == '.'))
            return true;
    }
    return false;
}

static inline struct dns_row *dns_find(struct dns_peer *p, const char *name, unsigned type)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcasecmp(p->rows[i].name, name) == 0 &&
            (p->rows[i].type == type || p->rows[i].mood != DNS_DATA))
            return &p->rows[i];
    return NULL;
}

/* Answer records into o; returns the response code, or -1 for silence. */
static inline int dns_answer_row(struct dns_peer *p, struct dns_out *o, const char *name,
                                 unsigned type, unsigned *records)
{
    struct dns_row *row = dns_find(p, name, type);

    if (row == NULL)
        return dns_exists(p, name) ? 0 : 3;
    atomic_fetch_add(&row->asked, 1);
    switch (row->mood) {
    case DNS_SERVFAIL:
        return 2;
    case DNS_REFUSED:
        return 5;
    case DNS_SILENT:
        return -1;
    case DNS_ALIAS: {
        struct dns_out target = {.n = 0};

        dns_put_name(&target, row->rdata[0].p);
        dns_put_record(o, name, 5, slice_of(target.bytes, target.n));
        (*records)++;
        return 0;
    }
    case DNS_LATE:
        usleep(300000);
        break;
    case DNS_DATA:
        break;
    }
    for (size_t i = 0; i < 4 && row->rdata[i].p != NULL && row->type == type; i++, (*records)++)
        dns_put_record(o, name, type, row->rdata[i]);
    return 0;
}

static inline bool dns_read_question(const unsigned char *in, size_t n, char *name, unsigned *type,
                                     size_t *end)
{
    size_t at = 12, out = 0;

    while (at < n && in[at] != 0) {
        size_t label = in[at++];

        if (label > 63 || at + label > n)
            return false;
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, in + at, label);
        out += label;
        at += label;
    }
    name[out] = '\0';
    if (at + 5 > n)
        return false;
    *type = (unsigned)in[at + 1] << 8 | in[at + 2];
    *end = at + 5;
    return true;
}

static inline void dns_reply(struct dns_peer *p, const unsigned char *in, size_t n,
                             const struct sockaddr_in *to)
{
    struct dns_out o = {.n = 0}, answers = {.n = 0};
    unsigned type, records = 0;
    char name[300];
    size_t end;
    int code;

    if (n < 12 || !dns_read_question(in, n, name, &type, &end))
        return;
    code = dns_answer_row(p, &answers, name, type, &records);
    if (code < 0)
        return;
    dns_put(&o, in, 2);
    dns_put16(&o, 0x8400u | (unsigned)code);
    dns_put16(&o, 1);
    dns_put16(&o, records);
    dns_put16(&o, records == 0 && (code == 0 || code == 3) ? 1 : 0);
    dns_put16(&o, 0);
    dns_put(&o, in + 12, end - 12);
    dns_put(&o, answers.bytes, answers.n);
    if (records == 0 && (code == 0 || code == 3)) /* RFC 2308: SOA of the zone "lab" */
        dns_put_record(&o, "lab", 6,
                       SLICE("\0\0"
                             "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1"));
    (void)sendto(p->fd, o.bytes, o.n, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void *dns_main(void *arg)
{
    struct dns_peer *p = arg;
    unsigned char in[2048];

    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(p->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &length);

        if (n == 1) /* from dns_stop() */
            return NULL;
        if (n > 0)
            dns_reply(p, in, (size_t)n, &from);
    }
}

static inline void dns_start(struct dns_peer *p, struct dns_row *rows, size_t count)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);

    p->rows = rows;
    p->count = count;
    for (size_t i = 0; i < count; i++)
        atomic_store(&rows[i].asked, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    assert_int_equal(bind(p->fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&in, &n), 0);
    p->at = rig_loopback(ntohs(in.sin_port));
    assert_int_equal(pthread_create(&p->thread, NULL, dns_main, p), 0);
}

static inline void dns_stop(struct dns_peer *p)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(p->at.port)};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)sendto(p->fd, "q", 1, 0, (const struct sockaddr *)&in, sizeof(in));
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    (void)close(p->fd);
}

#endif
