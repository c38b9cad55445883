/* SPDX-License-Identifier: Apache-2.0 */
/* See sts_internal.h; docs/log.md has the fields of the record "sts". */
#include <stdlib.h>

#include "proxy/base/mem.h"
#include "proxy/relay/sts_internal.h"

static const char *outcome_of(const struct sts_work *w)
{
    if (w->fetched == STS_FETCH_GOOD)
        return w->changed ? "new-policy" : "unchanged";
    return w->fetched == STS_FETCH_FAILED ? "fetch-failed" : "discovery-failed";
}

static void put_policy(struct record *r, const struct policy_entry *e)
{
    struct slice *mx = mem_array(e->policy.mx_count + 1, sizeof(*mx));
    char when[INSTANT_TEXT_MAX];

    for (size_t i = 0; i < e->policy.mx_count; i++)
        mx[i] = slice_str(e->policy.mx[i]);
    record_cstr(r, "sts_id", e->held.id);
    record_cstr(r, "sts_mode", sts_mode_name(e->held.mode));
    record_list(r, "sts_mx", mx, e->policy.mx_count);
    record_int(r, "max_age", e->policy.max_age);
    record_cstr(r, "expires", instant_text(e->held.expires, when));
    free(mx);
}

void sts_log(const struct sts_work *w, const struct sts_step_taken *taken)
{
    bool failed = w->trouble != REASON_OK;
    struct record *r;

    if (!failed && w->fetched == STS_FETCH_NOT_TRIED)
        return; /* the ordinary case: nothing happened */
    r = record_new("sts", failed ? RECORD_WARNING : RECORD_INFO, loop_wall());
    record_cstr(r, "policy_domain", w->domain);
    record_cstr(r, "occasion", w->refresh ? "refresh" : w->again ? "second-look" : "mail");
    record_cstr(r, "outcome", outcome_of(w));
    if (w->seen == STS_SEEN_RECORD)
        record_cstr(r, "txt_id", w->seen_id);
    if (failed) {
        record_cstr(r, "reason", reason_info(w->trouble)->token);
        record_cstr(r, "detail", w->detail);
        record_cstr(r, "hint", reason_info(w->trouble)->hint);
    }
    record_cstr(r, "why", taken->why);
    record_bool(r, "in_force", taken->step == STS_STEP_HELD || taken->step == STS_STEP_NEW);
    if (w->held != NULL && w->held->held.policy)
        put_policy(r, w->held);
    if (w->untyped)
        record_bool(r, "untyped", true);
    if (w->began != 0) /* not while it only waited for a place */
        record_int(r, "took", w->took_ms);
    log_record(w->agent->services->log, r);
}
