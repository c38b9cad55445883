/* SPDX-License-Identifier: Apache-2.0 */
/* verdict - see verdict.h for the contract; outcome.c classes what happened. */
#include "proxy/policy/verdict.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/invariant.h"
#include "proxy/policy/set_text_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Bit sets of stages. */
#define AT(id) (1u << STAGE_##id)
#define AT_OPENING (AT(CONNECT) | AT(GREETING) | AT(EHLO) | AT(STARTTLS))
#define AT_TLS (AT(HANDSHAKE) | AT(CERT) | AT(EHLO_TLS))
#define AT_ENVELOPE (AT(MAIL) | AT(RCPT))
#define AT_MESSAGE (AT(DATA) | AT(BODY) | AT(FINAL))
#define AT_ANY ((1u << STAGE_COUNT) - 1)

/* Bit sets of outcomes. */
#define GOT(id) (1u << OUTCOME_##id)
#define GOT_NOTHING (GOT(LOST) | GOT(TIMEOUT) | GOT(PROTOCOL))
#define GOT_REFUSAL (GOT(421) | GOT(4XX) | GOT(5XX))
#define GOT_ANY ((1u << OUTCOME_COUNT) - 1)

/* Bit sets of levels. */
#define LV(id) (1u << LEVEL_##id)
#define LV_OWES (LV(ENCRYPT) | LV(VERIFY) | LV(SECURE) | LV(FINGERPRINT) | LV(DANE) | LV(DANE_ONLY))
#define LV_ANY ((1u << LEVEL_COUNT) - 1)

/* Bit set: how many recipients of the transaction an MX has accepted already. */
enum accepted { NONE_YET = 1, SOME = 2, NONE_OR_SOME = 3 };

/* First fitting row wins; the last one fits everything and is the safe one. */
static const struct verdict_rule {
    unsigned stages, outcomes, levels;
    enum accepted accepted;
    enum verdict_step step;
    const char *why;
} rules[] = {
    /* clang-format off */
    {AT(RCPT) | AT(FINAL), GOT(OK), LV_ANY, NONE_OR_SOME, VERDICT_PASS_THROUGH,
     "250 means that the MX said 250"},
    {AT_ANY, GOT(OK), LV_ANY, NONE_OR_SOME, VERDICT_GO_ON,
     "nothing is wrong"},

    {AT(DNS), GOT(5XX) | GOT(LOOP), LV_ANY, NONE_OR_SOME, VERDICT_REJECT,
     "final by RFC 5321 5.1 and RFC 7505: no such domain, null MX, only ourselves as MX"},
    {AT(CLIENT), GOT(5XX), LV_ANY, NONE_OR_SOME, VERDICT_REJECT,
     "the message itself is at fault: the same message comes again on every retry"},

    {AT(POLICY), GOT(4XX) | GOT(5XX), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "C-STS-11, C-DANE-02: this host must not be used, another may"},
    {AT_OPENING | AT(EHLO_TLS), GOT(LOOP), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "this MX is ourselves, another may not be"},
    {AT_OPENING | AT_TLS, GOT(ATTACK), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "C-TLS-02: an injection is never answered with clear text, at no level"},

    {AT(EHLO) | AT(STARTTLS), GOT(NO_TLS), LV_OWES, NONE_YET, VERDICT_NEXT_HOST,
     "C-TLS-05, C-OUT-12: another MX may have STARTTLS; if none has, temporary for the client"},
    {AT(STARTTLS), GOT(4XX) | GOT(5XX), LV_OWES, NONE_YET, VERDICT_NEXT_HOST,
     "C-TLS-04, C-OUT-12: a refusal of STARTTLS is no refusal of the mail"},
    {AT(EHLO) | AT(STARTTLS), GOT(NO_TLS), LV(MAY), NONE_YET, VERDICT_GO_ON,
     "opportunistic TLS: no STARTTLS, so in clear on the same connection"},
    {AT(STARTTLS), GOT(4XX) | GOT(5XX), LV(MAY), NONE_YET, VERDICT_GO_ON,
     "opportunistic TLS: STARTTLS refused, so in clear on the same connection"},

    {AT(HANDSHAKE), GOT_NOTHING | GOT(BAD_TLS), LV(MAY) | LV_OWES, NONE_YET, VERDICT_LOWER_RUNG,
     "C-TLS-06: a smaller hello or TLS 1.2 may get through; at may clear text is the last rung"},
    {AT(HANDSHAKE), GOT(BAD_CERT), LV(MAY), NONE_YET, VERDICT_PLAINTEXT,
     "no rung mends a certificate, and at may none is enforced: clear text is no worse"},
    {AT(EHLO_TLS), GOT_NOTHING | GOT(BAD_TLS), LV(MAY), NONE_YET, VERDICT_PLAINTEXT,
     "a TLS 1.3 server refuses our handshake only after its end: the same as a failed handshake"},
    {AT(CERT) | AT(EHLO_TLS), GOT_NOTHING | GOT(BAD_TLS), LV_OWES, NONE_YET, VERDICT_NEXT_HOST,
     "another MX may hold a session; no envelope byte leaves in clear"},
    {AT(CERT) | AT(HANDSHAKE), GOT(BAD_CERT), LV_OWES, NONE_YET, VERDICT_NEXT_HOST,
     "C-DANE-07: another MX may hold a good certificate, no lower rung does"},

    {AT_OPENING | AT(EHLO_TLS), GOT_NOTHING, LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "this host is down or broken, another may be up"},
    {AT_OPENING | AT(EHLO_TLS), GOT_REFUSAL, LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "C-OUT-06, C-OUT-11: this host refuses us, not this mail"},

    {AT(MAIL), GOT(421), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "C-OUT-06: this host closes, another may be open"},
    {AT_ENVELOPE, GOT(NO_TLS), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "C-TLS-11: a late demand for TLS is trouble with TLS, not with the mail"},
    {AT_ENVELOPE, GOT_NOTHING | GOT(BAD_TLS), LV_ANY, NONE_YET, VERDICT_NEXT_HOST,
     "no recipient was taken yet: another host may take them"},

    {AT_ENVELOPE | AT(DATA) | AT(FINAL), GOT(4XX), LV_ANY, NONE_OR_SOME, VERDICT_PASS_THROUGH,
     "the client keeps the queue"},
    {AT_ENVELOPE | AT(DATA) | AT(FINAL), GOT(5XX), LV_ANY, NONE_OR_SOME, VERDICT_PASS_THROUGH,
     "a refusal is the MX's to make"},
    {AT_ENVELOPE | AT_MESSAGE, GOT(421), LV_ANY, NONE_OR_SOME, VERDICT_PASS_THROUGH,
     "the MX's words, as 451: a client takes 421 for the death of the whole relayhost"},

    {AT_ENVELOPE, GOT_NOTHING | GOT(BAD_TLS), LV_ANY, NONE_OR_SOME, VERDICT_DEFER,
     "recipients were promised on this connection: no second host in their transaction"},
    {AT_MESSAGE, GOT_NOTHING | GOT(BAD_TLS), LV_ANY, NONE_OR_SOME, VERDICT_DEFER,
     "never claim a delivery that we did not see (RFC 1047)"},
    {AT_ANY, GOT_ANY, LV_ANY, NONE_OR_SOME, VERDICT_DEFER,
     "in every other case: say 451, lose nothing"},
    /* clang-format on */
};

