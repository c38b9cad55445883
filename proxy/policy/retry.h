/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      retry - is a transaction the retry of one that ended with mixed results? (C-RCPT-01 to 06)
 *
 * DESCRIPTION
 *      Over plain SMTP a message has one final reply.  Where the destinations of a transaction
 *      differed, the client heard 451 and the ledger (store/ledger) remembers, by sender, recipient
 *      and digest, what became of each recipient.  When a recipient is named again, its message is not
 *      there yet: only signs tell whether it is the same one.  Here is what follows from them, as
 *      a table.  Pure.
 *
 *      - Delivered then: the recipient is accepted, and its leg is HELD: fed, but not given the
 *        final dot before the digests were compared.  That is exact, so no sign is needed.
 *      - Deferred, and on the retry deferred again beside others that are decided: it stands back once
 *        (451), so that those can be told.  Otherwise an MX that defers the message each time would make
 *        each answer a mixed one.
 *      - Refused for good then: nobody can take a 5xx back, so the recorded reply is told only
 *        where the signs say that it is the same message (RETRY_SURE, or RETRY_LIKELY with
 *        PROOF_ENVELOPE); where they are silent the recipient is asked ALONE, in a transaction
 *        without others, where the MX itself answers; where they speak against it (RETRY_NOT) the
 *        entry says nothing.  A client that gets a final reply for each recipient (LMTP, PRDR) is
 *        told the recorded reply only where it is SURE: the MX can as well be asked again.
 *      - Both, of different messages: the refusal is told only where that message is more alike than
 *        the delivered one; else the digest of a held leg decides.
 */
#ifndef TLSMEND_POLICY_RETRY_H
#define TLSMEND_POLICY_RETRY_H

#include <stdint.h>

#include "proxy/base/addr.h"
#include "proxy/smtp/header.h"

enum ledger_outcome {
    LEDGER_DELIVERED,
    LEDGER_REFUSED,        /* 5yz, final */
    LEDGER_DEFERRED,       /* only a member of its group: it goes out again as if never sent */
    LEDGER_DEFERRED_AGAIN, /* once more, beside others that were decided: it stands back once */
};
const char *
ledger_outcome_name(enum ledger_outcome o); /* "delivered", "refused", "deferred", ... */
bool ledger_outcome_parse(struct slice name, enum ledger_outcome *out);

/* What is known of a transaction before its message. */
struct retry_signs {
    char client[ADDR_TEXT_MAX]; /* the client's address, without port */
    char helo[256];
    char ident[QUEUE_ID_MAX]; /* XFORWARD IDENT; "" unknown */
    bool has_size;            /* SIZE= was declared */
    uint64_t size;
};

enum retry_likeness {
    RETRY_NOT,     /* another message: IDENT, SIZE or the client (address, HELO) differ */
    RETRY_UNKNOWN, /* nothing speaks for or against it, or the signs contradict each other */
    RETRY_LIKELY, /* the same SIZE, nothing differs, and others of the same group were named before */
    RETRY_SURE,   /* the same client says the same queue id, and SIZE does not differ */
};

/* `group_named`: a recipient of the entry's group other than this one was named in this
 * transaction already. */
enum retry_likeness retry_compare(const struct retry_signs *then, const struct retry_signs *now,
                                  bool group_named);

enum retry_proof { PROOF_ENVELOPE, PROOF_QUEUE_ID }; /* ledger.refusals */

struct retry_candidate { /* an entry of the same sender and recipient */
    enum ledger_outcome outcome;
    enum retry_likeness likeness;
};

enum retry_step {
    RETRY_SEND, /* nothing is known: as always */
    RETRY_HOLD, /* accept it; the leg is held */
    RETRY_TELL, /* answer with the recorded reply of candidates[*which] */
    RETRY_STAND_BACK, /* not in this transaction, once: those of its message that are decided come first */
    RETRY_ALONE, /* asked in a transaction of its own; held there if there is a delivered candidate */
};

/* *which: for RETRY_TELL.  `each`: the client gets a final reply for each recipient. */
enum retry_step retry_decide(const struct retry_candidate *candidates, size_t count,
                             enum retry_proof proof, bool each, size_t *which);

#endif
