/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      final_answer - the results of the legs as one honest reply (design: many recipients, one
 *      answer; C-RCPT-03)
 *
 * DESCRIPTION
 *      One part per leg, or per group of recipients that share a result.  One part: its reply,
 *      verbatim.  All of one class (2yz, 4yz or 5yz): one reply of that class, with a line for each
 *      part that names its domain and says its reply; the code and the enhanced code are those of
 *      the parts where they are the same, else 250 2.0.0, 451 4.0.0, 554 5.0.0.  They differ: 451
 *      4.3.0, the first line says so, and the lines.  Many parts: at most FINAL_ANSWER_LINES
 *      lines, the last says how many more there are; what went wrong comes before what went well.
 *      421 counts and is written as 451.  Pure.
 */
#ifndef TLSMEND_POLICY_FINAL_ANSWER_H
#define TLSMEND_POLICY_FINAL_ANSWER_H

#include "proxy/smtp/reply.h"

#define FINAL_ANSWER_LINES 20

struct final_part {
    const char *domain;
    const struct reply *reply; /* 2yz, 4yz or 5yz */
};

/* `out` is initialised.  True: the parts agree (are of one class). */
bool final_answer_make(const struct final_part *parts, size_t count, struct reply *out);

/* PRDR: the reply for the whole message behind those for each recipient.  2yz where one or more
 * were delivered: the others were answered already. */
void final_answer_prdr(const struct final_part *parts, size_t count, struct reply *out);

#endif
