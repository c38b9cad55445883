/* SPDX-License-Identifier: Apache-2.0 */
/* retry - see retry.h for the contract. */
#include "proxy/policy/retry.h"

#include <string.h>

#include "proxy/base/invariant.h"

static const char *const outcome_names[] = {
    [LEDGER_DELIVERED] = "delivered",
    [LEDGER_REFUSED] = "refused",
    [LEDGER_DEFERRED] = "deferred",
    [LEDGER_DEFERRED_AGAIN] = "deferred-again",
};

#define OUTCOMES (sizeof(outcome_names) / sizeof(outcome_names[0]))

const char *ledger_outcome_name(enum ledger_outcome o)
{
    INVARIANT((size_t)o < OUTCOMES);
    return outcome_names[o];
}

bool ledger_outcome_parse(struct slice name, enum ledger_outcome *out)
{
    for (size_t i = 0; i < OUTCOMES; i++)
        if (slice_eq(name, slice_str(outcome_names[i]))) {
            *out = (enum ledger_outcome)i;
            return true;
        }
    return false;
}

/* All loopback addresses are this host: a client whose relayhost is "localhost" comes from
 * 127.0.0.1 one time and from ::1 the next. */
static bool same_address(const char *then, const char *now)
{
    struct addr a, b;

    if (!addr_parse(slice_str(then), &a) || !addr_parse(slice_str(now), &b))
        return strcmp(then, now) == 0;
    return addr_same_ip(&a, &b) ||
           (addr_class(&a) == ADDR_LOOPBACK && addr_class(&b) == ADDR_LOOPBACK);
}

static struct slice host_name(const char *helo)
{
    struct slice s = slice_str(helo);

    return s.n > 0 && s.p[s.n - 1] == '.' ? slice_first(s, s.n - 1) : s;
}

/*
 * The client is its address and the name in its HELO.  Behind one address there may be several
 * MTAs (a NAT, two instances on one host, the containers behind a redirect listener), and their
 * names tell them apart; an MTA changes its name hardly ever within the life of an entry.  One MTA
 * may have several addresses, too.  So where one of the two differs it is taken for another client,
 * unless it says the same queue id: that speaks for it, the other sign against it, and together
 * they prove nothing.
 *
 * Being wrong with RETRY_NOT costs little: what was delivered is held by its digest all the same,
 * the MX refuses what it refused before, and the results are mixed once more; but the new entry
 * bears the signs of now, so the next retry finds it.
 */
static enum retry_likeness other_client(bool address, bool helo, bool ident)
{
    return ident && (address || helo) ? RETRY_UNKNOWN : RETRY_NOT;
}

enum retry_likeness retry_compare(const struct retry_signs *then, const struct retry_signs *now,
                                  bool group_named)
{
    bool address = same_address(then->client, now->client);
    bool helo = slice_ieq(host_name(then->helo), host_name(now->helo));
    bool ident = then->ident[0] != '\0' && now->ident[0] != '\0';

    if (ident && strcmp(then->ident, now->ident) != 0)
        return RETRY_NOT;
    /* An MTA declares the size of a message always or never, for the offer of SIZE is always there.
     * It is the same each time, but for Sendmail's, who counts the header section only when the
     * message comes from its queue: there the first retry is taken for another message. */
    if (then->has_size != now->has_size || (then->has_size && then->size != now->size))
        return RETRY_NOT;
    if (!address || !helo)
        return other_client(address, helo, ident);
    /* A queue id alone may come back with another message (the short ones of Postfix are numbers of
     * files), but hardly with the same sender, recipient and size within the life of an entry. */
    if (ident)
        return RETRY_SURE;
    /* Of clients that declare no size every message to the same people looks the same (C-RCPT-06). */
    return group_named && now->has_size ? RETRY_LIKELY : RETRY_UNKNOWN;
}

/* The best likeness among the candidates of one outcome, and the newest that has it (candidates
 * come newest first); RETRY_NOT where there is none. */
static enum retry_likeness most_alike(const struct retry_candidate *candidates, size_t count,
                                      enum ledger_outcome outcome, size_t *which)
{
    enum retry_likeness best = RETRY_NOT;

    for (size_t i = 0; i < count; i++)
        if (candidates[i].outcome == outcome && candidates[i].likeness > best) {
            best = candidates[i].likeness;
            *which = i;
        }
    return best;
}

static bool any_deferred_again(const struct retry_candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (candidates[i].outcome == LEDGER_DEFERRED_AGAIN && candidates[i].likeness > RETRY_NOT)
            return true;
    return false;
}

static bool any_delivered(const struct retry_candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (candidates[i].outcome == LEDGER_DELIVERED)
            return true;
    return false;
}

/*
 * A 5xx is told only where the refused message is more alike than every delivered one.  Two
 * messages of one sender to one recipient can be in the ledger at once, and where this one is as
 * well the delivered one (a queue id that came back, a message that the client changed between
 * its attempts), telling the refusal would make the client return a message that has arrived. To
 * ask costs one more attempt and is right in both cases: the held leg compares the digest, and
 * the MX answers for itself.
 */
enum retry_step retry_decide(const struct retry_candidate *candidates, size_t count,
                             enum retry_proof proof, bool each, size_t *which)
{
    enum retry_likeness needed = each || proof == PROOF_QUEUE_ID ? RETRY_SURE : RETRY_LIKELY;
    enum retry_likeness refused, delivered;
    size_t at = 0, unused;

    refused = most_alike(candidates, count, LEDGER_REFUSED, &at);
    delivered = most_alike(candidates, count, LEDGER_DELIVERED, &unused);
    if (refused >= needed && refused > delivered) {
        *which = at;
        return RETRY_TELL;
    }
    /* An MX that defers the message each time would make each answer a mixed one, and those who
     * have the message would never hear it. */
    if (any_deferred_again(candidates, count) && !each)
        return RETRY_STAND_BACK;
    /* With a reply for each recipient nobody has to be asked alone. */
    if (refused > RETRY_NOT && !each)
        return RETRY_ALONE;
    /* Whatever the signs say: the digest decides. */
    return any_delivered(candidates, count) ? RETRY_HOLD : RETRY_SEND;
}
