/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by leg.c (the owner's calls, what it is told), leg_reply.c (the MX's replies), leg_route.c
 * (which host comes next) and leg_target.c (that host). */
#ifndef TLSMEND_RELAY_LEG_INTERNAL_H
#define TLSMEND_RELAY_LEG_INTERNAL_H

#include "proxy/policy/verdict.h"
#include "proxy/relay/destinations.h"
#include "proxy/relay/leg.h"
#include "proxy/relay/upstream.h"

#define LEG_MAGIC 0x6c656721u
/* The upstream's own deadline comes first, with a truer reason. */
#define BUDGET_GRACE_MS 500

enum leg_phase {
    LEG_LOOKING, /* for the destination */
    LEG_OPENING, /* an upstream, up to READY */
    LEG_RESTING, /* the MX refused everybody so far, and is gone: the next recipient connects anew */
    LEG_ENVELOPE, /* MAIL was sent */
    LEG_DATA,
    LEG_BODY,
    LEG_FINAL,
    LEG_DEAD, /* last_reply and last_reason say why, or that all is well */
};

enum recipient_state {
    RECIPIENT_WAITING,
    RECIPIENT_SENT,
    RECIPIENT_ACCEPTED,
    RECIPIENT_REFUSED,
};

struct leg_recipient_state {
    unsigned slot;
    char *path;
    enum recipient_state state;
    mono_ms deadline;
};

struct leg {
    uint32_t magic;
    struct services *services;
    struct snapshot *snapshot;
    const struct envelope *envelope;
    struct leg_events on;
    void *owner;
    char id[LEG_ID_MAX];
    char *domain; /* normalised; as written for a literal */
    bool is_literal;
    struct addr literal;

    enum leg_phase phase;
    struct destinations_query *query;
    const struct destination *dest;
    struct mx_target *targets; /* of dest, in the order for this mail */
    size_t target;             /* the one being tried */
    int64_t dns_ms;            /* what we waited for dest */
    unsigned attempts;
    enum tls_rung rung;   /* of the present attempt; RUNG_CLEAR: the one in clear */
    bool fell;            /* higher rungs failed at this address just now */
    enum reason why_fell; /* ... the highest of them with this */
    bool learns;          /* what works is remembered for the address */
    bool retest;          /* this attempt is the half-open one of policy/ladder */
    struct sts_query *second_look;
    bool looked_again;
    struct upstream *upstream;
    bool data_follows;       /* the client's DATA is there already */
    bool data_sent;          /* ... and left with the recipients */
    struct reply data_reply; /* to that, before leg_data(); code 0: none so far */

    struct leg_recipient_state *recipients;
    size_t recipient_count;
    size_t *sent; /* index at the upstream -> recipients[] */
    size_t sent_count;
    unsigned unanswered, accepted;
    struct timer *budget;
    mono_ms deadline; /* of the recipient that waits longest; 0: nobody waits */

    struct failure kept; /* of the hosts tried; code 0: none */
    struct reply kept_reply;
    struct reply last_reply;
    enum reason last_reason;
    char *mx, address[ADDR_TEXT_MAX]; /* the host that decided, "" none */
    const char *tls, *demand;         /* ... and constant words about it */
    enum reason would_defer;          /* of that host, in observe mode */
    bool answering, freed;
};

/* leg.c */
void leg_die(struct leg *l, const struct reply *reply, enum reason why);
void leg_die_of_reason(struct leg *l, enum reason why, const char *detail);
void leg_set_mx(struct leg *l, const char *name);
void leg_note_host(struct leg *l);
void leg_send_recipient(struct leg *l, size_t index);
void leg_send_data_ahead(struct leg *l);
struct leg_answer leg_answer_of(struct leg *l, const struct reply *reply, enum reason why);
void leg_answer_recipient(struct leg *l, struct leg_recipient_state *r, const struct reply *reply,
                          enum reason why);
void leg_rearm_budget(struct leg *l);
void leg_on_room(void *owner);

/* leg_reply.c */
void leg_on_replied(void *owner, enum outbound_command command, unsigned index,
                    const struct reply *reply);

/* leg_route.c */
void leg_look(struct leg *l); /* for the destination; the answer comes from the loop */
/* Remember a failure if it is the one that the client should hear about (C-OUT-11). */
void leg_keep_failure(struct leg *l, enum stage stage, enum reason why, const struct reply *reply,
                      const char *detail);
/* Leave the present upstream for the next address. */
void leg_next_host(struct leg *l);
void leg_die_kept(struct leg *l);
enum tls_level leg_level(const struct leg *l);
/* The MX's late demand for TLS in our words, with its own in them. */
void leg_tls_refusal_reply(const struct leg *l, const struct reply *reply, struct reply *out);
/* Our own reply about this leg: names the host where there is one, else the domain. */
void leg_reason_reply(const struct leg *l, enum reason why, const char *detail, struct reply *out);

/* leg_target.c */
/* l->target: a new address, at the rung that is known to work there. */
void leg_begin_target(struct leg *l);
/* The warm connection was no good (and is closed): the same address again, on a fresh one. */
void leg_connect_anew(struct leg *l);
/* A recipient came to a leg that rests. */
void leg_wake(struct leg *l);
/* The ladder memory of the present address (C-TLS-06, C-TLS-11). */
void leg_rung_worked(struct leg *l);
void leg_rung_forget(struct leg *l);
void leg_retest_failed(struct leg *l);

#endif
