/* SPDX-License-Identifier: Apache-2.0 */
/* inbound_commands - the command table of the client's side; see inbound.h for the contract. */
#include <stdlib.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HELO_MAX 255
#define XFORWARD_OFFER "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

typedef enum inbound_event command_fn(struct inbound *in, struct slice args,
                                      struct inbound_what *what);

enum args { ARGS_NONE, ARGS_NEEDED, ARGS_ANY };

static command_fn cmd_hello, cmd_xforward, cmd_mail, cmd_rcpt, cmd_data, cmd_rset, cmd_noop,
    cmd_quit, cmd_vrfy, cmd_help, cmd_bdat, cmd_refused;

/* Errors of order and of arguments are answered by the walker: a function sees only a command that
 * is in order.  `alike`: how the arguments begin where the line is believed to be a command and not
 * the first line of a message (NULL: never believed with arguments). */
static const struct command_rule {
    enum command_verb verb;
    unsigned when;  /* phases in which it is in order; else 503 */
    enum args args; /* else 501 */
    command_fn *run;
    const char *alike;
    const char *out_of_order;
} commands[] = {
    /* clang-format off */
    {COMMAND_EHLO,     IN_ANY,             ARGS_NEEDED, cmd_hello,    "",      NULL},
    {COMMAND_HELO,     IN_ANY,             ARGS_NEEDED, cmd_hello,    "",      NULL},
    {COMMAND_LHLO,     IN_ANY,             ARGS_NEEDED, cmd_hello,    "",      NULL},
    {COMMAND_XFORWARD, IN_START | IN_IDLE, ARGS_NEEDED, cmd_xforward, "",      "In a transaction"},
    {COMMAND_MAIL,     IN_IDLE,            ARGS_NEEDED, cmd_mail,     "FROM:", "Nested MAIL"},
    {COMMAND_RCPT,     IN_MAIL,            ARGS_NEEDED, cmd_rcpt,     "TO:",   "Need MAIL first"},
    {COMMAND_DATA,     IN_MAIL,            ARGS_NONE,   cmd_data,     NULL,    "Need MAIL first"},
    {COMMAND_RSET,     IN_ANY,             ARGS_NONE,   cmd_rset,     NULL,    NULL},
    {COMMAND_NOOP,     IN_ANY,             ARGS_ANY,    cmd_noop,     NULL,    NULL},
    {COMMAND_QUIT,     IN_ANY,             ARGS_NONE,   cmd_quit,     NULL,    NULL},
    {COMMAND_VRFY,     IN_ANY,             ARGS_NEEDED, cmd_vrfy,     NULL,    NULL},
    {COMMAND_EXPN,     IN_ANY,             ARGS_ANY,    cmd_refused,  NULL,    NULL},
    {COMMAND_HELP,     IN_ANY,             ARGS_ANY,    cmd_help,     NULL,    NULL},
    {COMMAND_BDAT,     IN_ANY,             ARGS_ANY,    cmd_bdat,     NULL,    NULL},
    {COMMAND_STARTTLS, IN_ANY,             ARGS_ANY,    cmd_refused,  NULL,    NULL},
    {COMMAND_AUTH,     IN_ANY,             ARGS_ANY,    cmd_refused,  "",      NULL},
    /* clang-format on */
};

static const struct command_rule *rule_of(enum command_verb verb)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].verb == verb)
            return &commands[i];
    return NULL;
}

/* The end of the session, and of the transaction if there was one: the owner hears both. */
static enum inbound_event close_session(struct inbound *in)
{
    bool open = in->phase == IN_MAIL;

    if (open)
        inbound_end_transaction(in);
    in->phase = IN_CLOSED;
    return open ? INBOUND_RESET : INBOUND_CLOSE;
}

/* An error of the client's syntax or order.  Refused recipients are none: a list with old addresses
 * is no abuse (C-IN-07). */
static enum inbound_event fail(struct inbound *in, int code, const char *enh, const char *text)
{
    if (++in->errors > in->params.errors_max) {
        inbound_say(in, 421, "4.7.0", "Too many errors");
        return close_session(in);
    }
    inbound_say(in, code, enh, text);
    return INBOUND_NEED_INPUT;
}

/* LMTP: no PRDR, for each recipient has its reply anyhow; and no LIMITS RCPTDOMAINMAX, for a client
 * that splits mail by domain gains nothing by it where no reply stands for several recipients. */
static void write_offers(struct inbound *in)
{
    const char *requiretls = in->params.requiretls ? "250-REQUIRETLS\r\n" : "";

    INVARIANT(buf_addf(&in->output,
                       "250-%s\r\n"
                       "250-PIPELINING\r\n"
                       "250-8BITMIME\r\n"
                       "250-ENHANCEDSTATUSCODES\r\n"
                       "250-SIZE",
                       in->params.helo_name));
    if (in->params.message_size != 0)
        INVARIANT(buf_addf(&in->output, " %llu", (unsigned long long)in->params.message_size));
    if (in->params.lmtp)
        INVARIANT(buf_addf(&in->output, "\r\n%s250 " XFORWARD_OFFER "\r\n", requiretls));
    else
        INVARIANT(buf_addf(&in->output,
                           "\r\n"
                           "250-" XFORWARD_OFFER "\r\n"
                           "250-PRDR\r\n"
                           "%s"
                           "250 LIMITS RCPTDOMAINMAX=1\r\n",
                           requiretls));
}

