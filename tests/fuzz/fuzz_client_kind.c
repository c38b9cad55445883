/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands, a line each, and the same bytes as a Received field.  Properties: a kind is named only where
 * its own words stand in the input; what was found in a field does not turn into another kind by the
 * order of commands, by cutting, or by text in a comment before it; commands name no kind but the three
 * that have habits of their own.
 */
#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/invariant.h"
#include "proxy/smtp/client_kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_received(struct slice in, size_t cut)
{
    static const char *const words[] = {
        [CLIENT_POSTFIX] = "(Postfix",      [CLIENT_EXIM] = "(Exim ",  [CLIENT_SENDMAIL] = "/",
        [CLIENT_OPENSMTPD] = "(OpenSMTPD)", [CLIENT_QMAIL] = "(qmail", [CLIENT_EXCHANGE] = "with"};
    enum client_kind k = client_kind_of_received(in), again;
    struct buf commented;

    (void)client_kind_of_received(slice_first(in, cut));
    INVARIANT(k <= CLIENT_EXCHANGE && client_kind_name(k) != NULL);
    if (k != CLIENT_UNKNOWN)
        INVARIANT(slice_ihas(in, slice_str(words[k])));
    /* A comment in front hides the field of qmail, which begins with one, and changes no other. */
    buf_init(&commented, SIZE_MAX);
    INVARIANT(buf_add(&commented, SLICE("(by x (Exim 4.96) \\) id 1)")) && buf_add(&commented, in));
    again = client_kind_of_received(buf_slice(&commented));
    INVARIANT(again == (k == CLIENT_QMAIL ? CLIENT_UNKNOWN : k));
    buf_clear(&commented);
}

/* Signs add up: the order of the commands is no sign. */
static void check_commands(struct slice in)
{
    struct client_signs s = {.seen = 0}, twice = {.seen = 0};
    struct slice line, rest = in;
    bool more = true;

    while (more) {
        more = slice_cut(rest, '\n', &line, &rest);
        client_signs_command(&s, line);
        client_signs_command(&twice, line);
        client_signs_command(&twice, line);
        INVARIANT(client_signs_kind(&s) == client_signs_kind(&twice));
        INVARIANT(client_signs_kind(&s) <= CLIENT_SENDMAIL);
    }
    client_signs_command(&twice, SLICE("mail from: <x>"));
    INVARIANT(client_signs_kind(&twice) == CLIENT_UNKNOWN);
    if (client_signs_kind(&s) == CLIENT_EXIM)
        INVARIANT(slice_ihas(in, SLICE("PRDR")));
    if (client_signs_kind(&s) == CLIENT_POSTFIX)
        INVARIANT(slice_ihas(in, SLICE("XFORWARD ")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);

    check_received(in, size > 0 ? data[0] : 0);
    check_commands(in);
    return 0;
}
