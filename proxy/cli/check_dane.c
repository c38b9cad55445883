/* SPDX-License-Identifier: Apache-2.0 */
/* DANE as `tlsmend check` sees it, see check_internal.h. */
#include <stdio.h>

#include "proxy/cli/check_internal.h"
#include "proxy/cli/domain_report.h"
#include "proxy/relay/dnssec.h"

#define PROBE_MS 2000
#define DETAIL_MAX 1024

static const char *words(enum dnssec_trust_state s)
{
    switch (s) {
    case DNSSEC_TRUST_ON:
    case DNSSEC_TRUST_SUSPECTED:
        break;
    case DNSSEC_TRUST_UNKNOWN:
        return "NOBODY KNOWS whether DANE works";
    case DNSSEC_TRUST_OFF:
    case DNSSEC_TRUST_NO_ANCHOR:
        return "DANE is OFF";
    case DNSSEC_TRUST_WAITS:
        return "ALL MAIL WAITS";
    }
    return "DANE is on";
}

void check_dane(const struct settings *s, struct buf *warnings)
{
    struct dnssec_trust trust;
    struct buf detail;

    buf_init(&detail, DETAIL_MAX);
    dnssec_trust_start(&trust, s->resolver.trust_anchor[0] != '\0', s->resolver.require_dnssec);
    (void)dnssec_trust_probed(&trust, dnssec_probe_now(s, PROBE_MS, &detail));
    if (trust.state == DNSSEC_TRUST_ON) {
        (void)printf("# DANE is on: with %s answers are validated\n", s->resolver.trust_anchor);
    } else {
        settings_cite(s, "resolver.trust_anchor", warnings);
        (void)buf_addf(warnings, "%s (DNSSEC %s%s%s). %s\n", words(trust.state),
                       dnssec_trust_name(trust.state), detail.n > 0 ? ": " : "", buf_cstr(&detail),
                       report_dnssec_hint(trust.state));
    }
    buf_clear(&detail);
}
