/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding, dropping and printing a snapshot, and the messages that point into it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings_internal.h"
#include "proxy/base/invariant.h"
#include "proxy/base/mem.h"

#define SOURCE_COLUMN 56
#define MESSAGE_MAX 2048

const char settings_note_default[] = "default";

struct loaded_settings *loaded_of(const struct settings *s)
{
    struct loaded_settings *n =
        (struct loaded_settings *)(uintptr_t)s; /* `shown` is its first member */

    INVARIANT(n != NULL && n->magic == LOADED_MAGIC);
    return n;
}

struct settings *settings_hold(struct settings *s)
{
    atomic_fetch_add_explicit(&loaded_of(s)->holds, 1, memory_order_relaxed);
    return s;
}

static void walk_group(struct settings *s, enum setting_group_id id, char *base, walk_fn *each,
                       void *ctx)
{
    for (size_t i = 0; i < setting_row_count; i++)
        if (setting_rows[i].group == id)
            each(ctx, &setting_rows[i], base);
    for (size_t g = GROUP_TOP + 1; g < GROUP_COUNT; g++) {
        const struct setting_group *child = &setting_groups[g];

        if (child->parent != id)
            continue;
        if (!child->is_list) {
            walk_group(s, (enum setting_group_id)g, base, each, ctx);
            continue;
        }
        for (size_t i = 0; i < *(size_t *)(base + child->count_at); i++)
            walk_group(s, (enum setting_group_id)g,
                       *(char **)(base + child->items_at) + i * child->item_size, each, ctx);
    }
}

void settings_walk(struct settings *s, walk_fn *each, void *ctx)
{
    walk_group(s, GROUP_TOP, (char *)s, each, ctx);
}

static void clear_row(void *ctx, const struct setting_row *row, char *base)
{
    (void)ctx;
    if (row->type->clear != NULL)
        row->type->clear(row, base);
}

/* All lists stand at the top level of the struct, so one round over the groups frees them. */
static void loaded_free(struct loaded_settings *n)
{
    char *base = (char *)&n->shown;

    settings_walk(&n->shown, clear_row, NULL);
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        const struct setting_group *group = &setting_groups[g];
        char *items = group->is_list ? *(char **)(base + group->items_at) : NULL;

        for (size_t i = 0; items != NULL && group->origin_at != NOWHERE &&
                           i < *(size_t *)(base + group->count_at);
             i++)
            free(*(char **)(items + i * group->item_size + group->origin_at));
        free(items);
    }
    free(n->shown.path);
    free(n->name);
    free(n->sources);
    n->magic = 0;
    free(n);
}

void settings_drop(struct settings **s)
{
    if (*s == NULL)
        return;
    if (atomic_fetch_sub_explicit(&loaded_of(*s)->holds, 1, memory_order_acq_rel) == 1)
        loaded_free(loaded_of(*s));
    *s = NULL;
}

struct setting_source *loaded_source(struct loaded_settings *n, enum setting_group_id group,
                                     const char *key, const void *base)
{
    for (size_t i = 0; i < n->source_count; i++) {
        struct setting_source *from = &n->sources[i];

        if (from->base == base && from->row->group == group && strcmp(from->row->key, key) == 0)
            return from;
    }
    return NULL;
}

/* The group's path with "[]" made "[2]". */
static void print_path(const struct loaded_settings *n, const struct setting_source *from,
                       struct buf *out)
{
    const struct setting_group *group = &setting_groups[from->row->group];
    const struct setting_group *list = group->is_list ? group : &setting_groups[group->parent];
    struct slice before, after, path = slice_str(group->path);

    if (slice_cut(path, '[', &before, &after)) {
        const char *items = *(char *const *)((const char *)&n->shown + list->items_at);
        size_t index = (size_t)((const char *)from->base - items) / list->item_size;

        buf_addf(out, "%.*s[%zu%.*s", SLICE_ARG(before), index, SLICE_ARG(after));
    } else {
        buf_add(out, path);
    }
    buf_addf(out, "%s%s", path.n > 0 ? "." : "", from->row->key);
}

