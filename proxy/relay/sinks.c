/* SPDX-License-Identifier: Apache-2.0 */
/* See sinks.h. */
#include "proxy/relay/sinks.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/mem.h"

#define KEY_MAX 64
#define PLACE_MAX 4096

/* An error about a sink begins with the row that asks for it. */
static char *sink_place(const struct settings *set, size_t i)
{
    char key[KEY_MAX];
    struct buf place;
    char *text;

    (void)snprintf(key, sizeof(key), "log.sinks[%zu].%s", i,
                   set->log.sinks[i].path != NULL ? "path" : "kind");
    buf_init(&place, PLACE_MAX);
    settings_cite(set, key, &place);
    text = slice_dup(buf_slice(&place));
    buf_clear(&place);
    return text;
}

static struct log_sink *sinks_of(const struct settings *set)
{
    struct log_sink *sinks = mem_array(set->log.sink_count + 1, sizeof(*sinks));

    for (size_t i = 0; i < set->log.sink_count; i++) {
        const struct log_sink_settings *s = &set->log.sinks[i];
        enum log_format format = s->format != LOG_AUTO ? s->format : set->log.format;

        sinks[i].kind = s->kind == LOG_FILE     ? LOG_TO_FILE
                        : s->kind == LOG_SYSLOG ? LOG_TO_SYSLOG
                                                : LOG_TO_STDERR;
        sinks[i].form = format == LOG_JSON   ? LOG_FORM_JSON
                        : format == LOG_TEXT ? LOG_FORM_TEXT
                                             : LOG_FORM_AUTO;
        sinks[i].path = s->path;
        sinks[i].ident = set->log.syslog_ident;
        sinks[i].place = sink_place(set, i);
    }
    return sinks;
}

static void free_sinks(struct log_sink *sinks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(sinks[i].place);
    free(sinks);
}

struct log *sinks_open(const struct settings *set, struct buf *errors)
{
    struct log_sink *sinks = sinks_of(set);
    struct log *log = log_new(sinks, set->log.sink_count, errors);

    free_sinks(sinks, set->log.sink_count);
    return log;
}

bool sinks_configure(struct log *log, const struct settings *set, struct buf *errors)
{
    struct log_sink *sinks = sinks_of(set);
    bool ok = log_configure(log, sinks, set->log.sink_count, errors);

    free_sinks(sinks, set->log.sink_count);
    return ok;
}
