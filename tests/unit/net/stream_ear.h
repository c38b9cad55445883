/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      stream_ear - an owner of a stream that writes down what it is told
 */
#ifndef TLSMEND_TESTS_STREAM_EAR_H
#define TLSMEND_TESTS_STREAM_EAR_H

#include "tests/unit/net/net_rig.h"

#include <stdio.h>

#include "proxy/net/stream.h"

struct ear {
    struct stream *stream;
    struct buf got; /* all that was read */
    char trace[64]; /* one letter per event, runs of 'r' folded */
    bool in_call;   /* set around our own calls: no event may come then */
    bool keep;      /* do not consume what is readable */
    char close_at;  /* close the stream inside this event */
    size_t most_unread;
    enum stream_end end;
    char detail[128];
    enum reason connect_reason;
    const struct tls_facts *facts;
    void (*and_then)(struct ear *e, char event);
};

static inline void ear_note(struct ear *e, char what)
{
    size_t n = strlen(e->trace);

    assert_false(e->in_call);
    assert_non_null(e->stream); /* none after stream_close() */
    if (what != 'r' || n == 0 || e->trace[n - 1] != 'r') {
        assert_true(n + 1 < sizeof(e->trace));
        e->trace[n] = what;
    }
    if (e->and_then != NULL)
        e->and_then(e, what);
    if (e->close_at == what)
        stream_close(&e->stream);
}

static inline void ear_take(struct ear *e)
{
    struct slice s;

    while ((s = stream_peek(e->stream)).n > 0) {
        assert_true(s.n <= 16384);
        assert_true(buf_add(&e->got, s));
        stream_consume(e->stream, s.n);
    }
}

static void ear_connected(void *owner)
{
    ear_note(owner, 'c');
}

static void ear_connect_failed(void *owner, enum reason why, const char *detail)
{
    struct ear *e = owner;

    e->connect_reason = why;
    (void)snprintf(e->detail, sizeof(e->detail), "%s", detail);
    ear_note(e, 'f');
}

static void ear_readable(void *owner)
{
    struct ear *e = owner;

    if (stream_unread(e->stream) > e->most_unread)
        e->most_unread = stream_unread(e->stream);
    if (!e->keep)
        ear_take(e);
    ear_note(e, 'r');
}

static void ear_drained(void *owner)
{
    ear_note(owner, 'd');
}

static void ear_tls_done(void *owner, const struct tls_facts *facts)
{
    struct ear *e = owner;

    e->facts = facts;
    ear_note(e, facts->reason == REASON_OK ? 'T' : 't');
}

static void ear_ended(void *owner, enum stream_end how, const char *detail)
{
    struct ear *e = owner;

    e->end = how;
    (void)snprintf(e->detail, sizeof(e->detail), "%s", detail);
    ear_note(e, 'e');
}

static void ear_deadline(void *owner)
{
    ear_note(owner, 'D');
}

static const struct stream_events ear_events = {ear_connected, ear_connect_failed, ear_readable,
                                                ear_drained,   ear_tls_done,       ear_ended,
                                                ear_deadline};
static const struct stream_params ear_params = {.read_high = 32768, .write_low = 8192};

static inline bool ear_heard(const struct ear *e, char what)
{
    return strchr(e->trace, what) != NULL;
}

static inline void ear_adopt(struct ear *e, struct loop *l, int fd)
{
    struct addr nowhere = {.family = ADDR_NONE};

    buf_init(&e->got, 64 * 1024 * 1024);
    e->stream = stream_adopt(l, fd, &nowhere, &ear_params, &ear_events, e);
}

static inline void ear_write(struct ear *e, struct slice bytes)
{
    e->in_call = true;
    stream_write(e->stream, bytes);
    e->in_call = false;
}

static inline void ear_clear(struct ear *e)
{
    stream_close(&e->stream);
    buf_clear(&e->got);
}

#endif
