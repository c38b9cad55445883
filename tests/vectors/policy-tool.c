/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      policy-tool - the texts of MTA-STS and the records of DANE, given as JSON lines
 *
 * SYNOPSIS
 *      policy-tool < cases.jsonl
 *
 * DESCRIPTION
 *      Reads one JSON object per line and writes one per line, in the same order.  What a line asks is
 *      known by its fields:
 *
 *      "txt": one TXT record, joined
 *              verdict ACCEPT or REJECT, why, sts_id, extensions [[name, value], ...]
 *      "txt_rrset": the records of a name, each a list of character-strings
 *              verdict ACCEPT or REJECT, why, sts_id
 *      "policy": the body of a policy, or "policy_make": {prefix, repeat, count, suffix}
 *              verdict, why, mode, mx, max_age, extensions, bytes
 *      "patterns", "mx": does one of the patterns match the host
 *              verdict MATCH or NO-MATCH
 *      "rdata_hex": rdata of a TLSA record, or "rdata": a list of them, an RRset
 *              verdict USABLE or UNUSABLE (of the whole), records [{usage, selector, matching, bytes,
 *              usability}, ...]
 *      "tlsa": [[usage, selector, matching, hex], ...] or a list of rdata in hex, "chain": [base64 DER,
 *      the leaf first], "host": the reference name or several, "time": ISO 8601 or seconds since 1970,
 *      "min_rsa_bits": default 2048
 *              verdict AUTHENTICATED, REFUSED, UNAUTHENTICATED (records, none usable: TLS is owed) or
 *              NO-DANE (no records); reason, detail, matched (index of the record), depth, records
 *
 *      "answers": {"ADDRESS host": {...}, "CNAME name": {...}, "TLSA _25._tcp.name": {...}}, each
 *      {secure, canonical, rdata [hex, ...], failed}; one that is not there is a signed absence; "host",
 *      "mx_secure"
 *              verdict PLANNED, state (does DANE apply), base, detail, usable, asked [...]
 *
 *      Everywhere: "id" is given back; verdict ERROR with "detail" where the line cannot be used.
 *      Exit code 0, or 1 if one line was an ERROR.
 */
#include "certs/dane.h"
#include "proxy/policy/mtasts.h"
#include "proxy/policy/tlsa_plan.h"
#include "tests/vectors/lines.h"

#define MADE_MAX (1024 * 1024)
#define NAMES_MAX 8

/* ---- MTA-STS ---- */

static void add_extension(void *list, struct slice name, struct slice value)
{
    (void)json_array_append_new(list, json_pack("[s%, s%]", name.p, name.n, value.p, value.n));
}

static json_t *verdict(bool good, const char *why)
{
    return good ? json_pack("{s:s}", "verdict", "ACCEPT")
                : json_pack("{s:s, s:s}", "verdict", "REJECT", "why", why);
}

static json_t *run_txt(const json_t *line)
{
    json_t *extensions = json_array(), *out;
    struct sts_record record;
    const char *why;
    bool good = sts_record_parse(json_text(json_object_get(line, "txt")), &record, &why,
                                 add_extension, extensions);

    out = verdict(good, why);
    if (good) {
        (void)json_object_set_new(out, "sts_id", json_string(record.id));
        (void)json_object_set(out, "extensions", extensions);
    }
    json_decref(extensions);
    return out;
}

/* Wire form: each character-string behind its length. */
static bool txt_rdata(const json_t *strings, struct slice *out)
{
    size_t n = json_array_size(strings), bytes = 0, at = 0;
    char *wire;

    for (size_t i = 0; i < n; i++) {
        struct slice s = json_text(json_array_get(strings, i));

        if (s.p == NULL || s.n > UINT8_MAX)
            return false;
        bytes += 1 + s.n;
    }
    if (!json_is_array(strings) || bytes > UINT16_MAX)
        return false;
    wire = mem_zalloc(bytes + 1);
    for (size_t i = 0; i < n; i++) {
        struct slice s = json_text(json_array_get(strings, i));

        wire[at++] = (char)s.n;
        if (s.n > 0)
            memcpy(wire + at, s.p, s.n);
        at += s.n;
    }
    *out = slice_of(wire, bytes);
    return true;
}

