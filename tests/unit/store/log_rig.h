/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for sinks, a log on them, and what they took. */
#ifndef TLSMEND_TESTS_LOG_RIG_H
#define TLSMEND_TESTS_LOG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/store/log.h"

static char folder[64];

/* find() whose time does not depend on what is behind the match, under a sanitizer too. */
static inline char *find(char *in, const char *words)
{
    size_t n = strlen(words);

    for (; *in != '\0'; in++)
        if (*in == *words && strncmp(in, words, n) == 0)
            return in;
    return NULL;
}

static inline int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/tlsmend-log-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static inline int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -r -- '%s'", folder);
    return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c): a name of our own */
}

static inline const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline struct log *start(const struct log_sink *sinks, size_t count)
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

static inline void say(struct log *l, int64_t number)
{
    struct record *r = record_new("test", RECORD_INFO, 1800000000000);

    record_int(r, "n", number);
    log_record(l, r);
}

/* The whole file as a string, yours to free(). */
static inline char *content(const char *path)
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

static inline void wait_for(const char *path, const char *words)
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
static inline int64_t check_order(char *text, int64_t first)
{
    int64_t count = 0;

    for (char *p = find(text, "\"n\":"); p != NULL; p = find(p + 1, "\"n\":")) {
        assert_int_equal(strtoll(p + 4, NULL, 10), first + count);
        count++;
    }
    return count;
}

static inline int64_t seconds_since(time_t from)
{
    return (int64_t)(time(NULL) - from);
}

/* Reads until `words` came and nothing follows, or nothing comes at all. */
static inline char *drain(int fd, const char *words)
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

#endif
