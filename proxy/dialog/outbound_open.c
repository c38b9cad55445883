/* SPDX-License-Identifier: Apache-2.0 */
/* outbound_open - from the greeting to READY; see outbound.h for the contract. */
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/dialog/inbound.h"
#include "proxy/dialog/outbound_internal.h"

/* An MX that bears our own name is ourselves: the mail would go round (C-MX-06).  A host without a name
 * says "localhost", and many do: that is nobody's own name.  The name that only our clients hear means
 * that a packet filter sent our own connection back to us: every domain's mail would come back to its
 * sender if that were final. */
static enum reason own_name(const struct outbound *o, struct slice host)
{
    bool inbound = slice_istarts(host, SLICE(INBOUND_NAME_PREFIX));

    if (domain_eq(host, SLICE("localhost")) || domain_eq(host, SLICE("localhost.localdomain")))
        return REASON_OK;
    if (inbound)
        host = slice_from(host, sizeof(INBOUND_NAME_PREFIX) - 1);
    if (host.n == 0 || !domain_eq(host, slice_str(o->helo_name)))
        return REASON_OK;
    return inbound ? REASON_FILTER_LOOP : REASON_LOOP;
}

static struct slice first_word(const struct reply *r)
{
    struct slice line, rest, word = SLICE_NONE;

    (void)slice_cut(buf_slice(&r->text), '\n', &line, &rest);
    (void)slice_word(&line, &word);
    return word;
}

static void note(const char **fact, const struct reply *r, size_t max)
{
    INVARIANT((*fact)[0] == '\0'); /* each is heard once */
    *fact = outbound_words(r, max);
}

static enum outbound_event on_banner(struct outbound *o, struct outbound_what *what)
{
    enum reason own;

    note(&o->facts.greeting, &o->reply, OUTBOUND_FACT_MAX);
    if (o->reply.code != 220) /* a 221 or 354 here is as much a refusal as a 554 (C-OUT-11) */
        return outbound_fail_words(o, REASON_MX_REFUSED, what);
    o->facts.masked = greeting_masked(&o->reply);
    own = own_name(o, first_word(&o->reply));
    if (own != REASON_OK)
        return outbound_fail_words(o, own, what);
    outbound_enter(o, OUTBOUND_PHASE_EHLO);
    return OUTBOUND_NEED_INPUT;
}

static enum outbound_event ready(struct outbound *o)
{
    outbound_enter(o, OUTBOUND_PHASE_READY);
    buf_clear(&o->reply.text); /* of EHLO: the largest, and what counts was taken from it */
    outbound_trim(o);
    return OUTBOUND_READY;
}

/* TLS is owed and cannot be had: say what EHLO really answered (C-TLS-05). */
static enum outbound_event fail_without_starttls(struct outbound *o, struct outbound_what *what)
{
    return outbound_fail_text(o, o->facts.masked ? REASON_STARTTLS_MASKED : REASON_NO_STARTTLS,
                              &o->reply, mem_format("EHLO was answered: %s", o->facts.ehlo_reply),
                              what);
}

/* RFC 5321 4.1.1.1: only 250 opens the session; 220, 221 or 354 is no yes. */
static enum outbound_event on_ehlo_refused(struct outbound *o, struct outbound_what *what)
{
    int code = o->reply.code;

    if (code < 500)
        return outbound_fail_words(o, REASON_MX_REFUSED, what);
    if (code == 500 || code == 502)
        o->facts.masked = true; /* a firewall that does not let ESMTP through (C-TLS-05) */
    if (outbound_owes_tls(o))
        return fail_without_starttls(o, what);
    outbound_enter(o, OUTBOUND_PHASE_HELO); /* C-OUT-03 */
    return OUTBOUND_NEED_INPUT;
}

static enum outbound_event on_ehlo(struct outbound *o, struct outbound_what *what)
{
    enum reason own;

    note(&o->facts.ehlo_reply, &o->reply, OUTBOUND_EHLO_MAX);
    if (o->reply.code != 250)
        return on_ehlo_refused(o, what);
    ehlo_parse(&o->reply, &o->facts.ehlo);
    o->facts.starttls_offered = o->facts.ehlo.starttls;
    o->facts.masked = o->facts.masked || o->facts.ehlo.masked;
    own = own_name(o, slice_str(o->facts.ehlo.host));
    if (own != REASON_OK)
        return outbound_fail_words(o, own, what);
    if ((o->demand->level == LEVEL_NONE && !outbound_owes_tls(o)) || o->plaintext)
        return ready(o);
    if (o->facts.ehlo.starttls) {
        outbound_enter(o, OUTBOUND_PHASE_STARTTLS);
        return OUTBOUND_NEED_INPUT;
    }
    if (outbound_owes_tls(o))
        return fail_without_starttls(o, what);
    return ready(o);
}

static enum outbound_event on_helo(struct outbound *o, struct outbound_what *what)
{
    enum reason own;

    if (o->reply.code != 250)
        return outbound_fail_words(o, REASON_MX_REFUSED, what);
    own = own_name(o, first_word(&o->reply));
    if (own != REASON_OK)
        return outbound_fail_words(o, own, what);
    o->facts.helo_only = true;
    return ready(o);
}

static enum outbound_event on_starttls(struct outbound *o, bool more, struct outbound_what *what)
{
    int code = o->reply.code;

    if (code == 220) {
        if (more)
            return outbound_fail_injection(o, what);
        outbound_enter(o, OUTBOUND_PHASE_HANDSHAKE);
        return OUTBOUND_START_TLS;
    }
    o->facts.starttls_refused = true;
    note(&o->facts.starttls_reply, &o->reply, OUTBOUND_FACT_MAX);
    /* 221 and 421 end the session; anything else that is no 220 leaves it in clear (C-TLS-04). */
    if (outbound_owes_tls(o) || code == 221 || code == 421)
        return outbound_fail_words(o, REASON_STARTTLS_REFUSED, what);
    return ready(o);
}

static enum outbound_event on_ehlo_tls(struct outbound *o, struct outbound_what *what)
{
    enum reason own;

    if (o->reply.code != 250) /* no HELO here: it would be a step back (C-TLS-03) */
        return outbound_fail_words(o, REASON_MX_REFUSED, what);
    ehlo_parse(&o->reply, &o->facts.ehlo);
    own = own_name(o, slice_str(o->facts.ehlo.host));
    if (own != REASON_OK)
        return outbound_fail_words(o, own, what);
    o->reached.requiretls = o->facts.ehlo.requiretls; /* RFC 8689 4.2.1: inside TLS, and now */
    if ((o->demand->needs & NEED_REQUIRETLS) && !o->reached.requiretls)
        return outbound_fail(o, REASON_REQUIRETLS_UNMET, &o->reply,
                             "the MX does not offer REQUIRETLS inside TLS", what);
    return ready(o);
}

enum outbound_event outbound_on_opening(struct outbound *o, bool more, struct outbound_what *what)
{
    if (o->phase == OUTBOUND_PHASE_BANNER)
        return on_banner(o, what);
    if (o->phase == OUTBOUND_PHASE_EHLO)
        return on_ehlo(o, what);
    if (o->phase == OUTBOUND_PHASE_HELO)
        return on_helo(o, what);
    if (o->phase == OUTBOUND_PHASE_STARTTLS)
        return on_starttls(o, more, what);
    INVARIANT(o->phase == OUTBOUND_PHASE_EHLO_TLS);
    return on_ehlo_tls(o, what);
}
