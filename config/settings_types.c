/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of single values: how each is read, printed and freed.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings_internal.h"
#include "proxy/base/mem.h"

/* The node's text; NULL after an error, where it is none or holds what no setting can. */
static const char *read_string(struct loader *l, const struct setting_row *row,
                               const config_setting_t *node)
{
    const char *text;

    if (config_setting_type(node) != CONFIG_TYPE_STRING) {
        loader_error(l, node, "write %s", row->type->form);
        return NULL;
    }
    text = config_setting_get_string(node);
    if (settings_has_control(text)) {
        loader_error(l, node, "control characters are in it: take them out");
        return NULL;
    }
    return text;
}

static void print_string(const struct setting_row *row, const char *base, struct buf *out)
{
    const char *text = *(char *const *)(base + row->at);

    settings_quote(slice_str(text != NULL ? text : ""), out);
}

static void clear_string(const struct setting_row *row, char *base)
{
    char **at = (char **)(base + row->at);

    free(*at);
    *at = NULL;
}

static bool read_text(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    const char *text = read_string(l, row, node);

    if (text == NULL)
        return false;
    if (row->min > 0 && text[0] == '\0') {
        loader_error(l, node, "it must not be empty: write %s, or leave the line out",
                     row->type->form);
        return false;
    }
    *(char **)(base + row->at) = mem_strdup(text);
    return true;
}

const struct setting_type setting_type_text = {"text", "text in quotes", read_text, print_string,
                                               clear_string};

static bool read_path(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    const char *text = read_string(l, row, node);

    if (text != NULL && text[0] != '/' && (row->min > 0 || text[0] != '\0')) {
        loader_error(l, node, "write %s", row->type->form);
        return false;
    }
    return text != NULL && read_text(l, row, node, base);
}

const struct setting_type setting_type_path = {
    "path", "an absolute path in quotes, beginning with /", read_path, print_string, clear_string};

/* An empty name means the host's own; the snapshot remembers where that came from. */
static bool read_host_name(struct loader *l, const struct setting_row *row,
                           const config_setting_t *node, char *base)
{
    const char *text = read_string(l, row, node), *note = NULL;
    struct setting_source *last;
    struct slice name;

    if (text == NULL)
        return false;
    if (text[0] == '\0') {
        *(char **)(base + row->at) = settings_host_name(l->check_files, &note);
        last = &l->loaded->sources[l->loaded->source_count - 1];
        last->line = 0;
        last->note = note;
        return true;
    }
    name = slice_str(text);
    if (!settings_is_host_name(name, false) && !settings_is_literal(name)) {
        loader_error(l, node, "no host name; write %s", row->type->form);
        return false;
    }
    if (name.p[name.n - 1] == '.') /* no dot at the end of a Domain in SMTP (RFC 5321 4.1.2) */
        name.n--;
    *(char **)(base + row->at) = slice_dup(name);
    return true;
}

const struct setting_type setting_type_host_name = {
    "host name", "a full host name such as \"mail.example.org\", or \"[192.0.2.1]\"",
    read_host_name, print_string, clear_string};

static bool read_bool(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    if (config_setting_type(node) != CONFIG_TYPE_BOOL) {
        loader_error(l, node, "write %s", row->type->form);
        return false;
    }
    *(bool *)(base + row->at) = config_setting_get_bool(node) == CONFIG_TRUE;
    return true;
}

static void print_bool(const struct setting_row *row, const char *base, struct buf *out)
{
    buf_addf(out, "%s", *(const bool *)(base + row->at) ? "true" : "false");
}

const struct setting_type setting_type_bool = {"bool", "true or false, without quotes", read_bool,
                                               print_bool, NULL};

static bool read_number(struct loader *l, const struct setting_row *row,
                        const config_setting_t *node, long long *out)
{
    int type = config_setting_type(node);

    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
        loader_error(l, node, "write %s between %lld and %lld", row->type->form,
                     (long long)row->min, (long long)row->max);
        return false;
    }
    /* libconfig cuts long hexadecimal numbers in silence */
    if (config_setting_get_format(node) == CONFIG_FORMAT_HEX) {
        loader_error(l, node, "write it as a decimal number");
        return false;
    }
    *out = config_setting_get_int64(node);
    if (*out < row->min || *out > row->max) {
        loader_error(l, node, "out of bounds: write a number between %lld and %lld",
                     (long long)row->min, (long long)row->max);
        return false;
    }
    return true;
}