static enum inbound_event cmd_hello(struct inbound *in, struct slice args,
                                    struct inbound_what *what)
{
    struct slice line = buf_slice(&in->line);
    bool lhlo = slice_istarts(line, SLICE("LHLO"));
    bool open = in->phase == IN_MAIL;
    struct slice name;

    (void)what;
    if (lhlo && !in->params.lmtp)
        return fail(in, 500, "5.5.1", "This is SMTP: say EHLO or HELO");
    if (!lhlo && in->params.lmtp) /* RFC 2033 4.1: never 2yz, best 500 */
        return fail(in, 500, "5.5.1", "This is LMTP: say LHLO");
    in->esmtp = lhlo || slice_istarts(line, SLICE("EHLO"));
    (void)slice_word(&args, &name);
    name = slice_first(name, HELO_MAX);
    free(in->helo);
    in->helo = mem_zalloc(name.n + 1);
    for (size_t i = 0; i < name.n; i++) /* for records: printable, one word */
        in->helo[i] = name.p[i] > 0x20 && name.p[i] < 0x7f ? name.p[i] : '?';
    inbound_end_transaction(in);
    if (in->esmtp)
        write_offers(in);
    else
        INVARIANT(buf_addf(&in->output, "250 %s\r\n", in->params.helo_name));
    return open ? INBOUND_RESET : INBOUND_NEED_INPUT;
}

static void forget_old_xforward(struct inbound *in)
{
    if (in->xforward_stale && in->xforward != NULL)
        *in->xforward = (struct xforward){.name = ""};
    in->xforward_stale = false;
}

static enum inbound_event cmd_xforward(struct inbound *in, struct slice args,
                                       struct inbound_what *what)
{
    struct command_error e;

    (void)what;
    forget_old_xforward(in);
    if (in->xforward == NULL)
        in->xforward = mem_zalloc(sizeof(*in->xforward));
    e = command_xforward(args, in->xforward);
    if (e.code != 0)
        return fail(in, e.code, e.enh, e.text);
    inbound_say(in, 250, "2.0.0", "Ok");
    return INBOUND_NEED_INPUT;
}

static enum inbound_event cmd_mail(struct inbound *in, struct slice args, struct inbound_what *what)
{
    struct command_error e = command_mail(args, &what->mailbox, &what->params);

    if (e.code != 0)
        return fail(in, e.code, e.enh, e.text);
    /* Not offered to this client, and so a parameter like any unknown one (C-IN-06). */
    if (what->params.requiretls && !(in->params.requiretls && in->esmtp))
        return fail(in, 555, "5.5.4", "Unsupported MAIL parameter");
    if (what->params.prdr && in->params.lmtp)
        return fail(in, 555, "5.5.4", "Unsupported MAIL parameter");
    if (in->params.message_size != 0 && what->params.size > in->params.message_size) {
        inbound_say(in, 552, "5.3.4", "The message is larger than tlsmend is set to take");
        return INBOUND_NEED_INPUT;
    }
    forget_old_xforward(in);
    in->prdr = what->params.prdr;
    in->phase = IN_MAIL_ASKED;
    return INBOUND_MAIL;
}

static enum inbound_event cmd_rcpt(struct inbound *in, struct slice args, struct inbound_what *what)
{
    struct command_error e = command_rcpt(args, &what->mailbox);
    unsigned unanswered = in->recipients - in->accepted;

    /* As if all that wait were refused: the answer must not hang on when theirs come. */
    if (e.code == 0 && in->recipients < in->params.recipients_max &&
        in->refused + unanswered < in->params.recipients_max) {
        if (in->slot_count == INBOUND_RCPT_AHEAD)
            return INBOUND_WAIT;
        in->recipients++;
        what->slot = inbound_slot_take(in);
        return INBOUND_RCPT;
    }
    if (in->slot_count > 0)
        return INBOUND_WAIT; /* our reply comes behind theirs */
    if (e.code != 0)
        return fail(in, e.code, e.enh, e.text);
    inbound_say(in, 452, "4.5.3", "Too many recipients"); /* RFC 5321 4.5.3.1.10 */
    return INBOUND_NEED_INPUT;
}

static enum inbound_event cmd_data(struct inbound *in, struct slice args, struct inbound_what *what)
{
    (void)args;
    (void)what;
    if (in->accepted > 0) {
        in->phase = IN_DATA_ASKED;
        return INBOUND_DATA;
    }
    /* C-IN-03.  The transaction is over: nothing could come of it any more.  RFC 2033 4.2: 503. */
    inbound_data_refused(in);
    inbound_say(in, in->params.lmtp ? 503 : 554, "5.5.1", "No valid recipients");
    inbound_end_transaction(in);
    return INBOUND_RESET;
}

