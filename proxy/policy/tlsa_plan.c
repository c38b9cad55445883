/* SPDX-License-Identifier: Apache-2.0 */
/* tlsa_plan - see tlsa_plan.h for the contract; docs/policy.md, "DANE", has the decisions. */
#include "proxy/policy/tlsa_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

enum step { AT_ADDRESS, AT_CNAME, AT_EXPANDED, AT_ORIGINAL, AT_END };

static const char *const state_names[] = {
    [DANE_OFF] = "off",       [DANE_INSECURE] = "insecure", [DANE_ABSENT] = "absent",
    [DANE_USABLE] = "usable", [DANE_UNUSABLE] = "unusable", [DANE_FAILED] = "lookup-failed",
};

const char *dane_state_name(enum dane_state s)
{
    INVARIANT((unsigned)s < DANE_STATE_COUNT);
    return state_names[s];
}

/* `what` and `name` make the detail; the name may be NULL. */
static void end(struct tlsa_plan *p, enum dane_state s, const char *what, const char *name)
{
    p->step = AT_END;
    p->state = s;
    (void)snprintf(p->detail, sizeof(p->detail), "%s%s%.100s", what, name != NULL ? " " : "",
                   name != NULL ? name : "");
}

/* Asks for TLSA below `base`; false where the name would be too long to exist. */
static bool ask_tlsa(struct tlsa_plan *p, enum step at, const char *base)
{
    int n = snprintf(p->ask, sizeof(p->ask), "_%u._tcp.%s", p->port, base);

    p->step = at;
    return n > 0 && n <= DOMAIN_MAX;
}

static void ask_original(struct tlsa_plan *p)
{
    if (!ask_tlsa(p, AT_ORIGINAL, p->host))
        end(p, DANE_ABSENT, "the name is too long to have TLSA records:", p->host);
}

/* RFC 7672 2.2.2: the expanded name first. */
static void ask_expanded(struct tlsa_plan *p)
{
    if (p->expanded[0] == '\0' || !ask_tlsa(p, AT_EXPANDED, p->expanded))
        ask_original(p);
}

static void ask_cname(struct tlsa_plan *p, const char *name)
{
    p->step = AT_CNAME;
    (void)snprintf(p->ask, sizeof(p->ask), "%s", name);
}

void tlsa_plan_init(struct tlsa_plan *p, const char *host, unsigned port, bool mx_secure,
                    bool validating)
{
    bool named;

    *p = (struct tlsa_plan){.port = port, .mx_secure = mx_secure, .validating = validating};
    named = domain_normalise(slice_str(host), p->host);
    memcpy(p->base, p->host, sizeof(p->base));
    memcpy(p->ask, p->host, sizeof(p->host));
    p->step = AT_ADDRESS;
    if (!validating)
        end(p, DANE_OFF, "answers are not validated with DNSSEC", NULL);
    else if (!mx_secure) /* C-DANE-08 */
        end(p, DANE_INSECURE, "the MX records are not signed", NULL);
    else if (!named)
        end(p, DANE_INSECURE, "the host has no name that DNS could sign", NULL);
}

struct tlsa_ask tlsa_plan_next(struct tlsa_plan *p)
{
    static const enum tlsa_ask_type types[] = {
        [AT_ADDRESS] = TLSA_ASK_ADDRESS, [AT_CNAME] = TLSA_ASK_CNAME, [AT_EXPANDED] = TLSA_ASK_TLSA,
        [AT_ORIGINAL] = TLSA_ASK_TLSA,   [AT_END] = TLSA_ASK_DONE,
    };

    return (struct tlsa_ask){types[p->step], p->step == AT_END ? "" : p->ask};
}

/* C-DANE-02, C-DANE-03 */
static void on_address(struct tlsa_plan *p, const struct tlsa_answer *a)
{
    struct slice canonical = slice_str(a->canonical);
    bool alias = canonical.n > 0 && !domain_eq(canonical, slice_str(p->host));

    if (a->status == TLSA_ANSWER_FAILED) {
        end(p, DANE_FAILED, "the addresses could not be looked up:", p->host);
        return;
    }
    if (alias && !domain_normalise(canonical, p->expanded))
        p->expanded[0] = '\0'; /* no host name: nobody can ask for TLSA there */
    if (a->status == TLSA_ANSWER_NONE)
        end(p, a->secure ? DANE_ABSENT : DANE_INSECURE, "there is no address:", p->host);
    else if (a->secure)
        ask_expanded(p);
    else if (alias)
        ask_cname(p, p->host);
    else
        end(p, DANE_INSECURE, "the addresses are not signed:", p->host);
}

