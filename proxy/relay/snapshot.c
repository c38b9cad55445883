/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot.h. */
#include "proxy/relay/snapshot.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/net/local.h"

struct snapshot {
    atomic_uint holds;
    struct settings *settings;
    struct demand_config demand;
    struct tls_context *tls;
    struct trust_store *trust;
    struct trust_store **own_trust; /* per destination; NULL: no ca_file */
    struct addr *own, *local;
    size_t own_count, local_count;
};

#define WHY_MAX 4096
#define KEY_MAX 64

static bool is_about(struct slice why, const char *path)
{
    size_t n = strlen(path);

    return why.n > n && memcmp(why.p, path, n) == 0 && why.p[n] == ':';
}

/* trust_load() names the file that cannot be used; this, the setting that named it. */
static void cite_setting(const struct settings *set, const struct override *o, struct slice why,
                         struct buf *error)
{
    char key[KEY_MAX] = "tls.trust_store";

    if (o != NULL && is_about(why, o->ca_file))
        (void)snprintf(key, sizeof(key), "destinations[%zu].ca_file",
                       (size_t)(o - set->destinations));
    else
        for (size_t i = 0; i < set->tls.crl_files.count; i++)
            if (is_about(why, set->tls.crl_files.items[i]))
                (void)snprintf(key, sizeof(key), "tls.crl_files");
    settings_cite(set, key, error);
}

struct trust_store *snapshot_load_trust(const struct settings *set, const struct override *o,
                                        struct buf *error)
{
    struct trust_params params = {
        .bundle = set->tls.trust_store,
        .extra = o != NULL ? o->ca_file : NULL,
        .crl_files = (const char *const *)set->tls.crl_files.items,
        .crl_count = set->tls.crl_files.count,
    };
    struct trust_store *store;
    struct buf why;

    buf_init(&why, WHY_MAX);
    store = trust_load(&params, &why);
    if (store == NULL) {
        cite_setting(set, o, buf_slice(&why), error);
        (void)buf_addf(error, "%s\n", buf_cstr(&why));
    }
    buf_clear(&why);
    return store;
}

static bool load_stores(struct snapshot *s, struct buf *error)
{
    s->trust = snapshot_load_trust(s->settings, NULL, error);
    if (s->trust == NULL)
        return false;
    s->own_trust = mem_array(s->settings->destination_count + 1, sizeof(struct trust_store *));
    for (size_t i = 0; i < s->settings->destination_count; i++) {
        const struct override *o = &s->settings->destinations[i];

        if (o->ca_file == NULL)
            continue;
        s->own_trust[i] = snapshot_load_trust(s->settings, o, error);
        if (s->own_trust[i] == NULL)
            return false;
    }
    return true;
}

static bool listens_everywhere(const struct snapshot *s)
{
    for (size_t i = 0; i < s->own_count; i++)
        if (addr_class(&s->own[i]) == ADDR_UNSPECIFIED)
            return true;
    return false;
}

/* A listener on 0.0.0.0 is reached at every address of the host: mail to one of them is a loop. */
static bool find_local(struct snapshot *s, struct buf *error)
{
    if (!listens_everywhere(s))
        return true;
    if (local_addresses(&s->local, &s->local_count))
        return true;
    (void)buf_addf(error, "the addresses of this host cannot be listed: %s\n", strerror(errno));
    return false;
}

struct snapshot *snapshot_new(struct settings *settings, const struct addr *own, size_t own_count,
                              struct buf *error)
{
    struct snapshot *s = mem_zalloc(sizeof(*s));

    atomic_init(&s->holds, 1);
    s->settings = settings;
    s->demand = (struct demand_config){
        .level = settings->tls.level,
        .literal_level = settings->tls.literal_level,
        .min_version = settings->tls.min_version,
        .observe = settings->tls.observe,
        .half_dane = settings->tls.half_dane,
        .overrides = settings->destinations,
        .override_count = settings->destination_count,
    };
    s->own = mem_array(own_count + 1, sizeof(*s->own));
    if (own_count > 0)
        memcpy(s->own, own, own_count * sizeof(*own));
    s->own_count = own_count;
    s->tls = tls_context_new(error);
    if (s->tls == NULL || !find_local(s, error) || !load_stores(s, error))
        snapshot_drop(&s);
    return s;
}

struct snapshot *snapshot_refresh(struct snapshot *old, struct buf *error)
{
    return snapshot_new(settings_hold(old->settings), old->own, old->own_count, error);
}

struct snapshot *snapshot_hold(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->holds, 1, memory_order_relaxed);
    return s;
}

bool snapshot_is_last(const struct snapshot *s)
{
    return atomic_load_explicit(&s->holds, memory_order_acquire) == 1;
}

void snapshot_drop(struct snapshot **held)
{
    struct snapshot *s = *held;

    *held = NULL;
    if (s == NULL || atomic_fetch_sub_explicit(&s->holds, 1, memory_order_acq_rel) != 1)
        return;
    if (s->own_trust != NULL)
        for (size_t i = 0; i < s->settings->destination_count; i++)
            trust_drop(&s->own_trust[i]);
    free(s->own_trust);
    trust_drop(&s->trust);
    tls_context_drop(&s->tls);
    settings_drop(&s->settings);
    free(s->own);
    free(s->local);
    free(s);
}

const struct settings *snapshot_settings(const struct snapshot *s)
{
    return s->settings;
}

const struct demand_config *snapshot_demand(const struct snapshot *s)
{
    return &s->demand;
}

struct tls_context *snapshot_tls(const struct snapshot *s)
{
    return s->tls;
}

struct trust_store *snapshot_trust(const struct snapshot *s, const struct override *o)
{
    if (o != NULL && o->ca_file != NULL) {
        size_t i = (size_t)(o - s->settings->destinations);

        return s->own_trust[i];
    }
    return s->trust;
}

const struct addr *snapshot_own(const struct snapshot *s, size_t *count)
{
    *count = s->own_count;
    return s->own;
}

const struct addr *snapshot_local(const struct snapshot *s, size_t *count)
{
    *count = s->local_count;
    return s->local;
}

struct addr_filter snapshot_addr_filter(const struct snapshot *s, uint16_t port)
{
    return (struct addr_filter){
        .allow_private = s->settings->resolver.allow_private_mx,
        .own = s->own,
        .own_count = s->own_count,
        .local = s->local,
        .local_count = s->local_count,
        .mx_port = port,
    };
}

bool snapshot_trust_changed(const struct snapshot *s)
{
    if (trust_changed(s->trust))
        return true;
    for (size_t i = 0; i < s->settings->destination_count; i++)
        if (s->own_trust[i] != NULL && trust_changed(s->own_trust[i]))
            return true;
    return false;
}
