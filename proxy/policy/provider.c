/* SPDX-License-Identifier: Apache-2.0 */
/* provider - see provider.h for the contract. */
#include "proxy/policy/provider.h"

#include <libpsl.h>

#include "proxy/base/addr.h"

const char *provider_of(const char *host)
{
    struct addr literal;
    const char *domain;

    /* The list knows nothing of addresses: "192.0.2.1" would become "2.1". */
    if (host[0] == '[' || addr_parse(slice_str(host), &literal))
        return host;
    domain = psl_registrable_domain(psl_builtin(), host);
    return domain != NULL ? domain : host;
}

const char *provider_library_version(void)
{
    return psl_get_version();
}
