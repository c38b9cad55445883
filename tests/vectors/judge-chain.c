/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      judge-chain - judge certificate chains given as JSON lines
 *
 * SYNOPSIS
 *      judge-chain < cases.jsonl
 *
 * DESCRIPTION
 *      Reads one JSON object per line and writes one JSON object per line, in the same order.
 *      Empty lines are passed over.
 *
 *      In:  "chain"    array of base64 DER, the leaf first, as a server would send them (required)
 *           "anchors"  array of base64 DER: the trust store of this case (absent: none)
 *           "crls"     array of paths of CRL files; only with "anchors_file"
 *           "anchors_file"  path of a PEM bundle, instead of "anchors"
 *           "host"     the reference name, ".parent" for any name below; absent or null: names are
 * not checked "time"     ISO 8601 ("2026-01-31T12:00:00Z", "2026-01-31") or seconds since 1970
 * (required) "ocsp"     base64 of a stapled OCSP response "min_rsa_bits"  default 2048 "level"    a
 * TLS level; at "may" and "encrypt" nothing is enforced, so the verdict is ACCEPT whatever the
 * reason says; default "verify" "id"       given back as it is
 *
 *      Out: "verdict"  "ACCEPT" or "REJECT"; "ERROR" where the line itself cannot be used, with
 * "detail" "reason"   token of reason.def, "ok" where chain and name hold "detail"   which
 * certificate and why "also"     further reasons, tokens "path_length"  certificates of the
 * accepted path, anchor included; 0: none "anchor", "matched_name", "ocsp", "must_staple_missing",
 * "milliseconds"
 *
 *      Exit code 0, or 1 if one line was an ERROR.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/base64.h>

#include "certs/judge.h"
#include "proxy/base/mem.h"

#define LIST_MAX 4096

struct blobs {
    struct slice *items;
    size_t count;
};

static bool decode(const json_t *text, struct slice *out)
{
    size_t room, n, len = json_string_length(text);
    uint8_t *bytes;

    if (!json_is_string(text) || !EVP_DecodedLength(&room, len))
        return false;
    bytes = mem_zalloc(room + 1);
    if (!EVP_DecodeBase64(bytes, &n, room, (const uint8_t *)json_string_value(text), len)) {
        free(bytes);
        return false;
    }
    *out = slice_of(bytes, n);
    return true;
}

static bool decode_list(const json_t *list, struct blobs *out)
{
    size_t n = json_array_size(list);

    if (n > LIST_MAX)
        return false;
    out->items = mem_array(n + 1, sizeof(*out->items));
    for (size_t i = 0; i < n; i++) {
        if (!decode(json_array_get(list, i), &out->items[i]))
            return false;
        out->count++;
    }
    return true;
}

static void blobs_clear(struct blobs *b)
{
    for (size_t i = 0; i < b->count; i++)
        free((char *)b->items[i].p);
    free(b->items);
}

static bool read_time(const json_t *t, wall_ms *out)
{
    if (json_is_integer(t)) {
        *out = (wall_ms)json_integer_value(t) * 1000;
        return true;
    }
    return json_is_string(t) && instant_parse(slice_str(json_string_value(t)), out);
}

static struct trust_store *read_trust(const json_t *line, struct buf *error)
{
    const json_t *crls = json_object_get(line, "crls");
    const char *file = json_string_value(json_object_get(line, "anchors_file"));
    const char *paths[16];
    struct trust_params params = {.bundle = file, .crl_files = paths};
    struct blobs anchors = {NULL, 0};
    struct trust_store *trust = NULL;

    for (size_t i = 0; i < json_array_size(crls) && i < 16; i++) {
        const char *path = json_string_value(json_array_get(crls, i));

        if (path != NULL)
            paths[params.crl_count++] = path;
    }
    if (file != NULL)
        return trust_load(&params, error);
    if (decode_list(json_object_get(line, "anchors"), &anchors))
        trust = trust_from_der(anchors.items, anchors.count, error);
    else
        (void)buf_add(error, SLICE("\"anchors\" is no list of base64"));
    blobs_clear(&anchors);
    return trust;
}

