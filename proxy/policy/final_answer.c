/* SPDX-License-Identifier: Apache-2.0 */
/* final_answer - see final_answer.h for the contract. */
#include "proxy/policy/final_answer.h"

#include <stdio.h>

#include "proxy/base/invariant.h"

/* Exim 4 reads a whole reply into 4096 bytes and calls a longer one malformed: a 250 that it cannot
 * read is a message sent twice.  So the lines share this, and a long one is cut. */
#define ANSWER_BYTES 3600
#define LINE_MAX_BYTES 500 /* of text; reply_write() cuts there, without a sign */
#define WIRE_EXTRA 6       /* "250-" and CRLF */
#define ENH_MAX 16         /* "5.999.999 " */

/* What went wrong comes first. */
enum result { REFUSED, DEFERRED, DELIVERED, RESULTS };

static const struct {
    int code;
    const char *enh;
} general[] = {
    [REFUSED] = {554, "5.0.0"},
    [DEFERRED] = {451, "4.0.0"},
    [DELIVERED] = {250, "2.0.0"},
};

/* In doubt nothing is settled: a code of no class that a final reply may have is a deferral. */
static enum result result_of(const struct reply *r)
{
    if (r->code >= 200 && r->code <= 299)
        return DELIVERED;
    return r->code >= 500 && r->code <= 599 ? REFUSED : DEFERRED;
}

/* The never-stall contract: 421 is the end of a connection to a client, and ours goes on. */
static int code_of(const struct reply *r)
{
    if (r->code == 421 || (result_of(r) == DEFERRED && (r->code < 400 || r->code > 499)))
        return general[DEFERRED].code;
    return r->code;
}

static bool enh_same(struct enhanced a, struct enhanced b)
{
    return a.class == b.class && a.subject == b.subject && a.detail == b.detail;
}

/* The head of a reply for parts that are all of class `of`. */
static int common_head(const struct final_part *parts, size_t count, enum result of,
                       char enh[ENH_MAX])
{
    struct enhanced e = parts[0].reply->enh;
    int code = code_of(parts[0].reply);

    for (size_t i = 1; i < count; i++) {
        if (code_of(parts[i].reply) != code)
            code = general[of].code;
        if (!enh_same(parts[i].reply->enh, e))
            e.class = 0;
    }
    if (e.class == code / 100)
        (void)snprintf(enh, ENH_MAX, "%d.%d.%d", e.class, e.subject % 1000, e.detail % 1000);
    else
        (void)snprintf(enh, ENH_MAX, "%s", general[of].enh);
    return code;
}

static bool agree(const struct final_part *parts, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (result_of(parts[i].reply) != result_of(parts[0].reply))
            return false;
    return true;
}

/* Bytes of a peer as text that neither ends the line nor does anything to a terminal. */
static bool add_text(struct buf *line, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (!buf_addc(line, c == '\t' ? ' ' : c < 0x20 || c > 0x7e ? '?' : (char)c))
            return false;
    }
    return true;
}

/* The words of a reply, its lines joined; an enhanced code stands before the first line only. */
static bool add_words(struct buf *line, const struct reply *r)
{
    struct slice text, token, rest = buf_slice(&r->text);
    bool more = true, ok = true;

    for (bool first = true; more && ok; first = false) {
        more = slice_cut(rest, '\n', &text, &rest);
        if (!first && enhanced_parse(text, r->code).class != 0) {
            (void)slice_word(&text, &token);
            text = slice_trim(text);
        }
        if (text.n > 0)
            ok = buf_add(line, first ? SLICE(" ") : SLICE(" / ")) && add_text(line, text);
    }
    return ok;
}

/* "example.org: 550 5.7.1 text / text"; what is cut shows it. */
static void add_part(struct buf *text, const struct final_part *part, size_t room)
{
    struct slice domain = slice_str(part->domain), name = slice_first(domain, room / 2);
    struct buf line;

    buf_init(&line, room);
    (void)add_text(&line, name);
    (void)buf_addf(&line, "%s: %03d", name.n < domain.n ? "..." : "", code_of(part->reply));
    if (!add_words(&line, part->reply)) {
        if (line.n > room - 3)
            line.n = room - 3;
        (void)buf_add(&line, SLICE("..."));
    }
    (void)buf_add(text, buf_slice(&line));
    buf_clear(&line);
}

/* The lines for all parts; the first begins with `head` (empty: none) and has what went wrong in it:
 * Sendmail keeps no other line. */
static void add_parts(struct buf *text, struct slice head, const struct final_part *parts,
                      size_t count)
{
    size_t shown = count <= FINAL_ANSWER_LINES ? count : FINAL_ANSWER_LINES - 1, done = 0;
    size_t lines = shown + (shown < count ? 1 : 0);
    size_t room = ANSWER_BYTES / lines - WIRE_EXTRA;

    if (room > LINE_MAX_BYTES)
        room = LINE_MAX_BYTES;
    room -= ENH_MAX;
    (void)buf_add(text, head);
    for (enum result of = 0; of < RESULTS; of++)
        for (size_t i = 0; i < count && done < shown; i++) {
            if (result_of(parts[i].reply) != of)
                continue;
            if (done > 0)
                (void)buf_addc(text, '\n');
            add_part(text, &parts[i], done > 0 ? room : room - head.n);
            done++;
        }
    if (shown < count)
        (void)buf_addf(text, "\nand %zu more", count - shown);
}

bool final_answer_make(const struct final_part *parts, size_t count, struct reply *out)
{
    char enh[ENH_MAX] = "4.3.0";
    int code = 451;
    struct slice head = SLICE_NONE;
    struct buf text;
    bool same;

    INVARIANT(count > 0);
    same = agree(parts, count);
    if (count == 1) {
        reply_copy(out, parts[0].reply);
        if (code_of(out) != out->code)
            reply_recode(out, code_of(out));
        return true;
    }
    buf_init(&text, REPLY_BYTES_MAX);
    if (same)
        code = common_head(parts, count, result_of(parts[0].reply), enh);
    else
        head = SLICE("The destinations gave different answers: ");
    add_parts(&text, head, parts, count);
    reply_set(out, code, enh, buf_slice(&text));
    buf_clear(&text);
    return same;
}

/* Exim takes an overall reply other than 2yz for one about every recipient: with 5yz those who have
 * the message would be returned as failed. */
void final_answer_prdr(const struct final_part *parts, size_t count, struct reply *out)
{
    size_t delivered = 0;
    char enh[ENH_MAX];
    int code;

    INVARIANT(count > 0);
    for (size_t i = 0; i < count; i++)
        delivered += result_of(parts[i].reply) == DELIVERED;
    if (delivered > 0) {
        reply_set(out, 250, "2.0.0",
                  delivered == count
                      ? SLICE("Delivered")
                      : SLICE("Delivered in part; each recipient has its own reply"));
    } else if (agree(parts, count) && result_of(parts[0].reply) == REFUSED) {
        code = common_head(parts, count, REFUSED, enh);
        reply_set(out, code, enh, SLICE("Refused for every recipient; each has its own reply"));
    } else {
        reply_set(out, 451, "4.0.0", SLICE("Not delivered yet; each recipient has its own reply"));
    }
}
