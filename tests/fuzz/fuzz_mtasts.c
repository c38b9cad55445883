/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of MTA-STS.  The first byte chooses: a TXT record (r), an RRset (d), rdata as it
 * comes (w), a pattern and a host in two lines (m), else a policy.  Properties: what was accepted, written canonically, is read as the same; the ends of lines
 * and unknown fields change no answer; the order of records changes none; a pattern matches its own
 * names only.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/invariant.h"
#include "proxy/policy/mtasts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice text_of(const char *s)
{
    return slice_of(s, strlen(s));
}

/* --- records --- */

struct fields {
    struct buf text; /* ";name=value" one after the other, or lines "name:value" */
    char between;
    const char *before, *behind;
};

static void keep(void *ctx, struct slice name, struct slice value)
{
    struct fields *f = ctx;

    INVARIANT(name.n > 0 && name.n <= 32 && value.n > 0);
    INVARIANT(buf_addf(&f->text, "%s%.*s%c", f->before, SLICE_ARG(name), f->between));
    INVARIANT(buf_add(&f->text, value) && buf_add(&f->text, text_of(f->behind)));
}

static void same_record(const struct buf *txt, const char *id)
{
    struct sts_record again;
    const char *why;

    INVARIANT(sts_record_parse(buf_slice(txt), &again, &why, NULL, NULL));
    INVARIANT(strcmp(id, again.id) == 0);
}

static void check_record(struct slice txt)
{
    struct fields f = {.between = '=', .before = ";", .behind = ""};
    struct sts_record r;
    const char *why;
    struct buf other;

    buf_init(&f.text, SIZE_MAX);
    buf_init(&other, SIZE_MAX);
    if (sts_record_parse(txt, &r, &why, keep, &f)) {
        INVARIANT(why == NULL && strlen(r.id) >= 1 && strlen(r.id) <= STS_ID_MAX);
        INVARIANT(buf_addf(&other, "v=STSv1;id=%s", r.id) && buf_add(&other, buf_slice(&f.text)));
        same_record(&other, r.id);
        buf_reset(&other);
        /* One more field, with or without the delimiter that may stand at the end. */
        INVARIANT(buf_add(&other, txt));
        INVARIANT(buf_addf(&other, "%s", memchr(" \t;", txt.p[txt.n - 1], 3) ? "x=y" : ";x=y;"));
        same_record(&other, r.id);
    } else {
        INVARIANT(why != NULL && r.id[0] == '\0');
    }
    buf_clear(&f.text);
    buf_clear(&other);
}

/* Records are separated by 0xff bytes; each becomes one string, or a broken rdata as it is. */
static void check_discovery(struct slice s)
{
    char wire[4][256];
    struct slice forward[4], backward[4], part;
    struct sts_record a, b;
    const char *why_a, *why_b;
    size_t n = 0, good = 0;
    enum sts_txt x, y;
    bool more = true;

    while (more && n < 4) {
        more = slice_cut(s, '\xff', &part, &s);
        part = slice_first(part, 255);
        wire[n][0] = (char)part.n;
        memcpy(wire[n] + 1, part.n > 0 ? part.p : "", part.n);
        forward[n] = slice_of(wire[n], part.n + 1);
        good += sts_record_parse(part, &a, &why_a, NULL, NULL);
        n++;
    }
    for (size_t i = 0; i < n; i++)
        backward[i] = forward[n - 1 - i];
    x = sts_discover(forward, n, &a, &why_a);
    y = sts_discover(backward, n, &b, &why_b);
    INVARIANT(x == y && strcmp(a.id, b.id) == 0);
    INVARIANT((x == STS_TXT_RECORD) == (a.id[0] != '\0') && (x == STS_TXT_RECORD) == !why_a);
    INVARIANT(x != STS_TXT_RECORD || good == 1);
    INVARIANT(good < 2 || x == STS_TXT_SEVERAL);
    INVARIANT(good == 0 || x == STS_TXT_RECORD || x == STS_TXT_SEVERAL);
}

static void check_rdata(struct slice s)
{
    struct sts_record r;
    const char *why;

    (void)sts_discover(&s, 1, &r, &why);
}

/* --- policies --- */

static void same_policy(const struct sts_policy *p, const struct buf *body)
{
    struct sts_policy again;
    const char *why;

    INVARIANT(sts_policy_parse(buf_slice(body), &again, &why, NULL, NULL));
    INVARIANT(p->mode == again.mode && p->max_age == again.max_age);
    INVARIANT(p->mx_count == again.mx_count);
    for (size_t i = 0; i < p->mx_count; i++)
        INVARIANT(strcmp(p->mx[i], again.mx[i]) == 0);
    sts_policy_clear(&again);
}

