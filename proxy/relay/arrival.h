/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      arrival - from an accepted connection to a session
 *
 * DESCRIPTION
 *      Finds out who the client is and whom it meant to reach, and whether it may come at all.
 *      A peer in the listener's proxy_clients has to begin with a PROXY header, which names the
 *      client; where it is missing, late or bad the connection is closed without a word.  The
 *      client, not the peer, is then held against allow_clients (C-IN-08): a stranger is told 554.
 *      On a redirect listener the client may be a program of this host that was caught on its way:
 *      its source is then an address of the host, and it counts as loopback.
 *
 *      Worker's thread only.
 */
#ifndef TLSMEND_RELAY_ARRIVAL_H
#define TLSMEND_RELAY_ARRIVAL_H

#include "proxy/relay/session.h"

struct arrival;

/* Those of one worker whose PROXY header is still to come. */
struct arrival_list {
    struct arrival *first;
    size_t count;
};

struct arrival_params {
    struct services *services;
    struct arrival_list *list;
    struct session_list *sessions;
    struct snapshot *snapshot;                /* the session gets it too */
    const struct listener_settings *listener; /* of that snapshot */
    int fd;                                   /* taken over */
    const struct addr *peer;
    const char *id; /* the session's, if it comes to one */
};

/* A session comes of it, at once or later; its events are `on`.  False: turned away at once, no
 * event comes.  Turned away later: `closed` comes, as for a session that was not admitted. */
bool arrival_begin(const struct arrival_params *p, const struct session_events *on, void *owner);
/* Now, without a word or a record. `closed` is still told. */
void arrival_list_cut(struct arrival_list *list);

#endif
