/* SPDX-License-Identifier: Apache-2.0 */
/* resolver_setup - libunbound's context; see resolver_internal.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/net/loop_internal.h"
#include "proxy/net/resolver_internal.h"

#define DNS_PORT 53
#define TYPE_NS 2
#define CLASS_IN 1
#define SERVER_TEXT_MAX (ADDR_TEXT_MAX + 32)

/* Part of libunbound's state is global (logging, locks of its listening side), and it makes and removes
 * that with each context, without a lock: contexts come and go one at a time, in whatever threads. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static const struct {
    const char *name, *value;
} options[] = {
    {"qname-minimisation:", "yes"},
    {"harden-glue:", "yes"},
    {"harden-dnssec-stripped:", "yes"},
    {"val-permissive-mode:", "no"},
    /* A forwarder that was away for a while is asked again as soon as it is back. */
    {"infra-keep-probing:", "yes"},
};

/* Zones that libunbound answers by itself with NXDOMAIN (RFC 6761, RFC 7686, RFC 8375).  With a
 * forwarder the network may use the first two; a stub means that this zone is really there. */
static const struct {
    const char *zone;
    bool also_with_forwarder;
} builtin[] = {
    {"test.", true},   {"home.arpa.", true},  {"invalid.", false},
    {"onion.", false}, {"localhost.", false},
};

static bool failed(struct buf *error, int result, const char *what, const char *subject)
{
    if (result == UB_NOERROR)
        return false;
    (void)buf_addf(error, "resolver: %s %s: %s", what, subject,
                   result == UB_READFILE ? strerror(errno) : ub_strerror(result));
    return true;
}

static const char *server_text(const struct addr *a, char out[SERVER_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    unsigned port = a->port != 0 ? a->port : DNS_PORT;

    if (a->scope != 0)
        (void)snprintf(out, SERVER_TEXT_MAX, "%s%%%u@%u", addr_text(a, ip), (unsigned)a->scope,
                       port);
    else
        (void)snprintf(out, SERVER_TEXT_MAX, "%s@%u", addr_text(a, ip), port);
    return out;
}

static bool set_options(struct ub_ctx *ctx, struct buf *error)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (failed(error, ub_ctx_set_option(ctx, options[i].name, options[i].value), "option",
                   options[i].name))
            return false;
    return true;
}

/* A stub for the root answers everything: the servers of /etc/resolv.conf would go before it. */
static bool has_root_stub(const struct resolver_params *p)
{
    for (size_t i = 0; i < p->stub_count; i++)
        if (strcmp(p->stubs[i].zone, ".") == 0 || p->stubs[i].zone[0] == '\0')
            return true;
    return false;
}

static bool set_servers(struct ub_ctx *ctx, const struct resolver_params *p, struct buf *error)
{
    bool system = p->system && p->forward_count == 0 && !has_root_stub(p);
    bool local = system; /* 127.0.0.53 and its kin */
    char text[SERVER_TEXT_MAX];

    for (size_t i = 0; i < p->forward_count; i++) {
        local = local || addr_class(&p->forward[i]) == ADDR_LOOPBACK;
        if (failed(error, ub_ctx_set_fwd(ctx, server_text(&p->forward[i], text)), "forwarder",
                   text))
            return false;
    }
    if (system && failed(error, ub_ctx_resolvconf(ctx, NULL), "cannot read", "/etc/resolv.conf"))
        return false;
    for (size_t i = 0; i < p->stub_count; i++) {
        local = local || addr_class(&p->stubs[i].server) == ADDR_LOOPBACK;
        if (failed(
                error,
                ub_ctx_set_stub(ctx, p->stubs[i].zone, server_text(&p->stubs[i].server, text), 0),
                "stub zone", p->stubs[i].zone))
            return false;
    }
    return !local || !failed(error, ub_ctx_set_option(ctx, "do-not-query-localhost:", "no"),
                             "option", "do-not-query-localhost");
}

/* The first word of a line with a DS or DNSKEY record, which is the zone's name; NULL: no such line. */
static const char *key_of(char *line)
{
    char *save = NULL;
    const char *zone;

    line[strcspn(line, ";")] = '\0';
    zone = strtok_r(line, " \t\r\n", &save);
    for (const char *word = zone; word != NULL; word = strtok_r(NULL, " \t\r\n", &save))
        if (strcasecmp(word, "DS") == 0 || strcasecmp(word, "DNSKEY") == 0)
            return zone;
    return NULL;
}

/* libunbound takes a file without any key as "no validation", silently. */
char *resolver_anchor_zone(const char *path, struct buf *error)
{
    FILE *f = fopen(path, "re");
    char line[4096], *found = NULL;

    if (f == NULL) {
        (void)buf_addf(error, "resolver: cannot read trust anchor %s: %s", path, strerror(errno));
        return NULL;
    }
    while ((found == NULL || strcmp(found, ".") != 0) && fgets(line, sizeof(line), f) != NULL) {
        const char *zone = key_of(line);

        if (zone != NULL && (found == NULL || strcmp(zone, ".") == 0)) {
            free(found);
            found = mem_strdup(zone);
        }
    }
    (void)fclose(f);
    if (found == NULL)
        (void)buf_addf(error, "resolver: trust anchor %s has no DS or DNSKEY record", path);
    return found;
}