static json_t *answer(const struct judgement *j, bool enforced, double ms)
{
    json_t *also = json_array();

    for (size_t i = 0; i < j->also_count; i++)
        (void)json_array_append_new(also, json_string(reason_info(j->also[i])->token));
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:s, s:b, s:f}", "verdict",
                     j->reason == REASON_OK || !enforced ? "ACCEPT" : "REJECT", "reason",
                     reason_info(j->reason)->token, "detail", j->detail, "also", also,
                     "path_length", (json_int_t)j->path_length, "anchor", j->anchor, "matched_name",
                     j->matched_name, "ocsp", ocsp_status_name(j->ocsp), "must_staple_missing",
                     j->must_staple_missing, "milliseconds", ms);
}

static json_t *failed(const char *why)
{
    return json_pack("{s:s, s:s}", "verdict", "ERROR", "detail", why);
}

static json_t *judge(const struct judge_request *req, bool enforced)
{
    struct judgement j;
    struct timespec from, to;
    json_t *out;

    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    judge_chain(req, &j);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    out =
        answer(&j, enforced,
               (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6);
    judgement_clear(&j);
    return out;
}

static json_t *run(const json_t *line)
{
    const json_t *bits = json_object_get(line, "min_rsa_bits");
    const json_t *ocsp = json_object_get(line, "ocsp");
    const char *level_name = json_string_value(json_object_get(line, "level"));
    enum tls_level level = LEVEL_VERIFY;
    const json_t *host = json_object_get(line, "host");
    struct slice name = slice_str(json_string_value(host));
    struct judge_request req = {
        .names = &name, .name_count = json_is_string(host) ? 1 : 0, .min_rsa_bits = 2048};
    struct blobs chain = {NULL, 0};
    struct buf error;
    struct trust_store *trust = NULL;
    json_t *out = NULL;

    buf_init(&error, 4096);
    if (json_is_integer(bits))
        req.min_rsa_bits = (int)json_integer_value(bits);
    if (level_name != NULL && !tls_level_find(slice_str(level_name), &level))
        out = failed("unknown \"level\"");
    else if (!json_is_array(json_object_get(line, "chain")) ||
             !decode_list(json_object_get(line, "chain"), &chain))
        out = failed("\"chain\" is no list of base64");
    else if (!read_time(json_object_get(line, "time"), &req.now))
        out = failed("\"time\" is neither ISO 8601 nor seconds");
    else if (json_is_string(ocsp) && !decode(ocsp, &req.ocsp))
        out = failed("\"ocsp\" is no base64");
    else if ((trust = read_trust(line, &error)) == NULL)
        out = failed(buf_cstr(&error));
    if (out == NULL) {
        req.trust = trust;
        req.chain = chain.items;
        req.chain_count = chain.count;
        out = judge(&req, tls_level_owes_trust(level) || level == LEVEL_FINGERPRINT);
    }
    if (json_object_get(line, "id") != NULL)
        (void)json_object_set(out, "id", json_object_get(line, "id"));
    trust_drop(&trust);
    blobs_clear(&chain);
    free((char *)req.ocsp.p);
    buf_clear(&error);
    return out;
}

int main(void)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int status = 0;

    while ((n = getline(&text, &room, stdin)) > 0) {
        json_error_t why;
        json_t *line, *out;

        if (strspn(text, " \t\r\n") == (size_t)n)
            continue;
        line = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
        out = json_is_object(line) ? run(line) : failed("the line is no JSON object");
        if (strcmp(json_string_value(json_object_get(out, "verdict")), "ERROR") == 0)
            status = 1;
        (void)json_dumpf(out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        json_decref(out);
        json_decref(line);
    }
    free(text);
    return status;
}
