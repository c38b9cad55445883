/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      session - one connection of a client: the I/O shell around dialog/inbound
 *
 * DESCRIPTION
 *      Reads the client, feeds the machine, hands MAIL, RCPT, DATA and the body to the
 *      transaction, sends the replies.  Stops reading while the transaction has no room, so a slow
 *      MX slows the client and nothing is stored.  A client that goes away before the dot went
 *      upstream takes the transaction with it; after the dot the answer is still awaited, so that
 *      the record tells the truth (C-OUT-07).
 *
 *      Worker's thread only.
 */
#ifndef TLSMEND_RELAY_SESSION_H
#define TLSMEND_RELAY_SESSION_H

#include "proxy/relay/services.h"
#include "proxy/relay/snapshot.h"

struct session;

/* The sessions of one worker; a session enters it when it begins and leaves it when it closes. */
struct session_list {
    struct session *first;
    size_t count;
};

struct session_events {
    struct snapshot *(*snapshot)(void *owner); /* the present one, lent */
    /* C-IN-09: a place among limits.sessions, which is kept to the end.  Asked for at the start, and
     * without one again at each MAIL: who has a place is served on, however many come. */
    bool (*admit)(void *owner);
    void (*closed)(void *owner, bool admitted); /* it has left the list; its place is free */
};

struct session_params {
    struct services *services;
    struct session_list *list;
    struct snapshot *snapshot;
    const struct listener_settings *listener; /* of that snapshot */
    int fd;                                   /* taken over; nothing was read from it but a
                                                 PROXY header */
    struct addr peer;                         /* the client: behind a PROXY header, whom it names */
    struct addr original; /* whom the client meant to reach, where it was caught; ADDR_NONE else */
    const char *id;
};

struct session *session_new(const struct session_params *p, const struct session_events *on,
                            void *owner);
/* Bytes of memory: of the sessions themselves, and of their transactions without the connections of these. */
void session_list_memory(const struct session_list *list, size_t *sessions, size_t *transactions);
/* Between transactions: 421 and close; inside one: when it ends.  Tells so many; true: more are left to tell. */
bool session_list_shutdown(struct session_list *list, size_t most);
/* Now, without a word. `closed` is still told. */
void session_list_cut(struct session_list *list);

#endif
