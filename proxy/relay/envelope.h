/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      envelope - who sends what, through which session: the facts that every record repeats
 *
 * DESCRIPTION
 *      Filled by session and transaction, read by legs and upstreams when they make a record; lives
 * as long as the transaction.
 */
#ifndef TLSMEND_RELAY_ENVELOPE_H
#define TLSMEND_RELAY_ENVELOPE_H

#include "proxy/smtp/command.h"
#include "proxy/smtp/received.h"

#define ENVELOPE_ID_MAX 64

struct envelope {
    char session_id[ENVELOPE_ID_MAX];
    char transaction_id[ENVELOPE_ID_MAX];
    char client[ADDR_TEXT_MAX];  /* address and port of the client */
    char queue_id[QUEUE_ID_MAX]; /* XFORWARD IDENT, else the first Received: header; "" unknown */
    char *sender;                /* path without <>; "" for the null sender */
    char sender_domain[DOMAIN_MAX + 3];
    struct mail_params params;
    bool esmtp;         /* the client said EHLO */
    bool log_addresses; /* settings log.addresses */
};

#endif
