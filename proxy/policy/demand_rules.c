/* SPDX-License-Identifier: Apache-2.0 */
/* demand_rules - who decides: configuration, DANE, MTA-STS; see demand.h for the contract. */
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/invariant.h"
#include "proxy/policy/demand_internal.h"
#include "proxy/policy/set_text_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define LV(id) (1u << LEVEL_##id)
#define LV_ANY ((1u << LEVEL_COUNT) - 1)
#define DN(id) (1u << DANE_##id)
#define DN_ANY ((1u << DANE_STATE_COUNT) - 1)
#define DN_NOT_USABLE (DN(OFF) | DN(INSECURE) | DN(ABSENT) | DN(UNUSABLE))

/* First fitting row wins. */
static const struct demand_rule rules[] = {
    /* clang-format off */
    {LV_ANY, HOLD_ANY, DN(FAILED), STS_ANY, KEEP_LEVEL, DEMAND_DANE, KEEP_BASE, 0, REASON_TLSA_LOOKUP_FAILED,
     "C-DANE-02: a look-up that fails is never \"no DANE\""},
    {LV_ANY, HOLD_ANY, DN_ANY, STS_NOT_LISTED, KEEP_LEVEL, DEMAND_MTA_STS, KEEP_BASE, 0, REASON_STS_MX_NOT_LISTED,
     "C-STS-11: the list says which hosts; TLSA records say nothing about that"},
    {LV(DANE_ONLY), HOLD_ANY, DN_NOT_USABLE, STS_ANY, KEEP_LEVEL, KEEP_SOURCE, KEEP_BASE, 0, REASON_DANE_REQUIRED,
     "dane-only: no host without usable TLSA records"},

    {LV(SECURE) | LV(FINGERPRINT), HOLDS, DN(USABLE), STS_ANY, LEVEL_DANE, DEMAND_DANE, ADD_NEEDS, DANE_NEEDS, REASON_OK,
     "a name or a key that the administrator wrote down holds beside DANE, and so does the domain's name where the MX is not signed"},
    {LV(DANE_ONLY), HOLD_ANY, DN(USABLE), STS_ANY, LEVEL_DANE_ONLY, DEMAND_DANE, TAKE_NEEDS, DANE_NEEDS, REASON_OK,
     "the records say which certificate"},
    {LV_ANY, HOLD_ANY, DN(USABLE), STS_ANY, LEVEL_DANE, DEMAND_DANE, TAKE_NEEDS, DANE_NEEDS, REASON_OK,
     "C-STS-13: the records say which certificate; roots and MTA-STS have no word in it"},

    {LV(NONE) | LV(MAY) | LV(ENCRYPT) | LV(DANE), HOLD_ANY, DN_NOT_USABLE, STS_LISTED, LEVEL_VERIFY, DEMAND_MTA_STS, TAKE_NEEDS,
     STS_NEEDS, REASON_OK, "C-STS-11: enforce asks for a certificate of the MX host itself"},
    {LV(VERIFY), HOLD_ANY, DN_NOT_USABLE, STS_LISTED, LEVEL_VERIFY, DEMAND_MTA_STS, ADD_NEEDS, STS_NEEDS, REASON_OK,
     "C-STS-11: the MX host itself, beside the names of the configuration"},
    {LV(SECURE) | LV(FINGERPRINT), HOLD_ANY, DN_NOT_USABLE, STS_LISTED, KEEP_LEVEL, KEEP_SOURCE, ADD_NEEDS, STS_NEEDS, REASON_OK,
     "MTA-STS comes on top of what the configuration asks for"},

    {LV(NONE) | LV(MAY) | LV(DANE), HOLD_ANY, DN(UNUSABLE), STS_ANY, LEVEL_ENCRYPT, DEMAND_DANE, TAKE_NEEDS, NEED_TLS, REASON_OK,
     "C-DANE-04: no usable record: TLS is owed, authentication is not"},
    {LV(DANE), HOLD_ANY, DN_ANY, STS_ANY, LEVEL_MAY, KEEP_SOURCE, TAKE_NEEDS, 0, REASON_OK,
     "the setting dane is may where there are no TLSA records"},
    {LV_ANY, HOLD_ANY, DN_ANY, STS_ANY, KEEP_LEVEL, KEEP_SOURCE, KEEP_BASE, 0, REASON_OK,
     "nobody asks for more than the configuration"},
    /* clang-format on */
};

const struct demand_rule *demand_rule_at(size_t index)
{
    INVARIANT(index < COUNT(rules));
    return &rules[index];
}

static bool sts_fits(enum sts_fit fit, const struct demand_facts *f)
{
    if (fit == STS_ANY)
        return true;
    return f->sts == STS_ENFORCE && f->sts_listed == (fit == STS_LISTED);
}

size_t demand_row(enum tls_level base, bool by_hand, const struct demand_facts *f)
{
    /* An MX that is not signed and has TLSA records of its own (half_dane): whoever forges the MX
     * answer chooses the records too.  A demand that looks past the MX record must stay. */
    bool holds = by_hand || !(f->mx_secure || f->is_route);
    size_t i = 0;

    INVARIANT((unsigned)base < LEVEL_COUNT && (unsigned)f->dane < DANE_STATE_COUNT);
    while (!(rules[i].bases >> base & 1u) || (rules[i].hold == HOLDS && !holds) ||
           !(rules[i].dane >> f->dane & 1u) || !sts_fits(rules[i].sts, f))
        i++; /* the last row fits everything */
    return i;
}

/* ---- as text, for docs/policy.md ---- */

static const char *dane_text(int i)
{
    return dane_state_name((enum dane_state)i);
}

static const char *need_text(int i)
{
    return demand_need_name(1u << i);
}

static void add_answer(struct buf *out, const struct demand_rule *r)
{
    static const char *const joins[] = {
        [KEEP_BASE] = " | ", [ADD_NEEDS] = ", and ", [TAKE_NEEDS] = ": "};

    if (r->skip != REASON_OK) {
        (void)buf_addf(out, "skip the host: `%s` | ", reason_info(r->skip)->token);
        return;
    }
    (void)buf_addf(out, "%s%s", r->level == KEEP_LEVEL ? "as configured" : set_text_level(r->level),
                   joins[r->take]);
    if (r->take == KEEP_BASE)
        return;
    if (r->needs == 0)
        (void)buf_add(out, SLICE("nothing | "));
    else
        set_text(out, r->needs, NEED_COUNT, need_text);
}

const char *demand_row_text(size_t index, char *out, size_t size)
{
    static const char *const sts_texts[] = {
        [STS_ANY] = "any", [STS_LISTED] = "listed", [STS_NOT_LISTED] = "not listed"};
    const struct demand_rule *r;
    struct buf text;

    if (index >= COUNT(rules) || size == 0)
        return NULL;
    r = &rules[index];
    buf_init(&text, size - 1);
    (void)buf_add(&text, SLICE("| "));
    set_text(&text, r->bases, LEVEL_COUNT, set_text_level);
    (void)buf_addf(&text, "%s | ", r->hold == HOLDS ? "yes" : "any");
    set_text(&text, r->dane, DANE_STATE_COUNT, dane_text);
    (void)buf_addf(&text, "%s | ", sts_texts[r->sts]);
    add_answer(&text, r);
    (void)buf_addf(&text, "%s | %s |",
                   r->source == KEEP_SOURCE ? "config, default"
                                            : demand_source_name((enum demand_source)r->source),
                   r->why);
    memcpy(out, buf_cstr(&text), text.n + 1);
    buf_clear(&text);
    return out;
}
