/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      facts - what a certificate says, as text for the record
 *
 * DESCRIPTION
 *      Of a certificate that cannot be read, as much as was read; text is escaped and bounded.
 */
#include <stdlib.h>

#include "certs/cert_internal.h"
#include "proxy/base/mem.h"

#define NAME_TEXT_MAX 512
#define DNS_TEXT_MAX 256 /* RFC 1035 allows 253 */

void cert_each_name(const struct cert *c, bool (*each)(void *arg, struct slice name), void *arg)
{
    CBS walk = der_cbs(c->alt_names), name;
    unsigned tag;

    while (CBS_len(&walk) > 0 && CBS_get_any_asn1(&walk, &name, &tag)) {
        if (tag == (CBS_ASN1_CONTEXT_SPECIFIC | 2) && !each(arg, der_slice(&name)))
            return;
    }
}

static bool keep_name(void *arg, struct slice name)
{
    struct cert_facts *f = arg;
    struct buf text;

    f->name_count++;
    if (f->names_kept == FACT_NAMES_MAX)
        return true;
    buf_init(&text, DNS_TEXT_MAX);
    text_escape(name, &text);
    if ((f->names_kept & (f->names_kept - 1)) == 0) /* room for 1, 2, 4, ... */
        f->names =
            mem_resize((void *)f->names, f->names_kept > 0 ? f->names_kept * 2 : 1, sizeof(char *));
    f->names[f->names_kept++] = slice_dup(buf_slice(&text));
    buf_clear(&text);
    return true;
}

static char *name_line(struct slice name)
{
    struct buf text;
    char *line;

    buf_init(&text, NAME_TEXT_MAX);
    der_name_text(name, &text);
    line = slice_dup(buf_slice(&text));
    buf_clear(&text);
    return line;
}

static void sha256_hex(struct slice s, char out[65])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256((const uint8_t *)s.p, s.n, digest);
    hex_text(digest, sizeof(digest), out);
}

void cert_facts_fill(const struct cert *c, struct cert_facts *out)
{
    *out = (struct cert_facts){
        .subject = name_line(c->subject),
        .issuer = name_line(c->issuer),
        .not_before = c->not_before,
        .not_after = c->not_after,
        .key = key_kind_name(c->key_kind),
        .key_bits = c->key_size,
        .signature = c->signature != NULL ? c->signature->name : "unknown",
        .self_issued = c->self_issued,
        .is_ca = c->is_ca,
        .must_staple = c->must_staple,
    };
    cert_each_name(c, keep_name, out);
    sha256_hex(c->der, out->sha256);
    if (c->spki.n > 0)
        sha256_hex(c->spki, out->spki_sha256);
}

void cert_facts_clear(struct cert_facts *f)
{
    free(f->subject);
    free(f->issuer);
    for (size_t i = 0; i < f->names_kept; i++)
        free(f->names[i]);
    free((void *)f->names);
    *f = (struct cert_facts){0};
}
