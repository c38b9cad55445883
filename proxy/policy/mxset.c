/* SPDX-License-Identifier: Apache-2.0 */
/* mxset - see mxset.h for the contract. */
#include "proxy/policy/mxset.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/smtp/mailbox.h"

/* SplitMix64 (Steele, Lea, Flood 2014): enough to spread load, no secret depends on it. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int by_preference(const struct mx_record *a, const struct mx_record *b)
{
    return a->preference < b->preference ? -1 : a->preference > b->preference;
}

static int order_by_host(const void *a, const void *b)
{
    const struct mx_record *x = a, *y = b;
    int order = strcmp(x->host, y->host);

    return order != 0 ? order : by_preference(x, y);
}

static int order_by_preference(const void *a, const void *b)
{
    const struct mx_record *x = a, *y = b;
    int order = by_preference(x, y);

    return order != 0 ? order : strcmp(x->host, y->host);
}

/* C-MX-04, C-MX-06: what is no host to ask addresses of. */
static bool is_usable_exchange(const char *host)
{
    struct slice name = slice_str(host);
    struct addr literal;

    return name.n > 0 && name.p[0] != '[' && !addr_parse(name, &literal) &&
           !domain_eq(name, SLICE("localhost")) &&
           !domain_below(name, SLICE("localhost")) && /* RFC 6761 6.3 */
           !domain_eq(name, SLICE("localhost.localdomain"));
}

/* RFC 5321 5.1: "the sender-SMTP MUST randomize them to spread the load". */
static void shuffle(struct mx_record *records, size_t count, uint64_t *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(next_random(random) % i);
        struct mx_record swap = records[i - 1];

        records[i - 1] = records[j];
        records[j] = swap;
    }
}

enum mx_kind mx_sort(struct mx_record *records, size_t *count, uint64_t seed, size_t *refused)
{
    size_t n = *count, kept = 0, last;

    *refused = 0;
    *count = 0;
    if (n == 0)
        return MX_NONE;
    if (n == 1 && records[0].host[0] == '\0')
        return MX_NULL;
    qsort(records, n, sizeof(records[0]), order_by_host);
    for (size_t i = 0; i < n; i++) {
        if (!is_usable_exchange(records[i].host))
            ++*refused;
        else if (kept == 0 || strcmp(records[kept - 1].host, records[i].host) != 0)
            records[kept++] = records[i];
    }
    qsort(records, kept, sizeof(records[0]), order_by_preference);
    for (size_t first = 0; first < kept; first = last) {
        last = first + 1;
        while (last < kept && records[last].preference == records[first].preference)
            last++;
        shuffle(records + first, last - first, &seed);
    }
    if (kept > MX_HOSTS_MAX) {
        *refused += kept - MX_HOSTS_MAX;
        kept = MX_HOSTS_MAX;
    }
    *count = kept;
    return kept > 0 ? MX_LIST : MX_UNUSABLE;
}

void mx_order(const int *preferences, size_t count, uint64_t seed, size_t *order)
{
    size_t first = 0;

    for (size_t i = 0; i < count; i++) {
        size_t j;

        if (i > 0 && preferences[i] != preferences[i - 1])
            first = i;
        /* Each goes to a random place among the equal ones before it, whose guest moves to the end. */
        j = first + (size_t)(next_random(&seed) % (i - first + 1));
        order[i] = i;
        if (j != i)
            order[i] = order[j];
        order[j] = i;
    }
}

static bool is_among(const struct addr *a, const struct addr *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (addr_same_ip(a, &list[i]))
            return true;
    return false;
}

static bool is_own(const struct addr_filter *f, const struct addr *a)
{
    for (size_t i = 0; i < f->own_count; i++) {
        const struct addr *own = &f->own[i];

        if (own->port != f->mx_port)
            continue;
        if (addr_same_ip(own, a))
            return true;
        if (addr_class(own) == ADDR_UNSPECIFIED && is_among(a, f->local, f->local_count))
            return true;
    }
    return false;
}

enum addr_refusal addr_judge(const struct addr_filter *f, const struct addr *a)
{
    if (is_own(f, a))
        return ADDR_REFUSED_SELF;
    switch (addr_class(a)) {
    case ADDR_PUBLIC:
        return ADDR_ACCEPTED;
    case ADDR_PRIVATE:
        return f->allow_private ? ADDR_ACCEPTED : ADDR_REFUSED_PRIVATE;
    case ADDR_LOOPBACK:
    case ADDR_UNSPECIFIED:
    case ADDR_MULTICAST:
        break;
    }
    return ADDR_REFUSED_CLASS;
}

struct target_list {
    struct mx_target *out;
    size_t n, limit;
    bool has[ADDR_IP6 + 1]; /* families among the taken */
    struct mx_target spare; /* the first of a family that is not among them */
    bool has_spare;
};

static void take(struct target_list *l, size_t host, const struct addr *a)
{
    struct mx_target t = {.host = host, .addr = *a};

    if (l->n < l->limit) {
        l->out[l->n++] = t;
        l->has[a->family] = true;
    } else if (!l->has[a->family] && !l->has_spare) {
        l->spare = t;
        l->has_spare = true;
    }
}

/* The next address of that family at or behind *at; NULL: no more. */
static const struct addr *next_of(const struct mx_addresses *h, enum addr_family family, size_t *at)
{
    while (*at < h->count) {
        const struct addr *a = &h->addrs[(*at)++];

        if (a->family == family)
            return a;
    }
    return NULL;
}

static void take_host(struct target_list *l, size_t host, const struct mx_addresses *h,
                      bool ip6_broken)
{
    enum addr_family first = ip6_broken ? ADDR_IP4 : ADDR_IP6;
    enum addr_family second = ip6_broken ? ADDR_IP6 : ADDR_IP4;
    size_t at_first = 0, at_second = 0;
    const struct addr *a, *b = NULL;

    do {
        a = next_of(h, first, &at_first);
        if (a != NULL)
            take(l, host, a);
        /* A broken family waits until the other is used up. */
        if (a == NULL || !ip6_broken) {
            b = next_of(h, second, &at_second);
            if (b != NULL)
                take(l, host, b);
        }
    } while (a != NULL || b != NULL);
}

size_t mx_targets(const struct mx_addresses *hosts, size_t host_count, size_t limit,
                  bool ip6_broken, struct mx_target *out)
{
    struct target_list l = {.out = out, .limit = limit};

    for (size_t host = 0; host < host_count; host++)
        take_host(&l, host, &hosts[host], ip6_broken);
    /* C-MX-01: both families inside the limit. */
    if (l.has_spare && l.n > 1)
        out[l.n - 1] = l.spare;
    return l.n;
}
