/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tlsmend ledger: what was delivered or refused when the client could not be told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/ledger_report.h"
#include "proxy/cli/report_json_internal.h"
#include "proxy/net/loop.h"
#include "proxy/store/store.h"

#define ERRORS_MAX 65536
#define ENTRY_MAX ((size_t)1 << 20) /* a page of text for one */

struct list {
    const struct settings *settings;
    const struct ledger_view *view; /* the newest first; NULL: none */
    const char *word;               /* NULL: all */
    wall_ms now;
    size_t shown;
};

static int newest_first(const void *a, const void *b)
{
    const struct ledger_entry *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? 1 : -1;
    if (strcmp(x->transaction, y->transaction) != 0)
        return strcmp(y->transaction, x->transaction);
    return strcmp(x->recipient, y->recipient);
}

/* An entry at a time: there may be millions. */
static void print_entries(struct list *l, const char *between,
                          void (*print)(const struct ledger_report *r, struct buf *out))
{
    struct buf text;

    buf_init(&text, ENTRY_MAX);
    for (size_t i = 0; l->view != NULL && i < l->view->count; i++) {
        const struct ledger_entry *e = &l->view->entries[i];
        struct ledger_report r = {e, l->settings->ledger.refusals, l->now};

        if (l->word != NULL && !ledger_report_matches(e, slice_str(l->word)))
            continue;
        buf_reset(&text);
        print(&r, &text);
        (void)printf("%s%s", l->shown > 0 ? between : "", buf_cstr(&text));
        l->shown++;
    }
    buf_clear(&text);
}

static void print_text(struct list *l)
{
    if (l->word == NULL)
        print_entries(l, "", ledger_report_line);
    else
        print_entries(l, "\n", ledger_report_explain);
    if (l->shown == 0)
        (void)printf("no entry%s: %s\n", l->word != NULL ? " for this" : "",
                     l->word != NULL
                         ? "each result for it was told to the client, or the entry has "
                           "expired"
                         : "clients were told everything");
    else if (l->word == NULL)
        (void)printf("%zu %s\n", l->shown, l->shown == 1 ? "entry" : "entries");
}

static void print_json(struct list *l)
{
    json_t *path = json_string(l->settings->store.path);
    char *quoted = path != NULL ? json_dumps(path, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;

    (void)printf("{\"store\": %s,\n\"entries\": [\n", quoted != NULL ? quoted : "null");
    free(quoted);
    json_decref(path);
    print_entries(l, ",\n", ledger_report_json);
    (void)printf("%s],\n\"count\": %zu}\n", l->shown > 0 ? "\n" : "", l->shown);
}

static int show(const struct settings *s, const struct cli_words *w)
{
    struct list l = {.settings = s, .word = w->word, .now = loop_wall()};
    struct ledger_view *view = NULL;
    struct store *store;
    struct buf trouble;
    int code = CLI_SYSTEM;

    buf_init(&trouble, ERRORS_MAX);
    store = cli_open_store(s, &trouble);
    if (trouble.n > 0) {
        (void)fprintf(stderr, "%s%s", buf_cstr(&trouble),
                      trouble.p[trouble.n - 1] == '\n' ? "" : "\n");
    } else {
        if (s->store.path[0] == '\0')
            (void)fprintf(stderr, "tlsmend ledger: store.path is empty, so there is no ledger: "
                                  "name a file\n");
        view = ledger_all(store_ledger(store), l.now);
        if (view != NULL)
            qsort(view->entries, view->count, sizeof(*view->entries), newest_first);
        l.view = view;
        if (w->json)
            print_json(&l);
        else
            print_text(&l);
        code = fflush(stdout) == 0 && ferror(stdout) == 0 ? CLI_OK : CLI_SYSTEM;
    }
    ledger_view_free(&view);
    store_close(&store);
    buf_clear(&trouble);
    return code;
}

int ledger_command(int argc, char **argv)
{
    struct cli_words w;
    struct settings *s;
    struct buf errors;
    int code;

    if (!cli_report_words(argc, argv, "word", &w))
        return CLI_USAGE;
    if (w.word != NULL && w.word[0] == '\0') {
        (void)fprintf(stderr, "tlsmend ledger: the word is empty: leave it out to list all\n");
        return CLI_USAGE;
    }
    buf_init(&errors, ERRORS_MAX);
    s = settings_load(w.path, &errors);
    (void)fputs(buf_cstr(&errors), stderr);
    buf_clear(&errors);
    code = s != NULL ? show(s, &w) : CLI_CONFIG;
    settings_drop(&s);
    return code;
}
