/* SPDX-License-Identifier: Apache-2.0 */
/* mtasts - see mtasts.h for the contract. */
#include "proxy/policy/mtasts.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/mem.h"

#define NAME_MAX_BYTES 32     /* of a field's name, RFC 8461 3.1 and 3.2 */
#define LABEL_MAX_BYTES 63    /* RFC 1035 2.3.4 */
#define MAX_AGE_DIGITS_MAX 10 /* RFC 8461 3.2: 1*10(DIGIT) */
#define TXT_RDATA_MAX 65535   /* RFC 1035 3.2.1: RDLENGTH has 16 bits */

const char *sts_mode_name(enum sts_mode m)
{
    static const char *const names[] = {"none", "testing", "enforce"};

    return names[m];
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice skip_wsp(struct slice s)
{
    while (s.n > 0 && is_wsp(s.p[0]))
        s = slice_from(s, 1);
    return s;
}

static bool begins(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_first(s, prefix.n), prefix);
}

/* RFC 8461 3.1 sts-ext-name and 3.2 sts-policy-ext-name; the names it knows fit it too. */
static bool is_name(struct slice s)
{
    if (s.n == 0 || s.n > NAME_MAX_BYTES || !is_alnum(s.p[0]))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

/* --- the TXT record (RFC 8461 3.1) --- */

static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]))
            return false;
    return s.n > 0 && s.n <= STS_ID_MAX;
}

/* sts-ext-value = 1*(%x21-3A / %x3C / %x3E-7E) */
static bool is_record_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ';' || s.p[i] == '=')
            return false;
    return s.n > 0;
}

/* C-STS-01: "v=STSv1", optional WSP, ";".  *rest is what follows. */
static bool take_record_version(struct slice txt, struct slice *rest)
{
    struct slice version = SLICE("v=STSv1");

    if (!begins(txt, version))
        return false;
    txt = skip_wsp(slice_from(txt, version.n));
    if (txt.n == 0 || txt.p[0] != ';')
        return false;
    *rest = slice_from(txt, 1);
    return true;
}

/* One field, blanks around it off already.  A repeated "id" or "v" is ignored, whatever its value
 * (RFC 8461 3.2: "all entries except for the first SHALL be ignored"). */
static const char *record_field(struct slice field, struct sts_record *out, sts_extension_fn *each,
                                void *ctx)
{
    struct slice name, value;

    if (!slice_cut(field, '=', &name, &value))
        return field.n == 0 ? "an empty field" : "a field without '='";
    if (!is_name(name))
        return "the name of a field is against the grammar";
    if (slice_eq(name, SLICE("id")) && out->id[0] == '\0') {
        if (!is_id(value))
            return "the id is not 1 to 32 letters and digits";
        memcpy(out->id, value.p, value.n);
        return NULL;
    }
    if (!is_record_value(value))
        return "the value of a field is empty or has bytes that may not be there";
    if (each != NULL && !slice_eq(name, SLICE("id")) && !slice_eq(name, SLICE("v")))
        each(ctx, name, value);
    return NULL;
}

bool sts_record_parse(struct slice txt, struct sts_record *out, const char **why,
                      sts_extension_fn *each, void *ctx)
{
    struct slice field, rest;
    struct sts_record r = {.id = ""};
    bool more = true;

    *out = r;
    if (!take_record_version(txt, &rest)) {
        *why = "it does not begin with v=STSv1;";
        return false;
    }
    while (more) {
        more = slice_cut(rest, ';', &field, &rest);
        if (!more && skip_wsp(field).n == 0)
            break; /* behind the delimiter that may stand at the end */
        if (!more && is_wsp(field.p[field.n - 1])) {
            *why = "blanks at the end"; /* *WSP stands around a delimiter only */
            return false;
        }
        *why = record_field(slice_trim(field), &r, each, ctx);
        if (*why != NULL)
            return false;
    }
    if (r.id[0] == '\0') {
        *why = "it has no id";
        return false;
    }
    *out = r;
    return true;
}

/* The character-strings of one rdata, joined without space (RFC 8461 3.1). */
static bool join_strings(struct slice rdata, struct buf *out)
{
    buf_reset(out);
    while (rdata.n > 0) {
        size_t n = (unsigned char)rdata.p[0];

        rdata = slice_from(rdata, 1);
        if (n > rdata.n || !buf_add(out, slice_first(rdata, n)))
            return false;
        rdata = slice_from(rdata, n);
    }
    return true;
}

