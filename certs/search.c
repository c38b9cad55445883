/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      search - from the leaf to an anchor: the bounded path search
 *
 * DESCRIPTION
 *      Depth first, anchors before what the peer sent, the most promising issuer first (RFC 4158).
 * The first path without findings is accepted.  Every other finished path is scored, and the best
 *      failing one is reported: a trusted path with a fault before an untrusted one, and among
 * those the one whose fault is the least.
 *
 *      Nearly every chain is right, and has one issuer for each certificate.  So the path of first choices
 * is handed to the library before any signature is verified here.  Where the library verifies each link of
 * it and accepts, the search would have come to the same path; else it begins.  A link that nobody
 * verified must not pass: lists and staples are looked up by the issuer on the path.
 *
 *      An issuer is who has the name and whose key verifies the signature; key identifiers only say
 * in which order to try (and the library refuses the path if they contradict).
 */
#include "certs/search_internal.h"

#include <stdio.h>
#include <string.h>

enum ending { END_ANCHOR, END_UNTRUSTED_ROOT, END_SELF_SIGNED, END_BAD_SIGNATURE, END_INCOMPLETE };

static const unsigned ending_score[] = {
    [END_ANCHOR] = 100,       [END_UNTRUSTED_ROOT] = 50, [END_SELF_SIGNED] = 40,
    [END_BAD_SIGNATURE] = 30, [END_INCOMPLETE] = 20,
};

struct candidate {
    const struct cert *cert;
    bool anchor;
    int score;
};

#define CANDIDATES_MAX 64

/* Roughly in units of one P-256 verification, 0.1 ms (C-CERT-07). */
unsigned search_cost_of(const struct cert *issuer)
{
    unsigned k = (unsigned)issuer->key_size / 4096;

    switch (issuer->key_kind) {
    case KEY_P384:
        return 3;
    case KEY_P521:
        return 6;
    case KEY_RSA:
        return 1 + k * k;
    case KEY_P256:
    case KEY_ED25519:
    case KEY_OTHER:
        break;
    }
    return 1;
}

static unsigned cost_of_path(const struct path *p)
{
    unsigned sum = 1;

    for (size_t i = 1; i < p->count; i++)
        sum += search_cost_of(p->certs[i]);
    return sum;
}

static bool spend(struct search *s, unsigned cost)
{
    if (s->spent + cost > SEARCH_COST_MAX) {
        s->cut_off = true;
        return false;
    }
    s->spent += cost;
    return true;
}

static enum link verify_link(struct search *s, const struct cert *child, const struct cert *issuer)
{
    enum link link;

    if (!child->signature->usable || issuer->key == NULL)
        return LINK_UNKNOWN;
    for (size_t i = 0; i < s->memo_count; i++)
        if (s->memo[i].child == child && s->memo[i].issuer == issuer)
            return s->memo[i].link;
    if (!spend(s, search_cost_of(issuer)))
        return LINK_BAD;
    link = X509_verify(child->x509, issuer->key) == 1 ? LINK_GOOD : LINK_BAD;
    ERR_clear_error();
    s->memo[s->memo_count++] = (struct link_memo){child, issuer, link};
    return link;
}

static const char *role_at(const struct search *s, size_t at)
{
    return path_role(&s->path, at);
}

static void find_at(struct search *s, struct findings *f, size_t at, enum reason why,
                    const char *what)
{
    char label[CERT_LABEL_MAX];

    findings_add(f, why, "%s %s", cert_label(s->path.certs[at], role_at(s, at), label), what);
}

