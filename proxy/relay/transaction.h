/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      transaction - MAIL to final reply: the envelope, its legs, and one honest answer
 *
 * DESCRIPTION
 *      Gives every recipient to the leg of its destination and every answer back to the session.
 *      In this version a transaction has one leg: a recipient of another domain is answered 451
 *      4.3.2 (other-destination), so the client sends it again by itself.
 *
 *      One result record per recipient is logged, when the transaction ends: by then the client's
 *      queue id is known (C-LEG-02, C-OPS-04).
 *
 *      Events never come inside a call.
 */
#ifndef TLSMEND_RELAY_TRANSACTION_H
#define TLSMEND_RELAY_TRANSACTION_H

#include "proxy/relay/leg.h"

struct transaction;

struct transaction_events {
    void (*answer)(void *owner, unsigned slot, const struct reply *reply);
    void (*room)(void *owner);
};

struct transaction_params {
    struct services *services;
    struct snapshot *snapshot;
    const char *session_id;
    unsigned number;
    const char *client; /* address text */
    const struct xforward *xforward;
    bool esmtp;
    enum client_profile profile;
    enum observe observe; /* of the listener */
    const struct mailbox *sender;
    const struct mail_params *params;
};

struct transaction *transaction_new(const struct transaction_params *p,
                                    const struct transaction_events *on, void *owner);
void transaction_recipient(struct transaction *t, unsigned slot, const struct mailbox *recipient);
void transaction_data(struct transaction *t, unsigned slot);
void transaction_body(struct transaction *t, struct slice content);
/* The message is refused from here on (bare newline, too large): the legs are dropped without the
 * dot. */
void transaction_body_refused(struct transaction *t, enum reason why);
void transaction_end(struct transaction *t, unsigned slot);
bool transaction_has_room(const struct transaction *t);
/* The dot went upstream and the answer is not there yet. */
bool transaction_awaits_final(const struct transaction *t);
/* Logs the results; `why` is that of recipients accepted but not decided. NULL is fine. */
void transaction_free(struct transaction **t, enum reason why);

#endif