void loaded_print_row(const struct loaded_settings *n, const struct setting_source *from,
                      struct buf *out)
{
    print_path(n, from, out);
    buf_add(out, SLICE(" = "));
    if (from->note == settings_note_default) /* as the documents write it */
        buf_addf(out, "%s", from->row->preset);
    else
        from->row->type->print(from->row, from->base, out);
}

/* "file:line", of the group where the row itself is not in the file; "file" where neither is. */
void loaded_print_place(const struct loaded_settings *n, const struct setting_source *from,
                        struct buf *out)
{
    unsigned line = from->line != 0 ? from->line : from->place;

    buf_addf(out, "%s", n->name);
    if (line != 0)
        buf_addf(out, ":%u", line);
}

void settings_print(const struct settings *s, struct buf *out)
{
    const struct loaded_settings *n = loaded_of(s);

    for (size_t i = 0; i < n->source_count; i++) {
        const struct setting_source *from = &n->sources[i];
        size_t start = out->n, width;

        loaded_print_row(n, from, out);
        width = out->n - start;
        buf_addf(out, "%*s # ", width < SOURCE_COLUMN ? (int)(SOURCE_COLUMN - width) : 0, "");
        if (from->line == 0)
            buf_addf(out, "%s", from->note);
        else
            loaded_print_place(n, from, out);
        buf_addc(out, '\n');
    }
}

void settings_cite(const struct settings *s, const char *key, struct buf *out)
{
    const struct loaded_settings *n = loaded_of(s);
    struct buf path;

    buf_init(&path, MESSAGE_MAX);
    for (size_t i = 0; i < n->source_count; i++) {
        const struct setting_source *from = &n->sources[i];

        buf_reset(&path);
        print_path(n, from, &path);
        if (!slice_eq(buf_slice(&path), slice_str(key)))
            continue;
        loaded_print_place(n, from, out);
        buf_add(out, SLICE(": "));
        loaded_print_row(n, from, out);
        buf_add(out, SLICE(": "));
        break;
    }
    buf_clear(&path);
}

static bool count_error(struct loader *l)
{
    return ++l->error_count <= ERRORS_SHOWN;
}

__attribute__((format(printf, 3, 0))) static void add_message(struct loader *l, struct buf *place,
                                                              const char *format, va_list args)
{
    char text[MESSAGE_MAX];

    (void)vsnprintf(text, sizeof(text), format, args);
    buf_addf(l->errors, "%s: %s\n", buf_cstr(place), text);
    buf_clear(place);
}

void loader_error(struct loader *l, const config_setting_t *node, const char *format, ...)
{
    struct buf place;
    va_list args;

    if (!count_error(l))
        return;
    buf_init(&place, MESSAGE_MAX);
    buf_addf(&place, "%s:%u: ", l->loaded->name, node->line);
    settings_node_path(node, &place);
    buf_add(&place, SLICE(" = "));
    settings_node_value(node, &place);
    va_start(args, format);
    add_message(l, &place, format, args);
    va_end(args);
}

void loader_rule_error(struct loader *l, enum setting_group_id group, const char *key,
                       const void *base, const char *format, ...)
{
    const struct setting_source *from = loaded_source(l->loaded, group, key, base);
    struct buf place;
    va_list args;

    if (!count_error(l))
        return;
    INVARIANT(from != NULL);
    buf_init(&place, MESSAGE_MAX);
    loaded_print_place(l->loaded, from, &place);
    buf_add(&place, SLICE(": "));
    loaded_print_row(l->loaded, from, &place);
    va_start(args, format);
    add_message(l, &place, format, args);
    va_end(args);
}

void loader_line_error(struct loader *l, unsigned line, const char *format, ...)
{
    struct buf place;
    va_list args;

    if (!count_error(l))
        return;
    buf_init(&place, MESSAGE_MAX);
    buf_addf(&place, "%s:%u", l->loaded->name, line);
    va_start(args, format);
    add_message(l, &place, format, args);
    va_end(args);
}
