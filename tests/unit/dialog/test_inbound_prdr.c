/* SPDX-License-Identifier: Apache-2.0 */
/* Transcripts of the client's side (inbound_transcript.h): PRDR as Exim speaks it. */
#include "tests/unit/dialog/inbound_transcript.h"

#define EHLO "C: EHLO c\n" OFFERS
#define PRDR "C: MAIL FROM:<s@a> PRDR\nO: MAIL <s@a> PRDR\nS: 250 2.0.0 ok\n"
#define PRDR_OF(name) "C: MAIL FROM:<" name "@a> PRDR\nO: MAIL <" name "@a> PRDR\nS: 250 2.0.0 ok\n"
#define RCPT_OK(name) "C: RCPT TO:<" name "@b>\nO: RCPT " name "@b\nS: 250 2.1.5 " name "\n"
#define BODY "C: x\nC: .\nO: BODY x\\r\\n\nO: END\n"
#define FOLLOWS "S: 353 One reply for each recipient follows\n"
#define EACH_OK(name) "S: 250 2.1.5 " name "\n"
#define NOT_HERE "S: 554 5.7.1 not here\n"
#define NOT_NOW "S: 451 4.2.0 not now\n"
#define ALL "S: 250 2.0.0 taken\n"
#define ALL_BUT "S: 250 2.0.0 The reply to each recipient counts\n"

static void test_replies(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-RCPT-02: 353, one reply for each accepted recipient in order, one for all",
         .text = EHLO PRDR RCPT_OK("ok1") NOBODY RCPT_OK("eachno") RCPT_OK("eachlater")
             NOBODY RCPT_OK("ok4") DATA BODY FOLLOWS EACH_OK("ok1") NOT_HERE NOT_NOW EACH_OK("ok4")
                 ALL QUIT},
        {.name = "C-RCPT-02: with one accepted recipient there is one reply",
         .text = EHLO PRDR NOBODY RCPT_OK("ok1") NOBODY DATA BODY ALL FROM NOBODY QUIT_IN_MAIL},
        {.name = "C-RCPT-02: and without PRDR, also behind a mail with it",
         .text = EHLO PRDR RCPT_OK("ok1") RCPT_OK("ok2") DATA BODY FOLLOWS EACH_OK("ok1")
             EACH_OK("ok2") ALL FROM RCPT_OK("ok1") RCPT_OK("ok2") DATA BODY ALL QUIT},
        {.name = "C-RCPT-02: RSET takes PRDR away",
         .text = EHLO PRDR RCPT_OK("ok1")
             RCPT_OK("ok2") "C: RSET\nO: RESET\nS: 250 2.0.0 Ok\n" FROM RCPT_OK("ok1")
                 RCPT_OK("ok2") DATA BODY ALL PRDR RCPT_OK("ok1") RCPT_OK("eachno")
                     DATA BODY FOLLOWS EACH_OK("ok1") NOT_HERE ALL QUIT},
        {.name = "design 7: 421 and what fits nothing are 451 in each; lines stay",
         .text = EHLO PRDR RCPT_OK("eachdead") RCPT_OK("eachodd") RCPT_OK("eachmany")
             DATA BODY FOLLOWS "S: 451 4.3.2 going down\n"
                               "S: 451 4.5.0 tlsmend: the MX gave an answer that fits nothing\n"
                               "S: 250-2.6.0 one\nS: 250 2.6.0 two\n" ALL QUIT},
        {.name = "C-RCPT-02: 4yz for all where none heard 2yz, 5yz where all heard 5yz",
         .text = EHLO PRDR_OF("enddead") RCPT_OK("eachno") RCPT_OK("eachlater")
             DATA BODY FOLLOWS NOT_HERE NOT_NOW "S: 451 4.3.0 closing\n" PRDR_OF("endno")
                 RCPT_OK("eachno1") RCPT_OK("eachno2") DATA BODY FOLLOWS NOT_HERE NOT_HERE
         "S: 554 5.7.1 spam\n" QUIT},
        {.name = "C-RCPT-02: never a reply for all that undoes one for a recipient",
         .text = EHLO PRDR_OF("enddead") RCPT_OK("eachno") RCPT_OK("ok2")
             DATA BODY FOLLOWS NOT_HERE EACH_OK("ok2") ALL_BUT PRDR_OF("endno") RCPT_OK("eachno1")
                 RCPT_OK("eachlater") DATA BODY FOLLOWS NOT_HERE NOT_NOW ALL_BUT PRDR_OF("endno")
                     RCPT_OK("ok1") RCPT_OK("eachno2") DATA BODY FOLLOWS EACH_OK("ok1")
                         NOT_HERE ALL_BUT QUIT},
        {.name = "C-IN-04: a message that is refused has its replies all the same",
         .text = EHLO PRDR_OF("endno") RCPT_OK("eachno1") RCPT_OK("eachno2") DATA
         "C: a\\nb\nC: .\nO: BODY a\nO: BAD\nO: END\n" FOLLOWS NOT_HERE NOT_HERE
         "S: 554 5.7.1 spam\n" QUIT},
        {.name = "C-IN-07: a delivery clears the account of errors, none does not",
         .text = EHLO "C: X\nS: 500 5.5.2 Command not known\n" PRDR RCPT_OK("ok1") RCPT_OK("eachno")
             DATA BODY FOLLOWS EACH_OK("ok1") NOT_HERE ALL
         "C: X\nS: 500 5.5.2 Command not known\n" PRDR RCPT_OK("eachno1") RCPT_OK("eachno2")
             DATA BODY FOLLOWS NOT_HERE NOT_HERE ALL
         "C: X\nS: 421 4.7.0 Too many errors\nO: CLOSE\n",
         .errors_max = 1},
        {.name = "C-IN-03: only refused recipients: 554, and a message all the same has one reply",
         .text = EHLO PRDR NOBODY NOBODY "C: DATA\nS: 554 5.5.1 No valid recipients\nO: RESET\n"
                                         "C: Subject: x\nC: QUIT\nC: .\n"
                                         "S: 554 5.5.1 No valid recipients: the message was "
                                         "dropped\n" QUIT},
    };

    (void)state;
    RUN_SCRIPTS(scripts);
}

/* An owner that gives one answer: it is the answer for each, and for all. */
static void test_one_for_all(void **state)
{
    static const struct script scripts[] = {
        {.name = "C-RCPT-02: PRDR, two of three accepted",
         .text = EHLO PRDR TO NOBODY TO DATA "C: .\nO: END\n" FOLLOWS ALL ALL ALL FROM TO TO DATA
                                             "C: .\n" TAKEN PRDR_OF("enddead") TO TO DATA
         "C: .\nO: END\n" FOLLOWS
         "S: 451 4.3.0 closing\nS: 451 4.3.0 closing\nS: 451 4.3.0 closing\n" PRDR_OF("endno")
             TO TO DATA "C: .\nO: END\n" FOLLOWS
                        "S: 554 5.7.1 spam\nS: 554 5.7.1 spam\nS: 554 5.7.1 spam\n",
         .one_for_all = true}};

    (void)state;
    RUN_SCRIPTS(scripts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_one_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
