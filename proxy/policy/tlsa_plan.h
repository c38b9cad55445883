/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      tlsa_plan - does DANE apply to an MX host, and which TLSA records are its own (RFC 7672 2.1, 2.2)
 *
 * SYNOPSIS
 *      tlsa_plan_init(&p, host, port, mx_secure || half_dane, validating);
 *      while ((ask = tlsa_plan_next(&p)).type != TLSA_ASK_DONE)
 *          ... look ask.name up, tlsa_plan_answer(&p, &answer) ...
 *      p.state, p.base, p.records say the rest
 *
 * DESCRIPTION
 *      A machine without DNS: it says what to ask next and is told the answers.  The address look-up
 *      is done by the caller anyway, so its answer is handed in first.  C-DANE-02, 03, 08:
 *      - MX not secure (and no half_dane): DANE_INSECURE, nothing is asked.
 *      - A/AAAA secure: TLSA at the fully expanded name (where the host is an alias), then at the
 *        original name.
 *      - A/AAAA not secure and the host is an alias: the CNAMEs are asked for one by one; only
 *        where each of them is secure are the expanded and the original name asked for TLSA; where only the
 *        first ones are, the original alone.  Else DANE_INSECURE.
 *      - A TLSA look-up that fails (SERVFAIL, timeout, bogus): DANE_FAILED, never "no DANE".
 *      - A TLSA RRset that is not secure counts as absent, whatever it says.
 */
#ifndef TLSMEND_POLICY_TLSA_PLAN_H
#define TLSMEND_POLICY_TLSA_PLAN_H

#include "proxy/policy/tlsa.h"
#include "proxy/smtp/mailbox.h"

enum dane_state {
    DANE_OFF,      /* answers are not validated here */
    DANE_INSECURE, /* MX or addresses are not signed: no DANE */
    DANE_ABSENT,   /* signed, and there are no TLSA records */
    DANE_USABLE,   /* TLSA records, at least one usable */
    DANE_UNUSABLE, /* TLSA records, none usable: TLS is owed, authentication is not */
    DANE_FAILED,   /* the look-up failed: the host must not be used */
    DANE_STATE_COUNT
};

const char *dane_state_name(enum dane_state s); /* "off", "insecure", "absent", "usable", ... */

enum tlsa_ask_type { TLSA_ASK_ADDRESS, TLSA_ASK_CNAME, TLSA_ASK_TLSA, TLSA_ASK_DONE };

struct tlsa_ask {
    enum tlsa_ask_type type;
    const char *name; /* "_25._tcp.mx.example.com"; lives until the next call */
};

enum tlsa_answer_status {
    TLSA_ANSWER_RECORDS,
    TLSA_ANSWER_NONE /* NODATA, NXDOMAIN */,
    TLSA_ANSWER_FAILED
};

struct tlsa_answer {
    enum tlsa_answer_status status;
    bool secure;               /* the denial too; A and AAAA together: all that have records */
    const char *canonical;     /* ADDRESS: the name behind all CNAMEs; CNAME: its target */
    const struct slice *rdata; /* TLSA */
    size_t count;
};

#define TLSA_RECORDS_MAX 64 /* further records of an RRset are not read */
#define TLSA_NAME_MAX 300
#define TLSA_CNAMES_MAX 8

struct tlsa_plan {
    enum dane_state state; /* in the end */
    char base
        [DOMAIN_MAX +
         3]; /* the name whose TLSA records were found: SNI and reference name (C-DANE-03); else the host */
    char detail[160]; /* a clause for log and reply: which look-up failed, why not secure */
    struct tlsa_record
        *records; /* DANE_USABLE, DANE_UNUSABLE: all of them, with their own copy of the data */
    size_t record_count, usable_count;

    /* inside */
    char host[DOMAIN_MAX + 3], expanded[DOMAIN_MAX + 3], ask[TLSA_NAME_MAX];
    unsigned port, step, cnames;
    bool mx_secure, validating;
    unsigned char *data;
};

void tlsa_plan_init(struct tlsa_plan *p, const char *host, unsigned port, bool mx_secure,
                    bool validating);
struct tlsa_ask tlsa_plan_next(struct tlsa_plan *p);
void tlsa_plan_answer(struct tlsa_plan *p, const struct tlsa_answer *a);
/* At the end: the records and their data are yours, by free(). */
void tlsa_plan_give(struct tlsa_plan *p, struct tlsa_record **records, unsigned char **data);
void tlsa_plan_clear(struct tlsa_plan *p);

#endif