static json_t *run_rrset(const json_t *line)
{
    struct blobs rdata = {NULL, 0};
    struct sts_record record;
    const char *why;
    json_t *out;

    if (decode_list(json_object_get(line, "txt_rrset"), txt_rdata, &rdata)) {
        bool good = sts_discover(rdata.items, rdata.count, &record, &why) == STS_TXT_RECORD;

        out = verdict(good, why);
        if (good)
            (void)json_object_set_new(out, "sts_id", json_string(record.id));
    } else {
        out = failed("\"txt_rrset\" is no list of lists of strings of at most 255 bytes");
    }
    blobs_clear(&rdata);
    return out;
}

static json_t *policy_of(struct slice body)
{
    json_t *extensions = json_array(), *out;
    struct sts_policy policy;
    const char *why;
    bool good = sts_policy_parse(body, &policy, &why, add_extension, extensions);

    out = verdict(good, why);
    if (good) {
        json_t *mx = json_array();

        for (size_t i = 0; i < policy.mx_count; i++)
            (void)json_array_append_new(mx, json_string(policy.mx[i]));
        (void)json_object_set_new(out, "mode", json_string(sts_mode_name(policy.mode)));
        (void)json_object_set_new(out, "mx", mx);
        (void)json_object_set_new(out, "max_age", json_integer(policy.max_age));
        (void)json_object_set(out, "extensions", extensions);
        sts_policy_clear(&policy);
    }
    (void)json_object_set_new(out, "bytes", json_integer((json_int_t)body.n));
    json_decref(extensions);
    return out;
}

static json_t *run_policy(const json_t *line)
{
    return policy_of(json_text(json_object_get(line, "policy")));
}

static json_t *run_policy_make(const json_t *line)
{
    const json_t *make = json_object_get(line, "policy_make");
    struct slice prefix = json_text(json_object_get(make, "prefix"));
    struct slice repeat = json_text(json_object_get(make, "repeat"));
    struct slice suffix = json_text(json_object_get(make, "suffix"));
    json_int_t count = json_integer_value(json_object_get(make, "count"));
    struct buf body;
    bool room = true;
    json_t *out;

    if (repeat.p == NULL || count < 0)
        return failed("\"policy_make\" needs \"repeat\" and a \"count\"");
    buf_init(&body, MADE_MAX);
    room = buf_add(&body, prefix);
    for (json_int_t i = 0; room && i < count; i++)
        room = buf_add(&body, repeat);
    room = room && buf_add(&body, suffix);
    out = room ? policy_of(buf_slice(&body)) : failed("\"policy_make\" makes more than 1 MiB");
    buf_clear(&body);
    return out;
}

static json_t *run_patterns(const json_t *line)
{
    const json_t *patterns = json_object_get(line, "patterns");
    struct slice host = json_text(json_object_get(line, "mx"));
    char name[DOMAIN_MAX + 1];
    bool found = false;

    if (!json_is_array(patterns) || host.p == NULL)
        return failed("\"patterns\" is no list, or \"mx\" is no name");
    if (!domain_normalise(host, name))
        return failed("\"mx\" is no host name");
    for (size_t i = 0; i < json_array_size(patterns); i++)
        found = sts_mx_match(json_text(json_array_get(patterns, i)), slice_str(name)) || found;
    return json_pack("{s:s}", "verdict", found ? "MATCH" : "NO-MATCH");
}

/* ---- TLSA records ---- */

static json_t *records_json(const struct tlsa_record *records, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        const struct tlsa_record *r = &records[i];

        (void)json_array_append_new(
            list,
            json_pack("{s:i, s:i, s:i, s:I, s:s}", "usage", r->usage, "selector", r->selector,
                      "matching", r->matching, "bytes", (json_int_t)r->data.n, "usability",
                      r->usability == TLSA_USABLE ? "usable" : tlsa_usability_text(r->usability)));
    }
    return list;
}

