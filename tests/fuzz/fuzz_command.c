/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's command lines, one a line of input.  Properties: an accepted path is printable ASCII
 * that lies inside its line and parses again to itself; XFORWARD leaves printable text only.
 */
#include <stdint.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/invariant.h"
#include "proxy/smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct slice part, struct slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        INVARIANT((unsigned char)s.p[i] >= 0x20 && (unsigned char)s.p[i] <= 0x7e);
}

static void check_mailbox(const struct mailbox *m, struct slice line)
{
    char normal[DOMAIN_MAX + 1];
    struct mailbox again;
    enum mailbox_status status;
    struct buf path;
    struct slice rest;

    INVARIANT(is_inside(m->path, line) && is_inside(m->local, m->path));
    INVARIANT(is_inside(m->domain, m->path));
    check_printable(m->path);
    if (m->domain.n > 0) {
        INVARIANT(m->path.n == m->local.n + 1 + m->domain.n);
        INVARIANT(m->is_literal || domain_normalise(m->domain, normal));
        INVARIANT(m->is_literal || domain_eq(m->domain, slice_str(normal)));
    }
    buf_init(&path, SIZE_MAX);
    INVARIANT(buf_addf(&path, "<%.*s>", SLICE_ARG(m->path)));
    status = mailbox_parse(buf_slice(&path), &again, &rest);
    INVARIANT(status == (m->path.n == 0     ? MAILBOX_EMPTY
                         : m->domain.n == 0 ? MAILBOX_NO_DOMAIN
                                            : MAILBOX_OK));
    INVARIANT(rest.n == 0 && slice_eq(again.path, m->path) && slice_eq(again.domain, m->domain));
    buf_clear(&path);
}

static void check_error(struct command_error e)
{
    INVARIANT(e.code == 501 || e.code == 555);
    INVARIANT(e.enh != NULL && e.enh[0] == '5' && e.text != NULL);
}

static void check_xforward(struct slice args)
{
    struct xforward x, before;

    memset(&x, 0, sizeof(x));
    before = x;
    if (command_xforward(args, &x).code != 0) {
        INVARIANT(memcmp(&x, &before, sizeof(x)) == 0);
        return;
    }
    check_printable(slice_str(x.name));
    check_printable(slice_str(x.addr));
    check_printable(slice_str(x.port));
    check_printable(slice_str(x.proto));
    check_printable(slice_str(x.helo));
    check_printable(slice_str(x.ident));
    check_printable(slice_str(x.source));
}

static void check_line(struct slice line)
{
    struct command c = command_parse(line);
    struct mail_params params;
    struct command_error e;
    struct mailbox m;

    INVARIANT(is_inside(c.args, line));
    if (c.verb == COMMAND_XFORWARD)
        check_xforward(c.args);
    e = command_mail(c.args, &m, &params);
    if (e.code != 0) {
        check_error(e);
    } else {
        check_mailbox(&m, line);
        INVARIANT(!params.smtputf8);
    }
    e = command_rcpt(c.args, &m);
    if (e.code != 0) {
        check_error(e);
    } else {
        check_mailbox(&m, line);
        INVARIANT(m.path.n > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line, rest = slice_of(data, size);

    while (slice_cut(rest, '\n', &line, &rest))
        check_line(line);
    check_line(line);
    return 0;
}