/* Lists of the issuer that say "revoked" (C-CERT-08); lists out of date still do, and are noted. */
static void check_crls(struct search *s, size_t at, struct findings *f)
{
    const struct cert *child = s->path.certs[at], *issuer = s->path.certs[at + 1];
    char when[INSTANT_TEXT_MAX], label[CERT_LABEL_MAX];

    for (size_t i = 0; i < s->trust->crl_count; i++) {
        const struct crl *c = s->trust->crls[i];
        bool stale = c->next_update != 0 && c->next_update < s->now;
        bool listed;

        if (!crl_is_of(c, issuer) || !spend(s, search_cost_of(issuer)) || !crl_verify(c, issuer))
            continue;
        listed = crl_lists(c, child->serial);
        if (listed)
            find_at(s, f, at, REASON_CERT_REVOKED, "is on the revocation list of its issuer");
        if (stale && !listed)
            (void)snprintf(
                s->note, sizeof(s->note), "the revocation list of %s is out of date since %s",
                cert_label(issuer, role_at(s, at + 1), label), instant_text(c->next_update, when));
    }
}

static void describe_ending(struct search *s, enum ending end, struct findings *f)
{
    size_t top = s->path.count - 1;

    switch (end) {
    case END_ANCHOR:
        break;
    case END_UNTRUSTED_ROOT:
        find_at(s, f, top, REASON_CERT_UNTRUSTED_ROOT, "is a root that is not in the trust store");
        break;
    case END_SELF_SIGNED:
        find_at(s, f, top, REASON_CERT_SELF_SIGNED, "is signed with its own key");
        break;
    case END_BAD_SIGNATURE:
        find_at(s, f, top, REASON_CERT_BAD_SIGNATURE,
                "has a signature that the key of its issuer does not verify");
        break;
    case END_INCOMPLETE:
        find_at(s, f, top, REASON_CERT_INCOMPLETE_CHAIN,
                "names an issuer that was neither sent nor is trusted");
        break;
    }
}

/* A path that goes no further.  True: the search is over. */
static bool finish(struct search *s, enum ending end)
{
    struct findings f = {.count = 0};
    bool ignored; /* verify_link() has seen each */
    unsigned score;

    if (++s->paths > SEARCH_PATHS_MAX) {
        s->cut_off = true;
        return true;
    }
    s->path.anchored = end == END_ANCHOR;
    s->note[0] = '\0';
    describe_ending(s, end, &f);
    for (size_t at = 0; at + 1 < s->path.count; at++)
        check_crls(s, at, &f);
    rules_check(&s->path, s->now, s->min_rsa_bits, &f);
    if (f.count == 0 && spend(s, cost_of_path(&s->path)) &&
        library_check(&s->path, s->now, &ignored, &f))
        s->accepted = true;
    else if (f.count == 0)
        findings_add(&f, REASON_CERT_TOO_MANY, "the search for a path was cut off");
    score = s->accepted ? 1000 : ending_score[end] + reason_rank(findings_first(&f)->reason);
    if (score > s->best_score) {
        s->best_score = score;
        s->best = s->path;
        s->findings = f;
        memcpy(s->stale_crl, s->note, sizeof(s->note));
    }
    s->path.anchored = false;
    return s->accepted;
}

/* RFC 5280 6.1: no certificate twice; and not the same name and key in another wrapping
 * (cross-signed loops). */
static bool on_path(const struct search *s, const struct cert *c)
{
    for (size_t i = 0; i < s->path.count; i++) {
        const struct cert *p = s->path.certs[i];

        if (slice_eq(p->subject, c->subject) && slice_eq(p->spki, c->spki))
            return true;
    }
    return false;
}

static int promise(const struct search *s, const struct cert *child, const struct cert *issuer)
{
    struct slice wanted = child->authority_key_id, has = issuer->subject_key_id;
    int key_id = wanted.p == NULL || has.p == NULL ? 1 : slice_eq(wanted, has) ? 2 : 0;

    return key_id * 2 + (s->now >= issuer->not_before && s->now < issuer->not_after + 1000);
}

static void offer(struct search *s, struct candidate *list, size_t *n, const struct cert *issuer,
                  bool anchor)
{
    const struct cert *child = s->path.certs[s->path.count - 1];
    struct candidate c = {issuer, anchor, promise(s, child, issuer) + (anchor ? 100 : 0)};
    size_t at = *n;

    if (*n == CANDIDATES_MAX) {
        s->cut_off = true;
        return;
    }
    for (; at > 0 && list[at - 1].score < c.score; at--) /* stays stable: as sent among equals */
        list[at] = list[at - 1];
    list[at] = c;
    ++*n;
}