static json_t *usability(const struct blobs *rdata)
{
    struct tlsa_record *records = mem_array(rdata->count + 1, sizeof(*records));
    size_t usable = tlsa_read_all(rdata->items, rdata->count, records);
    json_t *out = json_pack("{s:s, s:o}", "verdict", usable > 0 ? "USABLE" : "UNUSABLE", "records",
                            records_json(records, rdata->count));

    free(records);
    return out;
}

static json_t *run_rdata(const json_t *line)
{
    json_t *one = json_object_get(line, "rdata_hex"), *list = json_array(), *out;
    struct blobs rdata = {NULL, 0};

    (void)json_array_append(list, one);
    if (decode_list(one != NULL ? list : json_object_get(line, "rdata"), decode_hex, &rdata))
        out = usability(&rdata);
    else
        out = failed("the rdata is not in hex");
    blobs_clear(&rdata);
    json_decref(list);
    return out;
}

/* [usage, selector, matching, hex] or rdata in hex. */
static bool decode_tlsa(const json_t *record, struct slice *out)
{
    struct slice data;
    char *bytes;

    if (json_is_string(record))
        return decode_hex(record, out);
    if (json_array_size(record) != 4 || !decode_hex(json_array_get(record, 3), &data))
        return false;
    bytes = mem_zalloc(data.n + 3);
    for (size_t i = 0; i < 3; i++) {
        json_int_t value = json_integer_value(json_array_get(record, i));

        if (!json_is_integer(json_array_get(record, i)) || value < 0 || value > UINT8_MAX) {
            free(bytes);
            free((char *)data.p);
            return false;
        }
        bytes[i] = (char)value;
    }
    memcpy(bytes + 3, data.p, data.n);
    free((char *)data.p);
    *out = slice_of(bytes, data.n + 3);
    return true;
}

static json_t *judge(struct dane_request *req, const struct blobs *rdata)
{
    struct tlsa_record *records = mem_array(rdata->count + 1, sizeof(*records));
    size_t usable = tlsa_read_all(rdata->items, rdata->count, records);
    struct dane_judgement j = {.reason = REASON_OK};
    const char *word = rdata->count == 0 ? "NO-DANE" : "UNAUTHENTICATED";
    json_t *out;

    if (usable > 0) {
        req->records = records;
        req->record_count = rdata->count;
        dane_judge(req, &j);
        word = j.reason == REASON_OK ? "AUTHENTICATED" : "REFUSED";
    }
    out = json_pack("{s:s, s:s, s:s, s:o}", "verdict", word, "reason", reason_info(j.reason)->token,
                    "detail", j.detail, "records", records_json(records, rdata->count));
    if (usable > 0 && j.reason == REASON_OK) {
        (void)json_object_set_new(out, "matched", json_integer((json_int_t)j.matched));
        (void)json_object_set_new(out, "depth", json_integer((json_int_t)j.depth));
    }
    free(records);
    return out;
}

/* "host": a name, a list of them, or null.  Normalised where it is a host name. */
static size_t read_names(const json_t *host, char store[NAMES_MAX][DOMAIN_MAX + 1],
                         struct slice names[NAMES_MAX])
{
    size_t n = json_is_string(host) ? 1 : json_array_size(host);

    if (n > NAMES_MAX)
        n = NAMES_MAX;
    for (size_t i = 0; i < n; i++) {
        names[i] = json_text(json_is_string(host) ? host : json_array_get(host, i));
        if (domain_normalise(names[i], store[i]))
            names[i] = slice_str(store[i]);
    }
    return n;
}