static enum inbound_event cmd_rset(struct inbound *in, struct slice args, struct inbound_what *what)
{
    bool open = in->phase == IN_MAIL;

    (void)args;
    (void)what;
    inbound_say(in, 250, "2.0.0", "Ok");
    in->xforward_stale = true;
    if (open)
        inbound_end_transaction(in);
    return open ? INBOUND_RESET : INBOUND_NEED_INPUT;
}

static enum inbound_event cmd_noop(struct inbound *in, struct slice args, struct inbound_what *what)
{
    (void)args;
    (void)what;
    inbound_say(in, 250, "2.0.0", "Ok");
    return INBOUND_NEED_INPUT;
}

static enum inbound_event cmd_quit(struct inbound *in, struct slice args, struct inbound_what *what)
{
    (void)args;
    (void)what;
    inbound_say(in, 221, "2.0.0", "Bye");
    return close_session(in);
}

static enum inbound_event cmd_vrfy(struct inbound *in, struct slice args, struct inbound_what *what)
{
    (void)args;
    (void)what;
    inbound_say(in, 252, "2.0.0", "Only RCPT tells"); /* RFC 5321 3.5.3 */
    return INBOUND_NEED_INPUT;
}

static enum inbound_event cmd_help(struct inbound *in, struct slice args, struct inbound_what *what)
{
    (void)args;
    (void)what;
    inbound_say(in, 214, "2.0.0", "tlsmend relays mail over verified TLS: see tlsmend(8)");
    return INBOUND_NEED_INPUT;
}

/* RFC 3030 2: the chunk follows at once, also behind a refusal; it is dropped, not read as
 * commands. */
static enum inbound_event cmd_bdat(struct inbound *in, struct slice args, struct inbound_what *what)
{
    unsigned long long size;
    struct slice word;

    (void)what;
    if (slice_word(&args, &word) && slice_u64(word, UINT64_MAX, &size))
        in->chunk = size;
    return fail(in, 502, "5.5.1", "BDAT is not offered");
}

static enum inbound_event cmd_refused(struct inbound *in, struct slice args,
                                      struct inbound_what *what)
{
    (void)args;
    (void)what;
    return fail(in, 502, "5.5.1", "Command not offered");
}

static bool has_control_bytes(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* Behind a refused DATA: a command, or the first line of a message sent all the same? */
static bool looks_like_command(const struct inbound *in, const struct command *c)
{
    const struct command_rule *rule = rule_of(c->verb);

    if (in->line_too_long || rule == NULL || has_control_bytes(buf_slice(&in->line)))
        return false;
    if (c->args.n == 0)
        return rule->args != ARGS_NEEDED;
    return rule->alike != NULL && slice_istarts(c->args, slice_str(rule->alike));
}

static enum inbound_event out_of_order(struct inbound *in, const struct command_rule *rule)
{
    const char *say_hello = in->params.lmtp ? "Say LHLO first" : "Say EHLO or HELO first";
    bool hello = in->phase == IN_START && rule->verb != COMMAND_XFORWARD;

    if (rule->verb == COMMAND_DATA)
        inbound_data_refused(in);
    return fail(in, 503, "5.5.1", hello ? say_hello : rule->out_of_order);
}

enum inbound_event inbound_run_line(struct inbound *in, struct inbound_what *what)
{
    struct command c = command_parse(buf_slice(&in->line));
    const struct command_rule *rule = rule_of(c.verb);
    bool may_pass = c.verb == COMMAND_RCPT && c.args.n > 0 && !in->line_too_long;
    unsigned errors = in->errors;
    enum inbound_event ev;

    /* RFC 2920 3.1: only RCPT goes on while replies to RCPT are still to come. */
    if (in->slot_count > 0 && !may_pass)
        return INBOUND_WAIT;
    if (in->doubt && !looks_like_command(in, &c)) {
        inbound_swallow_line(in);
        return INBOUND_NEED_INPUT;
    }
    in->doubt = false;
    if (in->line_too_long)
        return fail(in, 500, "5.5.2", "Line too long");
    if (rule == NULL)
        return fail(in, 500, "5.5.2", "Command not known");
    if (!(rule->when & in->phase))
        return out_of_order(in, rule);
    if (rule->args == ARGS_NEEDED && c.args.n == 0)
        return fail(in, 501, "5.5.4", "Argument missing");
    if (rule->args == ARGS_NONE && c.args.n > 0)
        return fail(in, 501, "5.5.4", "No argument is allowed");
    if (c.verb != COMMAND_RCPT && has_control_bytes(c.args)) /* cmd_rcpt() sees to its own */
        return fail(in, 501, "5.5.4", "Control bytes in the command");
    ev = rule->run(in, c.args, what);
    if (ev != INBOUND_WAIT && in->errors == errors)
        client_signs_command(&in->signs, buf_slice(&in->line));
    return ev;
}
