/* SPDX-License-Identifier: Apache-2.0 */
/* dns_answer - from libunbound's result to an answer of ours; see resolver.h and
 * resolver_internal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/rdata_internal.h"
#include "proxy/net/resolver_internal.h"

#define ANSWER_MAGIC 0x414e5357u

struct held_answer {
    uint32_t magic;
    unsigned holds;
    struct dns_answer a;
};

static const char *const rcode_names[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                          "NXDOMAIN", "NOTIMP",  "REFUSED"};

const char *dns_status_name(enum dns_status s)
{
    switch (s) {
    case DNS_OK:
        return "ok";
    case DNS_NODATA:
        return "nodata";
    case DNS_NXDOMAIN:
        return "nxdomain";
    case DNS_FAILED:
        return "failed";
    case DNS_TIMED_OUT:
        return "timeout";
    case DNS_IS_BOGUS:
        return "bogus";
    }
    return "unknown";
}

char *dns_name_normalised(const char *name)
{
    char *copy = mem_strdup(name);
    size_t n = strlen(copy);

    for (size_t i = 0; i < n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    if (n > 0 && copy[n - 1] == '.')
        copy[n - 1] = '\0';
    return copy;
}

static struct held_answer *holder(const struct dns_answer *a)
{
    char *at = (char *)(uintptr_t)a - offsetof(struct held_answer, a);

    return OBJ_CAST(held_answer, ANSWER_MAGIC, at);
}

struct dns_answer *dns_answer_bare(const char *name, enum dns_type type, enum dns_status status,
                                   const char *detail)
{
    struct held_answer *h = mem_zalloc(sizeof(*h));

    h->magic = ANSWER_MAGIC;
    h->holds = 1;
    h->a.name = dns_name_normalised(name);
    h->a.canonical = mem_strdup(h->a.name);
    h->a.type = type;
    h->a.status = status;
    h->a.detail = mem_strdup(detail);
    return &h->a;
}

static void say(struct dns_answer *a, enum dns_status status, char *detail)
{
    a->status = status;
    free(a->detail);
    a->detail = detail;
}

/* libunbound lets one through (RFC 2181 10.1); it must be a name that can be asked for and compared. */
static bool cname_target(struct slice rdata, char **canonical)
{
    char target[DNS_NAME_MAX];
    size_t used;

    if (!rdata_name(rdata, target, &used) || used != rdata.n)
        return false;
    free(*canonical);
    *canonical = mem_strdup(target);
    return true;
}

/* Room in the arrays was made before; false: malformed, left out. */
static bool keep(struct dns_answer *a, struct slice rdata)
{
    struct addr address;
    bool ok = true;

    switch (a->type) {
    case DNS_A:
    case DNS_AAAA:
        ok = rdata_address(rdata, &address) &&
             address.family == (a->type == DNS_A ? ADDR_IP4 : ADDR_IP6);
        if (ok)
            a->addrs[a->count] = address;
        break;
    case DNS_MX:
        ok = rdata_mx(rdata, &a->mx[a->count]);
        break;
    case DNS_CNAME:
        ok = cname_target(rdata, &a->canonical);
        break;
    case DNS_TXT:
        ok = rdata_txt_ok(rdata);
        break;
    case DNS_TLSA: /* what is usable is policy's to say (C-DANE-04) */
        break;
    }
    if (ok)
        a->rdata[a->count++] = slice_of(memcpy(mem_zalloc(rdata.n), rdata.p, rdata.n), rdata.n);
    return ok;
}

static void take_records(struct dns_answer *a, const struct ub_result *from)
{
    size_t given = 0;

    while (from->data[given] != NULL)
        given++;
    a->rdata = mem_array(given, sizeof(*a->rdata));
    if (a->type == DNS_MX)
        a->mx = mem_array(given, sizeof(*a->mx));
    if (a->type == DNS_A || a->type == DNS_AAAA)
        a->addrs = mem_array(given, sizeof(*a->addrs));
    for (size_t i = 0; i < given; i++)
        if (!keep(a, slice_of(from->data[i], (size_t)from->len[i])))
            a->malformed++;
    if (a->count > 0)
        say(a, DNS_OK, mem_strdup(""));
    else /* records there are, so this is not "no data": no implicit MX may come of it (C-MX-02) */
        say(a, DNS_FAILED, mem_format("%zu records, all malformed", given));
}

static void drop_records(struct dns_answer *a)
{
    for (size_t i = 0; i < a->count; i++)
        free((char *)(uintptr_t)a->rdata[i].p);
    free(a->rdata);
    free(a->mx);
    free(a->addrs);
    a->rdata = NULL;
    a->mx = NULL;
    a->addrs = NULL;
    a->count = 0;
}

static char *rcode_text(int rcode)
{
    if (rcode >= 0 && (size_t)rcode < sizeof(rcode_names) / sizeof(rcode_names[0]))
        return mem_strdup(rcode_names[rcode]);
    return mem_format("response code %d", rcode);
}

struct dns_answer *dns_answer_of(const char *name, enum dns_type type, const struct ub_result *from)
{
    struct dns_answer *a = dns_answer_bare(name, type, DNS_NODATA, "");
    int cnames = 0;

    if (from->canonname != NULL) {
        free(a->canonical);
        a->canonical = dns_name_normalised(from->canonname);
    }
    a->ttl = from->ttl > 0 ? (uint32_t)from->ttl : 0;
    a->secure = from->secure != 0 && from->bogus == 0;
    if (from->answer_packet != NULL && from->answer_len > 0)
        cnames = rdata_count_cnames(slice_of(from->answer_packet, (size_t)from->answer_len));
    if (from->bogus) {
        say(a, DNS_IS_BOGUS,
            mem_strdup(from->why_bogus != NULL ? from->why_bogus : "not said why"));
    } else if (cnames > DNS_CNAMES_MAX) {
        say(a, DNS_FAILED, mem_format("more than %d CNAMEs in a row", DNS_CNAMES_MAX));
    } else if (from->havedata) {
        take_records(a, from);
    } else if (from->nxdomain) {
        say(a, DNS_NXDOMAIN, mem_strdup(""));
    } else if (from->rcode != 0) {
        say(a, DNS_FAILED, rcode_text(from->rcode));
    }
    if (a->status == DNS_FAILED || a->status == DNS_IS_BOGUS)
        a->secure = false;
    return a;
}

const struct dns_answer *dns_answer_hold(const struct dns_answer *a)
{
    holder(a)->holds++;
    return a;
}

void dns_answer_drop(const struct dns_answer **answer)
{
    struct held_answer *h;

    if (*answer == NULL)
        return;
    h = holder(*answer);
    *answer = NULL;
    if (--h->holds > 0)
        return;
    drop_records(&h->a);
    free(h->a.name);
    free(h->a.canonical);
    free(h->a.detail);
    h->magic = 0;
    free(h);
}
