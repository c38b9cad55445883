/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to a snapshot: libconfig reads the text, the table is walked over what it found.  No
 * setting is named here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings_internal.h"
#include "proxy/base/mem.h"

#define FILE_MAX ((size_t)16 << 20)

static void load_group(struct loader *l, enum setting_group_id id, const config_setting_t *node,
                       char *base);

/* `place` is the group that the row is in, `node` the row's own setting; each may be missing. */
static void add_source(struct loaded_settings *n, const struct setting_row *row, const void *base,
                       const config_setting_t *place, const config_setting_t *node)
{
    if (n->source_count == n->source_room) {
        n->source_room = n->source_room * 2 + setting_row_count;
        n->sources = mem_resize(n->sources, n->source_room, sizeof(n->sources[0]));
    }
    n->sources[n->source_count++] =
        (struct setting_source){.row = row,
                                .base = base,
                                .place = place != NULL ? place->line : 0,
                                .line = node != NULL ? node->line : 0,
                                .note = node != NULL ? NULL : settings_note_default};
}

static void load_row(struct loader *l, const struct setting_row *row, const config_setting_t *place,
                     const config_setting_t *node, char *base)
{
    unsigned index = (unsigned)(row - setting_rows);

    if (node != NULL) {
        add_source(l->loaded, row, base, place, node);
        if (row->set_at != NOWHERE)
            *(bool *)(base + row->set_at) = true;
        if (row->type->read(l, row, node, base))
            return;
        if (row->type->clear != NULL)
            row->type->clear(row, base);
        l->loaded->source_count--;
    }
    if (row->preset == NULL)
        return;
    /* also after an error, so that the rules that come later see nothing half-read */
    add_source(l->loaded, row, base, place, NULL);
    (void)row->type->read(l, row, config_setting_get_elem(config_root_setting(&l->presets), index),
                          base);
}

static void load_list(struct loader *l, const struct setting_group *group,
                      const config_setting_t *node, char *base)
{
    enum setting_group_id id = (enum setting_group_id)(group - setting_groups);
    size_t n = group->preset_items, used = 0;
    char *items;

    /* "[ ]" is as empty as "( )" */
    if (node != NULL && !config_setting_is_list(node) &&
        !(config_setting_is_array(node) && config_setting_length(node) == 0)) {
        loader_error(l, node, "write a list of groups: %s = ( { ... }, { ... } )", group->name);
        node = NULL;
    }
    if (node != NULL)
        n = (size_t)config_setting_length(node);
    if (node != NULL && n == 0 && group->preset_items > 0)
        loader_error(l, node, "at least one is needed: leave %s out for the default", group->name);
    items = n > 0 ? mem_array(n, group->item_size) : NULL;
    *(void **)(base + group->items_at) = items;
    for (size_t i = 0; i < n; i++) {
        const config_setting_t *item = NULL;

        if (node != NULL) {
            item = config_setting_get_elem(node, (unsigned)i);
            if (!config_setting_is_group(item)) {
                loader_error(l, item, "write a group in braces: { ... }");
                continue;
            }
        }
        *(size_t *)(base + group->count_at) = used + 1;
        load_group(l, id, item, items + used * group->item_size);
        if (group->origin_at != NOWHERE)
            *(char **)(items + used * group->item_size + group->origin_at) =
                item != NULL ? mem_format("%s:%u", l->loaded->name, item->line)
                             : mem_strdup("default");
        used++;
    }
}

static void load_child(struct loader *l, enum setting_group_id id, const config_setting_t *node,
                       char *base)
{
    const struct setting_group *group = &setting_groups[id];

    if (group->is_list) {
        load_list(l, group, node, base);
        return;
    }
    if (node != NULL && !config_setting_is_group(node)) {
        loader_error(l, node, "write a group in braces: %s: { ... }", group->name);
        node = NULL;
    }
    if (node != NULL || !group->optional)
        load_group(l, id, node, base);
}

static bool is_child(enum setting_group_id id, enum setting_group_id parent)
{
    return id != GROUP_TOP && setting_groups[id].parent == parent;
}

