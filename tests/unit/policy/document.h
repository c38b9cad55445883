/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      document - the tables of docs/ that must be those of the code
 */
#ifndef TLSMEND_TESTS_DOCUMENT_H
#define TLSMEND_TESTS_DOCUMENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/mem.h"

/* The text of docs/NAME; yours to free(). */
static inline char *document_read(const char *name)
{
    char path[512], *text = mem_zalloc(1 << 20);
    FILE *f;

    assert_true(snprintf(path, sizeof(path), SOURCE_DIR "/docs/%s", name) < (int)sizeof(path));
    f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    (void)fclose(f);
    return text;
}

/* The rows stand there as they are, in their order. */
static inline void document_has_rows(const char *text,
                                     const char *(*row_text)(size_t index, char *out, size_t size))
{
    const char *at = text;
    char row[1000];

    for (size_t i = 0; row_text(i, row, sizeof(row)) != NULL; i++) {
        const char *found = strstr(at, row);

        if (found == NULL)
            fail_msg("not in docs, or not in order: %s", row);
        else
            at = found + strlen(row);
    }
}

#endif
