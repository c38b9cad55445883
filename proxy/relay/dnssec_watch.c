/* SPDX-License-Identifier: Apache-2.0 */
/* See dnssec.h: when to probe, and the records of it. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"
#include "proxy/relay/dnssec.h"

#define WATCH_MAGIC 0x64777463u
#define DETAIL_MAX 1024

struct dnssec_watch {
    uint32_t magic;
    struct loop *loop;
    struct log *log;
    struct settings *settings; /* held */
    struct timer *timer;
    struct dnssec_probe *probe;
    struct dnssec_trust trust;
    struct buf detail; /* of the last probe */
    void (*validate)(void *owner, bool on);
    void *owner;
};

/* ---- the record ---- */

static const char *hint(const struct dnssec_watch *w)
{
    switch (w->trust.state) {
    case DNSSEC_TRUST_UNKNOWN:
    case DNSSEC_TRUST_ON:
        break;
    case DNSSEC_TRUST_SUSPECTED:
        return "It worked before: somebody on the path may break the answers. Validation stays on, "
               "mail that "
               "meets such answers waits; it goes off when three more probes, a minute apart, fail "
               "too.";
    case DNSSEC_TRUST_OFF:
        return "The resolver strips DNSSEC, or trust anchor or clock are wrong: answers are used "
               "without validation, and DANE is off, until it works. Use a validating resolver, or "
               "resolver.system = false to ask the authoritative servers.";
    case DNSSEC_TRUST_WAITS:
        return "All mail waits: resolver.require_dnssec keeps validation on, and the root's answer "
               "fails. "
               "Mend the resolver, the trust anchor or the clock.";
    case DNSSEC_TRUST_NO_ANCHOR:
        return "Install dns-root-data, or set resolver.trust_anchor.";
    }
    return "";
}

static enum record_severity severity(enum dnssec_trust_state s)
{
    if (s == DNSSEC_TRUST_WAITS)
        return RECORD_ERROR;
    return s == DNSSEC_TRUST_UNKNOWN || s == DNSSEC_TRUST_ON ? RECORD_INFO : RECORD_WARNING;
}

void dnssec_watch_tell(struct dnssec_watch *w)
{
    enum dnssec_trust_state state = w->trust.state;
    struct record *r = record_new("dnssec", severity(state), loop_wall());

    record_cstr(r, "state", dnssec_trust_name(state));
    if (state == DNSSEC_TRUST_SUSPECTED || state == DNSSEC_TRUST_OFF || state == DNSSEC_TRUST_WAITS)
        record_cstr(r, "seen", dnssec_looks_forged(buf_slice(&w->detail)) ? "forged" : "stripped");
    if (w->detail.n > 0)
        record_str(r, "detail", buf_slice(&w->detail));
    if (hint(w)[0] != '\0')
        record_cstr(r, "hint", hint(w));
    log_record(w->log, r);
}

/* ---- the probes ---- */

static void probe_in(struct dnssec_watch *w, int64_t ms)
{
    if (w->trust.has_anchor)
        timer_arm(w->timer, ms);
    else
        timer_disarm(w->timer);
}

static void changed(struct dnssec_watch *w, bool before)
{
    bool now = dnssec_trust_validates(&w->trust);

    dnssec_watch_tell(w);
    if (now != before)
        w->validate(w->owner, now);
}

static void on_probed(void *owner, enum dnssec_state seen, const char *detail)
{
    struct dnssec_watch *w = OBJ_CAST(dnssec_watch, WATCH_MAGIC, owner);
    bool before = dnssec_trust_validates(&w->trust);
    bool other = dnssec_trust_probed(&w->trust, seen);

    w->probe = NULL;
    buf_reset(&w->detail);
    (void)buf_add(&w->detail, slice_first(slice_str(detail), DETAIL_MAX));
    probe_in(w, dnssec_trust_next(&w->trust, seen));
    if (other)
        changed(w, before);
}

static void on_due(void *owner)
{
    struct dnssec_watch *w = OBJ_CAST(dnssec_watch, WATCH_MAGIC, owner);

    if (w->probe == NULL)
        w->probe = dnssec_probe_start(w->loop, w->settings, on_probed, w);
    if (w->probe == NULL) /* no resolver could be made: out of descriptors, say */
        probe_in(w, DNSSEC_PROBE_SOON_MS);
}

/* ---- settings ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Whom we ask, and by which key: what has been seen with the one says nothing about the other. */
static bool same_resolver(const struct settings *a, const struct settings *b)
{
    if (!same_text(a->resolver.trust_anchor, b->resolver.trust_anchor) ||
        a->resolver.system != b->resolver.system ||
        a->resolver.require_dnssec != b->resolver.require_dnssec ||
        a->resolver.forward_count != b->resolver.forward_count ||
        a->resolver.stub_count != b->resolver.stub_count)
        return false;
    for (size_t i = 0; i < a->resolver.forward_count; i++)
        if (!addr_same(&a->resolver.forward[i], &b->resolver.forward[i]))
            return false;
    for (size_t i = 0; i < a->resolver.stub_count; i++)
        if (!same_text(a->resolver.stubs[i].zone, b->resolver.stubs[i].zone) ||
            !addr_same(&a->resolver.stubs[i].server, &b->resolver.stubs[i].server))
            return false;
    return true;
}

static bool has_anchor(const struct settings *s)
{
    return s->resolver.trust_anchor[0] != '\0';
}

void dnssec_watch_reload(struct dnssec_watch *w, struct settings *fresh)
{
    bool before = dnssec_trust_validates(&w->trust), other = false;

    if (!same_resolver(w->settings, fresh)) {
        other = dnssec_trust_restart(&w->trust, has_anchor(fresh), fresh->resolver.require_dnssec);
        buf_reset(&w->detail);
    }
    settings_drop(&w->settings);
    w->settings = settings_hold(fresh);
    dnssec_probe_cancel(&w->probe);
    probe_in(w, 0);
    if (other)
        changed(w, before);
}

/* ---- its life ---- */

struct dnssec_watch *dnssec_watch_new(const struct dnssec_watch_params *p)
{
    struct dnssec_watch *w = mem_zalloc(sizeof(*w));
    enum dnssec_state seen;

    w->magic = WATCH_MAGIC;
    w->loop = p->loop;
    w->log = p->log;
    w->settings = settings_hold(p->settings);
    w->validate = p->validate;
    w->owner = p->owner;
    w->timer = timer_new(p->loop, on_due, w);
    buf_init(&w->detail, DETAIL_MAX);
    dnssec_trust_start(&w->trust, has_anchor(p->settings), p->settings->resolver.require_dnssec);
    seen = dnssec_probe_now(p->settings, p->patience, &w->detail);
    (void)dnssec_trust_probed(&w->trust, seen);
    probe_in(w, dnssec_trust_next(&w->trust, seen));
    return w;
}

void dnssec_watch_free(struct dnssec_watch **held)
{
    struct dnssec_watch *w = *held;

    *held = NULL;
    if (w == NULL)
        return;
    dnssec_probe_cancel(&w->probe);
    timer_free(&w->timer);
    settings_drop(&w->settings);
    buf_clear(&w->detail);
    w->magic = 0;
    free(w);
}

bool dnssec_watch_validates(const struct dnssec_watch *w)
{
    return dnssec_trust_validates(&w->trust);
}
