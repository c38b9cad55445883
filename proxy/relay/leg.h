/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      leg - the part of a transaction that goes to one destination
 *
 * DESCRIPTION
 *      Finds the destination, tries its addresses in order as policy/verdict says, sends the
 *      envelope, gives every recipient its answer, then carries the body and the final reply
 *      (C-OUT-06, C-OUT-07, C-OUT-11).  Each recipient waits at most timeouts.recipient_budget.
 *
 *      A leg that can do nothing more (no host left, MAIL refused, connection lost) is dead: it
 *      answers all that is asked of it with what killed it, and takes the body without passing it
 *      on.
 *
 *      Calls go down, events come up, never inside a call.
 */
#ifndef TLSMEND_RELAY_LEG_H
#define TLSMEND_RELAY_LEG_H

#include "proxy/relay/attempt.h"

struct leg;

/* What became of something: the reply for the client, and why. */
struct leg_answer {
    const struct reply *reply;
    enum reason reason;
    const char *mx, *address, *tls, *demand; /* "" where no host decided */
    enum reason would_defer;                 /* what enforcing would have said, in observe mode */
};

struct leg_events {
    void (*recipient)(void *owner, unsigned slot, const struct leg_answer *answer);
    void (*data)(void *owner, const struct leg_answer *answer);  /* 354, or a refusal */
    void (*final)(void *owner, const struct leg_answer *answer); /* to leg_end() */
    void (*room)(void *owner);
};

/* `first` tells the domain; recipients are added with leg_recipient(), the first one too. */
struct leg *leg_new(struct services *sv, struct snapshot *snap, const struct envelope *envelope,
                    unsigned number, const struct mailbox *first, const struct leg_events *on,
                    void *owner);
bool leg_serves(const struct leg *l, const struct mailbox *recipient);
/* Several may be given before the first is answered; `slot` comes back with the answer. */
void leg_recipient(struct leg *l, unsigned slot, struct slice path);
/* All recipients are given, and leg_data() will follow, whatever is said of them: DATA may leave with them. */
void leg_data_follows(struct leg *l);
/* Where it has refused everybody so far: the connection may go, the next recipient connects anew. */
void leg_rest(struct leg *l);
/* Before leg_data(): so many legs share limits.memory_per_transfer. */
void leg_share(struct leg *l, size_t legs);
void leg_data(struct leg *l);
void leg_body(struct leg *l, struct slice content);
bool leg_carries(const struct leg *l); /* the body: DATA was accepted, and it is not dead */
bool leg_has_room(const struct leg *l);
/* It fails now, alone: it holds others up.  leg_hurry(): before it accepted a recipient; what its hosts
 * said so far is the answer if it is temporary, else `why`. */
void leg_fail(struct leg *l, enum reason why);
void leg_hurry(struct leg *l, enum reason why);
void leg_end(struct leg *l);
/* leg_end() was called and the MX has not answered yet: nobody knows what it did with the message. */
bool leg_in_doubt(const struct leg *l);
/* The leg is dropped without the final dot; `why` goes into the record of an attempt that was fine
 * so far. */
void leg_abandon(struct leg *l, enum reason why);
const char *leg_id(const struct leg *l);
size_t leg_memory(const struct leg *l); /* bytes; without its connection and destination */
void leg_free(struct leg **l);          /* abandons what is open; NULL is fine */

#endif
