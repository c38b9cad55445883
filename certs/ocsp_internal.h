/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      ocsp_internal - a stapled OCSP response about one certificate (RFC 6960)
 */
#ifndef TLSMEND_CERTS_OCSP_INTERNAL_H
#define TLSMEND_CERTS_OCSP_INTERNAL_H

#include "certs/cert_internal.h"

#define OCSP_BYTES_MAX (64 * 1024)
#define OCSP_SKEW_MS (5 * 60 * 1000LL)           /* clocks may differ by that much */
#define OCSP_AGE_MAX_MS (7 * 24 * 3600 * 1000LL) /* of a response that names no next update */

/* *why: where the answer is OCSP_INVALID or OCSP_UNKNOWN, what is wrong, in a few words. */
enum ocsp_status ocsp_check(struct slice response, const struct cert *leaf,
                            const struct cert *issuer, wall_ms now, const char **why);

#endif
