/* SPDX-License-Identifier: Apache-2.0 */
/* failure - which of several failures the client hears, and late TLS refusals; see verdict.h. */
#include "proxy/policy/verdict.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int refusal_code(enum stage stage, int reply_code, enum tls_level level)
{
    if (reply_code == 421)
        return 451;
    if (reply_code / 100 == 4)
        return reply_code;
    if (reply_code / 100 == 5 &&
        (stage == STAGE_GREETING || (stage == STAGE_EHLO && !tls_level_owes_tls(level))))
        return reply_code;
    return reason_info(REASON_MX_REFUSED)->code;
}

static bool is_temporary(const struct failure *f)
{
    return f->code / 100 == 4;
}

bool failure_replaces(const struct failure *kept, const struct failure *latest)
{
    if (kept->reason == REASON_OK)
        return true;
    if ((kept->reason == REASON_LOOP) != (latest->reason == REASON_LOOP))
        return kept->reason == REASON_LOOP;
    if (is_temporary(kept) != is_temporary(latest))
        return is_temporary(latest);
    return latest->stage >= kept->stage;
}

/* Codes that say "encryption needed" by themselves (RFC 3463 via RFC 5248 and RFC 7504's registry).
 */
static bool is_encryption_code(const struct reply *r)
{
    return r->code == 523 || (r->enh.subject == 7 && (r->enh.detail == 10 || r->enh.detail == 11));
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* The word `word` as such: "TLS" is neither in "subtlsty" nor in "TLS-RPT". */
static bool has_word(struct slice text, struct slice word)
{
    for (size_t i = 0; i + word.n <= text.n; i++)
        if (slice_istarts(slice_from(text, i), word) && (i == 0 || !is_letter(text.p[i - 1])) &&
            (i + word.n == text.n || !is_letter(text.p[i + word.n])))
            return true;
    return false;
}

static bool speaks_of_tls(struct slice text)
{
    static const char *const words[] = {"TLS", "STARTTLS", "SSL", "encrypted", "encryption"};

    for (size_t i = 0; i < COUNT(words); i++)
        if (has_word(text, slice_str(words[i])))
            return true;
    return false;
}

static bool speaks_of_need(struct slice text)
{
    static const char *const parts[] = {"requir", "must",  "need",         "mandatory",
                                        "only",   "first", "not available"};

    for (size_t i = 0; i < COUNT(parts); i++)
        if (slice_ihas(text, slice_str(parts[i])))
            return true;
    return false;
}

bool reply_is_tls_refusal(const struct reply *r)
{
    struct slice text = buf_slice(&r->text);

    if (r->code / 100 != 4 && r->code / 100 != 5)
        return false;
    if (is_encryption_code(r))
        return true;
    if (r->enh.class != 0 && r->enh.subject != 7)
        return false;
    /* RFC 3207 4: "530 Must issue a STARTTLS command first", in many wordings. */
    if (r->code == 530)
        return speaks_of_tls(text);
    return speaks_of_tls(text) && speaks_of_need(text);
}
