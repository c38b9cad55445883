/* SPDX-License-Identifier: Apache-2.0 */
/* reason - see reason.h for the contract. */
#include "proxy/policy/reason.h"

#include "proxy/base/invariant.h"

/* A reply line holds 512 bytes with code and CRLF (RFC 5321 4.5.3.1.5), and reply_write() cuts
 * longer ones: the subject and the detail are cut here, so that the token at the end always
 * arrives. */
#define SUBJECT_MAX 200
#define REPLY_TEXT_MAX 480

static const struct reason_info reason_table[REASON_COUNT] = {
#define REASON(id, token, stage, code, enh, rpt, text, hint) \
    [REASON_##id] = {token, STAGE_##stage, code, enh, rpt, text, hint},
#include "proxy/policy/reason.def"
#undef REASON
};

const struct reason_info *reason_info(enum reason r)
{
    INVARIANT((unsigned)r < REASON_COUNT);
    return &reason_table[r];
}

bool reason_find(struct slice token, enum reason *out)
{
    for (int r = 0; r < REASON_COUNT; r++)
        if (slice_eq(token, slice_str(reason_table[r].token))) {
            *out = (enum reason)r;
            return true;
        }
    return false;
}

bool reason_is_certificate(enum reason r)
{
    return reason_info(r)->stage == STAGE_CERT;
}

static void add_harmless(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        (void)buf_addc(b, c >= 0x20 && c <= 0x7e ? (char)c : '?');
    }
}

void reason_reply(enum reason r, struct slice subject, struct slice detail, struct reply *out)
{
    const struct reason_info *info = reason_info(r);
    struct buf text, tail;

    buf_init(&text, REPLY_TEXT_MAX);
    buf_init(&tail, REPLY_TEXT_MAX);
    (void)buf_addf(&tail, " [%s]", info->token);
    (void)buf_add(&text, SLICE("tlsmend: "));
    if (subject.n > 0) {
        add_harmless(&text, slice_first(subject, SUBJECT_MAX));
        (void)buf_add(&text, SLICE(": "));
    }
    (void)buf_add(&text, slice_str(info->text));
    if (detail.n > 0 && text.n + tail.n + 3 < REPLY_TEXT_MAX) {
        (void)buf_add(&text, SLICE(" ("));
        add_harmless(&text, slice_first(detail, REPLY_TEXT_MAX - text.n - tail.n - 1));
        (void)buf_addc(&text, ')');
    }
    (void)buf_add(&text, buf_slice(&tail));
    reply_set(out, info->code, info->enh, buf_slice(&text));
    buf_clear(&tail);
    buf_clear(&text);
}
