/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_header - any message in any pieces.  Held:
 *   - cut anywhere, the scanner finds the same, and is done at the same byte;
 *   - it says "TLS-Required: No" exactly where a slow reader, with the whole header section before it,
 *     finds one such field with that value (RFC 8689 3);
 *   - a queue id has only bytes that may stand in a record.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/smtp/header.h"

#define CHECK(x) ((x) ? (void)0 : abort())

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice trimmed(struct slice s)
{
    while (s.n > 0 && is_white(s.p[0]))
        s = slice_from(s, 1);
    while (s.n > 0 && is_white(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* A field: its first line and those behind that begin with a blank; *rest is what follows. */
static struct slice next_field(struct slice in, struct slice *rest)
{
    size_t n = 0;

    while (n < in.n) {
        const char *end = memchr(in.p + n, '\n', in.n - n);

        n = end != NULL ? (size_t)(end - in.p) + 1 : in.n;
        if (n == in.n || (in.p[n] != ' ' && in.p[n] != '\t'))
            break;
    }
    *rest = slice_from(in, n);
    return slice_first(in, n);
}

static bool slow_reader(struct slice in)
{
    unsigned found = 0;
    bool no = false;

    in = slice_first(in, HEADER_SCAN_MAX);
    while (in.n > 0 && in.p[0] != '\r' && in.p[0] != '\n') {
        struct slice name, value, field = next_field(in, &in);

        if (!slice_cut(field, ':', &name, &value))
            continue;
        while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
            name.n--;
        if (!slice_ieq(name, SLICE("TLS-Required")))
            continue;
        found++;
        no = slice_ieq(trimmed(value), SLICE("No"));
    }
    return found == 1 && no;
}

static void check_queue_id(const struct header_scan *s)
{
    CHECK(memchr(s->queue_id, '\0', sizeof(s->queue_id)) != NULL);
    for (const char *c = s->queue_id; *c != '\0'; c++)
        CHECK(*c > 0x20 && *c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct header_scan whole, parts;

    header_scan_start(&whole);
    header_scan_feed(&whole, in);
    header_scan_start(&parts);
    for (size_t i = 0, step; i < in.n; i += step) {
        step = 1 + data[i] % 7;
        header_scan_feed(&parts, slice_first(slice_from(in, i), step));
    }
    CHECK(whole.done == parts.done && whole.seen == parts.seen);
    CHECK(whole.tls_required_no == parts.tls_required_no);
    CHECK(strcmp(whole.queue_id, parts.queue_id) == 0);
    CHECK(whole.tls_required_no == slow_reader(in));
    check_queue_id(&whole);
    return 0;
}
