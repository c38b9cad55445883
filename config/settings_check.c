/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules between settings: what the table cannot say.  Every message ends with the mend.
 */
#include <string.h>
#include <strings.h>

#include "config/settings_internal.h"

static bool has_everybody(const struct addr_net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (nets[i].bits == 0)
            return true;
    return false;
}

/* What belongs to other protocols; a default that is written is no error. */
static void check_protocol(struct loader *l, const struct listener_settings *s)
{
    if (s->protocol == LISTENER_LMTP && s->bind.port == 25)
        loader_rule_error(l, GROUP_LISTENER, "port", s,
                          "port 25 is for SMTP, never for LMTP (RFC 2033 section 5): write "
                          "another, such as 24");
    if (s->protocol == LISTENER_REDIRECT)
        return;
    if (s->transparent)
        loader_rule_error(l, GROUP_LISTENER, "transparent", s,
                          "only caught connections are transparent: write protocol = "
                          "\"redirect\", or take transparent out");
    if (s->redirect_check != REDIRECT_CHECK_LOG)
        loader_rule_error(l, GROUP_LISTENER, "redirect_check", s,
                          "only a caught connection was going elsewhere: write protocol = "
                          "\"redirect\", or take redirect_check out");
}

/* Clients of loopback alone: nobody else's header names them, no rule catches others' packets. */
static bool is_local(const struct listener_settings *s)
{
    return addr_class(&s->bind) == ADDR_LOOPBACK && s->proxy_count == 0 && !s->transparent;
}

/* C-IN-08: never an open relay */
static void check_listener(struct loader *l, struct listener_settings *s)
{
    uint16_t port = s->bind.port;

    if (!addr_parse(slice_str(s->address), &s->bind)) {
        loader_rule_error(l, GROUP_LISTENER, "address", s,
                          "no IP address: write one such as \"127.0.0.1\" or \"::1\"");
        return;
    }
    s->bind.port = port;
    if (is_local(s))
        return;
    if (s->allow_count == 0 && addr_class(&s->bind) != ADDR_LOOPBACK)
        loader_rule_error(l, GROUP_LISTENER, "address", s,
                          "not a loopback address: name the networks of your clients in "
                          "allow_clients, or use \"127.0.0.1\"");
    else if (has_everybody(s->allow, s->allow_count))
        loader_rule_error(l, GROUP_LISTENER, "allow_clients", s,
                          "this lets everybody relay: name the networks of your clients");
    if (has_everybody(s->proxies, s->proxy_count))
        loader_rule_error(l, GROUP_LISTENER, "proxy_clients", s,
                          "this lets everybody name another as the client: name the addresses of "
                          "your load balancers");
}

/* Is another before it, with the same address and port or the same name? */
static void check_listener_twins(struct loader *l, size_t index)
{
    const struct listener_settings *all = l->loaded->shown.listeners, *one = &all[index];

    for (size_t k = 0; k < index; k++)
        if (one->bind.family != ADDR_NONE && addr_same(&one->bind, &all[k].bind)) {
            loader_rule_error(l, GROUP_LISTENER, "port", one,
                              "listeners[%zu] listens there already: change port or address", k);
            break;
        }
    for (size_t k = 0; k < index; k++)
        if (strcmp(one->name, all[k].name) == 0) {
            loader_rule_error(l, GROUP_LISTENER, "name", one,
                              "listeners[%zu] has that name already: give each its own", k);
            break;
        }
}

static void check_listeners(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    for (size_t i = 0; i < s->listener_count; i++) {
        check_listener(l, &s->listeners[i]);
        check_protocol(l, &s->listeners[i]);
        check_listener_twins(l, i);
    }
}

static void check_sinks(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    for (size_t i = 0; i < s->log.sink_count; i++) {
        const struct log_sink_settings *one = &s->log.sinks[i];

        if (one->kind == LOG_FILE && one->path == NULL)
            loader_rule_error(l, GROUP_SINK, "kind", one,
                              "a file needs a path: add path = \"/var/log/tlsmend.log\"");
        if (one->kind != LOG_FILE && one->path != NULL)
            loader_rule_error(l, GROUP_SINK, "path", one,
                              "only a file has a path: write kind = \"file\", or take path out");
        for (size_t k = 0; k < i; k++) {
            const struct log_sink_settings *other = &s->log.sinks[k];

            if (one->kind == other->kind &&
                (one->kind != LOG_FILE ||
                 (one->path != NULL && other->path != NULL && strcmp(one->path, other->path) == 0)))
                loader_rule_error(l, GROUP_SINK, "kind", one,
                                  "sinks[%zu] writes there already: take one out", k);
        }
    }
}

static void check_stubs(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    for (size_t i = 0; i < s->resolver.stub_count; i++) {
        const struct dns_stub_settings *one = &s->resolver.stubs[i];

        if (one->zone != NULL && strcmp(one->zone, ".") != 0 &&
            !settings_is_host_name(slice_str(one->zone), true))
            loader_rule_error(l, GROUP_STUB, "zone", one,
                              "no domain: write one such as \"example.org\", or \".\"");
    }
}

/* C-DANE-01: who asks for validation in every case must not go without it by mistake */
static void check_anchor(struct loader *l)
{
    struct settings *s = &l->loaded->shown;

    if (s->resolver.require_dnssec && s->resolver.trust_anchor[0] == '\0')
        loader_rule_error(l, GROUP_RESOLVER, "require_dnssec", s,
                          "nothing can be validated without resolver.trust_anchor: name the file "
                          "of the root key, or write false");
}

void loader_check_rules(struct loader *l)
{
    check_listeners(l);
    check_stubs(l);
    check_anchor(l);
    check_sinks(l);
}