/* Looks for a name of the right kind: groups and lists of groups, or rows. */
struct search {
    const char *key;
    bool groups;
    const char *nearest; /* the known name that takes the fewest edits */
    unsigned distance;
};

static void search_try(struct search *s, const char *name)
{
    unsigned d = settings_distance(name, s->key);

    if (s->nearest == NULL || d < s->distance) {
        s->nearest = name;
        s->distance = d;
    }
}

static void search_group(struct search *s, enum setting_group_id id)
{
    for (size_t i = 0; !s->groups && i < setting_row_count; i++)
        if (setting_rows[i].group == id)
            search_try(s, setting_rows[i].key);
    for (size_t g = 0; s->groups && g < GROUP_COUNT; g++)
        if (is_child((enum setting_group_id)g, id))
            search_try(s, setting_groups[g].name);
}

static bool is_known(enum setting_group_id id, const char *key)
{
    for (size_t i = 0; i < setting_row_count; i++)
        if (setting_rows[i].group == id && strcmp(setting_rows[i].key, key) == 0)
            return true;
    for (size_t g = 0; g < GROUP_COUNT; g++)
        if (is_child((enum setting_group_id)g, id) && strcmp(setting_groups[g].name, key) == 0)
            return true;
    return false;
}

static void unknown_key(struct loader *l, const config_setting_t *node, enum setting_group_id id)
{
    const char *key = config_setting_name(node);
    struct search s = {.key = key,
                       .groups = config_setting_is_group(node) || config_setting_is_list(node)};

    for (size_t g = 0; g < GROUP_COUNT; g++) {
        s.nearest = NULL;
        search_group(&s, (enum setting_group_id)g);
        if (s.nearest != NULL && strcmp(s.nearest, key) == 0) {
            loader_error(l, node, "unknown key in this place; %s belongs %s%s", key,
                         g == GROUP_TOP ? "at the top, outside of all groups" : "in ",
                         setting_groups[g].path);
            return;
        }
    }
    s.nearest = NULL;
    search_group(&s, id);
    if (s.nearest == NULL) { /* no groups in this one */
        s.groups = false;
        search_group(&s, id);
    }
    loader_error(l, node, "unknown key; the nearest known one here is \"%s\"", s.nearest);
}

static void load_group(struct loader *l, enum setting_group_id id, const config_setting_t *node,
                       char *base)
{
    int members = node != NULL ? config_setting_length(node) : 0;

    for (int i = 0; i < members; i++) {
        const config_setting_t *member = config_setting_get_elem(node, (unsigned)i);

        if (!is_known(id, config_setting_name(member)))
            unknown_key(l, member, id);
    }
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        const config_setting_t *member =
            node != NULL ? config_setting_get_member(node, row->key) : NULL;

        if (row->group != id)
            continue;
        if (member == NULL && row->required)
            loader_error(l, node, "%s is missing: add %s, %s", row->key, row->key, row->type->form);
        load_row(l, row, node, member, base);
    }
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        if (is_child((enum setting_group_id)g, id))
            load_child(l, (enum setting_group_id)g,
                       node != NULL ? config_setting_get_member(node, setting_groups[g].name)
                                    : NULL,
                       base);
    }
}

/* "r0 = <default of row 0>; r1 = ...": defaults are read by the very code that reads the file. */
static void load_presets(struct loader *l)
{
    struct buf text;
    int ok;

    buf_init(&text, (size_t)1 << 16);
    for (size_t i = 0; i < setting_row_count; i++)
        buf_addf(&text, "r%zu = %s;\n", i,
                 setting_rows[i].preset != NULL ? setting_rows[i].preset : "0");
    ok = config_read_string(&l->presets, buf_cstr(&text));
    if (ok != CONFIG_TRUE)
        loader_line_error(l, 0, "the built-in defaults: %s", config_error_text(&l->presets));
    buf_clear(&text);
}

