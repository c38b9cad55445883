/* SPDX-License-Identifier: Apache-2.0 */
/* log_sink - where lines go; see log_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/mem.h"
#include "proxy/store/log_internal.h"

#define SYSLOG_SOCKET "/dev/log"
#define FILE_MODE 0640
#define WRITE_MAX 65536
#define KEEP_MAX 65536 /* of an empty buffer */

/* O_NONBLOCK matters only where the path is a FIFO: without a reader it cannot be opened, and a
 * reader that stops must not stop the writer. */
static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, FILE_MODE);
}

static int open_socket(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd, error;

    if (strlen(path) >= sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int open_fd(const struct sink *s)
{
    switch (s->kind) {
    case LOG_TO_STDERR:
        return STDERR_FILENO;
    case LOG_TO_FILE:
        return open_file(s->path);
    case LOG_TO_SYSLOG:
        return open_socket(s->path);
    }
    return -1;
}

/* stderr is shared with other programs, and may be anything. */
static void learn_manner(struct sink *s)
{
    socklen_t n = sizeof(int);
    struct stat st;
    int type;

    if (s->kind != LOG_TO_STDERR)
        return;
    s->terminal = isatty(s->fd) == 1;
    if (getsockopt(s->fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM)
        s->manner = TAKES_MESSAGES;
    else if (fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode))
        s->manner = TAKES_PIECES;
}

bool sink_open(struct sink *s, const struct log_sink *from, struct buf *errors)
{
    *s = (struct sink){.kind = from->kind, .form = from->form, .fd = -1};
    s->path = mem_strdup(from->path);
    if (s->path == NULL && s->kind == LOG_TO_SYSLOG)
        s->path = mem_strdup(SYSLOG_SOCKET);
    s->ident = mem_strdup(from->ident != NULL ? from->ident : "tlsmend");
    /* The notice about dropped lines always finds room: log.c counts the lines themselves. */
    buf_init(&s->queue, LOG_QUEUE_MAX + WRITE_MAX);
    buf_init(&s->writing, LOG_QUEUE_MAX + WRITE_MAX);
    buf_init(&s->stamp, WRITE_MAX);
    s->fd = s->kind == LOG_TO_FILE && s->path == NULL ? -1 : open_fd(s);
    if (s->fd < 0) {
        const char *why = strerror(errno);

        if (from->place != NULL)
            (void)buf_addf(errors, "%scannot be opened: %s: let the user of tlsmend write there\n",
                           from->place, why);
        else
            (void)buf_addf(errors, "log sink %s cannot be opened: %s\n", sink_name(s), why);
        sink_clear(s);
        return false;
    }
    learn_manner(s);
    return true;
}

void sink_clear(struct sink *s)
{
    if (s->fd >= 0 && s->kind != LOG_TO_STDERR)
        close(s->fd);
    s->fd = -1;
    free(s->path);
    free(s->ident);
    buf_clear(&s->queue);
    buf_clear(&s->writing);
    buf_clear(&s->stamp);
    s->path = s->ident = NULL;
}

const char *sink_name(const struct sink *s)
{
    if (s->kind == LOG_TO_STDERR)
        return "stderr";
    return s->path != NULL ? s->path : "(file without a path)";
}

void sink_shrink(struct sink *s)
{
    if (s->queue.n == 0 && s->queue.size > KEEP_MAX)
        buf_clear(&s->queue);
    if (s->at == s->writing.n && s->writing.size > KEEP_MAX) {
        buf_clear(&s->writing);
        s->at = 0;
    }
}

/* "Nov 22 05:54:00 tlsmend[4711]: ", made once a second. */
static bool make_stamp(struct sink *s)
{
    char text[32] = "";
    time_t now = time(NULL);
    struct tm tm;

    if (s->stamp.n > 0 && s->stamp_of == now)
        return true;
    if (localtime_r(&now, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%b %e %H:%M:%S", &tm);
    s->stamp_of = now;
    buf_reset(&s->stamp);
    return buf_addf(&s->stamp, "%s %s[%d]: ", text, s->ident, (int)getpid());
}

/* "<22>Nov 22 05:54:00 tlsmend[4711]: " (RFC 3164 4.1); local senders leave the host name out. */
static bool add_syslog_header(struct sink *s, const struct record *r)
{
#define PRIORITY(severity)                             \
    {                                                  \
        "<" severity ">", sizeof("<" severity ">") - 1 \
    }
    /* LOG_MAIL is 16; LOG_DEBUG 7, LOG_INFO 6, LOG_WARNING 4, LOG_ERR 3. */
    static const struct slice priorities[] = {[RECORD_DEBUG] = PRIORITY("23"),
                                              [RECORD_INFO] = PRIORITY("22"),
                                              [RECORD_WARNING] = PRIORITY("20"),
                                              [RECORD_ERROR] = PRIORITY("19")};

    return make_stamp(s) && buf_add(&s->queue, priorities[record_severity(r)]) &&
           buf_add(&s->queue, buf_slice(&s->stamp));
}

bool sink_render(struct sink *s, const struct record *r)
{
    struct buf *out = &s->queue;
    size_t before = out->n;
    bool ok = s->kind != LOG_TO_SYSLOG || add_syslog_header(s, r);

    if (ok && s->terminal && s->form != LOG_FORM_JSON)
        ok = record_terminal(r, out);
    else if (ok && s->form == LOG_FORM_TEXT)
        ok = record_text(r, out);
    else if (ok)
        ok = record_json(r, out);
    if (!ok)
        out->n = before;
    return ok;
}

static enum sink_result trouble(struct sink *s)
{
    s->error = errno;
    return errno == EAGAIN || errno == ENOBUFS ? SINK_BLOCKED : SINK_BROKEN;
}

/* A blocking pipe that poll() calls writable takes PIPE_BUF bytes at once. */
static bool would_wait(const struct sink *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};

    return s->manner == TAKES_PIECES && poll(&p, 1, 0) == 0;
}

static enum sink_result write_bytes(struct sink *s)
{
    size_t most = s->manner == TAKES_PIECES ? PIPE_BUF : WRITE_MAX;

    while (s->at < s->writing.n) {
        struct slice part = slice_first(slice_from(buf_slice(&s->writing), s->at), most);
        ssize_t n;

        if (would_wait(s))
            return SINK_BLOCKED;
        n = s->manner == TAKES_MESSAGES ? send(s->fd, part.p, part.n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                        : write(s->fd, part.p, part.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return trouble(s);
        s->at += (size_t)n;
    }
    return SINK_DONE;
}

/* The logger went away and came back (restart): a new socket under the same path. */
static bool reconnect(struct sink *s)
{
    int fd = open_socket(s->path);

    if (fd < 0)
        return false;
    close(s->fd);
    s->fd = fd;
    return true;
}

static enum sink_result send_lines(struct sink *s)
{
    bool retried = false;

    while (s->at < s->writing.n) {
        struct slice line, rest;

        (void)slice_cut(slice_from(buf_slice(&s->writing), s->at), '\n', &line, &rest);
        if (send(s->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EMSGSIZE) {
                s->lost++; /* no later try would be different */
            } else if (errno == EAGAIN || errno == ENOBUFS || retried || !reconnect(s)) {
                return trouble(s);
            } else {
                retried = true;
                continue;
            }
        }
        s->at += line.n + 1;
    }
    return SINK_DONE;
}

enum sink_result sink_write(struct sink *s)
{
    return s->kind == LOG_TO_SYSLOG ? send_lines(s) : write_bytes(s);
}

void sink_write_now(const struct sink *s, struct slice line)
{
    while (line.n > 0) {
        ssize_t n = write(s->fd, line.p, line.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is left to be told */
        line = slice_from(line, (size_t)n);
    }
}

bool sink_reopen(struct sink *s)
{
    int fd;

    if (s->kind != LOG_TO_FILE)
        return true;
    fd = open_file(s->path);
    if (fd < 0) {
        s->error = errno;
        return false;
    }
    close(s->fd);
    s->fd = fd;
    /* A line that the old file has only in part is whole in the new one. */
    while (s->at > 0 && s->writing.p[s->at - 1] != '\n')
        s->at--;
    return true;
}
