/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      mtasts - the texts of MTA-STS: TXT record, policy, MX patterns (RFC 8461)
 *
 * DESCRIPTION
 *      Pure.  A refusal here is a downgrade (the domain then has no MTA-STS), so the grammar of
 *      RFC 8461 3.1 and 3.2 is followed to the letter and no further (C-STS-01..03, C-STS-10).
 *      docs/policy.md has the decisions where sources disagree.
 */
#ifndef TLSMEND_POLICY_MTASTS_H
#define TLSMEND_POLICY_MTASTS_H

#include "proxy/base/slice.h"
#include "proxy/smtp/mailbox.h"

#define STS_ID_MAX 32
#define STS_MAX_AGE_LIMIT 31557600 /* seconds; larger values are capped (C-STS-03) */
#define STS_POLICY_MAX (64 * 1024) /* bytes of a policy body (C-STS-04) */

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

const char *sts_mode_name(enum sts_mode m); /* "none", "testing", "enforce" */

/* Fields that RFC 8461 does not name, in order; `name` and `value` point into the text.  Called while
 * reading: what it was given counts for nothing where the answer is false. */
typedef void sts_extension_fn(void *ctx, struct slice name, struct slice value);

struct sts_record {
    char id[STS_ID_MAX + 1];
};

/* One TXT record, its character-strings joined already.  False: *why says what is wrong, in words
 * (a constant string), and out->id is empty; true: *why is NULL.  each: NULL for none. */
bool sts_record_parse(struct slice txt, struct sts_record *out, const char **why,
                      sts_extension_fn *each, void *ctx);

enum sts_txt {
    STS_TXT_RECORD, /* exactly one record that begins v=STSv1, and it is good */
    STS_TXT_ABSENT, /* none that begins so */
    STS_TXT_SEVERAL,
    STS_TXT_BROKEN, /* one, and it is against the grammar: *why */
};

/* `rdata`: the TXT RRset in wire form (character-strings, each behind its length byte); joins them
 * without space, drops those that do not begin v=STSv1, optional blanks, ";" (C-STS-01).  *why is NULL
 * with STS_TXT_RECORD, a clause for the log with the others. */
enum sts_txt sts_discover(const struct slice *rdata, size_t count, struct sts_record *out,
                          const char **why);

struct sts_policy {
    enum sts_mode mode;
    int64_t max_age; /* seconds, capped */
    char **mx;       /* patterns in order, lower case: "*.example.com" */
    size_t mx_count;
    char *mx_text; /* inside: all of them in one block; 64 KiB of policy name 13,000 */
};

/* The body of a policy (C-STS-03), at most STS_POLICY_MAX bytes.  True: *out is yours to
 * sts_policy_clear(), *why is NULL.  False: nothing to clear, *why says what is wrong. */
bool sts_policy_parse(struct slice body, struct sts_policy *out, const char **why,
                      sts_extension_fn *each, void *ctx);
void sts_policy_clear(struct sts_policy *p);

/* C-STS-10.  `host` is normalised (lower-case A-labels, no dot at the end), `pattern` as in
 * struct sts_policy or as written (any case, U-labels never match). */
bool sts_mx_match(struct slice pattern, struct slice host);
bool sts_policy_lists(const struct sts_policy *p, struct slice host);

/* The value of Content-Type, SLICE_NONE where the answer has none; an empty one is none (C-STS-04). */
enum sts_media { STS_MEDIA_PLAIN, STS_MEDIA_MISSING, STS_MEDIA_OTHER };
enum sts_media sts_media_type(struct slice content_type);

#endif
