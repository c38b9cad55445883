/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table itself, and the sample file against it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/settings.h"
#include "config/version.h"

#define SAMPLE SOURCE_DIR "/config/tlsmend.conf"

static void print(const char *text, size_t n, const char *name, struct buf *out)
{
    struct settings *s;
    struct buf errors;

    buf_init(&errors, 65536);
    s = settings_parse(text, n, name, false, &errors);
    if (s == NULL)
        fail_msg("%s: %s", name, buf_cstr(&errors));
    settings_print(s, out);
    settings_drop(&s);
    buf_clear(&errors);
}

static void read_sample(struct buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(SAMPLE, "re");

    assert_non_null(f);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        assert_true(buf_add(out, slice_of(chunk, n)));
    assert_int_equal(fclose(f), 0);
}

static void test_sample_is_the_defaults(void **state)
{
    struct buf text, sample, empty;

    (void)state;
    buf_init(&text, 65536);
    buf_init(&sample, 65536);
    buf_init(&empty, 65536);
    read_sample(&text);
    print(text.p, text.n, "x", &sample);
    print("", 0, "x", &empty);
    assert_string_equal(buf_cstr(&sample), buf_cstr(&empty));
    buf_clear(&text);
    buf_clear(&sample);
    buf_clear(&empty);
}

/* The line without the "#" in its first column or right before a setting; prose as it is. */
static struct slice uncommented(struct slice line, struct buf *scratch)
{
    size_t at = 0;

    while (at < line.n && line.p[at] == ' ')
        at++;
    if (at + 1 >= line.n || line.p[at] != '#' ||
        (line.p[at + 1] == ' ' && (at > 0 || line.n < 5 || memcmp(line.p + 1, "    ", 4) != 0)))
        return line;
    buf_reset(scratch);
    buf_add(scratch, slice_first(line, at));
    buf_add(scratch, slice_from(line, at + 1));
    return buf_slice(scratch);
}

struct seen {
    struct buf printed;
    size_t rows;
};

static void see_row(void *ctx, const struct setting_doc *row)
{
    struct seen *seen = ctx;
    struct slice before, after, group = slice_str(row->group);
    struct buf name;

    buf_init(&name, 256);
    buf_addc(&name, '\n');
    if (slice_cut(group, '[', &before, &after))
        buf_addf(&name, "%.*s[0%.*s.", SLICE_ARG(before), SLICE_ARG(after));
    else if (group.n > 0)
        buf_addf(&name, "%.*s.", SLICE_ARG(group));
    buf_addf(&name, "%s = ", row->key);
    if (strstr(buf_cstr(&seen->printed), buf_cstr(&name)) == NULL)
        fail_msg("the sample does not set %s", buf_cstr(&name) + 1);
    seen->rows++;
    buf_clear(&name);
}

/* With every "#" before a setting taken away, the sample still parses and sets every row. */
static void test_sample_has_every_row(void **state)
{
    struct buf text, bare, scratch;
    struct seen seen = {.rows = 0};
    struct slice rest, line;

    (void)state;
    buf_init(&text, 65536);
    buf_init(&bare, 65536);
    buf_init(&scratch, 4096);
    buf_init(&seen.printed, 65536);
    read_sample(&text);
    rest = buf_slice(&text);
    while (rest.n > 0) {
        (void)slice_cut(rest, '\n', &line, &rest);
        line = uncommented(line, &scratch);
        if (slice_eq(slice_trim(line), SLICE("kind = \"stderr\";")))
            line = SLICE("kind = \"file\";"); /* so that path is in order */
        buf_add(&bare, line);
        buf_addc(&bare, '\n');
    }
    buf_addc(&seen.printed, '\n');
    print(bare.p, bare.n, "bare sample", &seen.printed);
    settings_each(see_row, &seen);
    assert_in_range(seen.rows, 50, 1000);
    buf_clear(&text);
    buf_clear(&bare);
    buf_clear(&scratch);
    buf_clear(&seen.printed);
}

static void check_row(void *ctx, const struct setting_doc *row)
{
    struct buf *out = ctx;
    size_t help = strlen(row->help);

    assert_true(help > 10 && row->help[help - 1] == '.');
    assert_true(row->help[0] != ' ' && strchr(row->help, '\t') == NULL);
    assert_false(row->required && row->preset[0] != '\0');
    buf_addf(out, "%s.%s\n", row->group, row->key);
}

static void test_rows(void **state)
{
    struct buf names;

    (void)state;
    buf_init(&names, 65536);
    settings_each(check_row, &names);
    assert_non_null(strstr(buf_cstr(&names), "destinations[].route.host\n"));
    for (struct slice rest = buf_slice(&names), one, after; slice_cut(rest, '\n', &one, &after);
         rest = after) {
        struct slice line, more = after;

        while (slice_cut(more, '\n', &line, &more))
            assert_false(slice_eq(line, one));
    }
    buf_clear(&names);
}

/* The words of the table are the words of the policy layer, in both directions. */
static void test_words(void **state)
{
    (void)state;
    for (int i = 0; i < LEVEL_COUNT; i++) {
        const char *name = tls_level_name((enum tls_level)i);
        struct settings *s;
        struct buf text, errors;

        buf_init(&text, 4096);
        buf_init(&errors, 4096);
        buf_addf(&text,
                 "destinations = ( { match = \"*\"; level = \"%s\"; min_version = \"%s\";"
                 " fingerprints = [ \"%064d\" ]; } );",
                 name, tls_version_name(i % 2 == 0 ? TLS_VERSION_1_2 : TLS_VERSION_1_3), 0);
        s = settings_parse(text.p, text.n, "t.conf", false, &errors);
        if (s == NULL) {
            fail_msg("%s: %s", name, buf_cstr(&errors));
            return;
        }
        assert_int_equal(s->destinations[0].level, i);
        assert_int_equal(s->destinations[0].min_version,
                         i % 2 == 0 ? TLS_VERSION_1_2 : TLS_VERSION_1_3);
        settings_drop(&s);
        buf_clear(&text);
        buf_clear(&errors);
    }
}

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned wanted;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"verify", "verify", 0},
        {"verify", "verfy", 1},
        {"user", "usr", 1},
        {"abc", "xyz", 3},
        {"kitten", "sitting", 3},
        {"ab", "ba", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(settings_distance(cases[i].a, cases[i].b), cases[i].wanted);
}

static void test_version(void **state)
{
    (void)state;
    assert_int_equal(strncmp(config_library_version(), "libconfig 1.", 12), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_is_the_defaults),
        cmocka_unit_test(test_sample_has_every_row),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
