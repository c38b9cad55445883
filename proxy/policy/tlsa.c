/* SPDX-License-Identifier: Apache-2.0 */
/* tlsa - see tlsa.h for the contract; docs/policy.md, "DANE", has the decisions. */
#include "proxy/policy/tlsa.h"

#include "proxy/base/invariant.h"

#define TEXT_BYTES 8 /* of the data, shown by tlsa_text() */

enum { USAGE_PKIX_EE = 1, USAGE_MAX = 3, SELECTOR_MAX = 1 };
enum { MATCHING_FULL = 0, MATCHING_SHA256 = 1, MATCHING_SHA512 = 2 };

static const char *const usability_texts[] = {
    [TLSA_USABLE] = "usable",
    [TLSA_TRUNCATED] = "shorter than four bytes",
    [TLSA_PKIX_USAGE] = "usage 0 and 1 are not for SMTP",
    [TLSA_BAD_USAGE] = "unknown usage",
    [TLSA_BAD_SELECTOR] = "unknown selector",
    [TLSA_BAD_MATCHING] = "unknown matching type",
    [TLSA_BAD_LENGTH] = "the data does not have the form of its matching type",
    [TLSA_WEAKER] = "a stronger digest of the same usage and selector counts",
};

const char *tlsa_usability_text(enum tlsa_usability u)
{
    INVARIANT((unsigned)u < sizeof(usability_texts) / sizeof(usability_texts[0]));
    return usability_texts[u];
}

/* One DER element with this tag at the start of *in: its content goes to *content and it is taken
 * off *in.  Only tags and sizes are looked at, and long forms of a size are let pass, so no
 * certificate that a peer could show is called broken. */
static bool take_element(struct slice *in, unsigned char tag, struct slice *content)
{
    const unsigned char *p = (const unsigned char *)in->p;
    size_t length, head = 2;

    if (in->n < 2 || p[0] != tag)
        return false;
    length = p[1];
    if (length >= 0x80) {
        size_t bytes = length & 0x7f;

        if (bytes == 0 || bytes > 4 || in->n < 2 + bytes)
            return false;
        length = 0;
        for (size_t i = 0; i < bytes; i++)
            length = length << 8 | p[2 + i];
        head += bytes;
    }
    if (length > in->n - head)
        return false;
    *content = slice_first(slice_from(*in, head), length);
    *in = slice_from(*in, head + length);
    return true;
}

/* Matching type 0 carries a whole certificate (selector 0: three members) or a whole public key
 * (selector 1: algorithm and bits).  What has not even that shape is malformed (RFC 7671 9): it can
 * match nothing. */
static bool is_whole_der(struct slice data, unsigned selector)
{
    enum { SEQUENCE = 0x30, BIT_STRING = 0x03 };
    struct slice inside, member;

    if (!take_element(&data, SEQUENCE, &inside) || data.n > 0 ||
        !take_element(&inside, SEQUENCE, &member))
        return false;
    if (selector == 0 && !take_element(&inside, SEQUENCE, &member))
        return false;
    return take_element(&inside, BIT_STRING, &member) && inside.n == 0;
}

static enum tlsa_usability judge(const struct tlsa_record *r)
{
    if (r->usage > USAGE_MAX)
        return TLSA_BAD_USAGE;
    if (r->usage <= USAGE_PKIX_EE) /* RFC 7672 3.1.3 */
        return TLSA_PKIX_USAGE;
    if (r->selector > SELECTOR_MAX)
        return TLSA_BAD_SELECTOR;
    switch (r->matching) {
    case MATCHING_FULL:
        return is_whole_der(r->data, r->selector) ? TLSA_USABLE : TLSA_BAD_LENGTH;
    case MATCHING_SHA256:
        return r->data.n == 32 ? TLSA_USABLE : TLSA_BAD_LENGTH;
    case MATCHING_SHA512:
        return r->data.n == 64 ? TLSA_USABLE : TLSA_BAD_LENGTH;
    default:
        return TLSA_BAD_MATCHING;
    }
}

void tlsa_read(struct slice rdata, struct tlsa_record *out)
{
    const unsigned char *p = (const unsigned char *)rdata.p;

    *out = (struct tlsa_record){.data = SLICE_NONE, .usability = TLSA_TRUNCATED};
    out->usage = rdata.n > 0 ? p[0] : 0;
    out->selector = rdata.n > 1 ? p[1] : 0;
    out->matching = rdata.n > 2 ? p[2] : 0;
    if (rdata.n < 4) /* RFC 6698 2.1: three octets, and data that is never empty */
        return;
    out->data = slice_from(rdata, 3);
    out->usability = judge(out);
}

size_t tlsa_read_all(const struct slice *rdata, size_t count, struct tlsa_record *out)
{
    uint8_t strongest[USAGE_MAX + 1][SELECTOR_MAX + 1] = {{0}};
    size_t usable = 0;

    for (size_t i = 0; i < count; i++) {
        struct tlsa_record *r = &out[i];

        tlsa_read(rdata[i], r);
        if (r->usability == TLSA_USABLE && r->matching > strongest[r->usage][r->selector])
            strongest[r->usage][r->selector] = r->matching;
    }
    /* C-DANE-06, RFC 7671 9: after the unusable ones are gone, the strongest digest counts, and so
     * does each Full(0) record, which is no digest. */
    for (size_t i = 0; i < count; i++) {
        struct tlsa_record *r = &out[i];

        if (r->usability == TLSA_USABLE && r->matching != MATCHING_FULL &&
            r->matching < strongest[r->usage][r->selector])
            r->usability = TLSA_WEAKER;
        usable += r->usability == TLSA_USABLE;
    }
    return usable;
}

void tlsa_text(const struct tlsa_record *r, struct buf *out)
{
    (void)buf_addf(out, "%u %u %u", r->usage, r->selector, r->matching);
    for (size_t i = 0; i < r->data.n && i < TEXT_BYTES; i++)
        (void)buf_addf(out, i == 0 ? " %02x" : "%02x", (unsigned)(unsigned char)r->data.p[i]);
    if (r->data.n > TEXT_BYTES)
        (void)buf_add(out, SLICE("..."));
}
