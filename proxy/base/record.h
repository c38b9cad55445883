/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NAME
 *      record - one event as fields, rendered as a JSON line or as readable text
 *
 * DESCRIPTION
 *      docs/log.md is the catalogue of events and fields.  A record copies what it is given,
 *      keeps the order of the fields, and renders itself; it writes nowhere (store/log does).
 *      Control bytes and invalid UTF-8 from a peer are escaped in both forms (C-OPS-04): JSON as
 *      \u00XX (a byte above 0x7f that is no valid UTF-8 as \ufffd), text as \xXX; so are the
 *      Unicode controls that end a line or turn the reading direction.  A string is cut at 2,048
 *      bytes and a list at 100 entries, marked with "...".  Keys and the event are literals: they
 *      are not copied.  Absent slices, NULL strings and empty lists are left out.  Pure; one
 *      owner.
 */
#ifndef TLSMEND_BASE_RECORD_H
#define TLSMEND_BASE_RECORD_H

#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/instant.h"

enum record_severity { RECORD_DEBUG, RECORD_INFO, RECORD_WARNING, RECORD_ERROR };

struct record;

/* `event` is a literal from docs/log.md ("attempt", "result", ...). */
struct record *record_new(const char *event, enum record_severity severity, wall_ms when);
void record_free(struct record *r); /* NULL is fine */

void record_str(struct record *r, const char *key, struct slice value);
void record_cstr(struct record *r, const char *key, const char *value);
void record_int(struct record *r, const char *key, int64_t value);
void record_bool(struct record *r, const char *key, bool value);
void record_list(struct record *r, const char *key, const struct slice *values, size_t count);
void record_strf(struct record *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const char *record_event(const struct record *r);
enum record_severity record_severity(const struct record *r);

/* One line with '\n': {"time":"...","event":"attempt","severity":"info",...}.  All three: false
 * when `out` has no room for the whole line; then nothing was added. */
bool record_json(const struct record *r, struct buf *out);
/* One line with '\n' for people: "05:54:00 attempt  mx=mx1.example ... hint="..."; values with
 * blanks are quoted.  The severity stands in it where it is not "info". */
bool record_text(const struct record *r, struct buf *out);
/* For the "text" sink of a terminal: with ANSI colours by severity. */
bool record_terminal(const struct record *r, struct buf *out);

#endif
