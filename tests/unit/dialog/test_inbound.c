/* SPDX-License-Identifier: Apache-2.0 */
/* Transcripts of the client's side (inbound_transcript.h): SMTP, all but PRDR. */
#include "tests/unit/dialog/inbound_transcript.h"

static void test_order_of_commands(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-02: what EHLO offers", .text = "C: EHLO client.example\n" OFFERS QUIT},
        {.name = "C-IN-02: SIZE with a limit",
         .text = "C: ehlo c\nS: 250-relay.example\nS: 250-PIPELINING\nS: 250-8BITMIME\n"
                 "S: 250-ENHANCEDSTATUSCODES\nS: 250-SIZE 1000\n"
                 "S: 250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\nS: 250-PRDR\n"
                 "S: 250 LIMITS RCPTDOMAINMAX=1\n",
         .message_size = 1000},
        {.name = "C-IN-01: one mail behind HELO",
         .text = HELO FROM TO DATA "C: Subject: x\nC: \nC: hi\nC: .\n"
                                   "O: BODY Subject: x\\r\\n\\r\\nhi\\r\\n\n" TAKEN QUIT},
        {.name = "C-IN-01: RSET, NOOP, EHLO and HELO at any time",
         .text = "C: RSET\nS: 250 2.0.0 Ok\nC: NOOP\nS: 250 2.0.0 Ok\nC: noop anything\n"
                 "S: 250 2.0.0 Ok\n" HELO "C: EHLO [192.0.2.1]\n" OFFERS QUIT},
        {.name = "EHLO without a name",
         .text = "C: EHLO\nS: 501 5.5.4 Argument missing\n"
                 "C: HELO \nS: 501 5.5.4 Argument missing\n"},
        {.name = "MAIL before EHLO",
         .text = "C: MAIL FROM:<a@b.example>\nS: 503 5.5.1 Say EHLO or HELO first\n"
                 "C: RCPT TO:<a@b.example>\nS: 503 5.5.1 Say EHLO or HELO first\n"},
        {.name = "RCPT before MAIL",
         .text = HELO "C: RCPT TO:<a@b.example>\nS: 503 5.5.1 Need MAIL first\n"},
        {.name = "nested MAIL",
         .text = HELO FROM "C: MAIL FROM:<a@b.example>\nS: 503 5.5.1 Nested MAIL\n"
                           "C: QUIT\nS: 221 2.0.0 Bye\nO: RESET\nO: CLOSE\n"},
        {.name = "never offered: STARTTLS, AUTH, EXPN",
         .text = HELO "C: STARTTLS\nS: 502 5.5.1 Command not offered\n"
                      "C: AUTH PLAIN AGEAYg==\nS: 502 5.5.1 Command not offered\n"
                      "C: EXPN list\nS: 502 5.5.1 Command not offered\n"},
        {.name = "VRFY and HELP",
         .text = HELO "C: VRFY user\nS: 252 2.0.0 Only RCPT tells\n"
                      "C: VRFY\nS: 501 5.5.4 Argument missing\nC: HELP\n"
                      "S: 214 2.0.0 tlsmend relays mail over verified TLS: see "
                      "tlsmend(8)\n"},
        {.name = "unknown commands, and a line that begins with a blank",
         .text =
             HELO "C: XYZZY\nS: 500 5.5.2 Command not known\nC: \nS: 500 5.5.2 Command not known\n"
                  "C:  NOOP\nS: 500 5.5.2 Command not known\n"},
        {.name = "arguments where none are due",
         .text = HELO "C: QUIT now\nS: 501 5.5.4 No argument is allowed\n"
                      "C: RSET x\nS: 501 5.5.4 No argument is allowed\n"},
        {.name = "a chunk behind a refused BDAT is no command",
         .text = HELO "C: BDAT 27\nS: 502 5.5.1 BDAT is not offered\n"
                      "C. MAIL FROM:<x@y.example>\\r\\nab\nC: NOOP\nS: 250 2.0.0 Ok\n"
                      "C: BDAT x\nS: 502 5.5.1 BDAT is not offered\n" QUIT},
        {.name = "nothing is read behind QUIT", .text = HELO QUIT "C: NOOP\n"},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_recipients(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-03: replies in the order of the commands, whatever the order of the answers",
         .text = HELO FROM "C: RCPT TO:<ok1@b>\nC: RCPT TO:<late2@b>\nC: RCPT TO:<no3@b>\n"
                           "C: RCPT TO:<late4@b>\nC: RCPT TO:<many5@b>\n"
                           "O: RCPT ok1@b\nO: RCPT late2@b\nO: RCPT no3@b\nO: RCPT late4@b\n"
                           "O: RCPT many5@b\nS: 250 2.1.5 ok1\nS: 250 2.1.5 late\n"
                           "S: 550 5.1.1 no such user\nS: 250 2.1.5 late\nS: 250-2.1.5 one\n"
                           "S: 250 2.1.5 two\n"},
        {.name = "own refusals keep their place behind answers that are late",
         .text = HELO FROM "C: RCPT TO:<late1@b>\nC: RCPT TO:<broken\nC: RCPT\nC: NOOP\n"
                           "C: RCPT TO:<late2@b>\nC: XYZZY\n"
                           "O: RCPT late1@b\nO: RCPT late2@b\nS: 250 2.1.5 late\n"
                           "S: 501 5.1.3 Syntax: RCPT TO:<address>\nS: 501 5.5.4 Argument missing\n"
                           "S: 250 2.0.0 Ok\nS: 250 2.1.5 late\nS: 500 5.5.2 Command not known\n"},
        {.name = "C-IN-07: recipients_max counts those not refused",
         .text = HELO FROM "C: RCPT TO:<no1@b>\nC: RCPT TO:<late2@b>\nC: RCPT TO:<ok3@b>\n"
                           "C: RCPT TO:<ok4@b>\nC: RCPT TO:<ok5@b>\n"
                           "O: RCPT no1@b\nO: RCPT late2@b\nO: RCPT ok3@b\n"
                           "S: 550 5.1.1 no such user\nS: 250 2.1.5 late\nS: 250 2.1.5 ok3\n"
                           "S: 452 4.5.3 Too many recipients\nS: 452 4.5.3 Too many recipients\n",
         .recipients_max = 2},
        {.name = "C-IN-07: ... and apart from them, so many that are refused",
         .text = HELO FROM "C: RCPT TO:<no1@b>\nO: RCPT no1@b\nS: 550 5.1.1 no such user\n"
                           "C: RCPT TO:<no2@b>\nO: RCPT no2@b\nS: 550 5.1.1 no such user\n"
                           "C: RCPT TO:<ok3@b>\nS: 452 4.5.3 Too many recipients\n"
                           "C: RSET\nS: 250 2.0.0 Ok\nO: RESET\n" FROM
                           "C: RCPT TO:<ok4@b>\nO: RCPT ok4@b\nS: 250 2.1.5 ok4\n",
         .recipients_max = 2},
        {.name = "design 7: 421 of an MX is 451 for the client",
         .text = HELO FROM "C: RCPT TO:<dead@b>\nO: RCPT dead@b\nS: 451 4.3.2 going down\n"
                           "C: RCPT TO:<odd@b>\nO: RCPT odd@b\n"
                           "S: 451 4.5.0 tlsmend: the MX gave an answer that fits nothing\n"
                           "C: RCPT TO:<ctl@b>\nO: RCPT ctl@b\nS: 550 5.0.0 a?b?\n"},
        {.name = "MAIL refused: no transaction",
         .text = HELO "C: MAIL FROM:<mailno@a>\nO: MAIL <mailno@a>\nS: 550 5.7.1 not you\n"
                      "C: RCPT TO:<ok@b>\nS: 503 5.5.1 Need MAIL first\n"
                      "C: DATA\nS: 503 5.5.1 Need MAIL first\n"
                      "C: MAIL FROM:<maildead@a>\nO: MAIL <maildead@a>\nS: 451 4.3.0 closing\n" FROM
                      "C: RSET\nS: 250 2.0.0 Ok\nO: RESET\n"},
        {.name = "the transaction ends once: RSET",
         .text = HELO FROM TO "C: RSET\nS: 250 2.0.0 Ok\nO: RESET\n"
                              "C: RSET\nS: 250 2.0.0 Ok\n" QUIT},
        {.name = "the transaction ends once: EHLO",
         .text = HELO FROM TO "C: EHLO c\nO: RESET\n" OFFERS QUIT},
        {.name = "the transaction ends once: HELO", .text = HELO FROM TO "O: RESET\n" HELO QUIT},
        {.name = "the transaction ends once: QUIT behind a late answer",
         .text = HELO FROM "C: RCPT TO:<late@b>\nC: QUIT\nO: RCPT late@b\nS: 250 2.1.5 late\n"
                           "S: 221 2.0.0 Bye\nO: RESET\nO: CLOSE\n"},
        {.name = "C-IN-06: bytes that no address has",
         .text = HELO FROM "C: RCPT TO:<a\\rb@c.example>\n"
                           "S: 501 5.1.3 Control or 8-bit bytes in the recipient address\n"
                           "C: RCPT TO:<a\\nRCPT TO:<x@c.example>\n"
                           "S: 501 5.1.3 Control or 8-bit bytes in the recipient address\n"
                           "C: RCPT TO:<a\\x00@c.example>\n"
                           "S: 501 5.1.3 Control or 8-bit bytes in the recipient address\n"
                           "C: RCPT TO:<a\\xe4@c.example>\n"
                           "S: 501 5.1.3 Control or 8-bit bytes in the recipient address\n"
                           "C: NOOP \\x1b[31m\nS: 501 5.5.4 Control bytes in the command\n"},
        {.name = "C-IN-06: a bare LF ends no command",
         .text = "C: HELO a\\nMAIL FROM:<x@y>\nS: 501 5.5.4 Control bytes in the command\n"
                 "C: NOOP\\nQUIT\nS: 500 5.5.2 Command not known\n"
                 "C: RSET\\rQUIT\nS: 500 5.5.2 Command not known\n"
                 "C: \\x00NOOP\nS: 500 5.5.2 Command not known\n" HELO},
        {.name = "C-IN-06: parameters",
         .text =
             HELO "C: MAIL FROM:<a@b> FOO=1\nS: 555 5.5.4 Unsupported MAIL parameter\n"
                  "C: MAIL FROM:<@r:a@b> BODY=8BITMIME PRDR SIZE=5\nO: MAIL <a@b> PRDR 8BITMIME\n"
                  "S: 250 2.0.0 ok\n"},
        {.name = "SIZE over our own limit",
         .text = HELO "C: MAIL FROM:<a@b> SIZE=1001\n"
                      "S: 552 5.3.4 The message is larger than tlsmend is set to take\n" FROM,
         .message_size = 1000},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

#define REFUSED "S: 555 5.5.4 Unsupported MAIL parameter\n"

/* RFC 8689: to clients only where set, and only behind EHLO. */
static void test_requiretls(void **state)
{
    static const struct script scripts[] = {
        {.name = "offered and taken",
         .text = "C: EHLO client.example\n"
                 "S: 250-relay.example\nS: 250-PIPELINING\nS: 250-8BITMIME\n"
                 "S: 250-ENHANCEDSTATUSCODES\nS: 250-SIZE\n"
                 "S: 250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\nS: 250-PRDR\n"
                 "S: 250-REQUIRETLS\nS: 250 LIMITS RCPTDOMAINMAX=1\n"
                 "C: MAIL FROM:<s@a.example> BODY=8BITMIME requiretls\n"
                 "O: MAIL <s@a.example> 8BITMIME REQUIRETLS\nS: 250 2.0.0 ok\n"
                 "C: RSET\nO: RESET\nS: 250 2.0.0 Ok\n" FROM TO,
         .requiretls = true},
        {.name = "not with a value, not twice",
         .text = "C: HELO c\nS: 250 relay.example\n"
                 "C: MAIL FROM:<s@a.example> REQUIRETLS=YES\n"
                 "S: 501 5.5.4 Syntax error in a MAIL parameter\n"
                 "C: MAIL FROM:<s@a.example> REQUIRETLS REQUIRETLS\n"
                 "S: 501 5.5.4 MAIL parameter given twice\n",
         .requiretls = true},
        {.name = "not from a HELO client, also after an EHLO",
         .text = "C: HELO c\nS: 250 relay.example\n"
                 "C: MAIL FROM:<s@a.example> REQUIRETLS\n" REFUSED FROM,
         .requiretls = true},
        {.name = "C-IN-06: a parameter like any unknown one where it is not offered",
         .text = "C: EHLO c\n" OFFERS "C: MAIL FROM:<s@a.example> REQUIRETLS\n" REFUSED FROM TO},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_unasked_message(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-03: DATA behind refused recipients only, then commands",
         .text = HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n"
                                  "C: RSET\nS: 250 2.0.0 Ok\n" FROM TO DATA "C: .\n" TAKEN QUIT},
        {.name = "C-IN-03: ... then QUIT",
         .text = HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n" QUIT},
        {.name = "C-IN-03: ... then the next MAIL",
         .text = HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n" FROM TO},
        {.name = "C-IN-03: ... then a message: nothing in it is a command",
         .text =
             HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n"
                              "C: Subject: x\nC: MAIL FROM:<evil@a>\nC: RCPT TO:<ok@b>\nC: DATA\n"
                              "C: ..\nC. \\n.\\n\nC. \\r.\\r\nC: QUIT\nC: .\n"
                              "S: 554 5.5.1 No valid recipients: the message was dropped\n"
                              "C: NOOP\nS: 250 2.0.0 Ok\n" FROM TO},
        {.name = "C-IN-03: ... then an empty message",
         .text =
             HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\nC: .\n"
                              "S: 554 5.5.1 No valid recipients: the message was dropped\n" QUIT},
        {.name = "C-IN-03: ... then a message that begins with a word of ours",
         .text =
             HELO FROM NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n"
                              "C: Help me\nC: QUIT\nC: .\n"
                              "S: 554 5.5.1 No valid recipients: the message was dropped\n" QUIT},
        {.name = "C-IN-03: ... then a message with a first line that is too long",
         .text = HELO FROM NOBODY
         "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n"
         "C: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
         "C: QUIT\nC: .\nS: 554 5.5.1 No valid recipients: the message was dropped\n" QUIT,
         .line_max = 512},
        {.name = "DATA without RCPT, and without MAIL",
         .text = HELO "C: DATA\nS: 503 5.5.1 Need MAIL first\nC: From: x\nC: RSET\nC: .\n"
                      "S: 554 5.5.1 No valid recipients: the message was dropped\n" FROM
                      "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n" QUIT},
        {.name = "the owner refuses DATA",
         .text = HELO "C: MAIL FROM:<datano@a>\nO: MAIL <datano@a>\nS: 250 2.0.0 ok\n" TO
                      "C: DATA\nO: DATA\nS: 452 4.3.1 disk full\n" FROM TO DATA "C: .\n" TAKEN},
        {.name = "a 2yz to DATA is no leave to send",
         .text = HELO
         "C: MAIL FROM:<dataodd@a>\nO: MAIL <dataodd@a>\nS: 250 2.0.0 ok\n" TO
         "C: DATA\nO: DATA\nS: 451 4.5.0 tlsmend: the MX gave an answer that fits nothing\n"
         "C: text\nC: .\nS: 554 5.5.1 No valid recipients: the message was dropped\n"},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_message(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-05: dots",
         .text = HELO FROM TO DATA "C: ..\nC: ...a\nC: a.\nC: .b\nC: .\n"
                                   "O: BODY .\\r\\n..a\\r\\na.\\r\\nb\\r\\n\n" TAKEN QUIT},
        {.name = "an empty message, and the next mail behind it",
         .text = HELO FROM TO DATA "C: .\n" TAKEN FROM TO DATA
                                   "C: x\nC: .\nO: BODY x\\r\\n\n" TAKEN QUIT},
        {.name = "commands in a message are text",
         .text = HELO FROM TO DATA "C: QUIT\nC: RSET\nC: .\nO: BODY QUIT\\r\\nRSET\\r\\n\n" TAKEN},
        {.name = "C-IN-04: a bare LF is refused, said once",
         .text = HELO FROM TO DATA "C: a\nC: b\\nc\nC: d\\re\\x00\nC: .\n"
                                   "O: BODY a\\r\\nb\nO: BAD\n" TAKEN QUIT},
        {.name = "C-IN-04: no other end of data",
         .text = HELO FROM TO DATA "C: a\nC. .\\n\nC: MAIL FROM:<x@y>\nC. \\n.\\n\nC: x\nC: .\n"
                                   "O: BODY a\\r\\n\nO: BAD\n" TAKEN QUIT},
        {.name = "C-IN-04: normalised",
         .text =
             HELO FROM TO DATA "C: b\\nc\nC. x\\n.\\r\\n\nC: d\\re\nC: .\n"
                               "O: BODY b\\r\\nc\\r\\nx\\r\\n.\\r\\nd\\r\\ne\\r\\n\n" TAKEN QUIT,
         .mode = DATA_NORMALISE},
        {.name = "a message over message_size",
         .text = HELO FROM TO DATA "C: 12345\nC: .\nO: BODY 12345\\r\\n\n" TAKEN FROM TO DATA
                                   "C: 123456\nC: 7\nC: .\n"
                                   "O: BODY 123456\\r\nO: BIG\n" TAKEN QUIT,
         .message_size = 7},
        {.name = "a message that reaches message_size at a border",
         .text = HELO FROM TO DATA "C: 123456\nC: .\nO: BODY 123456\nO: BIG\n" TAKEN QUIT,
         .message_size = 6},
        {.name = "the final reply: refused, and 421",
         .text = HELO "C: MAIL FROM:<endno@a>\nO: MAIL <endno@a>\nS: 250 2.0.0 ok\n" TO DATA
                      "C: .\nO: END\nS: 554 5.7.1 spam\n"
                      "C: MAIL FROM:<enddead@a>\nO: MAIL <enddead@a>\nS: 250 2.0.0 ok\n" TO DATA
                      "C: .\nO: END\nS: 451 4.3.0 closing\n" QUIT},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

static void test_errors(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-IN-07: too many errors",
         .text =
             HELO "C: X\nS: 500 5.5.2 Command not known\nC: MAIL\nS: 501 5.5.4 Argument missing\n"
                  "C: X\nS: 421 4.7.0 Too many errors\nO: CLOSE\nC: NOOP\n",
         .errors_max = 2},
        {.name = "C-IN-07: ... in a transaction",
         .text =
             HELO FROM "C: X\nS: 500 5.5.2 Command not known\nC: X\nS: 421 4.7.0 Too many errors\n"
                       "O: RESET\nO: CLOSE\n",
         .errors_max = 1},
        {.name = "C-IN-07: refused recipients are no errors, and a delivery clears the account",
         .text = HELO "C: X\nS: 500 5.5.2 Command not known\n" FROM NOBODY NOBODY NOBODY TO DATA
                      "C: .\n" TAKEN "C: X\nS: 500 5.5.2 Command not known\n" QUIT,
         .errors_max = 1},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_commands), cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_requiretls),        cmocka_unit_test(test_unasked_message),
        cmocka_unit_test(test_message),           cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