static bool set_anchor(struct ub_ctx *ctx, const char *path, struct buf *error)
{
    char *zone;

    if (path == NULL || path[0] == '\0')
        return true;
    zone = resolver_anchor_zone(path, error);
    if (zone == NULL)
        return false;
    free(zone);
    return !failed(error, ub_ctx_add_ta_file(ctx, path), "trust anchor", path);
}

/* `a` is `b` or below it; "" and "." are above everything.  Final dots do not count. */
static bool is_at_or_below(const char *a, const char *b)
{
    struct slice name = slice_str(a), zone = slice_str(b);

    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (zone.n > 0 && zone.p[zone.n - 1] == '.')
        zone.n--;
    if (zone.n == 0 || slice_ieq(name, zone))
        return true;
    return name.n > zone.n && slice_iends(name, zone) && name.p[name.n - zone.n - 1] == '.';
}

static bool builtin_is_in_the_way(size_t which, const struct resolver_params *p)
{
    const char *zone = builtin[which].zone;

    if (builtin[which].also_with_forwarder && (p->forward_count > 0 || p->system))
        return true;
    for (size_t i = 0; i < p->stub_count; i++)
        if (is_at_or_below(p->stubs[i].zone, zone) || is_at_or_below(zone, p->stubs[i].zone))
            return true;
    return false;
}

static bool open_zones(struct ub_ctx *ctx, const struct resolver_params *p, struct buf *error)
{
    /* Any call on zones makes the settings final, so a bad trust anchor comes to light now and not
     * with the first question; this one changes nothing. */
    int result = ub_ctx_zone_remove(ctx, "nothing.invalid.");

    if (result == UB_INITFAIL && p->trust_anchor != NULL && p->trust_anchor[0] != '\0') {
        (void)buf_addf(error,
                       "resolver: trust anchor %s cannot be used: a record in it is malformed",
                       p->trust_anchor);
        return false;
    }
    if (failed(error, result, "settings", "refused"))
        return false;
    for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++)
        if (builtin_is_in_the_way(i, p) &&
            failed(error, ub_ctx_zone_remove(ctx, builtin[i].zone), "zone", builtin[i].zone))
            return false;
    return true;
}

static void nobody_waits(void *owner, int status, struct ub_result *result)
{
    (void)owner;
    (void)status;
    ub_resolve_free(result);
}

/* The thread starts with the first question.  That must be now: later there may be no descriptor
 * left for it, and libevent would end the process.  The root's servers are needed anyway. */
static bool start_thread(struct ub_ctx *ctx, struct buf *error)
{
    int question = 0, result;
    sigset_t all, before;

    /* Signals are not for this thread, whoever makes it. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    result = ub_resolve_async(ctx, ".", TYPE_NS, CLASS_IN, NULL, nobody_waits, &question);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed(error, result, "thread", "refused"))
        return false;
    (void)ub_cancel(ctx, question); /* an answer that is here already goes to nobody_waits() */
    return true;
}

struct resolver_context *resolver_prepare(const struct resolver_params *p, struct buf *error)
{
    struct resolver_context *c;
    struct ub_ctx *ctx;
    bool ok;

    if (!loop_files_spare()) {
        (void)buf_addf(error, "resolver: %s", strerror(errno));
        return NULL;
    }
    (void)pthread_mutex_lock(&making);
    ctx = ub_ctx_create();
    ok = ctx != NULL;
    if (!ok)
        (void)buf_addf(error, "resolver: libunbound cannot start (memory or randomness)");
    if (ok) {
        (void)ub_ctx_debugout(ctx,
                              NULL); /* it would write to our stderr; failures come as answers */
        ok = !failed(error, ub_ctx_async(ctx, 1), "thread", "mode") && set_options(ctx, error) &&
             set_servers(ctx, p, error) && set_anchor(ctx, p->trust_anchor, error) &&
             open_zones(ctx, p, error) && start_thread(ctx, error);
    }
    if (!ok && ctx != NULL)
        ub_ctx_delete(ctx);
    (void)pthread_mutex_unlock(&making);
    if (!ok)
        return NULL;
    c = mem_zalloc(sizeof(*c));
    c->ub = ctx;
    c->timeout = p->timeout;
    return c;
}

void resolver_context_free(struct resolver_context **held)
{
    struct resolver_context *c = *held;

    *held = NULL;
    if (c == NULL)
        return;
    (void)pthread_mutex_lock(&making);
    ub_ctx_delete(c->ub);
    (void)pthread_mutex_unlock(&making);
    free(c);
}
