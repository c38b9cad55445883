/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      fuzz_tlsa - a TLSA RRset of any bytes
 *
 * DESCRIPTION
 *      Input: records, each one byte of length and its rdata.  Below four bytes nothing is usable; of
 *      the digests of one usage and selector only one kind is usable, and none of the others is
 *      stronger; the order is kept, and reading a record alone says the same but for its rank.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/policy/tlsa.h"

#define RECORDS 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_one(struct slice rdata, const struct tlsa_record *r)
{
    struct tlsa_record alone;
    struct buf text;

    tlsa_read(rdata, &alone);
    must(alone.usability ==
         (r->usability == TLSA_WEAKER ? TLSA_USABLE : r->usability)); /* rank is the set's */
    must(r->data.p == alone.data.p && r->data.n == alone.data.n);
    must((r->usability == TLSA_TRUNCATED) == (rdata.n < 4));
    if (rdata.n >= 4)
        must(r->data.p == rdata.p + 3 && r->data.n == rdata.n - 3);
    if (r->usability == TLSA_USABLE || r->usability == TLSA_WEAKER)
        must((r->usage == 2 || r->usage == 3) && r->selector <= 1 && r->matching <= 2 &&
             (r->matching == 0 || r->data.n == 32u * r->matching));
    buf_init(&text, 100);
    tlsa_text(r, &text);
    must(text.n >= 5 && strspn(buf_cstr(&text), "0123456789abcdef .") == text.n);
    buf_clear(&text);
}

static void check_pair(const struct tlsa_record *a, const struct tlsa_record *b)
{
    if (a->usage != b->usage || a->selector != b->selector || a->matching == 0 || b->matching == 0)
        return;
    if (a->usability == TLSA_USABLE && b->usability == TLSA_USABLE)
        must(a->matching == b->matching);
    if (a->usability == TLSA_USABLE && b->usability == TLSA_WEAKER)
        must(a->matching > b->matching);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), rdata[RECORDS];
    struct tlsa_record out[RECORDS];
    size_t count = 0, usable = 0, weaker = 0, said;

    while (rest.n > 0 && count < RECORDS) {
        size_t n = (uint8_t)rest.p[0];

        rdata[count++] = slice_first(slice_from(rest, 1), n);
        rest = slice_from(slice_from(rest, 1), n);
    }
    said = tlsa_read_all(rdata, count, out);
    for (size_t i = 0; i < count; i++) {
        check_one(rdata[i], &out[i]);
        usable += out[i].usability == TLSA_USABLE;
        weaker += out[i].usability == TLSA_WEAKER;
        for (size_t k = 0; k < count; k++)
            check_pair(&out[i], &out[k]);
    }
    must(said == usable);
    must(usable > 0 || weaker == 0); /* agility never leaves a host without a usable record */
    return 0;
}
