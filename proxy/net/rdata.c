/* SPDX-License-Identifier: Apache-2.0 */
/* rdata - see rdata_internal.h for the contract. */
#include "proxy/net/rdata_internal.h"

#include <string.h>

#define LABEL_MAX 63
#define NAME_TEXT_MAX 253
#define TYPE_CNAME 5
#define HEADER_SIZE 12

static unsigned char byte_at(struct slice s, size_t at)
{
    return (unsigned char)s.p[at];
}

static unsigned u16_at(struct slice s, size_t at)
{
    return (unsigned)byte_at(s, at) << 8 | byte_at(s, at + 1);
}

/* RFC 1123 2.1, and the underscore of names like _mta-sts that records really use. */
static bool host_byte(unsigned char c, char *lower)
{
    if (c >= 'A' && c <= 'Z')
        c = (unsigned char)(c - 'A' + 'a');
    *lower = (char)c;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool rdata_name(struct slice wire, char out[DNS_NAME_MAX], size_t *used)
{
    size_t at = 0, n = 0;

    for (;;) {
        size_t label;

        if (at >= wire.n)
            return false;
        label = byte_at(wire, at++);
        if (label == 0)
            break;
        /* RFC 1035 2.3.4; a compression pointer (4.1.4) is a label that is too long */
        if (label > LABEL_MAX || label > wire.n - at || n + (n > 0) + label > NAME_TEXT_MAX)
            return false;
        if (n > 0)
            out[n++] = '.';
        for (size_t i = 0; i < label; i++)
            if (!host_byte(byte_at(wire, at + i), &out[n++]))
                return false;
        at += label;
    }
    out[n] = '\0';
    *used = at;
    return true;
}

bool rdata_address(struct slice rdata, struct addr *out)
{
    *out = (struct addr){.family = ADDR_NONE};
    if (rdata.n != 4 && rdata.n != 16)
        return false;
    out->family = rdata.n == 4 ? ADDR_IP4 : ADDR_IP6;
    memcpy(out->ip, rdata.p, rdata.n);
    return true;
}

bool rdata_mx(struct slice rdata, struct mx_record *out)
{
    size_t used;

    if (rdata.n < 3)
        return false;
    out->preference = (uint16_t)u16_at(rdata, 0);
    return rdata_name(slice_from(rdata, 2), out->host, &used) && used == rdata.n - 2;
}

bool rdata_txt_ok(struct slice rdata)
{
    size_t at = 0;

    while (at < rdata.n)
        at += 1 + (size_t)byte_at(rdata, at);
    return rdata.n > 0 && at == rdata.n;
}

/* Behind a possibly compressed name; false at the end of the bytes. */
static bool skip_name(struct slice m, size_t *at)
{
    while (*at < m.n) {
        unsigned char c = byte_at(m, (*at)++);

        if (c == 0)
            return true;
        if (c >= 0xc0) { /* RFC 1035 4.1.4: a pointer of two bytes ends the name */
            (*at)++;
            return *at <= m.n;
        }
        if (c > LABEL_MAX)
            return false;
        *at += c;
    }
    return false;
}

int rdata_count_cnames(struct slice m)
{
    size_t at = HEADER_SIZE;
    int found = 0;

    if (m.n < HEADER_SIZE)
        return -1;
    for (unsigned i = u16_at(m, 4); i > 0; i--) {
        if (!skip_name(m, &at) || m.n - at < 4)
            return -1;
        at += 4;
    }
    for (unsigned i = u16_at(m, 6); i > 0; i--) {
        unsigned length;

        if (!skip_name(m, &at) || m.n - at < 10)
            return -1;
        if (u16_at(m, at) == TYPE_CNAME)
            found++;
        length = u16_at(m, at + 8);
        at += 10;
        if (length > m.n - at)
            return -1;
        at += length;
    }
    return found;
}
