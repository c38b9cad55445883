/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      dane_internal - a bare public key as a trust anchor
 */
#ifndef TLSMEND_CERTS_DANE_INTERNAL_H
#define TLSMEND_CERTS_DANE_INTERNAL_H

#include "certs/cert_internal.h"

/*
 * RFC 7671 5.2.3: a record "2 1 0" is a key without a name.  The answer is a CA certificate that
 * nobody signed, with this key, and with the name (and the serial number, where the child says
 * one) that `child` gives its issuer, valid at all times: what the path search takes as an anchor.
 * NULL: the key cannot be used.
 */
struct cert *bare_anchor(const struct cert *child, struct slice spki);

#endif
