/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of lists of values: [ "a", "b" ].
 */
#include <stdlib.h>
#include <string.h>

#include "config/settings_internal.h"
#include "proxy/base/mem.h"

/* Reads one element's text into item `i`; false where it is no such thing. */
typedef bool item_fn(const char *text, void *items, size_t i);

/* The element's text; NULL after an error. */
static const char *element_text(struct loader *l, const struct setting_row *row,
                                const config_setting_t *element)
{
    const char *text = NULL;

    if (config_setting_type(element) == CONFIG_TYPE_STRING)
        text = config_setting_get_string(element);
    if (text == NULL || text[0] == '\0' || settings_has_control(text)) {
        loader_error(l, element, "write the list as %s", row->type->form);
        return NULL;
    }
    return text;
}

/* Fills *items, *count as far as elements are good; false where one was not. */
static bool read_items(struct loader *l, const struct setting_row *row,
                       const config_setting_t *node, size_t size, item_fn *item, void **items,
                       size_t *count)
{
    size_t n, good = 0;

    if (!config_setting_is_array(node) && !config_setting_is_list(node)) {
        loader_error(l, node, "write a list, as %s", row->type->form);
        return false;
    }
    n = (size_t)config_setting_length(node);
    *items = n > 0 ? mem_array(n, size) : NULL;
    for (size_t i = 0; i < n; i++) {
        const config_setting_t *element = config_setting_get_elem(node, (unsigned)i);
        const char *text = element_text(l, row, element);

        if (text == NULL)
            continue;
        if (item(text, *items, good))
            good++;
        else
            loader_error(l, element, "write the list as %s", row->type->form);
    }
    *count = good;
    return good == n;
}

static void clear_items(const struct setting_row *row, char *base)
{
    void **items = (void **)(base + row->at);

    free(*items);
    *items = NULL;
    *(size_t *)(base + row->count_at) = 0;
}

static bool item_addr(const char *text, void *items, size_t i)
{
    return settings_addr_port(slice_str(text), 53, (struct addr *)items + i);
}

static bool read_addresses(struct loader *l, const struct setting_row *row,
                           const config_setting_t *node, char *base)
{
    return read_items(l, row, node, sizeof(struct addr), item_addr, (void **)(base + row->at),
                      (size_t *)(base + row->count_at));
}

static void print_addresses(const struct setting_row *row, const char *base, struct buf *out)
{
    const struct addr *items = *(struct addr *const *)(base + row->at);
    size_t count = *(const size_t *)(base + row->count_at);
    char text[ADDR_TEXT_MAX];

    buf_add(out, SLICE("["));
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s \"%s\"", i > 0 ? "," : "", addr_port_text(&items[i], text));
    buf_add(out, SLICE(" ]"));
}

const struct setting_type setting_type_addresses = {
    "addresses", "[ \"192.0.2.53\", \"192.0.2.53:5353\", \"[2001:db8::53]:53\" ]", read_addresses,
    print_addresses, clear_items};

static bool item_net(const char *text, void *items, size_t i)
{
    return addr_net_parse(slice_str(text), (struct addr_net *)items + i);
}

static bool read_networks(struct loader *l, const struct setting_row *row,
                          const config_setting_t *node, char *base)
{
    return read_items(l, row, node, sizeof(struct addr_net), item_net, (void **)(base + row->at),
                      (size_t *)(base + row->count_at));
}

static void print_networks(const struct setting_row *row, const char *base, struct buf *out)
{
    const struct addr_net *items = *(struct addr_net *const *)(base + row->at);
    size_t count = *(const size_t *)(base + row->count_at);
    char text[ADDR_TEXT_MAX];

    buf_add(out, SLICE("["));
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s \"%s/%u\"", i > 0 ? "," : "", addr_text(&items[i].base, text),
                 items[i].bits);
    buf_add(out, SLICE(" ]"));
}

const struct setting_type setting_type_networks = {
    "networks", "[ \"192.0.2.0/24\", \"2001:db8::/32\", \"::1\" ]", read_networks, print_networks,
    clear_items};

static bool item_string(const char *text, void *items, size_t i)
{
    ((char **)items)[i] = mem_strdup(text);
    return true;
}

