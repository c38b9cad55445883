/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      settings_internal - the table of settings and what walks it
 *
 * DESCRIPTION
 *      Seen by the .c files of config/ only.  A group is a place in the file ("tls", one item of
 *      "listeners"); a row is one setting in a group; a type knows how to read, print and free
 *      what a row stores.  Nothing but the table names a setting, except where two settings must
 *      agree (settings_check.c, settings_warn.c).
 */
#ifndef TLSMEND_CONFIG_SETTINGS_INTERNAL_H
#define TLSMEND_CONFIG_SETTINGS_INTERNAL_H

#include <libconfig.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"

enum setting_group_id {
    GROUP_TOP,
    GROUP_LISTENER,
    GROUP_TLS,
    GROUP_DESTINATION,
    GROUP_ROUTE,
    GROUP_RESOLVER,
    GROUP_STUB,
    GROUP_POOL,
    GROUP_MTA_STS,
    GROUP_STORE,
    GROUP_LEDGER,
    GROUP_TIMEOUTS,
    GROUP_LIMITS,
    GROUP_LOG,
    GROUP_SINK,
    GROUP_COUNT
};

/* Offsets are into the struct of the nearest list above, or into struct settings; an offset that is
 * not used is NOWHERE (0 is a setting's own place nowhere but in `at`). */
#define NOWHERE 0

struct setting_group {
    const char *path; /* for documents: "destinations[].route" */
    const char *name; /* as written in the file, NULL for the top */
    size_t items_at;  /* of a list: where the array and its length are */
    size_t count_at;
    size_t item_size;
    size_t preset_items; /* how many items of defaults stand for an absent list */
    size_t origin_at;    /* where an item keeps "file:line" */
    enum setting_group_id parent;
    bool is_list;  /* a list of groups */
    bool optional; /* when absent, it is not filled with defaults */
};

struct setting_word {
    const char *name; /* of several for one value the first is printed */
    int value;
};

struct setting_row;
struct loader;

struct setting_type {
    const char *name; /* for documents: "duration" */
    const char *form; /* for errors: how to write one */
    /* Reads node into base; false after loader_error(). */
    bool (*read)(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                 char *base);
    void (*print)(const struct setting_row *row, const char *base, struct buf *out);
    void (*clear)(const struct setting_row *row, char *base); /* NULL: owns nothing */
};

struct setting_row {
    const char *key;
    const struct setting_type *type;
    size_t at;
    size_t count_at;  /* of lists */
    size_t set_at;    /* a bool: written in the file */
    int64_t min, max; /* of numbers, durations and sizes; min > 0 of texts: not empty */
    const struct setting_word *words;
    const char *preset; /* as an operator would write it; NULL: none */
    const char *help;   /* one sentence */
    enum setting_group_id group;
    bool required;
};

extern const struct setting_group setting_groups[GROUP_COUNT];
extern const struct setting_row setting_rows[];
extern const size_t setting_row_count;

extern const struct setting_type setting_type_text, setting_type_host_name, setting_type_path,
    setting_type_bool, setting_type_integer, setting_type_port, setting_type_duration,
    setting_type_size, setting_type_word, setting_type_observe, setting_type_date;
extern const struct setting_type setting_type_addresses, setting_type_networks,
    setting_type_strings, setting_type_paths, setting_type_fingerprints, setting_type_server;

/* Where a row's value comes from; one for every row that has a value, in the order of the walk. */
struct setting_source {
    const struct setting_row *row;
    const void *base; /* the item or the settings that the row's offsets are into */
    unsigned place;   /* line of its group, 0: the group is not in the file */
    unsigned line;    /* its own; 0: not in the file; then `note` is a literal that says whence */
    const char *note;
};

extern const char settings_note_default[]; /* the row's preset is in force */

#define LOADED_MAGIC 0x5e771465u

/* What settings_parse() really allocates; `shown` is what others see. */
struct loaded_settings {
    struct settings shown;
    uint32_t magic;
    atomic_uint holds;
    char *name; /* of the file, for messages and sources */
    struct setting_source *sources;
    size_t source_count, source_room;
};

struct loaded_settings *loaded_of(const struct settings *s);
/* NULL: the row has no value there. */
struct setting_source *loaded_source(struct loaded_settings *n, enum setting_group_id group,
                                     const char *key, const void *base);

struct loader {
    bool check_files;
    struct loaded_settings *loaded;
    config_t presets; /* element i is the default of row i */
    struct buf *errors;
    unsigned error_count;
};

#define PRESET_TRUST_ANCHOR "/usr/share/dns/root.key"
#define PRESET_STORE "/var/lib/tlsmend/tlsmend.db"

#define ERRORS_SHOWN 50 /* further ones are only counted */

/* "file:line: key = value: " and the text, which holds the mend. */
void loader_error(struct loader *l, const config_setting_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a row that was read and breaks a rule, in the item at `base`. */
void loader_rule_error(struct loader *l, enum setting_group_id group, const char *key,
                       const void *base, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* "file:line: " and the text, for what is no setting. */
void loader_line_error(struct loader *l, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void loaded_print_place(const struct loaded_settings *n, const struct setting_source *from,
                        struct buf *out);
/* "destinations[2].level = "may"" of the item at `base`; the row must have a source. */
void loaded_print_row(const struct loaded_settings *n, const struct setting_source *from,
                      struct buf *out);

/* settings_text: what needs no table */
void settings_quote(struct slice text, struct buf *out);     /* "..." with escapes, whole */
void settings_quote_cut(struct slice text, struct buf *out); /* the same for messages, cut */
void settings_node_path(const config_setting_t *node, struct buf *out);
void settings_node_value(const config_setting_t *node, struct buf *out);
bool settings_is_host_name(struct slice s, bool underscores); /* labels and lengths, ASCII */
bool settings_is_literal(struct slice s);                     /* [192.0.2.1], [IPv6:2001:db8::1] */
bool settings_addr_port(struct slice s, uint16_t preset_port, struct addr *out);
bool settings_has_control(const char *s);
bool settings_has_high(const char *s); /* bytes above 0x7f */

/* settings_scan: what libconfig's own scanner would pass over in silence. */
bool loader_scan(struct loader *l, struct slice text);

/* settings_host: the default of helo_name.  *note says where it comes from. */
char *settings_host_name(bool look, const char **note);

/* settings_check, settings_paths: rules between settings, and files that must be there. */
void loader_check_rules(struct loader *l);
void loader_check_destinations(struct loader *l);
void loader_check_paths(struct loader *l);

/* Calls each() for every row of every item, in the order of the table. */
typedef void walk_fn(void *ctx, const struct setting_row *row, char *base);
void settings_walk(struct settings *s, walk_fn *each, void *ctx);

#endif