static const char *const step_names[] = {
    [VERDICT_GO_ON] = "go-on",
    [VERDICT_NEXT_HOST] = "next-host",
    [VERDICT_LOWER_RUNG] = "lower-rung",
    [VERDICT_PLAINTEXT] = "plaintext",
    [VERDICT_PASS_THROUGH] = "pass-through",
    [VERDICT_DEFER] = "defer",
    [VERDICT_REJECT] = "reject",
};

const char *verdict_step_name(enum verdict_step s)
{
    INVARIANT((unsigned)s < COUNT(step_names));
    return step_names[s];
}

size_t verdict_row(enum stage stage, enum outcome outcome, enum tls_level level, bool accepted)
{
    enum accepted now = accepted ? SOME : NONE_YET;
    size_t i = 0;

    INVARIANT((unsigned)stage < STAGE_COUNT && (unsigned)outcome < OUTCOME_COUNT);
    INVARIANT((unsigned)level < LEVEL_COUNT);
    while (!(rules[i].stages >> stage & 1u) || !(rules[i].outcomes >> outcome & 1u) ||
           !(rules[i].levels >> level & 1u) || !(rules[i].accepted & now))
        i++; /* the last row fits everything */
    return i;
}

struct verdict verdict_decide(enum stage stage, enum outcome outcome, enum tls_level level,
                              bool accepted)
{
    const struct verdict_rule *r = &rules[verdict_row(stage, outcome, level, accepted)];

    return (struct verdict){.step = r->step, .why = r->why};
}

static const char *stage_text(int i)
{
    return stage_name((enum stage)i);
}

static const char *outcome_text(int i)
{
    return outcome_name((enum outcome)i);
}

const char *verdict_row_text(size_t index, char *out, size_t size)
{
    const struct verdict_rule *r;
    struct buf text;

    if (index >= COUNT(rules) || size == 0)
        return NULL;
    r = &rules[index];
    buf_init(&text, size - 1);
    (void)buf_add(&text, SLICE("| "));
    set_text(&text, r->stages, STAGE_COUNT, stage_text);
    set_text(&text, r->outcomes, OUTCOME_COUNT, outcome_text);
    set_text(&text, r->levels, LEVEL_COUNT, set_text_level);
    (void)buf_addf(&text, "%s | %s | %s |", r->accepted == NONE_YET ? "none yet" : "any",
                   verdict_step_name(r->step), r->why);
    memcpy(out, buf_cstr(&text), text.n + 1);
    buf_clear(&text);
    return out;
}