static bool item_path(const char *text, void *items, size_t i)
{
    return text[0] == '/' && item_string(text, items, i);
}

static struct string_list *strings_at(const struct setting_row *row, const char *base)
{
    return (struct string_list *)(uintptr_t)(base + row->at);
}

static bool read_strings(struct loader *l, const struct setting_row *row,
                         const config_setting_t *node, char *base)
{
    struct string_list *list = strings_at(row, base);
    void *items = NULL;
    bool ok = read_items(l, row, node, sizeof(char *),
                         row->type == &setting_type_paths ? item_path : item_string, &items,
                         &list->count);

    list->items = items;
    return ok;
}

static void print_strings(const struct setting_row *row, const char *base, struct buf *out)
{
    const struct string_list *list = strings_at(row, base);

    buf_add(out, SLICE("["));
    for (size_t i = 0; i < list->count; i++) {
        buf_addf(out, "%s ", i > 0 ? "," : "");
        settings_quote(slice_str(list->items[i]), out);
    }
    buf_add(out, SLICE(" ]"));
}

static void clear_strings(const struct setting_row *row, char *base)
{
    struct string_list *list = strings_at(row, base);

    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free((void *)list->items);
    *list = (struct string_list){0};
}

const struct setting_type setting_type_strings = {"strings",
                                                  "[ \"mx.example.org\", \".example.org\" ]",
                                                  read_strings, print_strings, clear_strings};
const struct setting_type setting_type_paths = {"paths",
                                                "[ \"/etc/tlsmend/ca.crl\" ], absolute paths",
                                                read_strings, print_strings, clear_strings};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Hex with a colon between all bytes or between none. */
static bool hex_parse(struct slice s, struct fingerprint *out)
{
    bool colons = s.n > 2 && s.p[2] == ':';
    size_t step = colons ? 3 : 2;

    out->n = 0;
    for (size_t i = 0; i < s.n; i += step) {
        int high, low;

        if (i + 2 > s.n || out->n == FINGERPRINT_MAX || (colons && i > 0 && s.p[i - 1] != ':'))
            return false;
        high = hex_digit(s.p[i]);
        low = hex_digit(s.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->digest[out->n++] = (unsigned char)(high * 16 + low);
    }
    return !(colons && s.p[s.n - 1] == ':');
}

/* 32 bytes are SHA-256, 64 are SHA-512; a prefix may say so and must then be right. */
static bool item_fingerprint(const char *text, void *items, size_t i)
{
    struct fingerprint *out = (struct fingerprint *)items + i;
    struct slice s = slice_str(text);
    size_t wanted = 0;

    if (slice_istarts(s, SLICE("sha256:")))
        wanted = 32;
    else if (slice_istarts(s, SLICE("sha512:")))
        wanted = 64;
    if (wanted != 0)
        s = slice_from(s, sizeof("sha256:") - 1);
    return hex_parse(s, out) && (out->n == 32 || out->n == 64) && (wanted == 0 || out->n == wanted);
}

static bool read_fingerprints(struct loader *l, const struct setting_row *row,
                              const config_setting_t *node, char *base)
{
    return read_items(l, row, node, sizeof(struct fingerprint), item_fingerprint,
                      (void **)(base + row->at), (size_t *)(base + row->count_at));
}

static void print_fingerprints(const struct setting_row *row, const char *base, struct buf *out)
{
    const struct fingerprint *items = *(struct fingerprint *const *)(base + row->at);
    size_t count = *(const size_t *)(base + row->count_at);

    buf_add(out, SLICE("["));
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s \"%s:", i > 0 ? "," : "", items[i].n == 32 ? "sha256" : "sha512");
        for (size_t k = 0; k < items[i].n; k++)
            buf_addf(out, "%02x", items[i].digest[k]);
        buf_addc(out, '"');
    }
    buf_add(out, SLICE(" ]"));
}

const struct setting_type setting_type_fingerprints = {
    "fingerprints",
    "[ \"sha256:...\" ], 32 bytes (SHA-256) or 64 bytes (SHA-512) in hex, with or without colons",
    read_fingerprints, print_fingerprints, clear_items};
