/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by transaction.c (recipients, body, the owner's calls), transaction_legs.c (which leg serves
 * whom, and what the legs say), transaction_final.c (the answer to the dot) and
 * transaction_ledger.c (what was before, what is remembered).
 */
#ifndef TLSMEND_RELAY_TRANSACTION_INTERNAL_H
#define TLSMEND_RELAY_TRANSACTION_INTERNAL_H

#include <sys/queue.h>

#include "certs/digest.h"
#include "proxy/relay/transaction.h"
#include "proxy/store/ledger.h"

#define TRANSACTION_MAGIC 0x7472616eu

struct recipient {
    unsigned slot;
    char *path;
    char *domain; /* as sent */
    bool is_literal;
    struct addr literal;
    size_t leg; /* place in legs[]; NO_LEG: answered here */
    bool answered, accepted;
    bool ours;           /* `reply` is to be told from the loop */
    bool waits_alone;    /* until those before it are answered */
    bool refused_by_leg; /* held and accepted by us, but the leg said no: `reply` */
    bool told;           /* with transaction.each: its final reply was given */
    bool done;           /* `reply` says what became of it */
    unsigned place;      /* among the accepted ones */
    enum reason reason, would_defer;
    struct reply reply;       /* cut: for the records and the ledger */
    char *mx, *address;       /* of the host that decided, "" where none did */
    const char *tls, *demand; /* constant words */
    mono_ms asked, decided;

    struct ledger_view *known; /* what the ledger had when it was named; NULL: nothing */
    const struct ledger_entry
        *before;       /* of `known`: told as refused, or delivered by this digest */
    wall_ms delivered; /* then it was, in an earlier transaction; 0: it was not */
    bool kept;         /* the ledger has an entry of this transaction for it */
};

#define NO_LEG SIZE_MAX

struct transaction_leg {
    struct transaction *t; /* events of `leg` come with this */
    struct leg *leg;
    bool held;          /* no dot before the digests were compared */
    uint64_t held_for;  /* the same for recipients with the same digests */
    unsigned waiting;   /* recipients without an answer */
    mono_ms asked;      /* since then: the oldest of them came at this time or later */
    unsigned accepted;  /* by the leg itself */
    unsigned taken;     /* towards the client: those, and with `held` those that the leg refused */
    bool carries;       /* DATA was accepted */
    bool stalled;       /* it had no room when leg_stall was over */
    bool doubt;         /* given up between the dot and its answer */
    bool done;          /* `final` says what became of its recipients */
    bool gathered;      /* `final` stands among the parts of the answer to all */
    struct reply final; /* whole */
};

struct transaction {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot;
    const struct settings *settings; /* of the snapshot */
    struct transaction_events on;
    void *owner;
    const struct listener_settings *listener;
    enum client_kind kind;
    struct envelope envelope;
    struct retry_signs signs;
    struct header_scan *header; /* made with the body; NULL before */

    struct transaction_leg **legs;
    size_t leg_count;
    struct recipient *recipients;
    size_t count;
    mono_ms first_taken;
    size_t waiting, taken; /* recipients without an answer; accepted towards the client */
    size_t ours_from;      /* recipients from here on may have an answer of ours to tell */
    bool telling;
    bool others_waited; /* for those that are in: they must stand back the next time */
    size_t alone;       /* while this leg is in use there is no other; NO_LEG: none */
    size_t waiting_alone;

    unsigned data_slot, end_slot, data_waiting;
    bool each;    /* the client gets a final reply for each recipient */
    bool refused; /* transaction_body_refused() */
    enum reason refused_why;
    struct digest *digest; /* NULL: nobody will ask for it */
    uint64_t digest_left;  /* with one leg: so many bytes more are digested */
    uint8_t hash[LEDGER_DIGEST_SIZE];
    bool hashed;
    struct timer *wait, *stall, *early, *patience; /* NULL: not needed so far */

    bool awaits_final, ended, gone, freed;
    uint64_t written; /* the ticket of the last entries for all */
    uint64_t ticket;  /* of the ledger, while waiting for the disk; 0: none */
    mono_ms put_at;
    struct reply verdict; /* what will be said then */
    LIST_ENTRY(transaction) waits;
    int told; /* the code of the final answer; 0: none yet */
};

/* transaction.c */
void transaction_keep_answer(struct transaction *t, struct recipient *r,
                             const struct leg_answer *a);
/* `r` is answered here: by us, or with `r->reply` as it is; the client hears it from the loop. */
void transaction_refuse(struct transaction *t, size_t index, enum reason why);
void transaction_answer_here(struct transaction *t, size_t index);
void transaction_arm(struct transaction *t, struct timer **timer, loop_fn *fn, int64_t ms);

/* transaction_legs.c */
/* A client that hears each result by itself needs no ledger, so it may have many destinations.  With
 * PRDR that is so where more than one recipient is accepted: with several legs it always is. */
bool transaction_hears_each(const struct transaction *t);
/* Give the recipient to the leg of its destination, or refuse it. */
void transaction_assign(struct transaction *t, size_t index, bool held);
void transaction_wait_over(void *owner);
/* It may go only without others: now, later, or not in this transaction. */
void transaction_assign_alone(struct transaction *t, size_t index);
/* A leg goes alone, and it is not that of this recipient. */
bool transaction_has_no_place(const struct transaction *t, size_t index, bool held);
/* Of those who wait until nobody else is left, the first may go now, or none may. */
void transaction_look_at_those_alone(struct transaction *t);
void transaction_legs_free(struct transaction *t);

/* transaction_final.c */
/* What became of the recipients of a leg that are not decided yet. */
void transaction_leg_done(struct transaction_leg *tl, const struct leg_answer *a);
/* One reply for all accepted recipients, all decided; true: their results are of one class. */
bool transaction_combine(const struct transaction *t, struct reply *out);
/* If everything is decided: the answer. */
void transaction_maybe_final(struct transaction *t);
void transaction_answer_final(struct transaction *t, const struct reply *reply);
void transaction_early(void *owner);

/* transaction_ledger.c */
enum retry_step transaction_recall(struct transaction *t, size_t index);
bool transaction_was_delivered(const struct recipient *r); /* the ledger says so of some message */
uint64_t transaction_held_for(const struct recipient *r);
void transaction_begin_digest(struct transaction *t);
void transaction_feed_digest(struct transaction *t, struct slice content);
/* The message is whole: recipients of held legs that have it already are decided. */
void transaction_compare(struct transaction *t);
/* Entries for recipients that are decided: all of them, or those delivered.  False: there is
 * nothing to write, or no digest to write it by. */
bool transaction_record(struct transaction *t, bool all, bool untold);
void transaction_wait_for_disk(struct transaction *t);
void transaction_patience_over(void *owner);
/* The client knows now: what the ledger has of it is done with. */
void transaction_forget(struct transaction *t);
void transaction_forget_told_refusals(struct transaction *t);

#endif
