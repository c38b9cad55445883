/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      reason - why an attempt or a recipient failed: the one list, reason.def
 *
 * DESCRIPTION
 *      Enum, tokens, reply codes, TLSRPT result types, texts and hints are generated from
 *      reason.def; docs/log.md documents every token (a lint test compares them).  Pure; any
 *      thread.
 */
#ifndef TLSMEND_POLICY_REASON_H
#define TLSMEND_POLICY_REASON_H

#include "proxy/policy/stage.h"
#include "proxy/smtp/reply.h"

enum reason {
#define REASON(id, token, stage, code, enh, rpt, text, hint) REASON_##id,
#include "proxy/policy/reason.def"
#undef REASON
    REASON_COUNT
};

struct reason_info {
    const char *token; /* "no-starttls" */
    enum stage stage;
    int code; /* of the reply that we make of it */
    const char *enh;
    const char *rpt;  /* RFC 8460 4.3 result type, or NULL */
    const char *text; /* what happened, one sentence without a full stop */
    const char *hint; /* what the administrator can do; "" only for OK */
};

const struct reason_info *reason_info(enum reason r);
bool reason_find(struct slice token, enum reason *out);
/* A judgement about the certificate: never retried on the ladder, never plaintext above `may`. */
bool reason_is_certificate(enum reason r);

/*
 * The reply to the client: "<code> <enh> tlsmend: <subject>: <text> (<detail>) [<token>]".
 * subject: domain or "host[address]"; subject and detail may be absent.  Peer bytes in them are
 * made harmless.
 */
void reason_reply(enum reason r, struct slice subject, struct slice detail, struct reply *out);

#endif
