/* SPDX-License-Identifier: Apache-2.0 */
/* outcome - what happened, classed for the verdict; see verdict.h for the contract. */
#include "proxy/base/invariant.h"
#include "proxy/policy/verdict.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char *const outcome_names[OUTCOME_COUNT] = {
    [OUTCOME_OK] = "ok",
    [OUTCOME_421] = "421",
    [OUTCOME_4XX] = "4xx",
    [OUTCOME_5XX] = "5xx",
    [OUTCOME_LOST] = "lost",
    [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_PROTOCOL] = "protocol",
    [OUTCOME_BAD_TLS] = "bad-tls",
    [OUTCOME_BAD_CERT] = "bad-cert",
    [OUTCOME_NO_TLS] = "no-tls",
    [OUTCOME_ATTACK] = "attack",
    [OUTCOME_LOOP] = "loop",
};

const char *outcome_name(enum outcome o)
{
    INVARIANT((unsigned)o < OUTCOME_COUNT);
    return outcome_names[o];
}

enum outcome outcome_of_reply(int code)
{
    if (code == 421)
        return OUTCOME_421;
    switch (code / 100) {
    case 2:
    case 3:
        return OUTCOME_OK;
    case 4:
        return OUTCOME_4XX;
    case 5:
        return OUTCOME_5XX;
    }
    return OUTCOME_PROTOCOL;
}

/* Reasons whose outcome is not that of their stage or of their own reply code. */
static const struct outcome_rule {
    enum reason reason;
    enum outcome outcome;
} outcome_rules[] = {
    {REASON_LOOP, OUTCOME_LOOP},
    {REASON_FILTER_LOOP, OUTCOME_LOST}, /* our own packet filter's fault, not the domain's */
    {REASON_DNS_TIMEOUT, OUTCOME_TIMEOUT},
    {REASON_CONNECT_REFUSED, OUTCOME_LOST},
    {REASON_CONNECT_TIMEOUT, OUTCOME_TIMEOUT},
    {REASON_CONNECT_UNREACHABLE, OUTCOME_LOST},
    {REASON_CONNECT_FAILED, OUTCOME_LOST},
    {REASON_POOL_FULL, OUTCOME_LOST}, /* another host may have room */
    {REASON_LOST, OUTCOME_LOST},
    {REASON_MAYBE_DELIVERED, OUTCOME_LOST},
    {REASON_TIMEOUT, OUTCOME_TIMEOUT},
    {REASON_PROTOCOL_ERROR, OUTCOME_PROTOCOL},
    {REASON_UNASKED_REPLY, OUTCOME_PROTOCOL},
    {REASON_NO_STARTTLS, OUTCOME_NO_TLS},
    {REASON_STARTTLS_MASKED, OUTCOME_NO_TLS},
    {REASON_STARTTLS_INJECTION, OUTCOME_ATTACK},
    {REASON_TLS_REQUIRED_BY_MX, OUTCOME_NO_TLS},
    {REASON_DEMAND_UNMET, OUTCOME_BAD_CERT},
    {REASON_TLS_CLIENT_CERT, OUTCOME_BAD_CERT}, /* ours is missing: no other hello mends that */
};

enum outcome outcome_of_reason(enum reason r, int reply_code)
{
    const struct reason_info *info = reason_info(r);

    for (size_t i = 0; i < COUNT(outcome_rules); i++)
        if (outcome_rules[i].reason == r)
            return outcome_rules[i].outcome;
    switch (r) {
    case REASON_STARTTLS_REFUSED:
        /* 421 and 221 end the session: nothing can go on in clear there. */
        if (reply_code == 421)
            return OUTCOME_421;
        return reply_code == 221 ? OUTCOME_LOST : OUTCOME_NO_TLS;
    case REASON_MX_REFUSED:
        /* A 2xx or 3xx that is not the one due (a greeting of 221, an EHLO answered with 354). */
        if (reply_code / 100 == 2 || reply_code / 100 == 3)
            return OUTCOME_PROTOCOL;
        return outcome_of_reply(reply_code);
    case REASON_MX_REPLIED:
        return outcome_of_reply(reply_code);
    default: /* by its stage or its own reply, below */
        break;
    }
    if (info->stage == STAGE_CERT)
        return OUTCOME_BAD_CERT;
    if (info->stage == STAGE_HANDSHAKE)
        return OUTCOME_BAD_TLS;
    return outcome_of_reply(info->code);
}