static bool read_integer(struct loader *l, const struct setting_row *row,
                         const config_setting_t *node, char *base)
{
    long long n;

    if (!read_number(l, row, node, &n))
        return false;
    *(int *)(base + row->at) = (int)n;
    return true;
}

static void print_integer(const struct setting_row *row, const char *base, struct buf *out)
{
    buf_addf(out, "%d", *(const int *)(base + row->at));
}

const struct setting_type setting_type_integer = {"integer", "a whole number without quotes",
                                                  read_integer, print_integer, NULL};

static bool read_port(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    long long n;

    if (!read_number(l, row, node, &n))
        return false;
    *(uint16_t *)(base + row->at) = (uint16_t)n;
    return true;
}

static void print_port(const struct setting_row *row, const char *base, struct buf *out)
{
    buf_addf(out, "%u", *(const uint16_t *)(base + row->at));
}

const struct setting_type setting_type_port = {"port", "a port number without quotes", read_port,
                                               print_port, NULL};

typedef bool parse_fn(struct slice text, int64_t *out);
typedef const char *format_fn(int64_t n, char out[INSTANT_TEXT_MAX]);

/* Durations and sizes: numbers that have units. */
static bool read_unit(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base, parse_fn *parse, format_fn *format, const char *unit)
{
    char low[INSTANT_TEXT_MAX], high[INSTANT_TEXT_MAX];
    unsigned long long bare;
    const char *text;
    int64_t n;

    if (config_setting_type(node) == CONFIG_TYPE_INT ||
        config_setting_type(node) == CONFIG_TYPE_INT64) {
        loader_error(l, node, "the unit is missing: write \"%lld%s\"",
                     config_setting_get_int64(node), unit);
        return false;
    }
    text = read_string(l, row, node);
    if (text == NULL)
        return false;
    if (slice_u64(slice_str(text), INT64_MAX, &bare)) {
        loader_error(l, node, "the unit is missing: write \"%s%s\"", text, unit);
        return false;
    }
    if (!parse(slice_str(text), &n)) {
        loader_error(l, node, "write %s", row->type->form);
        return false;
    }
    if (n < row->min || n > row->max) {
        loader_error(l, node, "out of bounds: write a %s between \"%s\" and \"%s\"",
                     row->type->name, format(row->min, low), format(row->max, high));
        return false;
    }
    *(int64_t *)(base + row->at) = n;
    return true;
}

static bool read_duration(struct loader *l, const struct setting_row *row,
                          const config_setting_t *node, char *base)
{
    return read_unit(l, row, node, base, span_parse, span_text, "s");
}

static void print_duration(const struct setting_row *row, const char *base, struct buf *out)
{
    char text[INSTANT_TEXT_MAX];

    buf_addf(out, "\"%s\"", span_text(*(const int64_t *)(base + row->at), text));
}

const struct setting_type setting_type_duration = {
    "duration", "a duration in quotes, a number with ms, s, m, h or d, such as \"30s\"",
    read_duration, print_duration, NULL};

static bool read_size(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    return read_unit(l, row, node, base, size_parse, size_text, "B");
}

static void print_size(const struct setting_row *row, const char *base, struct buf *out)
{
    char text[INSTANT_TEXT_MAX];

    buf_addf(out, "\"%s\"", size_text(*(const int64_t *)(base + row->at), text));
}

const struct setting_type setting_type_size = {
    "size", "a size in quotes, a number with B, KiB, MiB or GiB, such as \"256KiB\"", read_size,
    print_size, NULL};

static void word_error(struct loader *l, const struct setting_row *row,
                       const config_setting_t *node, const char *text)
{
    const struct setting_word *nearest = row->words;
    struct buf known;

    buf_init(&known, 1024);
    for (const struct setting_word *w = row->words; w->name != NULL; w++) {
        buf_addf(&known, "%s\"%s\"",
                 w == row->words     ? ""
                 : w[1].name == NULL ? " or "
                                     : ", ",
                 w->name);
        if (settings_distance(w->name, text) < settings_distance(nearest->name, text))
            nearest = w;
    }
    /* one slip in a word of some length */
    if (row->words[1].name != NULL && settings_distance(nearest->name, text) * 3 < strlen(text))
        loader_error(l, node, "write %s (did you mean \"%s\"?)", buf_cstr(&known), nearest->name);
    else
        loader_error(l, node, "write %s%s", buf_cstr(&known), text[0] == '\0' ? ", in quotes" : "");
    buf_clear(&known);
}