static void add_canonical(struct buf *out, const struct sts_policy *p)
{
    INVARIANT(buf_addf(out, "version: STSv1\nmode: %s\nmax_age: %lld\n", sts_mode_name(p->mode),
                       (long long)p->max_age));
    for (size_t i = 0; i < p->mx_count; i++)
        INVARIANT(buf_addf(out, "mx: %s\n", p->mx[i]));
}

/* The body with its lines ended by `end`, and an unknown field in front of line `at`. */
static void add_lines(struct buf *out, struct slice body, const char *end, size_t at)
{
    struct slice line;

    for (size_t i = 0; body.n > 0; i++) {
        (void)slice_cut(body, '\n', &line, &body);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (i == at)
            INVARIANT(buf_addf(out, "x-unknown.field: \xc3\xa9 : y%s", end));
        INVARIANT(buf_add(out, line) && buf_add(out, text_of(end)));
    }
}

static void check_patterns(const struct sts_policy *p)
{
    for (size_t i = 0; i < p->mx_count && i < 20; i++) {
        struct slice pattern = text_of(p->mx[i]);
        char host[DOMAIN_MAX + 3], name[DOMAIN_MAX + 1];

        (void)snprintf(host, sizeof(host), "%s", p->mx[i]);
        if (host[0] == '*')
            host[0] = 'a';
        INVARIANT(sts_mx_match(pattern, text_of(host)) && sts_policy_lists(p, text_of(host)));
        INVARIANT(!sts_mx_match(pattern, slice_from(text_of(host), 1)) || p->mx[i][0] == '*');
        pattern = slice_from(pattern, p->mx[i][0] == '*' ? 2 : 0);
        INVARIANT(domain_normalise(pattern, name) && slice_eq(pattern, text_of(name)));
    }
}

static void check_policy(struct slice body)
{
    struct fields f = {.between = ':', .before = "", .behind = "\n"};
    struct sts_policy p;
    const char *why;
    struct buf other;

    buf_init(&f.text, SIZE_MAX);
    buf_init(&other, SIZE_MAX);
    if (!sts_policy_parse(body, &p, &why, keep, &f)) {
        INVARIANT(why != NULL && p.mx == NULL && p.mx_count == 0);
        buf_clear(&f.text);
        return;
    }
    INVARIANT(why == NULL && p.max_age >= 0 && p.max_age <= STS_MAX_AGE_LIMIT);
    INVARIANT(p.mx_count > 0 || p.mode == STS_NONE);
    add_canonical(&other, &p);
    INVARIANT(buf_add(&other, buf_slice(&f.text)));
    same_policy(&p, &other);
    for (size_t at = 0; at < 4 && body.n < STS_POLICY_MAX / 2; at++) {
        buf_reset(&other);
        add_lines(&other, body, at % 2 == 0 ? "\n" : "\r\n", at);
        same_policy(&p, &other);
    }
    check_patterns(&p);
    sts_policy_clear(&p);
    buf_clear(&f.text);
    buf_clear(&other);
}

/* --- patterns --- */

static void check_match(struct slice s)
{
    struct slice pattern, host, label, parent;
    char name[DOMAIN_MAX + 1];

    (void)slice_cut(s, '\n', &pattern, &host);
    if (!sts_mx_match(pattern, host))
        return;
    for (size_t i = 0; i < pattern.n; i++)
        INVARIANT(pattern.p[i] > ' ' && pattern.p[i] < 0x7f);
    if (pattern.p[0] != '*') {
        INVARIANT(slice_ieq(pattern, host) && domain_normalise(host, name));
        return;
    }
    INVARIANT(slice_cut(host, '.', &label, &parent) && label.n > 0);
    INVARIANT(slice_ieq(slice_from(pattern, 2), parent) && domain_normalise(parent, name));
    INVARIANT(!sts_mx_match(pattern, parent));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s;

    if (size == 0)
        return 0;
    s = slice_of(data + 1, size - 1);
    switch (data[0]) {
    case 'r':
        check_record(s);
        break;
    case 'd':
        check_discovery(s);
        break;
    case 'w':
        check_rdata(s);
        break;
    case 'm':
        check_match(s);
        (void)sts_media_type(s);
        break;
    default:
        check_policy(s);
    }
    return 0;
}