/* libconfig's message, the line it stands at, and what to do. */
static void syntax_error(struct loader *l, const config_t *file, struct slice text)
{
    const char *what = config_error_text(file);
    struct slice line = text, rest = text;
    struct buf shown;
    unsigned number = 0;

    while ((int)number < config_error_line(file) && slice_trim(rest).n > 0) {
        (void)slice_cut(rest, '\n', &line, &rest);
        number++;
    }
    buf_init(&shown, 1024);
    settings_quote_cut(slice_trim(line), &shown);
    if (strcmp(what, "duplicate setting name") == 0)
        loader_line_error(l, number, "%s: a key stands here for the second time: take one out",
                          buf_cstr(&shown));
    else if (strcmp(what, "mismatched element type in array") == 0)
        loader_line_error(l, number, "%s: write all elements of a list in quotes",
                          buf_cstr(&shown));
    else
        loader_line_error(l, number,
                          "%s: %s here or just before: write key = value; and close every "
                          "{, ( and [",
                          buf_cstr(&shown), what);
    buf_clear(&shown);
}

static bool read_text(struct loader *l, config_t *file, struct slice text)
{
    struct buf copy;
    bool ok;

    if (!loader_scan(l, text))
        return false;
    buf_init(&copy, text.n + 2);
    buf_add(&copy, text);
    buf_addc(&copy, '\n'); /* libconfig takes no comment on a last line without its end */
    ok = config_read_string(file, buf_cstr(&copy)) == CONFIG_TRUE;
    if (!ok)
        syntax_error(l, file, text);
    buf_clear(&copy);
    return ok;
}

static struct loaded_settings *loaded_new(const char *name)
{
    struct loaded_settings *n = mem_zalloc(sizeof(*n));

    n->magic = LOADED_MAGIC;
    atomic_init(&n->holds, 1);
    n->name = mem_strdup(name);
    n->shown.path = mem_strdup("");
    return n;
}

struct settings *settings_parse(const char *text, size_t n, const char *name, bool check_files,
                                struct buf *errors)
{
    struct loader l = {.check_files = check_files, .errors = errors};
    struct settings *s;
    config_t file;

    l.loaded = loaded_new(name);
    s = &l.loaded->shown;
    config_init(&file);
    config_init(&l.presets);
    load_presets(&l);
    if (l.error_count == 0 && read_text(&l, &file, slice_of(text, n))) {
        load_group(&l, GROUP_TOP, config_root_setting(&file), (char *)s);
        loader_check_rules(&l);
        loader_check_destinations(&l);
        if (check_files)
            loader_check_paths(&l);
    }
    config_destroy(&file);
    config_destroy(&l.presets);
    if (l.error_count > ERRORS_SHOWN)
        buf_addf(errors, "%s: %u further errors\n", name, l.error_count - ERRORS_SHOWN);
    if (l.error_count > 0)
        settings_drop(&s);
    return s;
}

static bool read_file(const char *path, struct buf *text, struct buf *errors)
{
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    bool ok = true;

    if (f == NULL) {
        buf_addf(errors, "%s: %s: name a file that can be read\n", path, strerror(errno));
        return false;
    }
    while (ok && (n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        ok = buf_add(text, slice_of(chunk, n));
        if (!ok)
            buf_addf(errors, "%s: longer than %zu MiB: this is no configuration\n", path,
                     FILE_MAX >> 20);
    }
    if (ok && ferror(f) != 0) {
        buf_addf(errors, "%s: %s: name a file that can be read\n", path, strerror(errno));
        ok = false;
    }
    (void)fclose(f);
    return ok;
}

struct settings *settings_load(const char *path, struct buf *errors)
{
    struct settings *s = NULL;
    struct buf text;

    if (path == NULL)
        return settings_parse("", 0, "defaults", true, errors);
    buf_init(&text, FILE_MAX);
    if (read_file(path, &text, errors))
        s = settings_parse(text.p, text.n, path, true, errors);
    if (s != NULL) {
        free(s->path);
        s->path = mem_strdup(path);
    }
    buf_clear(&text);
    return s;
}
