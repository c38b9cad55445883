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
#include <time.h>

#include "certs/judge.h"
#include "tests/vectors/lines.h"

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
    if (decode_list(json_object_get(line, "anchors"), decode_base64, &anchors))
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
    else if (!decode_list(json_object_get(line, "chain"), decode_base64, &chain))
        out = failed("\"chain\" is no list of base64");
    else if (!read_time(json_object_get(line, "time"), &req.now))
        out = failed("\"time\" is neither ISO 8601 nor seconds");
    else if (json_is_string(ocsp) && !decode_base64(ocsp, &req.ocsp))
        out = failed("\"ocsp\" is no base64");
    else if ((trust = read_trust(line, &error)) == NULL)
        out = failed(buf_cstr(&error));
    if (out == NULL) {
        req.trust = trust;
        req.chain = chain.items;
        req.chain_count = chain.count;
        out = judge(&req, tls_level_owes_trust(level) || level == LEVEL_FINGERPRINT);
    }
    trust_drop(&trust);
    blobs_clear(&chain);
    free((char *)req.ocsp.p);
    buf_clear(&error);
    return out;
}

int main(void)
{
    return lines_run(run);
}
