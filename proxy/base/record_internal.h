/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      record_internal - what a record is made of; shared by record.c and record_render.c
 *
 * DESCRIPTION
 *      All fields stand in one array and all texts behind each other in one buffer: a record is
 *      made for each mail several times, and an allocation for each field would cost more than
 *      the rest of it.
 */
#ifndef TLSMEND_BASE_RECORD_INTERNAL_H
#define TLSMEND_BASE_RECORD_INTERNAL_H

#include "proxy/base/record.h"

enum field_kind {
    FIELD_STRING,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_LIST, /* its entries follow, as strings without a key */
};

struct field {
    const char *key; /* a literal of the caller */
    enum field_kind kind;
    union {
        int64_t number;
        size_t n; /* bytes of a string, entries of a list */
    };
    size_t at; /* of a string: where in `bytes` */
};

/* Enough for all but an attempt that made its own connection. */
#define RECORD_FIRST_FIELDS 44

struct record {
    const char *event;
    enum record_severity severity;
    wall_ms when;
    struct field *fields; /* `first`, until there are more */
    size_t count, size;
    struct buf bytes;
    struct field first[RECORD_FIRST_FIELDS];
};

/* Bytes of the UTF-8 character at the start of `s`; 0: none that RFC 3629 allows.  *point is it. */
size_t record_utf8_char(struct slice s, uint32_t *point);

#endif
