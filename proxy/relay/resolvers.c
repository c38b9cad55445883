/* SPDX-License-Identifier: Apache-2.0 */
/* See resolvers.h. */
#include "proxy/relay/resolvers.h"

#include <stdlib.h>

#include "proxy/base/mem.h"
#include "proxy/relay/services.h"

#define WHY_MAX 4096

static bool works(const struct settings *set, bool validate)
{
    struct resolver_context *c;
    struct buf ignored;
    bool ok;

    buf_init(&ignored, WHY_MAX);
    c = resolver_prepare_from(set, validate, &ignored);
    ok = c != NULL;
    resolver_context_free(&c);
    buf_clear(&ignored);
    return ok;
}

static struct resolver_context *prepare(const struct settings *set, bool validate,
                                        struct buf *error)
{
    struct resolver_context *c;
    struct buf why;

    buf_init(&why, WHY_MAX);
    c = resolver_prepare_from(set, validate, &why);
    if (c == NULL && validate && works(set, false)) {
        settings_cite(set, "resolver.trust_anchor", error);
        (void)buf_addf(error, "%s: install dns-root-data, or write \"\" to do without DNSSEC\n",
                       buf_cstr(&why));
    } else if (c == NULL) {
        (void)buf_addf(error, "%s\n", buf_cstr(&why));
    }
    buf_clear(&why);
    return c;
}

bool resolvers_check(const struct settings *set, struct buf *error)
{
    struct resolver_context *c = prepare(set, true, error);
    bool ok = c != NULL;

    resolver_context_free(&c);
    return ok;
}

struct resolver_context **resolvers_prepare(const struct settings *set, bool validate,
                                            unsigned count, struct buf *error)
{
    struct resolver_context **all = mem_array(count, sizeof(struct resolver_context *));

    for (unsigned i = 0; i < count; i++) {
        all[i] = prepare(set, validate, error);
        if (all[i] == NULL) {
            resolvers_free(&all, count);
            return NULL;
        }
    }
    return all;
}

void resolvers_free(struct resolver_context ***held, unsigned count)
{
    struct resolver_context **all = *held;

    *held = NULL;
    for (unsigned i = 0; all != NULL && i < count; i++)
        resolver_context_free(&all[i]);
    free(all);
}

void resolvers_tell(struct log *log, struct slice why)
{
    struct record *r = record_new("warning", RECORD_ERROR, loop_wall());

    if (why.n > 0 && why.p[why.n - 1] == '\n')
        why.n--;
    record_cstr(r, "subject", "resolver");
    record_str(r, "detail", why);
    log_record(log, r);
}
