/* SPDX-License-Identifier: Apache-2.0 */
/* wire - see wire.h for the contract. */
#include "bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/mem.h"

void wire_die(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = mem_vformat(format, args);
    va_end(args);
    (void)fprintf(stderr, "%s\n", text);
    exit(2);
}

int64_t wire_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void wire_raise_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

socklen_t wire_address(const char *address, int port, struct sockaddr_storage *out)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, address, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons((uint16_t)port);
        return sizeof(*in4);
    }
    if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
        wire_die("%s: not an IPv4 or IPv6 address", address);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    return sizeof(*in6);
}

int wire_listen(const struct sockaddr_storage *at, socklen_t size)
{
    int yes = 1, no = 0;
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        wire_die("socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
    if (at->ss_family == AF_INET6) /* [::] takes IPv4 too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    if (bind(fd, (const struct sockaddr *)at, size) != 0)
        wire_die("bind: %s", strerror(errno));
    if (listen(fd, 4096) != 0)
        wire_die("listen: %s", strerror(errno));
    return fd;
}

/* ---- the loop ---- */

void wire_loop_init(struct wire_loop *l)
{
    memset(l, 0, sizeof(*l));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        wire_die("epoll_create1: %s", strerror(errno));
    l->scratch = mem_zalloc(WIRE_READ);
    l->clear = mem_zalloc(WIRE_RECORD);
}

void wire_loop_free(struct wire_loop *l)
{
    (void)close(l->epoll);
    free(l->scratch);
    free(l->clear);
}

void wire_watch(struct wire_loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};

    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e) != 0)
        wire_die("epoll_ctl: %s", strerror(errno));
}

static void bury(struct wire_loop *l)
{
    while (l->dead != NULL) {
        struct wire *w = l->dead;

        l->dead = w->next_dead;
        free(w->out);
        free(w);
    }
}

void wire_loop_once(struct wire_loop *l, int64_t wait_ns)
{
    struct epoll_event events[WIRE_EVENTS];
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    int n = epoll_pwait2(l->epoll, events, WIRE_EVENTS, wait_ns < 0 ? NULL : &wait, NULL);

    if (n < 0 && errno != EINTR)
        wire_die("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; ++i) {
        struct watch *w = events[i].data.ptr;

        if (w->fd >= 0) /* closed earlier in this batch */
            w->on(w, events[i].events);
    }
    bury(l);
}

/* ---- TLS over buffers: the library itself never calls read or write ---- */

static int bio_read(BIO *bio, char *into, int max)
{
    struct wire *w = BIO_get_data(bio);
    size_t n = w->in_used < (size_t)max ? w->in_used : (size_t)max;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(into, w->in, n);
    w->in += n;
    w->in_used -= n;
    return (int)n;
}

static void append(struct wire *w, const char *p, size_t n)
{
    if (w->out_used + n > w->out_room) {
        size_t room = w->out_room > 0 ? w->out_room : 512;

        while (room < w->out_used + n)
            room *= 2;
        w->out = mem_resize(w->out, room, 1);
        w->out_room = room;
    }
    memcpy(w->out + w->out_used, p, n);
    w->out_used += n;
}

static int bio_write(BIO *bio, const char *from, int n)
{
    BIO_clear_retry_flags(bio);
    append(BIO_get_data(bio), from, (size_t)n);
    return n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *make_bio(struct wire *w)
{
    static BIO_METHOD *method;
    BIO *bio;

    if (method == NULL) {
        method = BIO_meth_new(0, "wire");
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    bio = BIO_new(method);
    BIO_set_init(bio, 1);
    BIO_set_data(bio, w);
    return bio;
}

static void end(struct wire *w, bool failed)
{
    if (!w->closed) {
        if (w->events->ended != NULL)
            w->events->ended(w, failed);
        wire_close(w);
    }
}

/* The TLS library's answer below zero: wait for more, or the end. */
static void tls_stopped(struct wire *w, int result)
{
    int why = SSL_get_error(w->ssl, result);

    if (why == SSL_ERROR_WANT_READ)
        return;
    ERR_clear_error();
    wire_flush(w); /* an alert, perhaps */
    end(w, why != SSL_ERROR_ZERO_RETURN);
}

static void tls_input(struct wire *w)
{
    if (w->handshaking) {
        int done = SSL_do_handshake(w->ssl);

        if (done != 1) {
            tls_stopped(w, done);
            return;
        }
        w->handshaking = false;
        w->events->secured(w);
    }
    while (!w->closed) {
        int n = SSL_read(w->ssl, w->loop->clear, WIRE_RECORD);

        if (n <= 0) {
            tls_stopped(w, n);
            return;
        }
        w->events->bytes(w, w->loop->clear, (size_t)n);
    }
}

void wire_secure(struct wire *w, SSL *ssl)
{
    BIO *bio = make_bio(w);

    w->ssl = ssl;
    w->handshaking = true;
    SSL_set_bio(ssl, bio, bio);
    w->in_used = 0;
    if (!SSL_is_server(ssl)) {
        tls_stopped(w, SSL_do_handshake(ssl));
        wire_flush(w);
    }
}

/* ---- reading and writing ---- */

static void input(struct wire *w, bool ended)
{
    while (!w->closed && !w->paused) {
        ssize_t n = read(w->watch.fd, w->loop->scratch, WIRE_READ);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            end(w, n < 0 || w->ssl != NULL);
            return;
        }
        if (w->ssl != NULL) {
            w->in = w->loop->scratch;
            w->in_used = (size_t)n;
            tls_input(w);
        } else {
            w->events->bytes(w, w->loop->scratch, (size_t)n);
        }
        if (n < WIRE_READ && !ended) /* the edge comes again with the next byte */
            return;
    }
}

static void connected(struct wire *w)
{
    int error = 0;
    socklen_t size = sizeof(error);

    (void)getsockopt(w->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    w->connecting = false;
    if (error != 0)
        end(w, true);
    else
        w->events->connected(w);
}

static void want_write(struct wire *w, bool want)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (want ? EPOLLOUT : 0),
                            .data.ptr = &w->watch};

    w->blocked = want;
    if (epoll_ctl(w->loop->epoll, EPOLL_CTL_MOD, w->watch.fd, &e) != 0)
        wire_die("epoll_ctl: %s", strerror(errno));
}

