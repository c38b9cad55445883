/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      envelope - who sends what, through which session: the facts that every record repeats
 *
 * DESCRIPTION
 *      Filled by session and transaction, read by legs and upstreams when they make a record;
 *      lives as long as the transaction.
 */
#ifndef TLSMEND_RELAY_ENVELOPE_H
#define TLSMEND_RELAY_ENVELOPE_H

#include "config/settings.h"
#include "proxy/policy/demand.h"
#include "proxy/smtp/command.h"
#include "proxy/smtp/header.h"

/* Each id is the one above it and a number: "69213f31-0-1a", "...-1", "...-1-1", "...-1-1-2". */
#define SESSION_ID_MAX 32
#define TRANSACTION_ID_MAX (SESSION_ID_MAX + 12)
#define LEG_ID_MAX (TRANSACTION_ID_MAX + 12)
#define ATTEMPT_ID_MAX (LEG_ID_MAX + 12)

struct envelope {
    char session_id[SESSION_ID_MAX];
    char transaction_id[TRANSACTION_ID_MAX];
    char client[ADDR_TEXT_MAX];  /* address and port of the client */
    char queue_id[QUEUE_ID_MAX]; /* XFORWARD IDENT, else the first Received: header; "" unknown */
    char *sender;                /* path without <>; "" for the null sender */
    char sender_domain[DOMAIN_MAX + 3];
    struct mail_params params;
    bool esmtp; /* the client said EHLO */
    bool
        tls_required_no; /* "TLS-Required: No" was seen in the header, too late to be honoured (RFC 8689 5) */
    enum observe observe; /* of the listener */
    struct addr original; /* whom the client meant to reach, where it was caught; ADDR_NONE else */
    enum redirect_check redirect_check;
    bool log_addresses; /* settings log.addresses */
};

#endif