/*
 * One more name of the way is known.  The expanded name counts only after the last CNAME was found
 * secure: one that is not could have been made by anybody, and point into a signed zone of his own.
 */
static void on_cname(struct tlsa_plan *p, const struct tlsa_answer *a)
{
    char target[DOMAIN_MAX + 1];
    bool named;

    if (a->status == TLSA_ANSWER_FAILED) {
        end(p, DANE_FAILED, "the CNAME could not be looked up:", p->ask);
        return;
    }
    if (a->status == TLSA_ANSWER_NONE || !a->secure) {
        if (p->cnames > 0)
            ask_original(p);
        else
            end(p, DANE_INSECURE, "neither addresses nor CNAME are signed:", p->host);
        return;
    }
    p->cnames++;
    named = domain_normalise(slice_str(a->canonical), target);
    if (named && strcmp(target, p->expanded) == 0)
        ask_expanded(p);
    else if (named && p->cnames < TLSA_CNAMES_MAX)
        ask_cname(p, target);
    else
        ask_original(p);
}

/* The records outlive the answer: one block holds the data of all. */
static void keep_records(struct tlsa_plan *p, const struct tlsa_answer *a)
{
    size_t count = a->count < TLSA_RECORDS_MAX ? a->count : TLSA_RECORDS_MAX, bytes = 0;
    struct slice copies[TLSA_RECORDS_MAX];

    for (size_t i = 0; i < count; i++)
        bytes += a->rdata[i].n;
    p->data = mem_zalloc(bytes + 1);
    bytes = 0;
    for (size_t i = 0; i < count; i++) {
        copies[i] = slice_of(p->data + bytes, a->rdata[i].n);
        if (a->rdata[i].n > 0)
            memcpy(p->data + bytes, a->rdata[i].p, a->rdata[i].n);
        bytes += a->rdata[i].n;
    }
    p->records = mem_array(count, sizeof(*p->records));
    p->record_count = count;
    p->usable_count = tlsa_read_all(copies, count, p->records);
}

static void on_tlsa(struct tlsa_plan *p, const struct tlsa_answer *a)
{
    const char *base = p->step == AT_EXPANDED ? p->expanded : p->host;

    if (a->status == TLSA_ANSWER_FAILED) {
        /* RFC 7672 2.1.2: not "no DANE", and no second name that an attacker could steer us to */
        end(p, DANE_FAILED, "the TLSA records could not be looked up:", p->ask);
    } else if (a->status == TLSA_ANSWER_RECORDS && a->secure && a->count > 0) {
        keep_records(p, a);
        (void)snprintf(p->base, sizeof(p->base), "%s", base);
        if (p->usable_count > 0)
            end(p, DANE_USABLE, "TLSA records at", p->ask);
        else
            end(p, DANE_UNUSABLE, "no usable TLSA record at", p->ask);
    } else if (p->step == AT_EXPANDED) {
        ask_original(p);
    } else if (a->status == TLSA_ANSWER_RECORDS && a->count > 0) {
        end(p, DANE_ABSENT, "the TLSA records are not signed:", p->ask);
    } else {
        end(p, DANE_ABSENT, "no TLSA records at", p->ask);
    }
}

void tlsa_plan_answer(struct tlsa_plan *p, const struct tlsa_answer *a)
{
    switch ((enum step)p->step) {
    case AT_ADDRESS:
        on_address(p, a);
        break;
    case AT_CNAME:
        on_cname(p, a);
        break;
    case AT_EXPANDED:
    case AT_ORIGINAL:
        on_tlsa(p, a);
        break;
    case AT_END:
        break;
    }
}

void tlsa_plan_give(struct tlsa_plan *p, struct tlsa_record **records, unsigned char **data)
{
    *records = p->records;
    *data = p->data;
    p->records = NULL;
    p->data = NULL;
}

void tlsa_plan_clear(struct tlsa_plan *p)
{
    free(p->records);
    free(p->data);
    *p = (struct tlsa_plan){.step = AT_END};
}