static bool read_word(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    const char *text = "";

    if (config_setting_type(node) == CONFIG_TYPE_STRING)
        text = read_string(l, row, node);
    if (text == NULL)
        return false;
    for (const struct setting_word *w = row->words; w->name != NULL; w++) {
        if (strcmp(w->name, text) == 0) {
            *(int *)(base + row->at) = w->value;
            return true;
        }
    }
    word_error(l, row, node, text);
    return false;
}

static void print_word(const struct setting_row *row, const char *base, struct buf *out)
{
    const struct setting_word *w = row->words;

    while (w->name != NULL && w->value != *(const int *)(base + row->at))
        w++;
    buf_addf(out, "\"%s\"", w->name != NULL ? w->name : "");
}

const struct setting_type setting_type_word = {"word", "one word in quotes", read_word, print_word,
                                               NULL};

/* A switch with a third position: true and false as such, or a word. */
static bool read_observe(struct loader *l, const struct setting_row *row,
                         const config_setting_t *node, char *base)
{
    const char *text = "";

    if (config_setting_type(node) == CONFIG_TYPE_BOOL)
        text = config_setting_get_bool(node) == CONFIG_TRUE ? "true" : "false";
    else if (config_setting_type(node) == CONFIG_TYPE_STRING)
        text = read_string(l, row, node);
    if (text == NULL)
        return false;
    for (const struct setting_word *w = row->words; w->name != NULL; w++) {
        if (strcmp(w->name, text) == 0) {
            *(int *)(base + row->at) = w->value;
            return true;
        }
    }
    loader_error(l, node, "write %s", row->type->form);
    return false;
}

static void print_observe(const struct setting_row *row, const char *base, struct buf *out)
{
    int value = *(const int *)(base + row->at);

    if (value == OBSERVE_ALL)
        print_word(row, base, out);
    else
        buf_addf(out, "%s", value == OBSERVE_ON ? "true" : "false");
}

const struct setting_type setting_type_observe = {
    "bool or word", "true or false without quotes, or \"all\" in quotes", read_observe,
    print_observe, NULL};

static bool read_date(struct loader *l, const struct setting_row *row, const config_setting_t *node,
                      char *base)
{
    const char *text = read_string(l, row, node);
    wall_ms when;

    if (text == NULL)
        return false;
    /* 0 stands for "never", so the first instant of 1970 is no date here */
    if (!instant_parse(slice_str(text), &when) || when <= 0) {
        loader_error(l, node, "write %s", row->type->form);
        return false;
    }
    *(wall_ms *)(base + row->at) = when;
    return true;
}

/* "2027-01-31" or "2027-01-31T12:00:00Z": what instant_parse() reads. */
static void print_date(const struct setting_row *row, const char *base, struct buf *out)
{
    char text[INSTANT_TEXT_MAX];
    struct slice all = slice_str(instant_text(*(const wall_ms *)(base + row->at), text));
    struct slice day = slice_first(all, sizeof("2027-01-31") - 1);

    if (slice_eq(slice_from(all, day.n), SLICE("T00:00:00.000Z")))
        buf_addf(out, "\"%.*s\"", SLICE_ARG(day));
    else
        buf_addf(out, "\"%.*sZ\"", SLICE_ARG(slice_first(all, sizeof("2027-01-31T12:00:00") - 1)));
}

const struct setting_type setting_type_date = {
    "date", "a real day in quotes (ISO 8601, UTC): \"2027-01-31\" or \"2027-01-31T12:00:00Z\"",
    read_date, print_date, NULL};

static bool read_server(struct loader *l, const struct setting_row *row,
                        const config_setting_t *node, char *base)
{
    const char *text = read_string(l, row, node);

    if (text == NULL)
        return false;
    if (!settings_addr_port(slice_str(text), 53, (struct addr *)(base + row->at))) {
        loader_error(l, node, "write %s", row->type->form);
        return false;
    }
    return true;
}

static void print_server(const struct setting_row *row, const char *base, struct buf *out)
{
    char text[ADDR_TEXT_MAX];

    buf_addf(out, "\"%s\"", addr_port_text((const struct addr *)(base + row->at), text));
}

const struct setting_type setting_type_server = {
    "address", "an address in quotes: \"192.0.2.53\", \"192.0.2.53:5353\", \"[2001:db8::53]:53\"",
    read_server, print_server, NULL};
