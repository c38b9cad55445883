/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies to EHLO, then every line of them as arguments of LIMITS.  Properties: numbers stay in the
 * bounds of RFC 9422; what was refused left nothing; each name is upper case and seen once.
 */
#include <stdint.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/smtp/ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct buf names; /* " NAME NAME " */
    size_t count;
};

static void keep(void *ctx, struct slice name, struct slice value)
{
    struct seen *s = ctx;
    struct buf key;

    INVARIANT(name.n > 0 && value.n > 0);
    for (size_t i = 0; i < name.n; i++)
        INVARIANT(name.p[i] < 'a' || name.p[i] > 'z');
    buf_init(&key, SIZE_MAX);
    INVARIANT(buf_addf(&key, " %.*s ", SLICE_ARG(name)));
    INVARIANT(!slice_ihas(buf_slice(&s->names), buf_slice(&key)));
    INVARIANT(buf_add(&s->names, buf_slice(&key)));
    buf_clear(&key);
    s->count++;
}

static void check_limits(struct slice args)
{
    struct seen s = {.count = 0};
    struct limits l;
    bool ok;

    buf_init(&s.names, SIZE_MAX);
    ok = limits_parse(args, &l, keep, &s);
    INVARIANT(ok ? s.count > 0 : s.count == 0);
    INVARIANT(ok || (l.mailmax == 0 && l.rcptmax == 0 && l.rcptdomainmax == 0));
    INVARIANT(l.mailmax <= 999999 && l.rcptmax <= 999999 && l.rcptdomainmax <= 999999);
    buf_clear(&s.names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply_parser p;
    struct reply r;
    struct ehlo e;
    size_t used;

    reply_init(&r);
    reply_parser_start(&p, &r);
    if (reply_feed(&p, (const char *)data, size, &used) == REPLY_DONE) {
        struct slice line, rest = buf_slice(&r.text);
        bool more = true;

        ehlo_parse(&r, &e);
        INVARIANT(memchr(e.host, '\0', sizeof(e.host)) != NULL);
        INVARIANT(e.size || e.size_max == 0);
        INVARIANT(e.has_limits || e.limits.rcptdomainmax == 0);
        INVARIANT(!e.starttls || slice_ihas(buf_slice(&r.text), SLICE("\nSTARTTLS")) ||
                  slice_ihas(buf_slice(&r.text), SLICE(" STARTTLS")) ||
                  slice_ihas(buf_slice(&r.text), SLICE("\tSTARTTLS")));
        (void)greeting_masked(&r);
        while (more) {
            more = slice_cut(rest, '\n', &line, &rest);
            check_limits(line);
        }
    }
    reply_clear(&r);
    return 0;
}
