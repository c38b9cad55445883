/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      command - the client's command lines (RFC 5321 4.1.1, RFC 2033, RFC 1870, RFC 6152, RFC 8689,
 *      XFORWARD, PRDR)
 *
 * DESCRIPTION
 *      Pure.  One line without its CRLF goes in; slices of the result point into it.
 */
#ifndef TLSMEND_SMTP_COMMAND_H
#define TLSMEND_SMTP_COMMAND_H

#include <stdint.h>

#include "proxy/smtp/mailbox.h"

enum command_verb {
    COMMAND_UNKNOWN,
    COMMAND_HELO,
    COMMAND_EHLO,
    COMMAND_LHLO, /* RFC 2033 */
    COMMAND_MAIL,
    COMMAND_RCPT,
    COMMAND_DATA,
    COMMAND_RSET,
    COMMAND_NOOP,
    COMMAND_QUIT,
    COMMAND_VRFY,
    COMMAND_EXPN,
    COMMAND_HELP,
    COMMAND_XFORWARD,
    COMMAND_BDAT,
    COMMAND_STARTTLS,
    COMMAND_AUTH,
};

struct command {
    enum command_verb verb;
    struct slice args; /* after the verb and its blanks */
};

struct command command_parse(struct slice line);

enum body_type { BODY_UNSAID, BODY_7BIT, BODY_8BITMIME };

struct mail_params {
    bool has_size;
    uint64_t size;
    enum body_type body;
    bool prdr;
    bool requiretls; /* RFC 8689; whether it was offered is the dialogue's to say */
    bool smtputf8;   /* asked for; never offered, so the answer is 555 as well */
};

/* What is wrong with MAIL or RCPT, as the reply to give. */
struct command_error {
    int code; /* 0: nothing is wrong */
    const char *enh;
    const char *text;
};

struct command_error command_mail(struct slice args, struct mailbox *sender,
                                  struct mail_params *params);
/* <postmaster> without domain is accepted as a mailbox with an empty domain (RFC 5321 4.5.1). */
struct command_error command_rcpt(struct slice args, struct mailbox *recipient);

/* XFORWARD attributes (Postfix XFORWARD_README); xtext-decoded, "[UNAVAILABLE]" is left empty.
 * Control and 8-bit bytes inside xtext are a syntax error; a value that is too long is cut.  *io
 * keeps what earlier XFORWARD commands said, and is unchanged on error. */
struct xforward {
    char name[256], addr[128], port[8], proto[16], helo[256], ident[128], source[16];
};
struct command_error command_xforward(struct slice args, struct xforward *io);

#endif