static json_t *run_tlsa(const json_t *line)
{
    const json_t *bits = json_object_get(line, "min_rsa_bits");
    char store[NAMES_MAX][DOMAIN_MAX + 1];
    struct slice names[NAMES_MAX];
    struct dane_request req = {.names = names, .min_rsa_bits = 2048};
    struct blobs chain = {NULL, 0}, rdata = {NULL, 0};
    json_t *out;

    req.name_count = read_names(json_object_get(line, "host"), store, names);
    if (json_is_integer(bits))
        req.min_rsa_bits = (int)json_integer_value(bits);
    if (!decode_list(json_object_get(line, "tlsa"), decode_tlsa, &rdata))
        out = failed("\"tlsa\" is no list of [usage, selector, matching, hex]");
    else if (!decode_list(json_object_get(line, "chain"), decode_base64, &chain))
        out = failed("\"chain\" is no list of base64");
    else if (!read_time(json_object_get(line, "time"), &req.now))
        out = failed("\"time\" is neither ISO 8601 nor seconds");
    else {
        req.chain = chain.items;
        req.chain_count = chain.count;
        out = judge(&req, &rdata);
    }
    blobs_clear(&chain);
    blobs_clear(&rdata);
    return out;
}

/* ---- look-ups ---- */

/* "answers" may leave out what would be a signed "there is none". */
static void give(struct tlsa_plan *plan, const json_t *told, const struct blobs *rdata)
{
    const char *canonical = json_string_value(json_object_get(told, "canonical"));
    struct tlsa_answer answer = {
        .status = told == NULL ? TLSA_ANSWER_NONE : TLSA_ANSWER_RECORDS,
        .secure = told == NULL || json_is_true(json_object_get(told, "secure")),
        .canonical = canonical,
        .rdata = rdata->items,
        .count = rdata->count,
    };

    if (json_is_true(json_object_get(told, "failed")))
        answer.status = TLSA_ANSWER_FAILED;
    tlsa_plan_answer(plan, &answer);
}

static json_t *plan_json(const struct tlsa_plan *plan, json_t *asked)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "verdict", "PLANNED", "state",
                     dane_state_name(plan->state), "base", plan->base, "detail", plan->detail,
                     "usable", (int)plan->usable_count, "asked", asked);
}

static json_t *run_plan(const json_t *line)
{
    static const char *const kinds[] = {"ADDRESS", "CNAME", "TLSA"};
    const char *host = json_string_value(json_object_get(line, "host"));
    json_t *asked = json_array(), *out = NULL;
    struct tlsa_plan plan;
    struct tlsa_ask ask;
    char key[TLSA_NAME_MAX + 16];

    if (host == NULL) {
        json_decref(asked);
        return failed("\"host\" is missing");
    }
    tlsa_plan_init(&plan, host, 25, json_is_true(json_object_get(line, "mx_secure")), true);
    while (out == NULL && (ask = tlsa_plan_next(&plan)).type != TLSA_ASK_DONE) {
        struct blobs rdata = {NULL, 0};
        json_t *told;

        (void)snprintf(key, sizeof(key), "%s %s", kinds[ask.type], ask.name);
        (void)json_array_append_new(asked, json_string(key));
        told = json_object_get(json_object_get(line, "answers"), key);
        if (json_object_get(told, "rdata") != NULL &&
            !decode_list(json_object_get(told, "rdata"), decode_hex, &rdata))
            out = failed("\"rdata\" of an answer is no list of hex");
        else
            give(&plan, told, &rdata);
        blobs_clear(&rdata);
    }
    if (out == NULL)
        out = plan_json(&plan, asked);
    else
        json_decref(asked);
    tlsa_plan_clear(&plan);
    return out;
}

/* ---- lines ---- */

static const struct question {
    const char *field;
    json_t *(*answer)(const json_t *line);
    bool is_text; /* the field is a string */
} questions[] = {
    {"txt", run_txt, true},
    {"txt_rrset", run_rrset, false},
    {"policy", run_policy, true},
    {"policy_make", run_policy_make, false},
    {"patterns", run_patterns, false},
    {"rdata_hex", run_rdata, true},
    {"rdata", run_rdata, false},
    {"tlsa", run_tlsa, false},
    {"answers", run_plan, false},
};

static json_t *run(const json_t *line)
{
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        const json_t *value = json_object_get(line, questions[i].field);

        if (value != NULL && json_is_string(value) == questions[i].is_text)
            return questions[i].answer(line);
    }
    return failed("no field says what is asked");
}

int main(void)
{
    return lines_run(run);
}