enum sts_txt sts_discover(const struct slice *rdata, size_t count, struct sts_record *out,
                          const char **why)
{
    enum sts_txt found = STS_TXT_ABSENT;
    struct slice rest;
    struct buf text;

    *out = (struct sts_record){.id = ""};
    *why = "no record begins with v=STSv1;";
    buf_init(&text, TXT_RDATA_MAX);
    for (size_t i = 0; i < count && found != STS_TXT_SEVERAL; i++) {
        /* Dropped before they are counted: what is none of ours breaks nothing. */
        if (!join_strings(rdata[i], &text) || !take_record_version(buf_slice(&text), &rest))
            continue;
        if (found != STS_TXT_ABSENT) {
            *out = (struct sts_record){.id = ""};
            *why = "several records begin with v=STSv1;";
            found = STS_TXT_SEVERAL;
        } else {
            found = sts_record_parse(buf_slice(&text), out, why, NULL, NULL) ? STS_TXT_RECORD
                                                                             : STS_TXT_BROKEN;
        }
    }
    buf_clear(&text);
    return found;
}

/* --- patterns of MX hosts (RFC 8461 3.2, 4.1) --- */

/* RFC 5321 4.1.2: sub-domain = Let-dig [Ldh-str]. */
static bool is_label(struct slice s)
{
    if (s.n == 0 || s.n > LABEL_MAX_BYTES || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool is_domain(struct slice s)
{
    struct slice label, rest = s;
    bool more;

    do {
        more = slice_cut(rest, '.', &label, &rest);
        if (!is_label(label))
            return false;
    } while (more);
    return s.n <= DOMAIN_MAX;
}

/* ["*."] Domain.  *domain is what follows the wildcard. */
static bool take_pattern(struct slice pattern, bool *wildcard, struct slice *domain)
{
    *wildcard = begins(pattern, SLICE("*."));
    *domain = slice_from(pattern, *wildcard ? 2 : 0);
    return is_domain(*domain);
}

bool sts_mx_match(struct slice pattern, struct slice host)
{
    struct slice domain, label, parent;
    bool wildcard;

    if (!take_pattern(pattern, &wildcard, &domain))
        return false;
    if (!wildcard)
        return slice_ieq(domain, host);
    return slice_cut(host, '.', &label, &parent) && label.n > 0 && slice_ieq(domain, parent);
}

bool sts_policy_lists(const struct sts_policy *p, struct slice host)
{
    for (size_t i = 0; i < p->mx_count; i++)
        if (sts_mx_match(slice_str(p->mx[i]), host))
            return true;
    return false;
}

/* --- the policy (RFC 8461 3.2) --- */

/* How many bytes the UTF-8 sequence at the start of `s` has; 0: it is none (RFC 3629 4). */
static size_t utf8_length(struct slice s)
{
    static const struct {
        unsigned char first, last, length, second_min, second_max;
    } rows[] = {
        {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
        {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
        {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (s.n < rows[i].length || p[1] < rows[i].second_min || p[1] > rows[i].second_max)
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return rows[i].length;
    }
    return 0;
}

/* sts-policy-ext-value, blanks at the ends off already. */
static bool is_policy_value(struct slice s)
{
    bool any = s.n > 0;

    while (s.n > 0) {
        bool ascii = s.p[0] >= 0x20 && s.p[0] <= 0x7e;
        size_t n = ascii ? 1 : utf8_length(s);

        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return any;
}

struct policy_reader {
    struct sts_policy p;
    size_t mx_room, text_size, text_used;
    bool version, mode, max_age; /* seen: the first entry counts, later ones are ignored */
    sts_extension_fn *each;
    void *ctx;
};

static const char *read_version(struct policy_reader *r, struct slice value)
{
    r->version = true;
    return slice_eq(value, SLICE("STSv1")) ? NULL : "the version is not STSv1";
}

static const char *read_mode(struct policy_reader *r, struct slice value)
{
    static const enum sts_mode modes[] = {STS_NONE, STS_TESTING, STS_ENFORCE};

    r->mode = true;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (slice_eq(value, slice_str(sts_mode_name(modes[i])))) {
            r->p.mode = modes[i];
            return NULL;
        }
    return "the mode is not enforce, testing or none";
}

static const char *read_max_age(struct policy_reader *r, struct slice value)
{
    unsigned long long seconds;

    r->max_age = true;
    if (value.n > MAX_AGE_DIGITS_MAX || !slice_u64(value, 9999999999ULL, &seconds))
        return "max_age is not a number of 1 to 10 digits";
    r->p.max_age = seconds < STS_MAX_AGE_LIMIT ? (int64_t)seconds : STS_MAX_AGE_LIMIT;
    return NULL;
}

static const char *read_mx(struct policy_reader *r, struct slice value)
{
    struct sts_policy *p = &r->p;
    struct slice domain;
    bool wildcard;
    char *pattern;

    if (!take_pattern(value, &wildcard, &domain))
        return "an mx is neither a host name nor *. and a host name";
    if (p->mx_count == r->mx_room) {
        r->mx_room = r->mx_room > 0 ? r->mx_room * 2 : 4;
        p->mx = mem_resize(p->mx, r->mx_room, sizeof(char *));
    }
    if (p->mx_text == NULL)
        p->mx_text = mem_zalloc(r->text_size);
    pattern = p->mx_text + r->text_used;
    r->text_used += value.n + 1;
    p->mx[p->mx_count++] = pattern;
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        pattern[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    pattern[value.n] = '\0';
    return NULL;
}

/* One line without its end: sts-policy-field *WSP. */
static const char *policy_line(struct policy_reader *r, struct slice line)
{
    struct slice name, value;

    if (!slice_cut(line, ':', &name, &value))
        return line.n == 0 ? "an empty line" : "a line without ':'";
    if (!is_name(name))
        return "the name of a field is against the grammar";
    value = slice_trim(value);
    if (slice_eq(name, SLICE("mx")))
        return read_mx(r, value);
    if (slice_eq(name, SLICE("version")) && !r->version)
        return read_version(r, value);
    if (slice_eq(name, SLICE("mode")) && !r->mode)
        return read_mode(r, value);
    if (slice_eq(name, SLICE("max_age")) && !r->max_age)
        return read_max_age(r, value);
    if (!is_policy_value(value))
        return "the value of a field is empty or has bytes that may not be there";
    if (r->each != NULL && !slice_eq(name, SLICE("version")) && !slice_eq(name, SLICE("mode")) &&
        !slice_eq(name, SLICE("max_age")))
        r->each(r->ctx, name, value);
    return NULL;
}

static const char *what_is_missing(const struct policy_reader *r)
{
    if (!r->version)
        return "it has no version";
    if (!r->mode)
        return "it has no mode";
    if (!r->max_age)
        return "it has no max_age";
    return r->p.mx_count == 0 && r->p.mode != STS_NONE ? "it has no mx" : NULL;
}

static const char *read_policy(struct policy_reader *r, struct slice body)
{
    const char *wrong = NULL;
    struct slice line;

    if (body.n > STS_POLICY_MAX)
        return "it is larger than 64 KiB";
    r->text_size = body.n; /* "mx:" is more than the NUL that a pattern gets */
    /* sts-policy-term = LF / CRLF stands between lines, and may stand behind the last. */
    while (wrong == NULL && body.n > 0) {
        bool ended = slice_cut(body, '\n', &line, &body);

        if (ended && line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        wrong = policy_line(r, line);
    }
    return wrong != NULL ? wrong : what_is_missing(r);
}

bool sts_policy_parse(struct slice body, struct sts_policy *out, const char **why,
                      sts_extension_fn *each, void *ctx)
{
    struct policy_reader r = {.each = each, .ctx = ctx};

    *why = read_policy(&r, body);
    if (*why != NULL)
        sts_policy_clear(&r.p);
    *out = r.p;
    return *why == NULL;
}

void sts_policy_clear(struct sts_policy *p)
{
    free(p->mx);
    free(p->mx_text);
    *p = (struct sts_policy){.mode = STS_NONE};
}

/* --- the media type of the answer --- */

enum sts_media sts_media_type(struct slice content_type)
{
    struct slice type, parameters;

    content_type = slice_trim(content_type);
    if (content_type.n == 0)
        return STS_MEDIA_MISSING;
    (void)slice_cut(content_type, ';', &type, &parameters);
    return slice_ieq(slice_trim(type), SLICE("text/plain")) ? STS_MEDIA_PLAIN : STS_MEDIA_OTHER;
}
