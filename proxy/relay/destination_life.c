/* SPDX-License-Identifier: Apache-2.0 */
/* See destination_internal.h: the object itself, its texts and holds, and how long it may be kept. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/destination_internal.h"

const char *destination_text(const char *text)
{
    return text[0] != '\0' ? mem_strdup(text) : "";
}

void destination_text_drop(const char **held)
{
    const char *text = *held;

    *held = "";
    if (text != NULL && text[0] != '\0')
        free((void *)(uintptr_t)text);
}

void destination_key(const struct mailbox *recipient, char out[DOMAIN_MAX + 3])
{
    struct slice text = slice_first(recipient->domain, DOMAIN_MAX + 2);

    if (recipient->is_literal) {
        memcpy(out, text.p, text.n);
        out[text.n] = '\0';
    } else {
        /* The inbound machine let only host names pass. */
        INVARIANT(domain_normalise(recipient->domain, out));
    }
}

struct destination *destination_new(struct snapshot *snap, const struct mailbox *recipient)
{
    struct destination *d = mem_zalloc(sizeof(*d));
    char domain[DOMAIN_MAX + 3];

    destination_key(recipient, domain);
    d->snapshot = snapshot_hold(snap);
    d->reason = REASON_OK;
    d->is_literal = recipient->is_literal;
    d->domain = destination_text(domain);
    d->nexthop = destination_text(domain);
    d->expanded = d->policy_domain = d->detail = "";
    d->sts.detail = "";
    return d;
}

static void host_clear(struct destination_host *h)
{
    if (h->dane.base != h->name)
        destination_text_drop(&h->dane.base);
    destination_text_drop(&h->dane.detail);
    free(h->dane.records);
    free(h->dane.data);
    destination_text_drop(&h->name);
    destination_text_drop(&h->why_skipped);
    free(h->addrs);
}

void destination_free(struct destination **held)
{
    struct destination *d = *held;

    *held = NULL;
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->host_count; i++)
        host_clear(&d->hosts[i]);
    destination_text_drop(&d->domain);
    destination_text_drop(&d->nexthop);
    destination_text_drop(&d->expanded);
    destination_text_drop(&d->policy_domain);
    destination_text_drop(&d->detail);
    destination_text_drop(&d->sts.detail);
    policy_entry_drop(&d->sts.entry);
    free(d->hosts);
    free(d->targets);
    snapshot_drop(&d->snapshot);
    free(d);
}

/* Constant but for the holds. */
static struct destination *own(const struct destination *d)
{
    return (struct destination *)(uintptr_t)d;
}

const struct destination *destination_hold(const struct destination *d)
{
    own(d)->holds++;
    return d;
}

void destination_drop(const struct destination **held)
{
    struct destination *d = own(*held);

    *held = NULL;
    if (d == NULL)
        return;
    INVARIANT(d->holds > 0);
    if (--d->holds == 0)
        destination_free(&d);
}

/* ---- how long it lives ---- */

void destination_lives(struct destination *d, mono_ms until)
{
    if (until < d->good_until)
        d->good_until = until;
}

static void earlier(wall_ms *first, wall_ms date, wall_ms now)
{
    if (date > now && (*first == 0 || date < *first))
        *first = date;
}

wall_ms destination_dates(const struct destination *d, wall_ms now)
{
    const struct demand_config *c = snapshot_demand(d->snapshot);
    wall_ms first = 0;

    for (size_t i = 0; i < c->override_count; i++)
        earlier(&first, c->overrides[i].expires, now);
    if (d->sts.entry != NULL)
        earlier(&first, d->sts.entry->held.expires, now);
    return first;
}

bool destination_good(const struct destination *d, mono_ms now, wall_ms wall)
{
    /* A clock that was set back may end a policy too. */
    return now < d->good_until && (d->dates_until == 0 || wall < d->dates_until) &&
           (d->sts.entry == NULL || sts_live(&d->sts.entry->held, wall));
}

/* ---- its memory ---- */

static size_t text_memory(const char *text)
{
    return text[0] != '\0' ? strlen(text) + 1 : 0;
}

static size_t host_memory(const struct destination_host *h)
{
    size_t n = sizeof(*h) + text_memory(h->name) + text_memory(h->why_skipped) +
               text_memory(h->dane.detail) + h->addr_count * sizeof(*h->addrs);

    if (h->dane.base != h->name)
        n += text_memory(h->dane.base);
    for (size_t i = 0; i < h->dane.record_count; i++)
        n += sizeof(h->dane.records[i]) + h->dane.records[i].data.n;
    return n;
}

size_t destination_memory(const struct destination *d)
{
    size_t n = sizeof(*d) + text_memory(d->domain) + text_memory(d->nexthop) +
               text_memory(d->expanded) + text_memory(d->policy_domain) + text_memory(d->detail) +
               text_memory(d->sts.detail) + d->target_count * sizeof(*d->targets);

    for (size_t i = 0; i < d->host_count; i++)
        n += host_memory(&d->hosts[i]);
    if (d->sts.entry != NULL)
        n += sizeof(*d->sts.entry) + d->sts.entry->policy.mx_count * sizeof(char *) +
             d->sts.entry->body.n;
    return n;
}
