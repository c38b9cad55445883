/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dnssec_trust - whether answers are validated, after what probes of the root gave (C-DANE-01)
 *
 * DESCRIPTION
 *      A forwarder that strips signatures makes every answer bogus while validation is on: all mail
 *      would wait for ever.  So validation goes off where the root's answer fails.  But an attacker on
 *      the path can break that answer too, and with validation DANE goes off.  Hence:
 *      - validation has not worked yet with the present settings: one failed probe is enough;
 *      - it has worked: a failed probe is a suspicion.  Validation stays on, answers that are bogus
 *        defer mail, and DNSSEC_CONFIRMATIONS more probes, a minute apart, must fail as well, with none
 *        that works between them.  No answer counts neither way;
 *      - required (resolver.require_dnssec): it stays on whatever is seen, and mail waits.
 *      Whether answers are stripped or forged is told apart for the record only: whoever can do the
 *      one can do the other.  Pure; any thread.
 */
#ifndef TLSMEND_POLICY_DNSSEC_TRUST_H
#define TLSMEND_POLICY_DNSSEC_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/slice.h"

#define DNSSEC_CONFIRMATIONS 3
#define DNSSEC_PROBE_MS (60 * 60 * 1000)
#define DNSSEC_PROBE_SOON_MS (60 * 1000) /* in doubt, while nobody answers, while mail waits */

/* What a probe gave. */
enum dnssec_state {
    DNSSEC_OFF, /* no trust anchor is configured */
    DNSSEC_WORKS,
    DNSSEC_STRIPPED, /* the answer for the root fails validation */
    DNSSEC_UNKNOWN,  /* no answer: the network or the server is down */
};

enum dnssec_trust_state {
    DNSSEC_TRUST_UNKNOWN,   /* on; nobody has answered yet */
    DNSSEC_TRUST_ON,        /* on, and it works */
    DNSSEC_TRUST_SUSPECTED, /* on; it worked, and now it fails */
    DNSSEC_TRUST_OFF,       /* off: it fails */
    DNSSEC_TRUST_WAITS,     /* on, though it fails: required */
    DNSSEC_TRUST_NO_ANCHOR, /* off: not configured */
};

struct dnssec_trust {
    enum dnssec_trust_state state;
    bool has_anchor, required;
    bool worked;     /* with the present settings */
    unsigned failed; /* probes in a row, counted from the suspicion on */
};

void dnssec_trust_start(struct dnssec_trust *t, bool has_anchor, bool required);
/* Other settings of the resolver: what worked before says nothing now.  Validation stays as it is until
 * a probe gives something, but for what the settings themselves say.  True: the state is another. */
bool dnssec_trust_restart(struct dnssec_trust *t, bool has_anchor, bool required);
/* True: the state is another, tell it. */
bool dnssec_trust_probed(struct dnssec_trust *t, enum dnssec_state seen);
bool dnssec_trust_validates(const struct dnssec_trust *t);
/* Until the next probe, ms; 0: none is due. */
int64_t dnssec_trust_next(const struct dnssec_trust *t, enum dnssec_state last);

/* By the words of libunbound about a bogus answer: signatures were there, and do not hold.  Somebody
 * forged the answer, or the trust anchor or the clock is wrong; false: nothing was there to hold. */
bool dnssec_looks_forged(struct slice why_bogus);

/* For the record: "unknown", "on", "suspected", "off-stripped", "waiting", "off-no-anchor". */
const char *dnssec_trust_name(enum dnssec_trust_state s);

#endif
