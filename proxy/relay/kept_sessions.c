/* SPDX-License-Identifier: Apache-2.0 */
/* kept_sessions - see kept_sessions.h for the contract. */
#include "proxy/relay/kept_sessions.h"

#include "proxy/net/loop.h"
#include "proxy/net/tls_sessions.h"

struct reading {
    struct tls_sessions *into;
    const struct tls_context *tls;
    wall_ms now;
    size_t broken;
};

size_t kept_sessions_max(const struct settings *set)
{
    return set->tls.keep_sessions ? (size_t)set->tls.sessions : 0;
}

static void on_read(void *owner, struct slice key, struct slice bytes)
{
    struct reading *r = owner;

    if (!tls_sessions_add(r->into, r->tls, r->now, key, bytes))
        r->broken++;
}

void kept_sessions_read(struct tls_sessions *into, struct store *store,
                        const struct tls_context *tls, struct log *log)
{
    struct reading r = {.into = into, .tls = tls, .now = loop_wall()};
    struct record *record;

    store_take_tls(store, on_read, &r);
    if (r.broken == 0)
        return;
    record = record_new("warning", RECORD_WARNING, r.now);
    record_cstr(record, "subject", "tls-sessions");
    record_strf(record, "detail", "%zu of the last run could not be read and were dropped",
                r.broken);
    record_cstr(record, "hint",
                "nothing: handshakes are made anew; look at the disk if it happens again");
    log_record(log, record);
}

static void on_write(void *owner, struct slice key, struct slice bytes)
{
    store_leave_tls(owner, key, bytes);
}

void kept_sessions_write(struct tls_sessions *from, struct store *store, const struct settings *set)
{
    if (from != NULL && store != NULL && set->tls.keep_sessions)
        tls_sessions_each(from, loop_wall(), on_write, store);
}
