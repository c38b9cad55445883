/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      transaction - MAIL to final reply: the envelope, its legs, and one honest answer
 *
 * DESCRIPTION
 *      Gives every recipient to the leg of its destination (at most limits.legs of them), every
 *      answer back to the session, and the body to all legs at once; the slowest within its limits
 *      pauses the client, one that holds the others up for timeouts.leg_stall fails alone
 *      (C-RCPT-01).
 *
 *      A client that gets a final reply for each recipient (LMTP, PRDR) hears what became of each
 *      (C-RCPT-02).  All others hear one reply (policy/final_answer).  Where the legs differ it is
 *      451, once the ledger has on the disk what is decided (C-RCPT-03); what it says of a
 *      recipient when the client tries again is policy/retry's (C-RCPT-04, C-RCPT-06).  Recipients
 *      that an MX took while the client was gone, or before tlsmend had to end, go into the ledger
 *      too.  While the ledger cannot be kept a transaction has one destination.
 *
 *      One result record per recipient is logged, when the transaction ends: by then the client's
 *      queue id is known (C-LEG-02, C-OPS-04).
 *
 *      Events never come inside a call.
 */
#ifndef TLSMEND_RELAY_TRANSACTION_H
#define TLSMEND_RELAY_TRANSACTION_H

#include "proxy/relay/leg.h"
#include "proxy/smtp/client_kind.h"

struct transaction;

struct transaction_events {
    void (*answer)(void *owner, unsigned slot, const struct reply *reply);
    /* The final reply of the accepted recipient `index`, in any order; the answer to
     * transaction_end() follows when all are told. */
    void (*answer_each)(void *owner, unsigned index, const struct reply *reply);
    void (*room)(void *owner);
};

struct transaction_params {
    struct services *services;
    struct snapshot *snapshot;
    const struct listener_settings *listener;
    const char *session_id;
    unsigned number;
    const struct addr *peer;     /* the client */
    const struct addr *original; /* whom it meant to reach; ADDR_NONE: not known */
    const char *helo;
    const struct xforward *xforward;
    bool esmtp;
    const struct mailbox *sender;
    const struct mail_params *params;
};

struct transaction *transaction_new(const struct transaction_params *p,
                                    const struct transaction_events *on, void *owner);
void transaction_recipient(struct transaction *t, unsigned slot, const struct mailbox *recipient);
/* DATA is the client's next command, and is there already: it may leave with the recipients. */
void transaction_data_follows(struct transaction *t);
/* `each`: the client gets a final reply for each accepted recipient. */
void transaction_data(struct transaction *t, unsigned slot, bool each);
void transaction_body(struct transaction *t, struct slice content);
/* The message is refused from here on (bare newline, too large): the legs are dropped without the
 * dot. */
void transaction_body_refused(struct transaction *t, enum reason why);
void transaction_end(struct transaction *t, unsigned slot, enum client_kind kind);
bool transaction_has_room(const struct transaction *t);
size_t transaction_memory(const struct transaction *t); /* bytes; without its connections */
/* The dot came and the answer is not there yet. */
bool transaction_awaits_final(const struct transaction *t);
/* Nobody hears the final answer, or has heard the one just given: what was delivered is for the
 * ledger. */
void transaction_client_gone(struct transaction *t);
/* Logs the results; `why` is that of recipients accepted but not decided.  Nothing but
 * transaction_drop() may follow. */
void transaction_finish(struct transaction *t, enum reason why);
/* `heard`: nothing says that the client did not hear the final answer.  NULL is fine. */
void transaction_drop(struct transaction **t, bool heard);
void transaction_free(struct transaction **t, enum reason why); /* both; NULL is fine */

/* The disk answered: the transactions of this worker that wait for it look again. */
void transactions_settle(struct services *sv);

#endif
