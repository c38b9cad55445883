/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a configuration: it gives settings or errors, never both and never neither; a comment
 * behind it changes nothing; what is printed holds no control byte.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"

#define TEXT_MAX 65536

const char *__lsan_default_suppressions(void);

/* libconfig forgets a string that stands where the grammar wants none; nothing of ours is allocated
 * below it. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\nleak:libconfig_yy\n";
}

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "fuzz_settings: %s\n", what);
    abort();
}

/* The settings as printed text, or no text where there are errors. */
static void parse(struct slice text, struct buf *printed)
{
    struct settings *s;
    struct buf errors;

    buf_init(&errors, (size_t)4 << 20);
    buf_init(printed, (size_t)16 << 20);
    s = settings_parse(text.p, text.n, "fuzz.conf", false, &errors);
    require((s == NULL) == (errors.n > 0), "settings and errors, or none of them");
    require(errors.n == 0 || errors.p[errors.n - 1] == '\n', "an error that ends no line");
    if (s != NULL) {
        settings_print(s, printed);
        settings_warnings(s, INT64_C(1795305600000), &errors);
    }
    settings_drop(&s);
    buf_clear(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf longer, once, twice;

    if (size > TEXT_MAX)
        return 0;
    parse(slice_of(data, size), &once);
    buf_init(&longer, TEXT_MAX + 64);
    buf_add(&longer, slice_of(data, size));
    buf_add(&longer, SLICE("\n# a comment"));
    parse(buf_slice(&longer), &twice);
    require(slice_eq(buf_slice(&once), buf_slice(&twice)), "a comment changed the settings");
    for (size_t i = 0; i < once.n; i++)
        require(once.p[i] == '\n' || (unsigned char)once.p[i] >= 0x20, "a control byte printed");
    buf_clear(&longer);
    buf_clear(&once);
    buf_clear(&twice);
    return 0;
}
