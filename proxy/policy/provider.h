/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      provider - the registrable domain of an MX host ("outlook.com")
 *
 * DESCRIPTION
 *      The one place that knows libpsl (its built-in list).  A host without a registrable domain
 *      is its own provider.  Pure after the first call; any thread.
 */
#ifndef TLSMEND_POLICY_PROVIDER_H
#define TLSMEND_POLICY_PROVIDER_H

#include "proxy/base/slice.h"

/* `host` normalised and NUL-terminated; the answer points into it. */
const char *provider_of(const char *host);

const char *provider_library_version(void); /* of libpsl, "0.21.2" */

#endif
