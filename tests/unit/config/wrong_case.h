/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      wrong_case - a configuration that must be refused, with exactly these lines
 */
#ifndef TLSMEND_TESTS_WRONG_CASE_H
#define TLSMEND_TESTS_WRONG_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/settings.h"

struct wrong_case {
    const char *name, *text, *errors;
};

static inline struct settings *wrong_parse(const char *text, size_t n, struct buf *errors)
{
    buf_init(errors, (size_t)1 << 20);
    return settings_parse(text, n, "t.conf", false, errors);
}

static inline void wrong_lines(const struct wrong_case *cases, size_t count)
{
    struct buf errors;

    for (size_t i = 0; i < count; i++) {
        struct settings *s = wrong_parse(cases[i].text, strlen(cases[i].text), &errors);

        if (s != NULL || strcmp(buf_cstr(&errors), cases[i].errors) != 0)
            fail_msg("%s:\n%s\nwanted:\n%s", cases[i].name, buf_cstr(&errors), cases[i].errors);
        buf_clear(&errors);
    }
}

/* Whatever is cut off, the answer is either settings or an error, never both and never neither. */
static inline void wrong_at_every_cut(const struct wrong_case *cases, size_t count)
{
    struct buf errors;

    for (size_t i = 0; i < count; i++) {
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            struct settings *s = wrong_parse(cases[i].text, cut, &errors);

            if ((s == NULL) != (errors.n > 0))
                fail_msg("%s, cut at %zu: %s", cases[i].name, cut, buf_cstr(&errors));
            settings_drop(&s);
            buf_clear(&errors);
        }
    }
}

#endif
