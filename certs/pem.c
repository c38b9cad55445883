/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      pem - the blocks of a PEM file (RFC 7468)
 *
 * DESCRIPTION
 *      Lax about what stands around the blocks, and about one broken block: the next BEGIN line
 * starts afresh, so that one damaged root does not take its neighbours along.
 */
#include <stdlib.h>

#include "certs/trust_internal.h"
#include "proxy/base/mem.h"

static struct slice next_line(struct slice *rest)
{
    struct slice line, after;

    (void)slice_cut(*rest, '\n', &line, &after);
    *rest = after;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return slice_trim(line);
}

/* "-----BEGIN X-----" gives X. */
static bool is_border(struct slice line, struct slice word, struct slice *label)
{
    static const struct slice dashes = {"-----", 5};

    if (line.n < word.n + dashes.n || !slice_istarts(line, word) || !slice_iends(line, dashes))
        return false;
    line = slice_from(line, word.n);
    line.n -= dashes.n;
    *label = line;
    return true;
}

/* `out` has room for all of `base64`. */
static struct slice decode(struct buf *base64, uint8_t *out)
{
    size_t n;

    if (!EVP_DecodeBase64(out, &n, base64->n, (const uint8_t *)base64->p, base64->n)) {
        ERR_clear_error();
        return SLICE_NONE;
    }
    return slice_of(out, n);
}

void pem_each(struct slice text, void (*block)(void *arg, struct slice label, struct slice der),
              void *arg)
{
    struct slice rest = text, label = SLICE_NONE, other;
    uint8_t *out = mem_zalloc(text.n + 1);
    struct buf base64;

    buf_init(&base64, text.n);
    while (rest.n > 0) {
        struct slice line = next_line(&rest);

        if (is_border(line, SLICE("-----BEGIN "), &other)) {
            if (label.p != NULL) /* the one before has no end */
                block(arg, label, SLICE_NONE);
            label = other;
            buf_reset(&base64);
        } else if (label.p != NULL && is_border(line, SLICE("-----END "), &other)) {
            block(arg, label, base64.n > 0 ? decode(&base64, out) : SLICE_NONE);
            label = SLICE_NONE;
        } else if (label.p != NULL) {
            (void)buf_add(&base64, line);
        }
    }
    if (label.p != NULL)
        block(arg, label, SLICE_NONE);
    buf_clear(&base64);
    free(out);
}