static size_t candidates(struct search *s, struct candidate *list)
{
    const struct cert *child = s->path.certs[s->path.count - 1];
    size_t n = 0;

    for (size_t i = 0; i < s->trust->anchor_count; i++)
        if (cert_names_issuer(child, s->trust->anchors[i]) && !on_path(s, s->trust->anchors[i]))
            offer(s, list, &n, s->trust->anchors[i], true);
    for (size_t i = 1; i < s->sent_count; i++) {
        const struct cert *c = s->sent[i];

        if (c->broken == NULL && cert_names_issuer(child, c) && !on_path(s, c) &&
            trust_find(s->trust, c) == NULL)
            offer(s, list, &n, c, false);
    }
    return n;
}

static bool extend(struct search *s);

static bool step_to(struct search *s, const struct candidate *c)
{
    bool over;

    s->path.certs[s->path.count++] = c->cert;
    over = c->anchor ? finish(s, END_ANCHOR) : extend(s);
    s->path.count--;
    return over;
}

static bool is_self_signed(struct search *s, const struct cert *c)
{
    return c->self_issued && verify_link(s, c, c) != LINK_BAD;
}

/* True: the search is over, by success or by a bound.  At most PATH_MAX_CERTS calls deep. */
static bool extend(struct search *s)
{
    const struct cert *top = s->path.certs[s->path.count - 1];
    struct candidate list[CANDIDATES_MAX];
    size_t n, followed = 0;
    bool forged = false;

    if (++s->steps > SEARCH_STEPS_MAX || s->path.count == PATH_MAX_CERTS) {
        s->cut_off = true;
        return s->path.count < PATH_MAX_CERTS;
    }
    n = candidates(s, list);
    for (size_t i = 0; i < n; i++) {
        enum link link = verify_link(s, top, list[i].cert);

        /* Another key of the same name, as its identifier says, is no forgery. */
        forged |= link == LINK_BAD && list[i].score % 100 / 2 > 0 && !s->cut_off;
        if (link == LINK_BAD)
            continue;
        followed++;
        if (step_to(s, &list[i]))
            return true;
    }
    if (is_self_signed(s, top))
        return finish(s, s->path.count == 1 ? END_SELF_SIGNED : END_UNTRUSTED_ROOT);
    if (followed > 0)
        return false;
    return finish(s, forged ? END_BAD_SIGNATURE : END_INCOMPLETE);
}

/* From the leaf to an anchor, by the most promising issuer of each.  False: they lead to none. */
static bool first_choices(struct search *s)
{
    struct candidate list[CANDIDATES_MAX];

    while (!s->path.anchored && s->path.count < PATH_MAX_CERTS && candidates(s, list) > 0) {
        s->path.certs[s->path.count++] = list[0].cert;
        s->path.anchored = list[0].anchor;
    }
    return s->path.anchored;
}

static bool guess(struct search *s)
{
    struct findings f = {.count = 0};
    bool each_link = false;

    if (first_choices(s)) {
        for (size_t at = 0; at + 1 < s->path.count; at++)
            check_crls(s, at, &f);
        rules_check(&s->path, s->now, s->min_rsa_bits, &f);
        s->accepted = f.count == 0 && spend(s, cost_of_path(&s->path)) &&
                      library_check(&s->path, s->now, &each_link, &f) && each_link;
    }
    if (s->accepted) {
        s->best = s->path;
        memcpy(s->stale_crl, s->note, sizeof(s->note));
    }
    s->cut_off = false; /* the search looks for itself; what was spent is spent */
    return s->accepted;
}

void search_run(struct search *s)
{
    const struct cert *anchor = trust_find(s->trust, s->sent[0]);
    struct path begin = {.certs = {anchor != NULL ? anchor : s->sent[0]}, .count = 1};

    s->path = begin;
    if (anchor == NULL && guess(s))
        return;
    s->path = begin;
    if (anchor != NULL ? !finish(s, END_ANCHOR) : true)
        (void)extend(s);
}
