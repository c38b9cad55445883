/* SPDX-License-Identifier: Apache-2.0 */
/* escape - see escape_internal.h for the contract. */
#include "proxy/net/escape_internal.h"

void escape_add(struct slice bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';

        if (!(plain ? buf_addc(out, (char)c) : buf_addf(out, "\\x%02x", c)))
            return;
    }
}