static void on_event(struct watch *watch, uint32_t events)
{
    struct wire *w = (struct wire *)watch;

    if (w->connecting) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
            return;
        want_write(w, false);
        connected(w);
    } else if (w->blocked && (events & EPOLLOUT) != 0) {
        want_write(w, false);
        wire_flush(w);
    }
    if (!w->closed && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
        input(w, (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0);
    if (!w->closed)
        wire_flush(w);
}

void wire_put(struct wire *w, const char *p, size_t n)
{
    if (w->closed)
        return;
    if (w->ssl == NULL) {
        append(w, p, n);
        return;
    }
    while (n > 0) {
        int taken = SSL_write(w->ssl, p, (int)(n < WIRE_RECORD ? n : WIRE_RECORD));

        if (taken <= 0) { /* the buffers take everything, so this is the end */
            ERR_clear_error();
            return;
        }
        p += taken;
        n -= (size_t)taken;
    }
}

static void write_out(struct wire *w)
{
    while (!w->blocked && w->out_at < w->out_used) {
        ssize_t n = send(w->watch.fd, w->out + w->out_at, w->out_used - w->out_at, MSG_NOSIGNAL);

        if (n >= 0)
            w->out_at += (size_t)n;
        else if (errno == EAGAIN)
            want_write(w, true);
        else
            w->out_at = w->out_used; /* what the peer said before it went away is read yet */
    }
}

void wire_flush(struct wire *w)
{
    while (!w->closed && !w->connecting && w->out_used > 0) {
        write_out(w);
        if (w->out_at < w->out_used)
            return;
        w->out_at = w->out_used = 0;
        if (w->events->drained != NULL)
            w->events->drained(w);
    }
}

size_t wire_waiting(const struct wire *w)
{
    return w->out_used - w->out_at;
}

void wire_shrink(struct wire *w)
{
    if (w->out_used == 0) {
        free(w->out);
        w->out = NULL;
        w->out_room = 0;
    }
}

void wire_pause(struct wire *w)
{
    w->paused = true;
}

void wire_resume(struct wire *w)
{
    if (w->paused) {
        w->paused = false;
        input(w, true);
    }
}

/* ---- life ---- */

static void begin(struct wire_loop *l, struct wire *w, int fd, uint32_t more)
{
    int yes = 1;

    w->loop = l;
    w->watch.fd = fd;
    w->watch.on = on_event;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    wire_watch(l, &w->watch, EPOLLIN | EPOLLRDHUP | EPOLLET | more);
}

void wire_adopt(struct wire_loop *l, struct wire *w, int fd)
{
    begin(l, w, fd, 0);
}

void wire_connect(struct wire_loop *l, struct wire *w, const struct sockaddr *to, socklen_t size)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        wire_die("socket: %s", strerror(errno));
    w->connecting = true;
    begin(l, w, fd, EPOLLOUT);
    if (connect(fd, to, size) != 0 && errno != EINPROGRESS)
        end(w, true);
}

void wire_close(struct wire *w)
{
    if (w->closed)
        return;
    w->closed = true;
    if (w->events->closed != NULL)
        w->events->closed(w);
    (void)close(w->watch.fd);
    w->watch.fd = -1;
    if (w->ssl != NULL)
        SSL_free(w->ssl);
    w->ssl = NULL;
    w->next_dead = w->loop->dead;
    w->loop->dead = w;
}
