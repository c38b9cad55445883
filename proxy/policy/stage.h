/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      stage - the steps of a negotiation, in order; where something happened
 */
#ifndef TLSMEND_POLICY_STAGE_H
#define TLSMEND_POLICY_STAGE_H

/*    id         name in logs */
#define STAGES(X)                                                             \
    X(LOCAL, "local")   /* tlsmend itself: limits, shutdown, configuration */ \
    X(CLIENT, "client") /* what the client did */                             \
    X(DNS, "dns")                                                             \
    X(POLICY, "policy")                                                       \
    X(CONNECT, "connect")                                                     \
    X(GREETING, "greeting")                                                   \
    X(EHLO, "ehlo")                                                           \
    X(STARTTLS, "starttls")                                                   \
    X(HANDSHAKE, "handshake")                                                 \
    X(CERT, "certificate")                                                    \
    X(EHLO_TLS, "ehlo-tls")                                                   \
    X(MAIL, "mail")                                                           \
    X(RCPT, "rcpt")                                                           \
    X(DATA, "data")                                                           \
    X(BODY, "body")                                                           \
    X(FINAL, "final")

enum stage {
#define X(id, name) STAGE_##id,
    STAGES(X)
#undef X
        STAGE_COUNT
};

const char *stage_name(enum stage s);

#endif
